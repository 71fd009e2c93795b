package verbs

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// ChunkID reads an id that a kernel sent; CodeInternal unless it has 32 bytes.
func ChunkID(b []byte) (id inos.ChunkID, err error) {
	if len(b) != inos.HashBytes {
		return id, inos.Errorf(inos.CodeInternal, "read chunk id", "%d bytes, an id has %d", len(b), inos.HashBytes)
	}
	return inos.ChunkID(b), nil
}

// OptionalChunkID reads an id or nothing, which is the id of all zeros.
func OptionalChunkID(b []byte) (inos.ChunkID, error) {
	if len(b) == 0 {
		return inos.ChunkID{}, nil
	}
	return ChunkID(b)
}

// ChunkIDs reads a list of ids.
func ChunkIDs(raw [][]byte) ([]inos.ChunkID, error) {
	ids := make([]inos.ChunkID, len(raw))
	for i, b := range raw {
		id, err := ChunkID(b)
		if err != nil {
			return nil, err
		}
		ids[i] = id
	}
	return ids, nil
}

// ChunkIDBytes returns ids as payloads carry them. They share memory with ids.
func ChunkIDBytes(ids []inos.ChunkID) [][]byte {
	raw := make([][]byte, len(ids))
	for i := range ids {
		raw[i] = ids[i][:]
	}
	return raw
}

func nodeIDs(raw []string) []inos.NodeID {
	ids := make([]inos.NodeID, len(raw))
	for i, s := range raw {
		ids[i] = inos.NodeID(s)
	}
	return ids
}

func nodeStrings(ids []inos.NodeID) []string {
	raw := make([]string, len(ids))
	for i, id := range ids {
		raw[i] = string(id)
	}
	return raw
}

func requestKey(k *eventpb.RequestKey) inos.RequestKey {
	if k == nil {
		return inos.RequestKey{}
	}
	return inos.RequestKey{Subject: inos.Subject(k.Subject), ID: k.Id, EventType: k.EventType}
}

func recordKey(k *eventpb.RecordKey) inos.RecordKey {
	if k == nil {
		return inos.RecordKey{}
	}
	return inos.RecordKey{Owner: inos.Subject(k.Owner), Path: inos.Path(k.Path), Version: k.Version}
}

func chunkRows(raw []*eventpb.ChunkRow) ([]inos.ChunkRow, error) {
	rows := make([]inos.ChunkRow, len(raw))
	for i, r := range raw {
		entry, err := inos.ParseEntry(r.Entry)
		if err != nil {
			return nil, err
		}
		children, err := ChunkIDs(r.Children)
		if err != nil {
			return nil, err
		}
		rows[i] = inos.ChunkRow{Entry: entry, Nodes: nodeIDs(r.Nodes), Manifest: r.Node, Children: children, Known: r.Known, Promised: r.Promised}
	}
	return rows, nil
}

// File reads what a kernel says of a file; CodeInternal when it says nothing or an id is not one.
func File(f *eventpb.FileInfo) (inos.FileInfo, error) {
	if f == nil {
		return inos.FileInfo{}, inos.Errorf(inos.CodeInternal, "read file info", "the kernel sent none")
	}
	fileID, err := OptionalChunkID(f.FileId)
	if err != nil {
		return inos.FileInfo{}, err
	}
	manifestID, err := OptionalChunkID(f.ManifestId)
	if err != nil {
		return inos.FileInfo{}, err
	}
	return inos.FileInfo{
		Owner: inos.Subject(f.Owner), Path: inos.Path(f.Path), Version: f.Version, FileID: inos.FileID(fileID), ManifestID: manifestID,
		PlainBytes: f.PlainBytes, StoredBytes: f.StoredBytes, Chunks: f.Chunks, CreatedAt: inos.Micros(f.CreatedUs),
		ContentType: f.ContentType, ReplicasWanted: f.ReplicasWanted, ReplicasReached: f.ReplicasReached,
		Pledged: f.Pledged,
	}, nil
}

// FilePayload returns a file as payloads carry it. It shares memory with f.
func FilePayload(f *inos.FileInfo) *eventpb.FileInfo {
	return &eventpb.FileInfo{
		Owner: string(f.Owner), Path: string(f.Path), Version: f.Version, FileId: f.FileID[:], ManifestId: f.ManifestID[:],
		PlainBytes: f.PlainBytes, StoredBytes: f.StoredBytes, Chunks: f.Chunks, CreatedUs: int64(f.CreatedAt),
		ContentType: f.ContentType, ReplicasWanted: f.ReplicasWanted, ReplicasReached: f.ReplicasReached,
		Pledged: f.Pledged, Degraded: f.ReplicasReached < f.ReplicasWanted,
	}
}

