package datatest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/inos-mesh/inos"
)

// EpisodicBounds are the bounds that the suite of inos.Episodic wants a memory opened with.
type EpisodicBounds struct {
	RowsMax int         // events, and as many spans
	AgeMax  inos.Micros // of what Trim keeps
}

// Episodic is the acceptance suite of inos.Episodic. open returns an empty memory with the bounds; the suite closes it.
func Episodic(t *testing.T, open func(t *testing.T, b EpisodicBounds) inos.Episodic) {
	wide := EpisodicBounds{RowsMax: 20_000, AgeMax: inos.Day}
	cases := []struct {
		name   string
		bounds EpisodicBounds
		run    func(*testing.T, inos.Episodic)
	}{
		{"events come back as recorded, in order", wide, episodicOrder},
		{"an id and type is recorded once", wide, episodicOnce},
		{"filters select", wide, episodicFilters},
		{"limits page", wide, episodicLimits},
		{"spans of a trace come by first start", wide, episodicSpans},
		{"a span replaces the one of its trace and stage", wide, episodicSpanAgain},
		{"rows never exceed their bound", EpisodicBounds{RowsMax: 10, AgeMax: inos.Day}, episodicRows},
		{"trimming removes what is too old", EpisodicBounds{RowsMax: 20_000, AgeMax: 100}, episodicAge},
		{"long texts are cut between characters", wide, episodicCut},
		{"a batch too large is refused", wide, episodicBatch},
		{"batches run from many goroutines at once", wide, episodicConcurrent},
		{"a closed memory and an ended context are refused", wide, episodicClosed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := open(t, c.bounds)
			defer func() {
				if err := m.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}()
			c.run(t, m)
		})
	}
}

func eventOf(n int) inos.Event {
	return inos.Event{
		ID: fmt.Sprintf("0199f000-0000-7000-8000-%012x", n), Type: "files:put:v1:completed", At: inos.Micros(1000 + n), TraceID: fmt.Sprintf("%032x", n%3),
		Subject: inos.Subject(fmt.Sprint("user", n%2)), Path: fmt.Sprint("/f/", n), Detail: "4096 bytes", Duration: inos.Micros(n),
	}
}

func eventsOf(t *testing.T, m inos.Episodic, f inos.EventFilter) []inos.Event {
	t.Helper()
	events, err := m.Events(background, f)
	must(t, err)
	return events
}

func seqs(events []inos.Event) string {
	var s []string
	for _, e := range events {
		s = append(s, fmt.Sprint(e.Seq))
	}
	return strings.Join(s, " ")
}

func episodicOrder(t *testing.T, m inos.Episodic) {
	equal(t, "events of an empty memory", len(eventsOf(t, m, inos.EventFilter{})), 0)
	var want []inos.Event
	for i := range 5 {
		e := eventOf(10 - i) // times run backwards; Seq is the order of recording
		must(t, m.Record(background, []inos.Event{e}, nil))
		e.Seq = uint64(i) + 1
		want = append(want, e)
	}
	got := eventsOf(t, m, inos.EventFilter{})
	equal(t, "events", fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want))
	must(t, m.Record(background, nil, nil))
}

func episodicOnce(t *testing.T, m inos.Episodic) {
	a, b := eventOf(1), eventOf(2)
	must(t, m.Record(background, []inos.Event{a, a}, nil))
	changed := a
	changed.Detail = "another"
	must(t, m.Record(background, []inos.Event{changed, b}, nil))
	reply := a // a reply carries the id of its request
	reply.Type = "files:put:v1:failed"
	must(t, m.Record(background, []inos.Event{reply}, nil))
	events := eventsOf(t, m, inos.EventFilter{})
	equal(t, "seqs without a gap", seqs(events), "1 2 3")
	equal(t, "the first is kept", events[0].Detail, a.Detail)
	// Without an id nothing is a repetition.
	a.ID = ""
	must(t, m.Record(background, []inos.Event{a, a}, nil))
	equal(t, "seqs", seqs(eventsOf(t, m, inos.EventFilter{})), "1 2 3 4 5")
}

