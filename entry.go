package inos

import (
	"encoding/binary"
)

// EntryBytes is the size of an encoded manifest entry.
const EntryBytes = 128

// Codecs of a chunk's stored form.
const (
	CodecRaw    = 0 // raw meta-blocks
	CodecBrotli = 1 // compressed meta-blocks
)

// Entry is what a manifest says of one chunk, or of one manifest node below it (docs/format.md, manifest entry).
type Entry struct {
	ChunkID     ChunkID
	PlainHash   PlainHash       // of the chunk's plain bytes; of the node's plain bytes for a manifest node
	Chain       [HashBytes]byte // BLAKE3 chaining value of the file's bytes below, at their offset
	PlainBytes  uint64          // bytes of the file below this entry
	StoredBytes uint64          // stored bytes of the data chunks below this entry
	Codec       uint8
	Quality     uint8
	Cipher      uint8  // reserved, 0
	Chunks      uint32 // data chunks below this entry; 1 for a data chunk
	KeyID       uint64 // reserved, 0
}

// AppendEntry appends the 128 bytes of e: chunk id 0..31, plain hash 32..63, chaining value 64..95, plain bytes 96..103,
// stored bytes 104..111, codec 112, quality 113, cipher 114, zero 115, chunks 116..119, key id 120..127; integers are little-endian.
func AppendEntry(dst []byte, e *Entry) []byte {
	dst = append(dst, e.ChunkID[:]...)
	dst = append(dst, e.PlainHash[:]...)
	dst = append(dst, e.Chain[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, e.PlainBytes)
	dst = binary.LittleEndian.AppendUint64(dst, e.StoredBytes)
	dst = append(dst, e.Codec, e.Quality, e.Cipher, 0)
	dst = binary.LittleEndian.AppendUint32(dst, e.Chunks)
	return binary.LittleEndian.AppendUint64(dst, e.KeyID)
}

// ParseEntry reads the first 128 bytes of b. It refuses reserved fields that are not zero, because their meaning is not
// known to this version.
func ParseEntry(b []byte) (e Entry, err error) {
	if len(b) < EntryBytes {
		return e, Errorf(CodeBadFormat, "parse manifest entry", "%d bytes, an entry has %d", len(b), EntryBytes)
	}
	copy(e.ChunkID[:], b[0:])
	copy(e.PlainHash[:], b[32:])
	copy(e.Chain[:], b[64:])
	e.PlainBytes = binary.LittleEndian.Uint64(b[96:])
	e.StoredBytes = binary.LittleEndian.Uint64(b[104:])
	e.Codec, e.Quality, e.Cipher = b[112], b[113], b[114]
	e.Chunks = binary.LittleEndian.Uint32(b[116:])
	e.KeyID = binary.LittleEndian.Uint64(b[120:])
	if e.Cipher != 0 || e.KeyID != 0 || b[115] != 0 || e.Codec > CodecBrotli {
		return e, Errorf(CodeBadFormat, "parse manifest entry", "codec %d, cipher %d, key %d: written by a later version", e.Codec, e.Cipher, e.KeyID)
	}
	return e, nil
}
