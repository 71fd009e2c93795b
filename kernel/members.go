package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects of the members.
const (
	opAdmitSelf   = iota + 1 // semantic:admit_node of this node
	opListNodes              // semantic:list_nodes
	opAdmit                  // semantic:admit_node of a newcomer
	opSetAddrs               // semantic:set_node
	opDistrust               // semantic:distrust_node
	opProbe                  // content:usage of a member that did not answer
	opRaiseOrders            // semantic:raise_orders
)

// memberships is what a switchboard knows of the mesh's nodes: what they were granted, from the semantic memory, and whether they
// are alive, from their heartbeats (liveness.go). It says where copies go, in which domains they are, and whom to read from (domains.go).
type memberships struct {
	k          *Kernel
	table      map[inos.NodeID]*member
	loaded     bool // the table is that of the semantic memory
	underWay   uint32
	again      inos.Micros // when to try again what failed at boot
	pause      inos.Micros
	listAt     inos.Micros // when to read the counters of placed bytes again
	listing    bool
	after      inos.NodeID // whom the next page of the members follows; empty: a walk through them begins
	anew       bool        // another walk follows the one under way
	admissions map[uint64]*admission
	next       inos.Micros // the earliest time at which a member's liveness may change
	changedAt  inos.Micros // when the members or their liveness changed last
	strangers  struct {    // the last node that was left alone
		node inos.NodeID
		held uint64
	}

	// They follow from the rest, and are not part of a snapshot.
	unread   int // members that a rebuild has not read whole
	prepared *domains
	order    []inos.NodeID          // of the table
	slots    map[uint64]inos.NodeID // of the order; nil: not made yet
}

// admission is a call of a node that waits to be let in.
type admission struct {
	node inos.NodeID
	beat bool
}

func (u *memberships) init(k *Kernel) {
	u.k = k
	u.table, u.admissions = map[inos.NodeID]*member{}, map[uint64]*admission{}
}

func (u *memberships) about() about {
	return about{name: "members", kind: "watcher", inFlightMax: membersMax}
}

func (u *memberships) hear(*input) {}

func (u *memberships) code(c *coder) {
	if c.reading {
		u.order, u.slots, u.unread = nil, nil, 0
	}
	objects(c, &u.table, membersMax, text[inos.NodeID], func(c *coder, m *member) {
		if m.code(c); c.reading {
			u.countUnread(m, 1)
		}
	})
	c.bool(&u.loaded)
	num(c, &u.underWay)
	num(c, &u.again)
	num(c, &u.pause)
	num(c, &u.listAt)
	c.bool(&u.listing)
	text(c, &u.after)
	c.bool(&u.anew)
	objects(c, &u.admissions, servingMax, num[uint64], func(c *coder, a *admission) {
		text(c, &a.node)
		c.bool(&a.beat)
	})
	num(c, &u.next)
	num(c, &u.changedAt)
	text(c, &u.strangers.node)
	num(c, &u.strangers.held)
}

func (u *memberships) send(op uint8, effect string, m event.Message) {
	u.underWay++
	u.k.send(nil, ask{owner: threadMembers, op: op}, effect, m)
}

func (u *memberships) act() {
	k := u.k
	if !k.node.booted || !k.node.switchboard {
		return
	}
	k.numbering.raise(k)
	if !u.loaded {
		if u.again != 0 && u.again <= k.now {
			u.again = 0
			u.load()
		}
		return
	}
	if u.listAt != 0 && u.listAt <= k.now && !u.listing && !k.node.draining {
		u.list()
	}
	if u.next != 0 && u.next <= k.now {
		u.look()
	}
}

func (u *memberships) wake() (at inos.Micros) {
	if u.loaded && u.next != 0 {
		at = u.k.now + u.interval() // so that a sleep is seen for what it was (sleep.go)
	}
	switch {
	case !u.k.node.switchboard:
		return 0
	case !u.loaded:
		return earlier(u.again, u.k.numbering.wake(u.k))
	case u.listing || u.k.node.draining:
		return earlier(earlier(u.next, u.k.numbering.wake(u.k)), at)
	}
	return earlier(earlier(earlier(u.next, u.listAt), u.k.numbering.wake(u.k)), at)
}

func (u *memberships) answer(a *answer) {
	if a.op == opProbe {
		return // answered has seen it
	}
	u.underWay--
	switch a.op {
	case opAdmitSelf:
		u.admittedSelf(a)
	case opListNodes:
		u.listed(a)
	case opAdmit:
		u.admitted(a)
	case opDistrust:
		u.distrusted(a)
	case opRaiseOrders:
		u.k.numbering.raised(u.k, a)
	}
}

