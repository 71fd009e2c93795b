package mesh

import (
	"time"

	"github.com/inos-mesh/inos"
)

// Sizes of a call in bytes; nothing is allocated for more.
const (
	EnvelopeBytesMax    = inos.EnvelopeHeadBytesMax + inos.PayloadBytesMax
	TicketBytesMax      = 1 << 10
	CertificateBytesMax = 1 << 10
	// RefusalBytesMax bounds the text by which a peer says that it did not serve a call.
	RefusalBytesMax = 1 << 10
)

// Limits bound what a Mesh has under way. A field that is zero is that of DefaultLimits.
type Limits struct {
	Connections        int // in all; of one peer ConnectionsPerPeer
	ConnectionsPerPeer int
	Streams            int // in all, both directions, of both protocols
	StreamsPerPeer     int // each direction
	StreamsIdle        int // kept open for further calls, per peer and protocol

	Serving        int // calls served at once; a further one is not read
	ServingPerPeer int
	// ServingBytes bounds the memory of calls that are being read or served; a call that does not fit is not read. An equal share
	// of it, a quarter, is the most that one peer gets.
	ServingBytes int

	Dial       time.Duration // to make a connection, its handshake included
	Hello      time.Duration // to exchange the first frames of a stream
	StreamIdle time.Duration // an idle stream of ours is closed after this long, one of a peer's after twice as long
	ServeTime  time.Duration // a call is served at most this long
	CallTime   time.Duration // a call whose context has no deadline ends after this long
	// A transfer that is under way is cut when it is slower than BytesPerSecondMin on average after Grace.
	Grace             time.Duration
	BytesPerSecondMin int

	BackoffMin, BackoffMax time.Duration // between dials to a node that is kept

	// A relayed connection is cut after RelayTime or RelayBytes in one direction; at most RelayCircuits exist at once per peer.
	RelayTime         time.Duration
	RelayBytes        int64
	RelayReservations int
	RelayCircuits     int
}

// DefaultLimits returns the bounds of a node of up to a few hundred peers.
func DefaultLimits() Limits { return Limits{} }
