package mesh

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/inos-mesh/inos"
)

// verifier takes every certificate that begins with "valid" until its time.
type verifier struct {
	asked atomic.Int64
	until atomic.Int64
}

func (v *verifier) verify(_ inos.NodeID, certificate []byte) (inos.Micros, error) {
	v.asked.Add(1)
	if !strings.HasPrefix(string(certificate), "valid") {
		return 0, errors.New("not signed by the root")
	}
	return inos.Micros(v.until.Load()), nil
}

func TestCertificates(t *testing.T) {
	news, v := newPeerLog(), verifier{}
	var clock atomic.Int64
	v.until.Store(1000)
	m := open(t, 1, func(c *Config) {
		c.OnPeer, c.Verify = news.note, v.verify
		c.Now = func() inos.Micros { return inos.Micros(clock.Load()) }
	})
	board := open(t, 2, func(c *Config) { c.Certificate = []byte("valid 1") })
	liar := open(t, 3, func(c *Config) { c.Certificate = []byte("forged") })
	is := func(peer *Mesh, connected, switchboard bool) func(Peer) bool {
		return func(p Peer) bool {
			return p.ID == peer.ID() && p.Connected == connected && p.Switchboard == switchboard
		}
	}
	call := func(peer *Mesh) string {
		reply, err := peer.Call(t.Context(), m.ID(), m.Addrs(), Message{Bulk: []byte{1}}, make([]byte, 0, 1))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(reply.Envelope))[1]
	}
	// Many calls at once on one new connection, each on a stream of its own: one verification.
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if got := call(board); got != "true" {
				t.Errorf("a switchboard's call is served with %s", got)
			}
		})
	}
	wait.Wait()
	news.wait(t, "the switchboard is connected", is(board, true, true))
	for range 3 {
		if got := call(liar); got != "false" {
			t.Errorf("a forger's call is served with %s", got)
		}
	}
	news.wait(t, "the forger is connected", is(liar, true, false))
	if n := v.asked.Load(); n != 2 {
		t.Errorf("%d certificates were verified for 2 connections", n)
	}
	// The end of the certificate ends the standing, on connections and streams that are open.
	clock.Store(1000)
	if got := call(board); got != "false" {
		t.Errorf("after the end of the certificate a call is served with %s", got)
	}
	news.wait(t, "the certificate has ended", is(board, true, false))
	// A new one, shown on the same connection.
	v.until.Store(1 << 60)
	if err := board.SetCertificate([]byte("valid 2")); err != nil {
		t.Fatal(err)
	}
	news.wait(t, "the certificate is renewed", is(board, true, true))
	if got := call(board); got != "true" {
		t.Errorf("after the renewal a call is served with %s", got)
	}
	if err := board.SetCertificate(make([]byte, CertificateBytesMax+1)); inos.CodeOf(err) != inos.CodeBadRequest {
		t.Error(err)
	}
	_ = board.Close()
	news.wait(t, "the switchboard is gone", is(board, false, false))
}

// Certificates that are not valid are verified so many times, and no more.
func TestRefusedCertificatesEndTheConnection(t *testing.T) {
	v := verifier{}
	m := open(t, 1, func(c *Config) { c.Verify = v.verify })
	h := rawHost(t, 2)
	connect(t, h, m)
	conn := h.Network().ConnsToPeer(m.host.ID())[0]
	for i := 0; !conn.IsClosed(); i++ {
		s, err := h.NewStream(network.WithNoDial(t.Context(), ""), m.host.ID(), forEvents.id())
		if err != nil {
			break
		}
		_, _ = s.Write(appendGreeting(nil, fmt.Appendf(nil, "forged %d", i)))
		_, _ = readGreeting(s)
		_ = s.Close()
	}
	if n := v.asked.Load(); n > vainMax {
		t.Errorf("%d certificates were verified", n)
	}
}

