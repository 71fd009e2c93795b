package content

import (
	"math/rand/v2"
	"testing"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
)

// TestSumIsBLAKE3 compares with the library at each boundary of its tree: of blocks, chunks, groups, and subtrees of groups.
func TestSumIsBLAKE3(t *testing.T) {
	body := make([]byte, 4<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(body)
	var sizes []int
	for _, boundary := range []int{0, 64, 1 << 10, groupBytes, 2 * groupBytes, 3 * groupBytes, 4 * groupBytes, 5 * groupBytes, 7 * groupBytes, 8 * groupBytes, inos.ChunkBytesMax, inos.StoredBytesMax, 3 << 20, 4 << 20} {
		for _, off := range []int{-1025, -1024, -1, 0, 1, 64, 1024, 1025} {
			if size := boundary + off; size >= 0 && size <= len(body) {
				sizes = append(sizes, size)
			}
		}
	}
	for range 200 {
		sizes = append(sizes, rand.IntN(len(body)))
	}
	for _, size := range sizes {
		if Sum(body[:size]) != blake3.Sum256(body[:size]) {
			t.Errorf("%d bytes hash to %x, not to %x", size, Sum(body[:size]), blake3.Sum256(body[:size]))
		}
	}
}
