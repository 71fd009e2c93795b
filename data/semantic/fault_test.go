package semantic

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/internal/sqlite"
)

func wantCode(t *testing.T, err error, code inos.Code) {
	t.Helper()
	if inos.CodeOf(err) != code {
		t.Fatalf("got error %v (%s), want code %s", err, inos.CodeOf(err).Name(), code.Name())
	}
}

func putSmall(t *testing.T, s *Store, n uint64) error {
	t.Helper()
	if err := letIn(s); err != nil {
		return err
	}
	f, rows := smallFile(n)
	_, _, err := s.CommitFile(context.Background(), "u", f, rows, inos.Quota{}, inos.RequestKey{ID: f.FileID.String(), EventType: "put"}, 1)
	return err
}

// TestSynchronous holds the connection that acknowledges to its pragmas: a power cut after an acknowledgement loses
// nothing only with synchronous=FULL (2), and the checks of the schema hold only with foreign keys on.
func TestSynchronous(t *testing.T) {
	s := openStore(t)
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1"} {
		var got string
		if err := s.db.Writer.QueryRowContext(context.Background(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, want %s (%v)", pragma, got, want, err)
		}
	}
	info, err := os.Stat(s.db.Path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, want 0600 (%v)", info.Mode(), err)
	}
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a folder with ? and %20", "semantic.db")
	for i := range uint64(3) {
		s, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := putSmall(t, s, i); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal("closing twice:", err)
		}
	}
	if totals := scanned(t, path); totals.Files != 3 {
		t.Fatalf("%d files after three openings, want 3", totals.Files)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal("the database is elsewhere:", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	sql := func(statements ...string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			db, err := sqlite.Open(sqlite.Config{Path: path, Memory: "semantic", Synchronous: "FULL", Migrations: migrations, Steps: steps})
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range statements {
				if _, err := db.Writer.ExecContext(context.Background(), s); err != nil {
					t.Fatal(err)
				}
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name    string
		prepare func(*testing.T, string)
		code    inos.Code
	}{
		{"what is not a database", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("a letter to somebody else, long enough to hold a header of a hundred bytes, which it does not have at all"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, inos.CodeBadFormat},
		{"another program's database", sql("DROP TABLE inos_schema"), inos.CodeBadFormat},
		{"another memory", sql("UPDATE inos_schema SET memory = 'episodic'"), inos.CodeBadFormat},
		{"a later version", sql("UPDATE inos_schema SET version = 99"), inos.CodeBadFormat},
		{"a schema without a version", sql("DELETE FROM inos_schema"), inos.CodeBadFormat},
		{"a damaged page", func(t *testing.T, path string) {
			sql()(t, path)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := 100; i < len(b); i++ {
				b[i] = 0xff
			}
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}, inos.CodeBadFormat},
		{"a folder in the file's place", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, inos.CodeIO},
		{"a file in the folder's place", nil, inos.CodeIO},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "semantic.db")
			if c.prepare != nil {
				c.prepare(t, path)
			} else {
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				path = filepath.Join(path, "semantic.db")
			}
			s, err := Open(path)
			if err == nil {
				_ = s.Close()
			}
			wantCode(t, err, c.code)
			t.Log(err)
		})
	}
}

