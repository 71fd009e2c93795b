package datatest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
)

// memberOf is a member as an invite lets it in.
func memberOf(id inos.NodeID) inos.Member {
	return inos.Member{
		ID: id, Operator: "ann", Zone: "zone of " + string(id), Host: "host of " + string(id), Tier: inos.TierCold, OfferedBytes: 1 << 40,
		Addrs: []string{"/ip4/127.0.0.1/tcp/4001/p2p/" + string(id)}, Grant: []byte("grant of " + string(id)),
	}
}

// failer is what *testing.T and *rapid.T share.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// admit lets nodes in, each by an invite of its own.
func admit(t failer, m inos.Semantic, nodes ...inos.NodeID) {
	t.Helper()
	for _, node := range nodes {
		if _, err := m.AdmitNode(background, memberOf(node), "invite of "+string(node), 1); err != nil {
			t.Fatalf("admit %s: %v", node, err)
		}
	}
}

// memberCases are the cases of who belongs to the mesh, and of what their copies are worth.
var memberCases = []semanticCase{
	{"a member is let in once by its invite", semanticAdmit},
	{"a node that nobody let in holds nothing", semanticStrangers},
	{"members are listed in pages", semanticListNodes},
	{"members have states, and a removed one does not come back", semanticSetNode},
	{"the ceiling of orders only rises", semanticOrders},
	{"a removed member's copies are gone from the map", semanticRemoveNode},
	{"the counters of a member follow its copies", semanticCounters},
	{"distrust begins an epoch that copies are confirmed into", semanticEpochs},
	{"copies are added to chunks that are not on their way out", semanticAddCopies},
	{"what receipts may name is known of copies", semanticPromised},
	{"a proof counts in its epoch", semanticAudits},
	{"a copy is retired while trusted ones are kept", semanticRetire},
	{"the verbs of the mesh end with their context and with the memory", semanticMeshEnds},
	{"repairs, audits and records go on from many goroutines", semanticMeshConcurrent},
}

func members(t testing.TB, m inos.Semantic) map[inos.NodeID]inos.Member {
	t.Helper()
	all := pagesOfMembers(t, m, 2)
	byID := map[inos.NodeID]inos.Member{}
	for _, member := range all {
		byID[member.ID] = member
	}
	if !slices.IsSortedFunc(all, func(a, b inos.Member) int { return compareNodes(a.ID, b.ID) }) || len(byID) != len(all) {
		t.Fatalf("members %v are not sorted, or one is listed twice", all)
	}
	return byID
}

func compareNodes(a, b inos.NodeID) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// wantCopies compares the copies of a chunk, written as node, a star when trusted, @ and the time of the last proof.
func wantCopies(t testing.TB, m inos.Semantic, id inos.ChunkID, want string) {
	t.Helper()
	copies, err := m.ChunkCopies(background, []inos.ChunkID{id})
	if err != nil {
		t.Fatal(err)
	}
	if got := briefCopies(copies[0]); got != want {
		t.Fatalf("copies of %.8s: got %q, want %q", id, got, want)
	}
}

func briefCopies(copies []inos.Copy) (s string) {
	for i, c := range copies {
		if i > 0 {
			s += " "
		}
		s += string(c.Node)
		if c.Trusted {
			s += "*"
		}
		if c.AuditedAt != 0 {
			s += fmt.Sprint("@", c.AuditedAt)
		}
	}
	return s
}

func epochOf(t testing.TB, m inos.Semantic, node inos.NodeID) uint64 {
	t.Helper()
	return members(t, m)[node].Epoch
}

