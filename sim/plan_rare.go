package sim

import (
	"math/rand/v2"
	"slices"

	"github.com/inos-mesh/inos"
)

// rareStream is where the draw of a world's rare moments begins: one with which the kept seeds' worlds have none.
const rareStream = 8430906

// backStream is where the draw of clocks that are set back begins, likewise.
const backStream = 1014

// snoozeLease is how long the switchboard is stopped at least in the middle of a repair: for longer than it may claim one.
const snoozeLease = 2*inos.Minute + 5*inos.Second

// drawRare draws moments that chance alone brings seldom: a switchboard that is stopped in the middle of a repair for longer than its claim
// lasts, in a sixth of the worlds that know no other sleep; trash orders that come once more behind the next write of what they name, in a quarter;
// and the lie of a world that is prepared for one, if it has none.
func (p *Plan) drawRare() {
	r := rand.New(rand.NewPCG(p.Seed, rareStream))
	at := func() inos.Micros {
		return faultsFrom + inos.Micros(r.Int64N(int64(p.faultsTo()-faultsFrom-inos.Minute)))
	}
	has := func(kinds ...FaultKind) bool {
		return slices.ContainsFunc(p.Faults, func(f Fault) bool { return slices.Contains(kinds, f.Kind) })
	}
	p.parrots = r.IntN(4) == 0
	if r.IntN(6) == 0 && !has(FaultPause, FaultLeap) && len(p.Nodes) > 1 {
		p.Faults = append(p.Faults, Fault{Kind: FaultSnooze, At: at(), For: snoozeLease + inos.Micros(r.Int64N(int64(30*inos.Second)))})
	}
	if r.IntN(4) > 0 && p.lies && !has(FaultLie) && len(p.Nodes) > 1 {
		p.Faults = append(p.Faults, Fault{Kind: FaultLie, At: at(), Node: 1 + r.IntN(len(p.Nodes)-1), N: 1 + r.IntN(2)})
	}
	slices.SortStableFunc(p.Faults, func(a, b Fault) int { return int(a.At - b.At) })
}

// drawBack draws a switchboard that comes back at once with its clock minutes behind, in half of the worlds in which trash orders come once more: what it writes
// then must not be numbered below them.
func (p *Plan) drawBack() {
	r := rand.New(rand.NewPCG(p.Seed, backStream))
	if !p.parrots || r.IntN(2) == 0 || len(p.Nodes) == 1 {
		return
	}
	p.Faults = append(p.Faults, Fault{
		Kind: FaultClock, At: faultsFrom + inos.Micros(r.Int64N(int64(p.faultsTo()-faultsFrom-inos.Minute))), For: inos.Micros(r.Int64N(int64(5 * inos.Second))),
		N: -60 - r.IntN(240),
	})
	slices.SortStableFunc(p.Faults, func(a, b Fault) int { return int(a.At - b.At) })
}

// parrot is a trash order that comes once more.
type parrot struct {
	d  *delivery
	at inos.Micros
}

// parrotLife is for how long a call may be on its way, its sender long gone.
const parrotLife = 2 * inos.Minute

// parrotsMax bounds the orders that are remembered of a node.
const parrotsMax = 256

// remember keeps a trash order, by the chunks that it names.
func (w *World) remember(d *delivery, ids []inos.ChunkID) {
	if len(d.to.parrots) >= parrotsMax {
		clear(d.to.parrots)
	}
	for _, id := range ids {
		d.to.parrots[id] = parrot{d, w.now}
	}
}

// repeat has the last trash order of a chunk come again a moment after the chunk was written.
func (w *World) repeat(to *process, id inos.ChunkID) {
	x, ok := to.parrots[id]
	if delete(to.parrots, id); ok && w.now < x.at+parrotLife && !w.ending {
		w.at(w.now+20*inos.Millisecond+w.micros(2*inos.Second), func() { w.arrive(x.d) })
	}
}
