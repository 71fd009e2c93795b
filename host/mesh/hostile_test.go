package mesh

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/inos-mesh/inos"
)

// rawHost is a libp2p host that says what a test wants.
func rawHost(t *testing.T, n int) host.Host {
	t.Helper()
	limits := DefaultLimits()
	h, err := newHost(&Config{Key: key(n)}, &limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	if err := listen(h, []string{"/ip4/127.0.0.1/tcp/0"}); err != nil {
		t.Fatal(err)
	}
	return h
}

// connect makes a raw host connect to a mesh.
func connect(t *testing.T, h host.Host, m *Mesh) {
	t.Helper()
	if err := h.Connect(t.Context(), peer.AddrInfo{ID: m.host.ID(), Addrs: m.host.Addrs()}); err != nil {
		t.Fatal(err)
	}
}

// rawStream opens a stream to a mesh and greets.
func rawStream(t *testing.T, h host.Host, m *Mesh, k protocolKind) network.Stream {
	t.Helper()
	connect(t, h, m)
	s, err := h.NewStream(t.Context(), m.host.ID(), k.id())
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, appendGreeting(nil, nil))
	if _, err := readGreeting(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t *testing.T, s network.Stream, b []byte) {
	t.Helper()
	if _, err := s.Write(b); err != nil {
		t.Fatal(err)
	}
}

// cut waits until the other side has ended the stream, and says whether it has sent anything before.
func cut(s network.Stream) (bytes int) {
	_ = s.SetReadDeadline(time.Now().Add(hangTime))
	n, err := io.Copy(io.Discard, s)
	if timeout := interface{ Timeout() bool }(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return -1
	}
	return int(n)
}

// slabs counts the slabs that are out.
type slabs struct{ out, made atomic.Int64 }

func (s *slabs) config(c *Config) {
	c.Slab = func() []byte { s.out.Add(1); s.made.Add(1); return make([]byte, 0, inos.StoredBytesMax) }
	c.Recycle = func([]byte) { s.out.Add(-1) }
}

func TestHostileCalls(t *testing.T) {
	var served atomic.Int64
	var count slabs
	m := open(t, 1, func(c *Config) {
		count.config(c)
		c.Serve = func(_ context.Context, _ inos.NodeID, _ bool, q Message) (Message, error) {
			served.Add(1)
			if len(q.Envelope) > 0 {
				return Message{Bulk: []byte{1}}, nil
			}
			return Message{Bulk: make([]byte, inos.StoredBytesMax)}, nil
		}
		// Long enough for a frame that a busy machine writes in two moments: what is silent or slow takes as long, all of it at once.
		c.Limits.Grace, c.Limits.BytesPerSecondMin = 2*time.Second, 8<<20
	})
	h := rawHost(t, 2)
	whole := func(b [headBytes]byte) []byte { return b[:] }
	calls := []struct {
		name string
		kind protocolKind
		send []byte
		drip bool
		fin  bool
	}{
		{name: "envelope too long", kind: forEvents, send: whole(rawHead(inos.EnvelopeBytesMax+1, 0, 0, 0, 0))},
		{name: "ticket too long", kind: forEvents, send: whole(rawHead(1, 0, 0, TicketBytesMax+1, 0))},
		{name: "bulk too long", kind: forChunks, send: whole(rawHead(1, inos.StoredBytesMax+1, 0, 0, 0))},
		{name: "bulk with an event", kind: forEvents, send: whole(rawHead(1, 1, 0, 0, 0))},
		{name: "not a call", kind: forChunks, send: []byte("GET / HTTP/1.1\r\nHost: example\r\n\r\n")},
		{name: "half a head and silence", kind: forEvents, send: whole(rawHead(1, 0, 0, 0, 0))[:7]},
		{name: "a head and silence", kind: forChunks, send: whole(rawHead(10, inos.StoredBytesMax, 0, 0, 0))},
		{name: "end within the envelope", kind: forEvents, send: append(whole(rawHead(10, 0, 0, 0, 0)), "123"...), fin: true},
		{name: "end within the bulk", kind: forChunks, send: append(whole(rawHead(1, 1000, 0, 0, 0)), make([]byte, 900)...), fin: true},
		{name: "dripping bulk", kind: forChunks, send: append(whole(rawHead(1, inos.StoredBytesMax, 0, 0, 0)), '!'), drip: true},
		{name: "dripping head", kind: forChunks, drip: true},
	}
	t.Run("calls", func(t *testing.T) { // ends when all of them have
		for _, c := range calls {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				s := rawStream(t, h, m, c.kind)
				write(t, s, c.send)
				for c.drip { // until it is cut; never a call that could be served
					if _, err := s.Write([]byte{0xff}); err != nil {
						break
					}
					time.Sleep(10 * time.Millisecond) // the drip, not a wait for anything
				}
				if c.fin {
					if err := s.CloseWrite(); err != nil {
						t.Fatal(err)
					}
				}
				if n := cut(s); n != 0 {
					t.Errorf("%d bytes came back before the end (-1: it was not cut)", n)
				}
			})
		}
	})
	if served.Load() != 0 || count.out.Load() != 0 {
		t.Errorf("%d calls served, %d slabs lost", served.Load(), count.out.Load())
	}
	if made := count.made.Load(); made != 2 { // of those whose bulk had an acceptable length
		t.Errorf("%d slabs were taken: a head is checked before anything is allocated", made)
	}
	// A good call, a reply nobody reads, and the stream is cut: the window is shorter than the reply.
	s := rawStream(t, h, m, forChunks)
	head := rawHead(0, 0, inos.StoredBytesMax, 0, 0)
	write(t, s, head[:])
	for !s.Conn().IsClosed() {
		if _, err := s.Write([]byte{0}); err != nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if served.Load() != 1 {
		t.Errorf("%d calls served", served.Load())
	}
	if _, err := open(t, 3, nil).Call(t.Context(), m.ID(), m.Addrs(), Message{Envelope: []byte("little")}, make([]byte, 0, 1)); err != nil {
		t.Errorf("after all of it: %v", err)
	}
}

