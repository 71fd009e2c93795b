package semantic

import (
	"context"
	"database/sql"

	"github.com/inos-mesh/inos"
)

// addCopy makes a node hold a chunk, trusted in an epoch; size is what the copy takes. What is promised of a copy that is there already stays.
func (t *tx) addCopy(id inos.ChunkID, node inos.NodeID, epoch, size int64, promised uint32) error {
	added, err := t.changed(insertCopy, id[:], string(node), epoch, int64(promised))
	if err != nil {
		return err
	}
	if added {
		t.place(node, 1, size)
		return nil
	}
	return t.exec(confirmCopy, id[:], string(node), epoch)
}

// promise notes that a receipt may name every node that holds a chunk.
func (t *tx) promise(id inos.ChunkID, promised uint32) error {
	if promised == 0 {
		return nil
	}
	return t.exec(promiseCopies, id[:], int64(promised))
}

// dropCopy takes a node off those that hold a chunk and reports whether it was one of them.
func (t *tx) dropCopy(id inos.ChunkID, node inos.NodeID) (bool, error) {
	was, err := t.changed(deleteCopy, id[:], string(node))
	if err != nil || !was {
		return false, err
	}
	c, _, err := t.chunk(id)
	t.place(node, -1, -storedBytes(&c.entry, c.roles))
	return true, err
}

// grow counts the bytes of a chunk whose length becomes known for the nodes that hold it already.
func (t *tx) grow(id inos.ChunkID, size int64) error {
	nodes, err := t.nodes(selectHolders, id[:])
	if err != nil {
		return err
	}
	for _, node := range nodes {
		t.place(node, 0, size)
	}
	return nil
}

// nodes collects one column of node ids, of one chunk or one record.
func (t *tx) nodes(s statement, args ...any) ([]inos.NodeID, error) {
	rows, err := t.stmts[s].QueryContext(context.Background(), args...)
	if err != nil {
		return nil, err
	}
	return scanNodes(rows)
}

func scanNodes(rows *sql.Rows) (nodes []inos.NodeID, err error) {
	defer rows.Close()
	for rows.Next() {
		var node inos.NodeID
		if err := rows.Scan(&node); err != nil {
			return nil, err
		}
		nodes = append(nodes, node)
	}
	return nodes, rows.Err()
}

// inEpoch runs a verb on a node's copies if the epoch is its present one.
func (s *Store) inEpoch(ctx context.Context, op string, node inos.NodeID, epoch uint64, ids []inos.ChunkID, run func(*tx) error) error {
	if err := checkCopies(op, node, epoch, ids); err != nil {
		return err
	}
	return s.write(ctx, op, 1+len(ids), func(t *tx) error {
		m, err := t.member(op, node)
		if err != nil {
			return err
		}
		if uint64(m.epoch) != epoch {
			return epochOver(op, node, epoch, uint64(m.epoch))
		}
		return run(t)
	})
}

// AddCopies implements inos.SemanticMesh.
func (s *Store) AddCopies(ctx context.Context, node inos.NodeID, epoch uint64, ids []inos.ChunkID, promised uint32) (taken []inos.ChunkID, err error) {
	err = s.inEpoch(ctx, "semantic:add_copies", node, epoch, ids, func(t *tx) error {
		for _, id := range ids {
			c, exists, err := t.chunk(id)
			if err != nil {
				return err
			}
			if !exists || c.condemned {
				continue
			}
			if err := t.addCopy(id, node, int64(epoch), storedBytes(&c.entry, c.roles), promised); err != nil {
				return err
			}
			if err := t.promise(id, promised); err != nil {
				return err
			}
			taken = append(taken, id)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return taken, nil
}

// ConfirmCopies implements inos.SemanticMesh.
func (s *Store) ConfirmCopies(ctx context.Context, node inos.NodeID, epoch uint64, ids []inos.ChunkID) (unlisted []inos.ChunkID, err error) {
	err = s.inEpoch(ctx, "semantic:confirm_copies", node, epoch, ids, func(t *tx) error {
		for _, id := range ids {
			listed, err := t.changed(confirmListed, id[:], string(node), int64(epoch))
			if err != nil {
				return err
			}
			if !listed {
				unlisted = append(unlisted, id)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return unlisted, nil
}

// AuditCopies implements inos.SemanticMesh.
func (s *Store) AuditCopies(ctx context.Context, node inos.NodeID, epoch uint64, ids []inos.ChunkID, now inos.Micros) error {
	const op = "semantic:audit_copies"
	if err := checkCopies(op, node, epoch, ids); err != nil {
		return err
	}
	return s.write(ctx, op, 1+len(ids), func(t *tx) error {
		for i := range ids {
			if err := t.exec(auditCopy, ids[i][:], string(node), int64(epoch), int64(now)); err != nil {
				return err
			}
		}
		return nil
	})
}

// RetireCopy implements inos.SemanticMesh.
func (s *Store) RetireCopy(ctx context.Context, id inos.ChunkID, generation uint64, node inos.NodeID, keep []inos.NodeID) error {
	const op = "semantic:retire_copy"
	if err := checkRetire(op, node, keep); err != nil {
		return err
	}
	return s.write(ctx, op, 1+len(keep), func(t *tx) error {
		c, exists, err := t.chunk(id)
		if err != nil {
			return err
		}
		if !exists || c.generation != generation {
			return generationOver(op, id, generation)
		}
		for _, k := range keep {
			var epoch, audited int64
			held, err := found(t.row(selectCopyProof, id[:], string(k)), &epoch, &audited)
			if err != nil {
				return err
			}
			if !held {
				return notKept(op, id, k)
			}
			m, err := t.member(op, k)
			if err != nil {
				return err
			}
			if m.epoch != epoch || audited == 0 {
				return notKept(op, id, k)
			}
		}
		_, err = t.dropCopy(id, node)
		return err
	})
}
