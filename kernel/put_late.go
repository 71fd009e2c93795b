package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Copies that come to be after their chunk's row was sent are added to it in batches, and chunks that stayed short of their copies
// are handed to the repair.

// late collects the copies of chunks whose rows are durable.
type late struct {
	adds     []lateCopy  // wait to be added
	adding   []lateCopy  // semantic:add_copies is under way, of one node and epoch
	since    inos.Micros // when the first of those that wait came
	failures uint32
	again    inos.Micros
}

// lateCopy is a copy that a fanout waits to have named.
type lateCopy struct {
	fanout uint64
	id     inos.ChunkID
	node   inos.NodeID
	epoch  uint64
	// Replicas that its put wants, whose receipt may still name the node; 0: the client has been answered.
	promised uint32
}

// lateShort is a chunk on fewer domains than wanted.
type lateShort struct {
	id   inos.ChunkID
	live uint32
}

func (x *lateShort) code(c *coder) {
	c.fixed(x.id[:])
	num(c, &x.live)
}

func (l *late) code(c *coder) {
	copies := func(s *[]lateCopy) {
		list(c, s, lateMax, func(c *coder, x *lateCopy) {
			num(c, &x.fanout)
			c.fixed(x.id[:])
			text(c, &x.node)
			num(c, &x.epoch)
			num(c, &x.promised)
		})
	}
	copies(&l.adds)
	copies(&l.adding)
	num(c, &l.since)
	num(c, &l.failures)
	num(c, &l.again)
}

func (l *late) idle() bool { return len(l.adds)+len(l.adding) == 0 }

// lateCopies queues the copies of a fanout that its row does not name.
func (u *puts) lateCopies(s *fanout) {
	for _, x := range s.copies {
		if x.state != copyWritten {
			continue
		}
		x.state = copyStaging
		if len(u.lates.adds)+len(u.lates.adding) >= lateMax { // what is under way may come back
			x.state, x.unsure = copyFailed, true // the node is compared with the map
			continue
		}
		l := lateCopy{fanout: s.work, id: s.id, node: x.node, epoch: x.epoch}
		if u.table[s.put] != nil || x.receipt {
			l.promised = s.wanted
		}
		u.lates.adds = append(u.lates.adds, l)
		if u.lates.since == 0 {
			u.lates.since = u.k.now
		}
	}
}

// wantMore has a chunk repaired that is on fewer domains than it wants and the mesh has; of a put that is under way, when it is
// committed: before, nobody knows how many it wants.
func (u *puts) wantMore(p *put, id inos.ChunkID, nodes []inos.NodeID, wanted uint32) {
	k := u.k
	live := k.members.distinct(nodes, wanted)
	if all, _ := k.members.domains(wanted); live >= min(wanted, all) {
		return
	}
	if p != nil && p.phase < putRecording {
		if len(p.shorts) < shortsPerPut {
			p.shorts = append(p.shorts, lateShort{id, live})
		}
		return
	}
	u.wantRepairs(lateShort{id, live})
}

// wantShorts has repaired what a put that is committed has left short. What it could not remember is found by a look at the map.
func (u *puts) wantShorts(p *put) {
	u.wantRepairs(p.shorts...)
	if len(p.shorts) >= shortsPerPut {
		u.k.repairs.rescan()
	}
}

func (u *puts) wantRepairs(shorts ...lateShort) {
	var wants []*eventpb.RepairWant
	for _, s := range shorts {
		wants = append(wants, &eventpb.RepairWant{ChunkId: slices.Clone(s.id[:]), Reason: "short at put", Live: s.live})
	}
	u.k.repairs.wants(wants)
}

// tellLate sends what has waited long enough, or is enough for a batch.
func (u *puts) tellLate() {
	l, k := &u.lates, u.k
	if l.again > k.now || l.since == 0 || l.since+lateEvery > k.now && len(l.adds) < rowsPerStage && !k.node.draining {
		return
	}
	l.again = 0
	if len(l.adding) == 0 && len(l.adds) > 0 {
		q := &eventpb.AddCopiesRequest{Node: string(l.adds[0].node), Epoch: l.adds[0].epoch, Promised: l.adds[0].promised}
		l.adds = slices.DeleteFunc(l.adds, func(x lateCopy) bool {
			if len(l.adding) >= rowsPerStage || string(x.node) != q.Node || x.epoch != q.Epoch || x.promised != q.Promised {
				return false
			}
			l.adding = append(l.adding, x)
			q.ChunkIds = append(q.ChunkIds, x.id[:])
			return true
		})
		k.send(nil, ask{owner: threadPut, op: opAddCopies}, event.AddCopies, q)
	}
	if len(l.adds) == 0 {
		l.since = 0
	}
}

// toldLate takes the end of a batch. One that fails is tried again; an epoch that is over makes its copies count for nothing, and so does a chunk that
// is collected meanwhile.
func (u *puts) toldLate(a *answer) {
	l, k := &u.lates, u.k
	retry := a.err != nil && a.err.Code != inos.CodeConflict && a.err.Code != inos.CodeNodeUnknown && l.failures < retriesMax
	if retry {
		l.again = k.now + min(retryBackoffMin<<l.failures, retryBackoffMax)
		l.failures++
		l.since = k.now
	} else {
		l.failures = 0
	}
	told := l.adding
	l.adding = nil
	if retry {
		l.adds = append(told, l.adds...)
		return
	}
	var r eventpb.AddCopiesReply
	if a.err == nil {
		_ = event.Open(a.env, &r)
	}
	for _, c := range told {
		s := u.fanouts[c.fanout]
		if s == nil {
			continue
		}
		if x := s.copy(c.node); x != nil && x.state == copyStaging {
			x.state = copyNamed
			if !slices.ContainsFunc(r.Taken, func(id []byte) bool { return string(id) == string(c.id[:]) }) {
				x.state, x.unsure = copyFailed, true // its row is gone, or about to go: nothing but a sweep finds the copy
			}
		}
		u.settleFanout(s, u.table[s.put])
	}
}

// wakeLate returns when tellLate wants to be called.
func (u *puts) wakeLate() (at inos.Micros) {
	l := &u.lates
	if len(l.adds) > 0 && len(l.adding) == 0 {
		return max(l.since+lateEvery, l.again)
	}
	return 0
}
