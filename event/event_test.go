package event

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

func loadVectors(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("vectors", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestDecodeVectors(t *testing.T) {
	var v envelopeVectors
	loadVectors(t, "envelopes.json", &v)
	for _, c := range v.Valid {
		t.Run(c.Name, func(t *testing.T) {
			e, err := Decode(unhex(t, c.Input))
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(Encode(nil, e)); got != c.Canonical {
				t.Errorf("canonical bytes %s, want %s", got, c.Canonical)
			}
			again, err := Decode(unhex(t, c.Canonical))
			if err != nil {
				t.Fatal(err)
			}
			if !again.EqualVT(e) {
				t.Error("the canonical bytes decode to another envelope")
			}
		})
	}
	for _, c := range v.Sizes {
		t.Run(c.Name, func(t *testing.T) {
			if _, err := Decode(Encode(nil, c.envelope())); uint32(inos.CodeOf(err)) != c.Code {
				t.Errorf("%v, want code %d", err, c.Code)
			}
		})
	}
	for _, c := range v.Invalid {
		t.Run(c.Name, func(t *testing.T) {
			if e, err := Decode(unhex(t, c.Input)); uint32(inos.CodeOf(err)) != c.Code || e != nil {
				t.Errorf("%v, want code %d and no envelope", err, c.Code)
			}
		})
	}
}

// TestDecodeRefusesBeforeItAllocates feeds heads that exceed the bound within the bound of the whole.
func TestDecodeRefusesBeforeItAllocates(t *testing.T) {
	for name, b := range map[string][]byte{
		"one long id":            Encode(nil, &eventpb.Envelope{Id: strings.Repeat("a", 4<<20), EventType: vectorType}),
		"a million unknown ones": bytes.Repeat([]byte{6 << 3, 0}, 1<<20),
		"many metadata":          bytes.Repeat(field(4, mapEntry("k", "v")...), 1<<18),
		"many payloads":          bytes.Repeat(field(5, 1), 1<<20),
		"more than everything":   make([]byte, inos.EnvelopeHeadBytesMax+inos.PayloadBytesMax+1),
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			if n := allocated(func() { _, err = Decode(b) }); n > 64<<10 {
				t.Errorf("%d bytes allocated", n)
			}
			if inos.CodeOf(err) != inos.CodeEnvelopeTooLarge {
				t.Error(err)
			}
		})
	}
}

func TestDecodeDoesNotAlias(t *testing.T) {
	e := fullEnvelope()
	b := append(Encode(nil, e), unknownField...)
	got, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if want := append(Encode(nil, e), unknownField...); !bytes.Equal(Encode(nil, got), want) {
		t.Error("the envelope changed with the bytes it was decoded from")
	}
}

// TestEncodeAppends: what is in front stays, and a destination with room is not copied.
func TestEncodeAppends(t *testing.T) {
	b := Encode([]byte("front"), fullEnvelope())
	if !bytes.HasPrefix(b, []byte("front")) || !bytes.Equal(b[5:], Encode(nil, fullEnvelope())) {
		t.Error("the bytes in front were not kept")
	}
}

var text = rapid.StringN(0, 40, 80)

func drawEnvelope(t *rapid.T) *eventpb.Envelope {
	snake := rapid.StringMatching(`[a-z][a-z0-9_]{0,20}`)
	typ := Type{
		snake.Draw(t, "service"), snake.Draw(t, "action"), rapid.Uint32Min(1).Draw(t, "version"),
		rapid.SampledFrom([]State{StateRequested, StateProcessing, StateCompleted, StateFailed}).Draw(t, "state"),
	}
	e := &eventpb.Envelope{
		Id: text.Draw(t, "id"), EventType: typ.String(), Timestamp: rapid.Int64Min(0).Draw(t, "timestamp"),
		Payload: rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "payload"),
	}
	if rapid.Bool().Draw(t, "metadata") {
		e.Metadata = &eventpb.Metadata{
			UserId: text.Draw(t, "user"), DeviceId: text.Draw(t, "device"),
			TraceContext: rapid.MapOfN(text, text, 0, 8).Draw(t, "context"), SecurityToken: text.Draw(t, "token"),
		}
	}
	return e
}

// TestRoundTrip: decoding returns what was encoded, and encoding again returns the same bytes, whatever the map's order.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEnvelope(t)
		b := Encode(nil, e)
		got, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if len(e.Payload) == 0 {
			e.Payload = nil
		}
		if !got.EqualVT(e) {
			t.Fatalf("%v decoded as %v", e, got)
		}
		if !bytes.Equal(Encode(nil, got), b) {
			t.Fatal("encoded again, the bytes differ")
		}
	})
}

