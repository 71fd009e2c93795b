package kernel

import (
	"fmt"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// pagingNode is a switchboard that walks the pages of its members, with the first page asked for.
func pagingNode(t *testing.T) (*Kernel, *memberships) {
	t.Helper()
	k := New()
	k.node.booted, k.node.switchboard, k.node.id, k.now = true, true, "s", 1_000_000
	u := &k.members
	u.boot()
	if !u.listing {
		t.Fatal("no page is asked for")
	}
	return k, u
}

// paged answers the page under way.
func paged(u *memberships, more bool, rows ...*eventpb.Member) {
	u.answer(&answer{op: opListNodes, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.ListNodesReply{Members: rows, More: more})}})
}

func activeRow(node string) *eventpb.Member {
	return &eventpb.Member{Node: node, State: uint32(inos.MemberActive), Epoch: 1, Grant: []byte("grant")}
}

// A page that makes no sense is asked for again, and changes nothing.
func TestPagesThatMakeNoSense(t *testing.T) {
	for name, page := range map[string]func(u *memberships){
		"others follow an empty page": func(u *memberships) { paged(u, true) },
		"it goes back":                func(u *memberships) { paged(u, true, activeRow("b")) },
		"it stays where it was":       func(u *memberships) { paged(u, true, activeRow("c")) },
		"it is not sorted":            func(u *memberships) { paged(u, true, activeRow("e"), activeRow("d")) },
		"it is an error": func(u *memberships) {
			u.answer(&answer{op: opListNodes, err: inos.Errorf(inos.CodeBusy, "test", "no")})
		},
		"it does not decode": func(u *memberships) { u.answer(&answer{op: opListNodes, env: &eventpb.Envelope{Payload: []byte{255}}}) },
	} {
		k, u := pagingNode(t)
		paged(u, true, activeRow("b"), activeRow("c"))
		if page(u); u.loaded || u.listing || u.after != "c" || len(u.table) != 2 || u.again <= k.now {
			t.Errorf("%s: loaded %t, page under way %t after %q, %d members, tried again in %d us", name, u.loaded, u.listing, u.after, len(u.table), u.again-k.now)
		}
		k.now, k.node.provider = u.again, true // it was let in before the first page, and need not be once more
		if u.act(); !u.listing {
			t.Errorf("%s: the page is not asked for again", name)
		}
		if paged(u, false, activeRow("d")); !u.loaded || len(u.table) != 3 || u.after != "" {
			t.Errorf("%s: then loaded %t with %d members, after %q", name, u.loaded, len(u.table), u.after)
		}
	}
}

// The first page that is refused is asked for again too.
func TestFirstPageIsRefused(t *testing.T) {
	k, u := pagingNode(t)
	for range 3 {
		if u.answer(&answer{op: opListNodes, err: inos.Errorf(inos.CodeBusy, "test", "no")}); u.listing || u.again <= k.now || u.wake() != u.again {
			t.Fatalf("page under way %t, tried again in %d us, woken in %d", u.listing, u.again-k.now, u.wake()-k.now)
		}
		k.now = u.again
		if u.act(); !u.listing {
			t.Fatal("it is not")
		}
	}
	if paged(u, false, activeRow("a")); !u.loaded {
		t.Error("the switchboard does not know its members")
	}
}

