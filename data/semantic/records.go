package semantic

import (
	"context"

	"github.com/inos-mesh/inos"
)

// nextVersion begins the next version of a path, pending, and returns its number. The version before stays below it, with
// the reference of its root, until a later one is settled; the caller writes the file or the tombstone.
func (t *tx) nextVersion(owner inos.Subject, path inos.Path, before inos.FileInfo, live bool) (uint64, error) {
	r, known, err := t.record(owner, path)
	if err != nil {
		return 0, err
	}
	if known {
		if err := t.supersede(owner, path, r, before, live); err != nil {
			return 0, err
		}
	}
	version := r.version + 1
	return version, t.exec(upsertRecord, string(owner), []byte(path), int64(version))
}

// record is a row of records and who holds the record.
type record struct {
	version uint64
	pending bool
	id      []byte // nil: nobody has settled it
	nodes   []inos.NodeID
}

func (t *tx) record(owner inos.Subject, path inos.Path) (r record, known bool, err error) {
	known, err = found(t.row(selectRecord, string(owner), []byte(path)), &r.version, &r.pending, &r.id)
	if err == nil && r.id != nil {
		r.nodes, err = t.nodes(selectRecordCopies, string(owner), []byte(path))
	}
	return r, known, err
}

// supersede keeps the version that a path has below the next one.
func (t *tx) supersede(owner inos.Subject, path inos.Path, r record, before inos.FileInfo, live bool) error {
	var root []byte
	if live {
		root = before.ManifestID[:]
	}
	err := t.exec(insertSuperseded, string(owner), []byte(path), int64(r.version), root, int64(before.ReplicasWanted), r.id, encodeList(r.nodes))
	if err != nil || r.id == nil {
		return err
	}
	return t.exec(deleteRecordCopies, string(owner), []byte(path))
}

// SetReplicas implements inos.SemanticMesh.
func (s *Store) SetReplicas(ctx context.Context, owner inos.Subject, path inos.Path, replicas uint32, version uint64, pledge int64, key inos.RequestKey, now inos.Micros) (f inos.FileInfo, repeated bool, err error) {
	const op = "semantic:set_replicas"
	if err := checkReplicas(op, replicas, pledge, key); err != nil {
		return f, false, err
	}
	err = s.write(ctx, op, 1, func(t *tx) error {
		reply, err := t.reply(key)
		if err != nil {
			return err
		}
		if reply != nil {
			repeated = true
			if f, err = decodeFile(op, replySet, reply); err != nil {
				return err
			}
			return sameReplicas(op, &f, owner, path, replicas)
		}
		before, live, err := t.file(selectFile, string(owner), []byte(path))
		if err != nil {
			return err
		}
		if !live {
			return notFound(op, owner, path)
		}
		if version != 0 && version != before.Version {
			return otherVersion(op, owner, path, version, before.Version)
		}
		f = before
		f.CreatedAt, f.ReplicasWanted, f.Pledged = now, replicas, pledge
		if _, err := t.writeVersion(op, &f, before, true); err != nil {
			return err
		}
		if err := t.pledge(op, owner, before.Pledged, pledge, key.ID, now); err != nil {
			return err
		}
		return t.remember(key, now, encodeFile(replySet, &f))
	})
	if err != nil {
		return inos.FileInfo{}, false, err
	}
	return f, repeated, nil
}

