package mesh

import (
	"bufio"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
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
