package event

import (
	"encoding/hex"

	"github.com/inos-mesh/inos"
)

// NewID returns a UUIDv7 (RFC 9562, 5.7) of a time and ten random bytes. The caller passes both, so that the kernel can
// make identifiers deterministically.
func NewID(now inos.Micros, random [10]byte) string {
	ms := uint64(now / inos.Millisecond)
	var u [16]byte
	for i := range 6 {
		u[i] = byte(ms >> (40 - 8*i))
	}
	copy(u[6:], random[:])
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80
	var s [36]byte
	hex.Encode(s[0:8], u[0:4])
	hex.Encode(s[9:13], u[4:6])
	hex.Encode(s[14:18], u[6:8])
	hex.Encode(s[19:23], u[8:10])
	hex.Encode(s[24:36], u[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// IDTime returns the time in a UUIDv7, to the millisecond; it refuses anything else. Upper-case digits are refused too: an
// id is a key, and a key has one spelling.
func IDTime(id string) (inos.Micros, error) {
	const op = "parse id"
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return 0, inos.Errorf(inos.CodeBadEnvelope, op, "%.64q is not a UUID", id)
	}
	for i := range len(id) {
		if id[i] >= 'A' && id[i] <= 'F' {
			return 0, inos.Errorf(inos.CodeBadEnvelope, op, "%q has upper-case digits", id)
		}
	}
	var u [16]byte
	if _, err := hex.Decode(u[:], []byte(id[0:8]+id[9:13]+id[14:18]+id[19:23]+id[24:36])); err != nil {
		return 0, inos.Errorf(inos.CodeBadEnvelope, op, "%q is not a UUID: %w", id, err)
	}
	if u[6]>>4 != 7 || u[8]>>6 != 2 {
		return 0, inos.Errorf(inos.CodeBadEnvelope, op, "%q is not a UUID of version 7", id)
	}
	var ms inos.Micros
	for _, b := range u[:6] {
		ms = ms<<8 | inos.Micros(b)
	}
	return ms * inos.Millisecond, nil
}
