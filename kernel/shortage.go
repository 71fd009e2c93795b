package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// shortage asks for the repair of chunks that have lost a copy: it looks up where they are left, so that those in the fewest
// domains go first. What does not fit, or fails too often, is found by the scan of the map.
type shortage struct {
	ids      []string
	asking   []string
	underWay bool
	again    inos.Micros
	failures uint32
}

func (u *shortage) code(c *coder) {
	list(c, &u.ids, shortagesMax, text[string])
	list(c, &u.asking, dropsPerCall, text[string])
	for _, l := range [][]string{u.ids, u.asking} {
		for _, id := range l {
			if len(id) != inos.HashBytes {
				c.fail("a chunk id of %d bytes", len(id))
			}
		}
	}
	c.bool(&u.underWay)
	num(c, &u.again)
	num(c, &u.failures)
}

// add notes the chunks of copies that were dropped.
func (u *shortage) add(k *Kernel, keys []string) {
	for _, key := range keys {
		if len(u.ids) >= shortagesMax {
			k.repairs.rescan()
			return
		}
		u.ids = append(u.ids, key[:inos.HashBytes])
	}
}

func (u *shortage) act(k *Kernel) {
	if u.again != 0 && u.again <= k.now {
		u.again = 0
	}
	if u.underWay || u.again != 0 || len(u.ids)+len(u.asking) == 0 || k.repairs.full() {
		return
	}
	if len(u.asking) == 0 {
		n := min(len(u.ids), dropsPerCall)
		u.asking, u.ids = append([]string(nil), u.ids[:n]...), append([]string(nil), u.ids[n:]...)
	}
	q := &eventpb.ChunkStatesRequest{}
	for _, id := range u.asking {
		q.ChunkIds = append(q.ChunkIds, []byte(id))
	}
	u.underWay = true
	k.send(nil, ask{owner: threadLoss, op: opStates}, event.ChunkStates, q)
}

func (u *shortage) answer(k *Kernel, a *answer) {
	u.underWay = false
	var r eventpb.ChunkStatesReply
	switch {
	case a.err != nil && u.failures < retriesMax:
		u.again = k.now + min(retryBackoffMin<<u.failures, retryBackoffMax)
		u.failures++
		return
	case a.err == nil && event.Open(a.env, &r) == nil:
		u.want(k, r.States)
	default:
		k.repairs.rescan() // the map still says it
	}
	u.asking, u.failures = nil, 0
}

// want queues the repairs of the chunks that something reaches.
func (u *shortage) want(k *Kernel, states []*eventpb.ChunkState) {
	var wants []*eventpb.RepairWant
	for _, s := range states {
		if s.Wanted == 0 || s.Condemned {
			continue
		}
		live := k.liveDomains(s)
		if len(s.Copies) == 0 && len(s.ChunkId) == inos.HashBytes {
			k.watcher.note(event.DropCopies, event.StateFailed, "no node holds the chunk "+inos.ChunkID(s.ChunkId).String()+" any more: put its file again")
		}
		wants = append(wants, &eventpb.RepairWant{ChunkId: s.ChunkId, Reason: "lost copy", Live: live})
	}
	k.repairs.wants(wants)
}

// liveDomains counts the domains in which a trusted copy of a chunk is, on nodes that are not dead.
func (k *Kernel) liveDomains(s *eventpb.ChunkState) uint32 {
	var nodes []inos.NodeID
	for _, held := range s.Copies {
		if node := inos.NodeID(held.Node); held.Trusted && !k.members.dead(node) {
			nodes = append(nodes, node)
		}
	}
	if len(nodes) == 0 {
		return 0
	}
	return k.members.distinct(nodes, s.Wanted)
}

// sureDomains counts the domains in which a trusted copy of a chunk is that nothing is held against: its node is alive and answers, and neither is
// drained, named by audits or being compared with the map, nor is the copy in doubt.
func (k *Kernel) sureDomains(s *eventpb.ChunkState) uint32 {
	var nodes []inos.NodeID
	for _, held := range s.Copies {
		m := k.members.member(inos.NodeID(held.Node))
		_, _, comparing := k.reconciles.progress(inos.NodeID(held.Node))
		switch {
		case m == nil || !held.Trusted || !k.members.heeds(m) || m.failures > 0:
		case m.draining() || m.avoided || m.distrust || m.doubtful || comparing || k.losses.holds(m.id(), inos.ChunkID(s.ChunkId)):
		default:
			nodes = append(nodes, m.id())
		}
	}
	if len(nodes) == 0 {
		return 0
	}
	return k.members.distinct(nodes, s.Wanted)
}
