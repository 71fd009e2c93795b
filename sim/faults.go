package sim

import (
	"slices"

	"github.com/inos-mesh/inos"
)

// strike does a fault. What would destroy the last copy that the map knows of something acknowledged is not done: the promise is for as
// long as one domain lives.
func (w *World) strike(f Fault) {
	p := w.nodes[f.Node]
	if !p.joined || w.ending {
		return // what was drawn for a moment behind a late request may come when the faults have stopped
	}
	w.logf("fault %s", f)
	w.faultsDone++
	until := w.now + f.For
	if until > w.troubleTo {
		w.troubleTo = until
	}
	switch f.Kind {
	case FaultCrash:
		w.crash(p)
		w.at(until, func() { w.start(p) })
	case FaultStop, FaultPause:
		p.freeze()
		w.at(until, p.melt)
	case FaultLose, FaultWipe:
		w.destroy(p, f, until)
	case FaultCut:
		w.cut(p, w.nodes[f.Other], until)
	case FaultIsolate:
		for _, other := range w.nodes {
			if other != p {
				w.cut(p, other, until)
				w.cut(other, p, until)
			}
		}
	case FaultLoss:
		w.network.loss, w.network.lossTo = f.N, until
	case FaultLate:
		w.network.late, w.network.lateTo = f.N, until
	case FaultTwice:
		w.network.twice, w.network.twiceTo = f.N, until
	case FaultRot:
		w.rot(p, f.N)
	case FaultDiskError:
		p.disk.errorsTo = until
	case FaultDiskFull:
		p.disk.fullTo = until
	case FaultDiskSlow:
		p.disk.slowTo = until
	case FaultDoubt:
		w.semantic.doubtTo = until
	case FaultSlowMemory:
		w.semantic.slowTo = until
	case FaultWorker:
		w.killBusy(f.Other%int(max(1, w.board.workerSlots)), busyTries)
	case FaultClock:
		w.crash(p)
		p.offset = inos.Micros(f.N) * inos.Second
		w.at(until, func() { w.start(p) })
	case FaultLeap:
		if by := inos.Micros(f.N) * inos.Second; p.up && p.offset+by < leapMost {
			p.offset += by
			p.setAlarm()
		}
	case FaultSnooze:
		w.snooze = f.For
	case FaultLie:
		if p != w.board && w.spareable(p, p.disk.list(false), p.disk.list(true)) {
			p.liar = lie{drops: f.N == 1, garbles: f.N == 2}
		}
	}
}

// doze stops the switchboard a moment after it has claimed repairs, if that is to happen.
func (w *World) doze(claimed int) {
	p, long := w.board, w.snooze
	if claimed == 0 || long == 0 || w.ending {
		return
	}
	w.snooze = 0
	w.troubleTo = max(w.troubleTo, w.now+long)
	w.at(w.now+w.micros(20*inos.Millisecond), func() {
		if !w.ending {
			p.freeze()
			w.at(w.now+long, p.melt)
		}
	})
}

// busyTries is how often, every few milliseconds, the world looks whether a worker has something to do before it kills one: a call that is lost
// with it is what matters.
const busyTries = 2000

// killBusy kills a worker in the middle of a call, or the one of a slot when none gets one for long.
func (w *World) killBusy(slot, tries int) {
	p := w.board
	if !p.up || w.ending {
		return
	}
	for i := range p.workers {
		if x := &p.workers[i]; x.up && x.free > w.now || tries == 0 && i == slot {
			p.killWorker(i, "killed by the world")
			return
		}
	}
	w.at(w.now+5*inos.Millisecond, func() { w.killBusy(slot, tries-1) })
}

// leapMost bounds how far a clock is ahead: when it is set right again, what was put off by it has to be done soon.
const leapMost = 5 * inos.Minute

