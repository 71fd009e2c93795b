package mesh

import (
	"time"
)

// Sizes of what a stream carries, in bytes; nothing is allocated for more.
const (
	TicketBytesMax      = 1 << 10
	CertificateBytesMax = 1 << 10
	// RefusalBytesMax bounds the text by which a peer says that it did not serve a call.
	RefusalBytesMax = 1 << 10
	// KeepMax bounds the nodes that Keep is given, and the relays.
	KeepMax = 16
	// keptShare is the part of the places and bytes for calls, one in so many, that a node keeps from strangers where Config.Verify tells who is none:
	// anybody may connect, and whoever makes keys may be as many peers as he wants.
	keptShare = 4
)

// Limits bound what a Mesh has under way. A field that is zero is that of DefaultLimits.
type Limits struct {
	// Connections bounds the connections in all, ConnectionsPerPeer those of one peer and ConnectionsPerAddress those from one IP
	// address, loopback excepted. One more is refused.
	Connections, ConnectionsPerPeer, ConnectionsPerAddress int
	// Streams bounds the streams in all, of both directions; StreamsPerPeer those of one peer, in each direction. One more is refused.
	Streams, StreamsPerPeer int
	// WindowBytes bounds what peers can make this node keep in streams that are not read: each open stream counts 256 KiB, and more when
	// it has grown for a long way. WindowBytesPerPeer is the share of one peer. A call that has no room for its stream waits.
	WindowBytes, WindowBytesPerPeer int64

	// Calling bounds the calls to one peer that are under way, for each protocol; a further one waits for its turn. StreamsIdle
	// bounds the streams that are kept for further calls, per peer and protocol.
	Calling, StreamsIdle int
	// Serving bounds the calls that are served at once and ServingPerPeer those of one peer, for each protocol; a further one is not read.
	Serving, ServingPerPeer int
	// ServingBytes bounds the memory of calls that are read or served, and ServingBytesPerPeer that of one peer, for each protocol;
	// a call that does not fit is not read.
	ServingBytes, ServingBytesPerPeer int

	Dial       time.Duration // to make a connection, handshakes included
	Hello      time.Duration // for the first frames of a stream; a connection without any is closed
	StreamIdle time.Duration // a stream of ours without a call is closed after this long, one of a peer's after twice as long
	PeerIdle   time.Duration // a connection without a stream is closed after this long, unless it is kept
	CallTime   time.Duration // a call whose context has no deadline ends after this long
	ServeTime  time.Duration // a call is served for at most this long
	// Grace and BytesPerSecondMin bound the time a frame may take once it has begun: Grace and its bytes at this rate.
	Grace             time.Duration
	BytesPerSecondMin int

	// BackoffMin and BackoffMax are the first and the longest wait before a node that is kept is dialled again; each wait has a jitter of half its length.
	BackoffMin, BackoffMax time.Duration

	// RelayTime and RelayBytes, in each direction, are after what a relayed connection is cut; the peers then dial again.
	// RelayCircuits bounds the relayed connections of one peer, RelayReservations the peers that are relayed to,
	// RelayReservationsPerAddress those behind one IP address.
	RelayTime                                                     time.Duration
	RelayBytes                                                    int64
	RelayCircuits, RelayReservations, RelayReservationsPerAddress int
}

// DefaultLimits returns the bounds of a node of a mesh of up to a few hundred.
func DefaultLimits() Limits {
	return Limits{
		Connections: 512, ConnectionsPerPeer: 4, ConnectionsPerAddress: 64,
		Streams: 2048, StreamsPerPeer: 128,
		WindowBytes: 192 << 20, WindowBytesPerPeer: 24 << 20,

		Calling: 32, StreamsIdle: 8,
		Serving: 64, ServingPerPeer: 32,
		ServingBytes: 40 << 20, ServingBytesPerPeer: 20 << 20,

		Dial: 10 * time.Second, Hello: 10 * time.Second,
		StreamIdle: time.Minute, PeerIdle: 10 * time.Minute,
		CallTime: time.Minute, ServeTime: 10 * time.Minute,
		Grace: 15 * time.Second, BytesPerSecondMin: 16 << 10,

		BackoffMin: 250 * time.Millisecond, BackoffMax: 15 * time.Second,

		RelayTime: time.Hour, RelayBytes: 16 << 30, RelayCircuits: 64, RelayReservations: 256, RelayReservationsPerAddress: 64,
	}
}

// orDefaults fills the fields that are zero.
func (l Limits) orDefaults() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ field, value *int }{
		{&l.Connections, &d.Connections},
		{&l.ConnectionsPerPeer, &d.ConnectionsPerPeer},
		{&l.ConnectionsPerAddress, &d.ConnectionsPerAddress},
		{&l.Streams, &d.Streams},
		{&l.StreamsPerPeer, &d.StreamsPerPeer},
		{&l.Calling, &d.Calling},
		{&l.StreamsIdle, &d.StreamsIdle},
		{&l.Serving, &d.Serving},
		{&l.ServingPerPeer, &d.ServingPerPeer},
		{&l.ServingBytes, &d.ServingBytes},
		{&l.ServingBytesPerPeer, &d.ServingBytesPerPeer},
		{&l.BytesPerSecondMin, &d.BytesPerSecondMin},
		{&l.RelayCircuits, &d.RelayCircuits},
		{&l.RelayReservations, &d.RelayReservations},
		{&l.RelayReservationsPerAddress, &d.RelayReservationsPerAddress},
	} {
		fill(f.field, *f.value)
	}
	for _, f := range []struct{ field, value *time.Duration }{
		{&l.Dial, &d.Dial},
		{&l.Hello, &d.Hello},
		{&l.StreamIdle, &d.StreamIdle},
		{&l.PeerIdle, &d.PeerIdle},
		{&l.CallTime, &d.CallTime},
		{&l.ServeTime, &d.ServeTime},
		{&l.Grace, &d.Grace},
		{&l.BackoffMin, &d.BackoffMin},
		{&l.BackoffMax, &d.BackoffMax},
		{&l.RelayTime, &d.RelayTime},
	} {
		fill(f.field, *f.value)
	}
	fill(&l.WindowBytes, d.WindowBytes)
	fill(&l.WindowBytesPerPeer, d.WindowBytesPerPeer)
	fill(&l.RelayBytes, d.RelayBytes)
	return l
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// transferTime is how long a frame of n bytes may take once it has begun.
func (l *Limits) transferTime(n int) time.Duration {
	return l.Grace + time.Duration(n)*time.Second/time.Duration(l.BytesPerSecondMin)
}
