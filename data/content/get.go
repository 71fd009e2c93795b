package content

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"

	"github.com/inos-mesh/inos"
)

// Get implements inos.Content. It takes no lock: a chunk that is trashed meanwhile is still read to its end. On an error
// dst comes back as it was.
func (s *Store) Get(ctx context.Context, id inos.ChunkID, dst []byte) ([]byte, error) {
	const op = "get chunk"
	if ctx.Err() != nil {
		return dst, contextError(op, ctx)
	}
	if err := s.enter(op); err != nil {
		return dst, err
	}
	defer s.leave()
	out, good, err := s.read(id, dst, false)
	if err != nil {
		return dst, err
	}
	if good {
		return out, nil
	}
	out, good, err = s.judge(ctx, id, dst, false)
	if err != nil {
		return dst, err
	}
	if !good {
		return dst, corruptError(op, id)
	}
	return out, nil
}

func corruptError(op string, id inos.ChunkID) error {
	return inos.Errorf(inos.CodeChunkCorrupt, op, "the bytes of %s changed on disk; they were set aside", id)
}

// read appends a chunk's bytes to dst and says whether they are what the id names.
func (s *Store) read(id inos.ChunkID, dst []byte, fresh bool) (out []byte, good bool, err error) {
	const op = "read chunk"
	f, err := s.files.Open(s.layout.chunk(id), fresh)
	if missing(err) {
		return dst, false, notFound(op, id)
	}
	if err != nil {
		return dst, false, ioError(op, err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return dst, false, ioError(op, err)
	}
	if st.Bytes > inos.StoredBytesMax {
		return dst, false, nil
	}
	out = slices.Grow(dst, int(st.Bytes))[:len(dst)+int(st.Bytes)]
	if _, err := io.ReadFull(f, out[len(dst):]); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return dst, false, nil
	} else if err != nil {
		return dst, false, ioError(op, err)
	}
	return out, Sum(out[len(dst):]) == id, nil
}

// judge reads a chunk that looked bad once more, under its lock, because a Put may have replaced it; when it is bad it
// is set aside.
func (s *Store) judge(ctx context.Context, id inos.ChunkID, dst []byte, fresh bool) (out []byte, good bool, err error) {
	if err := s.locks.lock(ctx, id); err != nil {
		return dst, false, err
	}
	defer s.locks.unlock(id)
	if out, good, err = s.read(id, dst, fresh); err != nil || good {
		return out, good, err
	}
	st, err := s.files.Stat(s.layout.chunk(id))
	if err == nil {
		s.doubt() // its length may have changed too, and the true one is not known
		err = s.setAside(id, st.Bytes)
	}
	if err != nil {
		return dst, false, inos.Errorf(inos.CodeChunkCorrupt, "set chunk aside", "the bytes of %s changed on disk, and moving them failed: %w", id, err)
	}
	return dst, false, nil
}

// setAside moves a bad chunk out of service, for a look; the caller holds the chunk's lock. The move is not synced: a
// crash brings the chunk back, and the next read finds it out again.
func (s *Store) setAside(id inos.ChunkID, bytes int64) error {
	name := s.layout.corrupt(id, s.options.Now())
	s.dirtyChunks(id)
	if err := s.files.Rename(s.layout.chunk(id), s.layout.in(corruptName, name)); err != nil {
		return err
	}
	s.count(-1, -bytes, 0, 0)
	s.mu.Lock()
	var oldest string
	if at, found := slices.BinarySearch(s.corrupt, name); !found {
		s.corrupt = slices.Insert(s.corrupt, at, name)
	}
	if len(s.corrupt) > CorruptChunksMax {
		oldest = s.corrupt[0]
		s.corrupt = s.corrupt[1:]
	}
	s.mu.Unlock()
	if oldest != "" {
		_ = s.files.Remove(filepath.Join(s.layout.in(corruptName), oldest)) // else the next Open removes it
	}
	return nil
}

// Scrub implements inos.Content. It reads from the medium, past the page cache, where the system can. A chunk that
// cannot be read at all ends the page with CodeIO and is not set aside, since the fault may pass; Next then lies behind
// that chunk, so that the scrub can go on. The caller throttles by its limit and its pauses.
func (s *Store) Scrub(ctx context.Context, after inos.ChunkID, limit int) (inos.Scrubbed, error) {
	const op = "scrub"
	page := inos.Scrubbed{Next: after}
	limit, err := checkPage(op, ctx, limit)
	if err != nil {
		return page, err
	}
	if err := s.enter(op); err != nil {
		return page, err
	}
	defer s.leave()
	ids, end, err := s.page(op, ctx, after, limit)
	if err != nil {
		return page, err
	}
	var buffer []byte
	for _, id := range ids {
		if ctx.Err() != nil {
			return page, contextError(op, ctx)
		}
		page.Next = id
		out, good, err := s.read(id, buffer[:0], true)
		if err == nil && !good {
			out, good, err = s.judge(ctx, id, buffer[:0], true)
		}
		switch {
		case inos.CodeOf(err) == inos.CodeChunkNotFound:
			continue // trashed since it was listed
		case err != nil && inos.CodeOf(err) != inos.CodeChunkCorrupt:
			return page, err
		}
		page.Chunks++
		if !good {
			page.Bad = append(page.Bad, id)
			continue
		}
		page.Bytes += int64(len(out))
		buffer = out
	}
	page.End = end
	return page, nil
}
