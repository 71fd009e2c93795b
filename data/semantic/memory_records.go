package semantic

import (
	"context"
	"maps"
	"slices"

	"github.com/inos-mesh/inos"
)

// twinRecord is the highest version of a path, and those below it that stay.
type twinRecord struct {
	version   uint64
	tombstone bool
	at        inos.Micros // of a tombstone
	pending   bool
	id        inos.ChunkID // zero: nobody has settled it
	nodes     map[inos.NodeID]bool
	earlier   []twinVersion // by version
}

// twinVersion is a version that stays until a later one is settled.
type twinVersion struct {
	version uint64
	rooted  bool // root is referred to
	root    inos.ChunkID
	wanted  uint32
	id      inos.ChunkID
	nodes   map[inos.NodeID]bool
}

// nextVersion begins the next version of a path as next says, pending, and returns its number. The version before stays
// below it, with the reference of its root; the caller writes the file or removes it.
func (m *Memory) nextVersion(owner inos.Subject, path inos.Path, next twinRecord) uint64 {
	next.pending, next.version = true, 1
	if r := m.records[owner][path]; r != nil {
		next.version, next.earlier = r.version+1, append(r.earlier, m.below(owner, path, r))
	}
	put(m.records, owner, path, &next)
	return next.version
}

func (m *Memory) below(owner inos.Subject, path inos.Path, r *twinRecord) twinVersion {
	v := twinVersion{version: r.version, id: r.id, nodes: r.nodes}
	if f, live := m.files[owner][path]; live {
		v.rooted, v.root, v.wanted = true, f.ManifestID, f.ReplicasWanted
	}
	return v
}

// SetReplicas implements inos.SemanticMesh.
func (m *Memory) SetReplicas(ctx context.Context, owner inos.Subject, path inos.Path, replicas uint32, version uint64, pledge int64, key inos.RequestKey, now inos.Micros) (f inos.FileInfo, repeated bool, err error) {
	const op = "semantic:set_replicas"
	if err := checkReplicas(op, replicas, pledge, key); err != nil {
		return f, false, err
	}
	if err := m.enter(ctx, op); err != nil {
		return f, false, err
	}
	defer m.mu.Unlock()
	reply, repeated, err := m.reply(op, key, replySet)
	if err != nil {
		return f, false, err
	}
	if repeated {
		if err := sameReplicas(op, &reply.file, owner, path, replicas); err != nil {
			return f, false, err
		}
		return reply.file, true, nil
	}
	f, live := m.files[owner][path]
	if !live {
		return f, false, notFound(op, owner, path)
	}
	if version != 0 && version != f.Version {
		return inos.FileInfo{}, false, otherVersion(op, owner, path, version, f.Version)
	}
	if err := m.pledge(op, owner, f.Pledged, pledge, key.ID, now); err != nil {
		return inos.FileInfo{}, false, err
	}
	m.refer(m.chunks[f.ManifestID])
	f.Version, f.CreatedAt, f.ReplicasWanted, f.Pledged = m.nextVersion(owner, path, twinRecord{}), now, replicas, pledge
	put(m.files, owner, path, f)
	m.replies[key] = twinReply{kind: replySet, at: now, file: f}
	return f, false, nil
}

// PendingRecords implements inos.SemanticMesh.
func (m *Memory) PendingRecords(ctx context.Context, after inos.RecordKey, limit int) (pending []inos.Record, err error) {
	if err := m.enter(ctx, "semantic:pending_records"); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	for _, owner := range slices.Sorted(maps.Keys(m.records)) {
		for _, path := range slices.Sorted(maps.Keys(m.records[owner])) {
			r := m.records[owner][path]
			if !r.pending || owner < after.Owner || owner == after.Owner && path <= after.Path {
				continue
			}
			if len(pending) == page(limit, PendingMax) {
				return pending, nil
			}
			f := m.files[owner][path]
			if r.tombstone || owner == "" {
				f = inos.FileInfo{Owner: owner, Path: path, Version: r.version, CreatedAt: r.at}
			}
			var fact []byte
			if owner == "" && !r.tombstone {
				fact = m.fact(path)
			}
			pending = append(pending, inos.Record{Fact: fact, File: f, Tombstone: r.tombstone, RecordID: r.id, Nodes: slices.Sorted(maps.Keys(r.nodes))})
		}
	}
	return pending, nil
}

