package mesh

import (
	"context"

	"github.com/inos-mesh/inos"
)

// Mesh is a node's side of the mesh. Its methods may be called from many goroutines at once.
type Mesh struct{}

// Open listens and begins to serve. Errors: CodeBadRequest for a configuration that cannot be, CodeAddressInUse, CodeIO.
func Open(ctx context.Context, c Config) (*Mesh, error) {
	return nil, inos.Errorf(inos.CodeInternal, "open mesh", "not built yet")
}

// Call sends q to a peer and returns its reply. Without a connection it dials addrs (multiaddresses, with or without /p2p/ID) and those known from before.
// The reply's bulk is read into bulk, whose capacity bounds it: nil takes none. Memory of q is the caller's again when Call returns.
//
// Errors: CodePeerUnreachable, with the peer and the reason, when no reply came: whether the peer has done what was asked is then not known.
// CodeBadRequest for a q above the bounds; CodeBadFormat for a reply that follows no format; CodeCanceled and
// CodeDeadlineExceeded with ctx; CodeShuttingDown after Close.
func (m *Mesh) Call(ctx context.Context, peer inos.NodeID, addrs []string, q Message, bulk []byte) (Message, error) {
	return Message{}, inos.Errorf(inos.CodeInternal, "call peer", "not built yet")
}

// Keep makes the mesh stay connected to the nodes of these multiaddresses, which end in /p2p/ID, dialling again for ever, with backoff and jitter.
// They replace those of the Keep before; CodeBadRequest changes nothing.
func (m *Mesh) Keep(addrs []string) error { return nil }

// SetCertificate replaces the certificate that this node shows, and shows it to every peer that is connected.
func (m *Mesh) SetCertificate(certificate []byte) error { return nil }

// ID returns the node id of this node.
func (m *Mesh) ID() inos.NodeID { return "" }

// Addrs returns the multiaddresses at which others may dial this node, each ending in /p2p/ID, those through relays included.
func (m *Mesh) Addrs() []string { return nil }

// Peers returns the peers that are connected, sorted by id.
func (m *Mesh) Peers() []Peer { return nil }

// Close ends all connections and waits until no call is being served and no goroutine is left. Calls under way fail.
func (m *Mesh) Close() error { return nil }
