package kernel

import (
	"lukechampine.com/blake3/guts"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// small says that a node is the root of a file of one chunk, or of none.
func (n *treeNode) small() bool { return n.root && n.level == 0 && len(n.entries) <= inos.EntryBytes }

// lay makes a small root without a module: three hashes in it do not compress, and what there is to compute is less than a question to a
// worker costs. It gives the host the stored form.
func (u *puts) lay(n *treeNode) *inos.Error {
	stored, err := n.layRoot()
	if err != nil {
		return err
	}
	u.k.emit(&eventpb.Envelope{
		Id: event.NewID(u.k.now, u.k.random.ten()), EventType: event.BufferFill, Timestamp: int64(u.k.now),
		Payload: event.Payload(&eventpb.BufferFill{Buffer: n.output, Bytes: stored}),
	})
	return nil
}

// layRoot returns the stored form of a small root, and sets its entry and the file's id.
func (n *treeNode) layRoot() ([]byte, *inos.Error) {
	n.fileID = inos.FileID(sum(nil)) // of the empty file
	if len(n.entries) > 0 {
		chunk, err := inos.ParseEntry(n.entries)
		if err != nil {
			return nil, inos.Errorf(inos.CodeInternal, "build root", "%w", err)
		}
		n.entry, n.fileID = chunk, inos.FileID(chunk.PlainHash) // the chunk is the whole file
	}
	plainBytes := inos.NodeHeadBytes + len(n.entries)
	stored := inos.AppendRawHead(make([]byte, 0, inos.RawHeadBytes+plainBytes), plainBytes)
	stored = inos.AppendRootHead(stored, len(n.entries)/inos.EntryBytes, n.entry.PlainBytes)
	stored = append(stored, n.entries...)
	n.entry.ChunkID, n.entry.PlainHash = inos.ChunkID(sum(stored)), inos.PlainHash(sum(stored[inos.RawHeadBytes:]))
	n.entry.Codec, n.entry.Quality = inos.CodecRaw, 0
	return stored, nil
}

// sum returns the BLAKE3-256 of at most a KiB, which is one chunk of that hash.
func sum(b []byte) [inos.HashBytes]byte {
	if len(b) > guts.ChunkSize {
		panic("kernel: more bytes than a chunk of the hash has")
	}
	last := guts.CompressChunk(b, &guts.IV, 0, 0)
	last.Flags |= guts.FlagRoot
	out := guts.WordsToBytes(guts.CompressNode(last))
	return [inos.HashBytes]byte(out[:inos.HashBytes])
}