// served takes node:join and node:heartbeat of another node that the host has authenticated; invite is the content of the verified invite
// that came with it, or nil. It returns the reply, or an error, or neither: then serving.replied(work, …) brings one of them.
func (u *memberships) served(work uint64, peer inos.NodeID, invite *eventpb.Invite, inner *eventpb.Envelope) (event.Message, *inos.Error) {
	stage := event.Stage(inner.EventType)
	if !u.loaded || !u.k.started() {
		return nil, again(inos.Errorf(inos.CodeBusy, stage, "the switchboard is starting"))
	}
	m := u.table[peer]
	if inner.EventType == event.NodeJoin {
		var q eventpb.NodeJoinRequest
		if err := event.Open(inner, &q); err != nil {
			return nil, inos.Errorf(inos.CodeBadRequest, stage, "%w", err)
		}
		if err := u.refused(peer, m, invite); err != nil {
			return nil, err
		}
		if err := u.stranger(peer, m, q.Held); err != nil {
			return nil, err
		}
		u.admit(work, &admission{node: peer}, invite, q.Addrs)
		return nil, nil
	}
	var q eventpb.HeartbeatRequest
	if err := event.Open(inner, &q); err != nil {
		return nil, inos.Errorf(inos.CodeBadRequest, stage, "%w", err)
	}
	if u.k.rebuilding.active() {
		u.k.numbering.seen(q.Order)
	}
	switch {
	case m != nil && !m.removed():
		u.beat(m, &q)
	case m == nil && invite != nil && u.grants(invite) == nil && len(u.table) < membersMax:
		if invite.ExpiresUs != 0 && inos.Micros(invite.ExpiresUs) <= u.k.now && u.k.rebuilding.phase == rebuildOff ||
			u.stranger(peer, m, q.Usage.GetChunks()+q.Records) != nil {
			return u.heartbeat(u.interval(), true), nil
		}
		// The map was made anew, and the node was let in before: when the invite expires does not matter any more.
		u.admit(work, &admission{node: peer, beat: true}, invite, q.Addrs)
		return nil, nil
	default:
		return u.heartbeat(u.interval(), true), nil
	}
	return u.heartbeat(u.interval(), false), nil
}

// heartbeat answers a heartbeat.
func (u *memberships) heartbeat(interval inos.Micros, unknown bool) *eventpb.HeartbeatReply {
	r := &eventpb.HeartbeatReply{IntervalUs: int64(interval), Unknown: unknown}
	if u.k.ready() {
		r.Order = u.k.numbering.next(u.k.now)
	}
	return r
}

// stranger refuses a node that the map does not know and that holds something, unless the map is being made again: it came too late for
// that. Let in, what only it knows would have no row, and be trashed.
func (u *memberships) stranger(peer inos.NodeID, m *member, held uint64) *inos.Error {
	if m != nil || held == 0 || u.k.rebuilding.busy() {
		return nil
	}
	if u.strangers.node != peer {
		u.strangers.node, u.strangers.held = peer, held
		u.k.watcher.note(event.NodeJoin, event.StateFailed, "node "+shortID(string(peer))+" "+strangerText(held))
	}
	return inos.Errorf(inos.CodeConflict, "node:join", "the node %s", strangerText(held))
}

func strangerText(held uint64) string {
	return "holds " + plural(held, "chunk or record", "chunks and records") + " of which the map knows nothing: it is left alone. If it belongs to this mesh, start all nodes, " +
		"empty the switchboard's folder and run 'inos rebuild' again; else join with an empty folder"
}

// refused says why an invite lets nobody in.
func (u *memberships) refused(peer inos.NodeID, m *member, invite *eventpb.Invite) *inos.Error {
	refuse := func(format string, args ...any) *inos.Error {
		return inos.Errorf(inos.CodeInviteRefused, "node:join", format, args...)
	}
	switch {
	case invite == nil:
		return refuse("no valid invite came with the call")
	case m != nil && m.removed():
		return refuse("node %s was removed from the mesh", peer)
	case m == nil && invite.ExpiresUs != 0 && inos.Micros(invite.ExpiresUs) <= u.k.now:
		return refuse("the invite expired %s ago", seconds(u.k.now-inos.Micros(invite.ExpiresUs)))
	case m == nil && len(u.table) >= membersMax:
		return refuse("the mesh has %d members, as many as it takes", membersMax)
	}
	return u.grants(invite)
}

// grants checks what an invite grants.
func (u *memberships) grants(i *eventpb.Invite) *inos.Error {
	bad := func(format string, args ...any) *inos.Error {
		return inos.Errorf(inos.CodeInviteRefused, "node:join", format, args...)
	}
	for _, label := range []string{i.Zone, i.Host, i.Operator} {
		if len(label) > labelBytesMax {
			return bad("a label of %d bytes, at most %d", len(label), labelBytesMax)
		}
	}
	switch {
	case i.Id == "" || len(i.Id) > labelBytesMax:
		return bad("the invite has no id")
	case i.Zone == "" || i.Host == "":
		return bad("the invite grants no zone or host")
	case i.Tier != string(inos.TierHot) && i.Tier != string(inos.TierCold):
		return bad("%.64q is no tier: hot or cold", i.Tier)
	case i.OfferedBytes == 0:
		return bad("the invite grants no bytes")
	}
	return nil
}

