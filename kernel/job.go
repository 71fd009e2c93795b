package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// job is a module call, from the moment a thread asks for it until the thread has its answer.
type job struct {
	id       uint64
	owner    threadID
	op       uint8
	work     uint64
	slot     uint64
	call     string // event type of what the module is asked
	input    uint64 // host buffer; 0: none
	output   uint64
	bytes    uint64 // plain bytes in work, for the adjusters
	offset   uint64 // of an encode_chunk
	payload  []byte // of everything but an encode_chunk, whose quality is decided late
	key      [inos.HashBytes]byte
	trace    string
	meta     *eventpb.Metadata
	turn     uint64
	queued   inos.Micros
	started  inos.Micros
	tries    uint8
	kills    uint8
	worker   uint32 // the last one
	life     uint64 // of that worker
	quality  uint32
	service  inos.Micros // how long it had the worker to itself
	underWay bool
	void     bool // nobody waits for its end: it is not tried again
}

func (j *job) code(c *coder) {
	num(c, &j.id)
	num(c, &j.owner)
	if j.owner >= threadCount {
		c.fail("thread %d", j.owner)
	}
	num(c, &j.op)
	num(c, &j.work)
	num(c, &j.slot)
	text(c, &j.call)
	num(c, &j.input)
	num(c, &j.output)
	num(c, &j.bytes)
	num(c, &j.offset)
	c.bytes(&j.payload)
	c.fixed(j.key[:])
	text(c, &j.trace)
	metadata(c, &j.meta)
	num(c, &j.turn)
	num(c, &j.queued)
	num(c, &j.started)
	num(c, &j.tries)
	num(c, &j.kills)
	num(c, &j.worker)
	num(c, &j.life)
	num(c, &j.quality)
	c.bool(&j.underWay)
	c.bool(&j.void)
}

// module asks for a module call on behalf of a request. Its end comes to the owner's answer, always in a later step,
// except for an input in quarantine: that is refused here and now.
func (k *Kernel) module(o *origin, a ask, call string, j job, m event.Message) *inos.Error {
	s := &k.supervisor
	if s.quarantined(j.key) {
		return poisoned(call, j.key)
	}
	s.lastJob++
	o.turn = max(s.clock, o.turn) + 1
	j.id, j.owner, j.op, j.work, j.slot, j.call = s.lastJob, a.owner, a.op, a.work, a.slot, call
	j.trace, j.meta, j.turn, j.queued = o.trace, o.meta, o.turn, k.now
	if m != nil {
		j.payload = event.Payload(m)
	}
	s.jobs[j.id] = &j
	s.enqueue(&j)
	s.dispatch()
	return nil
}

// enqueue puts a job where its turn is: behind all with the same turn.
func (s *supervisor) enqueue(j *job) {
	at, _ := slices.BinarySearchFunc(s.queue, j.turn+1, func(id, turn uint64) int {
		if s.jobs[id].turn < turn {
			return -1
		}
		return 1
	})
	s.queue = slices.Insert(s.queue, at, j.id)
}

// cancel drops the waiting jobs of one unit of work and returns them. Those under way end by themselves, with their worker
// at the latest.
func (s *supervisor) cancel(owner threadID, work uint64) (dropped []*job) {
	for _, w := range s.workers {
		for _, id := range w.calls {
			if j, ok := s.jobs[id]; ok && j.owner == owner && j.work == work {
				j.void = true
			}
		}
	}
	s.queue = slices.DeleteFunc(s.queue, func(id uint64) bool {
		j := s.jobs[id]
		if j.owner != owner || j.work != work {
			return false
		}
		dropped = append(dropped, j)
		delete(s.jobs, id)
		return true
	})
	return dropped
}

// request returns the payload of what the module is asked.
func (s *supervisor) request(j *job) []byte {
	if j.call != event.EncodeChunk {
		return j.payload
	}
	j.quality = s.k.quality.now(len(s.queue))
	return event.Payload(&eventpb.EncodeChunkRequest{OffsetBytes: j.offset, Quality: j.quality, PlainHash: j.key[:]})
}

// dispatch hands waiting jobs to workers, as far as the concurrency limit allows.
func (s *supervisor) dispatch() {
	for len(s.queue) > 0 && s.underWay < s.k.concurrency.limit {
		j := s.jobs[s.queue[0]]
		slot, ok := s.pick(j)
		if !ok {
			return
		}
		s.queue = s.queue[1:]
		s.clock = max(s.clock, j.turn)
		s.start(j, slot)
	}
}

// pick chooses the ready worker with the fewest calls under way; for an input that has killed a worker, another slot than
// that one's when another is ready.
func (s *supervisor) pick(j *job) (slot uint32, ok bool) {
	perWorker := min(callsPerWorkerMax, max(1, (s.k.concurrency.limit+s.k.node.workers-1)/max(1, s.k.node.workers)))
	best := uint32(callsPerWorkerMax)
	others := slices.ContainsFunc(s.workers, func(w *worker) bool {
		return w != s.workers[j.worker] && w.state == workerReady && !w.killing
	})
	for i, w := range s.workers {
		if w.state != workerReady || w.killing || w.gone || uint32(len(w.calls)) >= min(best, perWorker) {
			continue
		}
		if j.kills > 0 && uint32(i) == j.worker && others {
			continue
		}
		slot, best, ok = uint32(i), uint32(len(w.calls)), true
	}
	return slot, ok
}

