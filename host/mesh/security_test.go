package mesh

import (
	"bytes"
	"errors"
	"net"
	"testing"

	"github.com/libp2p/go-libp2p/core/sec"
)

// wire is a connection that remembers what it was given, call by call.
type wire struct {
	net.Conn
	calls  int
	got    []byte
	broken bool
}

func (w *wire) Write(b []byte) (int, error) {
	w.calls++
	if w.broken {
		return 0, errors.New("broken")
	}
	w.got = append(w.got, b...)
	return len(b), nil
}

// records writes as TLS does: each 16 KiB in a call of its own.
type records struct {
	sec.SecureConn
	to net.Conn
}

func (r *records) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		_, err = r.to.Write(b[n:min(len(b), n+recordBytes)])
		n = min(len(b), n+recordBytes)
	}
	return n, err
}

// Sizes: nothing, one byte, a record and one byte more, a message of the multiplexer, and more than is gathered at once.
func TestRecordsAreGathered(t *testing.T) {
	for size, calls := range map[int]int{0: 0, 1: 1, recordBytes: 1, recordBytes + 1: 1, 64 << 10: 1, 3*gatherBytes + 5: 4} {
		w := &wire{}
		raw := &gatherer{Conn: w}
		c := &gatheredConn{&records{to: raw}, raw}
		b := bytes.Repeat([]byte{1, 2, 3}, size/3+1)[:size]
		for range 2 {
			w.calls, w.got = 0, nil
			if n, err := c.Write(b); n != size || err != nil || !bytes.Equal(w.got, b) || w.calls > calls {
				t.Errorf("%d bytes: %d written in %d calls, %v", size, n, w.calls, err)
			}
		}
		w.broken = true
		if _, err := c.Write(b); err == nil && size > 0 {
			t.Errorf("%d bytes: an error of the connection is lost", size)
		}
	}
}
