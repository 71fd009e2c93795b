package inos_test

import (
	"testing"

	"github.com/inos-mesh/inos"
)

func TestPathIn(t *testing.T) {
	for _, c := range []struct {
		path, prefix inos.Path
		in           bool
	}{
		{"/photos", "/photos", true},
		{"/photos/a", "/photos", true},
		{"/photos2", "/photos", false},
		{"/phot", "/photos", false},
		{"/", "/photos", false},
		{"/a", "/", true},
		{"/", "/", true},
		{"", "/", false},
		{"/a", "", false},
		{"", "", false},
	} {
		if got := c.path.In(c.prefix); got != c.in {
			t.Errorf("%q in %q: %v", c.path, c.prefix, got)
		}
	}
}
