package sim

import (
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/semantic"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Result is what became of a world.
type Result struct {
	Seed       uint64
	Violations []string
	Digest     uint64 // of every effect of every kernel, in order
	Steps      uint64
	Faults     int // that were done
	Ops        int // of clients, answered
	Virtual    inos.Micros
	Codes      map[inos.Code]int // of failed requests
}

// Run runs the world of a seed. trace, when not nil, gets a line for everything that happens.
func Run(seed uint64, trace io.Writer) Result { return newPlan(seed).run(trace) }

// run runs a plan.
func (p Plan) run(trace io.Writer) Result {
	w := newWorld(p, trace)
	w.live()
	r := Result{
		Seed: p.Seed, Violations: w.violations, Digest: w.digest, Steps: w.steps, Faults: w.faultsDone, Virtual: w.now - epoch, Codes: w.clients.codes,
	}
	for _, n := range w.clients.answered {
		r.Ops += n
	}
	return r
}

// briskCalm is how long a brisk world runs on after the faults, and after it was read back.
const briskCalm = 30 * inos.Second

func newWorld(p Plan, trace io.Writer) *World {
	w := &World{
		seed: p.Seed, random: rand.New(rand.NewPCG(p.Seed, 2)), apart: rand.New(rand.NewPCG(p.Seed, 4)), now: epoch, byID: map[inos.NodeID]*process{}, ever: map[inos.ChunkID][]byte{},
		plan: p, truth: newTruth(), trace: trace, catch: true, heartbeat: p.heartbeat, graceCold: p.graceCold, graceHot: p.graceHot,
		repairRate: p.repairRate, proveTime: p.proveTime, workTime: 8 * inos.Millisecond, clientPace: 2 * inos.Millisecond, lastCut: map[link]uint64{}, leases: map[inos.ChunkID]*eventpb.RepairInfo{},
		claims: map[inos.ChunkID]*claim{}, bereft: map[inos.ChunkID]bool{}, rivals: map[inos.ChunkID]bool{},
	}
	w.semantic.Memory = semantic.NewMemory()
	w.network = network{base: p.netBase, cut: map[link]bool{}}
	w.clients = clients{open: map[string]*request{}, codes: map[inos.Code]int{}}
	for i, n := range p.Nodes {
		x := &process{
			w: w, index: i, id: inos.NodeID(fmt.Sprintf("node-%02d", i)), zone: n.zone, host: n.host, tier: n.tier, offered: uint64(n.capacity),
			switchboard: n.switchboard, provider: n.provider, offset: n.offset, disk: w.newDisk(n.capacity), proved: map[inos.ChunkID]bool{},
			retired: map[inos.ChunkID]inos.Micros{}, parrots: map[inos.ChunkID]parrot{}, wrote: map[inos.ChunkID]inos.Micros{}, looked: map[inos.ChunkID]bool{},
		}
		if x.switchboard {
			x.workerSlots = 2
			w.board = x
		} else {
			x.invite = event.Payload(&eventpb.Invite{
				Id: fmt.Sprintf("invite-%02d", i), Operator: "ann", Zone: n.zone, Host: n.host, Tier: string(n.tier), OfferedBytes: uint64(n.capacity),
				ExpiresUs: int64(epoch + inos.Day), RootKey: moduleID[:],
			})
		}
		w.nodes = append(w.nodes, x)
		w.byID[x.id] = x
	}
	return w
}

// live runs the world from its beginning to its end.
func (w *World) live() {
	for i, n := range w.plan.Nodes {
		p := w.nodes[i]
		w.at(epoch+n.start, func() { w.start(p) })
	}
	for _, o := range w.plan.ops {
		w.at(epoch+o.At, func() { w.ask(o) })
	}
	for i := range w.plan.uploads {
		w.at(epoch+w.plan.uploads[i].at, func() { w.upload(&w.plan.uploads[i]) })
	}
	w.drawOutage()
	for at := opsFrom; at < w.plan.faultsTo(); at += max(20*inos.Second, w.heartbeat) {
		w.at(epoch+at, func() {
			for _, p := range w.nodes {
				p.askStatus()
			}
		})
	}
	for _, f := range w.plan.Faults {
		w.at(epoch+f.At, func() { w.strike(f) })
	}
	w.run(epoch + w.plan.faultsTo() + inos.Second)
	if w.over {
		return
	}
	w.heal()
	if w.plan.brisk {
		w.run(w.now + briskCalm)
	} else {
		w.run(epoch + w.plan.end)
	}
	w.settle()
}
