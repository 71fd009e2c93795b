package semantic

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/inos-mesh/inos"
)

// The twin's uploads. What is open is a part of the upload that pins its chunks.

// openUpload returns an open upload to be changed.
func (m *Memory) openUpload(un *undo, op string, id inos.UploadID) (*twinUpload, error) {
	if up := m.upload(un, id); up != nil && up.open != nil {
		return up, nil
	}
	return nil, uploadUnknown(op, id)
}

// shown returns what an open upload is, now.
func (up *twinUpload) shown() inos.Upload {
	u := *up.open
	u.Held = uint64(len(up.slots))
	return u
}

// OpenUpload implements inos.SemanticUploads.
func (m *Memory) OpenUpload(ctx context.Context, u inos.Upload, uploadsMax int, bytesMax uint64) (inos.Upload, error) {
	const op = "semantic:open_upload"
	if err := checkUpload(op, &u); err != nil {
		return inos.Upload{}, err
	}
	if err := m.enter(ctx, op); err != nil {
		return inos.Upload{}, err
	}
	defer m.mu.Unlock()
	if up := m.uploads[u.ID]; up != nil {
		if up.open == nil {
			return inos.Upload{}, conflict(op, "a put is under way as the upload %.80s", u.ID)
		}
		if err := sameUpload(op, up.open, &u); err != nil {
			return inos.Upload{}, err
		}
		return up.shown(), nil
	}
	var uploads, bytes uint64
	for _, up := range m.uploads {
		if up.open != nil && up.open.Subject == u.Subject {
			uploads++
			bytes += up.open.PlainBytes
		}
	}
	if err := checkOpen(op, &u, uploads, bytes, uploadsMax, bytesMax); err != nil {
		return inos.Upload{}, err
	}
	u.Held = 0
	m.uploads[u.ID] = &twinUpload{owner: u.Owner, pins: map[inos.ChunkID]bool{}, open: &u, slots: map[uint64]inos.UploadSlot{}}
	return u, nil
}

// FindUpload implements inos.SemanticUploads.
func (m *Memory) FindUpload(ctx context.Context, id inos.UploadID, index uint64, key inos.RequestKey) (f inos.FoundUpload, err error) {
	const op = "semantic:find_upload"
	if err := checkIndex(op, index); err != nil {
		return f, err
	}
	if err := m.enter(ctx, op); err != nil {
		return f, err
	}
	defer m.mu.Unlock()
	if up := m.uploads[id]; up != nil && up.open != nil {
		f.Upload = up.shown()
		if slot, there := up.slots[index]; there {
			f.Slot = &slot
		}
		return f, nil
	}
	reply, was, err := m.reply(op, key, replyCommit)
	if err != nil {
		return f, err
	}
	if !was {
		return f, uploadUnknown(op, id)
	}
	return inos.FoundUpload{Committed: &reply.file}, nil
}

// opened returns the open uploads that are wanted.
func (m *Memory) opened(wanted func(*inos.Upload) bool) (uploads []inos.Upload) {
	for _, up := range m.uploads {
		if up.open != nil && wanted(up.open) {
			uploads = append(uploads, up.shown())
		}
	}
	return uploads
}

// ListUploads implements inos.SemanticUploads.
func (m *Memory) ListUploads(ctx context.Context, subject, owner inos.Subject, after inos.UploadID, limit int) (uploads []inos.Upload, more bool, err error) {
	if err := m.enter(ctx, "semantic:list_uploads"); err != nil {
		return nil, false, err
	}
	defer m.mu.Unlock()
	uploads = m.opened(func(u *inos.Upload) bool { return u.Subject == subject && u.Owner == owner && u.ID > after })
	slices.SortFunc(uploads, func(a, b inos.Upload) int { return cmp.Compare(a.ID, b.ID) })
	limit = page(limit, ListMax)
	return uploads[:min(len(uploads), limit)], len(uploads) > limit, nil
}

// ExpiredUploads implements inos.SemanticUploads.
func (m *Memory) ExpiredUploads(ctx context.Context, before inos.Micros, limit int) (ids []inos.UploadID, err error) {
	if err := m.enter(ctx, "semantic:expired_uploads"); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	uploads := m.opened(func(u *inos.Upload) bool { return u.ExpiresAt < before })
	slices.SortFunc(uploads, func(a, b inos.Upload) int {
		return cmp.Or(cmp.Compare(a.ExpiresAt, b.ExpiresAt), cmp.Compare(a.ID, b.ID))
	})
	for _, u := range uploads[:min(len(uploads), page(limit, ListMax))] {
		ids = append(ids, u.ID)
	}
	return ids, nil
}

