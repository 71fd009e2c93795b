package host

import (
	"bytes"
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/content"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/mesh"
	"github.com/inos-mesh/inos/host/trust"
)

// testInvite signs an invite as the kernel would have it signed.
func (n *Node) testInvite() (string, error) {
	return n.authority.signer.SignInvite(&eventpb.Invite{
		Id: "invite-1", Operator: "ann", Zone: "home", Host: "nas", Tier: "cold", OfferedBytes: 1 << 30,
		ExpiresUs: int64(n.clock.Now() + inos.Hour), Switchboards: n.MeshAddrs(),
	}, n.clock.Now())
}

// scripted is a host without a kernel: the test answers what the kernel would be asked.
type scripted struct {
	*Node
	l       *loop
	t       testing.TB
	outputs atomic.Uint64
}

// newScripted makes one; a root makes it a switchboard, else it is a provider of that mesh.
func newScripted(t testing.TB, root, certifies *trust.Root, kernel func(s *scripted, e *eventpb.Envelope)) *scripted {
	t.Helper()
	n := &Node{
		config: Config{Switchboard: root != nil, Provider: true, Stderr: testLog{t}, MeshListen: []string{"/ip4/127.0.0.1/tcp/0"}},
		clock:  newClock(), buffers: newBuffers(), requests: newRequests(), done: make(chan struct{}), booted: make(chan struct{}),
		tickets: newHandles(ticketsMax), secrets: newHandles(secretTextsMax), stop: func() {},
	}
	var err error
	if n.folder, err = openFolder(filepath.Join(t.TempDir(), "node")); err != nil {
		t.Fatal(err)
	}
	if err := n.openKey(root); err != nil {
		t.Fatal(err)
	}
	for name, store := range map[string]*inos.Content{"content": &n.content, "records": &n.records} {
		if *store, err = content.Open(n.folder.path(name), content.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	n.authority.verifier = certifies.Verifier()
	if root != nil {
		now := n.clock.Now()
		certificate, err := root.Certify(n.id, now, now+inos.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if n.authority.signer, err = trust.NewSigner(root.Verifier(), n.key, certificate, now); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.openMesh(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := &scripted{Node: n, l: newLoop(n, nil), t: t}
	n.loop = s.l
	close(n.booted)
	ended := make(chan struct{})
	go func() { // the loop, with the test as its kernel
		defer close(ended)
		for {
			select {
			case e := <-s.l.inbox:
				kernel(s, e)
			case <-s.l.ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() {
		if err := n.mesh.Close(); err != nil {
			t.Errorf("close mesh: %v", err)
		}
		s.l.cancel()
		<-ended
		s.l.performing.Wait()
		close(n.done)
		if err := n.closeResources(); err != nil {
			t.Errorf("close: %v", err)
		}
		if count, _ := n.buffers.bytes(); count != 0 {
			t.Errorf("%d buffers are left", count)
		}
	})
	return s
}

// effect performs an effect and returns its end.
func (s *scripted) effect(eventType string, q, reply event.Message) error {
	s.t.Helper()
	e := s.hostEnvelope(eventType, q)
	s.l.dispatch(e)
	for end := range s.l.results {
		if end.Id != e.Id {
			continue // news of a peer
		}
		if event.StateOf(end.EventType) == event.StateFailed {
			return event.FailureOf(end)
		}
		return event.Open(end, reply)
	}
	panic("results are never closed")
}

func newRoot(t testing.TB, b byte) *trust.Root {
	t.Helper()
	root, err := trust.NewRoot(bytes.Repeat([]byte{b}, trust.RootSeedBytes))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// inner makes an envelope for another node.
func (s *scripted) inner(eventType string, q event.Message) []byte {
	e := s.hostEnvelope(eventType, q)
	e.Metadata = &eventpb.Metadata{SecurityToken: "stray", TraceContext: map[string]string{"traceparent": traceparent()}}
	return event.Encode(nil, e)
}

// TestACallCarriesAChunkThereAndBack: bulk, ticket and reply of calls between two hosts, with kernels that only serve the disk.
func TestACallCarriesAChunkThereAndBack(t *testing.T) {
	root := newRoot(t, 1)
	board := newScripted(t, root, root, func(*scripted, *eventpb.Envelope) {})
	seen := make(chan *eventpb.MeshServeRequest, 1)
	provider := newScripted(t, nil, root, func(s *scripted, e *eventpb.Envelope) { serveDisk(s, e, seen) })
	chunk := noise(7, inos.ChunkBytesMax)
	id := blake3.Sum256(chunk)
	grant := func(verb string) *eventpb.Grant {
		return &eventpb.Grant{ChunkId: id[:], Verb: verb, Holder: string(board.id), Node: string(provider.id), ExpiresUs: int64(board.clock.Now() + inos.Minute)}
	}
	board.buffers.put(1, bytes.Clone(chunk))
	call := func(q *eventpb.MeshCallRequest) (*eventpb.MeshCallReply, error) {
		q.Node, q.Addrs = string(provider.id), provider.MeshAddrs()
		var reply eventpb.MeshCallReply
		return &reply, board.effect(event.MeshCall, q, &reply)
	}
	if _, err := call(&eventpb.MeshCallRequest{
		Input: 1, Grant: grant("write"), Envelope: board.inner(event.ContentWrite, &eventpb.ContentWriteRequest{ChunkId: id[:]}),
	}); err != nil {
		t.Fatal(err)
	}
	q := <-seen
	if q.Peer != string(board.id) || !q.Switchboard || q.Grant.GetVerb() != "write" || q.Input < incomingBuffer || int(q.InputBytes) != len(chunk) {
		t.Errorf("the kernel was asked %v", q)
	}
	if inner, err := event.Decode(q.Envelope); err != nil || inner.Metadata.SecurityToken != "" || len(inner.Metadata.TraceContext) != 1 {
		t.Errorf("the envelope that the kernel saw: %v, %v", inner, err)
	}
	if len(q.Ticket) == 0 || len(q.Ticket) > 40 {
		t.Errorf("the kernel saw %d bytes of ticket; a handle has 32", len(q.Ticket))
	}
	if held, err := provider.content.Get(t.Context(), id, nil); err != nil || !bytes.Equal(held, chunk) {
		t.Fatalf("the provider holds %d bytes, %v", len(held), err)
	}

	reply, err := call(&eventpb.MeshCallRequest{
		Output: 2, OutputHash: id[:], Grant: grant("read"), Envelope: board.inner(event.ContentRead, &eventpb.ContentReadRequest{ChunkId: id[:], Output: 9}),
	})
	<-seen
	if err != nil || int(reply.OutputBytes) != len(chunk) {
		t.Fatalf("read: %v, %v", reply, err)
	}
	if got, err := board.buffers.get(2); err != nil || !bytes.Equal(got, chunk) {
		t.Fatalf("the chunk came back as %d bytes, %v", len(got), err)
	}
	board.buffers.release([]uint64{1, 2})

	wrong := blake3.Sum256([]byte("something else"))
	_, err = call(&eventpb.MeshCallRequest{
		Output: 3, OutputHash: wrong[:], Grant: grant("read"), Envelope: board.inner(event.ContentRead, &eventpb.ContentReadRequest{ChunkId: id[:], Output: 9}),
	})
	<-seen
	if inos.CodeOf(err) != inos.CodeChunkCorrupt {
		t.Errorf("bytes of another hash: %v", err)
	}
	_, err = call(&eventpb.MeshCallRequest{Ticket: []byte("no such handle"), Envelope: board.inner(event.ContentUsage, nil)})
	if inos.CodeOf(err) != inos.CodePermissionDenied {
		t.Errorf("a handle that stands for nothing: %v", err)
	}
}

// serveDisk answers mesh:serve like a provider's kernel that permits everything, for the effects that the test asks.
func serveDisk(s *scripted, e *eventpb.Envelope, seen chan<- *eventpb.MeshServeRequest) {
	var q eventpb.MeshServeRequest
	if err := event.Open(e, &q); err != nil {
		s.t.Error(err)
		return
	}
	inner, err := event.Decode(q.Envelope)
	if err != nil {
		s.t.Error(err)
		return
	}
	var output uint64
	switch inner.EventType {
	case event.ContentWrite:
		var w eventpb.ContentWriteRequest
		_ = event.Open(inner, &w)
		w.Input = q.Input
		inner.Payload = event.Payload(&w)
	case event.ContentRead:
		output = 9
	}
	s.l.perform(inner)
	end := <-s.l.results
	for end.Id != inner.Id {
		end = <-s.l.results
	}
	s.l.dispatch(event.Reply(e, event.StateCompleted, s.clock.Now(), event.Payload(&eventpb.MeshServeReply{Envelope: event.Encode(nil, end), Output: output})))
	release := &eventpb.BufferRelease{Buffers: []uint64{q.Input, output}}
	s.l.dispatch(s.hostEnvelope(event.BufferRelease, release))
	seen <- &q
}

// refusals of the host itself, before any kernel hears of the call.
func TestTheHostRefusesWhatIsNotSigned(t *testing.T) {
	root, foreign := newRoot(t, 1), newRoot(t, 2)
	asked := func(s *scripted, e *eventpb.Envelope) {
		s.t.Errorf("the kernel was asked %s", e.EventType)
		s.requests.failAll(s.clock.Now(), inos.Errorf(inos.CodeInternal, "test", "asked"))
	}
	board := newScripted(t, root, root, asked)
	stranger := newScripted(t, foreign, foreign, asked)
	provider := newScripted(t, nil, root, asked)
	call := func(to *scripted, m mesh.Message) error {
		reply, err := stranger.mesh.Call(t.Context(), to.id, to.MeshAddrs(), m, nil)
		if err != nil {
			return err
		}
		e, err := event.Decode(reply.Envelope)
		if err != nil {
			t.Fatal(err)
		}
		if event.StateOf(e.EventType) != event.StateFailed {
			t.Fatalf("%s", e.EventType)
		}
		return event.FailureOf(e)
	}
	grant := &eventpb.Grant{Verb: "read", Holder: string(stranger.id), Node: string(provider.id), ExpiresUs: int64(board.clock.Now() + inos.Minute)}
	forged, err := stranger.authority.signer.SignTicket(grant, board.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	usage := stranger.inner(event.ContentUsage, nil)
	if err := call(provider, mesh.Message{Envelope: usage, Ticket: forged}); inos.CodeOf(err) != inos.CodePermissionDenied {
		t.Errorf("a forged ticket: %v", err)
	}
	if err := call(provider, mesh.Message{Envelope: usage, Ticket: []byte("x"), Bulk: []byte("bulk")}); inos.CodeOf(err) != inos.CodePermissionDenied {
		t.Errorf("no ticket at all: %v", err)
	}
	text, err := stranger.testInvite()
	if err != nil {
		t.Fatal(err)
	}
	invite, err := trust.ReadInvite(text, board.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	join := stranger.inner(event.NodeJoin, &eventpb.NodeJoinRequest{Invite: invite.Raw})
	if err := call(board, mesh.Message{Envelope: join}); inos.CodeOf(err) != inos.CodeInviteRefused {
		t.Errorf("a foreign invite: %v", err)
	}
	beat := stranger.inner(event.NodeHeartbeat, &eventpb.HeartbeatRequest{Grant: []byte("x")})
	if err := call(board, mesh.Message{Envelope: beat}); inos.CodeOf(err) != inos.CodeInviteRefused {
		t.Errorf("a heartbeat with no invite: %v", err)
	}
	for name, raw := range map[string][]byte{
		"no envelope": []byte("hello"),
		"a reply":     event.Encode(nil, event.Failed(stranger.hostEnvelope(event.NodeJoin, nil), 1, inos.Errorf(inos.CodeInternal, "x", "y"))),
	} {
		if _, err := stranger.mesh.Call(t.Context(), provider.id, provider.MeshAddrs(), mesh.Message{Envelope: raw}, nil); err == nil {
			t.Errorf("%s was served", name)
		}
	}
}

// Calls whose time is over end, whether they have reached the other node's kernel or not, and before one that was made earlier and has more time.
func TestACallEndsInItsTime(t *testing.T) {
	root := newRoot(t, 1)
	arrived, over := make(chan struct{}, 3), make(chan struct{})
	silent := newScripted(t, nil, root, func(s *scripted, _ *eventpb.Envelope) {
		arrived <- struct{}{}
		<-over
		s.requests.failAll(s.clock.Now(), inos.Errorf(inos.CodeInternal, "test", "the calls are over"))
	})
	board := newScripted(t, root, root, func(*scripted, *eventpb.Envelope) {})
	t.Cleanup(func() { close(over) }) // the nodes close behind it
	call := func(timeout inos.Micros) *eventpb.Envelope {
		e := board.hostEnvelope(event.MeshCall, &eventpb.MeshCallRequest{
			Node: string(silent.id), Addrs: silent.MeshAddrs(), TimeoutUs: int64(timeout), Envelope: board.inner(event.ContentUsage, nil),
		})
		board.l.dispatch(e)
		return e
	}
	patient := call(0) // the host's own time
	<-arrived
	open := map[string]inos.Micros{}
	for _, timeout := range []inos.Micros{1, inos.Second} { // one that is over before it can leave, one that arrives
		open[call(timeout).Id] = timeout
	}
	for len(open) > 0 {
		end := <-board.l.results
		if end.Id == patient.Id {
			t.Fatalf("the call with more time has ended before those of %v us", open)
		}
		if timeout, ok := open[end.Id]; ok {
			delete(open, end.Id)
			if err := event.FailureOf(end); event.StateOf(end.EventType) != event.StateFailed || err.Code != inos.CodePeerUnreachable {
				t.Errorf("a call of %d us: %s, %v", timeout, end.EventType, err)
			}
		}
	}
}

// A join reaches the kernel as the invite's content alone; nothing that the kernel sees would let another node in.
func TestTheKernelSeesNoSignedInvite(t *testing.T) {
	root := newRoot(t, 1)
	seen := make(chan *eventpb.MeshServeRequest, 1)
	board := newScripted(t, root, root, func(s *scripted, e *eventpb.Envelope) {
		var q eventpb.MeshServeRequest
		_ = event.Open(e, &q)
		inner, _ := event.Decode(q.Envelope)
		reply := event.Encode(nil, event.Reply(inner, event.StateCompleted, s.clock.Now(), event.Payload(&eventpb.NodeJoinReply{Member: &eventpb.Member{Node: q.Peer}})))
		s.l.dispatch(event.Reply(e, event.StateCompleted, s.clock.Now(), event.Payload(&eventpb.MeshServeReply{Envelope: reply})))
		seen <- &q
	})
	newcomer := newScripted(t, nil, root, func(*scripted, *eventpb.Envelope) {})
	text, err := board.testInvite()
	if err != nil {
		t.Fatal(err)
	}
	if newcomer.authority.invite, err = trust.ReadInvite(text, board.clock.Now()); err != nil {
		t.Fatal(err)
	}
	newcomer.authority.state = &meshState{RootKey: root.PublicKey(), Invite: text}
	if err := newcomer.join(t.Context()); err != nil {
		t.Fatal(err)
	}
	q := <-seen
	var content eventpb.Invite
	if err := content.UnmarshalVT(q.Invite); err != nil || content.Host != "nas" || q.Peer != string(newcomer.id) || q.Switchboard {
		t.Errorf("the kernel was asked %v", q)
	}
	if bytes.Contains(event.Payload(q), newcomer.authority.invite.Raw) || bytes.Contains(event.Payload(q), board.authority.signer.Certificate()) {
		t.Error("the kernel sees the signed invite")
	}
	if state, err := newcomer.folder.meshState(); err != nil || !state.Joined {
		t.Errorf("it is not written down that the node has joined: %+v, %v", state, err)
	}
	if err := newcomer.join(context.Background()); err != nil { // asks nobody
		t.Error(err)
	}

	beat := newcomer.inner(event.NodeHeartbeat, &eventpb.HeartbeatRequest{Sequence: 3})
	var reply eventpb.MeshCallReply
	if err := newcomer.effect(event.MeshCall, &eventpb.MeshCallRequest{Node: string(board.id), Addrs: board.MeshAddrs(), Envelope: beat}, &reply); err != nil {
		t.Fatal(err)
	}
	if q := <-seen; len(q.Invite) == 0 {
		t.Error("a heartbeat brings no invite")
	}
}

func TestARecordIsSealedAndOpened(t *testing.T) {
	root := newRoot(t, 1)
	board := newScripted(t, root, root, func(*scripted, *eventpb.Envelope) {})
	record := &eventpb.Record{File: &eventpb.FileInfo{Owner: "operator", Path: "/a", Version: 3}}
	var sealed eventpb.RecordSealReply
	if err := board.effect(event.RecordSeal, &eventpb.RecordSealRequest{Record: record, Output: 1}, &sealed); err != nil {
		t.Fatal(err)
	}
	if err := board.effect(event.ContentWrite, &eventpb.ContentWriteRequest{ChunkId: sealed.RecordId, Input: 1, Record: true}, &eventpb.ContentWriteReply{}); err != nil {
		t.Fatal(err)
	}
	var usage eventpb.ContentUsage
	if err := board.effect(event.ContentUsage, &eventpb.ContentUsageRequest{}, &usage); err != nil || usage.Records != 1 || usage.Chunks != 0 {
		t.Errorf("usage: %v, %v", &usage, err)
	}
	var page eventpb.ContentInventoryReply
	if err := board.effect(event.ContentInventory, &eventpb.ContentInventoryRequest{Record: true, Limit: 10}, &page); err != nil || len(page.ChunkIds) != 1 || !page.End {
		t.Errorf("inventory of records: %v, %v", &page, err)
	}
	var missing eventpb.ContentMissingReply
	if err := board.effect(event.ContentMissing, &eventpb.ContentMissingRequest{ChunkIds: page.ChunkIds}, &missing); err != nil || len(missing.ChunkIds) != 1 {
		t.Errorf("a record is taken for a chunk: %v, %v", &missing, err)
	}
	if err := board.effect(event.ContentRead, &eventpb.ContentReadRequest{ChunkId: sealed.RecordId, Output: 2, Record: true}, &eventpb.ContentReadReply{}); err != nil {
		t.Fatal(err)
	}
	var opened eventpb.RecordOpenReply
	if err := board.effect(event.RecordOpen, &eventpb.RecordOpenRequest{Input: 2}, &opened); inos.CodeOf(err) != inos.CodePermissionDenied {
		t.Errorf("a record is opened without the root seed: %v", err)
	}
	board.authority.root = root
	if err := board.effect(event.RecordOpen, &eventpb.RecordOpenRequest{Input: 2}, &opened); err != nil || !opened.Record.EqualVT(record) {
		t.Errorf("opened: %v, %v", &opened, err)
	}
	data, err := board.buffers.get(2)
	if err != nil {
		t.Fatal(err)
	}
	data[40] ^= 1
	if err := board.effect(event.RecordOpen, &eventpb.RecordOpenRequest{Input: 2}, &opened); inos.CodeOf(err) != inos.CodeBadFormat {
		t.Errorf("a damaged record: %v", err)
	}
	var trashed eventpb.ContentTrashReply
	if err := board.effect(event.ContentTrash, &eventpb.ContentTrashRequest{Chunks: []*eventpb.ChunkGeneration{{ChunkId: sealed.RecordId}}, Record: true}, &trashed); err != nil || trashed.Chunks != 1 {
		t.Errorf("trash: %v, %v", &trashed, err)
	}
	var emptied eventpb.ContentEmptyTrashReply
	if err := board.effect(event.ContentEmptyTrash, &eventpb.ContentEmptyTrashRequest{BeforeUs: int64(board.clock.Now() + inos.Hour), Limit: 10}, &emptied); err != nil || emptied.Chunks != 1 {
		t.Errorf("empty trash: %v, %v", &emptied, err)
	}
	board.buffers.release([]uint64{1, 2})
}

func TestAnInviteIsHandedOutOnce(t *testing.T) {
	root := newRoot(t, 1)
	board := newScripted(t, root, root, func(*scripted, *eventpb.Envelope) {})
	var signed eventpb.InviteSignReply
	if err := board.effect(event.InviteSign, &eventpb.InviteSignRequest{Invite: &eventpb.Invite{Id: "i", Host: "nas", ExpiresUs: int64(board.clock.Now() + inos.Hour)}}, &signed); err != nil {
		t.Fatal(err)
	}
	if _, err := trust.ReadInvite(signed.Text, board.clock.Now()); err == nil {
		t.Fatal("the kernel sees the invite")
	}
	request := board.hostEnvelope(event.NodesInvite, nil)
	reply := event.Reply(request, event.StateCompleted, board.clock.Now(), event.Payload(&eventpb.NodesInviteReply{Text: signed.Text}))
	var out eventpb.NodesInviteReply
	if err := event.Open(board.handOut(reply), &out); err != nil {
		t.Fatal(err)
	}
	invite, err := trust.ReadInvite(out.Text, board.clock.Now())
	if err != nil || invite.Content.Host != "nas" || len(invite.Content.Switchboards) == 0 {
		t.Errorf("handed out: %v, %v", invite, err)
	}
	if again := board.handOut(reply); event.StateOf(again.EventType) != event.StateFailed {
		t.Error("the same invite is handed out twice")
	}
}

func TestHandlesAreBounded(t *testing.T) {
	h := newHandles(3)
	var kept []string
	for _, s := range []string{"a", "b", "c", "d"} {
		kept = append(kept, h.keep([]byte(s)))
	}
	if _, err := h.find(kept[0]); inos.CodeOf(err) != inos.CodePermissionDenied {
		t.Errorf("the oldest is still there: %v", err)
	}
	for i, want := range map[int]string{1: "b", 2: "c", 3: "d"} {
		if got, err := h.find(kept[i]); err != nil || string(got) != want {
			t.Errorf("%d: %q, %v", i, got, err)
		}
	}
	h.drop(kept[2])
	if h.keep([]byte("e")); len(h.kept) != 3 {
		t.Errorf("%d are kept", len(h.kept))
	}
}
