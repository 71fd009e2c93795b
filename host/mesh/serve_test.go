package mesh

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
)

// gate is a Serve that holds each call until it is let go, and counts.
type gate struct {
	mu   sync.Mutex // guards the fields below
	in   map[inos.NodeID]int
	most map[inos.NodeID]int // the key "" is for all peers
	come chan struct{}
	open chan struct{}
}

func newGate() *gate {
	return &gate{in: map[inos.NodeID]int{}, most: map[inos.NodeID]int{}, come: make(chan struct{}, 1000), open: make(chan struct{})}
}

func (g *gate) serve(ctx context.Context, peer inos.NodeID, _ bool, _ Message) (Message, error) {
	g.add(peer, 1)
	defer g.add(peer, -1)
	g.come <- struct{}{}
	select {
	case <-g.open:
	case <-ctx.Done():
	}
	return Message{}, ctx.Err()
}

func (g *gate) add(peer inos.NodeID, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, key := range []inos.NodeID{"", peer} {
		g.in[key] += n
		g.most[key] = max(g.most[key], g.in[key])
	}
}

// As many calls are served at once as the limits say, and no more; the others wait and are served in the end.
func TestCallsBeyondTheLimitWait(t *testing.T) {
	const perPeer, inAll, calls = 3, 5, 12
	for _, c := range []struct {
		name   string
		bulk   int
		change func(*Limits)
	}{
		{"places for events", 0, func(l *Limits) { l.ServingPerPeer, l.Serving = perPeer, inAll }},
		{"places for chunks", 1, func(l *Limits) { l.ServingPerPeer, l.Serving = perPeer, inAll }},
		{"bytes for events", 0, func(l *Limits) { l.ServingBytesPerPeer, l.ServingBytes = 1000*perPeer+999, 1000*inAll+999 }},
		{"bytes for chunks", 1, func(l *Limits) {
			l.ServingBytesPerPeer, l.ServingBytes = (1000+inos.StoredBytesMax)*perPeer+999, (1000+inos.StoredBytesMax)*inAll+999
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGate()
			m := open(t, 1, func(config *Config) { config.Serve = g.serve; c.change(&config.Limits) })
			peers := []*Mesh{open(t, 2, nil), open(t, 3, nil)}
			var wait sync.WaitGroup
			for i := range calls {
				wait.Go(func() {
					q := Message{Envelope: make([]byte, 1000), Bulk: make([]byte, c.bulk)}
					if _, err := peers[i%2].Call(t.Context(), m.ID(), m.Addrs(), q, nil); err != nil {
						t.Error(err)
					}
				})
			}
			for range inAll { // both have more than their share waiting, so all places are taken
				<-g.come
			}
			for range calls {
				g.open <- struct{}{}
			}
			wait.Wait()
			g.mu.Lock()
			defer g.mu.Unlock()
			if of := max(g.most[peers[0].ID()], g.most[peers[1].ID()]); g.most[""] != inAll || of != perPeer {
				t.Errorf("served at once: %v; want %d in all, at most %d of each", g.most, inAll, perPeer)
			}
		})
	}
}

// A call that waits for a place is not read: what its peer can send meanwhile is the window of the stream.
func TestWaitingCallIsNotRead(t *testing.T) {
	g := newGate()
	var count slabs
	m := open(t, 1, func(c *Config) { c.Serve = g.serve; c.Limits.Serving = 1; count.config(c) })
	h := rawHost(t, 2)
	call := func() []byte {
		b := rawHead(0, inos.StoredBytesMax, 0, 0, 0)
		return append(b[:], make([]byte, inos.StoredBytesMax)...)
	}
	first := rawStream(t, h, m, forChunks)
	write(t, first, call())
	<-g.come
	second := rawStream(t, h, m, forChunks)
	_ = second.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	if n, err := second.Write(call()); err == nil || n >= inos.StoredBytesMax {
		t.Errorf("%d bytes of a call were taken that has no place", n)
	}
	if made := count.made.Load(); made != 1 {
		t.Errorf("%d slabs are taken for one place", made)
	}
	close(g.open)
}