// The memory performs in one order and answers in another: what is known of a member is what it was written last, and an epoch never falls.
func TestNewestAnswerAboutAMember(t *testing.T) {
	row := func(revision uint64, state inos.MemberState, epoch uint64) *eventpb.Member {
		r := activeRow("n")
		r.Revision, r.State, r.Epoch = revision, uint32(state), epoch
		return r
	}
	set := func(u *memberships, r *eventpb.Member) { u.set(r) }
	page := func(u *memberships, r *eventpb.Member) {
		u.list()
		paged(u, true, r)
		paged(u, false, activeRow("o"))
	}
	joined := func(u *memberships, r *eventpb.Member) {
		u.underWay++
		u.admissions[7] = &admission{node: "n"}
		u.k.serving.table[7] = &served{call: event.NewID(1, [10]byte{}), inner: event.NewID(2, [10]byte{}), effect: event.NodeJoin, peer: "n"}
		u.answer(&answer{op: opAdmit, work: 7, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.AdmitNodeReply{Member: r})}})
	}
	distrusted := func(u *memberships, r *eventpb.Member) {
		u.underWay++
		u.answer(&answer{op: opDistrust, slot: u.slot(u.table["n"]), env: &eventpb.Envelope{Payload: event.Payload(&eventpb.DistrustNodeReply{Epoch: r.Epoch})}})
	}
	type answers struct {
		tell func(*memberships, *eventpb.Member)
		row  *eventpb.Member
	}
	active, draining := inos.MemberActive, inos.MemberDraining
	for name, test := range map[string]struct {
		first, second answers
		state         inos.MemberState
		epoch         uint64
	}{
		"set and set":                  {answers{set, row(2, draining, 1)}, answers{set, row(3, active, 1)}, active, 1},
		"set and set, swapped":         {answers{set, row(3, active, 1)}, answers{set, row(2, draining, 1)}, active, 1},
		"set and an older page":        {answers{set, row(2, draining, 1)}, answers{page, row(1, active, 1)}, draining, 1},
		"set and a newer page":         {answers{set, row(2, draining, 1)}, answers{page, row(3, active, 1)}, active, 1},
		"set and an older admission":   {answers{set, row(2, draining, 1)}, answers{joined, row(1, active, 1)}, draining, 1},
		"set before an older distrust": {answers{set, row(2, draining, 2)}, answers{distrusted, row(0, 0, 1)}, draining, 2},
		"distrusted and an older set":  {answers{distrusted, row(0, 0, 2)}, answers{set, row(2, draining, 1)}, draining, 2},
		"distrusted and an older page": {answers{distrusted, row(0, 0, 2)}, answers{page, row(1, active, 1)}, active, 2},
		"distrusted twice, swapped":    {answers{distrusted, row(0, 0, 3)}, answers{distrusted, row(0, 0, 2)}, active, 3},
	} {
		_, u := pagingNode(t)
		paged(u, false, row(1, active, 1), activeRow("o"))
		test.first.tell(u, test.first.row)
		test.second.tell(u, test.second.row)
		if m := u.table["n"].row; m.State != uint32(test.state) || m.Epoch != test.epoch {
			t.Errorf("%s: the member is %v", name, m)
		}
	}
}

// What an operator is told when another set has followed already: what was done; and the history does not say that it is so now.
func TestOvertakenSetIsNoNews(t *testing.T) {
	k, u := pagingNode(t)
	paged(u, false, activeRow("n"), activeRow("o"))
	newer, older := activeRow("n"), activeRow("n")
	newer.Revision, older.Revision, older.State = 3, 2, uint32(inos.MemberDraining)
	u.set(newer)
	told := len(k.watcher.events)
	if u.set(older); u.table["n"].draining() || len(k.watcher.events) != told {
		t.Errorf("the member drains: %t, and the history has %d lines more", u.table["n"].draining(), len(k.watcher.events)-told)
	}
}

// A doubt about a member while its page may have passed has another walk follow the one under way.
func TestDoubtDuringAWalk(t *testing.T) {
	for _, pages := range []int{0, 1} {
		k, u := pagingNode(t)
		paged(u, false, activeRow("n"), activeRow("o"))
		u.list()
		for range pages {
			paged(u, true, activeRow("n"))
		}
		u.doubted()
		if paged(u, false, activeRow("o")); u.listing {
			t.Fatal("a page too many")
		}
		if u.act(); !u.listing || u.after != "" {
			t.Errorf("behind %d pages: another walk under way %t, after %q", pages, u.listing, u.after)
		}
		if paged(u, false, activeRow("n"), activeRow("o")); u.listAt <= k.now {
			t.Errorf("behind %d pages: a third walk follows", pages)
		}
	}
}

// A mesh of as many members as there may be is loaded in pages, at a cost that grows with their number and not with its square, and a snapshot in the
// middle goes on where it was.
func TestLoadingAllMembers(t *testing.T) {
	k := New()
	k.node.booted, k.node.switchboard, k.node.id, k.now = true, true, "s", 1_000_000
	k.members.boot()
	name := func(i int) string { return fmt.Sprintf("12D3KooW%08d", i) }
	for at := 0; at < inos.MembersMax; {
		u := &k.members
		if !u.listing || at > 0 && string(u.after) != name(at-1) {
			t.Fatalf("a page behind %q is under way: %t, want %q", u.after, u.listing, name(at-1))
		}
		var rows []*eventpb.Member
		for ; len(rows) < membersPage && at < inos.MembersMax; at++ {
			row := activeRow(name(at))
			row.State = uint32(inos.MemberActive) + uint32(at%3)
			rows = append(rows, row)
		}
		paged(u, at < inos.MembersMax, rows...)
		if at == inos.MembersMax/2 {
			restored := New()
			if err := restored.Restore(k.Snapshot()); err != nil {
				t.Fatal(err)
			}
			k = restored
		}
	}
	u := &k.members
	if !u.loaded || len(u.table) != inos.MembersMax || len(u.all()) != inos.MembersMax-inos.MembersMax/3 {
		t.Fatalf("loaded %t with %d members, %d of them not removed", u.loaded, len(u.table), len(u.all()))
	}
	if m := u.table[inos.NodeID(name(5))]; m.row.Grant != nil {
		t.Error("a member's grant is kept, which nobody asks for")
	}
	if n := len(k.Snapshot()); n > 32<<20 {
		t.Errorf("a snapshot has %d bytes", n)
	}
	// All of them in line at once, as when a large mesh starts.
	for _, id := range u.all() {
		k.reconciles.want(id)
		k.inspections.want(id)
		k.collector.sweepNode(id)
		k.repairs.gone(id)
		k.records.nodeGone(id)
	}
	for _, l := range []*nodeLine{&k.reconciles.wanted.ready, &k.inspections.wanted, &k.collector.sweep.wanted, &k.repairs.scan.nodes} {
		if len(l.list) != len(u.all()) {
			t.Errorf("%d nodes are in line, of %d", len(l.list), len(u.all()))
		}
	}
}

