package kernel

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// hangDeadline is how long a module call may take in worlds where the module loops for ever at some inputs.
const hangDeadline = 3 * inos.Second

// judge watches a kernel's dealings with workers: nothing is killed before its deadline, nothing that ended two workers
// is handed out again, and no worker comes back before its pause.
type judge struct {
	stepper
	w       *world
	calls   map[uint32][]string // under way, by worker, in the order in which they were handed out
	since   map[uint32]inos.Micros
	inputs  map[string]string // call -> plain bytes of its input
	blamed  map[string]int    // plain bytes -> workers they had to themselves when it was killed
	exited  map[uint32]inos.Micros
	killing map[uint32]string // plain bytes that a worker had to itself when it was killed
	kills   int
	started map[uint32]int
}

func newJudge(k stepper) *judge {
	return &judge{
		stepper: k, calls: map[uint32][]string{}, since: map[uint32]inos.Micros{}, inputs: map[string]string{}, blamed: map[string]int{},
		exited: map[uint32]inos.Micros{}, killing: map[uint32]string{}, started: map[uint32]int{},
	}
}

func (j *judge) step(now inos.Micros, e *eventpb.Envelope) ([]*eventpb.Envelope, inos.Micros) {
	j.hear(now, e)
	out, wake := j.stepper.step(now, e)
	for _, e := range out {
		j.see(now, e)
	}
	return out, wake
}

// hear takes what the kernel is told.
func (j *judge) hear(now inos.Micros, e *eventpb.Envelope) {
	if e.EventType == event.WorkerExit {
		var x eventpb.WorkerExit
		j.w.open(e, &x)
		j.exited[x.Worker] = now
		return
	}
	for worker, calls := range j.calls {
		if i := slices.Index(calls, e.Id); i >= 0 {
			if input, ok := j.killing[worker]; ok {
				delete(j.killing, worker)
				j.blamed[input]++
			}
			j.calls[worker] = slices.Delete(calls, i, i+1)
			if i == 0 {
				j.since[worker] = now
			}
		}
	}
}

// see takes what the kernel asks for.
func (j *judge) see(now inos.Micros, e *eventpb.Envelope) {
	switch e.EventType {
	case event.WorkerCall:
		var q eventpb.WorkerCallRequest
		j.w.open(e, &q)
		input := j.w.buffers[q.Input].plain
		if q.Input == 0 {
			input = ""
		}
		if n := j.blamed[input]; n >= 2 {
			j.w.problem("%s is handed out after it ended %d workers", input, n)
		}
		if len(j.calls[q.Worker]) == 0 {
			j.since[q.Worker] = now
		}
		j.calls[q.Worker] = append(j.calls[q.Worker], e.Id)
		j.inputs[e.Id] = input
	case event.WorkerStop:
		var q eventpb.WorkerStopRequest
		j.w.open(e, &q)
		if !q.Kill {
			return
		}
		if len(j.calls[q.Worker]) == 0 || now-j.since[q.Worker] < hangDeadline {
			j.w.problem("worker %d is killed before a deadline has passed", q.Worker)
			return
		}
		j.kills++
		j.killing[q.Worker] = j.inputs[j.calls[q.Worker][0]]
	case event.WorkerStart:
		var q eventpb.WorkerStartRequest
		j.w.open(e, &q)
		if j.started[q.Worker]++; j.started[q.Worker] > 1 && now-j.exited[q.Worker] < restartBackoffMin {
			j.w.problem("worker %d comes back %d us after it was lost", q.Worker, now-j.exited[q.Worker])
		}
	}
}

// TestHangingWorlds runs small worlds in which the module loops for ever at some inputs, the same ones put many times and at
// once, and effects end in any order. Puts of those fail with input_quarantined, all others complete, and every worker
// is back in the end.
func TestHangingWorlds(t *testing.T) {
	first, count := int64(1), int64(*randomCount)
	if *randomSeed != 0 {
		first, count = *randomSeed, 1
	}
	for seed := first; seed < first+count; seed++ {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { hangingWorld(t, seed) }) {
			t.Fatalf("go test ./kernel -run TestHangingWorlds -random.seed %d", seed)
		}
	}
}

