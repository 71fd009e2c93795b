package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/inos-mesh/inos"
)

// outage is the death of all nodes of a zone at once, and their return.
type outage struct {
	zone      string
	from, to  inos.Micros // since the world began
	repaired  int         // copies that were made before the zone was back
	bySurplus int         // copies that were let go of after it was back
}

// Times of a world of many nodes. A node that has beaten every five minutes is dead after two times two and a half of that, and a cold one is repaired
// ten minutes later: three quarters of an hour after its zone has gone its copies have been made elsewhere.
const (
	bigTime     = 150 * inos.Minute
	bigHearts   = 5 * inos.Minute
	outageFrom  = 35 * inos.Minute
	outageTo    = 90 * inos.Minute
	outageSteps = 10 * inos.Second // within which the processes of the zone go and come
	bigFiles    = 1000
)

// bigPlan draws a world of many nodes with rare heartbeats: they join, files are put, much goes wrong, a zone of ten dies, is repaired and comes
// back, and much goes wrong once more. While the zone is away nothing else goes wrong: what is short when it returns is then the kernels' doing.
func bigPlan(seed uint64, nodes int) Plan {
	r := rand.New(rand.NewPCG(seed, 3))
	p := Plan{Seed: seed, end: bigTime, heartbeat: bigHearts, graceCold: 10 * inos.Minute, graceHot: 5 * inos.Minute, netBase: 10 * inos.Millisecond}
	for i := range nodes {
		n := NodePlan{tier: inos.TierCold, provider: i > 0, switchboard: i == 0, capacity: 8 << 30, zone: fmt.Sprintf("z%d", i%10), host: fmt.Sprintf("h%d", i/2)}
		if i%5 == 0 {
			n.tier = inos.TierHot
		}
		if i > 0 {
			n.start = inos.Micros(r.Int64N(int64(inos.Minute)))
		}
		p.Nodes = append(p.Nodes, n)
	}
	p.drawOps(r, nodes, 150)
	p.drawFaults(r, nodes, 500)
	p.outage = &outage{zone: "z3", from: outageFrom, to: outageTo}
	p.Faults = slices.DeleteFunc(p.Faults, func(f Fault) bool { return f.At+f.For >= outageFrom && f.At <= outageTo })
	for i := range bigFiles {
		at := 2*inos.Minute + inos.Micros(r.Int64N(int64(outageFrom-4*inos.Minute)))
		p.ops = append(p.ops, &op{
			At: at, kind: opPut, path: fmt.Sprintf("/many/%d", i), length: -1, tries: 6,
			body: body{name: uint64(100 + i), bytes: uint64(1 + r.IntN(4*inos.ChunkBytesMax))},
		})
	}
	slices.SortStableFunc(p.ops, func(a, b *op) int { return int(a.At - b.At) })
	return p
}

// drawOutage puts a zone's death and return into the queue.
func (w *World) drawOutage() {
	o := w.plan.outage
	if o == nil {
		return
	}
	for _, p := range w.nodes {
		if p.zone != o.zone || p == w.board {
			continue
		}
		w.at(epoch+o.from+w.micros(outageSteps), func() { w.crash(p) })
		w.at(epoch+o.to+w.micros(outageSteps), func() { w.start(p) })
	}
	w.at(epoch+o.to, w.checkOutage)
}

// checkOutage looks at the mesh just before a zone that has long been dead comes back: what was stored before has its copies in the others.
func (w *World) checkOutage() {
	o := w.plan.outage
	for _, h := range w.truth.sorted() {
		v := h.last()
		if v == nil || v.tomb || v.at > epoch+o.from || w.forsaken(v) {
			continue
		}
		wanted := int(v.info.ReplicasWanted)
		level := w.levelOf(wanted)
		for _, id := range v.chunks {
			have := map[string]bool{}
			for _, p := range w.nodes {
				if p.zone != o.zone && p.provider && p.member && !p.lost && !p.removed && p.disk.accounts(id, false) {
					have[p.domainOf(level)] = true
				}
			}
			if len(have) < wanted {
				w.violate("zone %s has been dead for %d minutes, and chunk %s of %s version %d lies in %d domains of level %s without it, %d are wanted",
					o.zone, (o.to-o.from)/inos.Minute, id, h.path, v.number, len(have), level, wanted)
				return
			}
		}
	}
}

// count counts copies that were made, and those that were let go of, for the report of a world with an outage.
func (o *outage) count(now inos.Micros, made, surplus int) {
	if o == nil {
		return
	}
	switch at := now - epoch; {
	case at > o.from && at < o.to:
		o.repaired += made
	case at >= o.to:
		o.bySurplus += surplus
	}
}
