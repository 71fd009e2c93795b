package host

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

const (
	// probeSampleBytes are sampled for the estimate of the entropy.
	probeSampleBytes = 16 << 10
	// probeBytesMin: a shorter chunk is left to the encoder without a look.
	probeBytesMin = 4 << 10
	// probeEntropyRaw is the entropy from which on coding single bytes saves too little: 7.9 bits, in 1/65,536 bits per byte.
	probeEntropyRaw = 79 * 65_536 / 10
	// probePlaces bounds the places remembered to find repeats.
	probePlaces = 4096
	// probeAnchor is the byte behind whose occurrences repeats are looked for.
	probeAnchor = 0xa7
)

// compressible says whether bytes are likely to shrink. It is the storage module's own probe (modules/storage/src/probe.rs), and never
// decides what is right: a wrong yes costs time, for the module looks again, and a wrong no costs space.
func compressible(plain []byte) bool {
	return len(plain) < probeBytesMin || entropy(plain) < probeEntropyRaw || repeats(plain)
}

// entropy returns the order-0 entropy of evenly spaced samples, in 1/65,536 bits per byte.
func entropy(plain []byte) uint64 {
	step := max(1, len(plain)/probeSampleBytes) | 1 // odd: records of a power of two would show only one of their columns
	var counts [256]uint32
	n := uint64(0)
	for i := 0; i < len(plain); i += step {
		counts[plain[i]]++
		n++
	}
	sum := uint64(0)
	for _, c := range counts {
		if c > 0 {
			sum += uint64(c) * log2(uint64(c))
		}
	}
	return log2(n) - sum/n
}

// log2 returns the logarithm of x, 1 to 2^32 - 1, in 1/65,536 by repeated squaring.
func log2(x uint64) uint64 {
	whole := uint64(bits.Len64(x) - 1)
	mantissa := x << 31 >> whole
	fraction := uint64(0)
	for range 16 {
		mantissa = mantissa * mantissa >> 31
		fraction <<= 1
		if mantissa >= 1<<32 {
			mantissa >>= 1
			fraction |= 1
		}
	}
	return whole<<16 | fraction
}

// repeats looks for long repeats among bytes of high entropy, wherever they lie: the eight bytes behind every anchor are remembered.
func repeats(plain []byte) bool {
	var places [probePlaces]uint32 // position + 1
	anchors, hits := 0, 0
	for at := 0; ; {
		found := bytes.IndexByte(plain[at:], probeAnchor)
		if found < 0 {
			break
		}
		at += found + 1
		if at+8 > len(plain) {
			break
		}
		slot := &places[binary.LittleEndian.Uint64(plain[at:])*0x9e37_79b9_7f4a_7c15>>52]
		before := int(*slot)
		*slot = uint32(at) + 1
		anchors++
		if before > 0 && bytes.Equal(plain[before-1:before+7], plain[at:at+8]) {
			hits++
		}
	}
	return hits >= 2 && hits*32 >= anchors
}
