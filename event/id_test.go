package event

import (
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/inos-mesh/inos"
)

func TestIDVectors(t *testing.T) {
	var v []idVector
	loadVectors(t, "ids.json", &v)
	for _, c := range v {
		now, err := strconv.ParseInt(c.NowUs, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if got := NewID(inos.Micros(now), [10]byte(unhex(t, c.Random))); got != c.ID {
			t.Errorf("%s, want %s", got, c.ID)
		}
	}
}

func TestIDTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := inos.Micros(rapid.Int64Range(0, (1<<48)*1000-1).Draw(t, "now"))
		id := NewID(now, [10]byte(rapid.SliceOfN(rapid.Byte(), 10, 10).Draw(t, "random")))
		got, err := IDTime(id)
		if err != nil || got != now/inos.Millisecond*inos.Millisecond {
			t.Fatalf("%s made at %d: %d, %v", id, now, got, err)
		}
	})
}

// TestIDsSortByTime: rows keyed by id are in order of time.
func TestIDsSortByTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOfN(rapid.Int64Range(0, (1<<48)*1000-1), 2, 10).Draw(t, "times")
		slices.Sort(times)
		last := ""
		for _, now := range times {
			now -= now % 1000
			id := NewID(inos.Micros(now), [10]byte{})
			if id < last {
				t.Fatalf("%s sorts before %s", id, last)
			}
			last = id
		}
	})
}

func TestIDTimeRefuses(t *testing.T) {
	for name, id := range map[string]string{
		"empty":                  "",
		"version 4":              "019aaf6e-7c00-4abc-8def-0123456789ab",
		"variant of Microsoft":   "019aaf6e-7c00-7abc-cdef-0123456789ab",
		"no dashes":              "019aaf6e7c007abc8def0123456789ab",
		"a dash out of place":    "019aaf6e-7c00-7abc8-def-0123456789ab",
		"one digit short":        "019aaf6e-7c00-7abc-8def-0123456789a",
		"not hexadecimal":        "019aaf6e-7c00-7abc-8def-0123456789ag",
		"in braces":              "{019aaf6e-7c00-7abc-8def-0123456789a}",
		"a dash in a field":      "019aaf6e-7c00-7abc-8def-0123456789-b",
		"upper case":             "019AAF6E-7C00-7ABC-8DEF-0123456789AB",
		"36 bytes, not 36 runes": "019aaf6e-7c00-7abc-8def-0123456789é",
	} {
		if _, err := IDTime(id); inos.CodeOf(err) != inos.CodeBadEnvelope {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzIDTime(f *testing.F) {
	f.Add(vectorID)
	f.Add("019aaf6e-7c00-4abc-8def-0123456789ab")
	f.Add("")
	f.Fuzz(func(t *testing.T, id string) {
		now, err := IDTime(id)
		if err != nil {
			return
		}
		if now < 0 || now%inos.Millisecond != 0 {
			t.Fatalf("%q has the time %d", id, now)
		}
		// The time and the ten bytes behind it are all there is in an id.
		var random [10]byte
		digits := id[14:18] + id[19:23] + id[24:36]
		copy(random[:], unhex(t, digits))
		if again := NewID(now, random); again != id {
			t.Fatalf("%q made again is %q", id, again)
		}
	})
}
