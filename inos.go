// Package inos holds the nouns of INOS and the contracts between its rooms: identifiers, sizes, sessions, and the
// interfaces that storage and memories implement. Everything depends on it and it depends on nothing but the standard
// library; it reads no clock, opens no file and starts no goroutine.
package inos

import (
	"encoding/hex"
	"fmt"
)

// Sizes of the storage format (design: 1 MiB chunks, manifest nodes of at most 1,024 entries).
const (
	ChunkBytesMax        = 1 << 20 // plain bytes of a chunk
	ManifestEntriesMax   = 1024    // entries of one manifest node
	HashBytes            = 32      // BLAKE3-256
	LeafBytes            = 1024    // of a leaf of its tree: what a proof shows
	EventTypeBytesMax    = 128
	EnvelopeHeadBytesMax = 16 << 10 // an envelope without its payload
	PayloadBytesMax      = 4 << 20
	EnvelopeBytesMax     = EnvelopeHeadBytesMax + PayloadBytesMax
	PathBytesMax         = 1024
	ContentTypeBytesMax  = 255 // of a file
	ReplicasDefault      = 3
)

// StoredBytesMax bounds the stored form of one chunk: raw meta-blocks of 1 MiB cost at most 64 bytes of headers,
// and an encoder whose output is longer than the raw form is not used.
const StoredBytesMax = ChunkBytesMax + 64

// Micros is a time or a duration in microseconds; as a time it counts from the Unix epoch.
type Micros int64

// Microsecond-based durations.
const (
	Microsecond Micros = 1
	Millisecond        = 1000 * Microsecond
	Second             = 1000 * Millisecond
	Minute             = 60 * Second
	Hour               = 60 * Minute
	Day                = 24 * Hour
)

// ChunkID is the BLAKE3-256 of a chunk's stored bytes.
type ChunkID [HashBytes]byte

// FileID is the BLAKE3-256 of a whole plain file: what b3sum prints.
type FileID [HashBytes]byte

// PlainHash is the BLAKE3-256 of one chunk's plain bytes, taken alone.
type PlainHash [HashBytes]byte

// String returns 64 hexadecimal digits.
func (id ChunkID) String() string { return hex.EncodeToString(id[:]) }

// String returns 64 hexadecimal digits.
func (id FileID) String() string { return hex.EncodeToString(id[:]) }

// String returns 64 hexadecimal digits.
func (h PlainHash) String() string { return hex.EncodeToString(h[:]) }

// ParseChunkID reads 64 hexadecimal digits.
func ParseChunkID(s string) (id ChunkID, err error) { return id, parseHash(id[:], s, "chunk id") }

// ParsePlainHash reads 64 hexadecimal digits.
func ParsePlainHash(s string) (h PlainHash, err error) { return h, parseHash(h[:], s, "plain hash") }

// ParseFileID reads 64 hexadecimal digits.
func ParseFileID(s string) (id FileID, err error) { return id, parseHash(id[:], s, "file id") }

func parseHash(dst []byte, s, what string) error {
	if len(s) != 2*HashBytes {
		return Errorf(CodeBadRequest, "parse "+what, "%q has %d characters, a %s has 64 hexadecimal digits", clip(s), len(s), what)
	}
	if _, err := hex.Decode(dst, []byte(s)); err != nil {
		return Errorf(CodeBadRequest, "parse "+what, "%q is not hexadecimal: %v", clip(s), err)
	}
	return nil
}

func clip(s string) string {
	if len(s) > 80 {
		return fmt.Sprintf("%s… (%d bytes)", s[:80], len(s))
	}
	return s
}

// NodeID names a node of the mesh.
type NodeID string

// Subject names who asks: a user.
type Subject string

// Path names a file of one owner: absolute, slash-separated, at most PathBytesMax bytes (CheckPath).
type Path string

// UploadID names one put from its first chunk to its commit.
type UploadID string

// Session is what a verified token says.
type Session struct {
	TokenID      string
	Subject      Subject
	Device       string
	Capabilities []string // "files:read:/photos/*"
	ExpiresAt    Micros   // 0: never
	Audience     string   // whom the token is for; empty: the mesh
	Peer         NodeID   // the only peer that may use it; empty: anybody who has it
	// IssuedBy is the device by which a session without one was issued: directly, or by a token that was issued by it. Empty: it is not known.
	IssuedBy string
}
