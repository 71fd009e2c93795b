package content

import (
	"math/bits"
	"sync"

	"lukechampine.com/blake3"
	"lukechampine.com/blake3/guts"
)

// groupBytes is what one call of the vector code hashes.
const groupBytes = guts.MaxSIMD * guts.ChunkSize

// groups are what the last, shorter group of a hash is copied to: the vector code reads whole ones.
var groups = sync.Pool{New: func() any { return new([groupBytes]byte) }}

// Sum returns the BLAKE3-256 of b, as blake3.Sum256 does, on the caller's goroutine. The library's function gives each 16 KiB to a goroutine of
// its own. A node that has a chunk to hash has others to hash at the same time, and waking processors for a fifth of a millisecond costs
// more than it saves.
func Sum(b []byte) [32]byte {
	if len(b) <= groupBytes {
		return blake3.Sum256(b)
	}
	return root(subtree(b, 0))
}

// SumAndChain returns the BLAKE3-256 of b and its chaining value as the subtree at an offset of something longer. An offset is a multiple of
// a power of two not below the length of b; at 0 both come of one pass.
func SumAndChain(b []byte, offset uint64) (sum, chain [32]byte) {
	node := subtree(b, 0)
	sum = root(node)
	if offset != 0 {
		node = subtree(b, offset)
	}
	words := guts.CompressNode(node)
	out := guts.WordsToBytes(words)
	return sum, [32]byte(out[:32])
}

func root(node guts.Node) [32]byte {
	node.Flags |= guts.FlagRoot
	out := guts.WordsToBytes(guts.CompressNode(node))
	return [32]byte(out[:32])
}

// subtree hashes b, which begins at an offset, up to the last node.
func subtree(b []byte, offset uint64) guts.Node {
	// The chaining values of complete subtrees that wait for their right neighbour: the i-th is over 2^i groups, if bit i of done is set.
	var waiting [64 - 14][8]uint32 // as many as 2^64 bytes have
	var done uint64
	first := offset / guts.ChunkSize
	for ; len(b) > groupBytes; b = b[groupBytes:] {
		node := guts.CompressBuffer((*[groupBytes]byte)(b), groupBytes, &guts.IV, first+done*guts.MaxSIMD, 0)
		height := bits.TrailingZeros64(^done)
		for i := range height {
			node = guts.ParentNode(waiting[i], guts.ChainingValue(node), &guts.IV, 0)
		}
		waiting[height] = guts.ChainingValue(node)
		done++
	}
	last := groups.Get().(*[groupBytes]byte)
	defer groups.Put(last)
	copy(last[:], b)
	node := guts.CompressBuffer(last, len(b), &guts.IV, first+done*guts.MaxSIMD, 0)
	for i := range waiting {
		if done>>i&1 == 1 {
			node = guts.ParentNode(waiting[i], guts.ChainingValue(node), &guts.IV, 0)
		}
	}
	return node
}