// admit lets a node in with what its invite grants.
func (u *memberships) admit(work uint64, a *admission, invite *eventpb.Invite, addrs []string) {
	if len(addrs) > inos.MemberAddrsMax {
		addrs = addrs[:inos.MemberAddrsMax]
	}
	u.admissions[work] = a
	u.underWay++
	u.k.send(nil, ask{owner: threadMembers, op: opAdmit, work: work}, event.AdmitNode, &eventpb.AdmitNodeRequest{Invite: invite.Id, Member: &eventpb.Member{
		Node: string(a.node), Operator: invite.Operator, Zone: invite.Zone, Host: invite.Host, Tier: invite.Tier, OfferedBytes: invite.OfferedBytes,
		Addrs: addrs, Grant: event.Payload(invite),
	}})
}

// admitted takes the end of an admission and answers the node.
func (u *memberships) admitted(a *answer) {
	waiting := u.admissions[a.work]
	delete(u.admissions, a.work)
	var r eventpb.AdmitNodeReply
	err := a.err
	if err == nil && (event.Open(a.env, &r) != nil || r.Member == nil) {
		err = inos.Errorf(inos.CodeInternal, "semantic:admit_node", "the reply names no member")
	}
	if err != nil {
		if err.Code == inos.CodeConflict {
			err = inos.Errorf(inos.CodeInviteRefused, "node:join", "%s", err.Message)
		}
		u.k.serving.replied(a.work, nil, err)
		return
	}
	fresh := u.table[waiting.node] == nil
	m := u.learn(r.Member)
	u.listAt = u.k.now + membersEvery
	if fresh {
		u.k.watcher.note(event.NodeJoin, event.StateCompleted, "node "+m.label()+" is a member of the mesh")
	}
	u.heard(m)
	if waiting.beat {
		u.k.serving.replied(a.work, u.heartbeat(heartbeatMin, false), nil)
		return
	}
	u.k.serving.replied(a.work, &eventpb.NodeJoinReply{Member: r.Member}, nil)
}

// moved keeps where a node may be found.
func (u *memberships) moved(m *member, addrs []string) {
	if len(addrs) == 0 || len(addrs) > inos.MemberAddrsMax || equalTexts(addrs, m.row.Addrs) {
		return
	}
	m.row.Addrs = addrs
	u.underWay++
	u.k.send(nil, ask{owner: threadMembers, op: opSetAddrs}, event.SetNode, &eventpb.SetNodeRequest{Node: m.row.Node, Addrs: addrs, SetAddrs: true})
}

func equalTexts(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// ready says that the members are known: nothing is placed before.
func (u *memberships) ready() bool { return u.loaded }

// member returns a member that is not removed, or nil.
func (u *memberships) member(node inos.NodeID) *member {
	if m := u.table[node]; m != nil && !m.removed() {
		return m
	}
	return nil
}

// sorted returns all members that were ever let in, sorted. It is read at every beat and must not be sorted for each; members are never
// forgotten, so that their number tells whether one has come.
func (u *memberships) sorted() []inos.NodeID {
	if len(u.order) != len(u.table) {
		u.order, u.slots = sortedKeys(u.table), nil
	}
	return u.order
}

// all returns the members that are not removed, sorted. A node that decides nothing knows itself.
func (u *memberships) all() (out []inos.NodeID) {
	if !u.k.node.switchboard {
		return []inos.NodeID{u.k.self()}
	}
	for _, id := range u.sorted() {
		if !u.table[id].removed() {
			out = append(out, id)
		}
	}
	return out
}

// has says that a node is among all.
func (u *memberships) has(node inos.NodeID) bool {
	if !u.k.node.switchboard {
		return node == u.k.self()
	}
	return u.member(node) != nil
}

// epoch returns the epoch of a member's copies.
func (u *memberships) epoch(node inos.NodeID) uint64 {
	if m := u.table[node]; m != nil {
		return m.row.Epoch
	}
	return 0
}

// addrs returns where a node may be found.
func (u *memberships) addrs(node inos.NodeID) []string {
	if m := u.table[node]; m != nil {
		return m.row.Addrs
	}
	return nil
}

// set takes a member whose state the operator has changed. A change that another has followed already says nothing any more.
func (u *memberships) set(row *eventpb.Member) *member {
	m := u.learn(row)
	if m.row != row {
		return m
	}
	u.changed()
	u.k.repairs.scan.node(m.id())
	switch {
	case m.draining():
		u.k.watcher.note(event.NodesSet, event.StateProcessing, "node "+m.label()+" is drained: its copies are made elsewhere")
	case m.removed():
		u.k.puts.distrusted(m.id())
		u.k.repairs.distrusted(m.id())
		u.k.watcher.note(event.NodesSet, event.StateCompleted, "node "+m.label()+" is removed from the mesh")
	default:
		u.k.watcher.note(event.NodesSet, event.StateCompleted, "node "+m.label()+" takes copies")
	}
	return m
}

// idle says that nothing is being asked of the semantic memory.
func (u *memberships) idle() bool { return u.underWay == 0 }
