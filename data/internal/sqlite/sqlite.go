// Package sqlite opens the embedded memories: it is the only place that knows SQLite's dialect, its pragmas and its
// result codes. The statements of the memories themselves are standard SQL that PostgreSQL and CockroachDB accept too.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/inos-mesh/inos"
	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// Bounds of one open database.
const (
	BusyTimeoutMillis   = 5000     // how long a connection waits for a lock of another process
	CheckpointPages     = 4096     // the log is copied into the database after this many pages
	JournalBytesMax     = 64 << 20 // the log file is cut to this size after a checkpoint
	WriterCacheKiB      = 16 << 10 // where the memory says nothing else
	ReaderCacheShare    = 4        // a reader's cache is the writer's by this
	ReaderConnections   = 3
	schemaStatementsMax = 64
)

// Config names a database and what it must hold.
type Config struct {
	Path        string   // of the database file; its folder is created with mode 0700, the file with 0600
	Memory      string   // "semantic", "episodic": a file of another memory is refused
	Synchronous string   // "FULL" or "NORMAL"
	CacheKiB    int      // pages that the connection which writes keeps in memory; 0: WriterCacheKiB
	Migrations  []string // migration i brings schema version i to i+1; statements are separated by ";\n"
	// Steps[i] ends migration i, within its transaction: what of the rows to carry over SQL alone cannot say.
	Steps map[int]func(context.Context, *sql.Conn) error
}

// DB is an open database: one connection that writes, a few that read.
type DB struct {
	Path   string
	Writer *sql.Conn // for one goroutine at a time
	Reader *sql.DB   // refuses to write
	writer *sql.DB
}

// Open opens or creates the database and brings its schema to the newest version. Errors: CodeReadOnly, CodeDiskFull,
// CodeIO, CodeBusy, and CodeBadFormat for a file that is not a database, belongs to something else, is damaged, or
// was written by a later version.
func Open(c Config) (*DB, error) {
	op := "open " + c.Memory + " memory"
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return nil, Wrap(op, c.Path, err)
	}
	if err := prepareFile(path); err != nil {
		return nil, Wrap(op, path, err)
	}
	db := &DB{Path: path}
	if err := db.open(c); err != nil {
		_ = db.Close() // the first error says why
		return nil, Wrap(op, path, err)
	}
	return db, nil
}

func (db *DB) open(c Config) (err error) {
	ctx := context.Background()
	cache := c.CacheKiB
	if cache == 0 {
		cache = WriterCacheKiB
	}
	db.writer, err = sql.Open("sqlite", dsn(db.Path,
		fmt.Sprintf("busy_timeout(%d)", BusyTimeoutMillis), "journal_mode(WAL)", "synchronous("+c.Synchronous+")", "foreign_keys(1)",
		fmt.Sprintf("wal_autocheckpoint(%d)", CheckpointPages), fmt.Sprintf("journal_size_limit(%d)", JournalBytesMax),
		fmt.Sprintf("cache_size(-%d)", cache), "temp_store(MEMORY)"))
	if err != nil {
		return err
	}
	db.writer.SetMaxOpenConns(1)
	if db.Writer, err = db.writer.Conn(ctx); err != nil {
		return err
	}
	if err := migrate(ctx, db.Writer, c, db.Path); err != nil {
		return err
	}
	db.Reader, err = sql.Open("sqlite", dsn(db.Path,
		fmt.Sprintf("busy_timeout(%d)", BusyTimeoutMillis), "query_only(1)", fmt.Sprintf("cache_size(-%d)", cache/ReaderCacheShare), "temp_store(MEMORY)"))
	if err != nil {
		return err
	}
	db.Reader.SetMaxOpenConns(ReaderConnections)
	db.Reader.SetMaxIdleConns(ReaderConnections)
	return db.Reader.PingContext(ctx)
}

// Close waits for the queries under way and closes all connections; the last one folds the log into the database.
func (db *DB) Close() error {
	var errs []error
	if db.Reader != nil {
		errs = append(errs, db.Reader.Close())
	}
	if db.Writer != nil {
		errs = append(errs, db.Writer.Close())
	}
	if db.writer != nil {
		errs = append(errs, db.writer.Close())
	}
	return errors.Join(errs...)
}

