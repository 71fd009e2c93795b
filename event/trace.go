package event

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Keys of Metadata.trace_context.
const (
	KeyTraceparent = "traceparent"   // W3C Trace Context, version 00
	KeyTracestate  = "tracestate"    // W3C Trace Context, passed on as it is
	KeyDeadline    = "inos-deadline" // Unix microseconds, decimal; the work is void afterwards
)

// Traceparent is a parsed W3C traceparent: who belongs together, and who caused whom.
type Traceparent struct {
	TraceID  [16]byte // not all zero
	ParentID [8]byte  // not all zero
	Flags    byte     // bit 0: sampled
}

// String returns the traceparent as it travels: "00-<32 digits>-<16 digits>-<2 digits>", lower-case hexadecimal.
func (t Traceparent) String() string {
	b := make([]byte, 0, 55)
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, t.TraceID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, t.ParentID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, []byte{t.Flags})
	return string(b)
}

// ParseTraceparent reads a traceparent (W3C Trace Context, 3.2). Versions above 00 may have more fields, which are ignored;
// version ff, upper-case digits and all-zero identifiers are refused.
func ParseTraceparent(s string) (t Traceparent, err error) {
	bad := func(what string) (Traceparent, error) {
		return Traceparent{}, inos.Errorf(inos.CodeBadRequest, "parse traceparent", "%.80q: %s", s, what)
	}
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return bad("not 00-{32 digits}-{16 digits}-{2 digits}")
	}
	var version, flags [1]byte
	if !lowerHex(version[:], s[0:2]) || !lowerHex(t.TraceID[:], s[3:35]) || !lowerHex(t.ParentID[:], s[36:52]) || !lowerHex(flags[:], s[53:55]) {
		return bad("a digit is not lower-case hexadecimal")
	}
	switch {
	case version[0] == 0xff:
		return bad("version ff is not valid")
	case version[0] == 0 && len(s) != 55, len(s) > 55 && s[55] != '-':
		return bad("more follows the flags")
	case t.TraceID == [16]byte{}:
		return bad("the trace id is zero")
	case t.ParentID == [8]byte{}:
		return bad("the parent id is zero")
	}
	t.Flags = flags[0]
	return t, nil
}

// TraceID returns the 32 hexadecimal digits of e's trace, or "" when it belongs to none.
func TraceID(e *eventpb.Envelope) string {
	s := e.GetMetadata().GetTraceContext()[KeyTraceparent]
	if _, err := ParseTraceparent(s); err != nil {
		return ""
	}
	return s[3:35]
}

// Deadline returns the time after which e's work is void; ok is false when it has none that can be read.
func Deadline(e *eventpb.Envelope) (at inos.Micros, ok bool) {
	s := e.GetMetadata().GetTraceContext()[KeyDeadline]
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 || s[0] == '+' {
		return 0, false
	}
	return inos.Micros(n), true
}

func lowerHex(dst []byte, s string) bool {
	if strings.ContainsAny(s, "ABCDEF") {
		return false
	}
	n, err := hex.Decode(dst, []byte(s))
	return err == nil && n == len(dst)
}
