package semantic

import (
	"bytes"
	"context"
	"slices"

	"github.com/inos-mesh/inos"
)

// ChunkStates implements inos.SemanticMesh.
func (m *Memory) ChunkStates(ctx context.Context, ids []inos.ChunkID) ([]inos.ChunkState, error) {
	const op = "semantic:chunk_states"
	if err := checkIDs(op, len(ids)); err != nil {
		return nil, err
	}
	if err := m.enter(ctx, op); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	return m.states(ids), nil
}

// ScanChunks implements inos.SemanticMesh.
func (m *Memory) ScanChunks(ctx context.Context, after inos.ChunkID, limit int) (states []inos.ChunkState, end bool, err error) {
	if err := m.enter(ctx, "semantic:scan_chunks"); err != nil {
		return nil, false, err
	}
	defer m.mu.Unlock()
	var ids []inos.ChunkID
	for id := range m.chunks {
		if bytes.Compare(id[:], after[:]) > 0 {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, compareIDs)
	limit = page(limit, ScanMax)
	return m.states(ids[:min(len(ids), limit)]), len(ids) <= limit, nil
}

func compareIDs(a, b inos.ChunkID) int { return bytes.Compare(a[:], b[:]) }

func (m *Memory) states(ids []inos.ChunkID) []inos.ChunkState {
	wanted := m.wanted()
	states := make([]inos.ChunkState, len(ids))
	for i, id := range ids {
		states[i].ID = id
		if c := m.chunks[id]; c != nil {
			states[i] = inos.ChunkState{
				ID: id, StoredBytes: c.storedBytes(), Generation: c.generation, Condemned: c.condemned, Manifest: c.roles&roleManifest != 0,
				Wanted: m.reach(id, wanted), Copies: m.copies(c),
			}
		}
	}
	return states
}

// wanted returns what files, versions that stay and uploads ask for, by the chunk they refer to.
func (m *Memory) wanted() map[inos.ChunkID]uint32 {
	wanted := map[inos.ChunkID]uint32{}
	want := func(id inos.ChunkID, replicas uint32) { wanted[id] = max(wanted[id], replicas) }
	for _, files := range m.files {
		for _, f := range files {
			want(f.ManifestID, f.ReplicasWanted)
		}
	}
	for _, records := range m.records {
		for _, r := range records {
			for _, v := range r.earlier {
				if v.rooted {
					want(v.root, v.wanted)
				}
			}
		}
	}
	for _, up := range m.uploads {
		for id := range up.pins {
			want(id, inos.ReplicasDefault)
		}
	}
	return wanted
}

// reach returns the most that is wanted of a chunk or of anything above it.
func (m *Memory) reach(id inos.ChunkID, wanted map[inos.ChunkID]uint32) (most uint32) {
	seen := map[inos.ChunkID]bool{id: true}
	for above := []inos.ChunkID{id}; len(above) > 0; {
		id, above = above[len(above)-1], above[:len(above)-1]
		most = max(most, wanted[id])
		for parent := range m.chunks[id].parents {
			if !seen[parent] {
				seen[parent] = true
				above = append(above, parent)
			}
		}
	}
	return most
}
