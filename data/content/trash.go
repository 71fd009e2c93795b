package content

import (
	"context"
	"slices"

	"github.com/inos-mesh/inos"
)

// Trash implements inos.Content. It returns when the moves are on stable storage. On an error it returns what it moved
// before; calling again with the same ids moves the rest.
func (s *Store) Trash(ctx context.Context, ids []inos.ChunkID) (chunks int, bytes int64, err error) {
	const op = "trash chunks"
	if ctx.Err() != nil {
		return 0, 0, contextError(op, ctx)
	}
	if err := s.enter(op); err != nil {
		return 0, 0, err
	}
	defer s.leave()
	ids = slices.Clone(ids)
	slices.SortFunc(ids, compareIDs) // the order of locks
	ids = slices.Compact(ids)
	for batch := range slices.Chunk(ids, TrashBatchChunks) {
		n, b, err := s.trashBatch(op, ctx, batch)
		chunks, bytes = chunks+n, bytes+b
		if err != nil {
			return chunks, bytes, err
		}
	}
	return chunks, bytes, nil
}

// trashMove is a chunk that has both names.
type trashMove struct {
	id    inos.ChunkID
	bytes int64
}

// trashBatch moves chunks in steps that a crash may interrupt anywhere: second names, sync, first names gone, sync.
func (s *Store) trashBatch(op string, ctx context.Context, ids []inos.ChunkID) (chunks int, bytes int64, err error) {
	for i, id := range ids {
		if err := s.locks.lock(ctx, id); err != nil {
			for _, locked := range ids[:i] {
				s.locks.unlock(locked)
			}
			return 0, 0, err
		}
	}
	defer func() {
		for _, id := range ids {
			s.locks.unlock(id)
		}
	}()

	now := s.options.Now()
	var moves []trashMove
	linked := make(map[int]bool)
	for _, id := range ids {
		move, found, linkErr := s.trashLink(id, now)
		if linkErr != nil {
			err = linkErr
			break
		}
		if found {
			moves = append(moves, move)
			linked[s.layout.shard(id)] = true
		}
	}
	for shard := range s.layout.shards() {
		if err == nil && linked[shard] {
			err = s.syncTrash(shard, SiteTrashDir)
		}
	}
	if err != nil {
		for _, move := range moves {
			s.dirtyTrash(move.id)
			s.unlink(s.layout.trashed(move.id), s.layout.chunk(move.id))
		}
		return 0, 0, ioError(op, err)
	}
	for _, move := range moves {
		if removeErr := s.files.Remove(s.layout.chunk(move.id)); removeErr != nil && !missing(removeErr) {
			err = removeErr
			s.dirtyTrash(move.id)
			s.unlink(s.layout.trashed(move.id), s.layout.chunk(move.id))
			continue
		}
		s.count(-1, -move.bytes, 1, move.bytes)
		chunks, bytes = chunks+1, bytes+move.bytes
	}
	for shard := range s.layout.shards() {
		if linked[shard] {
			if syncErr := s.syncChunks(shard, SiteTrashSource); syncErr != nil {
				err = syncErr
			}
		}
	}
	if err != nil {
		return chunks, bytes, ioError(op, err)
	}
	return chunks, bytes, nil
}

// trashLink gives a held chunk its time and its name in the trash.
func (s *Store) trashLink(id inos.ChunkID, now inos.Micros) (move trashMove, found bool, err error) {
	held, trashed := s.layout.chunk(id), s.layout.trashed(id)
	st, err := s.files.Stat(held)
	if missing(err) {
		return move, false, nil
	}
	if err != nil {
		return move, false, err
	}
	// A restore may have failed to remove the name in the trash.
	if old, err := s.files.Stat(trashed); err == nil {
		s.dirtyTrash(id)
		if err := s.files.Remove(trashed); err != nil {
			return move, false, err
		}
		s.count(0, 0, -1, -old.Bytes)
	} else if !missing(err) {
		return move, false, err
	}
	if err := s.setTime(held, now); err != nil {
		return move, false, err
	}
	if err := s.link(held, trashed); err != nil {
		return move, false, err
	}
	// After the link: a scan of the shard that ends in between has seen the file.
	s.mu.Lock()
	shard := s.layout.shard(id)
	s.trashOldest[shard] = min(s.trashOldest[shard], now)
	s.mu.Unlock()
	return trashMove{id, st.Bytes}, true, nil
}

// setTime makes the time of a trashed chunk durable: an older one would let it go too early.
func (s *Store) setTime(path string, now inos.Micros) error {
	if err := s.files.SetTime(path, now); err != nil {
		return err
	}
	f, err := s.files.Open(path, false)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync(SiteTrashTime)
}

// EmptyTrash implements inos.Content. The removals are synced at Close: a crash may bring a chunk back to the trash.
// It reads only shards that may hold something old enough, and goes on where the last call stopped.
func (s *Store) EmptyTrash(ctx context.Context, before inos.Micros, limit int) (chunks int, bytes int64, err error) {
	const op = "empty trash"
	if limit, err = checkPage(op, ctx, limit); err != nil {
		return 0, 0, err
	}
	if err := s.enter(op); err != nil {
		return 0, 0, err
	}
	defer s.leave()
	s.mu.Lock()
	first := s.trashCursor
	s.mu.Unlock()
	for i := range s.layout.shards() {
		shard := (first + i) % s.layout.shards()
		n, b, err := s.emptyShard(op, ctx, shard, before, limit-chunks)
		chunks, bytes = chunks+n, bytes+b
		if err != nil || chunks == limit {
			s.mu.Lock()
			s.trashCursor = shard
			s.mu.Unlock()
			return chunks, bytes, err
		}
	}
	return chunks, bytes, nil
}

// emptyShard removes at most limit old chunks from one shard of the trash.
func (s *Store) emptyShard(op string, ctx context.Context, shard int, before inos.Micros, limit int) (chunks int, bytes int64, err error) {
	s.mu.Lock()
	known := s.trashOldest[shard]
	if known >= before {
		s.mu.Unlock()
		return 0, 0, nil
	}
	s.trashOldest[shard] = never // lowered by each Trash from here on
	s.mu.Unlock()

	var old []inos.ChunkID
	oldest := never // of what stays
	err = s.eachChunk(s.layout.trashDir(shard), shard, func(id inos.ChunkID, _ string, st FileStat) error {
		if st.Modified < before && len(old) < limit {
			old = append(old, id)
		} else {
			oldest = min(oldest, st.Modified)
		}
		return nil
	})
	if err == nil {
		for _, id := range old {
			var n int64
			if n, err = s.emptyOne(ctx, id, before); err != nil {
				break
			} else if n >= 0 {
				chunks, bytes = chunks+1, bytes+n
			}
		}
	}
	if err != nil {
		oldest, err = 0, ioError(op, err)
	}
	s.mu.Lock()
	s.trashOldest[shard] = min(s.trashOldest[shard], oldest)
	s.mu.Unlock()
	return chunks, bytes, err
}

// emptyOne removes one chunk from the trash unless it came back or was trashed again meanwhile; then it returns -1.
func (s *Store) emptyOne(ctx context.Context, id inos.ChunkID, before inos.Micros) (int64, error) {
	if err := s.locks.lock(ctx, id); err != nil {
		return -1, err
	}
	defer s.locks.unlock(id)
	path := s.layout.trashed(id)
	st, err := s.files.Stat(path)
	if missing(err) || err == nil && st.Modified >= before {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	s.dirtyTrash(id)
	if err := s.files.Remove(path); err != nil {
		return -1, err
	}
	s.count(0, 0, -1, -st.Bytes)
	return st.Bytes, nil
}
