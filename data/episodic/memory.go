package episodic

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/internal/sqlite"
)

// Memory is the twin of Store in plain slices: slow, clear, and gone with the process.
type Memory struct {
	options Options

	mu     sync.Mutex        // guards everything below
	events []inos.Event      // by Seq
	seen   map[eventKey]bool // those of events with an id
	spans  map[spanKey]inos.Span
	seq    uint64
	closed bool
}

type (
	eventKey struct{ id, eventType string }
	spanKey  struct{ traceID, stage string }
)

var _ inos.Episodic = (*Memory)(nil)

// NewMemory returns an empty episodic memory that keeps nothing on disk.
func NewMemory(o Options) *Memory {
	return &Memory{options: o.withDefaults(), seen: map[eventKey]bool{}, spans: map[spanKey]inos.Span{}}
}

func (m *Memory) enter(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return sqlite.Wrap(op, "before it began", err)
	}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return closed(op)
	}
	return nil
}

// Close makes every later call fail with CodeShuttingDown.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

// Record implements inos.Episodic.
func (m *Memory) Record(ctx context.Context, events []inos.Event, spans []inos.Span) error {
	const op = "episodic:record"
	if err := checkRecord(op, events, spans); err != nil {
		return err
	}
	if err := m.enter(ctx, op); err != nil {
		return err
	}
	defer m.mu.Unlock()
	for _, e := range events {
		e = cutEvent(e)
		if key := (eventKey{e.ID, e.Type}); e.ID != "" {
			if m.seen[key] {
				continue
			}
			m.seen[key] = true
		}
		m.seq++
		e.Seq = m.seq
		m.events = append(m.events, e)
	}
	for _, p := range spans {
		p = cutSpan(p)
		m.spans[spanKey{p.TraceID, p.Stage}] = p
	}
	m.trim(math.MinInt64)
	return nil
}

// trim removes what is older than a time, and the oldest beyond the bound of rows.
func (m *Memory) trim(before inos.Micros) {
	over := 0
	for _, e := range m.events {
		if e.At >= before {
			over++
		}
	}
	over -= m.options.RowsMax
	m.events = slices.DeleteFunc(m.events, func(e inos.Event) bool {
		gone := e.At < before
		if !gone && over > 0 {
			gone = true
			over--
		}
		if gone {
			delete(m.seen, eventKey{e.ID, e.Type})
		}
		return gone
	})
	maps.DeleteFunc(m.spans, func(_ spanKey, p inos.Span) bool { return p.LastEnd < before })
	if over := len(m.spans) - m.options.RowsMax; over > 0 {
		for _, p := range slices.SortedFunc(maps.Values(m.spans), byEnd)[:over] {
			delete(m.spans, spanKey{p.TraceID, p.Stage})
		}
	}
}

func byEnd(a, b inos.Span) int {
	return cmp.Or(cmp.Compare(a.LastEnd, b.LastEnd), strings.Compare(a.TraceID, b.TraceID), strings.Compare(a.Stage, b.Stage))
}

// Trim implements inos.Episodic.
func (m *Memory) Trim(ctx context.Context, now inos.Micros) (removed int, err error) {
	if err := m.enter(ctx, "episodic:trim"); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	before := len(m.events) + len(m.spans)
	m.trim(now - m.options.AgeMax)
	return before - len(m.events) - len(m.spans), nil
}

// Events implements inos.Episodic.
func (m *Memory) Events(ctx context.Context, f inos.EventFilter) (events []inos.Event, err error) {
	if err := m.enter(ctx, "episodic:events"); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	for _, e := range m.events {
		if matches(&e, &f) {
			events = append(events, e)
		}
	}
	if over := len(events) - eventsLimit(f.Limit); over > 0 {
		if f.Last {
			return events[over:], nil
		}
		return events[:len(events)-over], nil
	}
	return events, nil
}

func matches(e *inos.Event, f *inos.EventFilter) bool {
	return strings.HasPrefix(e.Type, f.TypePrefix) &&
		(f.TraceID == "" || e.TraceID == f.TraceID) &&
		(f.Subject == "" || e.Subject == f.Subject) &&
		e.Seq > f.AfterSeq &&
		(f.After == 0 || e.At > f.After)
}

// Spans implements inos.Episodic.
func (m *Memory) Spans(ctx context.Context, traceID string) (spans []inos.Span, err error) {
	if err := m.enter(ctx, "episodic:spans"); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	for _, p := range m.spans {
		if p.TraceID == traceID {
			spans = append(spans, p)
		}
	}
	slices.SortFunc(spans, func(a, b inos.Span) int {
		return cmp.Or(cmp.Compare(a.FirstStart, b.FirstStart), strings.Compare(a.Stage, b.Stage))
	})
	return spans[:min(len(spans), SpansMax)], nil
}
