package host

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// encodedByModule is what the storage module makes of a chunk.
func encodedByModule(t *testing.T, call func(envelope, bulk []byte) ([]byte, []byte, error), plain []byte, offset uint64) (entry inos.Entry, stored []byte) {
	t.Helper()
	reply, stored, err := call(moduleCall(event.EncodeChunk, &eventpb.EncodeChunkRequest{OffsetBytes: offset, Quality: 2}), plain)
	if err != nil {
		t.Fatal(err)
	}
	var r eventpb.EncodeChunkReply
	e, err := event.Decode(reply)
	if err == nil {
		err = event.Open(e, &r)
	}
	if err == nil {
		entry, err = inos.ParseEntry(r.Entry)
	}
	if err != nil {
		t.Fatal(err)
	}
	return entry, stored
}

// TestRawIsWhatTheModuleMakes holds the host's raw form, entry and probe to the storage module's.
func TestRawIsWhatTheModuleMakes(t *testing.T) {
	pool := benchPool(t, 1)
	call := func(envelope, bulk []byte) ([]byte, []byte, error) {
		return pool.Call(context.Background(), 0, envelope, bulk, make([]byte, 0, inos.StoredBytesMax))
	}
	// The ends of what is probed, of both forms of the head, of the groups of the hash, and of a chunk.
	for _, size := range []int{1, 1023, 1024, 1025, 4095, 4096, 16 << 10, 16<<10 + 1, 65_535, 65_536, 65_537, 1<<20 - 1, 1 << 20} {
		for _, offset := range []uint64{0, 1 << 20, 5 << 20, 1 << 40} {
			plain := noise(uint64(size), size)
			slab := append(make([]byte, inos.RawHeadBytes, inos.StoredBytesMax), plain...)
			entry, err := rawEntry(slab, offset)
			if err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			want, stored := encodedByModule(t, call, plain, offset)
			if want.Codec != inos.CodecRaw {
				continue // it is small, and by chance a byte shorter
			}
			if entry != want || !bytes.Equal(slab, stored) {
				t.Errorf("%d bytes at %d: entry %+v, the module's is %+v", size, offset, entry, want)
			}
			if got := compressible(plain); got != (size < probeBytesMin) {
				t.Errorf("%d random bytes are compressible: %t", size, got)
			}
		}
	}
	half := noise(1, 1<<19)
	limited := func(values int) []byte {
		b := noise(2, 1<<20)
		for i := range b {
			b[i] = byte(int(b[i]) * values / 256)
		}
		return b
	}
	for what, plain := range map[string][]byte{
		"text": text(1, 1<<20), "short text": text(1, 4096), "zeros": make([]byte, 1<<20), "a repeat": slices.Concat(half, half),
		"random and text": slices.Concat(half, text(1, 1<<19)), "200 values": limited(200), "235 values": limited(235), "245 values": limited(245), "253 values": limited(253),
		"random columns": columns(noise(3, 1<<20)),
	} {
		entry, _ := encodedByModule(t, call, plain, 0)
		if got, want := compressible(plain), entry.Codec != inos.CodecRaw; got != want {
			t.Errorf("%s: the host says compressible %t, the module %t", what, got, want)
		}
	}
}

// columns sets every fourth byte to zero, as in records of a power of two.
func columns(b []byte) []byte {
	for i := 0; i < len(b); i += 4 {
		b[i] = 0
	}
	return b
}

// TestReadRawRefuses flips every bit of heads: what is read back is then other bytes, or none.
func TestReadRawRefuses(t *testing.T) {
	for _, size := range []int{1, 2, 65_536, 65_537, 1 << 20} {
		slab := append(make([]byte, inos.RawHeadBytes), noise(4, size)...)
		inos.AppendRawHead(slab[:0], size)
		if back, err := readRaw(slab); err != nil || len(back) != size {
			t.Fatalf("%d bytes read back as %d: %v", size, len(back), err)
		}
		for bit := range inos.RawHeadBytes * 8 {
			slab[bit/8] ^= 1 << (bit % 8)
			if _, err := readRaw(slab); inos.CodeOf(err) != inos.CodeBadFormat {
				t.Errorf("%d bytes with bit %d of the head flipped: %v", size, bit, err)
			}
			slab[bit/8] ^= 1 << (bit % 8)
		}
		for _, other := range [][]byte{nil, slab[:2], slab[:len(slab)-1], append(bytes.Clone(slab), 0)} {
			if _, err := readRaw(other); inos.CodeOf(err) != inos.CodeBadFormat {
				t.Errorf("%d of %d bytes are read: %v", len(other), len(slab), err)
			}
		}
	}
}

// TestTwoBuffersOfOneSlab ends two buffers that share their memory, in both orders: it is given back once, by the last.
func TestTwoBuffersOfOneSlab(t *testing.T) {
	for _, order := range [][]uint64{{1, 2}, {2, 1}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			b := newBuffers()
			slab := append(b.slab(), "headbody"...)
			b.putIn(slab, 1, 4, 2)
			if count, held := b.bytes(); count != 2 || held != inos.StoredBytesMax {
				t.Errorf("%d buffers hold %d bytes", count, held)
			}
			b.release(order[:1])
			if len(b.free) != 0 {
				t.Error("the slab is free while a buffer is in it")
			}
			got, err := b.get(order[1])
			if want := map[uint64]string{1: "body", 2: "headbody"}[order[1]]; err != nil || string(got) != want {
				t.Errorf("buffer %d has %q, not %q: %v", order[1], got, want, err)
			}
			b.release(order)
			if len(b.free) != 1 || len(b.live) != 0 {
				t.Errorf("%d slabs are free, %d buffers live", len(b.free), len(b.live))
			}
		})
	}
	b := newBuffers()
	b.putIn(append(b.slab(), "headbody"...), 1, 4, 2)
	taken := b.take(1)
	b.release([]uint64{2})
	if other := append(b.slab(), "otherone"...); string(taken) != "body" {
		t.Errorf("what was taken became %q when the slab was used for %q", taken, other)
	}
}
