package host

import (
	"context"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// The performers of the semantic verbs translate payloads to the nouns of package inos and back; they decide nothing.

func (l *loop) performFindChunks(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.FindChunksRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	hashes := make([]inos.PlainHash, len(q.PlainHashes))
	for i, raw := range q.PlainHashes {
		id, err := chunkID(raw)
		if err != nil {
			return nil, err
		}
		hashes[i] = inos.PlainHash(id)
	}
	entries, err := l.node.semantic.FindChunks(ctx, inos.Subject(q.Owner), hashes)
	if err != nil {
		return nil, err
	}
	reply := &eventpb.FindChunksReply{Entries: make([][]byte, len(entries))}
	for i, entry := range entries {
		if entry != nil {
			reply.Entries[i] = inos.AppendEntry(nil, entry)
		}
	}
	return reply, nil
}

func (l *loop) performStageChunks(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.StageChunksRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	rows, err := chunkRows(q.Chunks)
	if err != nil {
		return nil, err
	}
	if err := l.node.semantic.StageChunks(ctx, inos.UploadID(q.Upload), inos.Subject(q.Owner), rows, l.node.clock.Now()); err != nil {
		return nil, err
	}
	return &eventpb.StageChunksReply{}, nil
}

func (l *loop) performCommitFile(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.CommitFileRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	rows, err := chunkRows(q.Chunks)
	if err != nil {
		return nil, err
	}
	file, err := fileInfo(q.File)
	if err != nil {
		return nil, err
	}
	file, repeated, err := l.node.semantic.CommitFile(ctx, inos.UploadID(q.Upload), file, rows, requestKey(q.Key), l.node.clock.Now())
	if err != nil {
		return nil, err
	}
	return &eventpb.CommitFileReply{File: fileInfoPayload(&file), Repeated: repeated}, nil
}

func (l *loop) performAbortUpload(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.AbortUploadRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	uploads, err := l.node.semantic.AbortUpload(ctx, inos.UploadID(q.Upload))
	if err != nil {
		return nil, err
	}
	return &eventpb.AbortUploadReply{Uploads: uint32(uploads)}, nil
}

func (l *loop) performLookupFile(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.LookupFileRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	id, err := optionalChunkID(q.FileId)
	if err != nil {
		return nil, err
	}
	file, err := l.node.semantic.LookupFile(ctx, inos.Subject(q.Owner), inos.Path(q.Path), inos.FileID(id))
	if err != nil {
		return nil, err
	}
	return &eventpb.LookupFileReply{File: fileInfoPayload(&file)}, nil
}

func (l *loop) performListFiles(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.ListFilesRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	files, more, err := l.node.semantic.ListFiles(ctx, inos.Subject(q.Owner), q.Prefix, q.After, int(q.Limit))
	if err != nil {
		return nil, err
	}
	reply := &eventpb.ListFilesReply{More: more, Files: make([]*eventpb.FileInfo, len(files))}
	for i := range files {
		reply.Files[i] = fileInfoPayload(&files[i])
	}
	return reply, nil
}

func (l *loop) performDeleteFile(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.DeleteFileRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	version, repeated, err := l.node.semantic.DeleteFile(ctx, inos.Subject(q.Owner), inos.Path(q.Path), requestKey(q.Key), l.node.clock.Now())
	if err != nil {
		return nil, err
	}
	return &eventpb.DeleteFileReply{Version: version, Repeated: repeated}, nil
}

func (l *loop) performCondemnChunks(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.CondemnChunksRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	condemned, err := l.node.semantic.CondemnChunks(ctx, int(q.Limit))
	if err != nil {
		return nil, err
	}
	reply := &eventpb.CondemnChunksReply{Chunks: make([]*eventpb.ChunkGeneration, len(condemned))}
	for i := range condemned {
		reply.Chunks[i] = &eventpb.ChunkGeneration{ChunkId: condemned[i].ID[:], Generation: condemned[i].Generation}
	}
	return reply, nil
}

func (l *loop) performForgetChunks(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.ForgetChunksRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	chunks := make([]inos.ChunkGeneration, len(q.Chunks))
	for i, chunk := range q.Chunks {
		id, err := chunkID(chunk.ChunkId)
		if err != nil {
			return nil, err
		}
		chunks[i] = inos.ChunkGeneration{ID: id, Generation: chunk.Generation}
	}
	forgotten, err := l.node.semantic.ForgetChunks(ctx, chunks)
	if err != nil {
		return nil, err
	}
	return &eventpb.ForgetChunksReply{Forgotten: uint32(forgotten)}, nil
}

func (l *loop) performUnknownChunks(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.UnknownChunksRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	ids, err := chunkIDs(q.ChunkIds)
	if err != nil {
		return nil, err
	}
	unknown, err := l.node.semantic.UnknownChunks(ctx, ids)
	if err != nil {
		return nil, err
	}
	return &eventpb.UnknownChunksReply{ChunkIds: chunkIDBytes(unknown)}, nil
}

func (l *loop) performNodeChunks(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.NodeChunksRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	after, err := optionalChunkID(q.After)
	if err != nil {
		return nil, err
	}
	ids, end, err := l.node.semantic.NodeChunks(ctx, inos.NodeID(q.Node), after, int(q.Limit))
	if err != nil {
		return nil, err
	}
	return &eventpb.NodeChunksReply{ChunkIds: chunkIDBytes(ids), End: end}, nil
}

func (l *loop) performDropCopies(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.DropCopiesRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	ids, err := chunkIDs(q.ChunkIds)
	if err != nil {
		return nil, err
	}
	dropped, err := l.node.semantic.DropCopies(ctx, inos.NodeID(q.Node), ids)
	if err != nil {
		return nil, err
	}
	return &eventpb.DropCopiesReply{Dropped: uint32(dropped)}, nil
}

func (l *loop) performPruneReplies(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.PruneRepliesRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	pruned, err := l.node.semantic.PruneReplies(ctx, inos.Micros(q.BeforeUs))
	if err != nil {
		return nil, err
	}
	return &eventpb.PruneRepliesReply{Pruned: uint32(pruned)}, nil
}

func (l *loop) performTotals(ctx context.Context, _ *eventpb.Envelope) (event.Message, error) {
	t, err := l.node.semantic.Totals(ctx)
	if err != nil {
		return nil, err
	}
	return &eventpb.TotalsReply{
		Files: t.Files, PlainBytes: t.PlainBytes, Chunks: t.Chunks, StoredBytes: t.StoredBytes,
		CollectableChunks: t.Collectable, Uploads: t.Uploads,
	}, nil
}

func requestKey(k *eventpb.RequestKey) inos.RequestKey {
	if k == nil {
		return inos.RequestKey{}
	}
	return inos.RequestKey{Subject: inos.Subject(k.Subject), ID: k.Id, EventType: k.EventType}
}

func chunkRows(raw []*eventpb.ChunkRow) ([]inos.ChunkRow, error) {
	rows := make([]inos.ChunkRow, len(raw))
	for i, r := range raw {
		entry, err := inos.ParseEntry(r.Entry)
		if err != nil {
			return nil, err
		}
		children, err := chunkIDs(r.Children)
		if err != nil {
			return nil, err
		}
		nodes := make([]inos.NodeID, len(r.Nodes))
		for j, node := range r.Nodes {
			nodes[j] = inos.NodeID(node)
		}
		rows[i] = inos.ChunkRow{Entry: entry, Nodes: nodes, Manifest: r.Node, Children: children, Known: r.Known}
	}
	return rows, nil
}

func fileInfo(f *eventpb.FileInfo) (inos.FileInfo, error) {
	const op = "read file info"
	if f == nil {
		return inos.FileInfo{}, inos.Errorf(inos.CodeInternal, op, "the kernel sent none")
	}
	fileID, err := chunkID(f.FileId)
	if err != nil {
		return inos.FileInfo{}, err
	}
	manifestID, err := chunkID(f.ManifestId)
	if err != nil {
		return inos.FileInfo{}, err
	}
	return inos.FileInfo{
		Owner: inos.Subject(f.Owner), Path: inos.Path(f.Path), Version: f.Version, FileID: inos.FileID(fileID), ManifestID: manifestID,
		PlainBytes: f.PlainBytes, StoredBytes: f.StoredBytes, Chunks: f.Chunks, CreatedAt: inos.Micros(f.CreatedUs),
		ContentType: f.ContentType, ReplicasWanted: f.ReplicasWanted, ReplicasReached: f.ReplicasReached,
	}, nil
}

func fileInfoPayload(f *inos.FileInfo) *eventpb.FileInfo {
	return &eventpb.FileInfo{
		Owner: string(f.Owner), Path: string(f.Path), Version: f.Version, FileId: f.FileID[:], ManifestId: f.ManifestID[:],
		PlainBytes: f.PlainBytes, StoredBytes: f.StoredBytes, Chunks: f.Chunks, CreatedUs: int64(f.CreatedAt),
		ContentType: f.ContentType, ReplicasWanted: f.ReplicasWanted, ReplicasReached: f.ReplicasReached,
		Degraded: f.ReplicasReached < f.ReplicasWanted,
	}
}