func semanticAdmit(t *testing.T, m inos.Semantic) {
	before := len(members(t, m))
	n := memberOf("new")
	n.State, n.Epoch, n.Copies, n.PlacedBytes, n.JoinedAt = inos.MemberRemoved, 77, 5, 500, 3
	got, err := m.AdmitNode(background, n, "i1", 42)
	must(t, err)
	want := memberOf("new")
	want.State, want.Epoch, want.JoinedAt, want.Revision = inos.MemberActive, got.Epoch, 42, got.Revision
	equal(t, "admitted", fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want))
	want.Grant = nil // a list has no grants
	equal(t, "listed", fmt.Sprintf("%+v", members(t, m)["new"]), fmt.Sprintf("%+v", want))
	want.Grant = got.Grant
	// It comes again: only its addresses change, and none leaves them.
	again := memberOf("new")
	again.Zone, again.OfferedBytes, again.Addrs = "elsewhere", 1, []string{"/ip4/10.0.0.1/tcp/1"}
	want.Addrs = again.Addrs
	for _, addrs := range [][]string{again.Addrs, nil} {
		again.Addrs = addrs
		got, err = m.AdmitNode(background, again, "i1", 43)
		must(t, err)
		equal(t, "the revision has risen", got.Revision > want.Revision, addrs != nil)
		want.Revision = got.Revision
		equal(t, "admitted again", fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want))
	}
	_, err = m.AdmitNode(background, memberOf("other"), "i1", 44)
	wantCode(t, err, inos.CodeConflict)
	// Nodes that call let themselves in without an invite, as many as there are.
	for _, self := range []inos.NodeID{"self1", "self2"} {
		_, err = m.AdmitNode(background, memberOf(self), "", 1)
		must(t, err)
	}
	equal(t, "members", len(members(t, m)), before+3)
	for name, spoil := range map[string]func(*inos.Member){
		"no id":              func(m *inos.Member) { m.ID = "" },
		"no tier":            func(m *inos.Member) { m.Tier = "" },
		"an unknown tier":    func(m *inos.Member) { m.Tier = "warm" },
		"too many addresses": func(m *inos.Member) { m.Addrs = make([]string, inos.MemberAddrsMax+1) },
		"an empty address":   func(m *inos.Member) { m.Addrs = []string{""} },
		"too much offered":   func(m *inos.Member) { m.OfferedBytes = 1 << 63 },
		"a long grant":       func(m *inos.Member) { m.Grant = make([]byte, 1<<20) },
		"a zone not UTF-8":   func(m *inos.Member) { m.Zone = "\xff" },
	} {
		bad := memberOf("bad")
		spoil(&bad)
		if _, err := m.AdmitNode(background, bad, "i9", 1); inos.CodeOf(err) != inos.CodeBadRequest {
			t.Errorf("%s: %v, want bad_request", name, err)
		}
	}
}

func semanticStrangers(t *testing.T, m inos.Semantic) {
	d := dataRow(1)
	commit(t, m, "ann", "/a", "1", 1, d)
	before, err := m.Totals(background)
	must(t, err)
	strange := dataRow(2)
	strange.Nodes = []inos.NodeID{"a", "stranger"}
	refused := func() {
		t.Helper()
		wantCode(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{strange}, 1), inos.CodeNodeUnknown)
		root := nodeRow(2, strange)
		_, _, err := m.CommitFile(background, "u", fileOf("ann", "/b", root), []inos.ChunkRow{strange, root}, inos.Quota{}, keyOf("2"), 1)
		wantCode(t, err, inos.CodeNodeUnknown)
		for _, call := range []func() error{
			func() error { _, err := m.AddCopies(background, "stranger", 1, nil, 0); return err },
			func() error { _, err := m.ConfirmCopies(background, "stranger", 1, nil); return err },
			func() error { _, err := m.DistrustNode(background, "stranger"); return err },
			func() error {
				_, err := m.SettleRecord(background, inos.RecordKey{Owner: "ann", Path: "/a", Version: 1}, inos.ChunkID{1}, []inos.NodeID{"a", "stranger"}, true)
				return err
			},
		} {
			wantCode(t, call(), inos.CodeNodeUnknown)
		}
		after, err := m.Totals(background)
		must(t, err)
		equal(t, "totals", after, before)
	}
	_, err = m.SetNode(background, "stranger", inos.MemberDraining, nil)
	wantCode(t, err, inos.CodeNodeUnknown)
	refused()
	equal(t, "copies of a", members(t, m)["a"].Copies, 0)
	// A removed member is one too; a draining one is not.
	admit(t, m, "stranger")
	_, err = m.SetNode(background, "stranger", inos.MemberRemoved, nil)
	must(t, err)
	refused()
	_, err = m.SetNode(background, "a", inos.MemberDraining, nil)
	must(t, err)
	strange.Nodes = []inos.NodeID{"a"}
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{strange}, 1))
	// A row that is known brings no node, whoever it names.
	strange.Known, strange.Nodes = true, []inos.NodeID{"stranger"}
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{strange}, 1))
	wantCopies(t, m, strange.Entry.ChunkID, "a*")
}

