package mesh

import (
	"crypto/ed25519"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/gologshim"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	yamuxlib "github.com/libp2p/go-yamux/v5"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/inos-mesh/inos"
)

const (
	yamuxID = "/yamux/1.0.0"
	// streamWindowBytesMax is how far the receive window of a stream grows on a long way, from 256 KiB, while there is room in
	// Limits.WindowBytes: 10 MB/s at 100 ms for one stream.
	streamWindowBytesMax = 1 << 20
	// keepAlive is how often a connection without traffic is looked at. One that does not answer within writeTimeout is closed.
	keepAlive    = 15 * time.Second
	writeTimeout = 10 * time.Second
	// relayBufferBytes is what a relay holds of each direction of a relayed connection.
	relayBufferBytes = 32 << 10
	// reservationLife is how long a relay keeps a place for a node without being asked again.
	reservationLife = time.Hour
	// connectingMax bounds the connections whose peer is not known yet; transientStreamsMax the streams whose protocol is not.
	connectingMax       = 64
	transientStreamsMax = 256
	// quicDelay is how long QUIC waits for TCP.
	quicDelay = 250 * time.Millisecond
)

// newHost makes the libp2p host: TCP before QUIC, TLS, yamux with bounded windows, and the limits of l instead of the
// library's. It looks for nobody by itself.
func newHost(c *Config, l *Limits) (host.Host, error) {
	quiet()
	key, err := crypto.UnmarshalEd25519PrivateKey(slices.Clone(c.Key))
	if err != nil {
		return nil, err
	}
	resources, err := newResources(l)
	if err != nil {
		return nil, err
	}
	// A node behind a NAT dials from the port it listens at, so that its router's translation of one is that of the other. Elsewhere it
	// would do harm: two nodes that dial each other at the same moment meet in one TCP connection, each as its client.
	reachability, dialling := libp2p.ForceReachabilityPrivate(), []any{tcp.WithConnectionTimeout(l.Dial)}
	if len(c.Relays) == 0 {
		reachability, dialling = libp2p.ForceReachabilityPublic(), append(dialling, tcp.DisableReuseport())
	}
	return libp2p.New(
		libp2p.Identity(key), libp2p.NoListenAddrs, reachability,
		libp2p.Transport(tcp.NewTCPTransport, dialling...),
		libp2p.Transport(quic.NewTransport),
		libp2p.Security(libp2ptls.ID, newSecurity),
		libp2p.Muxer(yamuxID, newMuxer()),
		libp2p.ResourceManager(resources),
		libp2p.EnableRelay(), libp2p.EnableHolePunching(),
		libp2p.SwarmOpts(swarm.WithDialRanker(rankDials)), libp2p.WithDialTimeout(l.Dial),
		// A network that swallows UDP or IPv6 today may be another one tomorrow.
		libp2p.UDPBlackHoleSuccessCounter(nil), libp2p.IPv6BlackHoleSuccessCounter(nil),
		libp2p.Ping(false), libp2p.DisableMetrics(), libp2p.UserAgent("inos"),
	)
}

// quiet keeps the libraries from writing to the process's standard error: what matters is an error of a call, or said by Logf. The
// variable is the library's own, for who wants to look into it.
var quiet = sync.OnceFunc(func() {
	if os.Getenv("GOLOG_LOG_LEVEL") == "" {
		gologshim.SetDefaultHandler(slog.DiscardHandler)
	}
	if err := os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true"); err != nil {
		panic(err) // the name is a constant
	}
})

func newMuxer() *yamux.Transport {
	c := yamuxlib.DefaultConfig()
	c.MaxStreamWindowSize = streamWindowBytesMax
	c.MaxIncomingStreams = math.MaxUint32 // the resource manager bounds them
	c.ReadBufSize = 0                     // TLS reads whole records
	c.LogOutput = io.Discard
	c.KeepAliveInterval, c.ConnectionWriteTimeout = keepAlive, writeTimeout
	return (*yamux.Transport)(c)
}

