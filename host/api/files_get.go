package api

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// plainTag and encodedTag are the entity tags of a file's two representations: plain bytes, and the br stream of its
// stored chunks, which changes when an encoder does.
func plainTag(f *File) string   { return `"` + f.FileID + `"` }
func encodedTag(f *File) string { return `"` + f.ManifestID + `-br"` }

// encodedFraming is what the br stream of a file has beside its stored chunks: 6b 00 before and 03 behind.
const encodedFraming = 3

// selection is the representation that a get answers with.
type selection struct {
	encoded bool
	parts   []span     // of the plain bytes; none: all of them
	framing *multipart // of several parts
	file    *File      // the file it was chosen for; nil when no choice depended on it
}

// get answers with a file: GET /v1/files/{path} and /v1/blobs/{fileid}; plain bytes, ranges of them, or, for who
// accepts br, the stored chunks as one br stream. A failure behind the header aborts the connection.
func (x *exchange) get(t target) error {
	id := newID(x.h.now()) // of all its ranges: a link counts them as one use
	for range replacedTriesMax {
		s, err := x.choose(t)
		if err != nil || s == nil {
			return err
		}
		replaced, err := x.download(t, id, s)
		if !replaced {
			return err
		}
	}
	return &inos.Error{
		Code: inos.CodeBusy, Op: "files:get", Message: "the file is replaced faster than it can be looked up",
		RetryAfter: inos.Micros(busyRetry.Microseconds()),
	}
}

// head answers like a get of the whole without the bytes: ranges are for GET alone (RFC 9110, 14.2). It reads no chunk.
func (x *exchange) head(t target) error {
	s, err := x.choose(t)
	if err != nil || s == nil {
		return err
	}
	x.setFileHeaders(t, s.file, s)
	x.w.WriteHeader(http.StatusOK)
	return nil
}

// choose selects the representation. It returns nil when the answer is complete without one (304).
func (x *exchange) choose(t target) (*selection, error) {
	header, get := x.r.Header, x.r.Method == http.MethodGet
	x.w.Header().Set("Vary", "Accept-Encoding") // of every answer below, failures too
	accepted := parseCodings(header.Values("Accept-Encoding"))
	var ranges []byteRange
	if get && accepted.plain {
		ranges = parseRanges(header.Values("Range"))
	}
	s := &selection{encoded: accepted.br && ranges == nil} // a range is of the plain bytes
	if !s.encoded && !accepted.plain {
		return nil, inos.Errorf(inos.CodeNotAcceptable, "files:get", "Accept-Encoding %.80q refuses the plain bytes and does not name br",
			strings.Join(header.Values("Accept-Encoding"), ", "))
	}
	if get && ranges == nil && !conditional(header) {
		return s, nil
	}
	f, err := x.lookup(t)
	if err != nil {
		return nil, err
	}
	s.file = f
	if done, err := x.conditions(s); err != nil || done {
		return nil, err
	}
	// A date is too coarse to tell two versions of one second apart, so it never holds (RFC 9110, 8.8.2.2 and 13.1.5).
	if condition := header.Values("If-Range"); ranges == nil || len(condition) > 0 && (len(condition) > 1 || condition[0] != plainTag(f)) {
		return s, nil
	}
	if s.parts, err = resolveRanges(ranges, f.PlainBytes); err != nil {
		x.w.Header().Set("Content-Range", "bytes */"+strconv.FormatUint(f.PlainBytes, 10))
		return nil, err
	}
	if len(s.parts) > 1 {
		s.framing = newMultipart(f.mediaType(), f.PlainBytes)
	}
	return s, nil
}

// download asks the kernel for the bytes and passes them on, part by part. replaced means that nothing was written,
// because the path has another version than the one that was chosen for.
func (x *exchange) download(t target, id string, s *selection) (replaced bool, err error) {
	if len(s.parts) == 0 {
		return x.deliver(t, id, s, 0)
	}
	for i := range s.parts {
		if replaced, err = x.deliver(t, id, s, i); replaced && i > 0 {
			return false, inos.Errorf(inos.CodeConflict, "files:get", "the file was replaced between two ranges")
		}
		if err != nil || replaced {
			return replaced, err
		}
	}
	if s.framing != nil {
		if _, err := io.WriteString(x.w, s.framing.end()); err != nil {
			return false, inos.Errorf(inos.CodeCanceled, "write body", "%w", err)
		}
	}
	return false, nil
}

