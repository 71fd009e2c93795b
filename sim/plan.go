package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/inos-mesh/inos"
)

// Plan is all that is decided before a world begins: its nodes, what clients ask, and what goes wrong. What is left out of a plan
// changes nothing of the rest, so that a failing world can be run again with less.
type Plan struct {
	Seed   uint64
	Nodes  []NodePlan
	Faults []Fault
	ops    []*op

	uploads []uploadPlan

	heartbeat  inos.Micros
	graceCold  inos.Micros
	graceHot   inos.Micros
	repairRate uint64
	netBase    inos.Micros
	proveTime  inos.Micros // what a disk needs for a proof beside the rest: audits pause for a multiple of it
	brisk      bool        // the calms are short
	rebuild    bool        // the switchboard is emptied at the end
	lies       bool        // some node lies: everything is wanted on two domains at least
	swaps      bool        // kernels are now and then replaced by what their snapshot restores
	parrots    bool        // trash orders come once more behind the next write of their chunks
	outage     *outage
	end        inos.Micros
}

// NodePlan is one node.
type NodePlan struct {
	zone, host  string
	tier        inos.Tier
	switchboard bool
	provider    bool
	capacity    int64
	start       inos.Micros
	offset      inos.Micros
}

// Fault is one thing that goes wrong.
type Fault struct {
	At    inos.Micros // since the world began
	Kind  FaultKind
	Node  int
	Other int
	For   inos.Micros
	N     int
}

// FaultKind names what goes wrong.
type FaultKind uint8

// The kinds of faults.
const (
	FaultCrash      FaultKind = iota // the process is killed and comes back after For
	FaultStop                        // the process is stopped for For
	FaultLose                        // the process and its disk are gone for good
	FaultWipe                        // the process comes back after For with an empty disk
	FaultCut                         // nothing comes from Node to Other for For
	FaultIsolate                     // Node and the others do not hear each other for For
	FaultLoss                        // N permille of all messages are lost for For
	FaultLate                        // N permille of all messages take up to half a minute for For
	FaultTwice                       // N permille of all requests between nodes come twice for For
	FaultRot                         // N chunks of Node's disk go bad
	FaultDiskError                   // a quarter of the disk's calls fail for For
	FaultDiskFull                    // nothing fits for For
	FaultDiskSlow                    // the disk is slow for For
	FaultDoubt                       // the outcome of verbs of the semantic memory is unknown now and then for For
	FaultSlowMemory                  // the semantic memory is slow for For
	FaultWorker                      // a worker of the switchboard dies
	FaultClock                       // the process comes back with its clock N seconds off
	FaultLie                         // from here on the node lies (N: 1 drops, 2 garbles)
	FaultPause                       // the switchboard is stopped for For, longer than every grace
	FaultLeap                        // the clock of the switchboard leaps forward by N seconds
	FaultSnooze                      // the switchboard is stopped for For as soon as it has claimed a repair
	faultKinds
)

var faultNames = [faultKinds]string{
	"crash", "stop", "lose", "wipe", "cut", "isolate", "loss", "late", "twice", "rot", "disk error", "disk full", "disk slow",
	"doubt", "slow memory", "worker", "clock", "lie", "pause", "leap", "snooze",
}

// String names the kind.
func (k FaultKind) String() string { return faultNames[k] }

// String says the fault in one line.
func (f Fault) String() string {
	s := fmt.Sprintf("%s %s node %d", clock(epoch+f.At), f.Kind, f.Node)
	if f.Kind == FaultCut {
		s += fmt.Sprintf(" to %d", f.Other)
	}
	if f.For > 0 {
		s += fmt.Sprintf(" for %d.%03d s", f.For/inos.Second, f.For%inos.Second/inos.Millisecond)
	}
	if f.N != 0 {
		s += fmt.Sprintf(" n %d", f.N)
	}
	return s
}

// weights of the kinds: the usual ones come more often.
var faultWeights = [faultKinds]int{
	FaultCrash: 24, FaultStop: 8, FaultLose: 3, FaultWipe: 4, FaultCut: 10, FaultIsolate: 8, FaultLoss: 5, FaultLate: 5, FaultTwice: 5,
	FaultRot: 8, FaultDiskError: 5, FaultDiskFull: 3, FaultDiskSlow: 3, FaultDoubt: 8, FaultSlowMemory: 3, FaultWorker: 3, FaultClock: 4, FaultLie: 2,
}