func TestHostileReplies(t *testing.T) {
	// Long enough for a frame that a busy machine writes and reads in several moments; the one that drips takes as long.
	m := open(t, 1, func(c *Config) { c.Limits.Grace, c.Limits.BytesPerSecondMin = 2*time.Second, 8<<20 })
	reply := func(b [headBytes]byte, body ...byte) []byte { return append(b[:], body...) }
	for i, c := range []struct {
		name  string
		greet []byte
		send  []byte
		drip  bool
		want  inos.Code
	}{
		{"envelope too long", nil, reply(rawHead(inos.EnvelopeBytesMax+1, 0, 0, 0, 0)), false, inos.CodeBadFormat},
		{"more bulk than taken", nil, reply(rawHead(0, 101, 0, 0, 0)), false, inos.CodeBadFormat},
		{"reserved bytes", nil, reply(rawHead(0, 0, 1, 0, 0)), false, inos.CodeBadFormat},
		{"certificate too long", []byte{0xff, 0xff}, nil, false, inos.CodeBadFormat},
		{"end at once", nil, nil, false, inos.CodePeerUnreachable},
		{"end within the head", nil, reply(rawHead(0, 0, 0, 0, 0))[:9], false, inos.CodePeerUnreachable},
		{"end within the bulk", nil, reply(rawHead(1, 100, 0, 0, 0), make([]byte, 50)...), false, inos.CodePeerUnreachable},
		{"dripping", nil, reply(rawHead(inos.EnvelopeBytesMax, 0, 0, 0, 0)), true, inos.CodePeerUnreachable},
		{"refusal that is no text", nil, reply(rawHead(2, 0, 0, 9999, 0), 0xff, 0xfe), false, inos.CodePeerUnreachable},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := rawHost(t, 20+i) // the connection to the one before may not be gone yet
			if c.greet == nil {
				c.greet = appendGreeting(nil, nil)
			}
			for k := range protocolKinds {
				h.SetStreamHandler(k.id(), func(s network.Stream) {
					_, _ = readGreeting(s)
					_, _ = s.Write(c.greet)
					var head [headBytes]byte
					if _, err := io.ReadFull(s, head[:]); err != nil {
						_ = s.Reset()
						return
					}
					_, _ = s.Write(c.send)
					for c.drip {
						if _, err := s.Write([]byte{0}); err != nil {
							break
						}
						time.Sleep(time.Millisecond) // the drip, not a wait for anything
					}
					_ = s.Close()
				})
			}
			addrs := []string{h.Addrs()[0].String()}
			_, err := m.Call(t.Context(), inos.NodeID(h.ID().String()), addrs, Message{}, make([]byte, 0, 100))
			if inos.CodeOf(err) != c.want {
				t.Errorf("%v, want %s", err, c.want.Name())
			}
			_ = h.Close()
		})
	}
}