// PendingRecords implements inos.SemanticMesh.
func (s *Store) PendingRecords(ctx context.Context, after inos.RecordKey, limit int) (pending []inos.Record, err error) {
	err = s.read(ctx, "semantic:pending_records", func(r *snapshot) error {
		if pending, err = r.pending(after, page(limit, PendingMax)); err != nil {
			return err
		}
		for i := range pending {
			if err := r.complete(&pending[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return pending, nil
}

func (r *snapshot) pending(after inos.RecordKey, limit int) (pending []inos.Record, err error) {
	rows, err := r.query(selectPending, string(after.Owner), []byte(after.Path), limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p inos.Record
		var path, id []byte
		var deleted *int64
		if err := rows.Scan(&p.File.Owner, &path, &p.File.Version, &id, &deleted); err != nil {
			return nil, err
		}
		p.File.Path = inos.Path(path)
		if deleted != nil {
			p.Tombstone, p.File.CreatedAt = true, inos.Micros(*deleted)
		}
		if id != nil {
			if p.RecordID, err = storedID(id); err != nil {
				return nil, err
			}
		}
		pending = append(pending, p)
	}
	return pending, rows.Err()
}

// complete adds a pending version's file and the nodes that hold its record.
func (r *snapshot) complete(p *inos.Record) error {
	owner, path := string(p.File.Owner), []byte(p.File.Path)
	rows, err := r.query(selectRecordCopies, owner, path)
	if err != nil {
		return err
	}
	if p.Nodes, err = scanNodes(rows); err != nil || p.Tombstone {
		return err
	}
	if owner == "" {
		if p.Fact, err = readFact(r, p.File.Path); err != nil {
			return err
		}
		return r.row(selectChanged, owner, path).Scan(&p.File.CreatedAt)
	}
	f, live, err := scanFile(r.row(selectFile, owner, path).Scan)
	if err == nil && !live {
		return inos.Errorf(inos.CodeInternal, "semantic memory", "%.1024q has the version %d and neither a file nor a tombstone", path, p.File.Version)
	}
	p.File = f
	return err
}

func storedID(b []byte) (inos.ChunkID, error) {
	if len(b) != inos.HashBytes {
		return inos.ChunkID{}, inos.Errorf(inos.CodeBadFormat, "read stored id", "%d bytes, it has %d", len(b), inos.HashBytes)
	}
	return inos.ChunkID(b), nil
}

// SettleRecord implements inos.SemanticMesh.
func (s *Store) SettleRecord(ctx context.Context, key inos.RecordKey, id inos.ChunkID, nodes []inos.NodeID, full bool) (needless []inos.SealedRecord, err error) {
	const op = "semantic:settle_record"
	if err := checkSettle(op, key, id, nodes); err != nil {
		return nil, err
	}
	err = s.write(ctx, op, 1+len(nodes), func(t *tx) error {
		needless = nil
		for _, node := range nodes {
			if _, err := t.member(op, node); err != nil {
				return err
			}
		}
		r, known, err := t.record(key.Owner, key.Path)
		switch {
		case err != nil:
			return err
		case !known || key.Version == 0 || key.Version > r.version:
			return neverWritten(op, key)
		case key.Version == r.version:
			needless, err = t.settle(key, r, id, nodes, full)
		default:
			needless, err = t.settleEarlier(key, id, nodes)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return needless, nil
}

// settle settles the highest version of a path.
func (t *tx) settle(key inos.RecordKey, r record, id inos.ChunkID, nodes []inos.NodeID, full bool) ([]inos.SealedRecord, error) {
	needless, left, err := t.letGo(key, true)
	if err != nil {
		return nil, err
	}
	owner, path := string(key.Owner), []byte(key.Path)
	same := string(r.id) == string(id[:])
	if r.id != nil && !same {
		old, err := storedID(r.id)
		if err != nil {
			return nil, err
		}
		needless = append(needless, inos.SealedRecord{ID: old, Nodes: r.nodes})
		if err := t.exec(deleteRecordCopies, owner, path); err != nil {
			return nil, err
		}
	}
	pending := int64(0)
	if (r.pending || !same) && (!full || left) {
		pending = 1
	}
	for _, node := range nodes {
		if err := t.exec(insertRecordCopy, owner, path, string(node)); err != nil {
			return nil, err
		}
	}
	return needless, t.exec(settleRecord, owner, path, id[:], pending)
}

// settleEarlier settles a version that a later one has taken the place of.
func (t *tx) settleEarlier(key inos.RecordKey, id inos.ChunkID, nodes []inos.NodeID) ([]inos.SealedRecord, error) {
	var held, list []byte
	version := int64(key.Version)
	stays, err := found(t.row(existsSuperseded, string(key.Owner), []byte(key.Path), version), &held, &list)
	if err != nil {
		return nil, err
	}
	if !stays { // a later one is settled
		return []inos.SealedRecord{{ID: id, Nodes: union(nil, nodes)}}, nil
	}
	needless, _, err := t.letGo(key, true)
	if err != nil {
		return nil, err
	}
	before, err := decodeList[inos.NodeID]("read superseded row", list)
	if err != nil {
		return nil, err
	}
	if held != nil && string(held) != string(id[:]) {
		old, err := storedID(held)
		if err != nil {
			return nil, err
		}
		needless = append(needless, inos.SealedRecord{ID: old, Nodes: before})
		before = nil
	}
	return needless, t.exec(sealSuperseded, string(key.Owner), []byte(key.Path), version, id[:], encodeList(union(before, nodes)))
}

// letGo ends the stay of the lowest versions below one, at most SettleMax, and returns their records. Without forget only
// their content goes: they stay for their records, which the next SettleRecord names.
func (t *tx) letGo(key inos.RecordKey, forget bool) (needless []inos.SealedRecord, left bool, err error) {
	owner, path := string(key.Owner), []byte(key.Path)
	versions, err := t.below(owner, path, key.Version)
	if err != nil {
		return nil, false, err
	}
	for i := range versions {
		v := &versions[i]
		if i == SettleMax {
			return needless, true, nil
		}
		if v.rooted {
			if err := t.dropRef(v.root); err != nil {
				return nil, false, err
			}
		}
		if v.record.ID != (inos.ChunkID{}) {
			needless = append(needless, v.record)
		}
		switch {
		case forget:
			err = t.exec(deleteSuperseded, owner, path, v.version)
		case v.rooted:
			err = t.exec(unrootSuperseded, owner, path, v.version)
		}
		if err != nil {
			return nil, false, err
		}
	}
	return needless, false, nil
}

// earlier is a row of superseded.
type earlier struct {
	version int64
	rooted  bool
	root    inos.ChunkID
	record  inos.SealedRecord
}

// below returns the lowest versions of a path below one, at most SettleMax and one more.
func (t *tx) below(owner string, path []byte, version uint64) (versions []earlier, err error) {
	rows, err := t.stmts[selectSuperseded].QueryContext(context.Background(), owner, path, int64(version), SettleMax+1)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var v earlier
		var root, id, list []byte
		if err := rows.Scan(&v.version, &root, &id, &list); err != nil {
			return nil, err
		}
		if v.rooted = root != nil; v.rooted {
			if v.root, err = storedID(root); err != nil {
				return nil, err
			}
		}
		if id != nil {
			if v.record.ID, err = storedID(id); err != nil {
				return nil, err
			}
		}
		if v.record.Nodes, err = decodeList[inos.NodeID]("read superseded row", list); err != nil {
			return nil, err
		}
		versions = append(versions, v)
	}
	return versions, rows.Err()
}

// UnsettleRecords implements inos.SemanticMesh.
func (s *Store) UnsettleRecords(ctx context.Context, node inos.NodeID, ids []inos.ChunkID, limit int) (unsettled int, err error) {
	const op = "semantic:unsettle_records"
	if err := checkSight(op, node, ids); err != nil {
		return 0, err
	}
	limit = page(limit, UnsettleMax)
	err = s.write(ctx, op, limit, func(t *tx) error {
		keys, err := t.recordsOf(node, ids, limit)
		if err != nil {
			return err
		}
		for _, key := range keys {
			if err := t.exec(deleteRecordCopy, string(key.Owner), []byte(key.Path), string(node)); err != nil {
				return err
			}
			if err := t.exec(unsettleRecord, string(key.Owner), []byte(key.Path)); err != nil {
				return err
			}
		}
		unsettled = len(keys)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return unsettled, nil
}

// recordsOf returns paths whose record the node holds, with ids only those whose record is one of these, each once.
func (t *tx) recordsOf(node inos.NodeID, ids []inos.ChunkID, limit int) (keys []inos.RecordKey, err error) {
	if len(ids) == 0 {
		return t.paths(keys, selectRecordsOfNode, string(node), limit)
	}
	seen := map[inos.ChunkID]bool{}
	for i := range ids {
		if seen[ids[i]] || len(keys) >= limit {
			continue
		}
		seen[ids[i]] = true
		if keys, err = t.paths(keys, selectSealedOfNode, ids[i][:], string(node), limit-len(keys)); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// paths appends the paths that a statement finds.
func (t *tx) paths(keys []inos.RecordKey, query statement, args ...any) ([]inos.RecordKey, error) {
	rows, err := t.stmts[query].QueryContext(context.Background(), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var key inos.RecordKey
		var path []byte
		if err := rows.Scan(&key.Owner, &path); err != nil {
			return nil, err
		}
		key.Path = inos.Path(path)
		keys = append(keys, key)
	}
	return keys, rows.Err()
}

// NodeRecords implements inos.SemanticMesh.
func (s *Store) NodeRecords(ctx context.Context, node inos.NodeID, after inos.RecordKey, limit int) (held []inos.HeldRecord, err error) {
	const op = "semantic:node_records"
	if err := checkText(op, "node id", string(node), 1); err != nil {
		return nil, err
	}
	err = s.read(ctx, op, func(r *snapshot) error {
		rows, err := r.query(selectNodeRecords, string(node), string(after.Owner), []byte(after.Path), page(limit, UnsettleMax))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var h inos.HeldRecord
			var path, id []byte
			if err := rows.Scan(&h.Key.Owner, &path, &h.Key.Version, &id); err != nil {
				return err
			}
			h.Key.Path = inos.Path(path)
			if h.ID, err = storedID(id); err != nil {
				return err
			}
			held = append(held, h)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return held, nil
}

// UnknownRecords implements inos.SemanticMesh.
func (s *Store) UnknownRecords(ctx context.Context, ids []inos.ChunkID) (unknown []inos.ChunkID, err error) {
	const op = "semantic:unknown_records"
	if err := checkIDs(op, len(ids)); err != nil {
		return nil, err
	}
	err = s.read(ctx, op, func(r *snapshot) error {
		for i := range ids {
			var one int64
			known, err := found(r.row(existsSealed, ids[i][:]), &one)
			if err != nil {
				return err
			}
			if !known {
				unknown = append(unknown, ids[i])
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return unknown, nil
}
