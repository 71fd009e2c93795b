package kernel

import "github.com/inos-mesh/inos"

// A kernel asks for a tick and is woken. One that is stepped much later was stopped, its machine was suspended, or its clock has leapt: in that
// time it could hear nobody, and so nobody was silent. Silences and graces are measured in the time in which the kernel was awake.

// slept says how much later than the tick that was asked for a step at a time comes, if that is more than a node's heartbeat explains.
func (k *Kernel) slept(now inos.Micros) inos.Micros {
	if k.wanted == 0 || now-k.wanted <= k.members.interval()/sleepShare {
		return 0
	}
	return now - k.wanted
}

// woken takes a sleep out of what is waited for. Calls that were under way show nothing of the nodes that they were for.
func (k *Kernel) woken(late inos.Micros) {
	k.woke = k.now
	k.members.slept(late)
	k.rebuilding.slept(late)
	k.collector.sweep.slept(late)
	k.inspections.slept(late)
	k.repairs.scan.slept(late)
	k.reconciles.slept(late)
}

// slept takes a sleep of this node out of the members' silence. One that is not given up has time to be heard at any rate: what remained of its
// grace may be less than it needs to find out that this node is awake.
func (u *memberships) slept(late inos.Micros) {
	now := u.k.now
	for _, id := range sortedKeys(u.table) {
		m := u.table[id]
		if m.removed() || id == u.k.self() {
			continue
		}
		m.quieter(late)
		if m.beaten != 0 {
			m.beaten += late
		}
		_, dead, gone := u.times(m)
		if short := now + 2*u.patience(m) - gone; !m.gone && short > 0 {
			if m.state == liveDead {
				short = min(short, now-dead) // it stays dead
			}
			m.quieter(short)
		}
	}
	u.next = now
}

// quieter shortens a member's silence.
func (m *member) quieter(by inos.Micros) {
	for _, t := range []*inos.Micros{&m.seen, &m.lost, &m.mute} {
		if *t != 0 {
			*t += by
		}
	}
}

// slept has a rebuild wait for nodes as long as if this node had been awake.
func (u *rebuilding) slept(late inos.Micros) {
	if u.came != 0 {
		u.came += late
	}
}

// slept takes a sleep out of the time that a page took, and with it out of the pause before the next node's turn.
func (s *sweep) slept(late inos.Micros) { s.began += late }

// slept takes a sleep out of the time that a page took, and with it out of the pause before the next node's turn.
func (u *inspections) slept(late inos.Micros) { u.began += late }

// slept takes a sleep out of the time that a page and the whole look took: the next ones wait for as long, and for a multiple of it.
func (s *scan) slept(late inos.Micros) {
	s.began += late
	s.asked += late
}

// slept takes a sleep out of the time that pages took: the next ones wait for as long.
func (u *reconciles) slept(late inos.Micros) {
	for _, name := range sortedKeys(u.table) {
		u.table[name].asked += late
	}
}

// heeds says that a member is alive for sure: it was heard since this node last slept. What is trashed because of others' copies, is trashed
// because of such members' only.
func (u *memberships) heeds(m *member) bool {
	return m.state == liveAlive && (m.seen >= u.k.woke || m.id() == u.k.self())
}
