package datatest

import (
	"fmt"
	"testing"

	"github.com/inos-mesh/inos"
	"pgregory.net/rapid"
)

// EpisodicTwins runs random calls on two memories side by side and compares every answer. open returns both empty,
// with bounds; done is called at the end of each run.
func EpisodicTwins(t *testing.T, open func(t *rapid.T, b EpisodicBounds) (a, b2 inos.Episodic, done func())) {
	rapid.Check(t, func(t *rapid.T) {
		bounds := EpisodicBounds{RowsMax: rapid.IntRange(1, 30).Draw(t, "rows"), AgeMax: inos.Micros(rapid.IntRange(1, 50).Draw(t, "age"))}
		a, b, done := open(t, bounds)
		defer done()
		w := &episodicTwins{a: a, b: b}
		t.Repeat(map[string]func(*rapid.T){"record": w.record, "events": w.events, "spans": w.spans, "trim": w.trim})
	})
}

type episodicTwins struct{ a, b inos.Episodic }

func (w *episodicTwins) both(t *rapid.T, what string, call func(inos.Episodic) (any, error)) {
	show := func(v any, err error) string {
		if err != nil {
			return inos.CodeOf(err).Name()
		}
		return fmt.Sprintf("%+v", v)
	}
	first, second := show(call(w.a)), show(call(w.b))
	if first != second {
		t.Fatalf("%s\n first: %s\nsecond: %s", what, first, second)
	}
}

var (
	texts  = rapid.SampledFrom([]string{"", "a", "a:b", "a_b", "a%", "b", "é", "\xff", "\xff\xff", "a\x00b"})
	traces = rapid.SampledFrom([]string{"", "t1", "t2", "t3"})
	times  = rapid.IntRange(0, 120)
)

func (w *episodicTwins) record(t *rapid.T) {
	var events []inos.Event
	var spans []inos.Span
	for range rapid.IntRange(0, 12).Draw(t, "events") {
		events = append(events, inos.Event{
			ID: texts.Draw(t, "id"), Type: texts.Draw(t, "type"), At: inos.Micros(times.Draw(t, "at")), TraceID: traces.Draw(t, "trace"),
			Subject: inos.Subject(texts.Draw(t, "subject")), Path: texts.Draw(t, "path"), Detail: texts.Draw(t, "detail"),
		})
	}
	for range rapid.IntRange(0, 8).Draw(t, "spans") {
		spans = append(spans, inos.Span{
			TraceID: traces.Draw(t, "trace"), Stage: fmt.Sprint("s", rapid.IntRange(0, 15).Draw(t, "stage")),
			FirstStart: inos.Micros(times.Draw(t, "start")), LastEnd: inos.Micros(times.Draw(t, "end")), Bytes: rapid.Uint64Range(0, 1<<63-1).Draw(t, "bytes"),
		})
	}
	w.both(t, "record", func(m inos.Episodic) (any, error) { return nil, m.Record(background, events, spans) })
	w.both(t, "all", func(m inos.Episodic) (any, error) { return m.Events(background, inos.EventFilter{}) })
}

func (w *episodicTwins) events(t *rapid.T) {
	f := inos.EventFilter{
		TypePrefix: texts.Draw(t, "prefix"), TraceID: traces.Draw(t, "trace"), Subject: inos.Subject(texts.Draw(t, "subject")),
		AfterSeq: uint64(times.Draw(t, "seq")), After: inos.Micros(times.Draw(t, "after")), Limit: rapid.IntRange(0, 5).Draw(t, "limit"), Last: rapid.Bool().Draw(t, "last"),
	}
	for _, clear := range []func(){func() {}, func() { f.Subject = "" }, func() { f.TraceID = "" }, func() { f.After = 0 }, func() { f.TypePrefix = "" }, func() { f.AfterSeq = 0 }} {
		clear()
		w.both(t, fmt.Sprintf("events %+v", f), func(m inos.Episodic) (any, error) { return m.Events(background, f) })
	}
}

func (w *episodicTwins) spans(t *rapid.T) {
	trace := traces.Draw(t, "trace")
	w.both(t, "spans "+trace, func(m inos.Episodic) (any, error) { return m.Spans(background, trace) })
}

func (w *episodicTwins) trim(t *rapid.T) {
	now := inos.Micros(times.Draw(t, "now"))
	w.both(t, fmt.Sprint("trim ", now), func(m inos.Episodic) (any, error) { return m.Trim(background, now) })
}