func member(m *eventpb.Member) inos.Member {
	if m == nil {
		return inos.Member{}
	}
	return inos.Member{
		ID: inos.NodeID(m.Node), Operator: m.Operator, Zone: m.Zone, Host: m.Host, Tier: inos.Tier(m.Tier), OfferedBytes: m.OfferedBytes,
		Addrs: m.Addrs, JoinedAt: inos.Micros(m.JoinedUs), State: memberState(m.State), Epoch: m.Epoch, Copies: m.Copies,
		PlacedBytes: m.PlacedBytes, Grant: m.Grant, Revision: m.Revision,
	}
}

// MemberPayload returns a member as payloads carry it. It shares memory with m.
func MemberPayload(m *inos.Member) *eventpb.Member {
	return &eventpb.Member{
		Node: string(m.ID), Operator: m.Operator, Zone: m.Zone, Host: m.Host, Tier: string(m.Tier), OfferedBytes: m.OfferedBytes,
		Addrs: m.Addrs, JoinedUs: int64(m.JoinedAt), State: uint32(m.State), Epoch: m.Epoch, Copies: m.Copies,
		PlacedBytes: m.PlacedBytes, Grant: m.Grant, Revision: m.Revision,
	}
}

func copyPayloads(copies []inos.Copy) []*eventpb.Copy {
	list := make([]*eventpb.Copy, len(copies))
	for i, c := range copies {
		list[i] = &eventpb.Copy{Node: string(c.Node), Trusted: c.Trusted, AuditedUs: int64(c.AuditedAt), Promised: c.Promised}
	}
	return list
}

func statePayloads(states []inos.ChunkState) []*eventpb.ChunkState {
	list := make([]*eventpb.ChunkState, len(states))
	for i := range states {
		s := &states[i]
		list[i] = &eventpb.ChunkState{
			ChunkId: s.ID[:], StoredBytes: s.StoredBytes, Generation: s.Generation, Condemned: s.Condemned, Manifest: s.Manifest,
			Wanted: s.Wanted, Copies: copyPayloads(s.Copies),
		}
	}
	return list
}

func repairPayloads(repairs []inos.Repair) []*eventpb.RepairInfo {
	list := make([]*eventpb.RepairInfo, len(repairs))
	for i := range repairs {
		r := &repairs[i]
		list[i] = &eventpb.RepairInfo{
			ChunkId: r.ID[:], Reason: r.Reason, Live: r.Live, AddedUs: int64(r.AddedAt), NotBeforeUs: int64(r.NotBefore), Tries: r.Tries,
			Lease: r.Lease, LeaseUntilUs: int64(r.LeaseUntil), Holder: string(r.Holder),
		}
	}
	return list
}

// Record reads a commit record's content; CodeInternal when it has no file or an id is not one.
func Record(r *eventpb.Record) (inos.Record, error) {
	if r == nil {
		return inos.Record{}, inos.Errorf(inos.CodeInternal, "read record", "the kernel sent none")
	}
	file, err := File(r.File)
	if err != nil {
		return inos.Record{}, err
	}
	id, err := OptionalChunkID(r.RecordId)
	if err != nil {
		return inos.Record{}, err
	}
	return inos.Record{File: file, Tombstone: r.Tombstone, RecordID: id, Nodes: nodeIDs(r.Nodes), Fact: r.Fact}, nil
}

// RecordPayload returns a record as payloads carry it; an id of zeros is left out. It shares memory with r.
func RecordPayload(r *inos.Record) *eventpb.Record {
	p := &eventpb.Record{File: FilePayload(&r.File), Tombstone: r.Tombstone, Nodes: nodeStrings(r.Nodes), Fact: r.Fact}
	if r.RecordID != (inos.ChunkID{}) {
		p.RecordId = r.RecordID[:]
	}
	return p
}

// memberState keeps a number that is no state from becoming one when it is cut to a byte.
func memberState(state uint32) inos.MemberState {
	return inos.MemberState(min(state, uint32(inos.MemberUnread)+1))
}
