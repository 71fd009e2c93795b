package episodic

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/internal/sqlite"
)

// Store is the episodic memory on SQLite.
type Store struct {
	db      *sqlite.DB
	options Options

	mu    sync.Mutex // guards the writer's connection and what follows
	stmts [statements]*sql.Stmt
	now   history

	closed atomic.Bool // set under mu
}

var _ inos.Episodic = (*Store)(nil)

// history is the row of that name: what the next event is numbered and how many rows there are.
type history struct{ nextSeq, events, spans int64 }

// Open opens or creates the database at path. Errors: CodeReadOnly, CodeDiskFull, CodeIO, CodeBusy, and CodeBadFormat
// for what is not an episodic memory or was written by a later version.
func Open(path string, o Options) (*Store, error) {
	db, err := sqlite.Open(sqlite.Config{Path: path, Memory: "episodic", Synchronous: "NORMAL", CacheKiB: cacheKiB, Migrations: migrations})
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, options: o.withDefaults()}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(sqlite.Wrap("open episodic memory", path, err), db.Close())
	}
	return s, nil
}

func (s *Store) prepare() (err error) {
	for i, t := range text {
		if s.stmts[i], err = s.db.Writer.PrepareContext(context.Background(), t); err != nil {
			return err
		}
	}
	return s.stmts[selectHistory].QueryRow().Scan(&s.now.nextSeq, &s.now.events, &s.now.spans)
}

// Close waits for the calls under way and closes the database; later calls fail with CodeShuttingDown.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Swap(true) {
		return nil
	}
	return sqlite.Wrap("close episodic memory", s.db.Path, s.db.Close())
}

// write runs f in one transaction. f changes the history it is given, which becomes the store's with the commit.
func (s *Store) write(ctx context.Context, op string, f func(h *history) error) (err error) {
	if err := ctx.Err(); err != nil {
		return sqlite.Wrap(op, "before it began", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return closed(op)
	}
	h := s.now
	err = s.exec(sqlite.Begin)
	if err == nil {
		err = f(&h)
		if err == nil && h != s.now {
			_, err = s.changed(updateHistory, h.nextSeq, h.events, h.spans)
		}
		if err == nil {
			err = s.exec(sqlite.Commit)
		}
		if err != nil {
			_ = s.exec(sqlite.Rollback) // SQLite may have done it already; err says what happened
		}
	}
	if err != nil {
		return sqlite.Wrap(op, s.db.Path, err)
	}
	s.now = h
	return nil
}

func (s *Store) exec(query string) error {
	_, err := s.db.Writer.ExecContext(context.Background(), query)
	return err
}

func (s *Store) changed(st statement, args ...any) (int64, error) {
	r, err := s.stmts[st].Exec(args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// Record implements inos.Episodic.
func (s *Store) Record(ctx context.Context, events []inos.Event, spans []inos.Span) error {
	const op = "episodic:record"
	if err := checkRecord(op, events, spans); err != nil {
		return err
	}
	return s.write(ctx, op, func(h *history) error {
		for i := range events {
			if err := s.recordEvent(h, cutEvent(events[i])); err != nil {
				return err
			}
		}
		for i := range spans {
			if err := s.recordSpan(h, cutSpan(spans[i])); err != nil {
				return err
			}
		}
		_, err := s.trimRows(h, RecordRowsMax)
		return err
	})
}

func (s *Store) recordEvent(h *history, e inos.Event) error {
	id := sql.NullString{String: e.ID, Valid: e.ID != ""} // rows without an id are never equal
	n, err := s.changed(insertEvent, h.nextSeq, id, e.Type, int64(e.At), e.TraceID, string(e.Subject), e.Path, e.Detail, int64(e.Duration))
	h.nextSeq += n
	h.events += n
	return err
}

func (s *Store) recordSpan(h *history, p inos.Span) error {
	args := []any{
		p.TraceID, p.Stage, int64(p.Calls), int64(p.FirstStart), int64(p.LastEnd), int64(p.Total), int64(p.Max),
		int64(p.Failed), int64(p.Stalled), int64(p.Bytes),
	}
	n, err := s.changed(insertSpan, args...)
	if err == nil && n == 0 {
		_, err = s.changed(updateSpan, args...)
	}
	h.spans += n
	return err
}

// trimRows removes the oldest events and spans beyond the bound, at most limit of each.
func (s *Store) trimRows(h *history, limit int) (removed int64, err error) {
	most := int64(s.options.RowsMax)
	if over := min(h.events-most, int64(limit)); over > 0 {
		n, err := s.changed(firstEvents, over)
		if err != nil {
			return removed, err
		}
		h.events -= n
		removed += n
	}
	if over := min(h.spans-most, int64(limit)); over > 0 {
		n, err := s.changed(firstSpans, over)
		if err != nil {
			return removed, err
		}
		h.spans -= n
		removed += n
	}
	return removed, nil
}

// Trim implements inos.Episodic.
func (s *Store) Trim(ctx context.Context, now inos.Micros) (removed int, err error) {
	before := int64(now - s.options.AgeMax)
	for {
		var n int64
		err := s.write(ctx, "episodic:trim", func(h *history) error {
			events, err := s.changed(oldEvents, before, TrimRowsMax)
			if err != nil {
				return err
			}
			spans, err := s.changed(oldSpans, before, TrimRowsMax)
			if err != nil {
				return err
			}
			h.events -= events
			h.spans -= spans
			rows, err := s.trimRows(h, TrimRowsMax)
			n = events + spans + rows
			return err
		})
		if err != nil || n == 0 {
			return removed, err
		}
		removed += int(n)
	}
}
