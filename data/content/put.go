package content

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/inos-mesh/inos"
)

// Put implements inos.Content. A chunk that is held already is compared with the bytes at hand, so that an
// acknowledgement always stands for bytes that can be read.
func (s *Store) Put(ctx context.Context, id inos.ChunkID, stored []byte) (existed bool, err error) {
	const op = "put chunk"
	if ctx.Err() != nil {
		return false, contextError(op, ctx)
	}
	if err := checkStored(op, id, stored); err != nil {
		return false, err
	}
	if err := s.enter(op); err != nil {
		return false, err
	}
	defer s.leave()
	if err := s.locks.lock(ctx, id); err != nil {
		return false, err
	}
	defer s.locks.unlock(id)

	if held, err := s.holds(id, stored); err != nil {
		return false, ioError(op, err)
	} else if held {
		return true, nil
	}
	if back, err := s.restore(id, stored); err != nil {
		return false, ioError(op, err)
	} else if back {
		return true, nil
	}
	if err := s.admit(op, int64(len(stored))); err != nil {
		return false, err
	}
	defer s.done(int64(len(stored)))
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return false, contextError(op, ctx)
	}
	if err := s.write(id, stored); err != nil {
		return false, ioError(op, err)
	}
	s.count(1, int64(len(stored)), 0, 0)
	return false, nil
}

// checkStored refuses bytes that are not the chunk.
func checkStored(op string, id inos.ChunkID, stored []byte) error {
	if len(stored) > inos.StoredBytesMax {
		return inos.Errorf(inos.CodeBadRequest, op, "%s has %d bytes, a stored chunk has at most %d", id, len(stored), inos.StoredBytesMax)
	}
	if sum := Sum(stored); sum != id {
		return inos.Errorf(inos.CodeChunkCorrupt, op, "%d bytes for %s hash to %s", len(stored), id, inos.ChunkID(sum))
	}
	return nil
}

// write brings a new chunk to stable storage: bytes, then name. On failure it leaves nothing behind.
func (s *Store) write(id inos.ChunkID, stored []byte) error {
	temp := s.layout.temp(s.temps.Add(1))
	if err := writeFile(s.files, temp, stored, SitePutFile); err != nil {
		return err
	}
	if err := s.files.Rename(temp, s.layout.chunk(id)); err != nil {
		if removeErr := s.files.Remove(temp); removeErr != nil {
			return fmt.Errorf("%w; and its temporary file stays: %w", err, removeErr)
		}
		return err
	}
	if err := s.syncChunks(s.layout.shard(id), SitePutDir); err != nil {
		s.removeChunkName(id)
		return err
	}
	return nil
}

// holds says whether the chunk is held with these bytes. A file that has others, or that the disk cannot read, is set
// aside, because a good copy is at hand. The caller holds the chunk's lock.
func (s *Store) holds(id inos.ChunkID, stored []byte) (bool, error) {
	equal, err := s.compare(s.layout.chunk(id), stored)
	switch {
	case equal:
		return true, nil
	case missing(err):
		return false, nil
	case err != nil && inos.CodeOf(ioError("", err)) != inos.CodeIO:
		return false, err
	}
	s.doubt() // when its length has changed, an Open after a crash has counted another than this
	return false, s.setAside(id, int64(len(stored)))
}

// restore brings a chunk back from the trash when its bytes are right there, and removes it from the trash when they
// are not. The caller holds the chunk's lock.
func (s *Store) restore(id inos.ChunkID, stored []byte) (bool, error) {
	trashed, size := s.layout.trashed(id), int64(len(stored))
	equal, err := s.compare(trashed, stored)
	switch {
	case equal:
	case missing(err):
		return false, nil
	case err != nil && inos.CodeOf(ioError("", err)) != inos.CodeIO:
		return false, err
	default:
		s.doubt() // as in holds
		s.dirtyTrash(id)
		if err := s.files.Remove(trashed); err != nil {
			return false, err
		}
		s.count(0, 0, -1, -size)
		return false, nil
	}
	if err := s.link(trashed, s.layout.chunk(id)); err != nil {
		return false, err
	}
	if err := s.syncChunks(s.layout.shard(id), SiteRestoreDir); err != nil {
		s.unlink(s.layout.chunk(id), trashed)
		s.dirtyChunks(id)
		return false, err
	}
	s.count(1, size, 0, 0)
	s.dirtyTrash(id)
	// When the removal fails, the other name is a file in the trash like any: EmptyTrash removes it.
	if err := s.files.Remove(trashed); err == nil || missing(err) {
		s.count(0, 0, -1, -size)
	}
	return true, nil
}

// link gives a file a second name in another folder, so that a crash between two folders' syncs can leave both names but
// never none. Where the file system has no links it renames, and relies on the journal for the same.
func (s *Store) link(from, to string) error {
	err := s.files.Link(from, to)
	if errors.Is(err, errors.ErrUnsupported) {
		return s.files.Rename(from, to)
	}
	return err
}

// unlink takes back a link whose sync failed: to goes, from stays.
func (s *Store) unlink(to, from string) {
	_, err := s.files.Stat(from)
	if err == nil {
		err = s.files.Remove(to)
	} else if missing(err) {
		err = s.files.Rename(to, from) // link renamed it
	}
	if err != nil {
		s.doubt()
	}
}

// compareBuffers are what compare reads into.
var compareBuffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// compare says whether a file has exactly the bytes.
func (s *Store) compare(path string, stored []byte) (equal bool, err error) {
	f, err := s.files.Open(path, false)
	if err != nil {
		return false, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return false, err
	}
	if st.Bytes != int64(len(stored)) {
		return false, nil
	}
	buffer := compareBuffers.Get().(*[]byte)
	defer compareBuffers.Put(buffer)
	for len(stored) > 0 {
		b := (*buffer)[:min(len(*buffer), len(stored))]
		if _, err := io.ReadFull(f, b); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		if !bytes.Equal(b, stored[:len(b)]) {
			return false, nil
		}
		stored = stored[len(b):]
	}
	return true, nil
}
