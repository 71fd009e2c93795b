package semantic

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/inos-mesh/inos"
	"golang.org/x/sys/unix"
)

// TestReadOnlyFolder opens memories in a folder that may not be written, as an ordinary user: root would be let through.
func TestReadOnlyFolder(t *testing.T) {
	dir, err := os.MkdirTemp("", "inos-readonly-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	existing := filepath.Join(dir, "existing.db")
	s, err := Open(existing)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{existing: 0o666, dir: 0o555} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{existing, filepath.Join(dir, "new.db"), filepath.Join(dir, "folder", "new.db")} {
		answer := make(chan error)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			if os.Geteuid() == 0 {
				const nobody = 65534
				if _, err := unix.SetfsuidRetUid(nobody); err != nil {
					answer <- err
					return
				}
			}
			s, err := Open(path)
			if err == nil {
				_ = s.Close()
			}
			answer <- err
		}()
		wantCode(t, <-answer, inos.CodeReadOnly)
	}
	if _, err := os.Stat(filepath.Join(dir, "new.db")); !os.IsNotExist(err) {
		t.Fatal("a file was created:", err)
	}
	_ = os.Chmod(dir, 0o700) // so that it can be removed by an ordinary user
}
