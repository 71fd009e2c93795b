package kernel

import (
	"encoding/binary"
	"testing"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
)

// TestSmallRoot holds a root that the kernel lays out to docs/format.md, byte for byte, and its hashes to the library's.
func TestSmallRoot(t *testing.T) {
	chunk := inos.Entry{
		ChunkID: chunkNumber(1), PlainHash: inos.PlainHash(hashOf("plain")), Chain: [32]byte(hashOf("chain")),
		PlainBytes: 5, StoredBytes: 4, Codec: inos.CodecBrotli, Quality: 2, Chunks: 1,
	}
	for _, entries := range [][]byte{nil, inos.AppendEntry(nil, &chunk)} {
		n := &treeNode{root: true, entries: entries}
		stored, failure := n.layRoot()
		if failure != nil {
			t.Fatal(failure)
		}
		count, plainBytes, id := 0, uint64(0), blake3.Sum256(nil)
		want := inos.Entry{}
		if len(entries) > 0 {
			count, plainBytes, id, want = 1, 5, chunk.PlainHash, chunk
		}
		plain := append([]byte("INOSNODE\x01\x00\x00\x01"), byte(count), 0, 0, 0)
		plain = binary.LittleEndian.AppendUint64(plain, plainBytes)
		plain = binary.LittleEndian.AppendUint64(plain, uint64(count))
		plain = append(plain, entries...)
		head := uint32(len(plain)-1)<<3 | 1<<19
		raw := append([]byte{byte(head), byte(head >> 8), byte(head >> 16)}, plain...)
		if string(stored) != string(raw) {
			t.Errorf("%d chunks: stored %x, the format is %x", count, stored, raw)
		}
		want.ChunkID, want.PlainHash, want.Codec, want.Quality = blake3.Sum256(raw), blake3.Sum256(plain), inos.CodecRaw, 0
		if n.entry != want || n.fileID != id {
			t.Errorf("%d chunks: entry %+v of file %s, not %+v of %x", count, n.entry, n.fileID, want, id)
		}
	}
	broken := &treeNode{root: true, entries: make([]byte, inos.EntryBytes)}
	broken.entries[112] = 9
	if _, failure := broken.layRoot(); failure == nil {
		t.Error("an entry of a later version becomes a root")
	}
}

// TestSum holds the hash of small pieces to the library's, at the ends of its blocks.
func TestSum(t *testing.T) {
	for _, size := range []int{0, 1, 63, 64, 65, 163, 1023, 1024} {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(i * 7)
		}
		if sum(b) != blake3.Sum256(b) {
			t.Errorf("%d bytes have another hash", size)
		}
	}
}
