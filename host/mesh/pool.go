package mesh

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// pool holds the streams of one protocol to one peer that wait for a call.
type pool struct {
	mesh   *Mesh
	remote *remote
	kind   protocolKind
	turns  *budget // calls under way

	mu   sync.Mutex // guards idle
	idle []*stream  // the one used last is last, and used first
}

func newPool(m *Mesh, r *remote, k protocolKind) *pool {
	return &pool{mesh: m, remote: r, kind: k, turns: newBudget(m.limits.Calling)}
}

// take waits for a turn and returns a stream, open or new.
func (p *pool) take(ctx context.Context) (*stream, error) {
	if err := p.turns.take(ctx, 1); err != nil {
		return nil, err
	}
	for {
		s := p.pop()
		if s == nil {
			break
		}
		if !s.Conn().IsClosed() && !p.mesh.outdone(p.remote, s.Conn()) {
			return s, nil
		}
		_ = s.Reset()
	}
	s, err := p.mesh.openStream(ctx, p.kind, func() network.Conn { return p.mesh.best(p.remote) })
	if err != nil {
		p.turns.give(1)
	}
	return s, err
}

func (p *pool) pop() *stream {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	s := p.idle[len(p.idle)-1]
	p.idle[len(p.idle)-1] = nil
	p.idle = p.idle[:len(p.idle)-1]
	return s
}

// release ends a turn. The stream is kept when the call has ended as it should and nothing of it can still come.
func (p *pool) release(s *stream, sound bool) {
	if sound {
		p.keep(s)
	} else {
		_ = s.Reset()
	}
	p.turns.give(1)
}

// keep puts a stream where the next call finds it, or closes it when there are enough.
func (p *pool) keep(s *stream) {
	s.idleSince = time.Now()
	p.mu.Lock()
	kept := len(p.idle) < p.mesh.limits.StreamsIdle && s.reader.Buffered() == 0
	if kept {
		p.idle = append(p.idle, s)
	}
	p.mu.Unlock()
	if !kept {
		_ = s.Reset()
	}
}

// sweep closes the streams that have been idle since before a time.
func (p *pool) sweep(before time.Time) {
	p.mu.Lock()
	old := 0
	for old < len(p.idle) && p.idle[old].idleSince.Before(before) {
		old++
	}
	closing := slices.Clone(p.idle[:old])
	p.idle = slices.Delete(p.idle, 0, old)
	p.mu.Unlock()
	for _, s := range closing {
		_ = s.Reset()
	}
}

// openStream opens a stream on the connection that is chosen, and greets.
func (m *Mesh) openStream(ctx context.Context, k protocolKind, choose func() network.Conn) (*stream, error) {
	ctx, cancel := context.WithTimeout(ctx, m.limits.Hello)
	defer cancel()
	ctx = network.WithAllowLimitedConn(ctx, "a call")
	raw, err := openRaw(ctx, k, choose())
	for errors.Is(err, network.ErrResourceLimitExceeded) && ctx.Err() == nil { // a call waits for its stream
		m.closeIdle()
		pause(ctx, streamPause)
		raw, err = openRaw(ctx, k, choose())
	}
	if err != nil {
		return nil, err
	}
	s := newStream(raw)
	_ = s.SetWriteDeadline(time.Now().Add(m.limits.Hello))
	if err := s.greet(m.certificateShown()); err != nil {
		_ = s.Reset()
		return nil, err
	}
	_ = s.SetWriteDeadline(time.Time{})
	return s, nil
}

// streamPause is between two tries to open a stream while there are as many as may be.
const streamPause = 20 * time.Millisecond

// closeIdle closes all streams of this node that wait for a call.
func (m *Mesh) closeIdle() {
	m.mu.Lock()
	var pools []*pool
	for _, r := range m.remotes {
		pools = append(pools, r.streams[:]...)
	}
	m.mu.Unlock()
	for _, p := range pools {
		p.sweep(time.Now().Add(time.Hour))
	}
}

// best returns the connection that calls to a peer go by, or nil: a direct one before one through a relay, one on which the peer has greeted before one on
// which it has not, and of several the newest. Who comes again has lost the connection it had before, which may take this side half a minute to
// see: the library would open every stream there, for it has more of them.
func (m *Mesh) best(r *remote) network.Conn {
	m.mu.Lock()
	defer m.mu.Unlock()
	var best *link
	rank := 0
	for _, l := range r.links { // the newest is last
		n := 1
		if !relayed(l.conn) {
			n += 2
		}
		if l.greeted {
			n++
		}
		if n >= rank && !l.conn.IsClosed() {
			best, rank = l, n
		}
	}
	if best == nil {
		return nil
	}
	return best.conn
}

// outdone says whether there is a better connection to a peer.
func (m *Mesh) outdone(r *remote, c network.Conn) bool {
	best := m.best(r)
	return best != nil && best != c
}
