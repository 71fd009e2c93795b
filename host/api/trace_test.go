package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
)

// A user sees what they did under a trace, and its spans, which sum what all did, when nobody else has a part in it.
func TestTraces(t *testing.T) {
	d, s := serve(t, Options{})
	id := strings.Repeat("ab", 16)
	d.record(inos.Event{ID: "1", Type: "files:put:v1:completed", TraceID: id, Subject: "operator"})
	d.spans[id] = []inos.Span{{TraceID: id, Stage: "storage:encode_chunk", Calls: 3}}
	if a := call(t, s, "GET", "/v1/traces/"+id, ""); !strings.Contains(a.body, `"storage:encode_chunk"`) {
		t.Errorf("%s", a.body)
	}
	seen := func(secret string, events, spans bool) {
		t.Helper()
		a := call(t, s, "GET", "/v1/traces/"+id, "", "Authorization", "Bearer "+secret)
		if a.status != 200 || strings.Contains(a.body, "guest's") != events || strings.Contains(a.body, "encode_chunk") != spans || secret == guestSecret && strings.Contains(a.body, "operator") {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	seen(guestSecret, false, false)
	d.record(inos.Event{ID: "2", Type: "files:get:v1:failed", TraceID: id, Subject: "guest", Detail: "guest's"}) // under the id of somebody else's
	seen(guestSecret, true, false)
	seen(operatorSecret, true, true)
	id = strings.Repeat("ef", 16)
	d.record(inos.Event{ID: "3", Type: "files:get:v1:completed", TraceID: id, Subject: "guest", Detail: "guest's"}, inos.Event{ID: "4", Type: "node:note:v1:completed", TraceID: id})
	d.spans[id] = []inos.Span{{TraceID: id, Stage: "storage:encode_chunk", Calls: 3}}
	seen(guestSecret, true, true)
	for _, bad := range []string{"x", strings.Repeat("0", 32), strings.Repeat("AB", 16)} {
		if a := call(t, s, "GET", "/v1/traces/"+bad, ""); a.status != 400 {
			t.Errorf("%s: %d", bad, a.status)
		}
	}
}

// A trace that is asked for directly behind the answer is complete: its end and its spans are waited for.
func TestTraceIsWaitedFor(t *testing.T) {
	d, s := serve(t, Options{})
	s.Config.Handler.(*Handler).traceWait = 10 * time.Minute // it comes
	id := strings.Repeat("cd", 16)
	asked := make(chan struct{}, 16)
	d.looked = func() {
		select {
		case asked <- struct{}{}:
		default:
		}
	}
	answers := make(chan answer, 1)
	go func() { answers <- call(t, s, "GET", "/v1/traces/"+id, "") }()
	<-asked
	for len(asked) > 0 {
		<-asked
	}
	d.record(inos.Event{ID: "1", Type: "files:put:v1:requested", TraceID: id, Subject: "operator"})
	<-asked // it looked again, and waits on
	d.mu.Lock()
	d.spans[id] = []inos.Span{{TraceID: id, Stage: "storage:encode_chunk", Calls: 3}}
	d.mu.Unlock()
	d.record(inos.Event{ID: "2", Type: "files:put:v1:completed", TraceID: id, Subject: "operator"})
	if a := <-answers; !strings.Contains(a.body, "files:put:v1:completed") || !strings.Contains(a.body, `"storage:encode_chunk"`) {
		t.Errorf("%s", a.body)
	}
}

// The kernel could not read an envelope with a tracestate that is no text, and nobody would ever answer the request.
func TestTracestateIsText(t *testing.T) {
	for state, want := range map[string]string{"a=b,c=d": "a=b,c=d", "a=\xff": "", "a=\u00fc": "", "a=\x7f": "", "a=" + strings.Repeat("x", traceStateMax): ""} {
		header := http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "Tracestate": {state}}
		if got := newTrace(header); got.tracestate != want || got.id() != "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("%q: %+v", state, got)
		}
	}
}