// TestMapEntriesAreSorted reads the keys off the wire.
func TestMapEntriesAreSorted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &eventpb.Metadata{TraceContext: rapid.MapOfN(text, text, 2, 20).Draw(t, "context")}
		b, err := m.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for len(b) > 0 {
			_, _, entry, rest, err := nextField(b)
			if err != nil {
				t.Fatal(err)
			}
			_, _, key, _, err := nextField(entry)
			if err != nil {
				t.Fatal(err)
			}
			keys, b = append(keys, string(key)), rest
		}
		if !slices.Equal(keys, slices.Sorted(maps.Keys(m.TraceContext))) {
			t.Fatalf("keys on the wire: %q", keys)
		}
	})
}

// TestSpecificationReadsOurBytes decodes an envelope with protoc and the text of the specification, section 6.2. A field
// that the text does not know would be printed as a number.
func TestSpecificationReadsOurBytes(t *testing.T) {
	protoc, err := exec.LookPath("protoc")
	if err != nil {
		t.Fatal("protoc is not installed; it checks our bytes against the specification (Debian: apt-get install protobuf-compiler)")
	}
	decode := func(b []byte) string {
		cmd := exec.Command(protoc, "-I", "testdata", "--decode=inos.v1.Envelope", "spec.proto")
		cmd.Stdin = bytes.NewReader(b)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	unknown := regexp.MustCompile(`(?m)^\s*\d+[:\s{]`)
	e := fullEnvelope()
	got := decode(Encode(nil, e))
	if unknown.MatchString(got) {
		t.Errorf("the specification does not know every field:\n%s", got)
	}
	for _, want := range []string{
		`id: "` + e.Id + `"`, `event_type: "` + e.EventType + `"`, "timestamp: 1763856000000000", `user_id: "ada"`, `device_id: "laptop"`,
		`key: "inos-deadline"`, `value: "1763856030000000"`, `key: "traceparent"`, `key: "tracestate"`, `security_token: "host"`, `payload: "\000\001\002\377"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in:\n%s", want, got)
		}
	}
	if !unknown.MatchString(decode(append(Encode(nil, e), unknownField...))) {
		t.Error("a field that the specification does not know was not noticed: the check above proves nothing")
	}
}

func TestReply(t *testing.T) {
	request := fullEnvelope()
	reply := Reply(request, StateCompleted, 7, []byte("answer"))
	want := fullEnvelope()
	want.EventType, want.Timestamp, want.Payload, want.Metadata.SecurityToken = "files:put:v1:completed", 7, []byte("answer"), ""
	if !reply.EqualVT(want) {
		t.Errorf("reply %v, want %v", reply, want)
	}
	if reply := Reply(&eventpb.Envelope{EventType: vectorType}, StateProcessing, 0, nil); reply.Metadata != nil {
		t.Error("the reply to a request without metadata has metadata")
	}
}

func TestFailed(t *testing.T) {
	cause := inos.Errorf(inos.CodeBusy, "files:put", "100 puts are under way")
	cause.RetryAfter = inos.Second
	for name, c := range map[string]struct {
		err  error
		want inos.Error
	}{
		"with a code":       {cause, inos.Error{Code: inos.CodeBusy, Op: "files:put", Message: "100 puts are under way", Hint: inos.CodeBusy.Hint(), RetryAfter: inos.Second}},
		"without a code":    {errors.New("odd"), inos.Error{Code: inos.CodeInternal, Op: "unknown", Message: "odd", Hint: inos.CodeInternal.Hint()}},
		"own hint":          {&inos.Error{Code: inos.CodeIO, Op: "x", Hint: "look"}, inos.Error{Code: inos.CodeIO, Op: "x", Hint: "look"}},
		"text not UTF-8":    {&inos.Error{Code: inos.CodeIO, Op: "x", Message: "a\xffb", Hint: "h"}, inos.Error{Code: inos.CodeIO, Op: "x", Message: "a?b", Hint: "h"}},
		"wrapped by others": {errors.Join(errors.New("first"), cause), inos.Error{Code: inos.CodeBusy, Op: "files:put", Message: "100 puts are under way", Hint: inos.CodeBusy.Hint(), RetryAfter: inos.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			failed, err := Decode(Encode(nil, Failed(fullEnvelope(), 7, c.err)))
			if err != nil {
				t.Fatal(err)
			}
			if got := FailureOf(failed); *got != c.want {
				t.Errorf("got %+v, want %+v", *got, c.want)
			}
		})
	}
	for name, payload := range map[string][]byte{"no payload": nil, "no error payload": {0xff}, "a string that is not UTF-8": Payload(&eventpb.Error{Code: 1, Message: "\xff"})} {
		if got := FailureOf(&eventpb.Envelope{EventType: "a:b:v1:failed", Payload: payload}); got.Code != inos.CodeBadEnvelope {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestErrorTextBound cuts between characters, at the bound and not before it.
func TestErrorTextBound(t *testing.T) {
	for _, c := range []struct {
		name string
		in   string
		want int
	}{
		{"at the bound", strings.Repeat("a", ErrorTextBytesMax), ErrorTextBytesMax},
		{"above the bound", strings.Repeat("a", ErrorTextBytesMax+1), ErrorTextBytesMax},
		{"a character of 4 bytes across the bound", strings.Repeat("a", ErrorTextBytesMax-1) + "🦀", ErrorTextBytesMax - 1},
		{"a character of 4 bytes up to the bound", strings.Repeat("a", ErrorTextBytesMax-4) + "🦀b", ErrorTextBytesMax},
		{"not UTF-8 at the bound", strings.Repeat("\x80", 2*ErrorTextBytesMax), 1},
	} {
		p := ErrorPayload(&inos.Error{Code: inos.CodeIO, Message: c.in})
		if len(p.Message) != c.want || !utf8.ValidString(p.Message) {
			t.Errorf("%s: %d bytes, want %d", c.name, len(p.Message), c.want)
		}
	}
}

func TestOpenNamesTheEvent(t *testing.T) {
	err := Open(&eventpb.Envelope{EventType: vectorType, Payload: []byte{0x0a}}, &eventpb.FilesPutRequest{})
	if inos.CodeOf(err) != inos.CodeBadEnvelope || !strings.Contains(err.Error(), vectorType) {
		t.Error(err)
	}
	if err := Open(&eventpb.Envelope{EventType: vectorType, Payload: field(1, 0xff)}, &eventpb.FilesPutRequest{}); inos.CodeOf(err) != inos.CodeBadEnvelope {
		t.Errorf("a path that is not UTF-8: %v", err)
	}
}

// TestPayloadKeepsUnknownFields: a node between two later ones loses nothing.
func TestPayloadKeepsUnknownFields(t *testing.T) {
	b := append(Payload(&eventpb.FilesPutRequest{Path: "/a", Stream: 7}), unknownField...)
	var m eventpb.FilesPutRequest
	if err := m.UnmarshalVT(b); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(Payload(&m), b) {
		t.Error("an unknown field was lost")
	}
}

func FuzzDecode(f *testing.F) {
	var v envelopeVectors
	loadVectors(f, "envelopes.json", &v)
	for _, c := range v.Valid {
		f.Add(unhex(f, c.Input))
	}
	for _, c := range v.Invalid {
		f.Add(unhex(f, c.Input))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Decode(b)
		if err != nil {
			if c := inos.CodeOf(err); c != inos.CodeBadEnvelope && c != inos.CodeEnvelopeTooLarge && c != inos.CodeBadEventType {
				t.Fatalf("code %d: %v", c, err)
			}
			return
		}
		if string(IDOf(b)) != e.Id {
			t.Fatalf("the id alone reads as %q, not as %q", IDOf(b), e.Id)
		}
		once := Encode(nil, e)
		again, err := Decode(once)
		if err != nil {
			t.Fatalf("its own encoding is refused: %v", err)
		}
		if !again.EqualVT(e) || !bytes.Equal(Encode(nil, again), once) {
			t.Fatal("the encoding is not canonical")
		}
	})
}

// What Check lets through can be decoded where it goes: nobody there could answer what cannot.
func TestCheckRefusesWhatDoesNotDecode(t *testing.T) {
	for name, m := range map[string]*eventpb.Metadata{
		"user": {UserId: "\xff"}, "device": {DeviceId: "\xff"}, "token": {SecurityToken: "\xff"},
		"key": {TraceContext: map[string]string{"\xff": ""}}, "value": {TraceContext: map[string]string{KeyTracestate: "a=\xff"}},
	} {
		e := &eventpb.Envelope{Id: "id", EventType: FilesStat, Metadata: m}
		if _, err := Decode(Encode(nil, e)); err == nil {
			t.Errorf("%s: it decodes", name)
		}
		if err := Check(e); inos.CodeOf(err) != inos.CodeBadEnvelope {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Check(&eventpb.Envelope{Id: "\xff", EventType: FilesStat}); inos.CodeOf(err) != inos.CodeBadEnvelope {
		t.Errorf("id: %v", err)
	}
	if err := Check(&eventpb.Envelope{Id: "id", EventType: FilesStat}); err != nil {
		t.Error(err)
	}
}
