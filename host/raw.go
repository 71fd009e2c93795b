package host

import (
	"bytes"
	"encoding/binary"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/content"
)

// rawEntry completes the raw stored form in a slab that has the plain bytes, 1 to 2^20, behind room for the head, and returns its entry at
// an offset of the file, a multiple of 1 MiB. It does what the storage module does with such a chunk: what is written is read again, and
// compared.
func rawEntry(slab []byte, offset uint64) (inos.Entry, error) {
	plain := slab[inos.RawHeadBytes:]
	inos.AppendRawHead(slab[:0], len(plain))
	back, err := readRaw(slab)
	if err != nil || !bytes.Equal(back, plain) {
		return inos.Entry{}, inos.Errorf(inos.CodeInternal, "store raw", "%d bytes read back as %d others: %v", len(plain), len(back), err)
	}
	hash, chain := content.SumAndChain(plain, offset)
	return inos.Entry{
		ChunkID: content.Sum(slab), PlainHash: hash, Chain: chain,
		PlainBytes: uint64(len(plain)), StoredBytes: uint64(len(slab)), Codec: inos.CodecRaw, Chunks: 1,
	}, nil
}

// readRaw returns the bytes of a chunk that is one raw meta-block. It shares nothing with inos.AppendRawHead: it takes bits one after the other,
// as the RFC has them.
func readRaw(stored []byte) ([]byte, error) {
	bad := func(what string) ([]byte, error) {
		return nil, inos.Errorf(inos.CodeBadFormat, "read raw", "%s in a chunk of %d bytes", what, len(stored))
	}
	if len(stored) < inos.RawHeadBytes {
		return bad("a cut head")
	}
	bits := uint64(binary.LittleEndian.Uint16(stored)) | uint64(stored[2])<<16
	take := func(n int) (v uint64) {
		v = bits & (1<<n - 1)
		bits >>= n
		return v
	}
	if take(1) != 0 {
		return bad("a last meta-block")
	}
	nibbles := 4 + int(take(2))
	if nibbles > 5 {
		return bad("a meta-block of more than 2^20 bytes, or of metadata,")
	}
	length := int(take(4*nibbles)) + 1
	if nibbles == 5 && length <= 1<<16 {
		return bad("a length with a needless nibble")
	}
	if take(1) != 1 {
		return bad("a compressed meta-block")
	}
	if bits != 0 || length != len(stored)-inos.RawHeadBytes {
		return bad("a meta-block of another length, or padding that is not zero,")
	}
	return stored[inos.RawHeadBytes:], nil
}
