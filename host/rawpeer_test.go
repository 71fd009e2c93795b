package host

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/mesh"
	"github.com/inos-mesh/inos/host/trust"
)

// rawPeer is a node of the mesh's network that has no kernel: it shows and says what a test wants.
type rawPeer struct {
	*mesh.Mesh
	t    testing.TB
	key  ed25519.PrivateKey
	node inos.NodeID
	now  func() inos.Micros
}

// newRawPeer makes one; certificate makes what it shows, nil nothing. Serve answers what others ask it, nil refuses.
func newRawPeer(t testing.TB, certificate func(node inos.NodeID) []byte, serve func(inos.NodeID, *eventpb.Envelope, mesh.Message) (mesh.Message, error)) *rawPeer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	clock := newClock()
	p := &rawPeer{t: t, key: key, node: trust.NodeOf(key.Public().(ed25519.PublicKey)), now: clock.Now}
	c := mesh.Config{Key: key, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Now: clock.Now, Logf: t.Logf}
	if certificate != nil {
		c.Certificate = certificate(p.node)
	}
	c.Serve = func(_ context.Context, peer inos.NodeID, _ bool, q mesh.Message) (mesh.Message, error) {
		e, err := event.Decode(q.Envelope)
		if err != nil || serve == nil {
			return mesh.Message{}, inos.Errorf(inos.CodeUnknownEvent, "serve call", "nobody answers here")
		}
		return serve(peer, e, q)
	}
	if p.Mesh, err = mesh.Open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close a peer: %v", err)
		}
	})
	return p
}

// ask calls another node and opens its reply; the error is the reply's, or that there is none.
func ask(ctx context.Context, from *mesh.Mesh, to *Node, eventType string, q event.Message, ticket, bulk []byte, reply event.Message) ([]byte, error) {
	e := to.hostEnvelope(eventType, q)
	e.Metadata = nil
	m, err := from.Call(ctx, to.id, to.MeshAddrs(), mesh.Message{Envelope: event.Encode(nil, e), Ticket: ticket, Bulk: bulk}, make([]byte, 0, inos.StoredBytesMax))
	if err != nil {
		return nil, err
	}
	got, err := event.Decode(m.Envelope)
	if err != nil {
		return nil, err
	}
	if event.StateOf(got.EventType) == event.StateFailed {
		return nil, event.FailureOf(got)
	}
	if reply == nil {
		return m.Bulk, nil
	}
	return m.Bulk, event.Open(got, reply)
}

// ask is ask of a raw peer.
func (p *rawPeer) ask(to *Node, eventType string, q event.Message, ticket []byte, reply event.Message) ([]byte, error) {
	return ask(p.t.Context(), p.Mesh, to, eventType, q, ticket, nil, reply)
}

// answered is ask of who may have been cut off by the other node just now, and has not noticed it yet: then it asks once more.
func (p *rawPeer) answered(to *Node, eventType string, q event.Message, ticket []byte) error {
	for {
		_, err := p.ask(to, eventType, q, ticket, nil)
		if inos.CodeOf(err) != inos.CodePeerUnreachable || p.t.Context().Err() != nil {
			return err
		}
		<-time.After(10 * time.Millisecond)
	}
}

// root reads the root key of a test's mesh.
func (m *testMesh) root() *trust.Root {
	m.t.Helper()
	text, err := os.ReadFile(filepath.Join(m.parent, "root.key"))
	if err != nil {
		m.t.Fatal(err)
	}
	fields := strings.Fields(string(text))
	seed, err := hex.DecodeString(fields[len(fields)-1])
	if err != nil {
		m.t.Fatal(err)
	}
	root, err := trust.NewRoot(seed)
	if err != nil {
		m.t.Fatal(err)
	}
	return root
}

// certifiedBy makes certificates of a root that count from and until a distance from now.
func certifiedBy(t testing.TB, root *trust.Root, from, until inos.Micros) func(inos.NodeID) []byte {
	return func(node inos.NodeID) []byte {
		clock := newClock()
		raw, err := root.Certify(node, clock.Now()+from, clock.Now()+until)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
}

// signer lets a raw peer sign as the switchboard that it is certified to be.
func (p *rawPeer) signer(root *trust.Root, certificate []byte) *trust.Signer {
	p.t.Helper()
	s, err := trust.NewSigner(root.Verifier(), p.key, certificate, p.now())
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}