func semanticSetNode(t *testing.T, m inos.Semantic) {
	set := func(state inos.MemberState, addrs []string, wantState inos.MemberState, wantAddrs string) {
		t.Helper()
		before := members(t, m)["a"].Revision
		got, err := m.SetNode(background, "a", state, addrs)
		must(t, err)
		equal(t, "the revision has risen", got.Revision > before, state != 0 || addrs != nil)
		equal(t, "state", got.State, wantState)
		equal(t, "addresses", fmt.Sprint(got.Addrs), wantAddrs)
		got.Grant = nil // a list has no grants
		equal(t, "listed", fmt.Sprintf("%+v", members(t, m)["a"]), fmt.Sprintf("%+v", got))
	}
	first := fmt.Sprint(memberOf("a").Addrs)
	set(inos.MemberDraining, nil, inos.MemberDraining, first)
	set(0, []string{"/x"}, inos.MemberDraining, "[/x]")
	set(inos.MemberActive, nil, inos.MemberActive, "[/x]")
	set(0, nil, inos.MemberActive, "[/x]")
	set(inos.MemberDraining, []string{}, inos.MemberDraining, "[]")
	set(inos.MemberRemoved, nil, inos.MemberRemoved, "[]")
	set(inos.MemberRemoved, []string{"/y"}, inos.MemberRemoved, "[/y]")
	for _, state := range []inos.MemberState{inos.MemberActive, inos.MemberDraining} {
		_, err := m.SetNode(background, "a", state, nil)
		wantCode(t, err, inos.CodeConflict)
	}
	for _, invite := range []string{"invite of a", "another", ""} {
		_, err := m.AdmitNode(background, memberOf("a"), invite, 9)
		wantCode(t, err, inos.CodeConflict)
	}
	_, err := m.AdmitNode(background, memberOf("heir"), "invite of a", 9)
	wantCode(t, err, inos.CodeConflict)
	unread, err := m.SetNode(background, "b", inos.MemberUnread, nil)
	must(t, err)
	equal(t, "state", unread.State, inos.MemberUnread)
	_, err = m.AddCopies(background, "b", unread.Epoch, nil, 0) // it is a member
	must(t, err)
	_, err = m.SetNode(background, "b", inos.MemberUnread+1, nil)
	wantCode(t, err, inos.CodeBadRequest)
	_, err = m.SetNode(background, "b", 0, make([]string, inos.MemberAddrsMax+1))
	wantCode(t, err, inos.CodeBadRequest)
}

