package mesh

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/inos-mesh/inos"
)

// remote is a peer while at least one connection to it exists.
type remote struct {
	id      peer.ID
	node    inos.NodeID
	links   []*link // guarded by Mesh.mu; at most Limits.ConnectionsPerPeer
	streams [protocolKinds]*pool
	share   *share
}

// link is one connection.
type link struct {
	conn    network.Conn
	remote  *remote
	overdue *time.Timer // closes the connection unless a greeting comes
	judging sync.Mutex  // held while a certificate is verified, so that nothing is served before the verdict

	// Guarded by Mesh.mu.
	greeted     bool
	gone        bool
	certificate []byte // shown last
	vain        int    // certificates that were verified, or are, since the last valid one
	until       inos.Micros
	expiry      *time.Timer
	usedAt      time.Time
}

// linked takes note of a connection, before any stream of it is opened or accepted.
func (m *Mesh) linked(c network.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closing {
		return
	}
	r := m.remotes[c.RemotePeer()]
	if r == nil {
		r = &remote{id: c.RemotePeer(), node: inos.NodeID(c.RemotePeer().String())}
		for k := range protocolKinds {
			r.streams[k] = newPool(m, r, k)
		}
		r.share = m.shareLocked(r.id)
		m.remotes[r.id] = r
	}
	l := &link{conn: c, remote: r, usedAt: time.Now()}
	l.overdue = time.AfterFunc(m.limits.Hello, func() { m.cutUngreeted(l) })
	r.links = append(r.links, l)
	if c.Stat().Direction == network.DirOutbound {
		m.goLocked(func() { m.hello(l) })
	}
}

// unlinked takes note that a connection is gone.
func (m *Mesh) unlinked(c network.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.remotes[c.RemotePeer()]
	if r == nil {
		return
	}
	i := slices.IndexFunc(r.links, func(l *link) bool { return l.conn == c })
	if i < 0 {
		return
	}
	l := r.links[i]
	l.gone = true
	l.overdue.Stop()
	if l.expiry != nil {
		l.expiry.Stop()
	}
	r.links = slices.Delete(r.links, i, i+1)
	if len(r.links) == 0 {
		delete(m.remotes, r.id)
		m.unshareLocked(r.id)
	}
	m.newsLocked(r.id)
	if k := m.keepers[r.id]; k != nil {
		k.wake()
	}
}

// linkOf returns the connection that a stream belongs to, or nil when it is gone.
func (m *Mesh) linkOf(s network.Stream) *link {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.linkOfLocked(s)
}

func (m *Mesh) linkOfLocked(s network.Stream) *link {
	if r := m.remotes[s.Conn().RemotePeer()]; r != nil {
		for _, l := range r.links {
			if l.conn == s.Conn() {
				l.usedAt = time.Now()
				return l
			}
		}
	}
	return nil
}

// hello opens the first stream of a connection that this node has made, so that each side learns what the other is.
func (m *Mesh) hello(l *link) {
	ctx, cancel := context.WithTimeout(m.ctx, m.limits.Hello)
	defer cancel()
	s, err := m.openStream(ctx, forEvents, func() network.Conn { return l.conn })
	if err == nil {
		stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
		err = m.readGreeting(s)
		if !stop() || err != nil {
			_ = s.Reset()
		} else {
			l.remote.streams[forEvents].keep(s)
		}
	}
	if err != nil && m.ctx.Err() == nil {
		m.logf("mesh: node %s does not greet: %s", l.remote.id, reason(err))
	}
}

// readGreeting reads the peer's first frame on a stream of ours.
func (m *Mesh) readGreeting(s *stream) error {
	certificate, err := readGreeting(s.reader)
	if err != nil {
		return err
	}
	s.greeted = true
	m.greeted(m.linkOf(s), certificate)
	return nil
}

// greeted takes note of a peer's greeting on a connection. A certificate is verified once: shown again, or none shown, the
// verdict stays; another one counts when it is valid.
func (m *Mesh) greeted(l *link, certificate []byte) {
	if l == nil {
		return
	}
	l.judging.Lock()
	defer l.judging.Unlock()
	m.mu.Lock()
	first := !l.greeted
	l.greeted = true
	l.overdue.Stop()
	fresh := len(certificate) > 0 && !bytes.Equal(certificate, l.certificate) && l.vain < vainMax
	if fresh {
		l.certificate = certificate
		l.vain++
	}
	m.mu.Unlock()
	counted := false
	for again := fresh && m.config.Verify != nil; again; {
		before := m.rechecks.Load()
		until, err := m.config.Verify(l.remote.node, certificate)
		switch {
		case err == nil:
			m.certified(l, until)
		case counted:
			m.uncertified(l)
			fallthrough
		default:
			m.refuse(l, err)
		}
		counted = err == nil
		again = err == nil && before != m.rechecks.Load() // what was valid a moment ago may not be any more
	}
	if first {
		m.news(l.remote.id)
	}
}