// allLone makes every world one of a single node, and allLie one that is prepared for a liar and challenges often.
var allLone, allLie bool

const (
	faultsFrom = 20 * inos.Second
	opsFrom    = 8 * inos.Second
	worldTime  = 10 * inos.Minute
)

// faultsTo is when the faults stop, and clients have asked what they will.
func (p *Plan) faultsTo() inos.Micros { return p.end / 10 * 7 }

// newPlan draws a world from a seed.
func newPlan(seed uint64) Plan {
	r := rand.New(rand.NewPCG(seed, 1))
	p := Plan{Seed: seed, end: worldTime}
	between := func(a, b inos.Micros) inos.Micros { return a + inos.Micros(r.Int64N(int64(b-a))) }
	p.heartbeat = between(2*inos.Second, 12*inos.Second)
	p.graceCold, p.graceHot = between(10*inos.Second, inos.Minute), between(5*inos.Second, 40*inos.Second)
	p.netBase = between(inos.Millisecond, 30*inos.Millisecond)
	p.rebuild = r.IntN(4) == 0
	p.swaps, p.lies = r.IntN(4) == 0, r.IntN(4) == 0 || allLie
	lone := r.IntN(12) == 0 || allLone
	nodes := 5 + r.IntN(8)
	if lone {
		nodes = 1
	}
	zones, perHost := 1+r.IntN(3), 1+r.IntN(3)
	oneHost := r.IntN(5) == 0
	for i := range nodes {
		n := NodePlan{tier: inos.TierCold, provider: i > 0 || lone || r.IntN(3) == 0, switchboard: i == 0, capacity: 8 << 30}
		n.zone = string(rune('a' + i%zones))
		n.host = fmt.Sprintf("h%d", i/perHost)
		if oneHost {
			n.zone, n.host = "a", "h0"
		}
		if r.IntN(3) == 0 {
			n.tier = inos.TierHot
		}
		if i > 0 {
			n.start = between(0, 4*inos.Second)
			if i > 4 && r.IntN(3) == 0 {
				n.start = between(30*inos.Second, 5*inos.Minute) // joins later
			}
		}
		n.offset = between(-2*inos.Second, 2*inos.Second)
		p.Nodes = append(p.Nodes, n)
	}
	p.drawOps(r, nodes, 30+r.IntN(50))
	p.drawFaults(r, nodes, 20+r.IntN(7))
	p.drawPace()
	p.drawSleep()
	p.drawRare()
	p.drawBack()
	p.drawUploads()
	return p
}

// paceStream is where the draw of a world's pace begins. With it the kept seeds' worlds are as they were when they went wrong.
const paceStream = 12

// drawPace draws whether the world takes its time. In an eighth of the worlds disks prove in next to no time, so that every copy is audited all the
// time, and long calms follow the faults. In the others a proof takes so long that most copies have not been audited when something happens to
// them, as in a mesh with many chunks, and the end comes as soon as everything is whole and quiet: they cost a third, and more of them find more.
func (p *Plan) drawPace() {
	r := rand.New(rand.NewPCG(p.Seed, paceStream))
	if p.brisk = r.IntN(8) > 0; p.brisk {
		p.proveTime = 20*inos.Millisecond + inos.Micros(r.Int64N(int64(600*inos.Millisecond)))
	}
	if allLie {
		p.proveTime /= 10
	}
}

