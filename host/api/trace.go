package api

import (
	"crypto/rand"
	"net/http"
	"strings"

	"github.com/inos-mesh/inos/event"
)

// trace is the W3C Trace Context of one request: its own span, below the caller's when the caller named one.
type trace struct {
	traceparent string // "00-{32 hex}-{16 hex}-{2 hex}"
	tracestate  string
}

// newTrace continues the trace that a request's header names, or begins one. A malformed header begins a new one, as
// the recommendation asks (W3C Trace Context, 4.3); a tracestate that is too long or not of printable ASCII is dropped (3.3.1).
func newTrace(header http.Header) trace {
	t := event.Traceparent{Flags: 1}
	_, _ = rand.Read(t.TraceID[:]) // it cannot fail
	state := ""
	if values := header.Values("Traceparent"); len(values) == 1 {
		if given, err := event.ParseTraceparent(values[0]); err == nil {
			t = given
			if state = strings.Join(header.Values("Tracestate"), ","); len(state) > traceStateMax || strings.ContainsFunc(state, notPrintable) {
				state = ""
			}
		}
	}
	_, _ = rand.Read(t.ParentID[:])
	return trace{traceparent: t.String(), tracestate: state}
}

func notPrintable(r rune) bool { return r != '\t' && (r < ' ' || r > '~') }

// id returns the trace id, 32 hexadecimal digits.
func (t trace) id() string { return t.traceparent[3:35] }

// context returns the entries of a Metadata's trace_context.
func (t trace) context() map[string]string {
	m := map[string]string{event.KeyTraceparent: t.traceparent}
	if t.tracestate != "" {
		m[event.KeyTracestate] = t.tracestate
	}
	return m
}

// isTraceID tells whether s is 32 lower-case hexadecimal digits that are not all zero.
func isTraceID(s string) bool {
	return len(s) == 32 && isHex(s) && strings.Trim(s, "0") != ""
}

func isHex(s string) bool {
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && (s[i] < 'a' || s[i] > 'f') {
			return false
		}
	}
	return true
}
