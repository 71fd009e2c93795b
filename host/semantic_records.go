package host

import (
	"context"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// The performers of the semantic verbs on commit records, and of those that make the map again from them.

func (l *loop) performSetReplicas(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.SetReplicasRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	file, repeated, err := l.node.semantic.SetReplicas(ctx, inos.Subject(q.Owner), inos.Path(q.Path), q.Replicas, requestKey(q.Key), l.node.clock.Now())
	if err != nil {
		return nil, err
	}
	return &eventpb.SetReplicasReply{File: fileInfoPayload(&file), Repeated: repeated}, nil
}

func (l *loop) performPendingRecords(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.PendingRecordsRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	records, err := l.node.semantic.PendingRecords(ctx, recordKey(q.After), int(q.Limit))
	if err != nil {
		return nil, err
	}
	reply := &eventpb.PendingRecordsReply{Records: make([]*eventpb.Record, len(records))}
	for i := range records {
		reply.Records[i] = recordPayload(&records[i])
	}
	return reply, nil
}

func (l *loop) performSettleRecord(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.SettleRecordRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	id, err := chunkID(q.RecordId)
	if err != nil {
		return nil, err
	}
	needless, err := l.node.semantic.SettleRecord(ctx, recordKey(q.Key), id, nodeIDs(q.Nodes), q.Full)
	if err != nil {
		return nil, err
	}
	reply := &eventpb.SettleRecordReply{Needless: make([]*eventpb.SealedRecord, len(needless))}
	for i := range needless {
		reply.Needless[i] = &eventpb.SealedRecord{RecordId: needless[i].ID[:], Nodes: nodeIDStrings(needless[i].Nodes)}
	}
	return reply, nil
}

func (l *loop) performUnsettleRecords(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.UnsettleRecordsRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	unsettled, err := l.node.semantic.UnsettleRecords(ctx, inos.NodeID(q.Node), int(q.Limit))
	if err != nil {
		return nil, err
	}
	return &eventpb.UnsettleRecordsReply{Unsettled: uint32(unsettled)}, nil
}

func (l *loop) performSight(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.SightRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	ids, err := chunkIDs(q.ChunkIds)
	if err != nil {
		return nil, err
	}
	if err := l.node.semantic.Sight(ctx, inos.NodeID(q.Node), ids); err != nil {
		return nil, err
	}
	return &eventpb.SightReply{}, nil
}

func (l *loop) performSighted(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.SightedRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	ids, err := chunkIDs(q.ChunkIds)
	if err != nil {
		return nil, err
	}
	nodes, err := l.node.semantic.Sighted(ctx, ids)
	if err != nil {
		return nil, err
	}
	reply := &eventpb.SightedReply{Chunks: make([]*eventpb.NodeList, len(nodes))}
	for i := range nodes {
		reply.Chunks[i] = &eventpb.NodeList{Nodes: nodeIDStrings(nodes[i])}
	}
	return reply, nil
}

func (l *loop) performRestoreVersion(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.RestoreVersionRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	r, err := record(q.Record)
	if err != nil {
		return nil, err
	}
	restored, err := l.node.semantic.RestoreVersion(ctx, inos.UploadID(q.Upload), r, inos.Micros(q.NowUs))
	if err != nil {
		return nil, err
	}
	return &eventpb.RestoreVersionReply{Restored: restored}, nil
}

func (l *loop) performEndRestore(ctx context.Context, _ *eventpb.Envelope) (event.Message, error) {
	if err := l.node.semantic.EndRestore(ctx); err != nil {
		return nil, err
	}
	return &eventpb.EndRestoreReply{}, nil
}

func recordKey(k *eventpb.RecordKey) inos.RecordKey {
	if k == nil {
		return inos.RecordKey{}
	}
	return inos.RecordKey{Owner: inos.Subject(k.Owner), Path: inos.Path(k.Path), Version: k.Version}
}

func recordPayload(r *inos.Record) *eventpb.Record {
	p := &eventpb.Record{File: fileInfoPayload(&r.File), Tombstone: r.Tombstone, Nodes: nodeIDStrings(r.Nodes)}
	if r.RecordID != (inos.ChunkID{}) {
		p.RecordId = r.RecordID[:]
	}
	return p
}

func record(p *eventpb.Record) (r inos.Record, err error) {
	if p == nil || p.File == nil {
		return r, inos.Errorf(inos.CodeInternal, "read record", "the kernel sent none")
	}
	if r.RecordID, err = optionalChunkID(p.RecordId); err != nil {
		return r, err
	}
	r.Tombstone, r.Nodes = p.Tombstone, nodeIDs(p.Nodes)
	if !p.Tombstone {
		r.File, err = fileInfo(p.File)
		return r, err
	}
	r.File = inos.FileInfo{Owner: inos.Subject(p.File.Owner), Path: inos.Path(p.File.Path), Version: p.File.Version, CreatedAt: inos.Micros(p.File.CreatedUs)}
	return r, nil
}
