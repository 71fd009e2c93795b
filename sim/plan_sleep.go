package sim

import (
	"math/rand/v2"
	"slices"

	"github.com/inos-mesh/inos"
)

// sleepStream is where the draw of a world's sleep begins: one with which the kept seeds' worlds have none.
const sleepStream = 15

// drawSleep draws whether the switchboard sleeps once, or its clock leaps, for longer than any node may be silent before what it held is made
// again: in an eighth of the worlds each. Until then nothing else keeps a node from being heard: what is done because of silence is the sleep's.
func (p *Plan) drawSleep() {
	r := rand.New(rand.NewPCG(p.Seed, sleepStream))
	long := max(p.graceCold, p.graceHot) + 12*p.heartbeat + inos.Micros(r.Int64N(int64(30*inos.Second)))
	f := Fault{At: faultsFrom + inos.Micros(r.Int64N(int64(2*inos.Minute)))}
	switch r.IntN(8) {
	case 0:
		f.Kind, f.For = FaultPause, long
	case 1:
		f.Kind, f.N = FaultLeap, int(long/inos.Second)
	default:
		return
	}
	p.Faults = slices.DeleteFunc(p.Faults, func(x Fault) bool { return x.At < f.At+long && slices.Contains(silencing, x.Kind) })
	p.Faults = append(p.Faults, f)
	slices.SortStableFunc(p.Faults, func(a, b Fault) int { return int(a.At - b.At) })
}

// silencing are the faults for which a node may not be heard.
var silencing = []FaultKind{FaultCrash, FaultStop, FaultLose, FaultWipe, FaultCut, FaultIsolate, FaultLoss, FaultLate, FaultClock}
