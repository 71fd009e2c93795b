package kernel

import (
	"bytes"
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// scan looks through the map for chunks that are short, in too few domains though others are to be had, or surplus: all of it after a
// start, when the members change, and in turn, a hundredth of the time; and what one node holds when it did not come back, when it is back and its copies have been looked at, and
// while it is drained.
type scan struct {
	nodes    nodeLine    // whose chunks are to be looked at
	again    bool        // and the whole map
	at       inos.Micros // not before, for the whole map
	turn     inos.Micros // when to look through it in any case
	began    inos.Micros // when the one under way did
	seen     inos.Micros // the change of the members that was noticed last
	whole    inos.Micros // when the whole map was looked through last
	running  bool
	of       inos.NodeID // whose chunks; empty: the whole map
	after    []byte
	to       []byte
	end      bool
	underWay bool
	asked    inos.Micros
	pageAt   inos.Micros
	tries    uint32

	returned nodeLine    // are being compared with the map, and looked at after that
	checkAt  inos.Micros // when to see whether they are done, and what is left on those that are drained

	short   uint64 // chunks of the scan under way that are short while nothing can be done
	before  uint64 // of the last whole one
	emptied recent // nodes whose drain has ended

	found worth                    // of the look under way
	worth worth                    // of the whole map, by the last look and the repairs since
	held  stuckOn                  // of the look under way
	stuck map[inos.NodeID]*stuckOn // nodes that are drained, by the last look at each
}

// worth is what the chunks of the map survive: copies on nodes that are drained, or do not answer now, count for nothing.
type worth struct {
	short  uint64 // chunks that lack a copy
	live   uint32 // domains that hold the weakest
	wanted uint32 // replicas of it
}

// weaken notes a chunk that lacks a copy.
func (t *worth) weaken(live, wanted uint32) {
	if t.short++; t.short == 1 || live < t.live {
		t.live, t.wanted = live, wanted
	}
}

func (t *worth) code(c *coder) {
	num(c, &t.short)
	num(c, &t.live)
	num(c, &t.wanted)
}

// stuckOn counts the chunks of a node that is drained for which no other node takes a copy.
type stuckOn struct {
	chunks uint64
	wanted uint32 // the most replicas of one
}

func (t *stuckOn) code(c *coder) {
	num(c, &t.chunks)
	num(c, &t.wanted)
}

func (s *scan) code(c *coder) {
	s.nodes.code(c)
	c.bool(&s.again)
	num(c, &s.at)
	num(c, &s.turn)
	num(c, &s.began)
	num(c, &s.seen)
	num(c, &s.whole)
	c.bool(&s.running)
	text(c, &s.of)
	c.bytes(&s.after)
	c.bytes(&s.to)
	c.bool(&s.end)
	c.bool(&s.underWay)
	num(c, &s.asked)
	num(c, &s.pageAt)
	num(c, &s.tries)
	s.returned.code(c)
	num(c, &s.checkAt)
	num(c, &s.short)
	num(c, &s.before)
	s.emptied.code(c)
	s.found.code(c)
	s.worth.code(c)
	s.held.code(c)
	objects(c, &s.stuck, membersMax, text[inos.NodeID], func(c *coder, t *stuckOn) { t.code(c) })
}

// node has what a node holds looked at.
func (s *scan) node(node inos.NodeID) { s.nodes.add(node) }

// compared has a node looked at when its copies have been compared with the map.
func (s *scan) compared(node inos.NodeID) { s.returned.add(node) }

func (s *scan) act(u *repairs) {
	k := u.k
	if k.members.changedAt > s.seen {
		s.seen, s.again, s.at = k.members.changedAt, true, k.now+scanSettle
	}
	if s.turn <= k.now {
		s.turn, s.again = k.now+scanEveryMax, true // until the end of this look tells how long one takes
		u.soon()                                   // the queue may hold what the last run left
	}
	if s.checkAt <= k.now {
		s.check(u)
	}
	if s.underWay || s.pageAt > k.now || u.full() {
		return
	}
	switch {
	case s.running:
	case len(s.nodes.list) > 0:
		s.of = s.nodes.first()
		s.begin(k.now)
	case s.again && s.at <= k.now:
		s.of, s.again = "", false
		clear(u.trim.unproved) // what waits still is found anew
		s.begin(k.now)
	default:
		return
	}
	s.page(u)
}

func (s *scan) wake(u *repairs) (at inos.Micros) {
	at = earlier(s.checkAt, s.turn)
	switch {
	case s.underWay || u.full():
	case s.running || len(s.nodes.list) > 0:
		at = earlier(at, max(s.pageAt, 1))
	case s.again:
		at = earlier(at, max(s.pageAt, s.at))
	}
	return at
}

func (s *scan) begin(now inos.Micros) {
	s.began = now
	s.running, s.after, s.end, s.short, s.tries = true, nil, false, 0, 0
	s.found, s.held = worth{}, stuckOn{}
}

// check has nodes looked at whose comparison has ended, and those that are drained and not empty yet.
func (s *scan) check(u *repairs) {
	k := u.k
	s.checkAt = k.now + scanCheckEvery
	s.returned.leave(func(node inos.NodeID) bool {
		m := k.members.member(node)
		_, _, busy := k.reconciles.progress(node)
		if m != nil && (busy || m.distrust || m.doubtful) {
			return false
		}
		s.node(node)
		return true
	})
	for _, node := range k.members.all() {
		m := k.members.table[node]
		switch {
		case !m.draining():
			delete(s.emptied.added, string(node))
			delete(s.stuck, node)
		case m.row.Copies > 0:
			delete(s.emptied.added, string(node))
			if !s.running || s.of != node {
				s.node(node)
			}
		case !s.emptied.has(string(node), k.now):
			s.emptied.add(string(node), k.now)
			k.watcher.note(event.NodesSet, event.StateCompleted, "node "+m.label()+" is drained: it holds no copy and can be removed")
		}
	}
}

// page asks for the next page.
func (s *scan) page(u *repairs) {
	s.underWay, s.asked = true, u.k.now
	if s.of == "" {
		u.k.send(nil, u.ask(opScanChunks, 0), event.ScanChunks, &eventpb.ScanChunksRequest{After: s.after, Limit: scanPage})
		return
	}
	u.k.send(nil, u.ask(opScanNode, 0), event.NodeChunks, &eventpb.NodeChunksRequest{Node: string(s.of), After: s.after, Limit: scanPage})
}

func (s *scan) answer(u *repairs, a *answer) {
	s.underWay = false
	var err error
	if a.err != nil {
		err = a.err
	} else {
		switch a.op {
		case opScanChunks:
			var r eventpb.ScanChunksReply
			if err = event.Open(a.env, &r); err == nil {
				var last []byte
				if n := len(r.States); n > 0 {
					last = r.States[n-1].ChunkId
				}
				s.end = r.End || !s.forward(last)
				s.judge(u, r.States)
				return
			}
		case opScanNode:
			var r eventpb.NodeChunksReply
			if err = event.Open(a.env, &r); err == nil {
				var last []byte
				if n := len(r.ChunkIds); n > 0 {
					last = r.ChunkIds[n-1]
				}
				if s.end = r.End || !s.forward(last); len(r.ChunkIds) == 0 {
					s.judge(u, nil)
					return
				}
				s.underWay = true
				u.k.send(nil, u.ask(opScanStates, 0), event.ChunkStates, &eventpb.ChunkStatesRequest{ChunkIds: r.ChunkIds})
				return
			}
		case opScanStates:
			var r eventpb.ChunkStatesReply
			if err = event.Open(a.env, &r); err == nil {
				s.judge(u, r.States)
				return
			}
		}
	}
	s.pageAt = u.k.now + min(retryBackoffMin<<min(s.tries, 8), retryBackoffMax)
	if s.tries++; s.tries > retriesMax { // begun anew with the next change or hour
		s.running = false
		if s.of != "" {
			s.again, s.at = true, u.k.now+inos.Minute
		}
	}
}

// forward notes where the page ends, and says whether it ends behind where it began.
func (s *scan) forward(last []byte) bool {
	if bytes.Compare(last, s.after) <= 0 {
		return false
	}
	s.to = last
	return true
}

// judge decides of each chunk of a page whether it is short or surplus.
func (s *scan) judge(u *repairs, states []*eventpb.ChunkState) {
	k := u.k
	for _, state := range states {
		if len(state.ChunkId) == inos.HashBytes && state.Wanted > 0 && !state.Condemned {
			s.judgeChunk(u, state)
		}
	}
	s.after, s.tries = s.to, 0
	s.pageAt = k.now + (k.now - s.asked) // half of the time is for others
	if !s.end {
		return
	}
	s.running = false
	if s.of == "" {
		s.before, s.whole, s.worth = s.short, k.now, s.found
		s.turn = k.now + min(max(scanEvery, 100*(k.now-s.began)), scanEveryMax)
		return
	}
	delete(s.stuck, s.of)
	if m := k.members.member(s.of); m != nil && m.draining() && s.held.chunks > 0 {
		held := s.held
		s.stuck[s.of] = &held
	}
}

func (s *scan) judgeChunk(u *repairs, state *eventpb.ChunkState) {
	k := u.k
	id := inos.ChunkID(state.ChunkId)
	good, hoped, sources, trusted := k.standing(state)
	live := k.members.distinct(good, state.Wanted)
	if here := k.members.distinct(sources[:trusted], state.Wanted); here < state.Wanted {
		s.found.weaken(here, state.Wanted)
	}
	if k.members.lacking(good, state.Wanted) > 0 {
		if k.members.lacking(hoped, state.Wanted) == 0 {
			return // it is being looked at, and asked for again if something is found missing
		}
		if len(good) == 0 || len(k.members.place(id, state.Wanted, hoped, nil, state.StoredBytes)) > 0 {
			u.want(state.ChunkId, k.shortBecause(state), live)
			return
		}
		if live < state.Wanted {
			s.short++
			s.held.chunks, s.held.wanted = s.held.chunks+1, max(s.held.wanted, state.Wanted)
			return
		}
	}
	if uint32(len(good)) > state.Wanted && !allPromised(state) || k.drains(state) {
		u.trim.add(id)
	}
}

// drains says that a chunk has a copy on a node that is drained.
func (k *Kernel) drains(state *eventpb.ChunkState) bool {
	return slices.ContainsFunc(state.Copies, func(c *eventpb.Copy) bool {
		m := k.members.member(inos.NodeID(c.Node))
		return m != nil && m.draining()
	})
}

// shortBecause says for a person why a chunk is short.
func (k *Kernel) shortBecause(state *eventpb.ChunkState) string {
	if k.drains(state) {
		return "drained node"
	}
	for _, c := range state.Copies {
		if m := k.members.member(inos.NodeID(c.Node)); m != nil && m.gone {
			return "dead node"
		} else if m != nil && !c.Trusted {
			return "distrusted copy"
		}
	}
	return "too few copies"
}
