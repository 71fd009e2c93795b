package host

import (
	"bytes"
	"context"

	"lukechampine.com/blake3/bao"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// performContentProve makes the Bao slice of one leaf of a stored chunk: the bytes that the storage module makes of it.
func (l *loop) performContentProve(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.ContentProveRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	id, err := chunkID(q.ChunkId)
	if err != nil {
		return nil, err
	}
	slab := l.node.buffers.slab()
	defer l.node.buffers.recycle(slab)
	stored, err := l.node.content.Get(ctx, id, slab)
	if err != nil {
		return nil, err
	}
	slice, err := prove(stored, q.Leaf)
	if err != nil {
		return nil, err
	}
	l.node.buffers.put(q.Output, slice)
	return &eventpb.ContentProveReply{SliceBytes: uint32(len(slice))}, nil
}

// Prove implements api.Node.
func (n *Node) Prove(stored []byte, leaf uint64) ([]byte, error) { return prove(stored, leaf) }

// prove returns the combined Bao slice of a leaf of stored bytes (docs/format.md, Proof); CodeBadRequest for a leaf behind their end.
func prove(stored []byte, leaf uint64) ([]byte, error) {
	const op = "content:prove_chunk"
	if leaves := uint64(len(stored)+inos.LeafBytes-1) / inos.LeafBytes; leaf >= leaves {
		return nil, inos.Errorf(inos.CodeBadRequest, op, "leaf %d of a chunk that has %d", leaf, leaves)
	}
	offset := leaf * inos.LeafBytes
	shown := stored[offset:min(offset+inos.LeafBytes, uint64(len(stored)))]
	outboard, _ := bao.EncodeBuf(stored, 0, true)
	var slice bytes.Buffer
	if err := bao.ExtractSlice(&slice, bytes.NewReader(shown), bytes.NewReader(outboard), 0, offset, uint64(len(shown))); err != nil {
		return nil, inos.Errorf(inos.CodeInternal, op, "%w", err)
	}
	return slice.Bytes(), nil
}
