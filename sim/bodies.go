package sim

import (
	"encoding/binary"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
)

// Bytes are symbolic. A piece of a file is named by a descriptor, and its hashes are those of the descriptor. The first
// byte says what a descriptor describes.
const (
	kindPlain  = 'P' // plain bytes of a chunk: name, length
	kindStored = 'S' // stored form of such bytes: quality, stored length, the plain descriptor
	kindNode   = 'N' // manifest node: level, root, entries
	kindRecord = 'R' // sealed commit record: mesh, nonce, record
	kindProof  = 'B' // proof of one leaf: leaf, chunk id
	kindNoise  = 'X' // what a liar sends
)

// body is one that clients put: its chunks repeat after a period.
type body struct {
	name   uint64
	bytes  uint64
	period uint64
}

// chunks returns how many chunks the body has.
func (c body) chunks() uint64 { return (c.bytes + inos.ChunkBytesMax - 1) / inos.ChunkBytesMax }

// chunk returns the descriptor of the body's bytes from offset on, n of them.
func (c body) chunk(offset, n uint64) []byte {
	index := offset / inos.ChunkBytesMax
	if c.period > 0 {
		index %= c.period
	}
	return plainBytes(c.name, index, n)
}

func plainBytes(name, index, n uint64) []byte {
	b := make([]byte, 0, 21)
	b = append(b, kindPlain)
	b = binary.LittleEndian.AppendUint64(b, name)
	b = binary.LittleEndian.AppendUint64(b, index)
	return binary.LittleEndian.AppendUint32(b, uint32(n))
}

// lengthOf returns how many bytes a descriptor stands for.
func lengthOf(b []byte) uint32 {
	switch {
	case len(b) == 21 && b[0] == kindPlain:
		return binary.LittleEndian.Uint32(b[17:])
	case len(b) == 27 && b[0] == kindStored:
		return binary.LittleEndian.Uint32(b[2:])
	case len(b) > 0 && b[0] == kindNoise:
		return 1 << 20
	}
	return uint32(len(b))
}

// storedForm returns what the encoder makes of plain bytes at a quality: every other name is incompressible.
func storedForm(plain []byte, quality uint8) []byte {
	n := lengthOf(plain)
	stored := n + 4
	if plain[1]&1 == 0 {
		stored = n/2 + uint32(16-quality)
	} else {
		quality = 0
	}
	b := make([]byte, 0, 27)
	b = append(b, kindStored, quality)
	b = binary.LittleEndian.AppendUint32(b, stored)
	return append(b, plain...)
}

// plainOf returns the plain bytes of a stored form, or nil.
func plainOf(stored []byte) []byte {
	if len(stored) != 27 || stored[0] != kindStored {
		return nil
	}
	return stored[6:]
}

func hash(parts ...[]byte) [inos.HashBytes]byte {
	if len(parts) == 1 {
		return blake3.Sum256(parts[0])
	}
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return blake3.Sum256(all)
}

func plainHash(plain []byte) inos.PlainHash { return inos.PlainHash(hash(plain)) }

func chunkID(stored []byte) inos.ChunkID { return inos.ChunkID(hash(stored)) }

// chain is the chaining value of plain bytes at their offset in a file.
func chain(plain []byte, offset uint64) [inos.HashBytes]byte {
	var at [9]byte
	at[0] = 'C'
	binary.LittleEndian.PutUint64(at[1:], offset)
	return hash(at[:], plain)
}

// join is the chaining value of what lies below a node; that of a root is the file's id, unless the file has one chunk.
func join(chains [][inos.HashBytes]byte) [inos.HashBytes]byte {
	switch len(chains) {
	case 0:
		return blake3.Sum256(nil)
	case 1:
		return chains[0]
	}
	all := make([]byte, 0, 1+len(chains)*inos.HashBytes)
	all = append(all, 'J')
	for i := range chains {
		all = append(all, chains[i][:]...)
	}
	return blake3.Sum256(all)
}

// fileID is what a client computes of a body by itself.
func (c body) fileID() inos.FileID {
	if c.chunks() == 1 {
		return inos.FileID(plainHash(c.chunk(0, c.bytes)))
	}
	var chains [][inos.HashBytes]byte
	for at := uint64(0); at < c.bytes; at += inos.ChunkBytesMax {
		chains = append(chains, chain(c.chunk(at, min(inos.ChunkBytesMax, c.bytes-at)), at))
	}
	for len(chains) > inos.ManifestEntriesMax {
		var up [][inos.HashBytes]byte
		for at := 0; at < len(chains); at += inos.ManifestEntriesMax {
			up = append(up, join(chains[at:min(len(chains), at+inos.ManifestEntriesMax)]))
		}
		chains = up
	}
	return inos.FileID(join(chains))
}
