package api

import (
	"context"
	"net/http"
	"strconv"
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
	partial bool
	offset  uint64
	length  uint64 // of a part
	file    *File  // the file it was chosen for; nil when no choice depended on it
}

// get answers with a file: GET /v1/files/{path} and /v1/blobs/{fileid}; plain bytes, one range of them, or, for who
// accepts br, the stored chunks as one br stream. A failure behind the header aborts the connection.
func (x *exchange) get(t target) error {
	for range replacedTriesMax {
		s, err := x.choose(t)
		if err != nil || s == nil {
			return err
		}
		replaced, err := x.download(t, s)
		if !replaced {
			return err
		}
	}
	return &inos.Error{
		Code: inos.CodeBusy, Op: "files:get", Message: "the file is replaced faster than it can be looked up",
		RetryAfter: inos.Micros(busyRetry.Microseconds()),
	}
}

// head answers like get without the bytes. It reads no chunk.
func (x *exchange) head(t target) error {
	f, err := x.lookup(t)
	if err != nil {
		return err
	}
	s := &selection{encoded: wantsBrotli(x.r.Header.Values("Accept-Encoding")), file: f}
	if done, err := x.conditions(s); err != nil || done {
		return err
	}
	x.setFileHeaders(t, f, s)
	x.w.WriteHeader(http.StatusOK)
	return nil
}

// choose selects the representation. It returns nil when the answer is complete without one (304).
func (x *exchange) choose(t target) (*selection, error) {
	header := x.r.Header
	s := &selection{encoded: wantsBrotli(header.Values("Accept-Encoding"))}
	var part *byteRange
	if values := header.Values("Range"); len(values) == 1 {
		if r, ok := parseRange(values[0]); ok {
			part = &r
		}
	}
	if part == nil && header.Get("If-Match") == "" && header.Get("If-None-Match") == "" {
		return s, nil
	}
	f, err := x.lookup(t)
	if err != nil {
		return nil, err
	}
	s.file = f
	if part != nil {
		s.encoded = false // a range is of the plain bytes
	}
	if done, err := x.conditions(s); err != nil || done {
		return nil, err
	}
	if condition := header.Get("If-Range"); condition != "" && condition != plainTag(f) {
		part = nil // another version: the whole of this one (RFC 9110, 13.1.5)
		s.encoded = wantsBrotli(header.Values("Accept-Encoding"))
	}
	if part != nil {
		offset, length, ok := part.resolve(f.PlainBytes)
		if !ok {
			x.w.Header().Set("Content-Range", "bytes */"+strconv.FormatUint(f.PlainBytes, 10))
			return nil, inos.Errorf(inos.CodeRangeNotSatisfiable, "files:get", "the range %.80q of %d bytes", header.Get("Range"), f.PlainBytes)
		}
		s.partial, s.offset, s.length = true, offset, length
	}
	return s, nil
}

// conditions judges If-Match and If-None-Match (RFC 9110, 13.2.2); done means that it answered 304.
func (x *exchange) conditions(s *selection) (done bool, err error) {
	tag := plainTag(s.file)
	if s.encoded {
		tag = encodedTag(s.file)
	}
	match, err := parseCondition("If-Match", x.r.Header.Values("If-Match"))
	if err != nil {
		return false, err
	}
	if match != nil && !match.matches(false, plainTag(s.file), encodedTag(s.file)) {
		return false, inos.Errorf(inos.CodePreconditionFailed, "judge precondition", "the current entity tag is %s", tag)
	}
	none, err := parseCondition("If-None-Match", x.r.Header.Values("If-None-Match"))
	if err != nil || none == nil || !none.matches(true, tag) {
		return false, err
	}
	header := x.w.Header()
	header.Set("ETag", tag)
	header.Set("Vary", "Accept-Encoding")
	x.w.WriteHeader(http.StatusNotModified)
	return true, nil
}

// download asks the kernel for the bytes and passes them on. replaced means that nothing was written, because the
// path has another version than the one that was chosen for.
func (x *exchange) download(t target, s *selection) (replaced bool, err error) {
	ctx, cancel := context.WithCancel(x.r.Context())
	defer cancel()
	q := &eventpb.FilesGetRequest{LengthBytes: -1, Encoded: s.encoded}
	q.Path, q.FileId = t.fileRequest()
	if s.partial {
		q.OffsetBytes, q.LengthBytes = s.offset, int64(s.length)
	}
	d := &delivery{x: x, ctx: ctx, opened: make(chan struct{})}
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
		x.setFileHeaders(t, &f, s)
		d.begin(x.contentBytes(&f, s), s.partial)
	}
	var reply eventpb.FilesGetReply
	err = x.send(ctx, x.envelope(newID(x.h.now()), event.FilesGet, q), &reply, announced)
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
	case s.partial:
		return s.length
	}
	return f.PlainBytes
}

// setFileHeaders describes the selected representation of a file.
func (x *exchange) setFileHeaders(t target, f *File, s *selection) {
	header := x.w.Header()
	contentType := f.ContentType
	if contentType == "" {
		contentType = "application/octet-stream"
	}
	name := t.path
	if name == "" {
		name = inos.Path(f.Path)
	}
	header.Set("Content-Type", contentType)
	header.Set("Content-Disposition", disposition(name, contentType))
	header.Set("Content-Length", strconv.FormatUint(x.contentBytes(f, s), 10))
	header.Set("Last-Modified", time.UnixMicro(f.CreatedUs).UTC().Format(http.TimeFormat))
	header.Set("Vary", "Accept-Encoding")
	header.Set("Accept-Ranges", "bytes")
	header.Set("Inos-File-Id", f.FileID)
	header.Set("Inos-Version", strconv.FormatUint(f.Version, 10))
	header.Set("ETag", plainTag(f))
	if s.encoded {
		header.Set("Content-Encoding", "br")
		header.Set("ETag", encodedTag(f))
	}
	if s.partial {
		header.Set("Content-Range", "bytes "+strconv.FormatUint(s.offset, 10)+"-"+
			strconv.FormatUint(s.offset+s.length-1, 10)+"/"+strconv.FormatUint(f.PlainBytes, 10))
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
	expected uint64
	written  uint64
	sent     atomic.Bool // a byte was written
}

func (d *delivery) begin(expected uint64, partial bool) {
	d.begun, d.expected, d.partial = true, expected, partial
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
	n, err := d.x.w.Write(p)
	d.written += uint64(n)
	return n, err
}