// Calls that wait for calls: with a single place for each protocol, a call without bulk may still ask others for bulk, around a ring.
func TestEventsMayWaitForChunks(t *testing.T) {
	meshes := make([]*Mesh, 3)
	for i := range meshes {
		meshes[i] = open(t, i, func(c *Config) {
			c.Limits.Serving, c.Limits.ServingPerPeer = 1, 1
			c.Serve = func(ctx context.Context, _ inos.NodeID, _ bool, q Message) (Message, error) {
				if q.Bulk != nil {
					return Message{Envelope: q.Envelope}, nil
				}
				next := meshes[(i+1)%3]
				return meshes[i].Call(ctx, next.ID(), next.Addrs(), Message{Envelope: q.Envelope, Bulk: []byte{1}}, nil)
			}
		})
	}
	var wait sync.WaitGroup
	for i := range 60 {
		wait.Go(func() {
			from, to := meshes[i%3], meshes[(i+1+i/3%2)%3]
			reply, err := from.Call(t.Context(), to.ID(), to.Addrs(), Message{Envelope: fmt.Append(nil, i)}, nil)
			if err != nil || string(reply.Envelope) != fmt.Sprint(i) {
				t.Errorf("%q, %v", reply.Envelope, err)
			}
		})
	}
	wait.Wait()
}

func TestConcurrentCallsKeepTheirBytes(t *testing.T) {
	m := open(t, 1, nil)
	peers := []*Mesh{open(t, 2, nil), open(t, 3, nil)}
	var wait sync.WaitGroup
	for i := range 24 {
		wait.Go(func() {
			into := make([]byte, 0, inos.StoredBytesMax)
			for j := range 20 {
				n := (i*7919 + j*104729) % (inos.StoredBytesMax + 1)
				q := Message{Envelope: fmt.Appendf(nil, "%d %d", i, j), Bulk: bytes.Repeat([]byte{byte(i), byte(j)}, n/2)}
				from, to := peers[i%2], m
				if i%3 == 0 {
					from, to = m, peers[i%2]
				}
				reply, err := from.Call(t.Context(), to.ID(), to.Addrs(), q, into)
				if err != nil {
					t.Error(err)
				} else if want := fmt.Sprintf("%s false %d %d ", from.ID(), i, j); string(reply.Envelope) != want || !bytes.Equal(reply.Bulk, q.Bulk) {
					t.Errorf("%q and %d bytes; want %q and %d", reply.Envelope, len(reply.Bulk), want, len(q.Bulk))
				}
			}
		})
	}
	wait.Wait()
}

// Who gives up a call ends it on the other side too; the stream is not used again, and others are not touched.
func TestGivenUpCallEndsServe(t *testing.T) {
	g := newGate()
	m := open(t, 1, func(c *Config) { c.Serve = g.serve })
	peer := open(t, 2, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var other sync.WaitGroup
	other.Go(func() {
		if _, err := peer.Call(t.Context(), m.ID(), m.Addrs(), Message{}, nil); err != nil {
			t.Error(err)
		}
	})
	<-g.come
	go func() { <-g.come; cancel() }()
	if _, err := peer.Call(ctx, m.ID(), m.Addrs(), Message{}, nil); inos.CodeOf(err) != inos.CodeCanceled {
		t.Error(err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := peer.Call(ctx, m.ID(), m.Addrs(), Message{}, nil); inos.CodeOf(err) != inos.CodePeerUnreachable {
		t.Error(err)
	}
	for { // both are gone there, one is left
		g.mu.Lock()
		in := g.in[""]
		g.mu.Unlock()
		if in == 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	close(g.open)
	other.Wait()
}

// ServeTime ends the context of a call, and the caller is told.
func TestServeTime(t *testing.T) {
	g := newGate()
	m := open(t, 1, func(c *Config) { c.Serve = g.serve; c.Limits.ServeTime = 50 * time.Millisecond })
	_, err := open(t, 2, nil).Call(t.Context(), m.ID(), m.Addrs(), Message{}, nil)
	if inos.CodeOf(err) != inos.CodePeerUnreachable {
		t.Error(err)
	}
}

// Done of a reply is called once, sent or not.
func TestDoneIsCalledOnce(t *testing.T) {
	var done, calls atomic.Int64
	m := open(t, 1, func(c *Config) {
		c.Serve = func(context.Context, inos.NodeID, bool, Message) (Message, error) {
			calls.Add(1)
			return Message{Bulk: make([]byte, 1000), Done: func() { done.Add(1) }}, nil
		}
	})
	peer := open(t, 2, nil)
	for _, takes := range []int{1000, 999} { // the second reply is not sent
		_, _ = peer.Call(t.Context(), m.ID(), m.Addrs(), Message{}, make([]byte, 0, takes))
	}
	_ = m.Close()
	if done.Load() != 2 || calls.Load() != 2 {
		t.Errorf("%d calls, done %d times", calls.Load(), done.Load())
	}
}
