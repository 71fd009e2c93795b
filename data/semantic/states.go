package semantic

import (
	"context"
	"database/sql"

	"github.com/inos-mesh/inos"
)

// snapshot reads one state of the database with several statements.
type snapshot struct {
	ctx   context.Context
	tx    *sql.Tx
	stmts *[statements]*sql.Stmt
	above map[inos.ChunkID]above // looked up before
	bound int                    // of the chunks above one: WalkMax
}

// above is what refers to a chunk.
type above struct {
	parents []inos.ChunkID
	wanted  uint32 // by files, versions that stay and uploads
	more    bool   // parents were left out
}

// Bounds of the references that a snapshot keeps: of so many chunks, each with so many parents.
const (
	aboveKept   = 16384
	parentsKept = 256
)

// read runs a reading verb of several statements on one state of the database.
func (s *Store) read(ctx context.Context, op string, run func(*snapshot) error) error {
	tx, err := s.db.Reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return s.wrap(op, err)
	}
	defer func() { _ = tx.Rollback() }() // it has changed nothing
	return s.wrap(op, run(&snapshot{ctx: ctx, tx: tx, stmts: &s.reads, above: map[inos.ChunkID]above{}, bound: WalkMax}))
}

func (r *snapshot) query(s statement, args ...any) (*sql.Rows, error) {
	return r.tx.StmtContext(r.ctx, r.stmts[s]).QueryContext(r.ctx, args...)
}

func (r *snapshot) row(s statement, args ...any) *sql.Row {
	return r.tx.StmtContext(r.ctx, r.stmts[s]).QueryRowContext(r.ctx, args...)
}

// copies returns the copies of a chunk, sorted by node.
func (r *snapshot) copies(id inos.ChunkID) (copies []inos.Copy, err error) {
	rows, err := r.query(selectCopies, id[:])
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c inos.Copy
		if err := rows.Scan(&c.Node, &c.Trusted, &c.AuditedAt, &c.Promised); err != nil {
			return nil, err
		}
		if !c.Trusted {
			c.AuditedAt = 0
		}
		copies = append(copies, c)
	}
	return copies, rows.Err()
}

// ChunkCopies implements inos.Semantic.
func (s *Store) ChunkCopies(ctx context.Context, ids []inos.ChunkID) ([][]inos.Copy, error) {
	const op = "semantic:chunk_copies"
	if err := checkCount(op, "ids", len(ids)); err != nil {
		return nil, err
	}
	copies := make([][]inos.Copy, len(ids))
	err := s.read(ctx, op, func(r *snapshot) (err error) {
		for i := range ids {
			if copies[i], err = r.copies(ids[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return copies, nil
}

// ChunkStates implements inos.SemanticMesh.
func (s *Store) ChunkStates(ctx context.Context, ids []inos.ChunkID) ([]inos.ChunkState, error) {
	const op = "semantic:chunk_states"
	if err := checkIDs(op, len(ids)); err != nil {
		return nil, err
	}
	states := make([]inos.ChunkState, len(ids))
	err := s.read(ctx, op, func(r *snapshot) error {
		for i, id := range ids {
			states[i].ID = id
			c, exists, err := scanChunk(r.row(selectChunk, id[:]).Scan)
			if err == nil && exists {
				states[i], err = r.state(id, &c)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return states, nil
}

// ScanChunks implements inos.SemanticMesh.
func (s *Store) ScanChunks(ctx context.Context, after inos.ChunkID, limit int) (states []inos.ChunkState, end bool, err error) {
	limit = page(limit, ScanMax)
	err = s.read(ctx, "semantic:scan_chunks", func(r *snapshot) error {
		ids, chunks, err := r.page(after, limit+1)
		if err != nil {
			return err
		}
		end = len(ids) <= limit
		for i, id := range ids[:min(limit, len(ids))] {
			state, err := r.state(id, &chunks[i])
			if err != nil {
				return err
			}
			states = append(states, state)
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	return states, end, nil
}

func (r *snapshot) page(after inos.ChunkID, limit int) (ids []inos.ChunkID, chunks []chunkRow, err error) {
	rows, err := r.query(scanChunks, after[:], limit)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id []byte
		c, _, err := scanChunk(rows.Scan, &id)
		if err != nil {
			return nil, nil, err
		}
		if len(id) != inos.HashBytes {
			return nil, nil, inos.Errorf(inos.CodeBadFormat, "read chunk row", "an id of %d bytes, it has %d", len(id), inos.HashBytes)
		}
		ids, chunks = append(ids, inos.ChunkID(id)), append(chunks, c)
	}
	return ids, chunks, rows.Err()
}

func (r *snapshot) state(id inos.ChunkID, c *chunkRow) (state inos.ChunkState, err error) {
	state = inos.ChunkState{
		ID: id, StoredBytes: uint64(storedBytes(&c.entry, c.roles)), Generation: c.generation, Condemned: c.condemned, Manifest: c.roles&roleManifest != 0,
	}
	if state.Wanted, err = r.wanted(id); err != nil {
		return state, err
	}
	state.Copies, err = r.copies(id)
	return state, err
}

// wanted walks from a chunk upwards along the edges to all that refers to it. What a shared chunk wants is the most that
// any of them asks for, so the walk does not stop at the first; a chunk under more than WalkMax others is taken to be
// wanted by ReplicasDefault at least.
func (r *snapshot) wanted(id inos.ChunkID) (most uint32, err error) {
	seen := map[inos.ChunkID]bool{id: true}
	for next := []inos.ChunkID{id}; len(next) > 0; {
		id, next = next[len(next)-1], next[:len(next)-1]
		a, err := r.lookAbove(id)
		if err != nil {
			return 0, err
		}
		most = max(most, a.wanted)
		for _, parent := range a.parents {
			if !seen[parent] {
				seen[parent] = true
				next = append(next, parent)
			}
		}
		if a.more || len(seen) > r.bound {
			return max(most, inos.ReplicasDefault), nil
		}
	}
	return most, nil
}

func (r *snapshot) lookAbove(id inos.ChunkID) (a above, err error) {
	if a, known := r.above[id]; known {
		return a, nil
	}
	rows, err := r.query(selectAbove, id[:])
	if err != nil {
		return a, err
	}
	defer rows.Close()
	for rows.Next() {
		var parent []byte
		var wanted int64
		if err := rows.Scan(&parent, &wanted); err != nil {
			return a, err
		}
		switch {
		case wanted < 0: // a pin
			a.wanted = max(a.wanted, inos.ReplicasDefault)
		case parent == nil:
			a.wanted = max(a.wanted, uint32(wanted))
		case len(a.parents) == r.bound:
			a.more = true
			return a, nil
		case len(parent) != inos.HashBytes:
			return a, inos.Errorf(inos.CodeBadFormat, "read edge row", "an id of %d bytes, it has %d", len(parent), inos.HashBytes)
		default:
			a.parents = append(a.parents, inos.ChunkID(parent))
		}
	}
	if len(r.above) < aboveKept && len(a.parents) <= parentsKept {
		r.above[id] = a
	}
	return a, rows.Err()
}
