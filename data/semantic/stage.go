package semantic

import (
	"context"
	"database/sql"
	"errors"

	"github.com/inos-mesh/inos"
)

// Roles of a chunk. The same stored bytes can be both: somebody may store a manifest node's bytes as a file.
const (
	roleData     = 1 // the entry is of the data; it counts into the stored bytes and is found by plain hash
	roleManifest = 2 // its edges are in place
)

// StageChunks implements inos.Semantic.
func (s *Store) StageChunks(ctx context.Context, upload inos.UploadID, owner inos.Subject, rows []inos.ChunkRow, now inos.Micros) error {
	const op = "semantic:stage_chunks"
	if err := checkStage(op, upload, owner, rows); err != nil {
		return err
	}
	return s.write(ctx, op, stageWeight(rows), func(t *tx) error {
		if err := t.openUpload(op, upload, owner, now); err != nil {
			return err
		}
		return t.stage(op, upload, owner, rows, true)
	})
}

func stageWeight(rows []inos.ChunkRow) int {
	n := 1
	for i := range rows {
		n += 1 + len(rows[i].Children)
	}
	return n
}

func (t *tx) openUpload(op string, upload inos.UploadID, owner inos.Subject, now inos.Micros) error {
	known, err := t.checkUpload(op, upload, owner)
	if err != nil || known {
		return err
	}
	t.delta.uploads++
	return t.exec(insertUpload, string(upload), string(owner), int64(now))
}

// checkUpload reports whether the upload exists; another owner's is a conflict.
func (t *tx) checkUpload(op string, upload inos.UploadID, owner inos.Subject) (bool, error) {
	var of string
	known, err := found(t.row(selectUpload, string(upload)), &of)
	if known && of != string(owner) {
		return true, conflict(op, "the upload %s belongs to another owner", upload)
	}
	return known, err
}

// stage inserts or renews rows in order. With pin each gets a reference of the upload, which a manifest node's edge
// replaces when the node is staged: at any time an upload pins only what has no parent yet.
func (t *tx) stage(op string, upload inos.UploadID, owner inos.Subject, rows []inos.ChunkRow, pin bool) error {
	for i := range rows {
		r := &rows[i]
		linked, size, err := t.stageRow(op, owner, r)
		if err != nil {
			return err
		}
		if err := t.addNodes(op, r, size); err != nil {
			return err
		}
		if err := t.promise(r.Entry.ChunkID, r.Promised); err != nil {
			return err
		}
		if r.Manifest {
			if err := t.adopt(op, upload, r, linked); err != nil {
				return err
			}
		}
		if pin {
			if err := t.pin(op, upload, r.Entry.ChunkID); err != nil {
				return err
			}
		}
	}
	return nil
}

// addNodes adds the nodes that the caller has written the chunk's bytes to.
func (t *tx) addNodes(op string, r *inos.ChunkRow, size int64) error {
	if r.Known {
		return nil
	}
	for _, node := range r.Nodes {
		m, err := t.member(op, node)
		if err != nil {
			return err
		}
		if err := t.addCopy(r.Entry.ChunkID, node, m.epoch, size, r.Promised); err != nil {
			return err
		}
	}
	return nil
}

// stageRow inserts or renews one row. linked says that its edges are in place already; size is what a copy takes.
func (t *tx) stageRow(op string, owner inos.Subject, r *inos.ChunkRow) (linked bool, size int64, err error) {
	id, role := r.Entry.ChunkID, int64(roleData)
	if r.Manifest {
		role = roleManifest
	}
	generation := t.nextGeneration()
	if !r.Known {
		inserted, err := t.changed(insertChunk, id[:], inos.AppendEntry(nil, &r.Entry), role, generation)
		if err != nil {
			return false, 0, err
		}
		if inserted {
			t.delta.chunks++
			t.delta.collectable++
			return false, storedBytes(&r.Entry, role), t.hold(owner, r, 0)
		}
	}
	kept, exists, err := t.chunk(id)
	if err != nil {
		return false, 0, err
	}
	if r.Known {
		if err := t.checkKnown(op, owner, r, exists && !kept.condemned && kept.roles&role != 0); err != nil {
			return false, 0, err
		}
	}
	if kept.roles&role != 0 && (role == roleData || kept.roles == roleManifest) && contradicts(&kept.entry, &r.Entry) {
		return false, 0, conflict(op, "chunk %s is known with %d plain and %d stored bytes of %s, not %d and %d of %s", id,
			kept.entry.PlainBytes, kept.entry.StoredBytes, kept.entry.PlainHash, r.Entry.PlainBytes, r.Entry.StoredBytes, r.Entry.PlainHash)
	}
	if kept.condemned { // its copies are in the trash, or on their way there: only what is written anew counts
		nodes, err := t.nodes(deleteCopies, id[:])
		if err != nil {
			return false, 0, err
		}
		for _, node := range nodes {
			t.place(node, -1, -storedBytes(&kept.entry, kept.roles))
		}
	}
	entry := kept.entry
	if kept.roles&roleData == 0 && role == roleData {
		entry = r.Entry
		if err := t.grow(id, int64(entry.StoredBytes)); err != nil {
			return false, 0, err
		}
	}
	if err := t.exec(renewChunk, id[:], inos.AppendEntry(nil, &entry), kept.roles|role, generation); err != nil {
		return false, 0, err
	}
	return kept.roles&roleManifest != 0, storedBytes(&entry, kept.roles|role), t.hold(owner, r, kept.roles)
}

