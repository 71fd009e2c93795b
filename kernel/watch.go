package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

const opRecord = 1 // episodic:record

// watcher sees every effect and every end of one: it keeps a histogram per stage, sums the stages of each trace, flags what
// stalls, and writes history in batches to the episodic memory. When that memory is slow, history is dropped and
// counted; nothing waits for it.
type watcher struct {
	k        *Kernel
	table    map[string]*stage
	traces   map[string]*trace
	events   []*eventpb.EventRecord
	spans    []*eventpb.SpanRecord
	oldest   inos.Micros // when the first record that waits was made
	underWay uint32
	dropped  uint64
	nextDue  inos.Micros // the earliest deadline of an effect under way that is not flagged; 0: none
}

// stage counts what the effects of one kind did.
type stage struct {
	calls    uint64
	failed   uint64
	stalled  uint64
	inFlight uint32
	took     histogram
}

// trace sums the stages of one trace until its request ends.
type trace struct {
	requests uint32 // under way
	stages   map[string]*eventpb.SpanRecord
}

func (u *watcher) init(k *Kernel) {
	u.k = k
	u.table, u.traces = map[string]*stage{}, map[string]*trace{}
}

func (u *watcher) about() about {
	return about{name: "pipeline", kind: "watcher", inFlightMax: recordsInFlight}
}

func (u *watcher) hear(*input) {}

func (u *watcher) code(c *coder) {
	objects(c, &u.table, stagesMax, text[string], func(c *coder, s *stage) {
		num(c, &s.calls)
		num(c, &s.failed)
		num(c, &s.stalled)
		num(c, &s.inFlight)
		s.took.code(c)
	})
	objects(c, &u.traces, tracesMax, text[string], func(c *coder, t *trace) {
		num(c, &t.requests)
		objects(c, &t.stages, stagesPerTrace, text[string], spanCode)
	})
	pointers(c, &u.events, recordsMax, func(c *coder, e *eventpb.EventRecord) {
		text(c, &e.Id)
		text(c, &e.EventType)
		num(c, &e.TimestampUs)
		text(c, &e.TraceId)
		text(c, &e.Subject)
		text(c, &e.Path)
		text(c, &e.Detail)
		num(c, &e.DurationUs)
	})
	pointers(c, &u.spans, recordsMax+stagesPerTrace, spanCode)
	num(c, &u.oldest)
	num(c, &u.underWay)
	num(c, &u.dropped)
	num(c, &u.nextDue)
}

func spanCode(c *coder, s *eventpb.SpanRecord) {
	text(c, &s.TraceId)
	text(c, &s.Stage)
	num(c, &s.Calls)
	num(c, &s.FirstStartUs)
	num(c, &s.LastEndUs)
	num(c, &s.TotalUs)
	num(c, &s.MaxUs)
	num(c, &s.Failed)
	num(c, &s.Stalled)
	num(c, &s.Bytes)
}

// stage returns the counters of a stage; of those above the bound, one for all.
func (u *watcher) stage(name string) *stage {
	s, ok := u.table[name]
	if !ok {
		if len(u.table) >= stagesMax-1 {
			name = "other:stages"
			if s, ok = u.table[name]; ok {
				return s
			}
		}
		s = &stage{}
		u.table[name] = s
	}
	return s
}

// took notes an effect that was sent.
func (u *watcher) took(f *flight) {
	u.stage(f.stage).inFlight++
	u.nextDue = earlier(u.nextDue, f.deadline)
}

// landed notes the end of an effect.
func (u *watcher) landed(f *flight, err *inos.Error) {
	s := u.stage(f.stage)
	took := u.k.now - f.started
	s.inFlight--
	s.calls++
	s.took.add(took)
	if err != nil {
		s.failed++
	}
	u.span(f.trace, f.stage, f.started, f.bytes, err != nil, f.stalled)
}

// span adds one call to a trace's stage.
func (u *watcher) span(id, name string, started inos.Micros, bytes uint64, failed, stalled bool) {
	t, ok := u.traces[id]
	if !ok {
		return // upkeep, or a request that has ended
	}
	s, ok := t.stages[name]
	if !ok {
		if len(t.stages) >= stagesPerTrace {
			u.dropped++
			return
		}
		s = &eventpb.SpanRecord{TraceId: id, Stage: name, FirstStartUs: int64(started)}
		t.stages[name] = s
	}
	took := int64(u.k.now - started)
	s.Calls++
	s.FirstStartUs = min(s.FirstStartUs, int64(started))
	s.LastEndUs = int64(u.k.now)
	s.TotalUs += took
	s.MaxUs = max(s.MaxUs, took)
	s.Bytes += bytes
	if failed {
		s.Failed++
	}
	if stalled {
		s.Stalled++
	}
}

// began notes a client's request that was taken.
func (u *watcher) began(o *origin) {
	o.begun = true
	u.stage(event.Stage(o.eventType)).inFlight++
	t, ok := u.traces[o.trace]
	if !ok && len(u.traces) < tracesMax {
		t = &trace{stages: map[string]*eventpb.SpanRecord{}}
		u.traces[o.trace] = t
	}
	if t != nil {
		t.requests++
	}
	u.record(&eventpb.EventRecord{
		EventType: o.eventType, TraceId: o.trace, Subject: string(o.subject), Path: placeOf(o.owner, o.path, o.subject),
	})
}

