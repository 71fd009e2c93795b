package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
)

// Of a file that somebody writes to while it is read the last bytes never come, so that nothing of it is stored.
func TestSteadyFile(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, name string)
		code   inos.Code
	}{
		{"left alone", func(*testing.T, string) {}, 0},
		{"appended to", func(t *testing.T, name string) { write(t, name, os.O_APPEND, "more") }, inos.CodeBodyMismatch},
		{"written to", func(t *testing.T, name string) { write(t, name, 0, "other") }, inos.CodeBodyMismatch},
		{"cut", func(t *testing.T, name string) {
			if err := os.Truncate(name, 3); err != nil {
				t.Fatal(err)
			}
		}, inos.CodeBodyMismatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "file")
			write(t, name, os.O_CREATE, "0123456789")
			long := time.Now().Add(-time.Hour) // whatever the clock of the file system is like
			if err := os.Chtimes(name, long, long); err != nil {
				t.Fatal(err)
			}
			file, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			body, length, err := openSource(file)
			if err != nil || length != 10 {
				t.Fatalf("%d bytes (%v)", length, err)
			}
			for range 2 { // a body is read again when the node was busy
				if all, err := io.ReadAll(body); err != nil || string(all) != "0123456789" {
					t.Fatalf("%q (%v)", all, err)
				}
				if _, err := body.(io.Seeker).Seek(0, io.SeekStart); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := io.ReadFull(body, make([]byte, 2)); err != nil {
				t.Fatal(err)
			}
			c.change(t, name)
			rest, err := io.ReadAll(body)
			if inos.CodeOf(err) != c.code || c.code != 0 && len(rest) > 7 {
				t.Errorf("%q came, error %v", rest, err)
			}
		})
	}
}

func write(t *testing.T, name string, flag int, text string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|flag, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