func (s *supervisor) start(j *job, slot uint32) {
	w := s.workers[slot]
	j.underWay, j.worker, j.life, j.started = true, slot, w.life, s.k.now
	j.tries++
	if len(w.calls) == 0 {
		w.headSince = s.k.now
	}
	w.calls = append(w.calls, j.id)
	w.total++
	s.underWay++
	payload := s.request(j)
	inner := &eventpb.Envelope{Id: event.NewID(s.k.now, s.k.random.ten()), EventType: j.call, Timestamp: int64(s.k.now), Metadata: j.meta, Payload: payload}
	o := origin{trace: j.trace, meta: j.meta}
	s.k.send(&o, ask{owner: threadSupervisor, op: opCall, work: j.id, slot: uint64(slot), stage: event.Stage(j.call), bytes: j.bytes}, event.WorkerCall, &eventpb.WorkerCallRequest{
		Worker: slot, Input: j.input, Output: j.output, Envelope: event.Encode(nil, inner),
	})
}

// ended takes the end of a worker:call and either tries again or answers the job's owner.
func (s *supervisor) ended(a *answer) {
	j := s.jobs[a.work]
	s.underWay--
	j.underWay = false
	w := s.workers[j.worker]
	if a.err != nil && a.err.Code == inos.CodeWorkerLost {
		s.lost(w)
		w.gone = w.gone || j.life == w.life // no other call may be lost on it
		s.drop(w, j)
		s.again(j, a.err)
		return
	}
	j.service = s.k.now - max(j.started, w.headSince)
	s.drop(w, j)
	delete(s.jobs, j.id)
	result := &answer{op: j.op, work: j.work, slot: j.slot, err: a.err}
	if a.err == nil {
		delete(s.suspects.added, string(j.key[:])) // it went through: what ended a worker before was something else
		result.env, result.output, result.err = moduleReply(a.env, j)
	}
	if result.err == nil {
		s.k.concurrency.sample(j)
		s.k.quality.sample(j)
	}
	s.k.counters[j.owner].envelopes++
	s.k.threads[j.owner].answer(result)
	s.dispatch()
}

// moduleReply opens what a module answered.
func moduleReply(e *eventpb.Envelope, j *job) (reply *eventpb.Envelope, output bool, failure *inos.Error) {
	bad := func(format string, args ...any) (*eventpb.Envelope, bool, *inos.Error) {
		return nil, false, inos.Errorf(inos.CodeModuleFailed, event.Stage(j.call), format, args...)
	}
	var r eventpb.WorkerCallReply
	if err := event.Open(e, &r); err != nil {
		return bad("%w", err)
	}
	output = r.OutputBytes > 0 && j.output != 0
	inner := &eventpb.Envelope{}
	if err := inner.UnmarshalVT(r.Envelope); err != nil {
		_, _, failure = bad("the module's answer does not decode: %w", err)
		return nil, output, failure
	}
	switch inner.EventType {
	case event.WithState(j.call, event.StateCompleted):
		return inner, output, nil
	case event.WithState(j.call, event.StateFailed):
		return nil, output, event.FailureOf(inner)
	}
	_, _, failure = bad("the module answered %.128q", inner.EventType)
	return nil, output, failure
}

// drop takes a job off its worker's list. Whatever is first now has the worker to itself.
func (s *supervisor) drop(w *worker, j *job) {
	i := slices.Index(w.calls, j.id)
	if i < 0 || w.life != j.life {
		return
	}
	w.calls = slices.Delete(w.calls, i, i+1)
	if i == 0 {
		w.headSince = s.k.now
	}
}

// again queues a job whose worker was lost, or gives it up: at once when its input has killed its second worker.
func (s *supervisor) again(j *job, err *inos.Error) {
	var same []*job
	switch {
	case j.kills >= 2 || s.quarantined(j.key):
		same = s.quarantine(j.key)
		err = poisoned(j.call, j.key)
	case !j.void && j.tries < callTriesMax && !s.hopeless():
		s.enqueue(j)
		s.dispatch()
		return
	}
	s.abandon(j, err)
	for _, other := range same {
		s.abandon(other, poisoned(other.call, other.key))
	}
}

// abandon ends a job without a result.
func (s *supervisor) abandon(j *job, err *inos.Error) {
	delete(s.jobs, j.id)
	s.k.counters[j.owner].envelopes++
	s.k.threads[j.owner].answer(&answer{op: j.op, work: j.work, slot: j.slot, err: err})
}

// poisoned returns the error for an input in quarantine.
func poisoned(call string, key [inos.HashBytes]byte) *inos.Error {
	return inos.Errorf(inos.CodeInputQuarantined, event.Stage(call), "the input %x killed two workers and is not tried for %s", key[:8], seconds(quarantineFor))
}
