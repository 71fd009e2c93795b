package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
)

// sweepTurn says when a node of the mesh is swept because somebody has asked: at once, or behind a time in which what is on its way to the node lands;
// but not before it has had its rest since the last sweeps. The rest doubles while they follow each other, so that a node that fails over and over is
// not swept all the time.
type sweepTurn struct {
	asked inos.Micros // by the first that waits
	at    inos.Micros
	ended inos.Micros // when it was swept last; 0: never
	rest  inos.Micros
}

func (t *sweepTurn) code(c *coder) {
	for _, at := range []*inos.Micros{&t.asked, &t.at, &t.ended, &t.rest} {
		num(c, at)
	}
}

// ask plans a sweep behind a time, or puts off the one that is planned.
func (t *sweepTurn) ask(now, behind inos.Micros, waiting bool) {
	if !waiting {
		t.asked, t.at = now, max(now, t.ended+t.rest)
	}
	t.at = max(t.at, min(now+behind, t.asked+3*sweepSettle))
}

// end plans the rest behind a sweep whose pages took a time. A single one needs none.
func (t *sweepTurn) end(now, took inos.Micros) {
	if t.ended == 0 || now-t.ended > 2*sweepPause {
		t.rest = 0
	} else {
		t.rest = min(max(sweepRest, 2*t.rest), sweepPause)
	}
	t.rest = min(max(t.rest, 20*took), sweepEvery)
	t.ended = now
}

// sweepWanted asks for a sweep of every member's disk for chunks without a row.
func (u *collector) sweepWanted() {
	if !u.k.node.provider {
		u.k.recovery.swept = true // this node has no disk to search
	}
	for _, node := range u.k.members.all() {
		if node != u.k.self() || u.k.node.provider {
			u.sweepNode(node)
		}
	}
}

// sweepNode asks for a sweep of one node's disk.
func (u *collector) sweepNode(node inos.NodeID) { u.sweepBehind(node, 0) }

// sweepLate asks for a sweep of a node to which something may be on its way.
func (u *collector) sweepLate(node inos.NodeID) { u.sweepBehind(node, sweepSettle) }

func (u *collector) sweepBehind(node inos.NodeID, settle inos.Micros) {
	waiting := u.sweep.wanted.has(node)
	if u.sweep.wanted.add(node); !u.sweep.wanted.has(node) {
		return // there is no room
	}
	if m := u.k.members.member(node); m != nil {
		m.sweep.ask(u.k.now, settle, waiting)
	}
}

// sweepAt returns when a node that waits for its turn may be swept.
func (u *collector) sweepAt(node inos.NodeID) inos.Micros {
	if m := u.k.members.member(node); m != nil && !u.k.lone() {
		return max(m.sweep.at, u.sweep.at)
	}
	return u.sweep.at
}

// leave ends the sweep of a node.
func (u *collector) leave() {
	s := &u.sweep
	node := s.node
	if s.node = ""; u.k.lone() {
		return
	}
	if m := u.k.members.member(node); m != nil {
		m.sweep.end(u.k.now, s.worked)
	}
	if s.again && !u.gone(node) {
		u.sweepLate(node)
	}
}

// sweepDue says that a page is to be asked for now, and begins a sweep when none is under way. A node that does not answer waits: when it
// was dead, its return brings it here again.
func (u *collector) sweepDue() bool {
	s := &u.sweep
	if !u.clears() {
		return false
	}
	if s.node != "" {
		return s.at <= u.k.now
	}
	u.takeTurn()
	s.wanted.leave(u.gone)
	for i, node := range s.wanted.list {
		if u.sweepAt(node) <= u.k.now && (node == u.k.self() || u.k.members.alive(node)) {
			s.wanted.take(i)
			s.node, s.from, s.trashed, s.adopted, s.tries, s.pages, s.at, s.worked, s.again = node, nil, 0, 0, 0, 0, u.k.now, 0, false
			return true
		}
	}
	return false
}

// gone says that a node need not be waited for: it is dead or no member.
func (u *collector) gone(node inos.NodeID) bool {
	return node != u.k.self() && (u.k.members.dead(node) || !u.k.members.has(node))
}

// takeTurn has every node of a mesh swept now and then: what an order that was lost, or came twice, left behind is found by nothing
// else. It takes a twentieth of the time, as audits do: a sweep that had to wait
// for a slow node must not put the others off for an hour. Small meshes come round often.
func (u *collector) takeTurn() {
	s := &u.sweep
	if s.turnAt > u.k.now || u.k.lone() {
		return
	}
	all := u.k.members.all()
	if len(all) == 0 {
		return // nobody has joined yet
	}
	first := s.turnAt == 0
	s.turnAt = u.k.now + min(sweepEvery/inos.Micros(len(all)), max(20*s.took, sweepPause))
	if first {
		return
	}
	i, found := slices.BinarySearch(all, s.last)
	if found {
		i++
	}
	s.last = all[i%len(all)]
	if u.k.members.alive(s.last) && (s.last != u.k.self() || u.k.node.provider) {
		u.sweepNode(s.last)
	}
}

func (u *collector) sweepWake() (at inos.Micros) {
	s := &u.sweep
	if !u.clears() {
		return 0
	}
	if s.node != "" {
		return s.at
	}
	for _, node := range s.wanted.list {
		due := u.sweepAt(node)
		if due <= u.k.now {
			due = u.k.now + collectEvery // it does not answer
		}
		at = earlier(at, due)
	}
	if !u.k.lone() {
		at = earlier(at, s.turnAt)
	}
	return at
}