// Who dials learns what the other is, without a call of either.
func TestDialerLearnsOfTheSwitchboard(t *testing.T) {
	news, v := newPeerLog(), verifier{}
	v.until.Store(1 << 60)
	board := open(t, 1, func(c *Config) { c.Certificate = []byte("valid") })
	m := open(t, 2, func(c *Config) { c.OnPeer, c.Verify = news.note, v.verify })
	if err := m.Keep(board.Addrs()); err != nil {
		t.Fatal(err)
	}
	p := news.wait(t, "the switchboard is connected", func(p Peer) bool { return p.Connected && p.Switchboard })
	if p.ID != board.ID() || !slices.Contains(board.Addrs(), p.Addrs[0]+"/p2p/"+string(p.ID)) {
		t.Errorf("%+v, want %s at %v", p, board.ID(), board.Addrs())
	}
	if peers := m.Peers(); len(peers) != 1 || peers[0].ID != board.ID() || !peers[0].Switchboard {
		t.Errorf("%+v", peers)
	}
}

func TestKeepComesBack(t *testing.T) {
	news := newPeerLog()
	m := open(t, 1, func(c *Config) {
		c.OnPeer = news.note
		c.Limits.BackoffMin = time.Millisecond
		c.Limits.BackoffMax = 20 * time.Millisecond
	})
	board := open(t, 2, func(c *Config) { c.Listen = []string{ownLoopback()} })
	addr := board.Addrs()[0]
	if err := m.Keep([]string{addr, m.Addrs()[0]}); err != nil { // itself is passed over
		t.Fatal(err)
	}
	for range 3 {
		news.wait(t, "connected", func(p Peer) bool { return p.Connected })
		_ = board.Close()
		news.wait(t, "lost", func(p Peer) bool { return !p.Connected })
		at, _, _ := strings.Cut(addr, "/p2p/")
		board = open(t, 2, func(c *Config) { c.Listen = []string{at} })
	}
	news.wait(t, "connected", func(p Peer) bool { return p.Connected })
	if _, err := m.Call(t.Context(), board.ID(), nil, Message{}, nil); err != nil {
		t.Error(err)
	}
	if err := m.Keep(nil); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "/ip4/127.0.0.1/tcp/1", "nonsense"} {
		if err := m.Keep([]string{bad}); inos.CodeOf(err) != inos.CodeBadRequest {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A call after the peer was started again works at once: nothing of the old connection is used.
func TestCallAfterRestart(t *testing.T) {
	news := newPeerLog()
	m := open(t, 1, func(c *Config) { c.OnPeer = news.note })
	peer := open(t, 2, func(c *Config) { c.Listen = []string{ownLoopback()} })
	at, _, _ := strings.Cut(peer.Addrs()[0], "/p2p/")
	for range 3 {
		if _, err := m.Call(t.Context(), peer.ID(), peer.Addrs(), Message{}, nil); err != nil {
			t.Fatal(err)
		}
		news.wait(t, "connected", func(p Peer) bool { return p.Connected })
		_ = peer.Close()
		news.wait(t, "lost", func(p Peer) bool { return !p.Connected })
		if _, err := m.Call(t.Context(), peer.ID(), []string{at}, Message{}, nil); inos.CodeOf(err) != inos.CodePeerUnreachable {
			t.Errorf("while it is down: %v", err)
		}
		peer = open(t, 2, func(c *Config) { c.Listen = []string{at} })
	}
}

func TestIdleStreamsAndPeersAreLetGo(t *testing.T) {
	news := newPeerLog()
	m := open(t, 1, func(c *Config) {
		c.OnPeer = news.note
		c.Limits.StreamIdle, c.Limits.PeerIdle = 200*time.Millisecond, 3*time.Second
	})
	peer := open(t, 2, nil)
	for late := time.Now().Add(hangTime); ; { // the call has to come before that: a machine that stands still lets go of the peer first
		_, err := m.Call(t.Context(), peer.ID(), peer.Addrs(), Message{}, nil)
		if err == nil {
			break
		}
		if time.Now().After(late) {
			t.Fatal(err)
		}
	}
	news.wait(t, "let go", func(p Peer) bool { return !p.Connected })
}

// Streams are bounded in all: calls that find no room wait until idle streams have gone, to whatever peer they were.
func TestCallsWaitForStreams(t *testing.T) {
	peers := make([]*Mesh, 6)
	for i := range peers {
		peers[i] = open(t, 10+i, nil)
	}
	m := open(t, 1, func(c *Config) { c.Limits.WindowBytes = 40 * 256 << 10 })
	for _, peer := range peers {
		if _, err := m.Call(t.Context(), peer.ID(), peer.Addrs(), Message{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	var wait sync.WaitGroup
	for i := range 120 {
		wait.Go(func() {
			peer := peers[i%len(peers)]
			if _, err := m.Call(t.Context(), peer.ID(), peer.Addrs(), Message{Bulk: []byte{1}}, make([]byte, 0, 1)); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}

func TestCallFaults(t *testing.T) {
	m, peer := open(t, 1, nil), open(t, 2, nil)
	gone := open(t, 3, nil)
	_ = gone.Close()
	if _, err := gone.Call(t.Context(), m.ID(), m.Addrs(), Message{}, nil); inos.CodeOf(err) != inos.CodeShuttingDown {
		t.Error(err)
	}
	if err := gone.Keep(nil); inos.CodeOf(err) != inos.CodeShuttingDown {
		t.Error(err)
	}
	id := peer.ID()
	for _, c := range []struct {
		name  string
		node  inos.NodeID
		addrs []string
		q     Message
		want  inos.Code
	}{
		{"no node id", "nobody", nil, Message{}, inos.CodeBadRequest},
		{"itself", m.ID(), nil, Message{}, inos.CodeBadRequest},
		{"long envelope", id, peer.Addrs(), Message{Envelope: make([]byte, inos.EnvelopeBytesMax+1)}, inos.CodeBadRequest},
		{"long ticket", id, peer.Addrs(), Message{Ticket: make([]byte, TicketBytesMax+1)}, inos.CodeBadRequest},
		{"long bulk", id, peer.Addrs(), Message{Bulk: make([]byte, inos.StoredBytesMax+1)}, inos.CodeBadRequest},
		{"no address", gone.ID(), nil, Message{}, inos.CodePeerUnreachable},
		{"nobody listens", gone.ID(), []string{"/ip4/127.0.0.1/tcp/1"}, Message{}, inos.CodePeerUnreachable},
		{"addresses of another", gone.ID(), peer.Addrs(), Message{}, inos.CodePeerUnreachable},
		{"another answers there", gone.ID(), []string{strings.Split(peer.Addrs()[0], "/p2p/")[0]}, Message{}, inos.CodePeerUnreachable},
		{"bad addresses", gone.ID(), []string{"nonsense", ""}, Message{}, inos.CodePeerUnreachable},
	} {
		_, err := m.Call(t.Context(), c.node, c.addrs, c.q, nil)
		if inos.CodeOf(err) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.want == inos.CodePeerUnreachable && (err == nil || !strings.Contains(err.Error(), string(c.node))) {
			t.Errorf("%s: %v does not name the node", c.name, err)
		}
	}
	reply, err := m.Call(t.Context(), id, peer.Addrs(), Message{Envelope: make([]byte, inos.EnvelopeBytesMax-100)}, nil)
	if err != nil {
		t.Errorf("a long envelope, echoed: %d bytes, %v", len(reply.Envelope), err)
	}
}

func TestOpenFaults(t *testing.T) {
	m := open(t, 1, nil)
	taken, _, _ := strings.Cut(m.Addrs()[0], "/p2p/")
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   inos.Code
	}{
		{"no key", func(c *Config) { c.Key = nil }, inos.CodeBadRequest},
		{"nobody serves", func(c *Config) { c.Serve = nil }, inos.CodeBadRequest},
		{"no address", func(c *Config) { c.Listen = []string{"127.0.0.1:80"} }, inos.CodeBadRequest},
		{"address in use", func(c *Config) { c.Listen = []string{taken} }, inos.CodeAddressInUse},
		{"address in use, behind a NAT", func(c *Config) { c.Listen, c.Relays = []string{taken}, m.Addrs() }, inos.CodeAddressInUse},
		{"another machine's address", func(c *Config) { c.Listen = []string{"/ip4/203.0.113.9/tcp/0"} }, inos.CodeIO},
		{"relay without an id", func(c *Config) { c.Relays = []string{taken} }, inos.CodeBadRequest},
		{"long certificate", func(c *Config) { c.Certificate = make([]byte, CertificateBytesMax+1) }, inos.CodeBadRequest},
	} {
		config := Config{Key: key(2), Serve: echo, Now: wallClock}
		c.change(&config)
		if other, err := Open(t.Context(), config); inos.CodeOf(err) != c.want {
			t.Errorf("%s: %v", c.name, err)
			if err == nil {
				_ = other.Close()
			}
		}
	}
}

// Close ends the calls under way and leaves no goroutine behind.
func TestCloseLeavesNothing(t *testing.T) {
	stranger := open(t, 9, nil)
	_ = stranger.Close()
	noneLeft(t)
	g := newGate()
	m := open(t, 1, func(c *Config) {
		c.RelayService, c.OnPeer = true, func(Peer) {}
		c.Serve = func(ctx context.Context, peer inos.NodeID, board bool, q Message) (Message, error) {
			g.add("slow", 1)
			defer g.add("slow", -1)
			defer time.Sleep(100 * time.Millisecond) // one that takes its time after it was told to end
			return g.serve(ctx, peer, board, q)
		}
		c.Listen = append(c.Listen, "/ip4/127.0.0.1/udp/0/quic-v1")
	})
	peer := open(t, 2, func(c *Config) { c.Relays = m.Addrs(); c.OnPeer = func(Peer) {} })
	if err := peer.Keep(append(m.Addrs(), "/ip4/127.0.0.1/tcp/1/p2p/"+string(stranger.ID()))); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for range 3 {
		wait.Go(func() {
			if _, err := peer.Call(context.Background(), m.ID(), m.Addrs(), Message{Bulk: []byte{1}}, nil); inos.CodeOf(err) != inos.CodePeerUnreachable {
				t.Errorf("a call to a node that closes: %v", err)
			}
		})
		<-g.come
	}
	_ = m.Close()
	g.mu.Lock()
	in := g.in["slow"]
	g.mu.Unlock()
	if in != 0 {
		t.Errorf("%d calls are served after Close", in)
	}
	wait.Wait()
	_ = peer.Close()
	noneLeft(t)
}

// noneLeft waits until no goroutine of a mesh is left: the library's last ones end by themselves.
func noneLeft(t *testing.T) {
	t.Helper()
	for began := time.Now(); ; {
		left := ours()
		if len(left) == 0 {
			return
		}
		if time.Since(began) > hangTime {
			t.Fatalf("%d goroutines are left:\n%s", len(left), strings.Join(left, "\n\n"))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// ours returns the stacks of the goroutines that the mesh and its library run.
func ours() (stacks []string) {
	b := make([]byte, 4<<20)
	for _, s := range strings.Split(string(b[:runtime.Stack(b, true)]), "\n\n") {
		if (strings.Contains(s, "/libp2p/") || strings.Contains(s, "quic-go") || strings.Contains(s, "inos/host/mesh.")) && !strings.Contains(s, "testing.tRunner") {
			stacks = append(stacks, s)
		}
	}
	return stacks
}