// ClaimSlots implements inos.SemanticUploads.
func (m *Memory) ClaimSlots(ctx context.Context, id inos.UploadID, first uint64, hashes []inos.PlainHash, dedup bool, expires inos.Micros) (missing []uint64, u inos.Upload, err error) {
	const op = "semantic:claim_slots"
	if err := checkHashes(op, first, len(hashes)); err != nil {
		return nil, u, err
	}
	if err := m.enter(ctx, op); err != nil {
		return nil, u, err
	}
	defer m.mu.Unlock()
	un := m.begin()
	up, err := m.openUpload(un, op, id)
	if err == nil {
		err = checkSlots(op, up.open, first, uint64(len(hashes)))
	}
	for i := 0; err == nil && i < len(hashes); i++ {
		index := first + uint64(i)
		slot, there := up.slots[index]
		if there && slot.Entry.PlainHash == hashes[i] && len(m.chunks[slot.Entry.ChunkID].copies) > 0 {
			continue
		}
		delete(up.slots, index)
		var e *inos.Entry
		if dedup {
			e = m.held(up.owner, hashes[i])
		}
		if e == nil || e.PlainBytes != up.open.ChunkBytes(index) {
			missing = append(missing, index)
			continue
		}
		if err = m.stage(un, op, up, up.owner, []inos.ChunkRow{{Entry: *e, Known: true}}, true); err == nil {
			up.slots[index] = inos.UploadSlot{Index: index, Entry: *e}
		}
	}
	if err != nil {
		m.rollback(un)
		return nil, inos.Upload{}, err
	}
	up.open.ExpiresAt = max(up.open.ExpiresAt, expires)
	return missing, up.shown(), nil
}

// held returns what FindChunks finds.
func (m *Memory) held(owner inos.Subject, hash inos.PlainHash) (best *inos.Entry) {
	for _, c := range m.chunks {
		if c.entry.PlainHash == hash && c.refs > 0 && len(c.copies) > 0 && c.owners[owner] && (best == nil || string(c.entry.ChunkID[:]) < string(best.ChunkID[:])) {
			e := c.entry
			best = &e
		}
	}
	return best
}

// FillSlot implements inos.SemanticUploads.
func (m *Memory) FillSlot(ctx context.Context, id inos.UploadID, index uint64, chunk inos.ChunkRow, expires inos.Micros, _ inos.Micros) error {
	const op = "semantic:fill_slot"
	if err := checkFill(op, index, &chunk); err != nil {
		return err
	}
	if err := m.enter(ctx, op); err != nil {
		return err
	}
	defer m.mu.Unlock()
	un := m.begin()
	up, err := m.openUpload(un, op, id)
	if err == nil {
		err = checkSlots(op, up.open, index, 1)
	}
	if err == nil {
		err = checkLength(op, up.open, index, &chunk.Entry)
	}
	if err == nil {
		err = m.stage(un, op, up, up.owner, []inos.ChunkRow{chunk}, true)
	}
	if err != nil {
		m.rollback(un)
		return err
	}
	up.slots[index] = inos.UploadSlot{Index: index, Entry: chunk.Entry, Described: true}
	up.open.ExpiresAt = max(up.open.ExpiresAt, expires)
	return nil
}

// EmptySlots implements inos.SemanticUploads.
func (m *Memory) EmptySlots(ctx context.Context, id inos.UploadID, indexes []uint64) error {
	const op = "semantic:empty_slots"
	if err := checkEmpty(op, indexes); err != nil {
		return err
	}
	if err := m.enter(ctx, op); err != nil {
		return err
	}
	defer m.mu.Unlock()
	up := m.uploads[id]
	if up == nil || up.open == nil {
		return uploadUnknown(op, id)
	}
	for _, index := range indexes {
		delete(up.slots, index)
	}
	return nil
}

// UploadSlots implements inos.SemanticUploads.
func (m *Memory) UploadSlots(ctx context.Context, id inos.UploadID, first uint64, limit int) (slots []inos.UploadSlot, err error) {
	const op = "semantic:upload_slots"
	if err := checkIndex(op, first); err != nil {
		return nil, err
	}
	if err := m.enter(ctx, op); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	up := m.uploads[id]
	if up == nil || up.open == nil {
		return nil, uploadUnknown(op, id)
	}
	for _, index := range slices.Sorted(maps.Keys(up.slots)) {
		if index >= first && len(slots) < page(limit, StageRowsMax) {
			slots = append(slots, up.slots[index])
		}
	}
	return slots, nil
}