func hangingWorld(t *testing.T, seed int64) {
	r := rand.New(rand.NewSource(seed))
	k := New()
	j := newJudge(&pair{t: t, k: k, every: 20 + r.Intn(100)})
	w := newWorld(j)
	j.w = w
	w.boot.Workers = uint32(1 + r.Intn(4))
	w.boot.ModuleDeadlineUs = uint64(hangDeadline)
	for i := range 1 + r.Intn(2) { // each may end as many workers as there are: within every slot's budget
		w.hangs[fmt.Sprintf("/loop%d", i)] = true
	}
	w.start()
	var fine, loops []string
	for range 10 + r.Intn(40) {
		switch n := r.Intn(4); {
		case n == 0:
			name := fmt.Sprintf("/loop%d", r.Intn(len(w.hangs)))
			loops = append(loops, w.putBody(fmt.Sprint("/at", r.Intn(5)), name, 1))
		case n == 1:
			name := fmt.Sprint("/fine", r.Intn(8))
			fine = append(fine, w.putBody(name, name, uint64(r.Intn(5*inos.ChunkBytesMax))))
		default:
			for range r.Intn(20) {
				w.endOne(r)
			}
		}
	}
	for i := 0; len(w.pending) > 0 || !answered(w, append(fine, loops...)) || !allReady(k); i++ {
		switch {
		case i > 100000:
			t.Fatal("work does not end")
		case w.endOne(r):
		case w.wake == 0:
			t.Fatal("only loops are under way, and no wake-up is wanted")
		default:
			w.tick(w.wake)
		}
	}
	for _, id := range fine {
		w.mustComplete(t, id)
	}
	for _, id := range loops {
		e, ends := w.last(id)
		if err := event.FailureOf(e); ends != 1 || err == nil || err.Code != inos.CodeInputQuarantined {
			t.Errorf("%d answers to the put of a loop, the last: %v", ends, err)
		}
	}
	if len(loops) > 0 && j.kills < 2 {
		t.Errorf("%d workers were killed for %d loops", j.kills, len(loops))
	}
	w.check(t)
	if k.buffers != 0 || len(k.supervisor.jobs) != 0 || k.supervisor.underWay != 0 {
		t.Errorf("left: %d buffer bytes, %d jobs, %d calls", k.buffers, len(k.supervisor.jobs), k.supervisor.underWay)
	}
}

// putBody puts the body of a name at a path.
func (w *world) putBody(path, name string, size uint64) string {
	w.ids++
	w.streams[w.ids] = &body{name: name, length: size}
	e := w.request("t", event.FilesPut, &eventpb.FilesPutRequest{Path: path, Stream: w.ids, LengthBytes: int64(size)})
	w.give(e)
	return e.Id
}

// endOne ends any pending effect that can end, after hardly any time; it is false when there is none.
func (w *world) endOne(r *rand.Rand) bool {
	var can []int
	for i, e := range w.pending {
		if w.canEnd(e) {
			can = append(can, i)
		}
	}
	if len(can) == 0 {
		return false
	}
	w.now += 50
	w.finish(can[r.Intn(len(can))])
	return true
}

func allReady(k *Kernel) bool {
	return !slices.ContainsFunc(k.supervisor.workers, func(w *worker) bool { return w.state != workerReady })
}

// While a worker hangs the others serve: puts one after the other all complete before its deadline.
func TestHungWorkerLeavesTheOthersServing(t *testing.T) {
	w := newWorld(native{New()})
	w.hangs["/loop"] = true
	w.start()
	w.run(1000)
	w.put("/loop", 1, false)
	w.run(1000)
	since := w.now
	for i := range 20 {
		id := w.put(fmt.Sprint("/", i), 1+3*inos.ChunkBytesMax, false)
		w.run(1000)
		w.mustComplete(t, id)
	}
	if w.now-since > moduleDeadline {
		t.Errorf("it took %d us", w.now-since)
	}
	if len(w.pending) != 1 {
		t.Errorf("%d effects are under way, not the one that hangs", len(w.pending))
	}
}
