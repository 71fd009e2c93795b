package host

import (
	"sync"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/mesh"
	"github.com/inos-mesh/inos/host/trust"
)

// FuzzServeCall: whatever a peer sends, the host answers it or refuses it, keeps no buffer of it, and its kernel sees only requests, without
// tokens and without a grant that nobody signed.
func FuzzServeCall(f *testing.F) {
	root := newRoot(f, 1)
	var t *testing.T
	var asked sync.Mutex // held by the kernel until it has given back what it was asked with
	board := newScripted(f, root, root, func(s *scripted, e *eventpb.Envelope) {
		asked.Lock()
		defer asked.Unlock()
		var q eventpb.MeshServeRequest
		if err := event.Open(e, &q); err != nil {
			t.Errorf("the kernel is asked what does not decode: %v", err)
			return
		}
		inner, err := event.Decode(q.Envelope)
		if err != nil || event.StateOf(inner.EventType) != event.StateRequested || inner.GetMetadata().GetSecurityToken() != "" {
			t.Errorf("the kernel is asked %v, %v", inner, err)
		}
		if q.Grant != nil && q.Grant.Verb != "read" {
			t.Errorf("the kernel is shown the grant %v", q.Grant)
		}
		s.l.dispatch(event.Reply(e, event.StateCompleted, s.clock.Now(), event.Payload(&eventpb.MeshServeReply{Envelope: q.Envelope, Output: q.Input})))
		s.l.dispatch(s.hostEnvelope(event.BufferRelease, &eventpb.BufferRelease{Buffers: []uint64{q.Input}}))
	})
	peer := trust.NodeOf(root.PublicKey())
	grant := &eventpb.Grant{Verb: "read", Holder: string(peer), Node: string(board.id), ExpiresUs: int64(board.clock.Now() + inos.Day)}
	ticket, err := board.authority.signer.SignTicket(grant, board.clock.Now())
	if err != nil {
		f.Fatal(err)
	}
	text, err := board.testInvite()
	if err != nil {
		f.Fatal(err)
	}
	invite, err := trust.ReadInvite(text, board.clock.Now())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(board.inner(event.ContentRead, &eventpb.ContentReadRequest{}), ticket, []byte("bulk"))
	f.Add(board.inner(event.NodeJoin, &eventpb.NodeJoinRequest{Invite: invite.Raw}), []byte(nil), []byte(nil))
	f.Add(board.inner(event.NodeHeartbeat, &eventpb.HeartbeatRequest{Grant: invite.Raw}), ticket[:40], []byte(nil))
	f.Add([]byte("no envelope"), []byte("no ticket"), []byte("bulk"))
	f.Fuzz(func(now *testing.T, envelope, ticket, bulk []byte) {
		t = now
		if len(bulk) > inos.StoredBytesMax || len(ticket) > mesh.TicketBytesMax {
			return
		}
		reply, err := board.serveCall(t.Context(), peer, false, mesh.Message{Envelope: envelope, Ticket: ticket, Bulk: append(board.buffers.slab(), bulk...)})
		if err == nil {
			if _, err := event.Decode(reply.Envelope); err != nil {
				t.Errorf("the reply: %v", err)
			}
		}
		if reply.Done != nil {
			reply.Done()
		}
		asked.Lock()
		defer asked.Unlock()
		if count, _ := board.buffers.bytes(); count != 0 {
			t.Errorf("%d buffers are left", count)
		}
		if n := len(board.tickets.kept); n != 0 {
			t.Errorf("%d tickets are left", n)
		}
	})
}
