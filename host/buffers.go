package host

import (
	"sync"

	"github.com/inos-mesh/inos"
)

// buffersFreeMax is how many unused slabs are kept for the next chunk (each inos.StoredBytesMax bytes).
const buffersFreeMax = 16

// buffers holds the bytes that the kernel speaks of by number. The kernel chooses the number and bounds the sum; a
// buffer lives from the effect that fills it until buffer:release.
type buffers struct {
	mu   sync.Mutex // guards the fields below
	live map[uint64][]byte
	free [][]byte
}

func newBuffers() *buffers { return &buffers{live: map[uint64][]byte{}} }

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
	if old, ok := b.live[number]; ok {
		b.recycleLocked(old)
	}
	b.live[number] = data
}

// get returns a buffer's bytes. They stay valid while an effect that names the buffer is under way, because the kernel
// releases a buffer only after its effects ended.
func (b *buffers) get(number uint64) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	data, ok := b.live[number]
	if !ok {
		return nil, inos.Errorf(inos.CodeInternal, "find buffer", "the kernel named buffer %d, which is not filled", number)
	}
	return data, nil
}

// take ends a buffer and returns its bytes, which are the caller's to recycle; nil when it is not filled.
func (b *buffers) take(number uint64) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	data := b.live[number]
	delete(b.live, number)
	return data
}

// release ends buffers; an unknown number is one whose filling failed.
func (b *buffers) release(numbers []uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, number := range numbers {
		if data, ok := b.live[number]; ok {
			delete(b.live, number)
			b.recycleLocked(data)
		}
	}
}

// releaseAll ends every buffer: the kernel that named them is gone.
func (b *buffers) releaseAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for number, data := range b.live {
		delete(b.live, number)
		b.recycleLocked(data)
	}
}

// bytes returns how many buffers live and the memory they hold.
func (b *buffers) bytes() (count int, held int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, data := range b.live {
		held += int64(cap(data))
	}
	return len(b.live), held
}
