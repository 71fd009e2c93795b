package event

import (
	"encoding/binary"

	"github.com/inos-mesh/inos"
)

// A guest message is what crosses to and from a WASM module, in linear memory and on a worker's pipes:
// the envelope's length (4 bytes, little-endian), the envelope, and bulk bytes to the end.

// GuestBytesMax bounds a guest message: an envelope and the bulk of one chunk.
const GuestBytesMax = 4 + inos.EnvelopeHeadBytesMax + inos.PayloadBytesMax + inos.StoredBytesMax

// AppendGuest appends a guest message.
func AppendGuest(dst, envelope, bulk []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(envelope)))
	dst = append(dst, envelope...)
	return append(dst, bulk...)
}

// SplitGuest returns the parts of a guest message; they share memory with b.
func SplitGuest(b []byte) (envelope, bulk []byte, err error) {
	const op = "split guest message"
	if len(b) > GuestBytesMax {
		return nil, nil, inos.Errorf(inos.CodeEnvelopeTooLarge, op, "%d bytes, at most %d", len(b), GuestBytesMax)
	}
	if len(b) < 4 {
		return nil, nil, inos.Errorf(inos.CodeBadFormat, op, "%d bytes, the length alone has 4", len(b))
	}
	n := binary.LittleEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil, inos.Errorf(inos.CodeBadFormat, op, "the envelope has %d bytes, %d follow", n, len(b)-4)
	}
	return b[4 : 4+n : 4+n], b[4+n:], nil
}
