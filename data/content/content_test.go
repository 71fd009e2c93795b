package content_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/content"
	"github.com/inos-mesh/inos/data/datatest"
)

// onDisk is a Store that a test can damage.
type onDisk struct {
	*content.Store
	t   *testing.T
	dir string
}

func (s onDisk) Corrupt(id inos.ChunkID) bool {
	paths, err := filepath.Glob(filepath.Join(s.dir, "chunks", "*", id.String()))
	if err != nil || len(paths) > 1 {
		s.t.Fatal(paths, err)
	}
	if len(paths) == 0 {
		return false
	}
	b, err := os.ReadFile(paths[0])
	if err != nil {
		s.t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(paths[0], b, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return true
}

func chunkPath(dir string, id inos.ChunkID) string {
	return filepath.Join(dir, "chunks", id.String()[:2], id.String())
}

func openStore(t *testing.T, dir string, o content.Options) *content.Store {
	t.Helper()
	s, err := content.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStoreKeepsTheContract(t *testing.T) {
	datatest.Content(t, func(t *testing.T) inos.Content {
		dir := t.TempDir()
		return onDisk{openStore(t, dir, content.Options{}), t, dir}
	})
}

// noLinks is a file layer without hard links, like exFAT's.
type noLinks struct{ content.OSFiles }

func (noLinks) Link(string, string) error { return fmt.Errorf("link: %w", errors.ErrUnsupported) }

func TestStoreKeepsTheContractWithoutLinks(t *testing.T) {
	datatest.Content(t, func(t *testing.T) inos.Content {
		dir := t.TempDir()
		return onDisk{openStore(t, dir, content.WithShardBits(content.Options{Files: noLinks{}}, 2)), t, dir}
	})
}

func TestMemoryKeepsTheContract(t *testing.T) {
	datatest.Content(t, func(*testing.T) inos.Content { return content.NewMemory(content.Options{}) })
}
