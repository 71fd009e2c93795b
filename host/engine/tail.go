package engine

import (
	"bytes"
	"sync"
)

// tail keeps the last logBytesMax bytes written to it. It may be used from many goroutines.
type tail struct {
	mu  sync.Mutex
	buf []byte // guarded by mu
}

// Write implements io.Writer; it never fails.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(b)
	if n > logBytesMax {
		b = b[n-logBytesMax:]
	}
	if over := len(t.buf) + len(b) - logBytesMax; over > 0 {
		t.buf = t.buf[:copy(t.buf, t.buf[over:])]
	}
	t.buf = append(t.buf, b...)
	return n, nil
}

// String returns what is kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

// summary returns the first lines of what is kept, in one line of at most 400 bytes: a Go runtime and this package
// both write the reason first and the stack after it.
func (t *tail) summary() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := bytes.TrimSpace(t.buf)
	if len(b) > 400 {
		b = b[:400]
	}
	return string(bytes.ToValidUTF8(bytes.ReplaceAll(b, []byte("\n"), []byte(" | ")), nil))
}