func semanticRemoveNode(t *testing.T, m inos.Semantic) {
	// More copies than one transaction drops, some of them of chunks that are on their way out.
	rows := make([]inos.ChunkRow, 2500)
	for i := range rows {
		rows[i] = dataRow(1000 + i)
		rows[i].Nodes = []inos.NodeID{"a", "b"}
	}
	must(t, m.StageChunks(background, "big", "ann", rows, 1))
	must(t, m.StageChunks(background, "kept", "ann", rows[:2000], 1))
	_, err := m.AbortUpload(background, "big")
	must(t, err)
	condemned, err := m.CondemnChunks(background, 0)
	must(t, err)
	equal(t, "condemned", len(condemned), 500)
	got, err := m.SetNode(background, "a", inos.MemberRemoved, nil)
	must(t, err)
	equal(t, "copies", got.Copies, 0)
	equal(t, "placed bytes", got.PlacedBytes, 0)
	wantCopies(t, m, rows[0].Entry.ChunkID, "b*")
	wantCopies(t, m, condemned[0].ID, "b*")
	ids, end, err := m.NodeChunks(background, "a", inos.ChunkID{}, 10)
	must(t, err)
	equal(t, "chunks of a", len(ids), 0)
	equal(t, "end", end, true)
	equal(t, "copies of b", members(t, m)["b"].Copies, 2500)
}

func semanticCounters(t *testing.T, m inos.Semantic) {
	want := func(node inos.NodeID, copies, bytes uint64) {
		t.Helper()
		got := members(t, m)[node]
		equal(t, "copies of "+string(node), got.Copies, copies)
		equal(t, "placed bytes of "+string(node), got.PlacedBytes, bytes)
		var sum inos.Totals
		for _, member := range members(t, m) {
			sum.Copies, sum.PlacedBytes = sum.Copies+member.Copies, sum.PlacedBytes+member.PlacedBytes
		}
		totals, err := m.Totals(background)
		must(t, err)
		equal(t, "copies on all nodes", totals.Copies, sum.Copies)
		equal(t, "placed bytes of all nodes", totals.PlacedBytes, sum.PlacedBytes)
	}
	d1, d2 := dataRow(1), dataRow(2)
	d1.Nodes, d2.Nodes = []inos.NodeID{"a", "b", "a"}, []inos.NodeID{"a"}
	s1, s2 := d1.Entry.StoredBytes, d2.Entry.StoredBytes
	node := nodeRow(1, d1, d2)
	node.Nodes = []inos.NodeID{"a", "b"}
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{d1, d2, node}, 1))
	want("a", 3, s1+s2) // a manifest node is a copy; its length is not known
	want("b", 2, s1)
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{d1, d2, node}, 1))
	want("a", 3, s1+s2)
	_, err := m.AddCopies(background, "b", epochOf(t, m, "b"), []inos.ChunkID{d2.Entry.ChunkID, d1.Entry.ChunkID}, 0)
	must(t, err)
	want("b", 3, s1+s2)
	_, err = m.DropCopies(background, "a", []inos.ChunkID{d1.Entry.ChunkID, d1.Entry.ChunkID, {9}})
	must(t, err)
	want("a", 2, s2)
	// The bytes of a manifest node are stored as data too: now their length is known, of the copies before as well.
	both := inos.ChunkRow{Entry: node.Entry, Nodes: []inos.NodeID{"c"}}
	both.Entry.PlainBytes, both.Entry.StoredBytes, both.Entry.Chunks = 160, 90, 1
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{both}, 1))
	want("a", 2, s2+90)
	want("b", 3, s1+s2+90)
	want("c", 1, 90)
	node.Nodes = []inos.NodeID{"node-a"}
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{node}, 1))
	want("node-a", 1, 90)
	// What is refused is not counted.
	lost := nodeRow(2, dataRow(3))
	lost.Nodes = []inos.NodeID{"a"}
	wantCode(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{dataRow(4), d1, lost}, 1), inos.CodeConflict)
	want("a", 2, s2+90)
	_, err = m.AbortUpload(background, "u")
	must(t, err)
	collect(t, m)
	for _, node := range []inos.NodeID{"a", "b", "c", "node-a"} {
		want(node, 0, 0)
	}
}