// drawOps draws what clients ask: bursts on a few paths, with bodies from a few names, so that they overlap and share chunks.
func (p *Plan) drawOps(r *rand.Rand, nodes, count int) {
	opsTo := p.faultsTo()
	paths := []string{"/a", "/b", "/c", "/d/e", "/d/f", "/g"}
	paths = paths[:2+r.IntN(len(paths)-1)]
	at := opsFrom
	for range count {
		if r.IntN(3) == 0 {
			at += inos.Micros(r.Int64N(int64(2 * (opsTo - opsFrom) / inos.Micros(count) * 3)))
		} else {
			at += inos.Micros(r.Int64N(int64(300 * inos.Millisecond)))
		}
		if at > opsTo {
			at = opsFrom + inos.Micros(r.Int64N(int64(opsTo-opsFrom)))
		}
		o := &op{At: at, path: paths[r.IntN(len(paths))], length: -1, tries: 1 + r.IntN(6)}
		switch n := r.IntN(100); {
		case n < 42:
			o.kind = opPut
			o.body = body{name: uint64(r.IntN(6)), bytes: uint64(r.IntN(5 * inos.ChunkBytesMax))}
			switch r.IntN(8) {
			case 0:
				o.body.bytes = uint64(r.IntN(30)) * inos.ChunkBytesMax
				o.body.period = uint64(r.IntN(4))
			case 1:
				o.body.bytes = uint64(r.IntN(3)) * inos.ChunkBytesMax
			case 2:
				o.body.bytes = uint64(r.IntN(2))
			}
			o.unknown = r.IntN(4) == 0
			o.expect = r.IntN(4) == 0
			if r.IntN(5) == 0 {
				o.replicas = 1 + uint32(r.IntN(4))
			}
			if r.IntN(8) == 0 {
				o.sync = 1 + uint32(r.IntN(3))
			}
			if r.IntN(16) == 0 {
				o.leave = inos.Micros(r.Int64N(int64(inos.Second)))
			}
		case n < 72:
			o.kind = opGet
			switch r.IntN(5) {
			case 0:
				o.encoded = true
			case 1:
				o.offset, o.length = uint64(r.IntN(3*inos.ChunkBytesMax)), int64(r.IntN(3*inos.ChunkBytesMax))
			case 2:
				o.discard = true
			}
			if r.IntN(16) == 0 {
				o.leave = inos.Micros(r.Int64N(int64(inos.Second)))
			}
		case n < 82:
			o.kind = opDelete
		case n < 86:
			o.kind, o.replicas = opSet, 1+uint32(r.IntN(4))
		case n < 89:
			o.kind = opVerify
			if r.IntN(2) == 0 {
				o.path = ""
			}
		case n < 91:
			o.kind = opList
		case n < 94:
			o.kind = opStat
		case n < 95:
			o.kind = opStatus
		case n < 96:
			o.kind = opNodes
		case n < 97:
			o.kind = opRepairs
		case nodes > 5:
			o.kind, o.node, o.state = opNodeSet, 1+r.IntN(nodes-1), inos.MemberDraining
			switch r.IntN(4) {
			case 0:
				o.state = inos.MemberRemoved
			case 1:
				o.state = inos.MemberActive
			}
			o.tries = 30
		default:
			o.kind = opStatus
		}
		p.ops = append(p.ops, o)
	}
	for _, o := range p.ops {
		if p.lies && o.replicas == 1 {
			o.replicas = 2
		}
		if p.lies && o.sync == 1 {
			o.sync = 2
		}
	}
	slices.SortStableFunc(p.ops, func(a, b *op) int { return int(a.At - b.At) })
}

// drawFaults draws what goes wrong, most of it near something that a client asks.
func (p *Plan) drawFaults(r *rand.Rand, nodes, count int) {
	faultsTo := p.faultsTo()
	total := 0
	for _, x := range faultWeights {
		total += x
	}
	lied := false
	for len(p.Faults) < count {
		f := Fault{At: faultsFrom + inos.Micros(r.Int64N(int64(faultsTo-faultsFrom))), Node: r.IntN(nodes), Other: r.IntN(nodes)}
		if r.IntN(3) > 0 {
			o := p.ops[r.IntN(len(p.ops))]
			f.At = o.At + inos.Micros(r.Int64N(int64([]inos.Micros{50 * inos.Millisecond, inos.Second, 5 * inos.Second}[r.IntN(3)])))
		}
		pick := r.IntN(total)
		for f.Kind = 0; pick >= faultWeights[f.Kind]; f.Kind++ {
			pick -= faultWeights[f.Kind]
		}
		f.For = inos.Micros(r.Int64N(int64([]inos.Micros{inos.Second, 10 * inos.Second, inos.Minute, 3 * inos.Minute}[r.IntN(4)])))
		switch f.Kind {
		case FaultLoss, FaultLate, FaultTwice:
			f.N = 10 + r.IntN(300)
		case FaultRot:
			f.N = 1 + r.IntN(6)
		case FaultClock:
			f.N = r.IntN(600) - 300
		case FaultLie:
			f.N = 1 + r.IntN(2)
			if lied || !p.lies {
				continue
			}
			lied = true
		case FaultCut:
			if f.Node == f.Other {
				continue
			}
		case FaultCrash:
			if r.IntN(3) == 0 {
				f.Node = 0 // the switchboard
			}
		}
		p.Faults = append(p.Faults, f)
	}
	slices.SortStableFunc(p.Faults, func(a, b Fault) int { return int(a.At - b.At) })
}
