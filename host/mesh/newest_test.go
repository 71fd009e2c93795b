package mesh

import (
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/inos-mesh/inos"
)

// A peer whose address has changed comes again while its old connection still looks alive: calls go by the new one.
func TestCallsGoByTheNewestConnection(t *testing.T) {
	m := open(t, 1, nil)
	handler := func(answer func(network.Stream)) network.StreamHandler {
		return func(s network.Stream) {
			_, _ = readGreeting(s)
			_, _ = s.Write(appendGreeting(nil, nil))
			var head [headBytes]byte
			for {
				if _, err := io.ReadFull(s, head[:]); err != nil {
					_ = s.Reset()
					return
				}
				answer(s)
			}
		}
	}
	old, again := rawHost(t, 2), rawHost(t, 2)
	for k := range protocolKinds {
		old.SetStreamHandler(k.id(), handler(func(s network.Stream) {
			t.Error("a call went by the old connection")
			_ = s.Reset()
		}))
		again.SetStreamHandler(k.id(), handler(func(s network.Stream) {
			b := rawHead(0, 0, 0, 0, 0)
			_, _ = s.Write(b[:])
		}))
	}
	links := func(greeted int) {
		t.Helper()
		for began := time.Now(); ; time.Sleep(time.Millisecond) {
			n := 0
			m.mu.Lock()
			if r := m.remotes[old.ID()]; r != nil {
				for _, l := range r.links {
					if l.greeted {
						n++
					}
				}
			}
			m.mu.Unlock()
			if n == greeted {
				return
			}
			if time.Since(began) > hangTime {
				t.Fatalf("%d connections have greeted, not %d", n, greeted)
			}
		}
	}
	for range 3 {
		rawStream(t, old, m, forEvents)
	}
	links(1)
	kept, err := m.openStream(t.Context(), forEvents, func() network.Conn { return m.host.Network().ConnsToPeer(old.ID())[0] })
	if err != nil {
		t.Fatal(err)
	}
	m.remote(old.ID()).streams[forEvents].keep(kept) // as after a call
	rawStream(t, again, m, forEvents)
	links(2)
	for _, into := range [][]byte{nil, make([]byte, 0, 1)} { // by each protocol
		if _, err := m.Call(t.Context(), inos.NodeID(old.ID().String()), nil, Message{}, into); err != nil {
			t.Error(err)
		}
	}
}
