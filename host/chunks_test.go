package host

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lukechampine.com/blake3"
	"lukechampine.com/blake3/bao"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// The stored chunks that a node gives out hash to their ids and are the file's br stream between 6b 00 and 03; the proof of
// a byte is verified by the id alone.
func TestChunksOverHTTP(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, dir, nil)
	defer n.close()
	token, err := os.ReadFile(filepath.Join(dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.TrimSpace(string(token))
	n.mustPut("/a", append(text(1, inos.ChunkBytesMax+777), noise(2, inos.ChunkBytesMax)...))
	stream, err := n.get(&eventpb.FilesGetRequest{Path: "/a", LengthBytes: -1, Encoded: true})
	if err != nil {
		t.Fatal(err)
	}
	var stat eventpb.FilesStatReply
	if err := n.request(t.Context(), event.FilesStat, &eventpb.FilesStatRequest{Path: "/a", ChunkLimit: 10}, &stat); err != nil {
		t.Fatal(err)
	}
	joined := []byte{0x6b, 0x00}
	for i, c := range stat.Chunks {
		address := fmt.Sprintf("%s/v1/chunks/%x", n.URL(), c.ChunkId)
		status, _, stored := readRange(t, fmt.Sprintf("%s?path=/a&index=%d", address, i), secret, "")
		if sum := blake3.Sum256(stored); status != 200 || !bytes.Equal(sum[:], c.ChunkId) {
			t.Fatalf("chunk %d: %d, %d bytes", i, status, len(stored))
		}
		joined = append(joined, stored...)
		offset := len(stored) - 1
		_, _, slice := readRange(t, fmt.Sprintf("%s/proof?path=/a&index=%d&offset=%d", address, i, offset), secret, "")
		leaf := uint64(offset/inos.LeafBytes) * inos.LeafBytes
		shown, ok := bao.VerifySlice(slice, 0, leaf, uint64(len(stored))-leaf, [32]byte(c.ChunkId))
		if !ok || !bytes.Equal(shown, stored[leaf:]) {
			t.Errorf("chunk %d: the proof of byte %d is not one", i, offset)
		}
		if status, _, _ := readRange(t, fmt.Sprintf("%s?path=/a&index=%d", address, (i+1)%len(stat.Chunks)), secret, ""); status != 404 {
			t.Errorf("chunk %d at another index: %d", i, status)
		}
	}
	if joined = append(joined, 0x03); len(stat.Chunks) != 3 || !bytes.Equal(joined, stream) {
		t.Errorf("%d chunks of %d bytes are not the stream of %d", len(stat.Chunks), len(joined), len(stream))
	}
}
