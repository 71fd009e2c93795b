package semantic

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/inos-mesh/inos"
)

// Sight implements inos.SemanticMesh.
func (m *Memory) Sight(ctx context.Context, node inos.NodeID, ids []inos.ChunkID) error {
	const op = "semantic:sight"
	if err := checkSight(op, node, ids); err != nil {
		return err
	}
	if err := m.enter(ctx, op); err != nil {
		return err
	}
	defer m.mu.Unlock()
	for _, id := range ids {
		if m.sightings[id] == nil {
			m.sightings[id] = map[inos.NodeID]bool{}
		}
		m.sightings[id][node] = true
	}
	return nil
}

// Sighted implements inos.SemanticMesh.
func (m *Memory) Sighted(ctx context.Context, ids []inos.ChunkID) ([][]inos.NodeID, error) {
	const op = "semantic:sighted"
	if err := checkIDs(op, len(ids)); err != nil {
		return nil, err
	}
	if err := m.enter(ctx, op); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	nodes := make([][]inos.NodeID, len(ids))
	for i, id := range ids {
		nodes[i] = slices.Sorted(maps.Keys(m.sightings[id]))
	}
	return nodes, nil
}

// EndRestore implements inos.SemanticMesh.
func (m *Memory) EndRestore(ctx context.Context, settle bool, now inos.Micros) error {
	const op = "semantic:end_restore"
	if err := m.enter(ctx, op); err != nil {
		return err
	}
	defer m.mu.Unlock()
	short := map[string]int64{}
	for _, e := range m.identity.entries {
		if settle && strings.HasPrefix(e.Account, inos.AccountUser) {
			short[e.Account] += e.Amount
		}
	}
	for _, account := range slices.Sorted(maps.Keys(short)) {
		if short[account] < 0 {
			if _, err := m.post(op, reasonRestored+" "+account, restoredEntries(account, -short[account]), now); err != nil {
				return err
			}
		}
	}
	clear(m.sightings)
	return nil
}

// RestoreVersion implements inos.SemanticMesh.
func (m *Memory) RestoreVersion(ctx context.Context, upload inos.UploadID, r inos.Record, now inos.Micros) (restored bool, err error) {
	const op = "semantic:restore_version"
	if err := checkRestore(op, upload, &r); err != nil {
		return false, err
	}
	if err := m.enter(ctx, op); err != nil {
		return false, err
	}
	defer m.mu.Unlock()
	f := r.File
	if f.Owner == "" {
		upload = "" // a fact has none
	}
	if up := m.uploads[upload]; up != nil && up.owner != f.Owner {
		return false, conflict(op, "the upload belongs to another owner")
	}
	for _, node := range r.Nodes {
		if _, err := m.member(op, node); err != nil {
			return false, err
		}
	}
	before := m.records[f.Owner][f.Path]
	again := before != nil && before.version == f.Version
	there := inos.Record{Tombstone: true}
	if again && f.Owner == "" {
		there.File.CreatedAt, there.Tombstone = before.at, before.tombstone
		if !there.Tombstone {
			there.Fact = m.fact(f.Path)
		}
	} else if again {
		if was, live := m.files[f.Owner][f.Path]; live {
			there = inos.Record{File: was}
		} else {
			there.File.CreatedAt = before.at
		}
	}
	if before != nil && before.version > f.Version || again && !supplants(&there, &r) {
		m.drop(upload)
		return false, nil
	}
	if r.Tombstone {
		f.Pledged = 0
	}
	switch {
	case f.Owner == "":
		if err := m.restoreFact(op, &r); err != nil {
			return false, err
		}
	case !r.Tombstone:
		root := m.chunks[f.ManifestID]
		if root == nil || root.condemned {
			return false, conflict(op, "the manifest %s has no row, or is being collected", f.ManifestID)
		}
		m.refer(root)
	}
	next := &twinRecord{version: f.Version, tombstone: r.Tombstone, pending: true, id: r.RecordID, nodes: hold(false, nil, r.Nodes)}
	switch {
	case again:
		if next.earlier = before.earlier; !there.Tombstone && f.Owner != "" {
			m.chunks[there.File.ManifestID].refs--
		}
	case before != nil:
		next.earlier = append(before.earlier, m.below(f.Owner, f.Path, before))
		m.unroot(next.earlier)
	}
	if was := m.files[f.Owner][f.Path].Pledged; f.Owner != "" && was != f.Pledged {
		if _, err := m.post(op, r.RecordID.String(), pledgeEntries(f.Owner, was, f.Pledged), now); err != nil {
			return false, err
		}
	}
	put(m.records, f.Owner, f.Path, next)
	if f.Owner == "" {
		next.at = f.CreatedAt
		return true, nil
	}
	if r.Tombstone {
		next.at = f.CreatedAt
		delete(m.files[f.Owner], f.Path)
	} else {
		put(m.files, f.Owner, f.Path, f)
	}
	m.drop(upload)
	return true, nil
}

// unroot lets go of the content of versions and keeps their records, which the next SettleRecord names.
func (m *Memory) unroot(versions []twinVersion) {
	for i := range versions[:min(len(versions), SettleMax)] {
		if v := &versions[i]; v.rooted {
			m.chunks[v.root].refs--
			v.rooted = false
		}
	}
}