func episodicFilters(t *testing.T, m inos.Episodic) {
	types := []string{"files:put:v1:completed", "files:put:v1:failed", "files_x:put:v1:failed", "node:status:v1:completed", "files:get:v1:completed"}
	var batch []inos.Event
	for i := range 10 {
		e := eventOf(i)
		e.Type = types[i%len(types)]
		batch = append(batch, e)
	}
	must(t, m.Record(background, batch, nil))
	for _, c := range []struct {
		name string
		f    inos.EventFilter
		want string
	}{
		{"all", inos.EventFilter{}, "1 2 3 4 5 6 7 8 9 10"},
		{"prefix", inos.EventFilter{TypePrefix: "files:"}, "1 2 5 6 7 10"},
		{"prefix with an underscore is no wildcard", inos.EventFilter{TypePrefix: "files_"}, "3 8"},
		{"prefix with a percent sign is no wildcard", inos.EventFilter{TypePrefix: "%"}, ""},
		{"whole type", inos.EventFilter{TypePrefix: "files:put:v1:failed"}, "2 7"},
		{"prefix of the highest bytes", inos.EventFilter{TypePrefix: "\xff"}, ""},
		{"trace", inos.EventFilter{TraceID: fmt.Sprintf("%032x", 2)}, "3 6 9"},
		{"subject", inos.EventFilter{Subject: "user1"}, "2 4 6 8 10"},
		{"unknown subject", inos.EventFilter{Subject: "user"}, ""},
		{"after seq", inos.EventFilter{AfterSeq: 8}, "9 10"},
		{"after the last seq", inos.EventFilter{AfterSeq: 1<<64 - 1}, ""},
		{"after a time", inos.EventFilter{After: 1007}, "9 10"},
		{"all of them", inos.EventFilter{TypePrefix: "files", TraceID: fmt.Sprintf("%032x", 0), Subject: "user1", AfterSeq: 1, After: 1}, "10"},
		{"last", inos.EventFilter{Last: true, Limit: 3}, "8 9 10"},
		{"last of a prefix", inos.EventFilter{Last: true, Limit: 2, TypePrefix: "files:"}, "7 10"},
		{"last of fewer", inos.EventFilter{Last: true, Limit: 99, TypePrefix: "node:"}, "4 9"},
	} {
		equal(t, c.name, seqs(eventsOf(t, m, c.f)), c.want)
	}
}

func episodicLimits(t *testing.T, m inos.Episodic) {
	var batch []inos.Event
	for i := range 11_000 {
		batch = append(batch, eventOf(i))
	}
	must(t, m.Record(background, batch, nil))
	equal(t, "no limit", len(eventsOf(t, m, inos.EventFilter{})), 1000)
	equal(t, "a limit too large", len(eventsOf(t, m, inos.EventFilter{Limit: 1 << 40})), 10_000)
	var after uint64
	n := 0
	for {
		page := eventsOf(t, m, inos.EventFilter{Limit: 3000, AfterSeq: after})
		if len(page) == 0 {
			break
		}
		n += len(page)
		after = page[len(page)-1].Seq
	}
	equal(t, "in pages", n, 11_000)
}

func episodicSpans(t *testing.T, m inos.Episodic) {
	a := inos.Span{TraceID: "t", Stage: "files:put", Calls: 1, FirstStart: 10, LastEnd: 90, Total: 80, Max: 80, Bytes: 1 << 40}
	b := inos.Span{TraceID: "t", Stage: "content:write_chunk", Calls: 7, FirstStart: 5, LastEnd: 70, Total: 100, Max: 30, Failed: 1, Stalled: 2, Bytes: 9}
	other := inos.Span{TraceID: "u", Stage: "files:put", Calls: 1}
	must(t, m.Record(background, nil, []inos.Span{a, other, b}))
	spans, err := m.Spans(background, "t")
	must(t, err)
	equal(t, "spans", fmt.Sprintf("%+v", spans), fmt.Sprintf("%+v", []inos.Span{b, a}))
	spans, err = m.Spans(background, "unknown")
	must(t, err)
	equal(t, "spans of an unknown trace", len(spans), 0)
}

func episodicSpanAgain(t *testing.T, m inos.Episodic) {
	a := inos.Span{TraceID: "t", Stage: "files:put", Calls: 1, FirstStart: 10, LastEnd: 20}
	must(t, m.Record(background, nil, []inos.Span{a}))
	a.Calls, a.LastEnd, a.Bytes = 5, 90, 7
	for range 2 {
		must(t, m.Record(background, nil, []inos.Span{a}))
	}
	spans, err := m.Spans(background, "t")
	must(t, err)
	equal(t, "spans", fmt.Sprintf("%+v", spans), fmt.Sprintf("%+v", []inos.Span{a}))
}