// chunkRow is a row of chunks.
type chunkRow struct {
	entry      inos.Entry
	roles      int64
	generation uint64
	condemned  bool
}

func (t *tx) chunk(id inos.ChunkID) (c chunkRow, exists bool, err error) {
	return scanChunk(t.row(selectChunk, id[:]).Scan)
}

func scanChunk(scan func(...any) error, before ...any) (c chunkRow, exists bool, err error) {
	var entry []byte
	switch err := scan(append(before, &entry, &c.roles, &c.generation, &c.condemned)...); {
	case errors.Is(err, sql.ErrNoRows):
		return c, false, nil
	case err != nil:
		return c, false, err
	}
	c.entry, err = inos.ParseEntry(entry)
	return c, err == nil, err
}

// storedBytes is what one copy of a chunk takes. The entry of a chunk that is a manifest node alone sums what is below
// it: its own length the map does not know.
func storedBytes(e *inos.Entry, roles int64) int64 {
	if roles&roleData == 0 {
		return 0
	}
	return int64(e.StoredBytes)
}

// checkKnown refuses a row that the caller did not write and that is not safely here.
func (t *tx) checkKnown(op string, owner inos.Subject, r *inos.ChunkRow, here bool) error {
	var one int64
	if here {
		kept, err := found(t.row(existsCopy, r.Entry.ChunkID[:]), &one)
		if err != nil {
			return err
		}
		here = kept
	}
	if here && !r.Manifest {
		held, err := found(t.row(existsHolding, r.Entry.PlainHash[:], string(owner), r.Entry.ChunkID[:]), &one)
		if err != nil {
			return err
		}
		here = held
	}
	if !here {
		return conflict(op, "chunk %s is no longer held: write it again", r.Entry.ChunkID)
	}
	return nil
}

// hold lets the owner find a data chunk by its plain hash. roles are those the row had before.
func (t *tx) hold(owner inos.Subject, r *inos.ChunkRow, roles int64) error {
	if r.Manifest {
		return nil
	}
	if roles&roleData == 0 {
		t.delta.storedBytes += int64(r.Entry.StoredBytes)
	}
	return t.exec(insertHolding, r.Entry.PlainHash[:], string(owner), r.Entry.ChunkID[:])
}

// adopt puts a node's edges in place and drops the upload's pins on its children, which the edges replace.
func (t *tx) adopt(op string, upload inos.UploadID, r *inos.ChunkRow, linked bool) error {
	seen := make(map[inos.ChunkID]struct{}, len(r.Children))
	for _, child := range r.Children {
		if _, again := seen[child]; again {
			continue
		}
		seen[child] = struct{}{}
		if !linked {
			if err := t.exec(insertEdge, r.Entry.ChunkID[:], child[:]); err != nil {
				return err
			}
			if err := t.addRef(op, child); err != nil {
				return err
			}
		}
		if err := t.unpin(upload, child); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) pin(op string, upload inos.UploadID, id inos.ChunkID) error {
	pinned, err := t.changed(insertPin, string(upload), id[:])
	if err != nil || !pinned {
		return err
	}
	return t.addRef(op, id)
}

func (t *tx) unpin(upload inos.UploadID, id inos.ChunkID) error {
	was, err := t.changed(deletePin, string(upload), id[:])
	if err != nil || !was {
		return err
	}
	return t.dropRef(id)
}

// addRef counts a reference and raises the generation; a chunk that is unknown or being collected is a conflict.
func (t *tx) addRef(op string, id inos.ChunkID) error {
	var refs int64
	ok, err := found(t.row(addRef, id[:], t.nextGeneration()), &refs)
	switch {
	case err != nil:
		return err
	case !ok:
		return conflict(op, "chunk %s is referred to but has no row, or is being collected", id)
	case refs == 1:
		t.delta.collectable--
	}
	return nil
}

func (t *tx) dropRef(id inos.ChunkID) error {
	var refs int64
	ok, err := found(t.row(dropRef, id[:]), &refs)
	switch {
	case err != nil:
		return err
	case !ok:
		return inos.Errorf(inos.CodeInternal, "semantic memory", "chunk %s loses a reference and has no row", id)
	case refs == 0:
		t.delta.collectable++
	}
	return nil
}
