package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
)

// Bounds of the quality adjuster, in fixed point.
const (
	busyHigh   = one * 90 / 100 // busier workers: go down
	busyTarget = one * 70 / 100 // a higher quality is taken when the workers stay below this with it
	ratioLow   = one * 95 / 100 // stored to plain: above, a higher quality gains nothing
)

// cost is what a quality costs relative to quality 2, in fixed point, measured on text: 57, 52, 23, 16, 11, 8, 5.5 and
// 4 MB/s per core for qualities 2 to 9.
var cost = [qualityMax + 1]uint64{2: one, 3: one * 11 / 10, 4: one * 25 / 10, 5: one * 36 / 10, 6: one * 52 / 10, 7: one * 71 / 10, 8: one * 104 / 10, 9: one * 143 / 10}

// quality adjusts the Brotli quality of new chunks. The plant is the workers: a quality sets how busy a given flow of
// chunks keeps them. The adjuster goes up one step when it predicts, from the table of costs, that they stay
// idle enough, and back to 2 when they are saturated, because then the demand is not known. A chunk that is handed out
// while others wait is encoded at 2 whatever was chosen: a burst is never slowed down.
type quality struct {
	k       *Kernel
	level   uint32
	fixed   bool
	spent   inos.Micros // in encode calls, within the window
	plain   uint64
	stored  uint64
	waited  bool // chunks waited within the window
	startAt inos.Micros
}

func (u *quality) init(k *Kernel) {
	u.k = k
	u.level = qualityMin
}

func (u *quality) about() about   { return about{name: "quality", kind: "adjuster"} }
func (u *quality) hear(*input)    {}
func (u *quality) answer(*answer) {}

func (u *quality) code(c *coder) {
	num(c, &u.level)
	if u.level < qualityMin || u.level > qualityMax {
		c.fail("quality %d", u.level)
	}
	c.bool(&u.fixed)
	num(c, &u.spent)
	num(c, &u.plain)
	num(c, &u.stored)
	c.bool(&u.waited)
	num(c, &u.startAt)
}

func (u *quality) boot() {
	if q := u.k.node.qualityFixed; q != 0 {
		u.level, u.fixed = q, true
	}
	u.startAt = u.k.now
}

// chosen returns the adjusted quality.
func (u *quality) chosen() uint32 { return u.level }

// now returns the quality for a chunk handed out while others wait.
func (u *quality) now(waiting int) uint32 {
	if u.fixed {
		return u.level
	}
	if waiting > 0 {
		u.waited = true
		return qualityMin
	}
	return u.level
}

// sample takes an encode call that ended well.
func (u *quality) sample(j *job) {
	if j.call == event.EncodeChunk {
		u.spent += j.service * inos.Micros(one) / inos.Micros(cost[max(qualityMin, j.quality)])
		u.plain += j.bytes
	}
}

// sized takes how large a chunk became.
func (u *quality) sized(stored uint64) { u.stored += stored }

func (u *quality) act() {
	window := u.k.now - u.startAt
	if window < adjustEvery || u.fixed {
		return
	}
	workers := uint64(max(1, u.k.supervisor.readyWorkers()))
	demand := uint64(u.spent) * one / (uint64(window) * workers) // of the workers' time, were all at quality 2
	ratio := uint64(0)
	if u.plain > 0 {
		ratio = u.stored * one / u.plain
	}
	if u.plain > 0 {
		u.adjust(demand, ratio, u.waited)
	}
	u.spent, u.plain, u.stored, u.waited, u.startAt = 0, 0, 0, false, u.k.now
}

// adjust is the controller: the demand at quality 2 as a share of the workers' time, stored to plain, and whether
// chunks waited for a worker.
func (u *quality) adjust(demand, ratio uint64, waited bool) {
	at := func(q uint32) uint64 { return demand * cost[q] / one }
	switch {
	case waited && at(u.level) > busyHigh || demand > busyHigh:
		u.level = qualityMin
	case at(u.level) > busyHigh:
		for u.level > qualityMin && at(u.level) > busyTarget {
			u.level--
		}
	case u.level < qualityMax && ratio < ratioLow && !waited && at(u.level+1) < busyTarget:
		u.level++
	case ratio >= ratioLow && u.level > qualityMin:
		u.level--
	}
}

// wake is never wanted: without chunks there is nothing to adjust, and with them there are steps.
func (u *quality) wake() inos.Micros { return 0 }