// SettleRecord implements inos.SemanticMesh.
func (m *Memory) SettleRecord(ctx context.Context, key inos.RecordKey, id inos.ChunkID, nodes []inos.NodeID, full bool) (needless []inos.SealedRecord, err error) {
	const op = "semantic:settle_record"
	if err := checkSettle(op, key, id, nodes); err != nil {
		return nil, err
	}
	if err := m.enter(ctx, op); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	for _, node := range nodes {
		if _, err := m.member(op, node); err != nil {
			return nil, err
		}
	}
	r := m.records[key.Owner][key.Path]
	if r == nil || key.Version == 0 || key.Version > r.version {
		return nil, neverWritten(op, key)
	}
	if key.Version == r.version {
		needless, left := m.letGo(r, r.version)
		if r.id != id {
			needless, r.pending = sealed(needless, r.id, r.nodes), true
		}
		r.id, r.nodes = id, hold(r.id == id, r.nodes, nodes)
		if full && !left {
			r.pending = false
		}
		return needless, nil
	}
	at := slices.IndexFunc(r.earlier, func(v twinVersion) bool { return v.version == key.Version })
	if at < 0 {
		return sealed(nil, id, hold(false, nil, nodes)), nil
	}
	v := r.earlier[at]
	needless, _ = m.letGo(r, v.version)
	if v.id != id {
		needless = sealed(needless, v.id, v.nodes)
	}
	v.id, v.nodes = id, hold(v.id == id, v.nodes, nodes)
	at = slices.IndexFunc(r.earlier, func(v twinVersion) bool { return v.version == key.Version })
	r.earlier[at] = v
	return needless, nil
}

// letGo ends the stay of the lowest versions below one and returns their records.
func (m *Memory) letGo(r *twinRecord, below uint64) (needless []inos.SealedRecord, left bool) {
	n := 0
	for ; n < len(r.earlier) && r.earlier[n].version < below; n++ {
		if n == SettleMax {
			left = true
			break
		}
		if v := r.earlier[n]; v.rooted {
			m.chunks[v.root].refs--
		}
		needless = sealed(needless, r.earlier[n].id, r.earlier[n].nodes)
	}
	r.earlier = slices.Clone(r.earlier[n:])
	return needless, left
}

// sealed appends a record, if there is one.
func sealed(to []inos.SealedRecord, id inos.ChunkID, nodes map[inos.NodeID]bool) []inos.SealedRecord {
	if id == (inos.ChunkID{}) {
		return to
	}
	return append(to, inos.SealedRecord{ID: id, Nodes: slices.Sorted(maps.Keys(nodes))})
}

// hold adds nodes to those that hold a record, or begins anew.
func hold(same bool, held map[inos.NodeID]bool, nodes []inos.NodeID) map[inos.NodeID]bool {
	all := map[inos.NodeID]bool{}
	if same {
		maps.Copy(all, held)
	}
	for _, node := range nodes {
		all[node] = true
	}
	return all
}

// UnsettleRecords implements inos.SemanticMesh.
func (m *Memory) UnsettleRecords(ctx context.Context, node inos.NodeID, ids []inos.ChunkID, limit int) (unsettled int, err error) {
	const op = "semantic:unsettle_records"
	if err := checkSight(op, node, ids); err != nil {
		return 0, err
	}
	if err := m.enter(ctx, op); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	unsettle := func(r *twinRecord) {
		if r.nodes[node] && unsettled < page(limit, UnsettleMax) {
			delete(r.nodes, node)
			r.pending = true
			unsettled++
		}
	}
	if len(ids) == 0 {
		m.eachRecord(func(_ inos.RecordKey, r *twinRecord) { unsettle(r) })
	}
	for _, id := range ids {
		m.eachRecord(func(_ inos.RecordKey, r *twinRecord) {
			if r.id == id {
				unsettle(r)
			}
		})
	}
	return unsettled, nil
}

// eachRecord visits the highest version of every path, by owner and path.
func (m *Memory) eachRecord(visit func(key inos.RecordKey, r *twinRecord)) {
	for _, owner := range slices.Sorted(maps.Keys(m.records)) {
		for _, path := range slices.Sorted(maps.Keys(m.records[owner])) {
			r := m.records[owner][path]
			visit(inos.RecordKey{Owner: owner, Path: path, Version: r.version}, r)
		}
	}
}

// NodeRecords implements inos.SemanticMesh.
func (m *Memory) NodeRecords(ctx context.Context, node inos.NodeID, after inos.RecordKey, limit int) (held []inos.HeldRecord, err error) {
	const op = "semantic:node_records"
	if err := checkText(op, "node id", string(node), 1); err != nil {
		return nil, err
	}
	if err := m.enter(ctx, op); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	m.eachRecord(func(key inos.RecordKey, r *twinRecord) {
		above := key.Owner > after.Owner || key.Owner == after.Owner && key.Path > after.Path
		if r.nodes[node] && above && len(held) < page(limit, UnsettleMax) {
			held = append(held, inos.HeldRecord{Key: key, ID: r.id})
		}
	})
	return held, nil
}

// UnknownRecords implements inos.SemanticMesh.
func (m *Memory) UnknownRecords(ctx context.Context, ids []inos.ChunkID) (unknown []inos.ChunkID, err error) {
	const op = "semantic:unknown_records"
	if err := checkIDs(op, len(ids)); err != nil {
		return nil, err
	}
	if err := m.enter(ctx, op); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	known := map[inos.ChunkID]bool{}
	for _, records := range m.records {
		for _, r := range records {
			known[r.id] = true
			for _, v := range r.earlier {
				known[v.id] = true
			}
		}
	}
	for _, id := range ids {
		if id == (inos.ChunkID{}) || !known[id] {
			unknown = append(unknown, id)
		}
	}
	return unknown, nil
}
