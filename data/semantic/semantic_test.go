package semantic

import (
	"path/filepath"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/datatest"
)

func openStore(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "semantic.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestStoreAcceptance(t *testing.T) {
	datatest.Semantic(t, func(t *testing.T) inos.Semantic {
		s := openStore(t)
		t.Cleanup(func() { scanned(t, s.db.Path) })
		return s
	})
}

func TestMemoryAcceptance(t *testing.T) {
	datatest.Semantic(t, func(*testing.T) inos.Semantic { return NewMemory() })
}
