package mesh

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/multiformats/go-multiaddr"

	"github.com/inos-mesh/inos"
)

// keeper stays connected to one node.
type keeper struct {
	node   peer.AddrInfo
	cancel context.CancelFunc
	news   chan struct{} // a connection to the node was lost
}

func (k *keeper) wake() {
	select {
	case k.news <- struct{}{}:
	default:
	}
}

// Keep makes the mesh stay connected to the nodes of these multiaddresses, which end in /p2p/ID, dialling again for ever with
// backoff and jitter. They replace those of the Keep before. At most KeepMax nodes. CodeBadRequest, for an address that is
// none too, changes nothing; CodeShuttingDown after Close.
func (m *Mesh) Keep(addrs []string) error {
	nodes, err := parseNodes(addrs)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closing {
		return inos.Errorf(inos.CodeShuttingDown, opKeep, "this node is stopping")
	}
	for id, k := range m.keepers {
		k.cancel()
		delete(m.keepers, id)
	}
	for _, node := range nodes {
		if node.ID == m.host.ID() {
			continue
		}
		k := &keeper{node: node, news: make(chan struct{}, 1)}
		var ctx context.Context
		ctx, k.cancel = context.WithCancel(m.ctx)
		m.keepers[node.ID] = k
		m.goLocked(func() { m.keep(ctx, k) })
	}
	return nil
}

const opKeep = "keep peers"

// keep dials a node whenever it is not connected.
func (m *Mesh) keep(ctx context.Context, k *keeper) {
	defer k.cancel()
	wait, failing := m.backoff(), false
	for ctx.Err() == nil {
		if m.remote(k.node.ID) == nil {
			_, err := m.reach(ctx, k.node)
			if err != nil && !failing && ctx.Err() == nil {
				m.logf("mesh: node %s cannot be reached, trying on: %s", k.node.ID, reason(err))
			}
			failing = failing || err != nil
		}
		if m.remote(k.node.ID) != nil {
			if failing {
				m.logf("mesh: connected to node %s again", k.node.ID)
			}
			since := time.Now()
			select {
			case <-k.news:
			case <-ctx.Done():
			}
			failing = false
			if time.Since(since) > m.limits.BackoffMax { // one that is closed again and again is no success
				wait = m.backoff()
			}
			if m.remote(k.node.ID) != nil {
				continue
			}
		}
		pause(ctx, wait())
	}
}

// backoff returns a sequence of waits: each about twice the one before, up to a bound, with a jitter of half its length.
func (m *Mesh) backoff() func() time.Duration {
	next := m.limits.BackoffMin
	return func() time.Duration {
		wait := next/2 + rand.N(next/2+1)
		next = min(2*next, m.limits.BackoffMax)
		return wait
	}
}

func pause(ctx context.Context, wait time.Duration) {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// dial connects to a node at addresses given or known. A dial that has failed a moment ago is tried again: whoever asks has waited.
func (m *Mesh) dial(ctx context.Context, node peer.AddrInfo) error {
	ctx, cancel := context.WithTimeout(ctx, m.limits.Dial)
	defer cancel()
	if s, ok := m.host.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(node.ID)
	}
	if len(node.Addrs) > 0 {
		m.host.Peerstore().AddAddrs(node.ID, node.Addrs, peerstore.TempAddrTTL)
	}
	return m.host.Connect(network.WithAllowLimitedConn(ctx, "a call"), peer.AddrInfo{ID: node.ID})
}

// reserve keeps a place at a relay, so that others reach this node through it.
func (m *Mesh) reserve(node peer.AddrInfo) {
	wait := m.backoff()
	failing := false
	for m.ctx.Err() == nil {
		var place *client.Reservation
		err := m.dial(m.ctx, node)
		if err == nil {
			m.awaitPuncher()
			ctx, cancel := context.WithTimeout(m.ctx, m.limits.Dial)
			place, err = client.Reserve(ctx, m.host, node)
			cancel()
		}
		if err != nil {
			if !failing && m.ctx.Err() == nil {
				m.logf("mesh: relay %s has no place for this node, trying on: %s", node.ID, reason(err))
			}
			failing = true
			m.setReserved(node.ID, nil)
			pause(m.ctx, wait())
			continue
		}
		failing = false
		m.setReserved(node.ID, m.through(node, place.Addrs))
		since := time.Now()
		m.whileReserved(node.ID, time.Until(place.Expiration)/2)
		if time.Since(since) > m.limits.BackoffMax {
			wait = m.backoff()
		}
		if m.host.Network().Connectedness(node.ID) != network.Connected {
			m.setReserved(node.ID, nil)
			pause(m.ctx, wait())
		}
	}
}

