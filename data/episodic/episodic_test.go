package episodic

import (
	"path/filepath"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/datatest"
)

func openStore(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "episodic.db"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestStoreAcceptance(t *testing.T) {
	datatest.Episodic(t, func(t *testing.T, b datatest.EpisodicBounds) inos.Episodic {
		return openStore(t, Options{RowsMax: b.RowsMax, AgeMax: b.AgeMax})
	})
}

func TestMemoryAcceptance(t *testing.T) {
	datatest.Episodic(t, func(_ *testing.T, b datatest.EpisodicBounds) inos.Episodic {
		return NewMemory(Options{RowsMax: b.RowsMax, AgeMax: b.AgeMax})
	})
}
