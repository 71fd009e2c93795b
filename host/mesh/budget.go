package mesh

import (
	"context"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// budget hands out a bounded amount of something, first come, first served.
type budget struct {
	max int

	mu      sync.Mutex // guards the fields below
	free    int
	waiting []*claim // in order; bounded by the streams that may be open
}

type claim struct {
	n     int
	taken chan struct{}
}

func newBudget(limit int) *budget { return &budget{max: limit, free: limit} }

// take waits until n are free and takes them; more than there are in all means all. It fails only with ctx.
func (b *budget) take(ctx context.Context, n int) error {
	n = min(n, b.max)
	b.mu.Lock()
	if len(b.waiting) == 0 && b.free >= n {
		b.free -= n
		b.mu.Unlock()
		return nil
	}
	c := &claim{n: n, taken: make(chan struct{})}
	b.waiting = append(b.waiting, c)
	b.mu.Unlock()
	select {
	case <-c.taken:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, other := range b.waiting {
		if other == c {
			b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
			b.wakeLocked()
			return ctx.Err()
		}
	}
	b.free += c.n // it was given in between
	b.wakeLocked()
	return ctx.Err()
}

// give returns what take took.
func (b *budget) give(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += min(n, b.max)
	b.wakeLocked()
}

func (b *budget) wakeLocked() {
	for len(b.waiting) > 0 && b.waiting[0].n <= b.free {
		b.free -= b.waiting[0].n
		close(b.waiting[0].taken)
		b.waiting[0] = nil
		b.waiting = b.waiting[1:]
	}
}

// room is the calls and the bytes that are served at once.
type room struct{ calls, bytes *budget }

func newRoom(calls, bytes int) room { return room{newBudget(calls), newBudget(bytes)} }

// share is what one peer may have served at once. It lasts as long as the peer is connected and as calls of its are served, so that who
// hangs up and comes again has no second one.
type share struct {
	rooms [protocolKinds]room
	users int // guarded by Mesh.mu: 1 for its connections, 1 for each stream that is served
}

// shareLocked returns a peer's share, and counts one user more.
func (m *Mesh) shareLocked(id peer.ID) *share {
	s := m.shares[id]
	if s == nil {
		s = &share{}
		for k := range protocolKinds {
			s.rooms[k] = newRoom(m.limits.ServingPerPeer, m.limits.ServingBytesPerPeer)
		}
		m.shares[id] = s
	}
	s.users++
	return s
}

// unshareLocked ends one use of a peer's share.
func (m *Mesh) unshareLocked(id peer.ID) {
	s := m.shares[id]
	if s.users--; s.users == 0 {
		delete(m.shares, id)
	}
}
