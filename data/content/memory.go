package content

import (
	"context"
	"slices"
	"sync"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
)

// Memory is the store's twin without a disk: slow, clear, and gone with the process. Tests compare the Store with it.
type Memory struct {
	options Options

	mu      sync.Mutex // guards all below
	held    map[inos.ChunkID][]byte
	trashed map[inos.ChunkID]memoryTrash
	usage   inos.Usage // its FreeBytes is not used
	closed  bool
}

type memoryTrash struct {
	stored []byte
	at     inos.Micros
}

var _ inos.Content = (*Memory)(nil)

// NewMemory returns an empty store in memory. Of the options it obeys CapacityBytes and Now.
func NewMemory(o Options) *Memory {
	return &Memory{options: o.withDefaults(), held: make(map[inos.ChunkID][]byte), trashed: make(map[inos.ChunkID]memoryTrash)}
}

// enter locks the store for one call; the caller unlocks it when enter returns no error.
func (m *Memory) enter(op string) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return inos.Errorf(inos.CodeShuttingDown, op, "the content store is closed")
	}
	return nil
}

// Put implements inos.Content.
func (m *Memory) Put(ctx context.Context, id inos.ChunkID, stored []byte) (existed bool, err error) {
	const op = "put chunk"
	if ctx.Err() != nil {
		return false, contextError(op, ctx)
	}
	if err := checkStored(op, id, stored); err != nil {
		return false, err
	}
	if err := m.enter(op); err != nil {
		return false, err
	}
	defer m.mu.Unlock()
	size := int64(len(stored))
	if old, ok := m.held[id]; ok {
		if slices.Equal(old, stored) {
			return true, nil
		}
		m.setAside(id)
	}
	if t, ok := m.trashed[id]; ok {
		delete(m.trashed, id)
		m.usage.TrashBytes -= int64(len(t.stored))
		existed = slices.Equal(t.stored, stored)
	}
	if !existed && size > m.free() {
		return false, inos.Errorf(inos.CodeDiskFull, op, "%d bytes do not fit: %d are free", size, max(m.free(), 0))
	}
	m.held[id] = slices.Clone(stored)
	m.usage.Chunks++
	m.usage.UsedBytes += size
	return existed, nil
}

func (m *Memory) free() int64 {
	return m.options.CapacityBytes - m.usage.UsedBytes - m.usage.TrashBytes
}

func (m *Memory) setAside(id inos.ChunkID) {
	m.usage.Chunks--
	m.usage.UsedBytes -= int64(len(m.held[id]))
	delete(m.held, id)
}

// Get implements inos.Content.
func (m *Memory) Get(ctx context.Context, id inos.ChunkID, dst []byte) ([]byte, error) {
	const op = "get chunk"
	if ctx.Err() != nil {
		return dst, contextError(op, ctx)
	}
	if err := m.enter(op); err != nil {
		return dst, err
	}
	defer m.mu.Unlock()
	stored, ok := m.held[id]
	if !ok {
		return dst, notFound(op, id)
	}
	if blake3.Sum256(stored) != id {
		m.setAside(id)
		return dst, corruptError(op, id)
	}
	return append(dst, stored...), nil
}

// Missing implements inos.Content.
func (m *Memory) Missing(ctx context.Context, ids []inos.ChunkID) (missing []inos.ChunkID, err error) {
	const op = "look for chunks"
	if ctx.Err() != nil {
		return nil, contextError(op, ctx)
	}
	if err := m.enter(op); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	for _, id := range ids {
		if _, ok := m.held[id]; !ok {
			missing = append(missing, id)
		}
	}
	return missing, nil
}

// Trash implements inos.Content.
func (m *Memory) Trash(ctx context.Context, ids []inos.ChunkID) (chunks int, bytes int64, err error) {
	const op = "trash chunks"
	if ctx.Err() != nil {
		return 0, 0, contextError(op, ctx)
	}
	if err := m.enter(op); err != nil {
		return 0, 0, err
	}
	defer m.mu.Unlock()
	for _, id := range ids {
		stored, ok := m.held[id]
		if !ok {
			continue
		}
		m.setAside(id)
		m.trashed[id] = memoryTrash{stored, m.options.Now()}
		m.usage.TrashBytes += int64(len(stored))
		chunks, bytes = chunks+1, bytes+int64(len(stored))
	}
	return chunks, bytes, nil
}

// EmptyTrash implements inos.Content.
func (m *Memory) EmptyTrash(ctx context.Context, before inos.Micros, limit int) (chunks int, bytes int64, err error) {
	const op = "empty trash"
	if limit, err = checkPage(op, ctx, limit); err != nil {
		return 0, 0, err
	}
	if err := m.enter(op); err != nil {
		return 0, 0, err
	}
	defer m.mu.Unlock()
	for id, t := range m.trashed {
		if t.at < before && chunks < limit {
			delete(m.trashed, id)
			chunks, bytes = chunks+1, bytes+int64(len(t.stored))
		}
	}
	m.usage.TrashBytes -= bytes
	return chunks, bytes, nil
}

// Inventory implements inos.Content.
func (m *Memory) Inventory(ctx context.Context, after inos.ChunkID, limit int) (ids []inos.ChunkID, end bool, err error) {
	const op = "list chunks"
	if limit, err = checkPage(op, ctx, limit); err != nil {
		return nil, false, err
	}
	if err := m.enter(op); err != nil {
		return nil, false, err
	}
	defer m.mu.Unlock()
	ids, end = m.page(after, limit)
	return ids, end, nil
}

func (m *Memory) page(after inos.ChunkID, limit int) (ids []inos.ChunkID, end bool) {
	for id := range m.held {
		if compareIDs(id, after) > 0 {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, compareIDs)
	if len(ids) > limit {
		return ids[:limit], false
	}
	return ids, true
}

// Scrub implements inos.Content.
func (m *Memory) Scrub(ctx context.Context, after inos.ChunkID, limit int) (inos.Scrubbed, error) {
	const op = "scrub"
	page := inos.Scrubbed{Next: after}
	limit, err := checkPage(op, ctx, limit)
	if err != nil {
		return page, err
	}
	if err := m.enter(op); err != nil {
		return page, err
	}
	defer m.mu.Unlock()
	ids, end := m.page(after, limit)
	for _, id := range ids {
		page.Next = id
		page.Chunks++
		if blake3.Sum256(m.held[id]) != id {
			page.Bad = append(page.Bad, id)
			m.setAside(id)
			continue
		}
		page.Bytes += int64(len(m.held[id]))
	}
	page.End = end
	return page, nil
}

// Usage implements inos.Content.
func (m *Memory) Usage() inos.Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.usage
	u.FreeBytes = max(m.free(), 0)
	return u
}

// Corrupt changes a bit of a held chunk, for tests of those who read; it says whether the chunk is held. A damaged one
// stays as it is.
func (m *Memory) Corrupt(id inos.ChunkID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	stored, ok := m.held[id]
	if len(stored) > 0 && blake3.Sum256(stored) == id {
		m.held[id] = slices.Clone(stored)
		m.held[id][len(stored)/2] ^= 1
	}
	return ok
}

// Close implements inos.Content.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