func semanticOrders(t *testing.T, m inos.Semantic) {
	highest := uint64(0)
	for _, ceiling := range []uint64{1, 7, 7, 6, 8, inos.OrdersMax, 9} {
		before, err := m.RaiseOrders(background, ceiling)
		must(t, err)
		equal(t, "the ceiling before", before, highest)
		highest = max(highest, ceiling)
	}
	for _, ceiling := range []uint64{0, inos.OrdersMax + 1} {
		_, err := m.RaiseOrders(background, ceiling)
		wantCode(t, err, inos.CodeBadRequest)
	}
	before, err := m.RaiseOrders(background, 1)
	must(t, err)
	equal(t, "the ceiling", before, uint64(inos.OrdersMax))
}

func semanticEpochs(t *testing.T, m inos.Semantic) {
	d1, d2, d3 := dataRow(1), dataRow(2), dataRow(3)
	d1.Nodes, d2.Nodes = []inos.NodeID{"a", "b"}, []inos.NodeID{"a"}
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{d1, d2, d3}, 1))
	id1, id2, id3 := d1.Entry.ChunkID, d2.Entry.ChunkID, d3.Entry.ChunkID
	first := epochOf(t, m, "a")
	must(t, m.AuditCopies(background, "a", first, []inos.ChunkID{id1, id2}, 50))
	wantCopies(t, m, id1, "a*@50 b*")
	epoch, err := m.DistrustNode(background, "a")
	must(t, err)
	equal(t, "the next epoch", epoch, first+1)
	equal(t, "the member's epoch", epochOf(t, m, "a"), epoch)
	equal(t, "the other member's epoch", epochOf(t, m, "b"), first)
	wantCopies(t, m, id1, "a b*")
	wantCopies(t, m, id2, "a")
	for _, over := range []uint64{first, epoch + 1} {
		_, err = m.ConfirmCopies(background, "a", over, []inos.ChunkID{id1})
		wantCode(t, err, inos.CodeConflict)
		_, err = m.AddCopies(background, "a", over, []inos.ChunkID{id1}, 0)
		wantCode(t, err, inos.CodeConflict)
	}
	wantCopies(t, m, id1, "a b*")
	unlisted, err := m.ConfirmCopies(background, "a", epoch, []inos.ChunkID{id3, id1, {7}})
	must(t, err)
	equal(t, "unlisted", fmt.Sprint(unlisted), fmt.Sprint([]inos.ChunkID{id3, {7}}))
	wantCopies(t, m, id1, "a* b*") // what was proved before is to be proved again
	wantCopies(t, m, id2, "a")
	wantCopies(t, m, id3, "node-a*")
	// Staging with the node confirms, and so does adding; the counters do not move.
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{d2}, 1))
	wantCopies(t, m, id2, "a*")
	equal(t, "copies", members(t, m)["a"].Copies, 2)
	epoch, err = m.DistrustNode(background, "a")
	must(t, err)
	taken, err := m.AddCopies(background, "a", epoch, []inos.ChunkID{id2}, 0)
	must(t, err)
	equal(t, "taken", fmt.Sprint(taken), fmt.Sprint([]inos.ChunkID{id2}))
	wantCopies(t, m, id2, "a*")
	wantCopies(t, m, id1, "a b*")
	equal(t, "copies", members(t, m)["a"].Copies, 2)
}

