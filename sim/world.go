package sim

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"sort"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/semantic"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// epoch is the time at which every world begins.
const epoch inos.Micros = 1_800_000_000_000_000

// World is one simulation.
type World struct {
	seed   uint64
	random *rand.Rand
	apart  *rand.Rand // of effects that the kept seeds' worlds did not have
	now    inos.Micros
	queue  queue
	seq    uint64
	ids    uint64
	pids   uint32
	nonce  uint64
	steps  uint64

	nodes    []*process
	rivals   map[inos.ChunkID]bool // records that lose against others of the same version
	byID     map[inos.NodeID]*process
	board    *process // the switchboard
	semantic memory
	network  network
	leases   map[inos.ChunkID]*eventpb.RepairInfo // the last claim of each repair
	claims   map[inos.ChunkID]*claim              // what the map named then
	bereft   map[inos.ChunkID]bool                // chunks that a node held which was silent for long
	ever     map[inos.ChunkID][]byte              // stored bytes of every chunk that was ever made

	memberDoubt   inos.Micros // when a member's state last changed without the switchboard's being told
	memberChanges uint64      // members that came or changed their state, and epochs

	heartbeat  inos.Micros
	graceCold  inos.Micros
	graceHot   inos.Micros
	repairRate uint64
	workTime   inos.Micros
	proveTime  inos.Micros // of a disk; nothing once the faults have stopped
	clientPace inos.Micros
	snooze     inos.Micros // for so long the switchboard is to be stopped when it has claimed a repair
	rebuilt    inos.Micros // when the switchboard was last emptied: the receipts of before it are only as good as what was found then
	rebuilding bool
	partial    bool // the map was made without some nodes: it may know older versions only
	lacked     bool // the rebuild could not restore a version, by the world's doing
	ending     bool // faults have stopped

	plan    Plan
	truth   truth
	clients clients

	uploaders []*uploader

	buffersMost int
	catch       bool // panics of kernels are violations
	violations  []string
	over        bool
	digest      uint64
	trace       io.Writer
	faultsDone  int
	troubleTo   inos.Micros // the last fault that has begun ends then
	cuts        uint64
	lastCut     map[link]uint64
}

// memory is the switchboard's semantic memory and what is wrong with it.
type memory struct {
	*semantic.Memory
	doubtTo inos.Micros // until then the outcome of some verbs is not told
	slowTo  inos.Micros
}

// at puts something into the queue.
func (w *World) at(t inos.Micros, do func()) { w.queue.put(max(t, w.now), do) }

// micros draws a duration below d.
func (w *World) micros(d inos.Micros) inos.Micros { return below(w.random, d) }

func below(r *rand.Rand, d inos.Micros) inos.Micros {
	if d <= 0 {
		return 0
	}
	return inos.Micros(r.Int64N(int64(d)))
}

// chance returns what draws for an effect. The ceiling of the numbers of orders has a stream of its own: the kept seeds' worlds are as they were without it.
func (w *World) chance(eventType string) *rand.Rand {
	if event.Stage(eventType) == event.Stage(event.RaiseOrders) {
		return w.apart
	}
	return w.random
}

// newID makes an identifier of the world's own.
func (w *World) newID(now inos.Micros) string {
	w.ids++
	var r [10]byte
	binary.BigEndian.PutUint64(r[2:], w.ids)
	return event.NewID(now, r)
}

// violate notes that something happened which must never.
func (w *World) violate(format string, args ...any) {
	s := fmt.Sprintf("%s: ", clock(w.now)) + fmt.Sprintf(format, args...)
	w.logf("VIOLATION %s", s)
	if len(w.violations) < 20 {
		w.violations = append(w.violations, s)
	}
	w.over = true
}

// clock writes a time of the world for a person.
func clock(t inos.Micros) string {
	d := t - epoch
	return fmt.Sprintf("%02d:%02d.%06d", d/inos.Minute, d%inos.Minute/inos.Second, d%inos.Second)
}

// tracing says that a transcript is being written.
func (w *World) tracing() bool { return w.trace != nil }

func (w *World) logf(format string, args ...any) {
	if w.trace != nil {
		fmt.Fprintf(w.trace, "%s "+format+"\n", append([]any{clock(w.now)}, args...)...)
	}
}

// note adds an effect to the digest of the transcript.
func (w *World) note(p *process, e *eventpb.Envelope) {
	h := w.digest
	mix := func(x uint64) {
		h ^= x
		h *= 0x100000001b3
		h ^= h >> 29
	}
	mix(uint64(w.now))
	mix(uint64(p.index))
	for i := 0; i < len(e.EventType); i++ {
		mix(uint64(e.EventType[i]))
	}
	b := e.Payload
	for ; len(b) >= 8; b = b[8:] {
		mix(binary.LittleEndian.Uint64(b))
	}
	for _, c := range b {
		mix(uint64(c))
	}
	w.digest = h
}

// run lets things happen until a time, or until the world is over.
func (w *World) run(until inos.Micros) {
	for !w.over && len(w.queue.items) > 0 && w.queue.items[0].at <= until {
		i := w.queue.take()
		w.now = i.at
		i.do()
	}
	if !w.over {
		w.now = max(w.now, until)
	}
}

func sortIDs(ids []inos.ChunkID) {
	sort.Slice(ids, func(i, j int) bool { return string(ids[i][:]) < string(ids[j][:]) })
}
