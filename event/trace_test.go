package event

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

const sampleTraceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestParseTraceparent(t *testing.T) {
	for _, s := range []string{
		sampleTraceparent,
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
		"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff",
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-will-be-like",
	} {
		p, err := ParseTraceparent(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
		}
		if want := "00" + s[2:55]; p.String() != want {
			t.Errorf("%s written as %s", s, p)
		}
	}
	for name, s := range map[string]string{
		"empty":                      "",
		"one digit short":            sampleTraceparent[:54],
		"version 00 with more":       sampleTraceparent + "-x",
		"version 01 with text glued": "01" + sampleTraceparent[2:] + "x",
		"version ff":                 "ff" + sampleTraceparent[2:],
		"zero trace id":              "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
		"zero parent id":             "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"upper case":                 "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
		"not hexadecimal":            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
		"dashes out of place":        "004-bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	} {
		if p, err := ParseTraceparent(s); inos.CodeOf(err) != inos.CodeBadRequest || p != (Traceparent{}) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

func TestTraceparentRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Traceparent{[16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "trace")), [8]byte(rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "parent")), rapid.Byte().Draw(t, "flags")}
		p.TraceID[0], p.ParentID[0] = p.TraceID[0]|1, p.ParentID[0]|1
		if got, err := ParseTraceparent(p.String()); err != nil || got != p {
			t.Fatalf("%v, %v; want %v", got, err, p)
		}
	})
}

func TestTraceContext(t *testing.T) {
	e := &eventpb.Envelope{}
	if TraceID(e) != "" {
		t.Errorf("no metadata, trace %q", TraceID(e))
	}
	if _, ok := Deadline(e); ok {
		t.Error("no metadata, and a deadline")
	}
	e.Metadata = &eventpb.Metadata{TraceContext: map[string]string{KeyTraceparent: sampleTraceparent, KeyDeadline: "1763856030000000"}}
	if got := TraceID(e); got != "4bf92f3577b34da6a3ce929d0e0e4736" {
		t.Errorf("trace %q", got)
	}
	if at, ok := Deadline(e); !ok || at != 1763856030000000 {
		t.Errorf("deadline %d, %v", at, ok)
	}
	for _, bad := range []string{"", "0", "-5", "+5", "5s", "9223372036854775808", " 5", "5.0"} {
		e.Metadata.TraceContext[KeyDeadline] = bad
		if at, ok := Deadline(e); ok {
			t.Errorf("deadline %q read as %d", bad, at)
		}
	}
	e.Metadata.TraceContext[KeyTraceparent] = "garbage"
	if TraceID(e) != "" {
		t.Errorf("trace %q of garbage", TraceID(e))
	}
}

func FuzzParseTraceparent(f *testing.F) {
	f.Add(sampleTraceparent)
	f.Add("cc" + sampleTraceparent[2:] + "-more")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParseTraceparent(s)
		if err == nil && p.String() != "00"+s[2:55] {
			t.Fatalf("%q written as %q", s, p)
		}
	})
}
