package mesh

import (
	"context"
	"net"
	"sync"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	upgrader "github.com/libp2p/go-libp2p/p2p/net/upgrader"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

// recordBytes is the plain length of a TLS record (RFC 8446, 5.1). The standard library gives each to the system in a call of its own.
const recordBytes = 16 << 10

// gathered is TLS whose records reach the system together when one write makes several.
type gathered struct{ *libp2ptls.Transport }

func newSecurity(id protocol.ID, key crypto.PrivKey, muxers []upgrader.StreamMuxer) (*gathered, error) {
	t, err := libp2ptls.New(id, key, muxers)
	return &gathered{t}, err
}

// SecureInbound implements sec.SecureTransport.
func (t *gathered) SecureInbound(ctx context.Context, insecure net.Conn, p peer.ID) (sec.SecureConn, error) {
	raw := &gatherer{Conn: insecure}
	c, err := t.Transport.SecureInbound(ctx, raw, p)
	if err != nil {
		return nil, err
	}
	return &gatheredConn{c, raw}, nil
}

// SecureOutbound implements sec.SecureTransport.
func (t *gathered) SecureOutbound(ctx context.Context, insecure net.Conn, p peer.ID) (sec.SecureConn, error) {
	raw := &gatherer{Conn: insecure}
	c, err := t.Transport.SecureOutbound(ctx, raw, p)
	if err != nil {
		return nil, err
	}
	return &gatheredConn{c, raw}, nil
}

// gatheredConn is the plain end of a connection.
type gatheredConn struct {
	sec.SecureConn
	raw *gatherer
}

// Write sends b in as few system calls as may be.
func (c *gatheredConn) Write(b []byte) (int, error) {
	if len(b) <= recordBytes {
		return c.SecureConn.Write(b)
	}
	c.raw.gather()
	n, err := c.SecureConn.Write(b)
	if sent := c.raw.send(); err == nil {
		err = sent
	}
	return n, err
}

// gatherer is the encrypted end: between gather and send it keeps what is written.
type gatherer struct {
	net.Conn

	mu  sync.Mutex // guards buf; TLS itself writes at times: alerts, key updates
	buf *[]byte    // nil: nothing is gathered
}

// gatherBytes is room for the records of one message of the multiplexer, 64 KiB.
const gatherBytes = 72 << 10

var gatherBuffers = sync.Pool{New: func() any { b := make([]byte, 0, gatherBytes); return &b }}

func (g *gatherer) gather() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.buf == nil {
		g.buf = gatherBuffers.Get().(*[]byte)
	}
}

func (g *gatherer) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.buf == nil {
		return g.Conn.Write(b)
	}
	if len(*g.buf)+len(b) > gatherBytes {
		if err := g.flushLocked(); err != nil {
			return 0, err
		}
	}
	*g.buf = append(*g.buf, b...)
	return len(b), nil
}

func (g *gatherer) send() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	err := g.flushLocked()
	gatherBuffers.Put(g.buf)
	g.buf = nil
	return err
}

func (g *gatherer) flushLocked() error {
	_, err := g.Conn.Write(*g.buf)
	*g.buf = (*g.buf)[:0]
	return err
}
