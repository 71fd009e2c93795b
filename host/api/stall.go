package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/inos-mesh/inos"
)

// stallWriter moves the connection's write deadline along with the bytes: an answer may take hours, but a client that
// takes nothing for the stall time is let go. It remembers the status.
type stallWriter struct {
	http.ResponseWriter
	rc     *http.ResponseController
	stall  time.Duration
	set    time.Time
	status int // 0 until the header is written
	// before, unless nil, sees the header before it goes out.
	before func(http.Header)
	// settle, unless nil, sees to the body of the request before the answer begins.
	settle func()
}

// refresh moves the deadline when a good part of it has passed; setting it for each write would cost more than the write.
func (w *stallWriter) refresh() {
	if now := time.Now(); now.Sub(w.set) > w.stall/8 {
		_ = w.rc.SetWriteDeadline(now.Add(w.stall)) // a test's recorder has none
		w.set = now
	}
}

// begin notes the status of an answer whose header goes out now.
func (w *stallWriter) begin(status int) {
	if w.status != 0 {
		return
	}
	w.status = status
	if w.before != nil {
		w.before(w.Header())
	}
	if w.settle != nil {
		w.settle()
	}
}

// WriteHeader implements http.ResponseWriter.
func (w *stallWriter) WriteHeader(status int) {
	w.begin(status)
	w.refresh()
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *stallWriter) Write(b []byte) (int, error) {
	w.begin(http.StatusOK)
	written := 0
	for {
		w.refresh()
		n, err := w.ResponseWriter.Write(b[:min(len(b), writePieceBytes)])
		written, b = written+n, b[n:]
		if err != nil || len(b) == 0 {
			return written, err
		}
	}
}

// flush sends what is buffered.
func (w *stallWriter) flush() error {
	w.refresh()
	return w.rc.Flush()
}

// body is the body of a request as the node reads it: it fails with a code, after the stall time without a byte, and when bytes
// drip so slowly that they only keep the request open.
type body struct {
	r     io.Reader
	rc    *http.ResponseController
	stall time.Duration
	set   time.Time

	waited   time.Duration // for the client
	received uint64        // bytes
	begun    bool          // it was asked for

	// cancel ends the request of a client that left after its body; it may be nil.
	cancel context.CancelFunc

	mu      sync.Mutex // guards the fields below
	ended   bool       // the whole body was read
	left    bool
	stopped bool
}

// settle reads what the handler left of the body, before the answer begins. Otherwise net/http would, and wait for a client that announces a body and sends
// none without a bound in time.
func (b *body) settle(r *http.Request) {
	awaitsGo := r.Header.Get("Expect") != "" && !b.begun
	if awaitsGo || r.Close {
		b.stop() // the connection ends behind the answer
		return
	}
	if r.ContentLength > int64(b.received)+settleBytesMax {
		return // nor does net/http read so much
	}
	if _, err := io.CopyN(io.Discard, b, settleBytesMax); err != nil && !errors.Is(err, io.EOF) {
		b.stop()
	}
}

// leave is called when the server saw the end of the connection. While there is body to be read it sees that only in
// a Read, which tells the node more exactly what is wrong: a truncated body. Behind the body it is a client that left.
func (b *body) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = true
	if b.ended {
		b.cancel()
	}
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	const op = "read body"
	if err := b.refresh(); err != nil {
		return 0, err
	}
	b.begun = true
	began := time.Now()
	n, err := b.r.Read(p)
	b.waited += time.Since(began)
	b.received += uint64(n)
	switch {
	case err == nil && b.waited > b.stall && float64(b.received) < b.waited.Seconds()*BodyRateMin:
		return n, inos.Errorf(inos.CodeDeadlineExceeded, op, "the client sent %d bytes in %v, less than %d a second", b.received, b.waited.Round(time.Second), BodyRateMin)
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		// The server now watches the connection for the client's leaving; no deadline may end that.
		b.clear()
		return n, io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, inos.Errorf(inos.CodeBodyTruncated, op, "the connection ended before the body did")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, inos.Errorf(inos.CodeDeadlineExceeded, op, "the client sent nothing for %v", b.stall)
	default:
		return n, inos.Errorf(inos.CodeBodyTruncated, op, "%w", err)
	}
}

func (b *body) refresh() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return inos.Errorf(inos.CodeCanceled, "read body", "the request has ended")
	}
	if now := time.Now(); now.Sub(b.set) > b.stall/8 {
		_ = b.rc.SetReadDeadline(now.Add(b.stall)) // a test's recorder has none
		b.set = now
	}
	return nil
}

func (b *body) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	if b.left && b.cancel != nil {
		b.cancel()
	}
	if !b.stopped {
		_ = b.rc.SetReadDeadline(time.Time{})
		b.set = time.Time{}
	}
}

// stop makes a Read under way return at once and later ones fail: the request has failed and its body is not wanted.
func (b *body) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	if !b.ended {
		_ = b.rc.SetReadDeadline(time.Unix(1, 0))
	}
}
