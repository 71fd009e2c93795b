package mesh

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

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

// Strangers do not stand in the way of a switchboard's calls, however many they are.
func TestSwitchboardsHaveARoomOfTheirOwn(t *testing.T) {
	v := verifier{}
	v.until.Store(1 << 60)
	g := newGate()
	m := open(t, 1, func(c *Config) {
		c.Verify, c.Serve = v.verify, g.stubborn
		c.Limits.ServingPerPeer, c.Limits.Serving = 2, 4
	})
	call := rawHead(0, 0, 0, 0, 0)
	for i := range 2 {
		h := rawHost(t, 2+i)
		for range 2 {
			write(t, rawStream(t, h, m, forEvents), call[:])
		}
	}
	for range 3 {
		<-g.come
	}
	h := rawHost(t, 9)
	connect(t, h, m)
	s, err := h.NewStream(t.Context(), m.host.ID(), forEvents.id())
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, append(appendGreeting(nil, []byte("valid")), call[:]...))
	<-g.come
	g.mu.Lock()
	if n := g.in[inos.NodeID(h.ID().String())]; n != 1 {
		t.Errorf("a stranger's call has the place that is kept for switchboards: %v", g.in)
	}
	g.mu.Unlock()
	for range 5 {
		g.open <- struct{}{}
	}
}
