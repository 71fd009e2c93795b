package semantic

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/datatest"
	"pgregory.net/rapid"
)

// TestTwins runs random verbs on Store and Memory side by side; at the end of each run the store's counters and
// reference counts are compared with scans of its tables, and the twin's with its definition.
func TestTwins(t *testing.T) {
	datatest.SemanticTwins(t, func(r *rapid.T) (inos.Semantic, inos.Semantic, func()) {
		dir, err := os.MkdirTemp(t.TempDir(), "run")
		if err != nil {
			r.Fatal(err)
		}
		s, err := Open(filepath.Join(dir, "semantic.db"))
		if err != nil {
			r.Fatal(err)
		}
		m := NewMemory()
		return s, m, func() {
			if err := s.Close(); err != nil {
				r.Fatal(err)
			}
			if !r.Failed() {
				scanned(t, s.db.Path)
				checkReferences(r, m)
			}
		}
	})
}

// checkReferences counts each chunk's references from the definition: edges, pins, roots of live files and of versions that stay.
func checkReferences(t *rapid.T, m *Memory) {
	refs := map[inos.ChunkID]int{}
	for _, c := range m.chunks {
		for child := range c.children {
			refs[child]++
		}
	}
	for _, u := range m.uploads {
		for id := range u.pins {
			refs[id]++
		}
	}
	for _, files := range m.files {
		for _, f := range files {
			refs[f.ManifestID]++
		}
	}
	for _, records := range m.records {
		for _, r := range records {
			for _, v := range r.earlier {
				if v.rooted {
					refs[v.root]++
				}
			}
		}
	}
	for id, c := range m.chunks {
		if c.refs != refs[id] {
			t.Fatalf("chunk %s has %d references, %d are counted", id, refs[id], c.refs)
		}
		delete(refs, id)
	}
	if len(refs) > 0 {
		t.Fatalf("%d chunks are referred to and have no row", len(refs))
	}
}
