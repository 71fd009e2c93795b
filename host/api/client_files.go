package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
)

// PutOptions say how a file is stored; the zero value leaves it to the node.
type PutOptions struct {
	ContentType string
	Replicas    uint32 // asked for by name: refused when they cannot be reached
	Sync        uint32 // domains to wait for
	Tier        string // "", "hot" or "cold"
	RequestID   string // UUIDv7: makes the put idempotent for 24 hours; empty: a new one
	IfAbsent    bool   // refuse when the path exists
	// Progress is called with the plain bytes sent so far, from one goroutine at a time; it may be nil.
	Progress func(sent int64)
}

// Put stores length bytes of body at a path; length is -1 when it is not known. It compares the FileID that the node
// names with the bytes that were sent. A body that is an io.Seeker is sent again when the node is busy. The node has
// committed the file when Put returns without error, and may have when the connection broke; the same RequestID tells, but
// with IfAbsent, for which what the first try stored is there.
func (c *Client) Put(ctx context.Context, p inos.Path, body io.Reader, length int64, o PutOptions) (PutReply, error) {
	if err := inos.CheckPath(p); err != nil {
		return PutReply{}, err
	}
	if o.RequestID == "" {
		o.RequestID = newID(time.Now())
	}
	var start int64
	seeker, seekable := body.(io.Seeker)
	if seekable {
		var err error
		if start, err = seeker.Seek(0, io.SeekCurrent); err != nil {
			seekable = false // a pipe
		}
	}
	for try := 1; ; try++ {
		reply, err := c.putOnce(ctx, p, body, length, o, seekable)
		if err == nil || inos.CodeOf(err) != inos.CodeBusy || !seekable || try == busyTriesMax {
			return reply, err
		}
		if err := pause(ctx, err, try); err != nil {
			return reply, err
		}
		if _, err := seeker.Seek(start, io.SeekStart); err != nil {
			return reply, inos.Errorf(inos.CodeIO, "read body again", "%w", err)
		}
	}
}

// pause waits as long as a busy node asked for, and longer with each try.
func pause(ctx context.Context, err error, try int) error {
	var e *inos.Error
	wait := 100 * time.Millisecond << try
	if errors.As(err, &e) && e.RetryAfter > 0 {
		wait = max(wait, time.Duration(e.RetryAfter)*time.Microsecond)
	}
	timer := time.NewTimer(min(wait, busyWaitMax))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return inos.Errorf(inos.CodeCanceled, "wait for node", "%w", ctx.Err())
	}
}

// upload is a body on its way: hashed, counted, and failing with a code.
type upload struct {
	r        io.Reader
	length   int64 // announced; negative: unknown
	hash     *blake3.Hasher
	sent     atomic.Int64
	progress func(int64)
	closed   chan struct{} // nobody reads r any more
	once     sync.Once
	silence  *silence // of the call, which is not the node's while r is read
}

// Close implements io.Closer. The transport calls it when it is done with the body, which may be after the answer.
func (u *upload) Close() error {
	u.once.Do(func() { close(u.closed) })
	return nil
}

func (u *upload) Read(p []byte) (int, error) {
	u.silence.pause()
	n, err := u.r.Read(p)
	u.silence.wait()
	u.hash.Write(p[:n])
	sent := u.sent.Add(int64(n))
	if u.progress != nil && n > 0 {
		u.progress(sent)
	}
	switch {
	case err == nil, errors.As(err, new(*inos.Error)):
	case !errors.Is(err, io.EOF):
		err = inos.Errorf(inos.CodeIO, "read what is put", "%w", err)
	case sent < u.length:
		// Said here and not by net/http, whose own error can be overtaken by that of the connection it then closes.
		err = inos.Errorf(inos.CodeBodyTruncated, "read what is put", "%d bytes came, %d were announced: it shrank meanwhile", sent, u.length)
	}
	return n, err
}

