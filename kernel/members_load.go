package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// A switchboard reads its members in pages, by id, when it starts and now and then for their counters, while nodes join, leave and beat. Nobody is
// lost or doubled by that. Rows are never deleted and ids never change: the page behind an id has everybody with a greater one who is there
// when it is read, whatever came before it or has happened since; and the table is kept by id, so that who comes twice is one member. Who is let
// in meanwhile is in the table by the reply to the admission, on whichever side of the walk its id lies. An admission of which this kernel hears nothing,
// for the one before it has asked for it, may lie behind the walk: that node's heartbeat is answered as a stranger's, and it is let in as what it is.
// A page tells of its members as they were when it was read, and so does the reply to each change of one; the memory performs in one order and answers in
// another. A row's revision tells which is the newer: an older one is passed over, and an epoch never falls. Heartbeats and liveness are in no row. And until the last page has come nobody is served: a switchboard that knows half of
// its members would take the others for strangers, and their copies for lost.

// boot lets a switchboard that holds chunks into its own mesh and loads the members. A provider has none.
func (u *memberships) boot() {
	u.pause = retryBackoffMin
	u.load()
}

func (u *memberships) load() {
	n := &u.k.node
	switch {
	case !n.switchboard:
		u.loaded = true
	case u.after != "":
		u.list() // on from where it was
	case n.provider:
		u.send(opAdmitSelf, event.AdmitNode, &eventpb.AdmitNodeRequest{Member: &eventpb.Member{
			Node: n.id, Operator: n.operator, Zone: n.zone, Host: n.host, Tier: tierOf(n.tier), OfferedBytes: n.offered, Addrs: n.addrs,
		}})
	default:
		u.list()
	}
}

// tierOf returns a tier; of a node that names none it is cold.
func tierOf(tier string) string {
	if tier == string(inos.TierHot) {
		return tier
	}
	return string(inos.TierCold)
}

// list asks for the next page of the members.
func (u *memberships) list() {
	u.listing = true
	u.send(opListNodes, event.ListNodes, &eventpb.ListNodesRequest{After: string(u.after), Limit: membersPage})
}

// doubted has the members read again at once, or behind the walk that is under way: that may have passed whom it is about.
func (u *memberships) doubted() { u.listAt, u.anew = u.k.now, u.listing || u.after != "" }

// admittedSelf takes this node's membership. A node that was removed is a switchboard that holds no chunks any more.
func (u *memberships) admittedSelf(a *answer) {
	if a.err != nil && a.err.Code != inos.CodeConflict {
		u.later()
		return
	}
	u.list()
}

// later tries to load the members again after a pause.
func (u *memberships) later() {
	u.again = u.k.now + u.pause
	u.pause = min(2*u.pause, retryBackoffMax)
}

// listed takes a page of the members from the semantic memory. One that was refused, was lost or makes no sense is asked for once more: the walk goes on
// from where it was.
func (u *memberships) listed(a *answer) {
	u.listing = false
	var r eventpb.ListNodesReply
	if a.err != nil || event.Open(a.env, &r) != nil || !u.follows(&r) {
		if u.listAt = u.k.now + retryBackoffMax; !u.loaded {
			u.later()
		}
		return
	}
	u.pause = retryBackoffMin
	for _, row := range r.Members {
		id := inos.NodeID(row.Node)
		if len(u.table) < membersMax || u.table[id] != nil {
			u.learn(row)
		}
	}
	if r.More {
		u.after, u.listAt = inos.NodeID(r.Members[len(r.Members)-1].Node), u.k.now
		if !u.k.node.draining {
			u.list()
		}
		return
	}
	u.after, u.listAt = "", 0
	if !u.loaded {
		u.begin()
	}
	if !u.k.lone() { // of the own disk the collector knows all there is to know
		u.listAt = u.k.now + membersEvery + membersEvery*inos.Micros(len(u.table))/64
	}
	if u.anew {
		u.listAt, u.anew = u.k.now, false
	}
}

// follows says that a page holds members behind the one that it was asked for, in order, and some if others follow.
func (u *memberships) follows(r *eventpb.ListNodesReply) bool {
	last := string(u.after)
	for _, row := range r.Members {
		if row.Node <= last {
			return false
		}
		last = row.Node
	}
	return !r.More || len(r.Members) > 0
}

// begin says that all members are known. None could be heard of before, however long that took: their silence begins now.
func (u *memberships) begin() {
	u.loaded = true
	for _, id := range u.sorted() {
		u.table[id].seen = u.k.now
	}
	u.changed()
	u.look()
}

// learn takes what the semantic memory says of a member, unless something newer is known.
func (u *memberships) learn(row *eventpb.Member) *member {
	id := inos.NodeID(row.Node)
	m := u.table[id]
	if m == nil {
		m = u.newMember()
		u.table[id] = m
	}
	old := m.row
	if row.Revision < old.Revision {
		return m
	}
	row.Epoch = max(row.Epoch, old.Epoch)
	if old.State != row.State || old.Zone != row.Zone || old.Host != row.Host || old.OfferedBytes != row.OfferedBytes || old.Epoch != row.Epoch {
		u.changed()
	}
	u.countUnread(m, -1)
	m.row, row.Grant = row, nil // nobody asks for it here, and there may be many
	u.countUnread(m, 1)
	if leaves := m.draining() || m.removed(); leaves && old.State != row.State {
		u.k.records.nodeGone(id) // its commit records are written elsewhere; a kernel that begins asks once more
	}
	if id == u.k.self() {
		m.state = liveAlive
	}
	return m
}

func (u *memberships) countUnread(m *member, by int) {
	if m.unread() {
		u.unread += by
	}
}

// changed says that placement has to be prepared anew, and that the map may be short or misplaced by other standards.
func (u *memberships) changed() {
	u.prepared = nil
	u.changedAt = u.k.now
}
