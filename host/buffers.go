package host

import (
	"bytes"
	"sync"

	"github.com/inos-mesh/inos"
)

// buffersFreeMax is how many unused slabs are kept for the next chunk (each inos.StoredBytesMax bytes).
const buffersFreeMax = 16

// buffers holds the bytes that the kernel speaks of by number. The kernel chooses the number and bounds the sum; a
// buffer lives from the effect that fills it until buffer:release.
type buffers struct {
	mu   sync.Mutex // guards the fields below
	live map[uint64]buffer
	free [][]byte
}

// buffer is one buffer's bytes.
type buffer struct {
	data []byte
	slab []byte // that data is in
	twin uint64 // the other buffer whose bytes are in the slab; 0: none
}

func newBuffers() *buffers { return &buffers{live: map[uint64]buffer{}} }

// slab returns an empty slice with room for any chunk, plain or stored.
func (b *buffers) slab() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.free); n > 0 {
		s := b.free[n-1]
		b.free = b.free[:n-1]
		return s[:0]
	}
	return make([]byte, 0, inos.StoredBytesMax)
}

// recycle takes back a slab that no buffer holds.
func (b *buffers) recycle(s []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recycleLocked(s)
}

func (b *buffers) recycleLocked(s []byte) {
	if cap(s) >= inos.StoredBytesMax && len(b.free) < buffersFreeMax {
		b.free = append(b.free, s)
	}
}

// put makes data the content of a buffer, which owns it from then on.
func (b *buffers) put(number uint64, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endLocked(number)
	b.live[number] = buffer{data: data, slab: data}
}

// putIn makes a part of a slab the content of a buffer, and the whole of it that of a second one, unless that is 0. The slab is theirs
// until both have ended.
func (b *buffers) putIn(slab []byte, number uint64, from int, second uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endLocked(number)
	b.live[number] = buffer{data: slab[from:], slab: slab, twin: second}
	if second != 0 {
		b.endLocked(second)
		b.live[second] = buffer{data: slab, slab: slab, twin: number}
	}
}

// get returns a buffer's bytes. They stay valid while an effect that names the buffer is under way, because the kernel
// releases a buffer only after its effects ended.
func (b *buffers) get(number uint64) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	held, ok := b.live[number]
	if !ok {
		return nil, inos.Errorf(inos.CodeInternal, "find buffer", "the kernel named buffer %d, which is not filled", number)
	}
	return held.data, nil
}

// take ends a buffer and returns its bytes, which are the caller's to recycle; nil when it is not filled.
func (b *buffers) take(number uint64) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	held := b.live[number]
	if held.twin != 0 {
		data := bytes.Clone(held.data)
		b.endLocked(number)
		return data
	}
	delete(b.live, number)
	return held.data
}

// release ends buffers; an unknown number is one whose filling failed.
func (b *buffers) release(numbers []uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, number := range numbers {
		b.endLocked(number)
	}
}

// endLocked ends a buffer. The last one in a slab gives it back.
func (b *buffers) endLocked(number uint64) {
	held, ok := b.live[number]
	if !ok {
		return
	}
	delete(b.live, number)
	if other, ok := b.live[held.twin]; ok && other.twin == number {
		other.twin = 0
		b.live[held.twin] = other
		return
	}
	b.recycleLocked(held.slab)
}

// releaseAll ends every buffer: the kernel that named them is gone.
func (b *buffers) releaseAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for number := range b.live {
		b.endLocked(number)
	}
}
