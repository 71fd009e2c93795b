package api

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"
)

// trace is the W3C Trace Context of one request: its own span, below the caller's when the caller named one.
type trace struct {
	traceparent string // "00-{32 hex}-{16 hex}-{2 hex}"
	tracestate  string
}

// newTrace continues the trace that a request's header names, or begins one. A malformed header begins a new one, as
// the recommendation asks (W3C Trace Context, 4.3).
func newTrace(header http.Header) trace {
	var random [24]byte
	_, _ = rand.Read(random[:]) // it cannot fail
	id, flags, state := hex.EncodeToString(random[:16]), "01", ""
	if values := header.Values("Traceparent"); len(values) == 1 {
		if given, givenFlags, ok := parseTraceparent(values[0]); ok {
			id, flags = given, givenFlags
			state = strings.Join(header.Values("Tracestate"), ",")
			if len(state) > traceStateMax {
				state = ""
			}
		}
	}
	return trace{traceparent: "00-" + id + "-" + hex.EncodeToString(random[16:]) + "-" + flags, tracestate: state}
}

// id returns the trace id, 32 hexadecimal digits.
func (t trace) id() string { return t.traceparent[3:35] }

// context returns the entries of a Metadata's trace_context.
func (t trace) context() map[string]string {
	m := map[string]string{"traceparent": t.traceparent}
	if t.tracestate != "" {
		m["tracestate"] = t.tracestate
	}
	return m
}

// parseTraceparent reads version 00, and of a later version the part that version 00 has (W3C Trace Context, 3.2).
func parseTraceparent(s string) (id, flags string, ok bool) {
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return "", "", false
	}
	version, id, parent, flags := s[:2], s[3:35], s[36:52], s[53:55]
	if !isHex(version) || version == "ff" || !isTraceID(id) || !isHex(parent) || strings.Trim(parent, "0") == "" || !isHex(flags) {
		return "", "", false
	}
	if len(s) > 55 && (version == "00" || s[55] != '-') {
		return "", "", false
	}
	return id, flags, true
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
