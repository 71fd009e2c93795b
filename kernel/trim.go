package kernel

import (
	"cmp"
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// trims takes surplus copies away, one at a time: those that a node's return or a drain has left. A copy goes only while as many domains as are
// wanted hold others that are trusted, alive and proved by an audit a moment ago; the others are challenged first, for what was proved once may have gone
// bad since. From the look at the chunk to the end of the trash order no put writes the chunk or comes to rely on it, and none goes that a put relies on
// already: its receipt may name the domain. For the same reason those stay that a receipt given may name, as long as as many are wanted.
type trims struct {
	queue    []inos.ChunkID
	chunk    inos.ChunkID // in work
	working  bool
	underWay bool
	node     inos.NodeID // whose copy goes
	gen      uint64
	keep     []string
	more     bool // and another one after it
	at       inos.Micros
	count    uint64
	unproved map[string]bool // wait for the audits of what is kept for them
}

func (t *trims) code(c *coder) {
	list(c, &t.queue, trimsMax, func(c *coder, id *inos.ChunkID) { c.fixed(id[:]) })
	c.fixed(t.chunk[:])
	c.bool(&t.working)
	c.bool(&t.underWay)
	text(c, &t.node)
	num(c, &t.gen)
	list(c, &t.keep, membersMax, text[string])
	c.bool(&t.more)
	num(c, &t.at)
	num(c, &t.count)
	table(c, &t.unproved, trimsMax, text[string], (*coder).bool)
}

// add notes a chunk that may have surplus copies. What does not fit is found by the next scan.
func (t *trims) add(id inos.ChunkID) {
	if len(t.queue) < trimsMax && !slices.Contains(t.queue, id) {
		t.queue = append(t.queue, id)
	}
}

// proved tries again to trim a chunk of which a copy was proved.
func (u *repairs) proved(id inos.ChunkID) {
	if key := id.String(); u.trim.unproved[key] {
		delete(u.trim.unproved, key)
		u.trim.add(id)
	}
}

// trims says that a copy of the chunk is on its way to the trash.
func (t *trims) trims(id inos.ChunkID) bool { return t.working && t.chunk == id }

func (t *trims) act(u *repairs) {
	k := u.k
	for !t.working && len(t.queue) > 0 && t.at <= k.now {
		id := t.queue[0]
		t.queue = t.queue[1:]
		if k.collector.lives[string(id[:])] > 0 || k.holds(id) || u.busy(id) || k.collector.adopts(k.collector.sweep.node, id) {
			continue // somebody relies on it or is at it: the next scan finds it
		}
		t.chunk, t.working = id, true
		t.send(u, opTrimStates, event.ChunkStates, &eventpb.ChunkStatesRequest{ChunkIds: [][]byte{id[:]}})
	}
}

func (t *trims) wake(u *repairs) inos.Micros {
	if t.working || len(t.queue) == 0 {
		return 0
	}
	return max(t.at, 1)
}

func (t *trims) send(u *repairs, op uint8, effect string, m event.Message) {
	t.underWay = true
	u.k.send(nil, u.ask(op, 0), effect, m)
}

func (t *trims) answer(u *repairs, a *answer) {
	t.underWay = false
	switch a.op {
	case opTrimStates:
		var r eventpb.ChunkStatesReply
		if a.err == nil && event.Open(a.env, &r) == nil && len(r.States) == 1 && t.choose(u, r.States[0]) && !u.k.puts.relied(t.chunk) {
			t.send(u, opTrimRetire, event.RetireCopy, &eventpb.RetireCopyRequest{ChunkId: t.chunk[:], Generation: t.gen, Node: string(t.node), Keep: t.keep})
			return
		}
	case opTrimRetire:
		if a.err == nil {
			t.underWay = true
			u.k.content(nil, u.ask(opTrimTrash, 0), t.node, event.ContentTrash,
				&eventpb.ContentTrashRequest{Chunks: []*eventpb.ChunkGeneration{{ChunkId: t.chunk[:], Generation: t.gen}}}, bulk{})
			return
		}
		if a.err.Code != inos.CodeConflict {
			u.k.collector.sweepNode(t.node) // the copy may have been retired
		}
	case opTrimTrash:
		if a.err != nil {
			u.k.collector.sweepNode(t.node)
		} else {
			t.count++
		}
		if t.more {
			t.queue = append(t.queue, t.chunk)
		}
	}
	t.working, t.node, t.keep = false, "", nil
	t.at = u.k.now + trimPause
	u.k.puts.unheld()
}

// choose finds a copy that may go, and those that are kept for it.
func (t *trims) choose(u *repairs, s *eventpb.ChunkState) bool {
	k := u.k
	if s.Wanted == 0 || s.Condemned {
		return false
	}
	var keepable, rest []*eventpb.Copy
	for _, held := range s.Copies {
		m := k.members.member(inos.NodeID(held.Node))
		switch {
		case m == nil || !k.members.heeds(m) || m.distrust || k.reconciles.busy(m.id()):
		case m.draining() || m.avoided:
			rest = append(rest, held)
		case held.Trusted && !k.losses.holds(m.id(), t.chunk):
			keepable = append(keepable, held)
		}
		// A copy that is being looked at, or waits for it, is neither: it may turn out to be one that a receipt names, behind this look and before it goes.
	}
	// Those are kept that a receipt may name, then those that placement would choose, then those on cold nodes, then those that are proved already.
	chosen := k.members.place(t.chunk, s.Wanted, nil, nil, 0)
	slices.SortStableFunc(keepable, func(a, b *eventpb.Copy) int {
		return cmp.Or(cmp.Compare(k.worth(s, a, chosen), k.worth(s, b, chosen)), cmp.Compare(a.Node, b.Node))
	})
	// Those are kept with which the chunk lacks least; the others are surplus when it lacks nothing, or no more than with all of them.
	var keep, all []inos.NodeID
	for _, held := range keepable {
		all = append(all, inos.NodeID(held.Node))
	}
	least := k.members.lacking(all, s.Wanted)
	t.keep = nil
	proved := true
	for _, wide := range []bool{true, false} { // zones first
		for _, held := range keepable {
			node := inos.NodeID(held.Node)
			if slices.Contains(keep, node) || k.members.lacking(keep, s.Wanted) == least || wide && !k.members.widens(keep, node) {
				continue
			}
			if with := append(slices.Clone(keep), node); k.members.distinct(with, s.Wanted) > k.members.distinct(keep, s.Wanted) || wide {
				keep, t.keep = with, append(t.keep, held.Node)
				proved = proved && k.provedLately(held)
			}
		}
	}
	for _, held := range keepable {
		if !slices.Contains(t.keep, held.Node) && !promised(held, s) {
			rest = append(rest, held)
		}
	}
	if k.members.distinct(keep, s.Wanted) < s.Wanted || k.members.lacking(keep, s.Wanted) > least || len(rest) == 0 {
		return false
	}
	if !proved {
		for _, held := range keepable {
			if !k.provedLately(held) && slices.Contains(t.keep, held.Node) {
				k.challenges.want(inos.NodeID(held.Node), t.chunk)
			}
		}
		if len(t.unproved) < trimsMax {
			t.unproved[t.chunk.String()] = true
		}
		return false
	}
	t.node, t.gen, t.more = inos.NodeID(rest[0].Node), s.Generation, len(rest) > 1
	return true
}

// promised says that a receipt may name a copy's node, and that its put wanted no more replicas than are wanted now. While that node lives the file can be
// read: its copy is no surplus, however many others there are.
func promised(held *eventpb.Copy, s *eventpb.ChunkState) bool {
	return held.Promised > 0 && held.Promised <= s.Wanted
}

// allPromised says that no copy of a chunk can be surplus.
func allPromised(s *eventpb.ChunkState) bool {
	return !slices.ContainsFunc(s.Copies, func(held *eventpb.Copy) bool { return !promised(held, s) })
}

// provedLately says that a copy was proved so short a time ago that another may go for it.
func (k *Kernel) provedLately(held *eventpb.Copy) bool {
	at := inos.Micros(held.AuditedUs)
	return at != 0 && at <= k.now && k.now-at < trimProofAge
}

// worth orders copies that may be kept, the best lowest.
func (k *Kernel) worth(s *eventpb.ChunkState, held *eventpb.Copy, chosen []inos.NodeID) (cost uint64) {
	if !promised(held, s) {
		cost += 8
	}
	if !slices.Contains(chosen, inos.NodeID(held.Node)) {
		cost += 4
	}
	if m := k.members.member(inos.NodeID(held.Node)); m.row.Tier == string(inos.TierHot) {
		cost += 2
	}
	if held.AuditedUs == 0 {
		cost++
	}
	return cost
}
