package semantic

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"sync/atomic"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/internal/sqlite"
)

// Bounds of the group commit.
const (
	QueueVerbsMax = 1024 // write verbs that wait; a further one waits to enter the queue
	BatchVerbsMax = 128  // verbs that share one transaction and one flush
	BatchRowsMax  = 8192 // rows after which a batch takes no further verb
)

// A verb waits in the queue, is taken by the writer or given up by its caller, whichever is first.
const (
	queued int32 = iota
	taken
	givenUp
)

type verb struct {
	name   string
	weight int // rows it touches, roughly
	run    func(*tx) error
	state  atomic.Int32
	done   chan error
}

// write hands a verb to the writer and waits until its transaction is on stable storage. A verb whose context ends
// while it waits has had no effect; one that the writer has taken is waited for, so its outcome is always known.
func (s *Store) write(ctx context.Context, name string, weight int, run func(*tx) error) error {
	v := &verb{name: name, weight: weight, run: run, done: make(chan error, 1)}
	if err := ctx.Err(); err != nil { // a select with several ready cases chooses any of them
		return sqlite.Wrap(name, "waiting to be written", err)
	}
	select {
	case <-s.stop:
		return closed(name)
	default:
	}
	select {
	case s.queue <- v:
	case <-ctx.Done():
		return sqlite.Wrap(name, "waiting to be written", ctx.Err())
	case <-s.stop:
		return closed(name)
	}
	select {
	case err := <-v.done:
		return err
	case <-s.stopped:
		// The writer drains the queue before it ends; a verb that entered after that is nobody's.
		select {
		case err := <-v.done:
			return err
		default:
			return closed(name)
		}
	case <-ctx.Done():
		if v.state.CompareAndSwap(queued, givenUp) {
			return sqlite.Wrap(name, "waiting to be written", ctx.Err())
		}
		return <-v.done
	}
}

func closed(name string) error {
	return inos.Errorf(inos.CodeShuttingDown, name, "the semantic memory is closed")
}

// writer is the one goroutine that writes. It ends when stop is closed and the queue is empty.
func (s *Store) writer() {
	defer close(s.stopped)
	batch := make([]*verb, 0, BatchVerbsMax)
	for {
		select {
		case v := <-s.queue:
			batch = s.gather(append(batch[:0], v))
			s.commit(batch)
		case <-s.stop:
			for {
				select {
				case v := <-s.queue:
					batch = s.gather(append(batch[:0], v))
					s.commit(batch)
				default:
					return
				}
			}
		}
	}
}

// gather adds to the batch what waits in the queue. It first lets the callers that the batch before has answered queue
// their next verb: without that, sixteen callers would share a flush by ones and fifteens.
func (s *Store) gather(batch []*verb) []*verb {
	runtime.Gosched()
	rows := batch[0].weight
	for len(batch) < BatchVerbsMax && rows < BatchRowsMax {
		select {
		case v := <-s.queue:
			batch = append(batch, v)
			rows += v.weight
		default:
			return batch
		}
	}
	return batch
}

// commit runs the batch in one transaction and answers its verbs. A verb that fails a precondition is rolled back
// alone. A verb that meets a fault of the database ends the batch: nothing of it is kept and all learn why, those that were refused too, for
// what they were refused for may be gone with the rest.
func (s *Store) commit(batch []*verb) {
	answers := make([]error, len(batch))
	err := s.runBatch(batch, answers)
	for i, v := range batch {
		if v.state.Load() == givenUp {
			continue
		}
		answer := answers[i]
		if err != nil {
			answer = sqlite.Wrap(v.name, s.db.Path, err)
		}
		v.done <- answer
	}
}

func (s *Store) runBatch(batch []*verb, answers []error) (err error) {
	if err := s.exec(sqlite.Begin); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = s.exec(sqlite.Rollback) // SQLite may have done it already; err says what happened
		}
	}()
	t := newTx(&s.stmts)
	if err := t.row(selectCounters).Scan(&t.base, &t.leases, &t.entries); err != nil {
		return err
	}
	sum := delta{}
	for i, v := range batch {
		if !v.state.CompareAndSwap(queued, taken) {
			continue
		}
		t.delta = sum
		if answers[i], err = t.attempt(v); err != nil {
			return err
		}
		if answers[i] == nil {
			sum = t.delta
			t.keepPlaced()
		} else {
			clear(t.members) // the verb may have changed one and been undone
		}
		clear(t.placed)
	}
	if err := t.writePlaced(); err != nil {
		return err
	}
	if sum != (delta{}) {
		if err := t.exec(addTotals, sum.files, sum.plainBytes, sum.chunks, sum.storedBytes, sum.collectable, sum.uploads, sum.generations,
			sum.repairs, sum.leases, sum.entries); err != nil {
			return err
		}
	}
	return s.exec(sqlite.Commit)
}