func dsn(path string, pragmas ...string) string {
	q := url.Values{"_pragma": pragmas}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

// prepareFile makes the folder and the file, so that what the operating system refuses is reported as itself and not
// as SQLite's "unable to open", and so that the file, which holds hashes of tokens, is readable by its owner alone.
func prepareFile(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	// SQLite keeps its log beside the database: the folder must be writable too.
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

const (
	createSchemaTable = "CREATE TABLE inos_schema (memory TEXT NOT NULL PRIMARY KEY, version BIGINT NOT NULL)"
	selectSchema      = "SELECT memory, version FROM inos_schema"
	upsertSchema      = "INSERT INTO inos_schema (memory, version) VALUES ($1, $2) ON CONFLICT (memory) DO UPDATE SET version = excluded.version"
	countTables       = "SELECT count(*), count(CASE WHEN name = 'inos_schema' THEN 1 END) FROM sqlite_master"
)

// migrate runs the migrations that the file lacks in one transaction. What is stored carries its version; an older
// version is brought forward, a later one is refused.
func migrate(ctx context.Context, conn *sql.Conn, c Config, path string) error {
	op := "open " + c.Memory + " memory"
	if _, err := conn.ExecContext(ctx, Begin); err != nil {
		return err
	}
	committed := false
	defer func() {
		if !committed {
			_, _ = conn.ExecContext(ctx, Rollback) // the first error says why
		}
	}()
	var objects, ours int
	if err := conn.QueryRowContext(ctx, countTables).Scan(&objects, &ours); err != nil {
		return err
	}
	version := 0
	switch {
	case objects > 0 && ours == 0:
		return inos.Errorf(inos.CodeBadFormat, op, "%s belongs to another program: it has %d tables and indexes, none of INOS", path, objects)
	case ours > 0:
		var memory string
		switch err := conn.QueryRowContext(ctx, selectSchema).Scan(&memory, &version); {
		case errors.Is(err, sql.ErrNoRows):
			return inos.Errorf(inos.CodeBadFormat, op, "%s has lost the row that says its schema's version", path)
		case err != nil:
			return err
		}
		if memory != c.Memory {
			return inos.Errorf(inos.CodeBadFormat, op, "%s is the %.40q memory, not the %q memory", path, memory, c.Memory)
		}
	default:
		if _, err := conn.ExecContext(ctx, createSchemaTable); err != nil {
			return err
		}
	}
	if version < 0 || version > len(c.Migrations) {
		return inos.Errorf(inos.CodeBadFormat, op, "%s has schema version %d, this program knows versions up to %d: it was written by a later one", path, version, len(c.Migrations))
	}
	if version < len(c.Migrations) {
		for i, m := range c.Migrations[version:] {
			err := run(ctx, conn, m)
			if step := c.Steps[version+i]; err == nil && step != nil {
				err = step(ctx, conn)
			}
			if err != nil {
				return fmt.Errorf("migrate schema to version %d: %w", version+i+1, err)
			}
		}
		if _, err := conn.ExecContext(ctx, upsertSchema, c.Memory, len(c.Migrations)); err != nil {
			return err
		}
	}
	_, err := conn.ExecContext(ctx, Commit)
	committed = err == nil
	return err
}

func run(ctx context.Context, conn *sql.Conn, script string) error {
	statements := strings.SplitN(script, ";\n", schemaStatementsMax+1)
	if len(statements) > schemaStatementsMax {
		return fmt.Errorf("a migration has more than %d statements", schemaStatementsMax)
	}
	for _, s := range statements {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		if _, err := conn.ExecContext(ctx, clustered(s)); err != nil {
			return fmt.Errorf("%.60q: %w", s, err)
		}
	}
	return nil
}

// clustered stores a table's rows in its primary key, as CockroachDB always does: without it SQLite keeps a second tree.
func clustered(s string) string {
	if strings.HasPrefix(s, "CREATE TABLE") {
		return s + " WITHOUT ROWID"
	}
	return s
}

// Statements in SQLite's dialect.
const (
	Begin    = "BEGIN IMMEDIATE"
	Commit   = "COMMIT"
	Rollback = "ROLLBACK"
)

// denied reports whether the operating system refused to write.
func denied(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, errReadOnlyFS)
}
