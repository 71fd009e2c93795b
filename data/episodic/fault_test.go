package episodic

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/internal/sqlite"
)

const crashFolder = "EPISODIC_CRASH_FOLDER" // set: this process is the one to be killed

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashFolder); dir != "" {
		crashWorkload(dir)
		return
	}
	os.Exit(m.Run())
}

func batch(from, n int) (events []inos.Event) {
	for i := range n {
		events = append(events, inos.Event{
			ID: fmt.Sprintf("0199f000-0000-7000-8000-%012x", from+i), Type: "content:write_chunk:v1:completed", At: inos.Micros(from + i),
			TraceID: fmt.Sprintf("%032x", from+i/10), Subject: "operator", Path: "/photos/2026/cat.jpg", Detail: "stored 1048576 bytes", Duration: 1500,
		})
	}
	return events
}

// crashWorkload records batches until it is killed and prints how many events it was told are kept.
func crashWorkload(dir string) {
	s, err := Open(filepath.Join(dir, "episodic.db"), Options{})
	for n := 0; err == nil; n += 10 {
		fmt.Println(n)
		err = s.Record(context.Background(), batch(n, 10), nil)
	}
	fmt.Println("error", err)
}

// TestCrash kills a process that records: whole batches are kept, all that were acknowledged, and the counters are right.
func TestCrash(t *testing.T) {
	for _, lines := range []int{2, 40, 300} {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashFolder+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in, acknowledged := bufio.NewScanner(out), 0
		for i := 0; in.Scan(); i++ {
			if _, err := fmt.Sscan(in.Text(), &acknowledged); err != nil {
				t.Error(in.Text())
			}
			if i == lines {
				if err := cmd.Process.Kill(); err != nil {
					t.Error(err)
				}
			}
		}
		_ = cmd.Wait() // killed
		s, err := Open(filepath.Join(dir, "episodic.db"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		counted(t, s)
		if s.now.events < int64(acknowledged) || s.now.events%10 != 0 {
			t.Errorf("%d events after %d were acknowledged in tens", s.now.events, acknowledged)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReopen keeps the numbering and applies new bounds.
func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "episodic.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Record(context.Background(), batch(0, 30), nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = Open(path, Options{RowsMax: 10}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n, err := s.Trim(context.Background(), 0); err != nil || n != 20 {
		t.Fatalf("trimmed %d, want 20 (%v)", n, err)
	}
	if err := s.Record(context.Background(), batch(100, 1), nil); err != nil {
		t.Fatal(err)
	}
	events, err := s.Events(context.Background(), inos.EventFilter{Last: true, Limit: 1})
	if err != nil || len(events) != 1 || events[0].Seq != 31 {
		t.Fatalf("%+v (%v), want seq 31", events, err)
	}
	counted(t, s)
}

// TestDiskFull bounds the database's pages: a batch that does not fit leaves nothing and the counters are right.
func TestDiskFull(t *testing.T) {
	s := openStore(t, Options{})
	if err := s.exec("PRAGMA max_page_count = 60"); err != nil {
		t.Fatal(err)
	}
	var err error
	n := 0
	for ; err == nil && n < 10_000; n += 10 {
		err = s.Record(context.Background(), batch(n, 10), nil)
	}
	if inos.CodeOf(err) != inos.CodeDiskFull {
		t.Fatal(err)
	}
	counted(t, s)
	if want := int64(n - 10); s.now.events != want {
		t.Fatalf("%d events, want %d", s.now.events, want)
	}
	if err := s.exec("PRAGMA max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	if err := s.Record(context.Background(), batch(n-10, 10), nil); err != nil {
		t.Fatal(err)
	}
	counted(t, s)
}

func TestOpenRefusesAnotherMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "semantic.db")
	db, err := sqlite.Open(sqlite.Config{Path: path, Memory: "semantic", Synchronous: "FULL", Migrations: migrations})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); inos.CodeOf(err) != inos.CodeBadFormat {
		t.Fatal(err)
	}
}

// BenchmarkRecord appends batches of 100 events; the second case is at its bound, where each batch removes as many.
func BenchmarkRecord(b *testing.B) {
	for name, rows := range map[string]int{"growing": 10_000_000, "bounded": 20_000} {
		b.Run(name, func(b *testing.B) {
			s, err := Open(filepath.Join(b.TempDir(), "episodic.db"), Options{RowsMax: rows})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			from := 0
			for name == "bounded" && from < rows {
				if err := s.Record(context.Background(), batch(from, 10_000), nil); err != nil {
					b.Fatal(err)
				}
				from += 10_000
			}
			b.ResetTimer()
			for i := range b.N {
				if err := s.Record(context.Background(), batch(from+100*i, 100), nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(100*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
