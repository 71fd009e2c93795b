package content

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/inos-mesh/inos"
)

// Bounds of a store.
const (
	// ReserveBytesDefault is kept free on the file system, or a hundredth of it when that is less, but ReserveBytesMin
	// at least: the node's databases have to write what frees space.
	ReserveBytesDefault = 256 << 20
	ReserveBytesMin     = 48 << 20
	// FlushesMax bounds the Puts that write and sync at the same time; others wait.
	FlushesMax = 32
	// TrashBatchChunks is how many chunks Trash locks, moves and syncs together.
	TrashBatchChunks = 64
	// PageChunksMax bounds the limit of Inventory, Scrub and EmptyTrash; a larger limit is cut to it.
	PageChunksMax = 1 << 16
	// CorruptChunksMax is how many chunks set aside are kept for a look; the oldest go first.
	CorruptChunksMax = 64
)

// Options changes how a store works; the zero value suits a node.
type Options struct {
	// ReserveBytes is kept free on the file system; 0 is ReserveBytesDefault or 1 %, the smaller one, but ReserveBytesMin at least; below 0 is none.
	ReserveBytes int64
	// CapacityBytes bounds the sum of held and trashed bytes; 0 is no bound but the disk.
	CapacityBytes int64
	// Now reads the clock; nil is the system's.
	Now func() inos.Micros
	// Files is the file layer; nil is the operating system's.
	Files FileLayer

	shardBits uint // 0: shardBitsDefault
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = func() inos.Micros { return inos.Micros(time.Now().UnixMicro()) }
	}
	if o.Files == nil {
		o.Files = OSFiles{}
	}
	if o.shardBits == 0 {
		o.shardBits = shardBitsDefault
	}
	if o.CapacityBytes <= 0 {
		o.CapacityBytes = math.MaxInt64
	}
	return o
}

// Store keeps chunks in a folder, one file per chunk. It implements inos.Content.
type Store struct {
	layout  layout
	files   FileLayer
	options Options
	reserve int64
	unclean bool
	temps   atomic.Uint64 // names of temporary files
	locks   keyLocks
	slots   chan struct{} // FlushesMax

	chunkSyncs []*dirSync // by shard
	trashSyncs []*dirSync

	gate   sync.RWMutex // read-held by each call, held by Close; guards closed
	closed bool

	mu           sync.Mutex // guards all below; never held over a call of the file layer, Free apart
	counts       state      // the counters of it; exact between calls
	pendingBytes int64      // of Puts that have been admitted and not yet counted
	chunkDirty   []bool     // by shard: entries removed and not synced
	trashDirty   []bool
	trashOldest  []inos.Micros // by shard: nothing in it was trashed before
	trashCursor  int           // the shard where EmptyTrash goes on
	suspect      bool          // the counters may be wrong; Close then leaves the count to the next Open
	corrupt      []string      // names in the folder for chunks set aside, oldest first
}

var _ inos.Content = (*Store)(nil)

// enter holds the store open for one call; leave ends it.
func (s *Store) enter(op string) error {
	s.gate.RLock()
	if s.closed {
		s.gate.RUnlock()
		return inos.Errorf(inos.CodeShuttingDown, op, "the content store is closed")
	}
	return nil
}

func (s *Store) leave() { s.gate.RUnlock() }

// Usage returns exact counters and the free space of the file system, less the reserve and within CapacityBytes. A file
// system that does not answer has no free space.
func (s *Store) Usage() inos.Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	free, err := s.freeLocked()
	if err != nil {
		free = 0
	}
	return inos.Usage{
		Chunks:     s.counts.chunks,
		UsedBytes:  max(s.counts.usedBytes, 0), // below 0 they are in doubt
		TrashBytes: max(s.counts.trashBytes, 0),
		FreeBytes:  max(free, 0),
		Unclean:    s.unclean,
	}
}

