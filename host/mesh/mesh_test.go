package mesh

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
)

// key returns the identity that a number stands for.
func key(n int) ed25519.PrivateKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "node %d", n))
	return ed25519.NewKeyFromSeed(seed[:])
}

func wallClock() inos.Micros { return inos.Micros(time.Now().UnixMicro()) }

// echo answers a call with what it came with.
func echo(_ context.Context, peer inos.NodeID, switchboard bool, q Message) (Message, error) {
	return Message{Envelope: fmt.Appendf(nil, "%s %t %s %s", peer, switchboard, q.Envelope, q.Ticket), Bulk: q.Bulk}, nil
}

// hangTime is how long a test waits for what has to come: only a hang takes so long.
const hangTime = 5 * time.Minute

// opened counts the loopback addresses that were given out.
var opened atomic.Uint32

// ownLoopback is a loopback address of this test alone, where the system has more than one: a port of it that is given up is still free when it
// is wanted again, whatever connections and listeners other processes make.
func ownLoopback() string {
	if runtime.GOOS != "linux" {
		return "/ip4/127.0.0.1/tcp/0"
	}
	pid := os.Getpid()
	return fmt.Sprintf("/ip4/127.%d.%d.%d/tcp/0", 64+opened.Add(1)%64, pid>>8&0xff, pid&0xff)
}

// open opens a mesh on loopback that closes with the test.
func open(t testing.TB, n int, change func(*Config)) *Mesh {
	t.Helper()
	c := Config{Key: key(n), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Serve: echo, Now: wallClock, Logf: t.Logf}
	if change != nil {
		change(&c)
	}
	m, err := Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return m
}

// peerLog gathers what OnPeer is told.
type peerLog struct {
	mu    sync.Mutex
	told  []Peer
	grown chan struct{}
}

func newPeerLog() *peerLog { return &peerLog{grown: make(chan struct{}, 1000)} }

func (l *peerLog) note(p Peer) {
	l.mu.Lock()
	l.told = append(l.told, p)
	l.mu.Unlock()
	l.grown <- struct{}{}
}

// wait returns when OnPeer was told what is asked for, after what it has been told before.
func (l *peerLog) wait(t testing.TB, what string, is func(Peer) bool) Peer {
	t.Helper()
	late := time.After(hangTime)
	for next := 0; ; {
		l.mu.Lock()
		for ; next < len(l.told); next++ {
			if p := l.told[next]; is(p) {
				l.told = l.told[next+1:]
				l.mu.Unlock()
				return p
			}
		}
		l.mu.Unlock()
		select {
		case <-l.grown:
		case <-late:
			t.Fatalf("OnPeer was not told: %s; it was told %v", what, l.told)
		}
	}
}

func TestCall(t *testing.T) {
	for _, transport := range []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"} {
		t.Run(transport, func(t *testing.T) {
			a := open(t, 1, func(c *Config) { c.Listen = nil })
			b := open(t, 2, func(c *Config) { c.Listen = []string{transport} })
			for _, bytesOfBulk := range []int{0, 1, 4096, inos.StoredBytesMax} {
				bulk := bytes.Repeat([]byte{7}, bytesOfBulk)
				reply, err := a.Call(t.Context(), b.ID(), b.Addrs(), Message{Envelope: []byte("hello"), Ticket: []byte("ticket"), Bulk: bulk}, make([]byte, 0, bytesOfBulk))
				if err != nil {
					t.Fatal(err)
				}
				if want := fmt.Sprintf("%s false hello ticket", a.ID()); string(reply.Envelope) != want || !bytes.Equal(reply.Bulk, bulk) {
					t.Errorf("%d bytes of bulk: %q and %d bytes", bytesOfBulk, reply.Envelope, len(reply.Bulk))
				}
			}
			// The other way, on the connection that is there: a listens nowhere.
			if reply, err := b.Call(t.Context(), a.ID(), nil, Message{Envelope: []byte("back")}, nil); err != nil || string(reply.Envelope) != fmt.Sprintf("%s false back ", b.ID()) {
				t.Errorf("%q, %v", reply.Envelope, err)
			}
		})
	}
}

func TestServeRefuses(t *testing.T) {
	b := open(t, 2, func(c *Config) {
		c.Serve = func(_ context.Context, _ inos.NodeID, _ bool, q Message) (Message, error) {
			if string(q.Envelope) == "long" {
				return Message{Bulk: make([]byte, 100)}, nil
			}
			return Message{}, errors.New("not today")
		}
	})
	a := open(t, 1, nil)
	for _, c := range []struct{ ask, want string }{{"any", "not today"}, {"long", "100 of bulk"}} {
		_, err := a.Call(t.Context(), b.ID(), b.Addrs(), Message{Envelope: []byte(c.ask)}, make([]byte, 0, 99))
		if inos.CodeOf(err) != inos.CodePeerUnreachable || !bytes.Contains([]byte(err.Error()), []byte(c.want)) {
			t.Errorf("%s: %v", c.ask, err)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.remotes); n != 1 {
		t.Errorf("%d peers", n)
	}
}
