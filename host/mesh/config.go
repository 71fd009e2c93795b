package mesh

import (
	"context"
	"crypto/ed25519"

	"github.com/inos-mesh/inos"
)

// Config is what a Mesh is opened with. Key, Serve and Now are required. The functions may be called from many goroutines at once,
// OnPeer excepted.
type Config struct {
	// Key is the node's identity: its node id is the libp2p peer id of this Ed25519 key.
	Key ed25519.PrivateKey
	// Listen are the multiaddresses to listen at, like /ip4/0.0.0.0/tcp/4001 and /ip4/0.0.0.0/udp/4001/quic-v1; port 0 is any
	// free one. None: the node is not dialled, except through Relays.
	Listen []string
	// Certificate is what a switchboard shows its peers, at most CertificateBytesMax bytes; nil for other nodes.
	Certificate []byte
	// Verify checks a certificate that a peer has shown and returns when it ends to be valid. Nil: no peer is a switchboard.
	Verify func(peer inos.NodeID, certificate []byte) (until inos.Micros, err error)
	// Serve answers a call. switchboard says that the peer has shown a certificate that is valid now. q.Bulk is a slab that belongs to
	// Serve from then on, the rest of q is its own too. The reply's bulk must fit what the caller takes. ctx ends when the caller is gone, the call's time is over
	// or the mesh closes. An error is told to the caller as CodePeerUnreachable with its text: a refusal that the caller should
	// understand belongs into the reply's envelope.
	Serve func(ctx context.Context, peer inos.NodeID, switchboard bool, q Message) (Message, error)
	// OnPeer is told of each peer that is connected or lost, and when its standing as a switchboard changes; the latest state counts, states that were overtaken are left out.
	// It is called by one goroutine, in order. Nil: nobody wants to know.
	OnPeer func(Peer)
	// Slab returns an empty slice with room for inos.StoredBytesMax, for the bulk of a call to be served; Recycle takes back one
	// that was not handed to Serve. Nil: they are made, and left to the collector.
	Slab    func() []byte
	Recycle func([]byte)
	// RelayService makes the node relay connections between peers that cannot reach each other, within the bounds of Limits.
	RelayService bool
	// Relays are the multiaddresses, ending in /p2p/ID, of nodes that this one asks to relay connections to it. They are for a node behind a
	// NAT: it becomes reachable through them, and tries to punch a hole for a direct connection.
	Relays []string
	// Now is the clock that certificates are held against.
	Now func() inos.Micros
	// Logf gets one line for what a person may want to know; nil: nobody does.
	Logf func(format string, args ...any)
	// Limits are the bounds; fields that are zero are those of DefaultLimits.
	Limits Limits
}

// Message is a call, or its reply.
type Message struct {
	// Envelope is an encoded envelope, handed over as it is: at most inos.EnvelopeBytesMax bytes.
	Envelope []byte
	// Ticket goes with a call, at most TicketBytesMax bytes; a reply has none.
	Ticket []byte
	// Bulk are at most inos.StoredBytesMax bytes.
	Bulk []byte
	// Done is called once when the mesh needs the memory of a reply of Serve no more, whether it was sent or not; may be nil. It is not used
	// in calls: their memory is the caller's again when Call returns.
	Done func()
}

// Peer is the state of another node as seen from here.
type Peer struct {
	ID          inos.NodeID
	Connected   bool
	Switchboard bool     // it has shown a certificate that is valid now
	Vouched     bool     // it is remembered to be a member (Vouch); OnPeer is not told when it changes
	Addrs       []string // where it is connected from or to, without /p2p/ID; at most inos.MemberAddrsMax
}
