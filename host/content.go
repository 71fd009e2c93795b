package host

import (
	"context"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// store returns the node's chunks, or its commit records.
func (l *loop) store(record bool) inos.Content {
	if record {
		return l.node.records
	}
	return l.node.content
}

func (l *loop) performContentWrite(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.ContentWriteRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	id, err := chunkID(q.ChunkId)
	if err != nil {
		return nil, err
	}
	data, err := l.node.buffers.get(q.Input)
	if err != nil {
		return nil, err
	}
	existed, err := l.store(q.Record).Put(ctx, id, data)
	if err != nil {
		return nil, err
	}
	return &eventpb.ContentWriteReply{Existed: existed, StoredBytes: uint32(len(data))}, nil
}

func (l *loop) performContentRead(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.ContentReadRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	id, err := chunkID(q.ChunkId)
	if err != nil {
		return nil, err
	}
	slab := l.node.buffers.slab()
	data, err := l.store(q.Record).Get(ctx, id, slab)
	if err != nil {
		l.node.buffers.recycle(slab)
		return nil, err
	}
	l.node.buffers.put(q.Output, data)
	return &eventpb.ContentReadReply{StoredBytes: uint32(len(data))}, nil
}

func (l *loop) performContentMissing(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.ContentMissingRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	ids, err := chunkIDs(q.ChunkIds)
	if err != nil {
		return nil, err
	}
	missing, err := l.store(q.Record).Missing(ctx, ids)
	if err != nil {
		return nil, err
	}
	return &eventpb.ContentMissingReply{ChunkIds: chunkIDBytes(missing)}, nil
}

func (l *loop) performContentTrash(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.ContentTrashRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	ids := make([]inos.ChunkID, len(q.Chunks))
	for i, chunk := range q.Chunks {
		id, err := chunkID(chunk.ChunkId)
		if err != nil {
			return nil, err
		}
		ids[i] = id
	}
	chunks, bytes, err := l.store(q.Record).Trash(ctx, ids)
	if err != nil {
		return nil, err
	}
	return &eventpb.ContentTrashReply{Chunks: uint32(chunks), Bytes: uint64(bytes)}, nil
}

func (l *loop) performContentEmptyTrash(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.ContentEmptyTrashRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	chunks, bytes, err := l.node.content.EmptyTrash(ctx, inos.Micros(q.BeforeUs), int(q.Limit))
	if err != nil {
		return nil, err
	}
	if left := int(q.Limit) - chunks; left > 0 { // records are few and small, so they come after
		records, more, err := l.node.records.EmptyTrash(ctx, inos.Micros(q.BeforeUs), left)
		if err != nil {
			return nil, err
		}
		chunks, bytes = chunks+records, bytes+more
	}
	return &eventpb.ContentEmptyTrashReply{Chunks: uint32(chunks), Bytes: uint64(bytes)}, nil
}

func (l *loop) performContentInventory(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.ContentInventoryRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	after, err := optionalChunkID(q.After)
	if err != nil {
		return nil, err
	}
	ids, end, err := l.store(q.Record).Inventory(ctx, after, int(q.Limit))
	if err != nil {
		return nil, err
	}
	return &eventpb.ContentInventoryReply{ChunkIds: chunkIDBytes(ids), End: end}, nil
}

func (l *loop) performContentScrub(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.ContentScrubRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	after, err := optionalChunkID(q.After)
	if err != nil {
		return nil, err
	}
	s, err := l.store(q.Record).Scrub(ctx, after, int(q.Limit))
	if err != nil {
		return nil, err
	}
	return &eventpb.ContentScrubReply{
		Chunks: uint32(s.Chunks), StoredBytes: uint64(s.Bytes), Bad: chunkIDBytes(s.Bad), Next: s.Next[:], End: s.End,
	}, nil
}

func (l *loop) performContentUsage(context.Context, *eventpb.Envelope) (event.Message, error) {
	u := l.node.content.Usage()
	return &eventpb.ContentUsage{
		Chunks: uint64(u.Chunks), UsedBytes: uint64(u.UsedBytes), TrashBytes: uint64(u.TrashBytes), FreeBytes: uint64(max(0, u.FreeBytes)),
		Records: uint64(l.node.records.Usage().Chunks),
	}, nil
}

// chunkID reads an id that the kernel sent.
func chunkID(b []byte) (id inos.ChunkID, err error) {
	if len(b) != inos.HashBytes {
		return id, inos.Errorf(inos.CodeInternal, "read chunk id", "%d bytes, an id has %d", len(b), inos.HashBytes)
	}
	return inos.ChunkID(b), nil
}

// optionalChunkID reads an id or nothing, which is the id of all zeros.
func optionalChunkID(b []byte) (inos.ChunkID, error) {
	if len(b) == 0 {
		return inos.ChunkID{}, nil
	}
	return chunkID(b)
}

func chunkIDs(raw [][]byte) ([]inos.ChunkID, error) {
	ids := make([]inos.ChunkID, len(raw))
	for i, b := range raw {
		id, err := chunkID(b)
		if err != nil {
			return nil, err
		}
		ids[i] = id
	}
	return ids, nil
}

func chunkIDBytes(ids []inos.ChunkID) [][]byte {
	raw := make([][]byte, len(ids))
	for i := range ids {
		raw[i] = ids[i][:]
	}
	return raw
}
