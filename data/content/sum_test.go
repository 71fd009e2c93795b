package content

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"lukechampine.com/blake3"
	"lukechampine.com/blake3/guts"

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

// TestChainsMakeTheHashOfTheWhole joins the chaining values of a body's MiBs as BLAKE3 does and compares with the hash of all.
func TestChainsMakeTheHashOfTheWhole(t *testing.T) {
	const mib = 1 << 20
	body := make([]byte, 4*mib)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(body)
	words := func(b [32]byte) (w [8]uint32) {
		for i := range w {
			w[i] = binary.LittleEndian.Uint32(b[4*i:])
		}
		return w
	}
	for _, size := range []int{mib + 1, mib + 1024, mib + 1025, mib + groupBytes, 2*mib - 1, 2 * mib, 2*mib + 777, 3*mib + groupBytes + 1, 4 * mib} {
		var chains [][8]uint32
		for at := 0; at < size; at += mib {
			part := body[at:min(at+mib, size)]
			sum, chain := SumAndChain(part, uint64(at))
			if sum != blake3.Sum256(part) {
				t.Errorf("%d bytes at %d have the sum %x", len(part), at, sum)
			}
			chains = append(chains, words(chain))
		}
		join := func(a, b [8]uint32) guts.Node { return guts.ParentNode(a, b, &guts.IV, 0) }
		node := join(chains[0], chains[1])
		switch len(chains) {
		case 3:
			node = join(guts.ChainingValue(node), chains[2])
		case 4:
			node = join(guts.ChainingValue(node), guts.ChainingValue(join(chains[2], chains[3])))
		}
		if got := root(node); got != blake3.Sum256(body[:size]) {
			t.Errorf("the chains of %d bytes make %x", size, got)
		}
	}
}