// TestDiskFull bounds the database's pages: a verb that does not fit fails with its code and leaves nothing, reading
// goes on, and so does writing once there is room.
func TestDiskFull(t *testing.T) {
	s := openStore(t)
	if err := putSmall(t, s, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.exec("PRAGMA max_page_count = 60"); err != nil { // the writer is idle
		t.Fatal(err)
	}
	var full error
	n := uint64(1)
	for ; n < 10_000 && full == nil; n++ {
		full = putSmall(t, s, n)
	}
	wantCode(t, full, inos.CodeDiskFull)
	f, _ := smallFile(n - 1)
	_, err := s.LookupFile(context.Background(), f.Owner, f.Path, inos.FileID{})
	wantCode(t, err, inos.CodeFileNotFound)
	f, _ = smallFile(n - 2)
	if _, err := s.LookupFile(context.Background(), f.Owner, f.Path, inos.FileID{}); err != nil {
		t.Fatal(err)
	}
	if err := s.exec("PRAGMA max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	if err := putSmall(t, s, n-1); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if totals := scanned(t, s.db.Path); totals.Files != n {
		t.Fatalf("%d files, want %d", totals.Files, n)
	}
}

// batched returns a verb that waits to be taken, beside others in one batch.
func batched(name string, run func(*tx) error) *verb {
	return &verb{name: name, weight: 1, run: run, done: make(chan error, 1)}
}

// TestBatch runs batches by hand: a refusal undoes one verb, a fault undoes all, and a verb given up does not run.
func TestBatch(t *testing.T) {
	s := &Store{db: openStore(t).db} // a store without a writer of its own, on the database of one that is idle
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	upload := func(id string) func(*tx) error {
		return func(x *tx) error { return x.openUpload("test", inos.UploadID(id), "ann", 1) }
	}
	uploads := func() uint64 {
		c, err := s.Totals(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return c.Uploads
	}
	good, refused, late := batched("good", upload("u1")), batched("refused", func(x *tx) error {
		if err := upload("u2")(x); err != nil {
			return err
		}
		return conflict("test", "refused after it wrote")
	}), batched("late", upload("u3"))
	late.state.Store(givenUp)
	s.commit([]*verb{refused, good, late})
	if err := <-good.done; err != nil {
		t.Fatal(err)
	}
	wantCode(t, <-refused.done, inos.CodeConflict)
	if n := uploads(); n != 1 {
		t.Fatalf("%d uploads, want 1", n)
	}
	broken := errors.New("the disk is gone")
	good, fault, after := batched("good", upload("u4")), batched("fault", func(*tx) error { return broken }), batched("after", upload("u5"))
	misled := batched("misled", func(x *tx) error {
		known, err := x.checkUpload("test", "u4", "ann")
		if err == nil && known {
			err = conflict("test", "refused for what goes with the batch")
		}
		return err
	})
	s.commit([]*verb{good, misled, refused, fault, after})
	for _, v := range []*verb{good, misled, fault, after} {
		if err := <-v.done; inos.CodeOf(err) != inos.CodeIO || !errors.Is(err, broken) {
			t.Fatalf("%s: %v", v.name, err)
		}
	}
	if n := uploads(); n != 1 {
		t.Fatalf("%d uploads after the fault, want 1", n)
	}
}

// TestGiveUp ends the context of a verb that waits behind a slow one: it is answered at once and never runs.
func TestGiveUp(t *testing.T) {
	s := openStore(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		if err := s.write(context.Background(), "slow", BatchRowsMax, func(*tx) error { close(entered); <-leave; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	answered := make(chan error)
	ran := false
	go func() { answered <- s.write(ctx, "waiting", 1, func(*tx) error { ran = true; return nil }) }()
	for len(s.queue) == 0 {
		runtime.Gosched() // until it waits
	}
	cancel()
	wantCode(t, <-answered, inos.CodeCanceled)
	close(leave)
	group.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if ran {
		t.Fatal("a verb that was given up ran")
	}
}

// TestGroupCommit queues many verbs behind a slow one and counts the transactions that they share.
func TestGroupCommit(t *testing.T) {
	s := openStore(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		_ = s.write(context.Background(), "slow", BatchRowsMax, func(*tx) error { close(entered); <-leave; return nil })
	})
	<-entered
	bases := make(chan *tx, 100)
	for range 100 {
		group.Go(func() {
			_ = s.write(context.Background(), "quick", 1, func(x *tx) error { bases <- x; return nil })
		})
	}
	for len(s.queue) < 100 {
		runtime.Gosched() // until all wait
	}
	close(leave)
	group.Wait()
	close(bases)
	transactions := map[*tx]int{}
	for x := range bases {
		transactions[x]++
	}
	if len(transactions) != 1 {
		t.Fatalf("100 waiting verbs took %d transactions, want 1", len(transactions))
	}
}