// ended notes the answer to a client's request.
func (u *watcher) ended(o *origin, state event.State, detail string, err *inos.Error) {
	name := event.Stage(o.eventType)
	s := u.stage(name)
	s.calls++
	s.took.add(u.k.now - o.started)
	if err != nil {
		s.failed++
	}
	if o.eventType == event.UploadsSend && err == nil {
		return
	}
	u.record(&eventpb.EventRecord{
		EventType: event.WithState(o.eventType, state), TraceId: o.trace, Subject: string(o.subject), Path: placeOf(o.owner, o.path, o.subject),
		Detail: detail, DurationUs: int64(u.k.now - o.started),
	})
	if !o.begun {
		return
	}
	s.inFlight--
	u.span(o.trace, name, o.started, 0, err != nil, false)
	t, ok := u.traces[o.trace]
	if !ok {
		return
	}
	if t.requests--; t.requests > 0 {
		return
	}
	for _, name := range sortedKeys(t.stages) {
		if len(u.spans) < recordsMax {
			u.spans = append(u.spans, t.stages[name])
		} else {
			u.dropped++
		}
	}
	delete(u.traces, o.trace)
}

// refused notes a request that governance did not admit.
func (u *watcher) refused(e *eventpb.Envelope, s *session, err *inos.Error) {
	r := &eventpb.EventRecord{EventType: event.WithState(e.EventType, event.StateFailed), TraceId: event.TraceID(e), Detail: err.Code.Name() + ": " + err.Error()}
	subject := inos.Subject("")
	if s != nil {
		subject = s.subject
		r.Subject = string(subject)
	}
	a := aimOf(e, subject)
	r.Path = a.place(subject)
	u.record(r)
}

// note adds a line of history about the node itself.
func (u *watcher) note(eventType string, state event.State, detail string) {
	u.record(&eventpb.EventRecord{EventType: event.WithState(eventType, state), Detail: detail})
}

func (u *watcher) record(r *eventpb.EventRecord) {
	if u.k.node.booted && !u.k.node.switchboard {
		return // there is no memory to record it in
	}
	if len(u.events) >= recordsMax {
		u.dropped++
		return
	}
	r.Id, r.TimestampUs = event.NewID(u.k.now, u.k.random.ten()), int64(u.k.now)
	if len(r.Path) > inos.PathBytesMax {
		r.Path = r.Path[:inos.PathBytesMax]
	}
	if len(u.events)+len(u.spans) == 0 {
		u.oldest = u.k.now
	}
	u.events = append(u.events, r)
}

func (u *watcher) act() {
	if u.nextDue != 0 && u.nextDue <= u.k.now {
		u.flagStalled()
	}
	for u.underWay < recordsInFlight && len(u.events)+len(u.spans) > 0 &&
		(len(u.events)+len(u.spans) >= recordsPerCall || u.oldest+recordEvery <= u.k.now || u.k.node.draining) {
		u.flush()
	}
}

func (u *watcher) wake() inos.Micros {
	at := u.nextDue
	if u.underWay < recordsInFlight && len(u.events)+len(u.spans) > 0 {
		at = earlier(at, u.oldest+recordEvery)
	}
	return at
}

// flagStalled counts effects that have passed their deadline without an end, and notes each in the history.
func (u *watcher) flagStalled() {
	u.nextDue = 0
	for _, id := range sortedKeys(u.k.flights.table) {
		f := u.k.flights.table[id]
		if f.stalled {
			continue
		}
		if f.deadline > u.k.now {
			u.nextDue = earlier(u.nextDue, f.deadline)
			continue
		}
		f.stalled = true
		u.stage(f.stage).stalled++
		if f.effect != event.EpisodicRecord {
			u.record(&eventpb.EventRecord{
				EventType: event.WithState(f.effect, event.StateProcessing), TraceId: f.trace, DurationUs: int64(u.k.now - f.started),
				Detail: "stalled: " + f.stage + " has not ended after " + seconds(u.k.now-f.started),
			})
		}
	}
}

// flush sends one batch.
func (u *watcher) flush() {
	n := min(len(u.events), recordsPerCall)
	m := min(len(u.spans), recordsPerCall-n)
	q := &eventpb.RecordRequest{Events: u.events[:n:n], Spans: u.spans[:m:m]}
	u.underWay++
	u.k.send(nil, ask{owner: threadWatcher, op: opRecord, work: uint64(n + m)}, event.EpisodicRecord, q)
	u.events, u.spans = slices.Clone(u.events[n:]), slices.Clone(u.spans[m:])
	u.oldest = u.k.now
}

func (u *watcher) answer(a *answer) {
	u.underWay--
	if a.err != nil {
		u.dropped += a.work
	}
}

// idle says that nothing waits to be recorded.
func (u *watcher) idle() bool { return u.underWay == 0 && len(u.events)+len(u.spans) == 0 }

// stages returns the counters of every stage, by name.
func (u *watcher) stages() (out []*eventpb.StageStatus) {
	for _, name := range sortedKeys(u.table) {
		s := u.table[name]
		out = append(out, &eventpb.StageStatus{
			Stage: name, Calls: s.calls, Failed: s.failed, Stalled: s.stalled, InFlight: s.inFlight,
			P50Us: int64(s.took.percentile(50)), P95Us: int64(s.took.percentile(95)), P99Us: int64(s.took.percentile(99)),
		})
	}
	return out
}