// A put promises what is known of its chunk when it is staged; a repair promises nothing.
func semanticPromised(t *testing.T, m inos.Semantic) {
	d := dataRow(1)
	id := d.Entry.ChunkID
	want := func(what, want string) {
		t.Helper()
		copies, err := m.ChunkCopies(background, []inos.ChunkID{id})
		must(t, err)
		var got []string
		for _, c := range copies[0] {
			got = append(got, fmt.Sprintf("%s %d", c.Node, c.Promised))
		}
		equal(t, what, strings.Join(got, ", "), want)
	}
	commit(t, m, "ann", "/a", "1", 1, d)
	want("a row without a promise", "node-a 0")
	d.Promised, d.Nodes = 3, []inos.NodeID{"a", "b"}
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{d}, 1))
	want("a put's", "a 3, b 3, node-a 3")
	_, err := m.AddCopies(background, "c", epochOf(t, m, "c"), []inos.ChunkID{id}, 0)
	must(t, err)
	d.Promised, d.Nodes, d.Known = 2, nil, true
	want("one that is adopted", "a 3, b 3, c 0, node-a 3")
	must(t, m.StageChunks(background, "u2", "ann", []inos.ChunkRow{d}, 1))
	want("a put that found it and wants fewer", "a 2, b 2, c 2, node-a 2")
	_, err = m.AddCopies(background, "c", epochOf(t, m, "c"), []inos.ChunkID{id}, 5)
	must(t, err)
	want("a late copy of a put that wants more", "a 2, b 2, c 2, node-a 2")
	epoch, err := m.DistrustNode(background, "a")
	must(t, err)
	must(t, m.AuditCopies(background, "b", epochOf(t, m, "b"), []inos.ChunkID{id}, 7))
	_, err = m.ConfirmCopies(background, "a", epoch, []inos.ChunkID{id})
	must(t, err)
	_, err = m.AddCopies(background, "node-a", epochOf(t, m, "node-a"), []inos.ChunkID{id}, 0)
	must(t, err)
	want("distrusted, confirmed, proved, added again", "a 2, b 2, c 2, node-a 2")
	_, err = m.DropCopies(background, "a", []inos.ChunkID{id})
	must(t, err)
	_, err = m.AddCopies(background, "a", epoch, []inos.ChunkID{id}, 0)
	must(t, err)
	want("lost, and there again", "a 0, b 2, c 2, node-a 2")
}

func semanticAddCopies(t *testing.T, m inos.Semantic) {
	d, gone := dataRow(1), dataRow(2)
	commit(t, m, "ann", "/a", "1", 1, d)
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{gone}, 1))
	_, err := m.AbortUpload(background, "u")
	must(t, err)
	condemned, err := m.CondemnChunks(background, 0)
	must(t, err)
	equal(t, "condemned", len(condemned), 1)
	id := d.Entry.ChunkID
	for range 2 {
		taken, err := m.AddCopies(background, "b", epochOf(t, m, "b"), []inos.ChunkID{gone.Entry.ChunkID, id, {5}, id}, 0)
		must(t, err)
		equal(t, "taken", fmt.Sprint(taken), fmt.Sprint([]inos.ChunkID{id, id}))
		wantCopies(t, m, id, "b* node-a*")
		wantCopies(t, m, gone.Entry.ChunkID, "node-a*")
	}
	_, err = m.AddCopies(background, "b", 1, make([]inos.ChunkID, 5000), 0)
	wantCode(t, err, inos.CodeBadRequest)
	_, err = m.ConfirmCopies(background, "b", 1, make([]inos.ChunkID, 5000))
	wantCode(t, err, inos.CodeBadRequest)
	wantCode(t, m.AuditCopies(background, "b", 1, make([]inos.ChunkID, 5000), 1), inos.CodeBadRequest)
	n, err := m.ForgetChunks(background, condemned)
	must(t, err)
	equal(t, "forgotten: nothing has renewed it", n, 1)
}

