package engine

import "github.com/tetratelabs/wazero/experimental"

const pageBytes = 64 << 10 // of WebAssembly

// memoryLimit allocates a guest's linear memory outside Go's heap and refuses to let it grow beyond bytesMax, which
// may be lowered while the guest lives: memory.grow then answers -1. The whole range is reserved at once, so growing
// never copies and a view of the memory stays where it is.
type memoryLimit struct {
	bytesMax uint64
}

// Allocate implements experimental.MemoryAllocator.
func (l *memoryLimit) Allocate(_, bytesMax uint64) experimental.LinearMemory {
	if reserved, err := reserve(bytesMax); err == nil {
		return &reservedMemory{limit: l, bytes: reserved}
	}
	return &heapMemory{limit: l} // an address space too small: grow by copying
}

type reservedMemory struct {
	limit *memoryLimit
	bytes []byte
}

// Reallocate implements experimental.LinearMemory.
func (m *reservedMemory) Reallocate(size uint64) []byte {
	if size > m.limit.bytesMax || size > uint64(len(m.bytes)) {
		return nil
	}
	return m.bytes[:size:size]
}

// Free implements experimental.LinearMemory.
func (m *reservedMemory) Free() {
	release(m.bytes)
	m.bytes = nil
}

type heapMemory struct {
	limit *memoryLimit
	bytes []byte
}

// Reallocate implements experimental.LinearMemory.
func (m *heapMemory) Reallocate(size uint64) []byte {
	if size > m.limit.bytesMax {
		return nil
	}
	if size > uint64(cap(m.bytes)) {
		grown := make([]byte, size)
		copy(grown, m.bytes)
		m.bytes = grown
	}
	m.bytes = m.bytes[:size]
	return m.bytes
}

// Free implements experimental.LinearMemory.
func (m *heapMemory) Free() { m.bytes = nil }