// deliver writes the part of that index, or all of a selection without parts.
func (x *exchange) deliver(t target, id string, s *selection, index int) (replaced bool, err error) {
	ctx, cancel := context.WithCancel(x.r.Context())
	defer cancel()
	q := &eventpb.FilesGetRequest{LengthBytes: -1, Encoded: s.encoded}
	q.Path, q.FileId = t.fileRequest()
	d := &delivery{x: x, ctx: ctx, opened: make(chan struct{})}
	d.sent.Store(index > 0)
	if len(s.parts) > 0 {
		part := s.parts[index]
		q.OffsetBytes, q.LengthBytes = part.offset, int64(part.length)
		d.partial = true
		if s.framing != nil {
			d.before = s.framing.before(index, part)
		}
	}
	stream, release := x.h.node.Sink(d)
	q.Stream = stream
	announced := func(e *eventpb.Envelope) {
		if d.begun || replaced {
			return
		}
		var header eventpb.FilesGetHeader
		if event.Open(e, &header) != nil {
			return // the end without a header is an error below
		}
		f := fileOf(header.File)
		if s.file != nil && (f.Version != s.file.Version || f.FileID != s.file.FileID) {
			replaced = true
			cancel()
			return
		}
		expected := x.contentBytes(&f, s)
		if len(s.parts) > 0 {
			expected = s.parts[index].length
		}
		if index == 0 {
			x.setFileHeaders(t, &f, s)
		}
		d.begin(expected)
	}
	var reply eventpb.FilesGetReply
	err = x.send(ctx, x.envelope(id, event.FilesGet, q), &reply, announced)
	d.end(err != nil)
	release()
	switch {
	case replaced:
		return true, nil
	case err != nil:
		return false, err
	case !d.begun:
		return false, inos.Errorf(inos.CodeInternal, "files:get", "the kernel ended without announcing the file")
	case d.written != d.expected:
		return false, inos.Errorf(inos.CodeInternal, "files:get", "%d bytes came, %d were announced", d.written, d.expected)
	}
	d.writeHeader() // of an empty file
	return false, nil
}

// contentBytes returns the Content-Length of the selected representation.
func (x *exchange) contentBytes(f *File, s *selection) uint64 {
	switch {
	case s.encoded:
		return f.StoredBytes + encodedFraming
	case s.framing != nil:
		return s.framing.bytes(s.parts)
	case len(s.parts) == 1:
		return s.parts[0].length
	}
	return f.PlainBytes
}

// mediaType returns the Content-Type of a file's bytes.
func (f *File) mediaType() string {
	if f.ContentType == "" {
		return "application/octet-stream"
	}
	return f.ContentType
}

// setFileHeaders describes the selected representation of a file.
func (x *exchange) setFileHeaders(t target, f *File, s *selection) {
	header := x.w.Header()
	name := t.path
	if name == "" {
		name = inos.Path(f.Path)
	}
	header.Set("Content-Type", f.mediaType())
	header.Set("Content-Disposition", disposition(name, f.mediaType()))
	header.Set("Content-Length", strconv.FormatUint(x.contentBytes(f, s), 10))
	header.Set("Last-Modified", f.modified().Format(http.TimeFormat))
	header.Set("Accept-Ranges", "bytes")
	header.Set("Inos-File-Id", f.FileID)
	header.Set("Inos-Version", strconv.FormatUint(f.Version, 10))
	header.Set("ETag", s.tag(f))
	if s.encoded {
		header.Set("Content-Encoding", "br")
	}
	switch {
	case s.framing != nil: // each part has its own Content-Range, the whole must have none (RFC 9110, 15.3.7.2)
		header.Set("Content-Type", "multipart/byteranges; boundary="+s.framing.boundary)
	case len(s.parts) == 1:
		header.Set("Content-Range", s.parts[0].contentRange(f.PlainBytes))
	}
}

// delivery is the sink of a get. Writes wait for the header, and fail when there will be none. The header goes out with
// the first byte, so that a get whose first chunk is bad still answers with an error.
type delivery struct {
	x        *exchange
	ctx      context.Context // of the request
	opened   chan struct{}   // closed when the header is known, or never will be
	begun    bool            // set before opened is closed
	partial  bool
	before   string // goes out before the first byte and does not count
	expected uint64
	written  uint64
	sent     atomic.Bool // a byte was written
}

func (d *delivery) begin(expected uint64) {
	d.begun, d.expected = true, expected
	close(d.opened)
}

// writeHeader writes the header once.
func (d *delivery) writeHeader() {
	switch {
	case d.x.w.status != 0:
	case d.partial:
		d.x.w.WriteHeader(http.StatusPartialContent)
	default:
		d.x.w.WriteHeader(http.StatusOK)
	}
}

// end lets a waiting write go. After a failure it makes a write under way return: nobody wants the bytes any more.
func (d *delivery) end(failed bool) {
	if !d.begun {
		close(d.opened)
	}
	if failed && d.sent.Load() {
		_ = d.x.rc.SetWriteDeadline(time.Unix(1, 0))
	}
}

// Write implements io.Writer.
func (d *delivery) Write(p []byte) (int, error) {
	select {
	case <-d.opened:
	case <-d.ctx.Done(): // the kernel ends the request only when this write has
		return 0, inos.Errorf(inos.CodeCanceled, "write body", "%w", d.ctx.Err())
	}
	if !d.begun {
		return 0, inos.Errorf(inos.CodeCanceled, "write body", "the request has ended")
	}
	d.sent.Store(true)
	d.writeHeader()
	if before := d.before; before != "" {
		d.before = ""
		if _, err := io.WriteString(d.x.w, before); err != nil {
			return 0, err
		}
	}
	n, err := d.x.w.Write(p)
	d.written += uint64(n)
	return n, err
}