func semanticAudits(t *testing.T, m inos.Semantic) {
	d := dataRow(1)
	d.Nodes = []inos.NodeID{"a", "b"}
	id := d.Entry.ChunkID
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{d}, 1))
	first := epochOf(t, m, "a")
	must(t, m.AuditCopies(background, "a", first, []inos.ChunkID{{3}, id}, 10))
	must(t, m.AuditCopies(background, "c", first, []inos.ChunkID{id}, 10)) // holds none
	wantCopies(t, m, id, "a*@10 b*")
	must(t, m.AuditCopies(background, "a", first, []inos.ChunkID{id}, 20))
	wantCopies(t, m, id, "a*@20 b*")
	// Staged or added anew in the same epoch it stays proved; dropped and added it does not.
	must(t, m.StageChunks(background, "u", "ann", []inos.ChunkRow{d}, 1))
	_, err := m.AddCopies(background, "a", first, []inos.ChunkID{id}, 0)
	must(t, err)
	wantCopies(t, m, id, "a*@20 b*")
	_, err = m.DropCopies(background, "a", []inos.ChunkID{id})
	must(t, err)
	_, err = m.AddCopies(background, "a", first, []inos.ChunkID{id}, 0)
	must(t, err)
	wantCopies(t, m, id, "a* b*")
	// A proof of an epoch that is over, and one that comes before the copy is confirmed, count for nothing.
	epoch, err := m.DistrustNode(background, "a")
	must(t, err)
	must(t, m.AuditCopies(background, "a", first, []inos.ChunkID{id}, 30))
	must(t, m.AuditCopies(background, "a", epoch, []inos.ChunkID{id}, 31))
	wantCopies(t, m, id, "a b*")
	_, err = m.ConfirmCopies(background, "a", epoch, []inos.ChunkID{id})
	must(t, err)
	wantCopies(t, m, id, "a* b*")
}

func semanticRetire(t *testing.T, m inos.Semantic) {
	d := dataRow(1)
	d.Nodes = []inos.NodeID{"a", "b", "c"}
	id := d.Entry.ChunkID
	commit(t, m, "ann", "/a", "1", 1, d)
	generation := func() uint64 {
		states, err := m.ChunkStates(background, []inos.ChunkID{id})
		must(t, err)
		return states[0].Generation
	}
	retire := func(generation uint64, node inos.NodeID, code inos.Code, keep ...inos.NodeID) {
		t.Helper()
		err := m.RetireCopy(background, id, generation, node, keep)
		if code == 0 {
			must(t, err)
			return
		}
		wantCode(t, err, code)
	}
	audit := func(node inos.NodeID, epoch uint64) {
		t.Helper()
		must(t, m.AuditCopies(background, node, epoch, []inos.ChunkID{id}, 7))
	}
	g := generation()
	retire(g, "a", inos.CodeConflict, "b", "c") // nobody has proved anything
	audit("b", 1)
	retire(g, "a", inos.CodeConflict, "b", "c")
	audit("c", 1)
	retire(g, "a", inos.CodeBadRequest)
	retire(g, "a", inos.CodeBadRequest, "b", "a")
	retire(g, "a", inos.CodeConflict, "b", "node-a")
	retire(g, "a", inos.CodeConflict, "stranger")
	retire(g-1, "a", inos.CodeConflict, "b", "c")
	retire(g+1, "a", inos.CodeConflict, "b", "c")
	epoch, err := m.DistrustNode(background, "c")
	must(t, err)
	retire(g, "a", inos.CodeConflict, "b", "c")
	wantCopies(t, m, id, "a* b*@7 c")
	_, err = m.ConfirmCopies(background, "c", epoch, []inos.ChunkID{id})
	must(t, err)
	retire(g, "a", inos.CodeConflict, "b", "c") // it says that it holds the copy again, and has not proved it
	audit("c", epoch)
	equal(t, "the generation moves with references alone", generation(), g)
	for range 2 { // again it changes nothing
		retire(g, "a", 0, "b", "c")
		wantCopies(t, m, id, "b*@7 c*@7")
	}
	equal(t, "copies of a", members(t, m)["a"].Copies, 0)
	// A new reference makes the order void.
	commit(t, m, "bob", "/b", "2", 2, d)
	retire(g, "b", inos.CodeConflict, "c")
	wantCode(t, m.RetireCopy(background, inos.ChunkID{4}, 1, "b", []inos.NodeID{"c"}), inos.CodeConflict)
	// One that is not trusted goes as well as any.
	_, err = m.DistrustNode(background, "b")
	must(t, err)
	retire(generation(), "b", 0, "c")
}
