package kernel

import (
	"encoding/binary"
	"math/bits"
)

// rng is xoshiro256** (Blackman and Vigna, 2018). It names effects and uploads; nothing secret comes from it.
type rng struct{ s [4]uint64 }

// seed sets the state from the 32 bytes that the boot brings.
func (r *rng) seed(b []byte) {
	for i := range r.s {
		r.s[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	if r.s == [4]uint64{} {
		r.s[0] = 1 // the all-zero state never leaves itself
	}
}

func (r *rng) next() uint64 {
	result := bits.RotateLeft64(r.s[1]*5, 7) * 9
	t := r.s[1] << 17
	r.s[2] ^= r.s[0]
	r.s[3] ^= r.s[1]
	r.s[1] ^= r.s[2]
	r.s[0] ^= r.s[3]
	r.s[2] ^= t
	r.s[3] = bits.RotateLeft64(r.s[3], 45)
	return result
}

func (r *rng) ten() (b [10]byte) {
	binary.LittleEndian.PutUint64(b[:8], r.next())
	binary.LittleEndian.PutUint16(b[8:], uint16(r.next()>>48))
	return b
}

func (r *rng) code(c *coder) {
	for i := range r.s {
		num(c, &r.s[i])
	}
}