// newResources makes the resource manager. What has no line here is bounded by what is above it.
func newResources(l *Limits) (network.ResourceManager, error) {
	limits := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{
			Conns: rcmgr.LimitVal(l.Connections), ConnsInbound: rcmgr.LimitVal(l.Connections), ConnsOutbound: rcmgr.LimitVal(l.Connections),
			FD:      rcmgr.LimitVal(l.Connections),
			Streams: rcmgr.LimitVal(l.Streams), StreamsInbound: rcmgr.LimitVal(l.Streams), StreamsOutbound: rcmgr.LimitVal(l.Streams),
			Memory: rcmgr.LimitVal64(l.WindowBytes),
		},
		Transient: rcmgr.ResourceLimits{
			Conns: connectingMax, ConnsInbound: connectingMax, ConnsOutbound: connectingMax, FD: connectingMax,
			Streams: transientStreamsMax, StreamsInbound: transientStreamsMax, StreamsOutbound: transientStreamsMax,
			Memory: rcmgr.LimitVal64(l.WindowBytes / 2),
		},
		PeerDefault: rcmgr.ResourceLimits{
			Conns: rcmgr.LimitVal(l.ConnectionsPerPeer), ConnsInbound: rcmgr.LimitVal(l.ConnectionsPerPeer), ConnsOutbound: rcmgr.LimitVal(l.ConnectionsPerPeer),
			FD:      rcmgr.LimitVal(l.ConnectionsPerPeer),
			Streams: rcmgr.LimitVal(2 * l.StreamsPerPeer), StreamsInbound: rcmgr.LimitVal(l.StreamsPerPeer), StreamsOutbound: rcmgr.LimitVal(l.StreamsPerPeer),
			Memory: rcmgr.LimitVal64(l.WindowBytesPerPeer),
		},
	}
	perAddress := func(bits int) []rcmgr.ConnLimitPerSubnet {
		return []rcmgr.ConnLimitPerSubnet{{PrefixLength: bits, ConnCount: l.ConnectionsPerAddress}}
	}
	return rcmgr.NewResourceManager(
		rcmgr.NewFixedLimiter(limits.Build(rcmgr.InfiniteLimits)),
		rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(perAddress(32), perAddress(56)),
		rcmgr.WithNetworkPrefixLimit(
			[]rcmgr.NetworkPrefixLimit{{Network: netip.MustParsePrefix("127.0.0.0/8"), ConnCount: l.Connections}},
			[]rcmgr.NetworkPrefixLimit{{Network: netip.MustParsePrefix("::1/128"), ConnCount: l.Connections}},
		),
	)
}

// rankDials dials TCP first, as the library would, then QUIC, then through relays.
func rankDials(addrs []multiaddr.Multiaddr) []network.AddrDelay {
	var first, second []multiaddr.Multiaddr
	for _, a := range addrs {
		if hasProtocol(a, multiaddr.P_QUIC_V1) && !isRelayAddr(a) {
			second = append(second, a)
		} else {
			first = append(first, a)
		}
	}
	ranked := swarm.DefaultDialRanker(first)
	var wait time.Duration
	if len(ranked) > 0 {
		wait = quicDelay
	}
	for _, a := range second {
		ranked = append(ranked, network.AddrDelay{Addr: a, Delay: wait})
	}
	return ranked
}

// serveRelay makes a host relay connections.
func serveRelay(h host.Host, l *Limits) (io.Closer, error) {
	return relay.New(h, relay.WithResources(relay.Resources{
		Limit:                 &relay.RelayLimit{Duration: l.RelayTime, Data: l.RelayBytes},
		ReservationTTL:        reservationLife,
		MaxReservations:       l.RelayReservations,
		MaxCircuits:           l.RelayCircuits,
		BufferSize:            relayBufferBytes,
		MaxReservationsPerIP:  l.RelayReservationsPerAddress,
		MaxReservationsPerASN: l.RelayReservations,
	}), relay.WithReservationAddressFilter(func(multiaddr.Multiaddr) bool { return true }))
}

func isRelayAddr(a multiaddr.Multiaddr) bool { return hasProtocol(a, multiaddr.P_CIRCUIT) }

func hasProtocol(a multiaddr.Multiaddr, code int) bool {
	_, err := a.ValueForProtocol(code)
	return err == nil
}

// listen begins to listen at every address, or fails.
func listen(h host.Host, addrs []string) error {
	for _, s := range addrs {
		a, err := multiaddr.NewMultiaddr(s)
		if err != nil {
			return inos.Errorf(inos.CodeBadRequest, opOpen, "%q is not a multiaddress: %w", clip(s), err)
		}
		if err = probe(a); err == nil {
			err = h.Network().Listen(a)
		}
		if errors.Is(err, syscall.EADDRINUSE) {
			e := inos.Errorf(inos.CodeAddressInUse, opOpen, "another process listens on %s", s)
			e.Hint = "Stop it, or choose another address with --mesh-listen."
			return e
		} else if err != nil {
			e := inos.Errorf(inos.CodeIO, opOpen, "%s: %s", s, reason(err))
			e.Hint = "Give --mesh-listen an address of this machine, such as /ip4/0.0.0.0/tcp/7771."
			return e
		}
	}
	return nil
}

// probe fails when another process listens at a TCP address: a node with relays shares its port with whoever shares theirs, and two nodes of
// one machine would get each other's connections.
func probe(a multiaddr.Multiaddr) error {
	if !hasProtocol(a, multiaddr.P_TCP) {
		return nil
	}
	l, err := manet.Listen(a)
	if err != nil {
		return err
	}
	return l.Close()
}

// checkKey says whether a key can be an identity.
func checkKey(key ed25519.PrivateKey) error {
	if len(key) != ed25519.PrivateKeySize {
		return inos.Errorf(inos.CodeBadRequest, opOpen, "a key of %d bytes, an Ed25519 key has %d", len(key), ed25519.PrivateKeySize)
	}
	return nil
}