func (c *Client) putOnce(ctx context.Context, p inos.Path, body io.Reader, length int64, o PutOptions, again bool) (reply PutReply, err error) {
	u := &upload{r: body, length: length, hash: blake3.New(inos.HashBytes, nil), progress: o.Progress, closed: make(chan struct{})}
	r, err := c.newRequest(ctx, "PUT", "/v1/files/"+escapePath(p), u)
	if err != nil {
		return reply, err
	}
	r.ContentLength = length
	if length == 0 {
		r.Body = http.NoBody // to net/http a length of 0 with a body means unknown
	} else if again {
		defer func() { <-u.closed }() // the next try reads body from its start; reading a file or memory ends soon
	}
	if length < 0 || length > inos.ChunkBytesMax {
		r.Header.Set("Expect", "100-continue") // a node that refuses says so before gigabytes are sent
	}
	for name, value := range map[string]string{"Content-Type": o.ContentType, "Inos-Tier": o.Tier, "Inos-Request-Id": o.RequestID} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	for name, value := range map[string]uint32{"Inos-Replicas": o.Replicas, "Inos-Sync": o.Sync} {
		if value != 0 {
			r.Header.Set(name, strconv.FormatUint(uint64(value), 10))
		}
	}
	if o.IfAbsent {
		r.Header.Set("If-None-Match", "*")
	}
	response, err := c.do(r)
	if err != nil {
		return reply, err
	}
	if err := c.readJSON(ctx, response, &reply); err != nil {
		return reply, err
	}
	if length != 0 {
		<-u.closed // the node has the whole body, so the transport is about to be done with it
	}
	if sum := hash(u.hash.Sum(nil)); reply.FileID != sum {
		return reply, &inos.Error{
			Code: inos.CodeBodyMismatch, Op: "files:put", Message: fmt.Sprintf("the node stored %s, the bytes sent have the file id %s", reply.FileID, sum),
			Hint: "What is stored under the path is not what was sent; put it again. A put that was repeated with the same request id keeps the first body.",
		}
	}
	return reply, nil
}

// GetOptions select a part of a file; the zero value the whole.
type GetOptions struct {
	Offset int64 // plain bytes; negative: that many from the end
	Length int64 // 0: to the end
	// Progress is called with the bytes received so far and those that will come; it may be nil.
	Progress func(received, total int64)
}

func (o *GetOptions) rangeHeader() string {
	switch {
	case o.Offset < 0:
		return "bytes=" + strconv.FormatInt(o.Offset, 10)
	case o.Length > 0:
		return fmt.Sprintf("bytes=%d-%d", o.Offset, o.Offset+o.Length-1)
	case o.Offset > 0:
		return fmt.Sprintf("bytes=%d-", o.Offset)
	}
	return ""
}

// Got says what a get received.
type Got struct {
	FileID   string `json:"file_id"`
	Version  uint64 `json:"version"`
	Bytes    int64  `json:"bytes"` // received
	Verified bool   `json:"verified"`
	TraceID  string `json:"trace_id"`
}

// Get writes a file's plain bytes to w as they come. The bytes of a whole file are hashed on the way; when they do not
// have the FileID, the error is CodeBodyMismatch and w has received wrong bytes. A part is not hashed here: the node
// verifies its chunks.
func (c *Client) Get(ctx context.Context, ref Ref, w io.Writer, o GetOptions) (Got, error) {
	r, err := c.newRequest(ctx, "GET", ref.address(), nil)
	if err != nil {
		return Got{}, err
	}
	part := o.rangeHeader()
	if part != "" {
		r.Header.Set("Range", part)
	}
	response, err := c.do(r)
	if err != nil {
		return Got{}, err
	}
	defer response.Body.Close()
	got := Got{FileID: response.Header.Get("Inos-File-Id"), TraceID: response.Header.Get("Inos-Trace-Id")}
	got.Version, _ = strconv.ParseUint(response.Header.Get("Inos-Version"), 10, 64)
	if (part != "") != (response.StatusCode == http.StatusPartialContent) || response.Header.Get("Content-Encoding") != "" {
		return got, inos.Errorf(inos.CodeBadFormat, "files:get", "asked for %q, the answer is %s", part, response.Status)
	}
	if ref.Path == "" && got.FileID != ref.FileID.String() {
		return got, inos.Errorf(inos.CodeBodyMismatch, "files:get", "asked for %s, the answer is %.80q", ref, got.FileID)
	}
	if body, ok := response.Body.(*watchedBody); ok {
		body.awaited = true
	}
	sum := blake3.New(inos.HashBytes, nil)
	got.Bytes, err = c.receive(ctx, response, w, sum, o.Progress)
	if err != nil || part != "" {
		return got, err
	}
	if have := hash(sum.Sum(nil)); have != got.FileID {
		return got, inos.Errorf(inos.CodeBodyMismatch, "files:get", "the bytes received have the file id %s, not %.80q", have, got.FileID)
	}
	got.Verified = true
	return got, nil
}