// Nodes are shown in pages by id, and what there is to say of the mesh on the first one.
func TestNodesAreShownInPages(t *testing.T) {
	k := New()
	w := newWorld(&pair{t: t, k: k, every: 1000})
	for i := range membersPage {
		w.join(fmt.Sprintf("node-%03d", i), "home", fmt.Sprint("host-", i), "cold", 1<<40)
	}
	w.start()
	w.run(10000)
	list := func(after string, limit uint32) (*eventpb.NodesListReply, *inos.Error) {
		t.Helper()
		e := w.request("t", event.NodesList, &eventpb.NodesListRequest{After: after, Limit: limit})
		w.give(e)
		reply, _ := w.last(e.Id)
		if event.StateOf(reply.EventType) == event.StateFailed {
			return nil, event.FailureOf(reply)
		}
		var r eventpb.NodesListReply
		w.open(reply, &r)
		return &r, nil
	}
	for _, c := range []struct {
		after       string
		limit       uint32
		nodes       int
		first, next string
	}{
		{"", 0, membersPage, "node-000", "node-126"}, // and this one, node-1
		{"", membersPage, membersPage, "node-000", "node-126"},
		{"node-126", 0, 1, "node-127", ""},
		{"", 2, 2, "node-000", "node-001"},
		{"node-001", 2, 2, "node-002", "node-003"},
		{"node-0015", 2, 2, "node-002", "node-003"}, // it is none
		{"node-125", 2, 2, "node-126", ""},
		{"z", 2, 0, "", ""},
	} {
		r, err := list(c.after, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		first := ""
		if len(r.Nodes) > 0 {
			first = r.Nodes[0].Member.Node
		}
		if len(r.Nodes) != c.nodes || first != c.first || r.Next != c.next || (r.Level != "") != (c.after == "") || (r.Survives != "") != (c.after == "") {
			t.Errorf("%d behind %q: %d nodes from %q on, next %q, level %q; want %d from %q on, next %q", c.limit, c.after, len(r.Nodes), first, r.Next, r.Level, c.nodes, c.first, c.next)
		}
	}
	if _, err := list("", membersPage+1); err == nil || err.Code != inos.CodeBadRequest {
		t.Errorf("a page that is too long: %v", err)
	}
}

// The reply to a verification has room for so many nodes: of more, those come first of which a person should know.
func TestNodesOfAVerification(t *testing.T) {
	for _, more := range []int{0, 3} {
		var nodes []*eventpb.NodeVerified
		for i := range nodesVerifiedMax + more {
			nodes = append(nodes, &eventpb.NodeVerified{Node: fmt.Sprintf("n%04d", i), Chunks: 1})
		}
		nodes[len(nodes)-1].Bad, nodes[len(nodes)-2].Error = 1, "the node does not answer"
		var r eventpb.FilesVerifyReply
		nameVerified(&r, nodes)
		if len(r.Nodes) != nodesVerifiedMax || r.NodesLeftOut != uint64(more) {
			t.Fatalf("of %d nodes %d are named and %d left out", nodesVerifiedMax+more, len(r.Nodes), r.NodesLeftOut)
		}
		first, last := r.Nodes[:2], r.Nodes[len(r.Nodes)-2:]
		if more == 0 && (last[0].Error == "" || last[1].Bad != 1) || more > 0 && (first[0].Error == "" || first[1].Bad != 1) {
			t.Errorf("%d too many: first are %v, last are %v", more, first, last)
		}
	}
}