// A reply that promises an envelope costs what has come of it.
func TestPromisedReplyCostsNothing(t *testing.T) {
	m, h := open(t, 1, nil), rawHost(t, 2)
	h.SetStreamHandler(forEvents.id(), func(s network.Stream) {
		_, _ = readGreeting(s)
		_, _ = s.Write(appendGreeting(nil, nil))
		var head [headBytes]byte
		if _, err := io.ReadFull(s, head[:]); err == nil {
			head = rawHead(inos.EnvelopeBytesMax, 0, 0, 0, 0)
			_, _ = s.Write(append(head[:], 1))
		}
		_ = s.Close()
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 32 {
		if _, err := m.Call(t.Context(), inos.NodeID(h.ID().String()), []string{h.Addrs()[0].String()}, Message{}, nil); inos.CodeOf(err) != inos.CodePeerUnreachable {
			t.Error(err)
		}
	}
	if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 8*inos.EnvelopeBytesMax {
		t.Errorf("32 replies of a byte each took %d MiB", (after.TotalAlloc-before.TotalAlloc)>>20)
	}
}

// A connection on which nobody greets, a stream without a call, and one without a greeting are closed. The times are such that what comes before
// the silence has come, on a busy machine too.
func TestSilenceIsCut(t *testing.T) {
	t.Run("a connection without a greeting", func(t *testing.T) {
		t.Parallel()
		m := open(t, 1, func(c *Config) { c.Limits.Hello = time.Second })
		h := rawHost(t, 2)
		lost := make(chan struct{}, 1)
		h.Network().Notify(&network.NotifyBundle{DisconnectedF: func(network.Network, network.Conn) {
			select {
			case lost <- struct{}{}:
			default:
			}
		}})
		// On a machine that stands still for a moment it is cut before the library has made all of it, and the library tells of it as it likes.
		_ = h.Connect(t.Context(), peer.AddrInfo{ID: m.host.ID(), Addrs: m.host.Addrs()})
		<-lost
	})
	t.Run("a stream without a call", func(t *testing.T) {
		t.Parallel()
		m := open(t, 3, func(c *Config) { c.Limits.StreamIdle = 3 * time.Second })
		if n := cut(rawStream(t, rawHost(t, 4), m, forEvents)); n != 0 {
			t.Errorf("%d bytes came back", n)
		}
	})
	t.Run("a stream without a greeting", func(t *testing.T) {
		t.Parallel()
		m := open(t, 5, func(c *Config) { c.Limits.Hello = 3 * time.Second })
		h := rawHost(t, 6)
		rawStream(t, h, m, forEvents) // the connection has greeted, and stays
		s, err := h.NewStream(t.Context(), m.host.ID(), forEvents.id())
		if err != nil {
			t.Fatal(err)
		}
		if n := cut(s); n > len(appendGreeting(nil, nil)) || n < 0 {
			t.Errorf("%d bytes came back (-1: it was not cut)", n)
		}
		if s.Conn().IsClosed() {
			t.Error("the connection is closed, not the stream alone")
		}
	})
}

func TestConnectionsAndStreamsAreBounded(t *testing.T) {
	m := open(t, 1, func(c *Config) {
		c.Limits.Connections, c.Limits.StreamsPerPeer = 2, 5
		c.Limits.WindowBytesPerPeer = 96 << 20
	})
	h := rawHost(t, 2)
	var streams []network.Stream
	for {
		connect(t, h, m)
		s, err := h.NewStream(t.Context(), m.host.ID(), forEvents.id())
		if err == nil {
			_, err = s.Write(appendGreeting(nil, nil))
		}
		if err == nil {
			_, err = readGreeting(s)
		}
		if err != nil {
			break
		}
		if streams = append(streams, s); len(streams) > 5 {
			t.Fatalf("%d streams of one peer", len(streams))
		}
	}
	if len(streams) < 3 { // the library's own take one or two for a moment
		t.Errorf("%d streams of one peer, at most 5", len(streams))
	}
	others := []*Mesh{open(t, 3, nil), open(t, 4, nil), open(t, 5, nil)}
	failed := 0
	for _, other := range others {
		if _, err := other.Call(t.Context(), m.ID(), m.Addrs(), Message{}, nil); err != nil {
			failed++
			if inos.CodeOf(err) != inos.CodePeerUnreachable {
				t.Error(err)
			}
		}
	}
	if failed != 2 {
		t.Errorf("%d of 3 more peers were refused; there are 2 connections, of which one was free", failed)
	}
	if conns := m.host.Network().Conns(); len(conns) > 2 {
		t.Errorf("%d connections", len(conns))
	}
}
