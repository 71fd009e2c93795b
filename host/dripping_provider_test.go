package host

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/mesh"
)

// drip carries the connections of a node, and lets what the node sends through by drops once it is slow.
type drip struct {
	t       *testing.T
	slow    atomic.Bool
	running sync.WaitGroup

	mu     sync.Mutex // guards the field below
	closes []func() error
}

func newDrip(t *testing.T) *drip {
	d := &drip{t: t}
	t.Cleanup(func() {
		d.mu.Lock()
		for _, end := range d.closes {
			_ = end()
		}
		d.closes = nil
		d.mu.Unlock()
		d.running.Wait()
	})
	return d
}

// keep has something closed at the end of the test.
func (d *drip) keep(end func() error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closes = append(d.closes, end)
}

// forward returns the multiaddress of a port whose connections go on to another one; answers says that what comes back from there is the node's.
func (d *drip) forward(to string, answers bool) string {
	parts := strings.Split(to, "/") // /ip4/127.0.0.1/tcp/PORT, and perhaps /p2p/ID
	target := net.JoinHostPort(parts[2], parts[4])
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	d.keep(l.Close)
	d.running.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			node, err := net.Dial("tcp", target)
			if err != nil {
				_ = from.Close()
				continue
			}
			d.keep(from.Close)
			d.keep(node.Close)
			d.running.Go(func() { d.pass(from, node, !answers) })
			d.running.Go(func() { d.pass(node, from, answers) })
		}
	})
	parts[4] = fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	return strings.Join(parts, "/")
}

func (d *drip) pass(from, to net.Conn, drops bool) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 16<<10)
	for {
		b := buffer
		if drops && d.slow.Load() {
			b = buffer[:64]
			time.Sleep(10 * time.Millisecond) // the drip, not a wait for anything
		}
		n, err := from.Read(b)
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// connect has a peer ask a node something by the line; whatever it asks later goes by the same connection.
func (d *drip) connect(p *rawPeer, to *Node) {
	d.t.Helper()
	e := to.hostEnvelope(event.NodeStatus, &eventpb.NodeStatusRequest{})
	e.Metadata = nil
	if _, err := p.Call(d.t.Context(), to.id, []string{d.forward(to.MeshAddrs()[0], false)}, mesh.Message{Envelope: event.Encode(nil, e)}, nil); err != nil {
		d.t.Fatal(err)
	}
}

// TestAProviderThatDrips: a member that holds a copy of everything and sends a chunk by drops, so that it would take minutes, keeps nobody from
// reading: another one is asked and answers while the drops still fall. What they are for is let go of in the end.
func TestAProviderThatDrips(t *testing.T) {
	m := openMesh(t, 2)
	defer m.close()
	line := newDrip(t)
	l := newLiar(m, m.invite("liar"), line)
	m.waitAlive(3)
	body := func(i int) []byte { return noise(uint64(150+i), inos.ChunkBytesMax/4) }
	const files = 40 // of each of them it is the one to be asked first with a chance of a third
	for i := range files {
		m.board.mustPut(fmt.Sprintf("/file-%d", i), body(i))
	}
	// Of nearly each: a copy that it did not take in time is ordered later, and it obeys no order.
	m.board.waitFor("it holds a copy of nearly each", func(s *eventpb.NodeStatusReply) bool {
		return l.count(event.ContentWrite) >= 2*files-files/4 && s.BufferBytes == 0
	})
	line.slow.Store(true)
	const reads = 20 * files // on a busy machine its latency is bad, and it is asked first less often
	for i := 0; ; i++ {
		s, err := m.board.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.HedgedReadsWon > 0 {
			break
		}
		if i == reads {
			t.Fatalf("it was asked for %d chunks, and beside %d reads another node, which answered none of them first", l.count(event.ContentRead), s.HedgedReads)
		}
		m.board.mustHold(fmt.Sprintf("/file-%d", i%files), body(i%files))
	}
	m.board.waitFor("what it drips is let go of", func(s *eventpb.NodeStatusReply) bool { return s.Gets == 0 && s.BufferBytes == 0 })
}
