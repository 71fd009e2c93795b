package host

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/mesh"
	"github.com/inos-mesh/inos/host/trust"
)

// liar is a member of a mesh that takes what it is given and then does what a test wants: it says it holds chunks that it never had, and sends other
// bytes than it was given.
type liar struct {
	*rawPeer
	board *Node
	grant []byte                                        // its invite
	addrs []string                                      // that it says it has
	tell  func(eventType string, q event.Message) error // asks the switchboard

	mu     sync.Mutex // guards the fields below
	held   map[inos.ChunkID][]byte
	bytes  int
	asked  map[string]int
	reads  func(stored []byte) []byte // what it sends for a chunk
	claims [][]byte                   // chunks that it says it holds
	proves bool                       // it answers challenges, with nonsense
	silent bool                       // it does not beat
	beat   eventpb.HeartbeatRequest
}

// newLiar joins the mesh of m and beats until the test ends. All between it and the others goes by the line, if there is one.
func newLiar(m *testMesh, invite string, by *drip) *liar {
	m.t.Helper()
	read, err := trust.ReadInvite(invite, m.board.clock.Now())
	if err != nil {
		m.t.Fatal(err)
	}
	l := &liar{board: m.board.Node, grant: read.Raw, held: map[inos.ChunkID][]byte{}, asked: map[string]int{}, reads: bytes.Clone}
	l.rawPeer = newRawPeer(m.t, nil, func(_ inos.NodeID, e *eventpb.Envelope, q mesh.Message) (mesh.Message, error) { return l.serve(e, q) })
	l.addrs = l.Addrs()
	if by != nil {
		by.connect(l.rawPeer, l.board)
		l.addrs = []string{by.forward(l.addrs[0], true)}
	}
	l.tell = func(eventType string, q event.Message) error {
		_, err := l.ask(l.board, eventType, q, nil, nil)
		return err
	}
	l.live(m)
	return l
}