func episodicRows(t *testing.T, m inos.Episodic) {
	for i := range 4 {
		var events []inos.Event
		var spans []inos.Span
		for j := range 7 {
			events = append(events, eventOf(7*i+j))
			spans = append(spans, inos.Span{TraceID: "t", Stage: fmt.Sprint("s:", 7*i+j), FirstStart: inos.Micros(7*i + j), LastEnd: inos.Micros(100 - 7*i - j)})
		}
		must(t, m.Record(background, events, spans))
	}
	equal(t, "the last events recorded", seqs(eventsOf(t, m, inos.EventFilter{})), "19 20 21 22 23 24 25 26 27 28")
	spans, err := m.Spans(background, "t")
	must(t, err)
	equal(t, "spans", len(spans), 10)
	// In each batch the spans that ended first go; here those of the batch itself do.
	equal(t, "the latest ends are kept", spans[0].Stage+" "+spans[9].Stage, "s:0 s:9")
	n, err := m.Trim(background, 0)
	must(t, err)
	equal(t, "trimmed", n, 0)
	// A forgotten event is new again and Seq goes on.
	must(t, m.Record(background, []inos.Event{eventOf(0)}, nil))
	equal(t, "seq", seqs(eventsOf(t, m, inos.EventFilter{Last: true, Limit: 1})), "29")
}

func episodicAge(t *testing.T, m inos.Episodic) {
	var events []inos.Event
	var spans []inos.Span
	for i := range 9000 { // more than one transaction trims
		e := eventOf(i)
		e.At = inos.Micros(i)
		events = append(events, e)
		if i < 100 {
			spans = append(spans, inos.Span{TraceID: "t", Stage: fmt.Sprint(i), LastEnd: inos.Micros(i)})
		}
	}
	must(t, m.Record(background, events, spans))
	n, err := m.Trim(background, 150)
	must(t, err)
	equal(t, "trimmed: 50 events, 50 spans", n, 100)
	equal(t, "the oldest event", eventsOf(t, m, inos.EventFilter{Limit: 1})[0].At, 50)
	n, err = m.Trim(background, 100_000)
	must(t, err)
	equal(t, "trimmed", n, 8950+50)
	equal(t, "events", len(eventsOf(t, m, inos.EventFilter{})), 0)
	must(t, m.Record(background, events[:1], nil))
	equal(t, "seq goes on", seqs(eventsOf(t, m, inos.EventFilter{})), "9001")
}

func episodicCut(t *testing.T, m inos.Episodic) {
	e := eventOf(1)
	e.Detail = strings.Repeat("é", 4000)
	e.Path = "/" + strings.Repeat("é", 2000)
	must(t, m.Record(background, []inos.Event{e}, nil))
	got := eventsOf(t, m, inos.EventFilter{})[0]
	equal(t, "detail", got.Detail, strings.Repeat("é", 2048))
	equal(t, "path", got.Path, "/"+strings.Repeat("é", 511))
}

func episodicBatch(t *testing.T, m inos.Episodic) {
	wantCode(t, m.Record(background, make([]inos.Event, 20_000), nil), inos.CodeBadRequest)
	equal(t, "events", len(eventsOf(t, m, inos.EventFilter{})), 0)
}

func episodicConcurrent(t *testing.T, m inos.Episodic) {
	const callers, batches = 8, 10
	var group sync.WaitGroup
	fail := make(chan error, callers*batches)
	for c := range callers {
		group.Go(func() {
			for i := range batches {
				batch := []inos.Event{eventOf(1000*c + i), eventOf(1000*c + i + 500)}
				if err := m.Record(background, batch, []inos.Span{{TraceID: fmt.Sprint(c), Stage: "s"}}); err != nil {
					fail <- err
				}
				if _, err := m.Events(background, inos.EventFilter{Last: true, Limit: 5}); err != nil {
					fail <- err
				}
				if _, err := m.Trim(background, 0); err != nil {
					fail <- err
				}
			}
		})
	}
	group.Wait()
	close(fail)
	for err := range fail {
		t.Error(err)
	}
	equal(t, "events", len(eventsOf(t, m, inos.EventFilter{})), callers*batches*2)
}

func episodicClosed(t *testing.T, m inos.Episodic) {
	ctx, cancel := context.WithCancel(background)
	cancel()
	wantCode(t, m.Record(ctx, []inos.Event{eventOf(1)}, nil), inos.CodeCanceled)
	_, err := m.Events(ctx, inos.EventFilter{})
	wantCode(t, err, inos.CodeCanceled)
	must(t, m.Close())
	wantCode(t, m.Record(background, []inos.Event{eventOf(1)}, nil), inos.CodeShuttingDown)
	_, err = m.Events(background, inos.EventFilter{})
	wantCode(t, err, inos.CodeShuttingDown)
	_, err = m.Spans(background, "t")
	wantCode(t, err, inos.CodeShuttingDown)
	_, err = m.Trim(background, 1)
	wantCode(t, err, inos.CodeShuttingDown)
}
