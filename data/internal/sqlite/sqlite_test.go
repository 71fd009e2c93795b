package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/inos-mesh/inos"
	lib "modernc.org/sqlite/lib"
)

func TestResultCodes(t *testing.T) {
	for code, want := range map[int]inos.Code{
		lib.SQLITE_FULL: inos.CodeDiskFull, lib.SQLITE_READONLY: inos.CodeReadOnly, lib.SQLITE_READONLY_DBMOVED: inos.CodeReadOnly,
		lib.SQLITE_CORRUPT: inos.CodeBadFormat, lib.SQLITE_NOTADB: inos.CodeBadFormat, lib.SQLITE_CORRUPT_INDEX: inos.CodeBadFormat,
		lib.SQLITE_BUSY: inos.CodeBusy, lib.SQLITE_IOERR: inos.CodeIO, lib.SQLITE_IOERR_FSYNC: inos.CodeIO, lib.SQLITE_CANTOPEN: inos.CodeIO,
		lib.SQLITE_CONSTRAINT_CHECK: inos.CodeInternal, lib.SQLITE_ERROR: inos.CodeInternal,
	} {
		if got := resultCode(code); got != want {
			t.Errorf("result %d is %s, want %s", code, got.Name(), want.Name())
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		err  error
		want inos.Code
	}{
		{nil, 0},
		{context.Canceled, inos.CodeCanceled},
		{context.DeadlineExceeded, inos.CodeDeadlineExceeded},
		{&fs.PathError{Op: "open", Path: "/x", Err: syscall.EROFS}, inos.CodeReadOnly},
		{&fs.PathError{Op: "open", Path: "/x", Err: syscall.EACCES}, inos.CodeReadOnly},
		{&fs.PathError{Op: "write", Path: "/x", Err: syscall.ENOSPC}, inos.CodeDiskFull},
		{errors.New("something"), inos.CodeIO},
		{fmt.Errorf("inside: %w", inos.Errorf(inos.CodeConflict, "x", "y")), inos.CodeConflict},
	} {
		if got := inos.CodeOf(Wrap("op", "where", c.err)); got != c.want {
			t.Errorf("%v is %s, want %s", c.err, got.Name(), c.want.Name())
		}
	}
}

func open(t *testing.T, path string, migrations ...string) (*DB, error) {
	t.Helper()
	db, err := Open(Config{Path: path, Memory: "test", Synchronous: "FULL", Migrations: migrations})
	if err == nil {
		t.Cleanup(func() { _ = db.Close() })
	}
	return db, err
}

// TestMigrations brings a database from one version to the next, keeps its rows, refuses the way back, and leaves
// the version before in place when a migration fails.
func TestMigrations(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "test.db")
	first := "CREATE TABLE things (id BIGINT NOT NULL PRIMARY KEY);\nINSERT INTO things (id) VALUES (7);\n"
	second := "CREATE TABLE more (id BIGINT NOT NULL PRIMARY KEY);\nINSERT INTO more (id) SELECT id + 1 FROM things;\n"
	db, err := open(t, path, first)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, path, first, second+"INSERT INTO nothing (id) VALUES (1);\n"); inos.CodeOf(err) != inos.CodeInternal {
		t.Fatal("a broken migration:", err)
	}
	for range 2 { // the second time there is nothing to do
		db, err = open(t, path, first, second)
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if err := db.Writer.QueryRowContext(ctx, "SELECT count(*) FROM more WHERE id = 8").Scan(&n); err != nil || n != 1 {
			t.Fatalf("%d rows, want 1 (%v)", n, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := open(t, path, first); inos.CodeOf(err) != inos.CodeBadFormat {
		t.Fatal("the way back:", err)
	}
}

func TestReadersRefuseToWrite(t *testing.T) {
	db, err := open(t, filepath.Join(t.TempDir(), "test.db"), "CREATE TABLE things (id BIGINT NOT NULL PRIMARY KEY);\n")
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Reader.ExecContext(context.Background(), "INSERT INTO things (id) VALUES (1)")
	if got := inos.CodeOf(Wrap("write", "", err)); got != inos.CodeReadOnly {
		t.Fatal(got.Name(), err)
	}
}
