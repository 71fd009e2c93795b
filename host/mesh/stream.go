package mesh

import (
	"bufio"
	"context"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"
)

// protocolKind is one of the two protocols. They differ in nothing but that one carries no bulk; each has streams, places and
// bytes of its own, so that a call which waits for other nodes' bulk never holds up the calls it waits for.
type protocolKind int

const (
	forEvents protocolKind = iota
	forChunks
	protocolKinds
)

func (p protocolKind) id() protocol.ID {
	if p == forChunks {
		return "/inos/chunk/1"
	}
	return "/inos/event/1"
}

const (
	readerBytes    = 4 << 10  // what a stream reads ahead; bulk is read past it
	frameBytesKept = 32 << 10 // of a stream's memory for frames, for the next call
)

// stream carries one call after another, each answered before the next.
type stream struct {
	network.Stream
	reader    *bufio.Reader
	frame     []byte // memory for what is written before the bulk
	greeted   bool   // the peer's greeting was read
	idleSince time.Time
}

func newStream(s network.Stream) *stream {
	return &stream{Stream: s, reader: bufio.NewReaderSize(s, readerBytes)}
}

// openRaw opens a stream of a protocol on a connection; nil is none. The library's own way of opening a stream chooses the connection itself. The
// protocol is named with the first bytes that are written, and the peer's word on it comes before its first ones.
func openRaw(ctx context.Context, k protocolKind, c network.Conn) (network.Stream, error) {
	if c == nil {
		return nil, network.ErrNoConn
	}
	raw, err := c.NewStream(ctx)
	if err != nil {
		return nil, err
	}
	if err := raw.SetProtocol(k.id()); err != nil {
		_ = raw.Reset()
		return nil, err
	}
	return &named{raw, multistream.NewMSSelect(raw, k.id())}, nil
}

// named is a stream whose protocol is agreed on as it is used.
type named struct {
	network.Stream
	lazy io.ReadWriteCloser
}

// Read implements network.Stream.
func (s *named) Read(b []byte) (int, error) { return s.lazy.Read(b) }

// Write implements network.Stream.
func (s *named) Write(b []byte) (int, error) { return s.lazy.Write(b) }

// readHead reads 16 bytes.
func (s *stream) readHead() (b [headBytes]byte, err error) {
	_, err = io.ReadFull(s.reader, b[:])
	return b, err
}

// write sends a frame: what begin appends to memory of the stream's, the parts, and bulk as it is.
func (s *stream) write(begin func([]byte) []byte, envelope, ticket, bulk []byte) error {
	b := append(append(begin(s.frame[:0]), envelope...), ticket...)
	if cap(b) <= frameBytesKept {
		s.frame = b
	}
	if _, err := s.Write(b); err != nil || len(bulk) == 0 {
		return err
	}
	_, err := s.Write(bulk)
	return err
}

// greet sends the first frame.
func (s *stream) greet(certificate []byte) error {
	_, err := s.Write(appendGreeting(nil, certificate))
	return err
}

// relayed says whether a connection goes through a relay.
func relayed(c network.Conn) bool { return c.Stat().Limited || isRelayAddr(c.RemoteMultiaddr()) }
