package sim

import (
	"bytes"
	"encoding/binary"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// module is the twin of the storage module: it answers one call, with the bulk that goes with it. A refusal is an answer.
func (w *World) module(e *eventpb.Envelope, in []byte) (reply event.Message, out []byte, err error) {
	switch e.EventType {
	case event.EncodeChunk:
		return w.encodeChunk(e, in)
	case event.AdmitChunk:
		return w.admitChunk(e, in)
	case event.DescribeChunk:
		var q eventpb.DescribeChunkRequest
		if err := event.Open(e, &q); err != nil {
			return nil, nil, err
		}
		entry, err := inos.ParseEntry(q.Entry)
		if err != nil {
			return nil, nil, err
		}
		if plainHash(in) != entry.PlainHash {
			return nil, nil, inos.Errorf(inos.CodeBodyMismatch, "storage:describe_chunk", "the bytes are not the entry's")
		}
		entry.Chain = chain(in, q.OffsetBytes)
		return &eventpb.DescribeChunkReply{Entry: inos.AppendEntry(nil, &entry)}, nil, nil
	case event.InflateChunk:
		var q eventpb.InflateChunkRequest
		if err := event.Open(e, &q); err != nil {
			return nil, nil, err
		}
		entry, err := inos.ParseEntry(q.Entry)
		if err != nil {
			return nil, nil, err
		}
		plain := plainOf(in)
		if plain == nil || chunkID(in) != entry.ChunkID || plainHash(plain) != entry.PlainHash {
			return nil, nil, inos.Errorf(inos.CodeChunkCorrupt, "storage:inflate_chunk", "the stored bytes are not the entry's")
		}
		return &eventpb.InflateChunkReply{}, plain, nil
	case event.BuildNode:
		return w.buildNode(e)
	case event.OpenNode:
		var q eventpb.OpenNodeRequest
		if err := event.Open(e, &q); err != nil {
			return nil, nil, err
		}
		id := chunkID(in)
		if !bytes.Equal(id[:], q.ChunkId) {
			return nil, nil, inos.Errorf(inos.CodeChunkCorrupt, "storage:open_node", "the stored bytes are not the node's")
		}
		n, ok := parseNode(in)
		if !ok {
			return nil, nil, inos.Errorf(inos.CodeBadFormat, "storage:open_node", "not a manifest node")
		}
		r := &eventpb.OpenNodeReply{Level: n.level, Root: n.root, Entries: n.entries}
		if n.root {
			id := n.fileID()
			r.FileId = id[:]
		}
		return r, nil, nil
	case event.VerifyProof:
		var q eventpb.VerifyProofRequest
		if err := event.Open(e, &q); err != nil {
			return nil, nil, err
		}
		if !bytes.Equal(in, proof(inos.ChunkID(q.ChunkId), q.Leaf)) {
			return nil, nil, inos.Errorf(inos.CodeChunkCorrupt, "storage:verify_proof", "the slice does not prove the leaf")
		}
		return &eventpb.VerifyProofReply{StoredBytes: uint64(lengthOf(w.ever[inos.ChunkID(q.ChunkId)]))}, nil, nil
	}
	w.violate("the module is asked %s", e.EventType)
	return nil, nil, inos.Errorf(inos.CodeUnknownEvent, e.EventType, "the module answers no such event")
}

func (w *World) encodeChunk(e *eventpb.Envelope, in []byte) (event.Message, []byte, error) {
	var q eventpb.EncodeChunkRequest
	if err := event.Open(e, &q); err != nil {
		return nil, nil, err
	}
	if len(in) == 0 || in[0] != kindPlain {
		w.violate("the module is to encode what is no plain bytes")
		return nil, nil, inos.Errorf(inos.CodeBadRequest, "storage:encode_chunk", "no plain bytes")
	}
	entry, stored := w.encode(in, q.OffsetBytes, uint8(q.Quality))
	return &eventpb.EncodeChunkReply{Entry: inos.AppendEntry(nil, &entry)}, stored, nil
}

// encode returns the stored form of plain bytes and its entry.
func (w *World) encode(plain []byte, offset uint64, quality uint8) (inos.Entry, []byte) {
	stored := storedForm(plain, quality)
	entry := inos.Entry{
		ChunkID: chunkID(stored), PlainHash: plainHash(plain), Chain: chain(plain, offset), PlainBytes: uint64(lengthOf(plain)),
		StoredBytes: uint64(lengthOf(stored)), Codec: inos.CodecRaw, Chunks: 1,
	}
	if stored[1] != 0 {
		entry.Codec, entry.Quality = inos.CodecBrotli, stored[1]
	}
	w.ever[entry.ChunkID] = stored
	return entry, stored
}

func (w *World) buildNode(e *eventpb.Envelope) (event.Message, []byte, error) {
	var q eventpb.BuildNodeRequest
	if err := event.Open(e, &q); err != nil {
		return nil, nil, err
	}
	n := node{level: q.Level, root: q.Root, entries: q.Entries}
	if len(q.Entries)%inos.EntryBytes != 0 || len(q.Entries) > inos.ManifestEntriesMax*inos.EntryBytes {
		w.violate("a node is built of %d bytes of entries", len(q.Entries))
	}
	stored := n.stored()
	sum := n.summary()
	entry := sum
	entry.ChunkID = chunkID(stored)
	entry.PlainHash = plainHash(stored)
	w.ever[entry.ChunkID] = stored
	r := &eventpb.BuildNodeReply{Entry: inos.AppendEntry(nil, &entry)}
	if n.root {
		id := n.fileID()
		r.FileId = id[:]
	}
	return r, stored, nil
}

// node is a manifest node.
type node struct {
	level   uint32
	root    bool
	entries []byte
}

const nodeHeadBytes = 6

func (n node) stored() []byte {
	b := make([]byte, 0, nodeHeadBytes+len(n.entries))
	b = append(b, kindNode, 0)
	if n.root {
		b[1] = 1
	}
	b = binary.LittleEndian.AppendUint32(b, n.level)
	return append(b, n.entries...)
}

// parseNode reads a node of the module's, or a small root that a kernel has made: that one has the real form.
func parseNode(b []byte) (n node, ok bool) {
	if head := inos.AppendRootHead(inos.AppendRawHead(nil, 1), 0, 0); len(b) >= len(head) && bytes.Equal(b[inos.RawHeadBytes:][:12], head[inos.RawHeadBytes:][:12]) {
		n = node{0, true, b[len(head):]}
		return n, bytes.Equal(b, n.realStored())
	}
	if len(b) < nodeHeadBytes || b[0] != kindNode || (len(b)-nodeHeadBytes)%inos.EntryBytes != 0 {
		return n, false
	}
	return node{binary.LittleEndian.Uint32(b[2:]), b[1] == 1, b[nodeHeadBytes:]}, true
}

// realStored is the real form of a root of at most one chunk.
func (n node) realStored() []byte {
	b := inos.AppendRawHead(nil, inos.NodeHeadBytes+len(n.entries))
	b = inos.AppendRootHead(b, len(n.entries)/inos.EntryBytes, n.summary().PlainBytes)
	return append(b, n.entries...)
}

// each calls f with the node's entries in order.
func (n node) each(f func(e *inos.Entry)) {
	for at := 0; at+inos.EntryBytes <= len(n.entries); at += inos.EntryBytes {
		e, err := inos.ParseEntry(n.entries[at:])
		if err != nil {
			continue
		}
		f(&e)
	}
}

// fileID is the id of the file that the node is the root of: the hash of its only chunk, or what its chaining values make.
func (n node) fileID() (id inos.FileID) {
	id = inos.FileID(n.summary().Chain)
	if len(n.entries) == inos.EntryBytes {
		n.each(func(e *inos.Entry) { id = inos.FileID(e.PlainHash) })
	}
	return id
}

// summary is the node's entry in its parent but for its ids.
func (n node) summary() (sum inos.Entry) {
	var chains [][inos.HashBytes]byte
	n.each(func(e *inos.Entry) {
		chains = append(chains, e.Chain)
		sum.PlainBytes += e.PlainBytes
		sum.StoredBytes += e.StoredBytes
		sum.Chunks += e.Chunks
	})
	sum.Chain = join(chains)
	return sum
}

// proof is the slice of one leaf of a chunk.
func proof(id inos.ChunkID, leaf uint64) []byte {
	b := append([]byte{kindProof}, id[:]...)
	return binary.LittleEndian.AppendUint64(b, leaf)
}
