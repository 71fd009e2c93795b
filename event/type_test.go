package event

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/inos-mesh/inos"
)

func TestParseType(t *testing.T) {
	var v typeVectors
	loadVectors(t, "types.json", &v)
	for _, c := range v.Valid {
		t.Run(c.Type, func(t *testing.T) {
			got, err := ParseType(c.Type)
			if want := (Type{c.Service, c.Action, c.Version, State(c.State)}); err != nil || got != want {
				t.Errorf("%+v, %v; want %+v", got, err, want)
			}
			if got.String() != c.Type {
				t.Errorf("written as %q", got.String())
			}
		})
	}
	for _, c := range v.Invalid {
		t.Run(c.Name, func(t *testing.T) {
			if got, err := ParseType(c.Type); inos.CodeOf(err) != inos.CodeBadEventType {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// grammar is the standard's sentence as a regular expression: a slow, clear twin, except for the version's range.
var grammar = regexp.MustCompile(`\A[a-z][a-z0-9_]*:[a-z][a-z0-9_]*:v[1-9][0-9]{0,8}:(requested|processing|completed|failed)\z`)

// TestParseTypeAgreesWithTheGrammar draws texts that are event types or nearly so.
func TestParseTypeAgreesWithTheGrammar(t *testing.T) {
	part := rapid.OneOf(
		rapid.StringMatching(`[a-z][a-z0-9_]{0,10}`), rapid.StringMatching(`[a-zA-Z0-9_:. -]{0,4}`), rapid.StringMatching(`v[0-9]{1,9}`),
		rapid.SampledFrom([]string{"requested", "processing", "completed", "failed", "", "v1", "done", "é", "\x00", "\xff"}))
	rapid.Check(t, func(t *rapid.T) {
		s := strings.Join(rapid.SliceOfN(part, 3, 5).Draw(t, "parts"), ":")
		parsed, err := ParseType(s)
		if want := grammar.MatchString(s) && len(s) <= 128; (err == nil) != want {
			t.Fatalf("%q: %v", s, err)
		}
		if err == nil && parsed.String() != s {
			t.Fatalf("%q written as %q", s, parsed)
		}
	})
}

func TestWithState(t *testing.T) {
	for _, s := range []State{StateRequested, StateProcessing, StateCompleted, StateFailed} {
		got := WithState(FilesPut, s)
		if got != "files:put:v1:"+string(s) || StateOf(got) != s || Stage(got) != "files:put" {
			t.Errorf("%s: %s of stage %s in state %s", s, got, Stage(got), StateOf(got))
		}
	}
}

// TestStage also takes what is no event type: it names stages in messages about bad ones.
func TestStage(t *testing.T) {
	for in, want := range map[string]string{FilesPut: "files:put", "files:put": "files:put", "files": "files", "": "", ":": ":"} {
		if got := Stage(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzParseType(f *testing.F) {
	var v typeVectors
	loadVectors(f, "types.json", &v)
	for _, c := range v.Valid {
		f.Add(c.Type)
	}
	for _, c := range v.Invalid {
		f.Add(c.Type)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parsed, err := ParseType(s)
		if err != nil {
			_ = Stage(s) // takes anything
			return
		}
		if parsed.String() != s {
			t.Fatalf("%q written as %q", s, parsed)
		}
		if failed := WithState(s, StateFailed); len(failed) <= inos.EventTypeBytesMax {
			if _, err := ParseType(failed); err != nil {
				t.Fatal(err)
			}
		}
	})
}
