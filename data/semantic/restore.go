package semantic

import (
	"context"
	"slices"

	"github.com/inos-mesh/inos"
)

// union returns the nodes of both lists, sorted, each once.
func union(a, b []inos.NodeID) []inos.NodeID {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// Sight implements inos.SemanticMesh.
func (s *Store) Sight(ctx context.Context, node inos.NodeID, ids []inos.ChunkID) error {
	const op = "semantic:sight"
	if err := checkSight(op, node, ids); err != nil {
		return err
	}
	return s.write(ctx, op, 1+len(ids), func(t *tx) error {
		for i := range ids {
			if err := t.exec(insertSighting, ids[i][:], string(node)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Sighted implements inos.SemanticMesh.
func (s *Store) Sighted(ctx context.Context, ids []inos.ChunkID) ([][]inos.NodeID, error) {
	const op = "semantic:sighted"
	if err := checkIDs(op, len(ids)); err != nil {
		return nil, err
	}
	nodes := make([][]inos.NodeID, len(ids))
	err := s.read(ctx, op, func(r *snapshot) error {
		for i := range ids {
			rows, err := r.query(selectSightings, ids[i][:])
			if err != nil {
				return err
			}
			if nodes[i], err = scanNodes(rows); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return nodes, nil
}

// EndRestore implements inos.SemanticMesh.
func (s *Store) EndRestore(ctx context.Context, settle bool, now inos.Micros) error {
	for settle {
		err := s.write(ctx, "semantic:end_restore", settleAccountsMax, func(t *tx) (err error) {
			settle, err = t.settleAccounts("semantic:end_restore", now)
			return err
		})
		if err != nil {
			return err
		}
	}
	for {
		var n int64
		err := s.write(ctx, "semantic:end_restore", SweepRowsMax, func(t *tx) error {
			r, err := t.stmts[deleteSightings].ExecContext(context.Background(), SweepRowsMax)
			if err != nil {
				return err
			}
			n, err = r.RowsAffected()
			return err
		})
		if err != nil || n < SweepRowsMax {
			return err
		}
	}
}

// RestoreVersion implements inos.SemanticMesh.
func (s *Store) RestoreVersion(ctx context.Context, upload inos.UploadID, r inos.Record, now inos.Micros) (restored bool, err error) {
	const op = "semantic:restore_version"
	if err := checkRestore(op, upload, &r); err != nil {
		return false, err
	}
	var pinned bool
	err = s.write(ctx, op, 1+len(r.Nodes), func(t *tx) (err error) {
		if restored, err = t.restore(op, upload, &r, now); err != nil {
			return err
		}
		if r.File.Owner == "" {
			return nil
		}
		pinned, err = t.sweepUpload(op, upload, r.File.Owner)
		return err
	})
	if err != nil {
		return false, err
	}
	if pinned {
		_, _ = s.AbortUpload(context.WithoutCancel(ctx), upload) // as CommitFile does
	}
	return restored, nil
}

func (t *tx) restore(op string, upload inos.UploadID, r *inos.Record, now inos.Micros) (bool, error) {
	f := &r.File
	if f.Owner != "" {
		if _, err := t.checkUpload(op, upload, f.Owner); err != nil {
			return false, err
		}
	}
	for _, node := range r.Nodes {
		if _, err := t.member(op, node); err != nil {
			return false, err
		}
	}
	was, known, err := t.record(f.Owner, f.Path)
	if err != nil || known && was.version > f.Version {
		return false, err
	}
	if f.Owner == "" {
		return t.restoreFact(op, r, was, known)
	}
	if r.Tombstone {
		f.Pledged = 0
	}
	before, live, err := t.file(selectFile, string(f.Owner), []byte(f.Path))
	if err != nil {
		return false, err
	}
	again := known && was.version == f.Version
	if again {
		there := inos.Record{File: before, Tombstone: !live}
		if !live {
			if _, err := found(t.row(selectDeleted, string(f.Owner), []byte(f.Path)), &there.File.CreatedAt); err != nil {
				return false, err
			}
		}
		if !supplants(&there, r) {
			return false, nil
		}
	}
	if !r.Tombstone {
		if err := t.addRef(op, f.ManifestID); err != nil {
			return false, err
		}
	}
	switch {
	case again:
		if live {
			if err := t.dropRef(before.ManifestID); err != nil {
				return false, err
			}
		}
		if err := t.exec(deleteRecordCopies, string(f.Owner), []byte(f.Path)); err != nil {
			return false, err
		}
	case known:
		if err := t.supersede(f.Owner, f.Path, was, before, live); err != nil {
			return false, err
		}
		if _, _, err := t.letGo(inos.RecordKey{Owner: f.Owner, Path: f.Path, Version: f.Version}, false); err != nil {
			return false, err
		}
	}
	if f.Pledged != before.Pledged { // whether the owner has it is not asked: it was paid before the map was lost
		if _, err := t.post(op, r.RecordID.String(), pledgeEntries(f.Owner, before.Pledged, f.Pledged), now); err != nil {
			return false, err
		}
	}
	if err := t.restoreRow(r, before, live); err != nil {
		return false, err
	}
	return true, t.restoreRecord(r)
}

// restoreRow writes the file or the tombstone of a restored version over what the path had.
func (t *tx) restoreRow(r *inos.Record, before inos.FileInfo, live bool) error {
	f := &r.File
	owner, path := string(f.Owner), []byte(f.Path)
	switch {
	case !r.Tombstone:
		if err := t.exec(deleteTombstone, owner, path); err != nil {
			return err
		}
		_, err := t.putFile(f, before, live)
		return err
	case live:
		return t.bury(&before, f.Version, f.CreatedAt)
	}
	return t.exec(insertTombstone, owner, path, int64(f.Version), int64(f.CreatedAt))
}

// restoreRecord notes who holds the record of a restored version.
func (t *tx) restoreRecord(r *inos.Record) error {
	owner, path := string(r.File.Owner), []byte(r.File.Path)
	if err := t.exec(upsertRecord, owner, path, int64(r.File.Version)); err != nil {
		return err
	}
	for _, node := range r.Nodes {
		if err := t.exec(insertRecordCopy, owner, path, string(node)); err != nil {
			return err
		}
	}
	return t.exec(settleRecord, owner, path, r.RecordID[:], 1)
}