// cut keeps messages of one direction away until a time.
func (w *World) cut(from, to *process, until inos.Micros) {
	l := link{from.index, to.index}
	w.network.cut[l] = true
	if from == w.board || to == w.board {
		from.apart, to.apart = max(from.apart, until), max(to.apart, until)
	}
	w.cuts++
	cut := w.cuts
	w.lastCut[l] = cut
	if w.random.IntN(2) == 0 {
		w.news(from, to, false, w.micros(15*inos.Second))
	}
	w.at(until, func() {
		if w.lastCut[l] != cut {
			return
		}
		delete(w.network.cut, l)
		if from.up && to.up && (from == w.board || to == w.board) {
			w.connect(from)
		}
	})
}

// destroy takes a process and its disk away, for good or until it comes back empty.
func (w *World) destroy(p *process, f Fault, until inos.Micros) {
	if !p.provider || p == w.board || !w.spareable(p, p.disk.list(false), p.disk.list(true)) {
		return
	}
	w.crash(p)
	for _, record := range []bool{false, true} {
		for _, id := range p.disk.list(record) {
			p.disk.spoil(id)
		}
	}
	w.format(p.disk)
	if p.lost = f.Kind == FaultLose; !p.lost {
		w.at(until, func() { w.start(p) })
	}
}

// rot makes some chunks of a disk bad.
func (w *World) rot(p *process, n int) {
	record := w.random.IntN(6) == 0
	ids := p.disk.list(record)
	for range n {
		if len(ids) == 0 {
			return
		}
		i := w.random.IntN(len(ids))
		if one := ids[i : i+1]; record && w.spareable(p, nil, one) || !record && w.spareable(p, one, nil) {
			if record && w.random.IntN(2) == 0 {
				w.logf("record %s vanishes from %s", ids[i], p)
				p.disk.vanish(ids[i])
			} else {
				w.logf("chunk %s rots on %s", ids[i], p)
				p.disk.rot(ids[i], record)
			}
		}
		ids = slices.Delete(ids, i, i+1)
	}
}

// spareable says that of everything among the chunks that the map knows, and of the records of what was acknowledged, there is another
// copy that the map knows, on a disk that does not lie and is not gone. That goes for chunks of deleted files too, which a put may find, and
// for those that a put has just written.
func (w *World) spareable(p *process, chunks, records []inos.ChunkID) bool {
	copies, err := w.semantic.ChunkCopies(background, chunks)
	if err != nil {
		return false
	}
	for i, id := range chunks {
		if !p.disk.holds(id, false) {
			continue
		}
		if !slices.ContainsFunc(w.nodes, func(q *process) bool {
			known := len(copies[i]) == 0 || slices.ContainsFunc(copies[i], func(c inos.Copy) bool { return c.Node == q.id })
			return q != p && known && !q.lost && !q.liar.any() && q.disk.holds(id, false)
		}) {
			return false
		}
	}
	for _, id := range records {
		r := w.truth.records[id]
		if r == nil || !p.disk.holds(id, true) {
			continue
		}
		h := w.truth.history(r.File.GetOwner(), r.File.GetPath())
		v := h.acked()
		if v == nil || r.File.GetVersion() < v.number {
			continue
		}
		if !slices.ContainsFunc(w.nodes, func(q *process) bool {
			return q != p && q.provider && !q.lost && !q.liar.any() && w.recorded(q, v, false)
		}) {
			return false
		}
	}
	return true
}

// heal ends all faults: links carry, clocks agree, processes that are not lost run. What was destroyed stays so.
func (w *World) heal() {
	w.logf("the faults end")
	w.ending = true
	n := &w.network
	n.cut = map[link]bool{}
	n.loss, n.late, n.twice = 0, 0, 0
	w.semantic.doubtTo, w.semantic.slowTo = 0, 0
	w.proveTime = 0
	for _, p := range w.nodes {
		d := p.disk
		d.errorsTo, d.fullTo, d.slowTo = 0, 0, 0
		if p.lost {
			continue
		}
		p.melt()
		if p.offset > 2*inos.Second || p.offset < -2*inos.Second {
			w.crash(p) // its clock is set right
			p.offset = 0
		}
		if !p.up {
			w.start(p)
			continue
		}
		w.connect(p)
	}
}