// freeLocked returns what Puts may still write: what is free, less what admitted Puts are about to write. A Put whose
// bytes are in the file system already counts twice until it is counted; that errs on the safe side, by at most
// FlushesMax chunks.
func (s *Store) freeLocked() (int64, error) {
	free, _, err := s.files.Free(s.layout.dir)
	if err != nil {
		return 0, err
	}
	offered := s.options.CapacityBytes - max(s.counts.usedBytes, 0) - max(s.counts.trashBytes, 0)
	return min(free-s.reserve, offered) - s.pendingBytes, nil
}

// admit reserves space for a Put, or refuses it before the file system is full; done returns it.
func (s *Store) admit(op string, bytes int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	free, err := s.freeLocked()
	if err != nil {
		return ioError(op, err)
	}
	if bytes > free {
		return inos.Errorf(inos.CodeDiskFull, op, "%d bytes do not fit: %d are free in %s beyond the reserve of %d",
			bytes, max(free, 0), s.layout.dir, s.reserve)
	}
	s.pendingBytes += bytes
	return nil
}

func (s *Store) done(bytes int64) {
	s.mu.Lock()
	s.pendingBytes -= bytes
	s.mu.Unlock()
}

// count changes the counters; its arguments may be negative.
func (s *Store) count(chunks, usedBytes, trashChunks, trashBytes int64) {
	s.mu.Lock()
	s.counts.chunks += chunks
	s.counts.usedBytes += usedBytes
	s.counts.trashChunks += trashChunks
	s.counts.trashBytes += trashBytes
	s.mu.Unlock()
}

// doubt notes that the disk may differ from the counters: a cleanup failed, or a bad file's length may not be the one that
// was counted. The next Open counts again.
func (s *Store) doubt() {
	s.mu.Lock()
	s.suspect = true
	s.mu.Unlock()
}

// removeChunkName removes a name of a chunk that must not stay. Its folder is synced at Close.
func (s *Store) removeChunkName(id inos.ChunkID) {
	s.dirtyChunks(id)
	if err := s.files.Remove(s.layout.chunk(id)); err != nil && !missing(err) {
		s.doubt()
	}
}

func (s *Store) dirtyChunks(id inos.ChunkID) {
	s.mu.Lock()
	s.chunkDirty[s.layout.shard(id)] = true
	s.mu.Unlock()
}

func (s *Store) dirtyTrash(id inos.ChunkID) {
	s.mu.Lock()
	s.trashDirty[s.layout.shard(id)] = true
	s.mu.Unlock()
}

func (s *Store) syncChunks(shard int, site Site) error {
	return s.chunkSyncs[shard].sync(func() error { return s.files.SyncDir(s.layout.chunkDir(shard), site) })
}

func (s *Store) syncTrash(shard int, site Site) error {
	return s.trashSyncs[shard].sync(func() error { return s.files.SyncDir(s.layout.trashDir(shard), site) })
}

// Close waits for the calls under way and writes the counters, so that the next Open need not walk; it leaves them out
// when a cleanup failed or a chunk was set aside. A second Close does nothing. When Close fails, no chunk is lost: the
// next Open takes the folder for one left by a crash.
func (s *Store) Close() error {
	const op = "close content"
	s.gate.Lock()
	defer s.gate.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.suspect {
		return nil // the state file says "in use"
	}
	for shard := range s.layout.shards() {
		if s.chunkDirty[shard] {
			if err := s.syncChunks(shard, SiteClose); err != nil {
				return ioError(op, err)
			}
		}
		if s.trashDirty[shard] {
			if err := s.syncTrash(shard, SiteClose); err != nil {
				return ioError(op, err)
			}
		}
	}
	s.counts.clean = true
	if err := writeState(s.files, s.layout, s.counts); err != nil {
		return ioError(op, err)
	}
	return nil
}

// checkPage refuses a limit that would never end a paged loop and cuts one that is too large.
func checkPage(op string, ctx context.Context, limit int) (int, error) {
	if ctx.Err() != nil {
		return 0, contextError(op, ctx)
	}
	if limit < 1 {
		return 0, inos.Errorf(inos.CodeBadRequest, op, "the limit is %d, it must be at least 1", limit)
	}
	return min(limit, PageChunksMax), nil
}