// awaitPuncher waits until holes can be punched, which takes an address that a relay has seen this node at. The library tries once for each
// relayed connection, when it is made: one that came earlier would stay relayed. Without such an address, in a network of its
// own, the wait is short.
func (m *Mesh) awaitPuncher() {
	for end := time.Now().Add(puncherWait); time.Now().Before(end) && m.ctx.Err() == nil; pause(m.ctx, puncherWait/100) {
		if slices.Contains(m.host.Mux().Protocols(), holepunch.Protocol) {
			return
		}
	}
}

const puncherWait = 3 * time.Second

// whileReserved returns when a place has to be asked for again: at its time, or when the connection to the relay is lost, which
// ends it.
func (m *Mesh) whileReserved(id peer.ID, life time.Duration) {
	ctx, cancel := context.WithTimeout(m.ctx, life)
	defer cancel()
	lost := make(chan struct{}, 1)
	watch := &network.NotifyBundle{DisconnectedF: func(n network.Network, c network.Conn) {
		if c.RemotePeer() == id && n.Connectedness(id) != network.Connected {
			select {
			case lost <- struct{}{}:
			default:
			}
		}
	}}
	m.host.Network().Notify(watch)
	defer m.host.Network().StopNotify(watch)
	if m.host.Network().Connectedness(id) != network.Connected {
		return
	}
	select {
	case <-ctx.Done():
	case <-lost:
	}
}

// through returns this node's addresses by way of a relay.
func (m *Mesh) through(node peer.AddrInfo, addrs []multiaddr.Multiaddr) []string {
	var through []string
	for _, a := range append(node.Addrs, addrs...) {
		a, _ = peer.SplitAddr(a)
		if a == nil || isRelayAddr(a) {
			continue
		}
		s := a.String() + "/p2p/" + node.ID.String() + "/p2p-circuit/p2p/" + m.host.ID().String()
		if len(through) < reservedAddrsMax && !slices.Contains(through, s) {
			through = append(through, s)
		}
	}
	return through
}

// reservedAddrsMax bounds the addresses through one relay.
const reservedAddrsMax = 4

func (m *Mesh) setReserved(id peer.ID, addrs []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if addrs == nil {
		delete(m.reserved, id)
	} else {
		m.reserved[id] = addrs
	}
}

// parseNodes reads multiaddresses that end in /p2p/ID, gathered by node.
func parseNodes(addrs []string) ([]peer.AddrInfo, error) {
	var parsed []multiaddr.Multiaddr
	for _, s := range addrs {
		a, err := multiaddr.NewMultiaddr(s)
		if err != nil {
			return nil, inos.Errorf(inos.CodeBadRequest, opKeep, "%q is not a multiaddress: %w", clip(s), err)
		}
		parsed = append(parsed, a)
	}
	nodes, err := peer.AddrInfosFromP2pAddrs(parsed...)
	if err != nil {
		return nil, inos.Errorf(inos.CodeBadRequest, opKeep, "an address does not end in /p2p/ID: %w", err)
	}
	if len(nodes) > KeepMax {
		return nil, inos.Errorf(inos.CodeBadRequest, opKeep, "%d nodes, at most %d", len(nodes), KeepMax)
	}
	return nodes, nil
}

// addrsOf returns those of the addresses that may be a node's.
func addrsOf(id peer.ID, addrs []string) []multiaddr.Multiaddr {
	var found []multiaddr.Multiaddr
	for _, s := range addrs[:min(len(addrs), inos.MemberAddrsMax)] {
		a, err := multiaddr.NewMultiaddr(s)
		if err != nil {
			continue
		}
		transport, named := peer.SplitAddr(a)
		if transport != nil && (named == "" || named == id) {
			found = append(found, transport)
		}
	}
	return found
}
