package kernel

import (
	"slices"
	"strconv"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// describe shows a page of the members to an operator, removed ones too, sorted by id, and on the first page the mesh. The totals are those of a lone
// node, whose row is not read again.
func (u *memberships) describe(q *eventpb.NodesListRequest, totals *eventpb.TotalsReply) *eventpb.NodesListReply {
	r := &eventpb.NodesListReply{}
	if q.GetAfter() == "" {
		r.Level = u.level(inos.ReplicasDefault)
		r.Survives, r.Domains = u.newFile()
		r.Stored, r.ChunksShort = u.k.stored(0, totals)
	}
	order, limit := u.sorted(), int(q.GetLimit())
	if limit == 0 {
		limit = membersPage
	}
	at, found := slices.BinarySearch(order, inos.NodeID(q.GetAfter()))
	if found {
		at++
	}
	if page := order[at:]; len(page) > limit {
		order, r.Next = page[:limit], string(page[limit-1])
	} else {
		order = page
	}
	for _, id := range order {
		m := u.table[id]
		n := &eventpb.NodeInfo{
			Member: m.row.CloneVT(), Liveness: liveNames[m.state], SeenUs: int64(m.seen), Usage: m.usage, InFlight: m.load, AuditsPassed: m.passed,
			AuditsFailed: m.failed, Complaints: m.complaints, LatencyUs: int64(m.latency.percentile(50)), Version: m.version, Self: id == u.k.self(),
			Notice: u.notice(m),
		}
		if n.Self {
			c := &u.k.collector.usage
			n.Usage = &eventpb.ContentUsage{Chunks: c.chunks, UsedBytes: c.used, TrashBytes: c.trash, FreeBytes: c.free}
			n.SeenUs, n.Version = int64(u.k.now), u.k.node.version
			if totals != nil {
				n.Member.Copies, n.Member.PlacedBytes = totals.Copies, totals.PlacedBytes
			}
		}
		n.Unchecked = u.unchecked(m)
		r.Nodes = append(r.Nodes, n)
	}
	return r
}

// newFile says for a person what a new file of the default number of replicas would survive, and in how many domains one can be written now.
func (u *memberships) newFile() (text string, open uint32) {
	all, open := u.domains(inos.ReplicasDefault)
	if open == 0 && all > 0 {
		return "cannot be stored now: no node answers and has room", 0
	}
	return u.survives(min(open, inos.ReplicasDefault), inos.ReplicasDefault), open
}

// summarise puts into a status what it says of the mesh.
func (u *memberships) summarise(r *eventpb.NodeStatusReply) {
	r.Survives, _ = u.newFile()
	for _, id := range u.all() {
		r.Members++
		if id == u.k.self() || u.table[id].state == liveAlive {
			r.MembersAlive++
		}
	}
}

// copyInfo shows a copy of a chunk to a person.
func (u *memberships) copyInfo(held *eventpb.Copy) *eventpb.CopyInfo {
	c := &eventpb.CopyInfo{Node: held.Node, Trusted: held.Trusted, AuditedUs: held.AuditedUs}
	if m := u.table[inos.NodeID(held.Node)]; m != nil {
		c.Zone, c.Host, c.Tier, c.Liveness = m.row.Zone, m.row.Host, m.row.Tier, liveNames[m.state]
	}
	return c
}

// unchecked returns how many copies of a member are listed and not confirmed yet: all but those checked, while it is looked through.
func (u *memberships) unchecked(m *member) uint64 {
	checked, _, checking := u.k.reconciles.progress(m.id())
	switch {
	case m.distrust || m.doubtful:
		return m.row.Copies
	case checking:
		return m.row.Copies - min(checked, m.row.Copies)
	}
	return 0
}

// notice says what a person should know of a member.
func (u *memberships) notice(m *member) string {
	count := func(n uint64) string { return strconv.FormatUint(n, 10) }
	checked, lost, checking := u.k.reconciles.progress(m.id())
	switch {
	case m.removed():
		return ""
	case m.draining() && m.row.Copies == 0:
		return "drained: it holds no copy any more"
	case m.draining():
		return "draining: " + plural(m.row.Copies, "copy", "copies") + " left" + u.stuck(m)
	case m.gone:
		return "gone: what it held is made again on other nodes"
	case checking:
		text := "returning: " + count(checked) + " of " + plural(m.row.Copies, "copy", "copies") + " checked"
		if lost > 0 {
			text += ", " + count(lost) + " lost"
		}
		return text
	case m.unread():
		return "a rebuild has not read all that it holds: files may be missing that only it has. Until then nothing new is placed on it, and what is deleted gives no space back on any node. With all nodes up, " +
			"run 'inos rebuild' again; or give those files up with 'inos drain --undo'"
	case m.avoided:
		return "it does not hold what it said: audits failed, and nothing new is placed on it"
	}
	return ""
}