// receive copies a body; an error of the writer is told apart from one of the connection.
func (c *Client) receive(ctx context.Context, response *http.Response, w, sum io.Writer, progress func(int64, int64)) (received int64, err error) {
	buffer := make([]byte, 256<<10)
	for {
		n, readErr := response.Body.Read(buffer)
		_, _ = sum.Write(buffer[:n]) // a hash takes everything
		if _, err := w.Write(buffer[:n]); err != nil {
			return received, inos.Errorf(inos.CodeIO, "write what is got", "%w", err)
		}
		received += int64(n)
		if progress != nil && n > 0 {
			progress(received, response.ContentLength)
		}
		switch {
		case errors.Is(readErr, io.EOF):
			return received, nil
		case errors.Is(readErr, io.ErrUnexpectedEOF):
			return received, &inos.Error{
				Code: inos.CodeBodyTruncated, Op: "files:get", Err: readErr,
				Message: fmt.Sprintf("the node broke off after %d of %d bytes", received, response.ContentLength),
				Hint:    "'inos events' shows why; try again, and run 'inos verify' on the file.",
			}
		case readErr != nil:
			if ended := silenced(response.Request); ended != nil {
				return received, ended
			}
			return received, c.connectionError(ctx, readErr)
		}
	}
}

// List pages through the files whose path begins with prefix, by path, bytewise. It ends at the first error.
func (c *Client) List(ctx context.Context, prefix string) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		if err := checkPrefix(prefix); err != nil {
			yield(File{}, err)
			return
		}
		for after := ""; ; {
			values := url.Values{"prefix": {prefix}, "after": {after}}
			var page ListReply
			if err := c.callJSON(ctx, "GET", "/v1/files?"+values.Encode(), &page); err != nil {
				yield(File{}, err)
				return
			}
			for _, f := range page.Files {
				if !yield(f, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			if page.Next <= after {
				yield(File{}, inos.Errorf(inos.CodeBadFormat, "files:list", "the page behind %.80q ends at %.80q", after, page.Next))
				return
			}
			after = page.Next
		}
	}
}

// Stat returns a file and at most limit (1,024) of its chunks from first on.
func (c *Client) Stat(ctx context.Context, ref Ref, first uint64, limit int) (s StatReply, err error) {
	values := url.Values{"first": {strconv.FormatUint(first, 10)}, "limit": {strconv.Itoa(limit)}}
	address := "/v1/stat"
	if ref.Path != "" {
		address += "/" + escapePath(ref.Path)
	} else {
		values.Set("id", ref.FileID.String())
	}
	return s, c.callJSON(ctx, "GET", address+"?"+values.Encode(), &s)
}

// Delete removes the file at a path.
func (c *Client) Delete(ctx context.Context, p inos.Path) (d DeleteReply, err error) {
	if err := inos.CheckPath(p); err != nil {
		return d, err
	}
	return d, c.callJSON(ctx, "DELETE", "/v1/files/"+escapePath(p), &d)
}

// Verify re-reads one file, or with an empty path every chunk of the node. progress may be nil.
func (c *Client) Verify(ctx context.Context, p inos.Path, progress func(VerifyCounts)) (VerifyResult, error) {
	const op = "files:verify"
	address := "/v1/verify"
	if p != "" {
		address += "?" + url.Values{"path": {string(p)}}.Encode()
	}
	r, err := c.newRequest(ctx, "POST", address, nil)
	if err != nil {
		return VerifyResult{}, err
	}
	response, err := c.do(r)
	if err != nil {
		return VerifyResult{}, err
	}
	defer response.Body.Close()
	lines := newLines(response.Body)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var line VerifyLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return VerifyResult{}, inos.Errorf(inos.CodeBadFormat, op, "%w", err)
		}
		switch {
		case line.Error != nil:
			return VerifyResult{}, line.Error.error()
		case line.Result != nil:
			return *line.Result, nil
		case line.Progress != nil && progress != nil:
			progress(*line.Progress)
		}
	}
	if err := lines.Err(); err != nil {
		return VerifyResult{}, c.connectionError(ctx, err)
	}
	return VerifyResult{}, inos.Errorf(inos.CodeBodyTruncated, op, "the answer ended before the result")
}
