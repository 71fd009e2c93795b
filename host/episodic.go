package host

import (
	"context"
	"sync"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// episodicTrimEvery is how many batches are recorded between two trims of the history.
const episodicTrimEvery = 256

func (l *loop) performRecord(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.RecordRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	if l.node.episodic == nil { // a mere provider keeps no history
		l.node.recorded.announce()
		return &eventpb.RecordReply{}, nil
	}
	events := make([]inos.Event, len(q.Events))
	for i, r := range q.Events {
		events[i] = inos.Event{
			ID: r.Id, Type: r.EventType, At: inos.Micros(r.TimestampUs), TraceID: r.TraceId, Subject: inos.Subject(r.Subject),
			Path: r.Path, Detail: r.Detail, Duration: inos.Micros(r.DurationUs),
		}
	}
	spans := make([]inos.Span, len(q.Spans))
	for i, r := range q.Spans {
		spans[i] = inos.Span{
			TraceID: r.TraceId, Stage: r.Stage, Calls: r.Calls, FirstStart: inos.Micros(r.FirstStartUs), LastEnd: inos.Micros(r.LastEndUs),
			Total: inos.Micros(r.TotalUs), Max: inos.Micros(r.MaxUs), Failed: r.Failed, Stalled: r.Stalled, Bytes: r.Bytes,
		}
	}
	if err := l.node.episodic.Record(ctx, events, spans); err != nil {
		return nil, err
	}
	l.node.recorded.announce()
	if l.node.batches.Add(1) >= episodicTrimEvery {
		l.node.batches.Store(0)
		if _, err := l.node.episodic.Trim(ctx, l.node.clock.Now()); err != nil {
			l.node.batches.Store(episodicTrimEvery) // the next batch tries again: this one is recorded
			l.node.logf("trim history: %v", err)
		}
	}
	return &eventpb.RecordReply{}, nil
}

// announcer wakes everyone who waits for the next of something.
type announcer struct {
	mu   sync.Mutex // guards next
	next chan struct{}
}

// wait returns a channel that the next announce closes.
func (a *announcer) wait() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next == nil {
		a.next = make(chan struct{})
	}
	return a.next
}

func (a *announcer) announce() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next != nil {
		close(a.next)
		a.next = nil
	}
}