// Recheck verifies once more the certificates that peers have shown, and closes the connections of those whose do not count any more.
func (m *Mesh) Recheck() {
	m.rechecks.Add(1)
	m.mu.Lock()
	var shown []*link
	for _, r := range m.remotes {
		for _, l := range r.links {
			if l.until != 0 {
				shown = append(shown, l)
			}
		}
	}
	m.mu.Unlock()
	for _, l := range shown {
		m.mu.Lock()
		certificate := l.certificate
		m.mu.Unlock()
		if _, err := m.config.Verify(l.remote.node, certificate); err != nil {
			m.logf("mesh: the certificate of node %s does not count any more: %v", l.remote.id, err)
			m.uncertified(l)
			_ = l.conn.Close()
		}
	}
}

// vainMax bounds the certificates of one connection that are verified in vain; then it is closed.
const vainMax = 8

func (m *Mesh) refuse(l *link, err error) {
	m.logf("mesh: node %s shows a certificate that is not valid: %v", l.remote.id, err)
	m.mu.Lock()
	enough := l.vain >= vainMax
	m.mu.Unlock()
	if enough {
		_ = l.conn.Close()
	}
}

// certified makes the peer of a connection a switchboard until a time.
func (m *Mesh) certified(l *link, until inos.Micros) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l.gone {
		return
	}
	l.until, l.vain = until, 0
	if l.expiry != nil {
		l.expiry.Stop()
	}
	l.expiry = time.AfterFunc(expiryWait(until-m.config.Now()), func() { m.expire(l, until) })
	m.newsLocked(l.remote.id)
}

// uncertified makes the peer of a connection a node like any other.
func (m *Mesh) uncertified(l *link) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l.until = 0
	m.newsLocked(l.remote.id)
}

// expire tells of the end of a certificate, or waits on when the clock is not there yet.
func (m *Mesh) expire(l *link, until inos.Micros) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l.gone || l.until != until {
		return
	}
	if left := until - m.config.Now(); left > 0 {
		l.expiry.Reset(expiryWait(left))
		return
	}
	m.newsLocked(l.remote.id)
}

// expiryWait is how long to wait before a certificate is looked at again: not for ever at once, for clocks jump.
func expiryWait(left inos.Micros) time.Duration {
	return time.Duration(max(1, min(left, inos.Hour))) * time.Microsecond
}

// isSwitchboard says whether the peer of a connection has shown a certificate that is valid now.
func (m *Mesh) isSwitchboard(l *link) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return l.until > m.config.Now()
}

// cutUngreeted ends a connection on which nothing was said: it is no node of a mesh, and its place is wanted.
func (m *Mesh) cutUngreeted(l *link) {
	m.mu.Lock()
	cut := !l.greeted && !l.gone
	m.mu.Unlock()
	if cut {
		m.logf("mesh: closing a connection of %s without a greeting", l.remote.id)
		_ = l.conn.Close()
	}
}

// stateLocked is what OnPeer is told of a peer.
func (m *Mesh) stateLocked(id peer.ID) Peer {
	p := Peer{ID: inos.NodeID(id.String())}
	r := m.remotes[id]
	if r == nil {
		return p
	}
	p.Vouched = m.vouched[id]
	now := m.config.Now()
	for _, l := range r.links {
		if !l.greeted {
			continue
		}
		p.Connected = true
		p.Switchboard = p.Switchboard || l.until > now
		if addr := l.conn.RemoteMultiaddr().String(); len(p.Addrs) < inos.MemberAddrsMax && !slices.Contains(p.Addrs, addr) {
			p.Addrs = append(p.Addrs, addr)
		}
	}
	return p
}

// Peers returns the peers that are connected, sorted by id.
func (m *Mesh) Peers() []Peer {
	m.mu.Lock()
	defer m.mu.Unlock()
	var peers []Peer
	for id := range m.remotes {
		if p := m.stateLocked(id); p.Connected {
			peers = append(peers, p)
		}
	}
	slices.SortFunc(peers, func(a, b Peer) int { return cmp.Compare(a.ID, b.ID) })
	return peers
}

// sweep closes streams and connections that have had nothing to do, at intervals, until the mesh closes.
func (m *Mesh) sweep() {
	every := time.NewTicker(max(time.Millisecond, min(m.limits.StreamIdle, m.limits.PeerIdle)/4))
	defer every.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-every.C:
			m.sweepOnce(time.Now())
		}
	}
}

func (m *Mesh) sweepOnce(now time.Time) {
	m.mu.Lock()
	var pools []*pool
	var idle []network.Conn
	for id, r := range m.remotes {
		pools = append(pools, r.streams[:]...)
		direct := slices.ContainsFunc(r.links, func(l *link) bool { return l.greeted && !relayed(l.conn) })
		for _, l := range r.links {
			// Once there is a direct way the relayed one is only a burden to the relay.
			if unused := len(l.conn.GetStreams()) == 0 && now.Sub(l.usedAt) > m.limits.StreamIdle; unused &&
				(direct && relayed(l.conn) || m.keepers[id] == nil && now.Sub(l.usedAt) > m.limits.PeerIdle) {
				idle = append(idle, l.conn)
			}
		}
	}
	m.mu.Unlock()
	for _, p := range pools {
		p.sweep(now.Add(-m.limits.StreamIdle))
	}
	for _, c := range idle {
		_ = c.Close()
	}
}
