package host

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/content"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// streams are the clients' bodies: sources that puts read and sinks that gets write, known to the kernel by number.
type streams struct {
	mu   sync.Mutex // guards the fields below
	next uint64
	open map[uint64]*stream
}

// stream is one body. The kernel has at most one read or write of it under way.
type stream struct {
	number uint64
	r      io.Reader
	w      io.Writer

	mu     sync.Mutex // held while the body is used; guards closed
	closed bool
}

func newStreams() *streams { return &streams{open: map[uint64]*stream{}} }

func (s *streams) add(r io.Reader, w io.Writer) (number uint64, release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	st := &stream{number: s.next, r: r, w: w}
	s.open[st.number] = st
	return st.number, func() {
		s.mu.Lock()
		delete(s.open, st.number)
		s.mu.Unlock()
		st.mu.Lock() // waits for the use under way
		st.closed = true
		st.mu.Unlock()
	}
}

func (s *streams) find(number uint64) (*stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.open[number]
	if !ok {
		return nil, inos.Errorf(inos.CodeCanceled, "find stream", "stream %d is closed: the client went away", number)
	}
	return st, nil
}

// performStreamRead reads the next chunk of a body into a buffer and hashes it. Bytes that do not compress get their stored form here: it
// is the bytes behind a head, for which room is left in front of them.
func (l *loop) performStreamRead(_ context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.StreamReadRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	head, most := inos.RawHeadBytes, uint32(inos.ChunkBytesMax)
	if q.RawOutput == 0 {
		head, most = 0, inos.StoredBytesMax // a stored form fills the slab
	}
	if q.MaxBytes == 0 || q.MaxBytes > most {
		return nil, inos.Errorf(inos.CodeInternal, "stream:read", "%d bytes asked, 1 to %d are read at once", q.MaxBytes, most)
	}
	st, err := l.node.streams.find(q.Stream)
	if err != nil {
		return nil, err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed || st.r == nil {
		return nil, inos.Errorf(inos.CodeCanceled, "stream:read", "stream %d is closed: the client went away", q.Stream)
	}
	slab := l.node.buffers.slab()[:head]
	data := slab[head:]
	end, err := fill(st.r, &data, int(q.MaxBytes))
	if err != nil {
		l.node.buffers.recycle(slab)
		return nil, err
	}
	slab = slab[:head+len(data)]
	r := &eventpb.StreamReadReply{Bytes: uint32(len(data)), End: end}
	var entry inos.Entry
	raw := q.RawOutput != 0 && len(data) > 0 && q.OffsetBytes%inos.ChunkBytesMax == 0 && !compressible(data)
	if raw {
		entry, err = rawEntry(slab, q.OffsetBytes)
	}
	if err != nil {
		l.node.buffers.recycle(slab)
		return nil, err
	}
	if !raw {
		sum := content.Sum(data)
		r.PlainHash = sum[:]
		l.node.buffers.putIn(slab, q.Output, head, 0)
		return r, nil
	}
	r.PlainHash, r.RawEntry = entry.PlainHash[:], inos.AppendEntry(nil, &entry)
	l.node.buffers.putIn(slab, q.Output, inos.RawHeadBytes, q.RawOutput)
	return r, nil
}

// fill reads until data has limit bytes or the body ends.
func fill(r io.Reader, data *[]byte, limit int) (end bool, err error) {
	for empty := 0; len(*data) < limit; {
		count, err := r.Read((*data)[len(*data):limit])
		*data = (*data)[:len(*data)+count]
		var coded *inos.Error
		switch {
		case err == nil && count == 0:
			if empty++; empty == 100 {
				return false, inos.Errorf(inos.CodeIO, "read body", "%w", io.ErrNoProgress)
			}
		case err == nil:
			empty = 0
		case errors.Is(err, io.EOF):
			return true, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return false, inos.Errorf(inos.CodeBodyTruncated, "read body", "the connection ended before the body did")
		case errors.As(err, &coded):
			return false, coded
		default:
			return false, inos.Errorf(inos.CodeCanceled, "read body", "%w", err)
		}
	}
	return false, nil
}

// performStreamWrite writes part of a buffer, or a few bytes of framing, to a client.
func (l *loop) performStreamWrite(_ context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.StreamWriteRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	data := q.Bytes
	if q.Input != 0 {
		buffer, err := l.node.buffers.get(q.Input)
		if err != nil {
			return nil, err
		}
		if uint64(q.Offset)+uint64(q.Length) > uint64(len(buffer)) {
			return nil, inos.Errorf(inos.CodeInternal, "stream:write", "bytes %d to %d of a buffer of %d", q.Offset, q.Offset+q.Length, len(buffer))
		}
		data = buffer[q.Offset : q.Offset+q.Length]
	}
	st, err := l.node.streams.find(q.Stream)
	if err != nil {
		return nil, err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed || st.w == nil {
		return nil, inos.Errorf(inos.CodeCanceled, "stream:write", "stream %d is closed: the client went away", q.Stream)
	}
	if _, err := st.w.Write(data); err != nil {
		return nil, inos.Errorf(inos.CodeCanceled, "stream:write", "%w", err)
	}
	return &eventpb.StreamWriteReply{}, nil
}
