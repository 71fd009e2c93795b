package host

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
)

// What is damaged in a folder ends the start with what to do. Above all no start takes a folder that has lost its map for a new one: it would find
// chunks that no row knows, and throw them away.
func TestADamagedFolderIsNotStarted(t *testing.T) {
	parent := t.TempDir()
	closeNode(t, mustOpenSwitchboard(t, parent, "a", nil))
	dir := filepath.Join(parent, "a")
	remove := func(name string) func() error { return func() error { return os.Remove(filepath.Join(dir, name)) } }
	write := func(name, text string) func() error { // of a database its log goes too: it would mend the file
		return func() error {
			file := filepath.Join(dir, name)
			return errors.Join(os.RemoveAll(file+"-wal"), os.RemoveAll(file+"-shm"), os.WriteFile(file, []byte(text), 0o600))
		}
	}
	for _, c := range []struct {
		name   string
		damage []func() error
		code   inos.Code
		hint   string
	}{
		{"the history is none", []func() error{write("episodic.db", strings.Repeat("no database ", 1000))}, inos.CodeBadFormat, "only history"},
		{"the map is none", []func() error{write("semantic.db", strings.Repeat("no database ", 1000))}, inos.CodeBadFormat, "inos rebuild"},
		{"the map is empty", []func() error{write("semantic.db", "")}, inos.CodeConflict, "inos rebuild"},
		{"the map is gone", []func() error{remove("semantic.db")}, inos.CodeConflict, "inos rebuild"},
		{"and the root key is elsewhere", []func() error{remove("../root.key")}, inos.CodeConflict, "inos rebuild"},
		{"and the map is empty", []func() error{write("semantic.db", "")}, inos.CodeConflict, "inos rebuild"},
	} {
		t.Run(c.name, func(t *testing.T) { // each on what the one before has left
			for _, damage := range c.damage {
				if err := damage(); err != nil {
					t.Fatal(err)
				}
			}
			n, err := openSwitchboard(t, parent, "a", nil)
			if err == nil {
				closeNode(t, n)
				t.Fatal("it was started")
			}
			if inos.CodeOf(err) != c.code || !strings.Contains(err.(*inos.Error).HintText(), c.hint) {
				t.Errorf("%v (%s)", err, inos.CodeOf(err).Name())
			}
		})
	}
}

// A disk that does not let the chunks be opened ends the start of a new node too, with what the disk said.
func TestAFolderWithoutRoomForChunksIsNotStarted(t *testing.T) {
	parent := t.TempDir()
	if err := os.MkdirAll(filepath.Join(parent, "a", "content"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(parent, "a", "content", "chunks"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := openSwitchboard(t, parent, "a", nil); err == nil {
		closeNode(t, n)
		t.Error("it was started")
	}
}
