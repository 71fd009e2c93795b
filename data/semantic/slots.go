package semantic

import (
	"context"

	"github.com/inos-mesh/inos"
)

// ClaimSlots implements inos.SemanticUploads.
func (s *Store) ClaimSlots(ctx context.Context, id inos.UploadID, first uint64, hashes []inos.PlainHash, dedup bool, expires inos.Micros) (missing []uint64, u inos.Upload, err error) {
	const op = "semantic:claim_slots"
	if err := checkHashes(op, first, len(hashes)); err != nil {
		return nil, u, err
	}
	err = s.write(ctx, op, 1+4*len(hashes), func(t *tx) error {
		missing = nil
		var open bool
		if u, open, err = t.openedUpload(id); err != nil || !open {
			return orUnknown(op, id, err)
		}
		if err := checkSlots(op, &u, first, uint64(len(hashes))); err != nil {
			return err
		}
		held := int64(0)
		for i := range hashes {
			index := first + uint64(i)
			filled, more, err := t.claimSlot(op, &u, index, hashes[i], dedup)
			if err != nil {
				return err
			}
			held += more
			if !filled {
				missing = append(missing, index)
			}
		}
		u.Held += uint64(held)
		u.ExpiresAt = max(u.ExpiresAt, expires)
		return t.exec(touchOpen, string(id), held, int64(expires))
	})
	if err != nil {
		return nil, inos.Upload{}, err
	}
	return missing, u, nil
}

// claimSlot fills a slot, with dedup with a chunk that the owner holds, if there is one; more is by how many slots there are more than before.
func (t *tx) claimSlot(op string, u *inos.Upload, index uint64, hash inos.PlainHash, dedup bool) (filled bool, more int64, err error) {
	was, _, there, err := scanSlot(t.row(selectSlot, string(u.ID), int64(index)).Scan)
	if err != nil {
		return false, 0, err
	}
	var one int64
	if there && was.PlainHash == hash {
		if held, err := found(t.row(existsCopy, was.ChunkID[:]), &one); err != nil || held {
			return held, 0, err
		}
	}
	if there {
		more--
		if err := t.exec(deleteSlot, string(u.ID), int64(index)); err != nil {
			return false, 0, err
		}
	}
	if !dedup {
		return false, more, nil
	}
	var raw []byte
	if held, err := found(t.row(findHolding, hash[:], string(u.Owner)), &raw); err != nil || !held {
		return false, more, err
	}
	e, err := inos.ParseEntry(raw)
	if err != nil || e.PlainBytes != u.ChunkBytes(index) {
		return false, more, err
	}
	if err := t.stage(op, u.ID, u.Owner, []inos.ChunkRow{{Entry: e, Known: true}}, true); err != nil {
		return false, 0, err
	}
	return true, more + 1, t.exec(upsertSlot, string(u.ID), int64(index), inos.AppendEntry(nil, &e), int64(0))
}

// FillSlot implements inos.SemanticUploads.
func (s *Store) FillSlot(ctx context.Context, id inos.UploadID, index uint64, chunk inos.ChunkRow, expires inos.Micros, now inos.Micros) error {
	const op = "semantic:fill_slot"
	if err := checkFill(op, index, &chunk); err != nil {
		return err
	}
	return s.write(ctx, op, 4, func(t *tx) error {
		u, open, err := t.openedUpload(id)
		if err != nil || !open {
			return orUnknown(op, id, err)
		}
		if err := checkSlots(op, &u, index, 1); err != nil {
			return err
		}
		if err := checkLength(op, &u, index, &chunk.Entry); err != nil {
			return err
		}
		if err := t.stage(op, id, u.Owner, []inos.ChunkRow{chunk}, true); err != nil {
			return err
		}
		held := int64(1)
		if _, _, there, err := scanSlot(t.row(selectSlot, string(id), int64(index)).Scan); err != nil {
			return err
		} else if there {
			held = 0
		}
		if err := t.exec(upsertSlot, string(id), int64(index), inos.AppendEntry(nil, &chunk.Entry), int64(1)); err != nil {
			return err
		}
		return t.exec(touchOpen, string(id), held, int64(expires))
	})
}

// EmptySlots implements inos.SemanticUploads.
func (s *Store) EmptySlots(ctx context.Context, id inos.UploadID, indexes []uint64) error {
	const op = "semantic:empty_slots"
	if err := checkEmpty(op, indexes); err != nil {
		return err
	}
	return s.write(ctx, op, 1+len(indexes), func(t *tx) error {
		if _, open, err := t.openedUpload(id); err != nil || !open {
			return orUnknown(op, id, err)
		}
		held := int64(0)
		for _, index := range indexes {
			was, err := t.changed(deleteSlot, string(id), int64(index))
			if err != nil {
				return err
			}
			if was {
				held--
			}
		}
		return t.exec(touchOpen, string(id), held, int64(0))
	})
}

// sweepSlots drops at most SweepRowsMax slots of an upload.
func (t *tx) sweepSlots(upload inos.UploadID) (left bool, err error) {
	r, err := t.stmts[deleteSlots].ExecContext(context.Background(), string(upload), SweepRowsMax)
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n == SweepRowsMax, err
}