// live joins the mesh and beats until the test ends.
func (l *liar) live(m *testMesh) {
	m.t.Helper()
	l.beat.Usage = &eventpb.ContentUsage{FreeBytes: 1 << 60}
	if err := l.tell(event.NodeJoin, &eventpb.NodeJoinRequest{Invite: l.grant, Addrs: l.addrs}); err != nil {
		m.t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			l.heartbeat()
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	m.t.Cleanup(func() { close(stop); <-stopped })
}

func (l *liar) heartbeat() {
	l.mu.Lock()
	l.beat.Sequence++
	beat, silent := l.beat.CloneVT(), l.silent
	l.mu.Unlock()
	if silent {
		return
	}
	beat.Addrs, beat.Grant = l.addrs, l.grant
	_ = l.tell(event.NodeHeartbeat, beat) // the switchboard may be gone
}

func (l *liar) serve(e *eventpb.Envelope, q mesh.Message) (mesh.Message, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked[e.EventType]++
	answer := func(m event.Message, bulk []byte) (mesh.Message, error) {
		return mesh.Message{Envelope: event.Encode(nil, event.Reply(e, event.StateCompleted, l.now(), event.Payload(m))), Bulk: bulk}, nil
	}
	switch e.EventType {
	case event.ContentWrite:
		var w eventpb.ContentWriteRequest
		if err := event.Open(e, &w); err != nil {
			return mesh.Message{}, err
		}
		l.held[inos.ChunkID(w.ChunkId)] = bytes.Clone(q.Bulk)
		l.bytes += len(q.Bulk)
		return answer(&eventpb.ContentWriteReply{StoredBytes: uint32(len(q.Bulk))}, nil)
	case event.ContentRead:
		var r eventpb.ContentReadRequest
		if err := event.Open(e, &r); err != nil {
			return mesh.Message{}, err
		}
		bulk := l.reads(l.held[inos.ChunkID(r.ChunkId)])
		return answer(&eventpb.ContentReadReply{StoredBytes: uint32(len(bulk))}, bulk)
	case event.ContentProve:
		if !l.proves {
			return mesh.Message{}, inos.Errorf(inos.CodeBusy, "serve call", "not now")
		}
		return answer(&eventpb.ContentProveReply{SliceBytes: 1000}, make([]byte, 1000))
	case event.ContentInventory:
		return answer(&eventpb.ContentInventoryReply{ChunkIds: l.claims, End: true}, nil)
	case event.ContentMissing:
		return answer(&eventpb.ContentMissingReply{}, nil)
	case event.ContentScrub:
		return answer(&eventpb.ContentScrubReply{End: true}, nil)
	case event.ContentUsage:
		return answer(l.beat.Usage, nil)
	}
	return mesh.Message{}, inos.Errorf(inos.CodeUnknownEvent, "serve call", "nobody answers here")
}

func (l *liar) sends(f func([]byte) []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads = f
}

func (l *liar) count(eventType string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked[eventType]
}

// TestAProviderThatSendsOtherBytes: whatever the only node that answers sends for a chunk, no reader gets other bytes than were put, the node is
// complained about, and everything reads when the other one is back.
func TestAProviderThatSendsOtherBytes(t *testing.T) {
	m := openMesh(t, 1)
	defer m.close()
	l := newLiar(m, m.invite("liar"), nil)
	m.waitAlive(2)
	body := func(i int) []byte { return noise(uint64(90+i), 5000) }
	modes := []struct {
		name string
		send func([]byte) []byte
	}{
		{"a bit differs", func(b []byte) []byte { b = bytes.Clone(b); b[len(b)/2] ^= 1; return b }},
		{"zeros", func(b []byte) []byte { return make([]byte, len(b)) }},
		{"too short", func(b []byte) []byte { return bytes.Clone(b[:len(b)-1]) }},
		{"too long", func(b []byte) []byte { return append(bytes.Clone(b), 0) }},
		{"as long as can be", func([]byte) []byte { return make([]byte, inos.StoredBytesMax) }},
		{"nothing", func([]byte) []byte { return nil }},
		{"another chunk", func([]byte) []byte { return noise(99, 5000) }},
	}
	for i := range modes {
		m.board.mustPut(fmt.Sprintf("/file-%d", i), body(i))
	}
	closeNode(t, m.providers[0])
	for i, c := range modes {
		path := fmt.Sprintf("/file-%d", i)
		l.sends(c.send)
		before := l.count(event.ContentRead)
		got, err := m.board.get(&eventpb.FilesGetRequest{Path: path, LengthBytes: -1})
		if err == nil || len(got) > 0 {
			t.Errorf("%s: %d bytes, %v", c.name, len(got), err)
		}
		if l.count(event.ContentRead) == before {
			t.Errorf("%s: it was not asked", c.name)
		}
	}
	m.openProvider(0, "")
	m.waitAlive(2)
	for i := range modes {
		m.board.mustHold(fmt.Sprintf("/file-%d", i), body(i))
	}
	m.board.waitFor("the liar is complained about", func(*eventpb.NodeStatusReply) bool {
		return slices.ContainsFunc(m.nodes().Nodes, func(n *eventpb.NodeInfo) bool { return n.Member.Node == string(l.node) && n.Complaints > 0 })
	})
}

// TestForgedHeartbeats: what a node says of itself counts for no more than it was granted, and of others for nothing.
func TestForgedHeartbeats(t *testing.T) {
	m := openMesh(t, 2)
	defer m.close()
	offered := uint64(1 << 20)
	var reply eventpb.NodesInviteReply
	if err := m.board.request(t.Context(), event.NodesInvite, &eventpb.NodesInviteRequest{Invite: &eventpb.Invite{
		Zone: "home", Host: "small", Operator: "o", Tier: "cold", OfferedBytes: offered, ExpiresUs: int64(m.board.clock.Now() + inos.Hour),
	}}, &reply); err != nil {
		t.Fatal(err)
	}
	l := newLiar(m, reply.Text, nil)
	m.waitAlive(3)
	victim := func() *eventpb.Member {
		for _, n := range m.nodes().Nodes {
			if n.Member.Node == string(m.providers[0].id) {
				return n.Member
			}
		}
		t.Fatal("the provider is no member")
		return nil
	}
	before := victim()

	// More free bytes than were granted.
	for i := range 4 {
		m.board.mustPut(fmt.Sprintf("/file-%d", i), noise(uint64(120+i), 1<<20))
	}
	l.mu.Lock()
	taken, writes := l.bytes, l.asked[event.ContentWrite]
	l.mu.Unlock()
	if uint64(taken) > offered {
		t.Errorf("%d bytes were placed on a node that was granted %d", taken, offered)
	}
	t.Logf("%d bytes in %d writes", taken, writes)

	// Another node's grant, by a stranger and by a member; more addresses than are kept, and those of another node.
	addrs := slices.Repeat(m.providers[0].MeshAddrs(), 200)
	thief := newRawPeer(t, nil, nil)
	for name, p := range map[string]*rawPeer{"a stranger": thief, "a member": l.rawPeer} {
		var beat eventpb.HeartbeatReply
		_, err := p.ask(m.board.Node, event.NodeHeartbeat, &eventpb.HeartbeatRequest{
			Grant: m.providers[0].authority.invite.Raw, Addrs: addrs, Usage: &eventpb.ContentUsage{Chunks: 1 << 50, UsedBytes: 1 << 60, FreeBytes: ^uint64(0)}, Records: 1 << 50, InFlight: 1 << 31,
		}, nil, &beat)
		if known := err == nil && !beat.Unknown; known != (p == l.rawPeer) {
			t.Errorf("%s with another's invite: %v, unknown %t", name, err, beat.Unknown)
		}
	}
	if after := victim(); after.Host != before.Host || !slices.Equal(after.Addrs, before.Addrs) || after.OfferedBytes != before.OfferedBytes || after.Epoch != before.Epoch {
		t.Errorf("the node whose invite was shown was %v and is %v", before, after)
	}
	for _, n := range m.nodes().Nodes {
		if n.Member.Node == string(thief.node) || len(n.Member.Addrs) > inos.MemberAddrsMax || n.Member.Node == string(l.node) && (n.Member.OfferedBytes != offered || n.Member.Host != "small") {
			t.Errorf("%v", n)
		}
	}

	// Somebody else's inventory: what it says it holds was never proved, so no copy is let go of for it, and every file reads without it.
	ids, _, err := m.providers[0].content.Inventory(t.Context(), inos.ChunkID{}, 1000)
	if err != nil || len(ids) == 0 {
		t.Fatalf("%d chunks, %v", len(ids), err)
	}
	copies := func() int64 { return m.providers[0].content.Usage().Chunks + m.providers[1].content.Usage().Chunks }
	held := copies()
	l.mu.Lock()
	for _, id := range ids {
		l.claims = append(l.claims, id[:])
	}
	l.silent, l.proves = true, true
	l.mu.Unlock()
	is := func(liveness string) func(*eventpb.NodeStatusReply) bool {
		return func(*eventpb.NodeStatusReply) bool {
			return slices.ContainsFunc(m.nodes().Nodes, func(n *eventpb.NodeInfo) bool { return n.Member.Node == string(l.node) && n.Liveness == liveness })
		}
	}
	m.board.waitFor("the liar is dead", is("dead"))
	l.mu.Lock()
	l.silent = false
	l.beat.Unclean, l.beat.StartedUs = true, int64(l.now())
	l.mu.Unlock()
	m.board.waitFor("the liar is back", is("alive"))
	m.board.waitFor("the liar was asked what it holds", func(*eventpb.NodeStatusReply) bool { return l.count(event.ContentInventory) > 0 })
	if now := copies(); now < held {
		t.Errorf("%d copies were on the two that hold them, %d are", held, now)
	}
	t.Logf("asked: %v", l.asked)
	for i := range 4 {
		m.board.mustHold(fmt.Sprintf("/file-%d", i), noise(uint64(120+i), 1<<20))
	}
}
