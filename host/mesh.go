package host

import (
	"context"
	"strings"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/mesh"
	"github.com/inos-mesh/inos/host/trust"
)

// meshCallTimeout is how long a call may take for which the kernel names no time.
const meshCallTimeout = 30 * time.Second

// alone says that no other node can be reached: a lone node, which listens at no address of the mesh.
func (n *Node) alone() bool { return n.config.Switchboard && len(n.config.MeshListen) == 0 }

// openMesh listens for other nodes. Their calls wait until the kernel is booted.
func (n *Node) openMesh(ctx context.Context) error {
	if n.alone() {
		return nil
	}
	var certificate []byte
	if n.signer() != nil {
		certificate = n.signer().Certificate()
	}
	m, err := mesh.Open(ctx, mesh.Config{
		Key: n.key, Listen: n.config.MeshListen, Certificate: certificate, Verify: n.verifyPeer, Serve: n.serveCall, OnPeer: n.peerNews,
		Slab: n.buffers.slab, Recycle: n.buffers.recycle, RelayService: n.config.RelayService, Relays: n.config.Relays,
		Now: n.clock.Now, Logf: n.logf, Limits: n.config.meshLimits(),
	})
	if err != nil {
		return err
	}
	n.mesh = m
	if n.authority.invite == nil {
		return nil
	}
	return m.Keep(n.authority.invite.Content.Switchboards)
}

// verifyPeer checks the certificate that a peer shows.
func (n *Node) verifyPeer(peer inos.NodeID, certificate []byte) (until inos.Micros, err error) {
	c, err := n.authority.verifier.Certificate(certificate, n.clock.Now())
	if err != nil {
		return 0, err
	}
	if c.Node != peer {
		return 0, inos.Errorf(inos.CodeUnauthenticated, "check certificate", "%s shows the certificate of %s", peer, c.Node)
	}
	if n.signer() != nil {
		n.meetSwitchboard(c)
	}
	return c.Expires, nil
}

// meetSwitchboard ends this node when the other switchboard of the mesh was certified before it: each has a map of its own, and two maps
// would order the same nodes about.
func (n *Node) meetSwitchboard(other trust.Certificate) {
	own := n.signer().About()
	err := inos.Errorf(inos.CodeSecondSwitchboard, "join mesh", "%s is a switchboard of this mesh too", other.Node)
	if other.NotBefore > own.NotBefore || other.NotBefore == own.NotBefore && other.Node > own.Node {
		n.logf("%v; it was certified later and has to stop", err)
		return
	}
	n.logf("%v; it was certified before this one, which stops", err)
	n.fail(err)
	n.stop()
}

// peerNews tells the kernel that a connection was made or lost.
func (n *Node) peerNews(p mesh.Peer) {
	n.peersMu.Lock()
	defer n.peersMu.Unlock()
	if l := n.currentLoop(); l != nil {
		l.result(n.peerEnvelope(p))
	}
}

// tellPeers tells a kernel that has booted who is connected. What changes meanwhile is told after it.
func (n *Node) tellPeers(l *loop) {
	if n.mesh == nil {
		return
	}
	n.peersMu.Lock()
	defer n.peersMu.Unlock()
	for _, p := range n.mesh.Peers() {
		l.result(n.peerEnvelope(p))
	}
}

func (n *Node) peerEnvelope(p mesh.Peer) *eventpb.Envelope {
	return n.hostEnvelope(event.MeshPeer, &eventpb.MeshPeer{
		Peer: string(p.ID), Connected: p.Connected, Switchboard: p.Switchboard, Addrs: p.Addrs,
	})
}

// MeshAddrs returns the multiaddresses at which other nodes reach this one, each ending in /p2p/ID; none for a lone node.
func (n *Node) MeshAddrs() []string {
	if n.mesh == nil {
		return nil
	}
	return n.mesh.Addrs()
}

// nodeOfAddr returns the node that a multiaddress ends in.
func nodeOfAddr(addr string) (inos.NodeID, error) {
	const mark = "/p2p/"
	i := strings.LastIndex(addr, mark)
	if i < 0 {
		return "", inos.Errorf(inos.CodeBadFormat, "read address", "%.200q does not end in %sID", addr, mark)
	}
	node := inos.NodeID(addr[i+len(mark):])
	_, err := trust.KeyOf(node)
	return node, err
}
