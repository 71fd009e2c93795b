package semantic

import (
	"context"
	"slices"

	"github.com/inos-mesh/inos"
)

// AbortUpload implements inos.Semantic.
func (s *Store) AbortUpload(ctx context.Context, upload inos.UploadID) (uploads int, err error) {
	const op = "semantic:abort_upload"
	for {
		id, more, aborted := upload, false, 0
		err := s.write(ctx, op, SweepRowsMax, func(t *tx) (err error) {
			if upload == "" {
				var any string
				if more, err = found(t.row(anyUpload), &any); err != nil || !more {
					return err
				}
				id = inos.UploadID(any)
			}
			var of string
			known, err := found(t.row(selectUpload, string(id)), &of)
			if err != nil || !known {
				return err
			}
			left, err := t.sweepUpload(op, id, inos.Subject(of))
			if !left {
				aborted = 1
			}
			more = more || left
			return err
		})
		if err == nil {
			uploads += aborted
		}
		if err != nil || !more {
			return uploads, err
		}
	}
}

// sweepUpload drops at most SweepRowsMax pins of an upload, and as many slots, and the upload with the last. It is open no more from the first call on.
// An unknown upload is none.
func (t *tx) sweepUpload(op string, upload inos.UploadID, owner inos.Subject) (left bool, err error) {
	known, err := t.checkUpload(op, upload, owner)
	if err != nil || !known {
		return false, err
	}
	if err := t.exec(deleteOpen, string(upload)); err != nil {
		return false, err
	}
	if left, err := t.sweepSlots(upload); err != nil || left {
		return left, err
	}
	pins, err := t.ids(selectPins, string(upload), SweepRowsMax+1)
	if err != nil {
		return false, err
	}
	for i, id := range pins {
		if i == SweepRowsMax {
			return true, nil
		}
		if err := t.unpin(upload, id); err != nil {
			return false, err
		}
	}
	t.delta.uploads--
	return false, t.exec(deleteUpload, string(upload))
}

// CondemnChunks implements inos.Semantic.
func (s *Store) CondemnChunks(ctx context.Context, limit int) (condemned []inos.ChunkGeneration, err error) {
	limit = page(limit, CondemnMax)
	err = s.write(ctx, "semantic:condemn_chunks", limit, func(t *tx) error {
		var fresh []inos.ChunkID
		condemned, fresh, err = t.collectable(limit)
		if err != nil {
			return err
		}
		for _, id := range fresh {
			if err := t.exec(condemnChunk, id[:]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return condemned, nil
}

func (t *tx) collectable(limit int) (all []inos.ChunkGeneration, fresh []inos.ChunkID, err error) {
	rows, err := t.stmts[selectCollectable].QueryContext(context.Background(), limit)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id []byte
		var generation, condemned int64
		if err := rows.Scan(&id, &generation, &condemned); err != nil {
			return nil, nil, err
		}
		all = append(all, inos.ChunkGeneration{ID: inos.ChunkID(id), Generation: uint64(generation)})
		if condemned == 0 {
			fresh = append(fresh, inos.ChunkID(id))
		}
	}
	return all, fresh, rows.Err()
}

// ForgetChunks implements inos.Semantic.
func (s *Store) ForgetChunks(ctx context.Context, chunks []inos.ChunkGeneration) (forgotten int, err error) {
	const op = "semantic:forget_chunks"
	if err := checkCount(op, "chunks", len(chunks)); err != nil {
		return 0, err
	}
	for len(chunks) > 0 {
		var done, gone int
		err := s.write(ctx, op, SweepRowsMax, func(t *tx) error {
			done, gone = 0, 0
			for rows := 0; done < len(chunks) && rows < SweepRowsMax; done++ {
				edges, was, err := t.forget(chunks[done])
				if err != nil {
					return err
				}
				if was {
					gone++
				}
				rows += 1 + edges
			}
			return nil
		})
		if err != nil {
			return forgotten, err
		}
		forgotten += gone
		chunks = chunks[done:]
	}
	return forgotten, nil
}

// forget removes one chunk unless it has been referred to or staged since it was condemned.
func (t *tx) forget(c inos.ChunkGeneration) (edges int, was bool, err error) {
	var raw []byte
	var roles int64
	was, err = found(t.row(selectDoomed, c.ID[:], int64(c.Generation)), &raw, &roles)
	if err != nil || !was {
		return 0, false, err
	}
	e, err := inos.ParseEntry(raw)
	if err != nil {
		return 0, false, err
	}
	t.delta.chunks--
	t.delta.collectable--
	if roles&roleData != 0 {
		t.delta.storedBytes -= int64(e.StoredBytes)
		if err := t.exec(deleteHoldings, e.PlainHash[:], c.ID[:]); err != nil {
			return 0, false, err
		}
	}
	if roles&roleManifest != 0 {
		children, err := t.ids(selectChildren, c.ID[:])
		if err != nil {
			return 0, false, err
		}
		edges = len(children)
		if err := t.exec(deleteEdges, c.ID[:]); err != nil {
			return 0, false, err
		}
		for _, child := range children {
			if err := t.dropRef(child); err != nil {
				return 0, false, err
			}
		}
	}
	nodes, err := t.nodes(deleteCopies, c.ID[:])
	if err != nil {
		return 0, false, err
	}
	for _, node := range nodes {
		t.place(node, -1, -storedBytes(&e, roles))
	}
	if err := t.endRepair(c.ID); err != nil {
		return 0, false, err
	}
	return edges, true, t.exec(deleteChunk, c.ID[:])
}

// DropCopies implements inos.Semantic.
func (s *Store) DropCopies(ctx context.Context, node inos.NodeID, ids []inos.ChunkID) (dropped int, err error) {
	const op = "semantic:drop_copies"
	if err := checkDrop(op, node, ids); err != nil {
		return 0, err
	}
	for batch := range slices.Chunk(ids, SweepRowsMax) {
		gone := 0
		err := s.write(ctx, op, len(batch), func(t *tx) error {
			gone = 0
			for i := range batch {
				was, err := t.dropCopy(batch[i], node)
				if err != nil {
					return err
				}
				if was {
					gone++
				}
			}
			return nil
		})
		if err != nil {
			return dropped, err
		}
		dropped += gone
	}
	return dropped, nil
}
