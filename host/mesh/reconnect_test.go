package mesh

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/inos-mesh/inos"
)

// stubborn is a Serve that ends when it is let go and not before, as one does whose kernel has the call under way.
func (g *gate) stubborn(_ context.Context, peer inos.NodeID, _ bool, q Message) (Message, error) {
	return g.serve(context.Background(), peer, false, q)
}

// A peer that comes again has no second share while calls of its last connection are served.
func TestSharesOutliveConnections(t *testing.T) {
	const perPeer, inAll = 2, 4
	g := newGate()
	m := open(t, 1, func(c *Config) {
		c.Serve = g.stubborn
		c.Limits.ServingPerPeer, c.Limits.Serving = perPeer, inAll
	})
	h := rawHost(t, 2)
	call := rawHead(0, 0, 0, 0, 0)
	for range perPeer {
		write(t, rawStream(t, h, m, forEvents), call[:])
		<-g.come
	}
	lost := make(chan struct{})
	var once sync.Once
	m.host.Network().Notify(&network.NotifyBundle{DisconnectedF: func(network.Network, network.Conn) { once.Do(func() { close(lost) }) }})
	if err := h.Network().ClosePeer(m.host.ID()); err != nil {
		t.Fatal(err)
	}
	<-lost
	for range perPeer {
		write(t, rawStream(t, h, m, forEvents), call[:])
	}
	waiting := func() int {
		m.mu.Lock()
		defer m.mu.Unlock()
		calls := m.shares[h.ID()].rooms[forEvents].calls
		calls.mu.Lock()
		defer calls.mu.Unlock()
		return len(calls.waiting)
	}
	for began := time.Now(); waiting() < perPeer && len(g.come) == 0; time.Sleep(time.Millisecond) {
		if time.Since(began) > hangTime {
			t.Fatal("the calls of the second connection neither wait nor are served")
		}
	}
	for range 2 * perPeer {
		g.open <- struct{}{}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if most := g.most[inos.NodeID(h.ID().String())]; most != perPeer {
		t.Errorf("%d calls of one peer were served at once, at most %d", most, perPeer)
	}
}

// Strangers do not stand in the way of a switchboard's calls, nor of a member's, however many they are.
func TestPlacesAreKeptFromStrangers(t *testing.T) {
	const peers, perPeer, inAll = 3, 3, 8
	v := verifier{}
	v.until.Store(1 << 60)
	g := newGate()
	m := open(t, 1, func(c *Config) {
		c.Verify, c.Serve = v.verify, g.stubborn
		c.Limits.ServingPerPeer, c.Limits.Serving = perPeer, inAll
	})
	call := rawHead(0, 0, 0, 0, 0)
	for i := range peers {
		h := rawHost(t, 2+i)
		for range perPeer {
			write(t, rawStream(t, h, m, forEvents), call[:])
		}
	}
	for range inAll - inAll/keptShare {
		<-g.come
	}
	board := rawHost(t, 9)
	connect(t, board, m)
	s, err := board.NewStream(t.Context(), m.host.ID(), forEvents.id())
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, append(appendGreeting(nil, []byte("valid")), call[:]...))
	member := rawHost(t, 10)
	m.Vouch(inos.NodeID(member.ID().String()))
	write(t, rawStream(t, member, m, forEvents), call[:])
	for range 2 {
		<-g.come
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, h := range []host.Host{board, member} {
		if n := g.in[inos.NodeID(h.ID().String())]; n != 1 {
			t.Errorf("a stranger's call has a place that is kept from strangers: %v", g.in)
		}
	}
	close(g.open)
}

// Who is remembered to be a member is bounded, and one that is connected stays.
func TestVouchedPeersAreBounded(t *testing.T) {
	m := open(t, 1, nil)
	h := rawHost(t, 2)
	rawStream(t, h, m, forEvents)
	m.Vouch(inos.NodeID(h.ID().String()))
	for i := range vouchedMax {
		m.Vouch(nobody(i))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.vouched[h.ID()] || len(m.vouched) != vouchedMax {
		t.Errorf("%d peers are remembered, the connected one: %t", len(m.vouched), m.vouched[h.ID()])
	}
}

// nobody is the id of a node that there is not.
func nobody(i int) inos.NodeID {
	digest := sha256.Sum256(fmt.Append(nil, i))
	return inos.NodeID(peer.ID(append([]byte{0x12, 0x20}, digest[:]...)).String()) // a multihash: SHA2-256, 32 bytes
}
