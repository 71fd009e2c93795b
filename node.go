package inos

import "encoding/binary"

const (
	// NodeHeadBytes is the length of what stands before the entries of a manifest node.
	NodeHeadBytes = 32
	// RawHeadBytes is the length of the head of a raw meta-block (RFC 7932, 9.2), which with the bytes behind it is the stored form of a
	// chunk that does not compress (docs/format.md).
	RawHeadBytes = 3

	nodeMagic   = "INOSNODE"
	nodeVersion = 1
)

// AppendRawHead appends the head of a raw meta-block of n bytes, 1 to 2^20, that is not the last: bit 0 ISLAST, bits 1 and 2 MNIBBLES - 4,
// then MLEN - 1 in as few nibbles as hold it, then ISUNCOMPRESSED.
func AppendRawHead(dst []byte, n int) []byte {
	head := uint32(n-1)<<3 | 1<<19
	if n > 1<<16 {
		head = 1<<1 | uint32(n-1)<<3 | 1<<23
	}
	return append(dst, byte(head), byte(head>>8), byte(head>>16))
}

// AppendRootHead appends the head of a root of level 0 that has count entries, over plainBytes of a file: magic 0..7, version 8..9, level 10,
// flags 11 (bit 0: root), entries 12..15, plain bytes 16..23, data chunks 24..31; integers are little-endian.
func AppendRootHead(dst []byte, count int, plainBytes uint64) []byte {
	dst = append(dst, nodeMagic...)
	dst = append(dst, nodeVersion, 0, 0, 1)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(count))
	dst = binary.LittleEndian.AppendUint64(dst, plainBytes)
	return binary.LittleEndian.AppendUint64(dst, uint64(count))
}
