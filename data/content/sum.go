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
	// The chaining values of complete subtrees that wait for their right neighbour: the i-th is over 2^i groups, if bit i of done is set.
	var waiting [64 - 14][8]uint32 // as many as 2^64 bytes have
	var done uint64
	for ; len(b) > groupBytes; b = b[groupBytes:] {
		node := guts.CompressBuffer((*[groupBytes]byte)(b), groupBytes, &guts.IV, done*guts.MaxSIMD, 0)
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
	node := guts.CompressBuffer(last, len(b), &guts.IV, done*guts.MaxSIMD, 0)
	for i := range waiting {
		if done>>i&1 == 1 {
			node = guts.ParentNode(waiting[i], guts.ChainingValue(node), &guts.IV, 0)
		}
	}
	node.Flags |= guts.FlagRoot
	out := guts.WordsToBytes(guts.CompressNode(node))
	return [32]byte(out[:32])
}
