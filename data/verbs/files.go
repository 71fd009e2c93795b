package verbs

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// The verbs of files, chunks and references.

func findChunks(c call, q *eventpb.FindChunksRequest) (event.Message, error) {
	hashes := make([]inos.PlainHash, len(q.PlainHashes))
	for i, raw := range q.PlainHashes {
		id, err := ChunkID(raw)
		if err != nil {
			return nil, err
		}
		hashes[i] = inos.PlainHash(id)
	}
	entries, err := c.sem.FindChunks(c.ctx, inos.Subject(q.Owner), hashes)
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

func stageChunks(c call, q *eventpb.StageChunksRequest) (event.Message, error) {
	rows, err := chunkRows(q.Chunks)
	if err != nil {
		return nil, err
	}
	if err := c.sem.StageChunks(c.ctx, inos.UploadID(q.Upload), inos.Subject(q.Owner), rows, c.now); err != nil {
		return nil, err
	}
	return &eventpb.StageChunksReply{}, nil
}

func commitFile(c call, q *eventpb.CommitFileRequest) (event.Message, error) {
	rows, err := chunkRows(q.Chunks)
	if err != nil {
		return nil, err
	}
	file, err := File(q.File)
	if err != nil {
		return nil, err
	}
	file.Pledged = q.Pledge
	file, repeated, err := c.sem.CommitFile(c.ctx, inos.UploadID(q.Upload), file, rows, quota(q.Quota), requestKey(q.Key), c.now)
	if err != nil {
		return nil, err
	}
	return &eventpb.CommitFileReply{File: FilePayload(&file), Repeated: repeated}, nil
}

func abortUpload(c call, q *eventpb.AbortUploadRequest) (event.Message, error) {
	uploads, err := c.sem.AbortUpload(c.ctx, inos.UploadID(q.Upload))
	if err != nil {
		return nil, err
	}
	return &eventpb.AbortUploadReply{Uploads: uint32(uploads)}, nil
}

func lookupFile(c call, q *eventpb.LookupFileRequest) (event.Message, error) {
	id, err := OptionalChunkID(q.FileId)
	if err != nil {
		return nil, err
	}
	file, err := c.sem.LookupFile(c.ctx, inos.Subject(q.Owner), inos.Path(q.Path), inos.FileID(id))
	if err != nil {
		return nil, err
	}
	return &eventpb.LookupFileReply{File: FilePayload(&file)}, nil
}

func listFiles(c call, q *eventpb.ListFilesRequest) (event.Message, error) {
	files, more, err := c.sem.ListFiles(c.ctx, inos.Subject(q.Owner), q.Prefix, q.After, int(q.Limit))
	if err != nil {
		return nil, err
	}
	reply := &eventpb.ListFilesReply{More: more, Files: make([]*eventpb.FileInfo, len(files))}
	for i := range files {
		reply.Files[i] = FilePayload(&files[i])
	}
	return reply, nil
}

func deleteFile(c call, q *eventpb.DeleteFileRequest) (event.Message, error) {
	version, repeated, err := c.sem.DeleteFile(c.ctx, inos.Subject(q.Owner), inos.Path(q.Path), requestKey(q.Key), c.now)
	if err != nil {
		return nil, err
	}
	return &eventpb.DeleteFileReply{Version: version, Repeated: repeated}, nil
}

func setReplicas(c call, q *eventpb.SetReplicasRequest) (event.Message, error) {
	file, repeated, err := c.sem.SetReplicas(c.ctx, inos.Subject(q.Owner), inos.Path(q.Path), q.Replicas, q.Version, q.Pledge, requestKey(q.Key), c.now)
	if err != nil {
		return nil, err
	}
	return &eventpb.SetReplicasReply{File: FilePayload(&file), Repeated: repeated}, nil
}

func condemnChunks(c call, q *eventpb.CondemnChunksRequest) (event.Message, error) {
	condemned, err := c.sem.CondemnChunks(c.ctx, int(q.Limit))
	if err != nil {
		return nil, err
	}
	reply := &eventpb.CondemnChunksReply{Chunks: make([]*eventpb.ChunkGeneration, len(condemned))}
	for i := range condemned {
		reply.Chunks[i] = &eventpb.ChunkGeneration{ChunkId: condemned[i].ID[:], Generation: condemned[i].Generation}
	}
	return reply, nil
}

func forgetChunks(c call, q *eventpb.ForgetChunksRequest) (event.Message, error) {
	chunks := make([]inos.ChunkGeneration, len(q.Chunks))
	for i, chunk := range q.Chunks {
		id, err := ChunkID(chunk.ChunkId)
		if err != nil {
			return nil, err
		}
		chunks[i] = inos.ChunkGeneration{ID: id, Generation: chunk.Generation}
	}
	forgotten, err := c.sem.ForgetChunks(c.ctx, chunks)
	if err != nil {
		return nil, err
	}
	return &eventpb.ForgetChunksReply{Forgotten: uint32(forgotten)}, nil
}

func unknownChunks(c call, q *eventpb.UnknownChunksRequest) (event.Message, error) {
	ids, err := ChunkIDs(q.ChunkIds)
	if err != nil {
		return nil, err
	}
	unknown, err := c.sem.UnknownChunks(c.ctx, ids)
	if err != nil {
		return nil, err
	}
	return &eventpb.UnknownChunksReply{ChunkIds: ChunkIDBytes(unknown)}, nil
}

func chunkCopies(c call, q *eventpb.ChunkCopiesRequest) (event.Message, error) {
	ids, err := ChunkIDs(q.ChunkIds)
	if err != nil {
		return nil, err
	}
	copies, err := c.sem.ChunkCopies(c.ctx, ids)
	if err != nil {
		return nil, err
	}
	reply := &eventpb.ChunkCopiesReply{Chunks: make([]*eventpb.CopyList, len(copies))}
	for i, list := range copies {
		reply.Chunks[i] = &eventpb.CopyList{Copies: copyPayloads(list)}
	}
	return reply, nil
}

func nodeChunks(c call, q *eventpb.NodeChunksRequest) (event.Message, error) {
	after, err := OptionalChunkID(q.After)
	if err != nil {
		return nil, err
	}
	ids, end, err := c.sem.NodeChunks(c.ctx, inos.NodeID(q.Node), after, int(q.Limit))
	if err != nil {
		return nil, err
	}
	return &eventpb.NodeChunksReply{ChunkIds: ChunkIDBytes(ids), End: end}, nil
}

func dropCopies(c call, q *eventpb.DropCopiesRequest) (event.Message, error) {
	ids, err := ChunkIDs(q.ChunkIds)
	if err != nil {
		return nil, err
	}
	dropped, err := c.sem.DropCopies(c.ctx, inos.NodeID(q.Node), ids)
	if err != nil {
		return nil, err
	}
	return &eventpb.DropCopiesReply{Dropped: uint32(dropped)}, nil
}

func pruneReplies(c call, q *eventpb.PruneRepliesRequest) (event.Message, error) {
	pruned, err := c.sem.PruneReplies(c.ctx, inos.Micros(q.BeforeUs))
	if err != nil {
		return nil, err
	}
	return &eventpb.PruneRepliesReply{Pruned: uint32(pruned)}, nil
}

func totals(c call, _ *eventpb.TotalsRequest) (event.Message, error) {
	t, err := c.sem.Totals(c.ctx)
	if err != nil {
		return nil, err
	}
	return &eventpb.TotalsReply{
		Files: t.Files, PlainBytes: t.PlainBytes, Chunks: t.Chunks, StoredBytes: t.StoredBytes,
		CollectableChunks: t.Collectable, Uploads: t.Uploads, Copies: t.Copies, PlacedBytes: t.PlacedBytes,
	}, nil
}
