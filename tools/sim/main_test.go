package main

import (
	"path/filepath"
	"testing"
)

// Each planted bug changes a text that its file has once: after a change of the kernel it is planted still.
func TestBugsCanBePlanted(t *testing.T) {
	t.Chdir("../..")
	names, err := filepath.Glob("sim/bugs/*.txt")
	if err != nil || len(names) < 20 {
		t.Fatalf("%d bugs, %v", len(names), err)
	}
	for _, name := range names {
		if b, err := readBug(name); err != nil || b.breaks == "" {
			t.Errorf("%s: breaks %q, %v", name, b.breaks, err)
		}
	}
}