// attempt runs one verb inside a savepoint. The first result is the verb's own failure, the second a fault.
func (t *tx) attempt(v *verb) (failed, fault error) {
	if err := t.exec(savepoint); err != nil {
		return nil, err
	}
	if err := v.run(t); err != nil {
		if !precondition(err) {
			return nil, err
		}
		failed = err
		if err := t.exec(rollbackTo); err != nil {
			return nil, err
		}
	}
	return failed, t.exec(release)
}

// precondition reports whether an error is a verb's refusal, which carries its code already, and not a fault.
func precondition(err error) bool {
	var coded *inos.Error
	return errors.As(err, &coded)
}

func (s *Store) exec(query string) error {
	_, err := s.db.Writer.ExecContext(context.Background(), query)
	return err
}

// delta is what the verbs of a batch add to the totals.
type delta struct {
	files, plainBytes, chunks, storedBytes, collectable, uploads, generations, repairs, leases, entries, members int64
}

// tx is the transaction that a verb runs in.
type tx struct {
	stmts   *[statements]*sql.Stmt
	delta   delta
	base    int64                         // generation that the transaction began with
	leases  int64                         // lease that it began with
	entries int64                         // number of the last entry of the ledger that it began with
	counted int64                         // members that it began with; -1: not counted yet
	members map[inos.NodeID]presentMember // those looked up, as they are now
	placed  map[inos.NodeID]placed        // what the verb adds to the members' counters
	sums    map[inos.NodeID]placed        // what the verbs before it in the batch have added
}

func newTx(stmts *[statements]*sql.Stmt) *tx {
	return &tx{stmts: stmts, counted: -1, members: map[inos.NodeID]presentMember{}, placed: map[inos.NodeID]placed{}, sums: map[inos.NodeID]placed{}}
}

// nextGeneration returns a number larger than every generation before.
func (t *tx) nextGeneration() int64 {
	t.delta.generations++
	return t.base + t.delta.generations
}

// nextLease returns a number larger than every lease before.
func (t *tx) nextLease() int64 {
	t.delta.leases++
	return t.leases + t.delta.leases
}

// nextEntry returns the number of the ledger's next entry.
func (t *tx) nextEntry() int64 {
	t.delta.entries++
	return t.entries + t.delta.entries
}

// memberCount returns how many members there are. They are counted once for all that a batch lets in: a large mesh would else be as slow to come together
// as the square of its members.
func (t *tx) memberCount() (int64, error) {
	if t.counted < 0 {
		var n int64
		if err := t.row(countMembers).Scan(&n); err != nil {
			return 0, err
		}
		t.counted = n - t.delta.members
	}
	return t.counted + t.delta.members, nil
}

func (t *tx) exec(s statement, args ...any) error {
	_, err := t.stmts[s].ExecContext(context.Background(), args...)
	return err
}

// changed runs a statement and reports whether it changed a row.
func (t *tx) changed(s statement, args ...any) (bool, error) {
	r, err := t.stmts[s].ExecContext(context.Background(), args...)
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n > 0, err
}

func (t *tx) row(s statement, args ...any) *sql.Row {
	return t.stmts[s].QueryRowContext(context.Background(), args...)
}

// found scans a row and reports whether there was one.
func found(r *sql.Row, dst ...any) (bool, error) {
	err := r.Scan(dst...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// collect returns what scan makes of each row; the statements that it is used with carry their own bound.
func collect[T any](r *sql.Rows, err error, scan func(scan func(...any) error) (T, error)) (all []T, _ error) {
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for r.Next() {
		one, err := scan(r.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, r.Err()
}

func (t *tx) query(s statement, args ...any) (*sql.Rows, error) {
	return t.stmts[s].QueryContext(context.Background(), args...)
}

func scanText[T ~string](scan func(...any) error) (text T, err error) { return text, scan(&text) }

// ids collects one column of chunk ids; the statements that it is used with carry their own bound.
func (t *tx) ids(s statement, args ...any) (ids []inos.ChunkID, err error) {
	rows, err := t.stmts[s].QueryContext(context.Background(), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var b sql.RawBytes
		if err := rows.Scan(&b); err != nil {
			return nil, err
		}
		ids = append(ids, inos.ChunkID(b))
	}
	return ids, rows.Err()
}
