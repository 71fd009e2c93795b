package host

import (
	"bytes"
	"context"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/content"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/mesh"
)

// performMeshCall carries an envelope to another node and its reply back.
func (l *loop) performMeshCall(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	n := l.node
	var q eventpb.MeshCallRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	if n.mesh == nil {
		return nil, inos.Errorf(inos.CodePeerUnreachable, "mesh:call", "this node is alone: it has no connection to %s", q.Node)
	}
	m, err := n.meshMessage(&q)
	if err != nil {
		return nil, err
	}
	timeout := meshCallTimeout
	if q.TimeoutUs > 0 {
		timeout = time.Duration(q.TimeoutUs) * time.Microsecond
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var slab []byte
	if q.Output != 0 {
		slab = n.buffers.slab()
	}
	reply, err := n.mesh.Call(ctx, inos.NodeID(q.Node), q.Addrs, m, slab)
	if err == nil {
		err = checkReply(&q, reply)
	}
	if err != nil {
		n.buffers.recycle(slab)
		return nil, err
	}
	if len(reply.Bulk) == 0 {
		n.buffers.recycle(slab)
	} else {
		n.buffers.put(q.Output, reply.Bulk)
	}
	if n.authority.invite != nil {
		reply.Envelope = n.takeOut(reply.Envelope)
	}
	return &eventpb.MeshCallReply{Envelope: reply.Envelope, OutputBytes: uint32(len(reply.Bulk))}, nil
}

// meshMessage makes what goes out: with the buffer's bytes, and with what the kernel does not see, the ticket and a heartbeat's signed invite.
func (n *Node) meshMessage(q *eventpb.MeshCallRequest) (m mesh.Message, err error) {
	m.Envelope = q.Envelope
	if q.Input != 0 {
		if m.Bulk, err = n.buffers.get(q.Input); err != nil {
			return m, err
		}
	}
	switch {
	case q.Grant != nil:
		if n.signer() == nil {
			return m, inos.Errorf(inos.CodeInternal, "sign ticket", "this node is no switchboard")
		}
		m.Ticket, err = n.signer().SignTicket(q.Grant, n.clock.Now())
	case len(q.Ticket) > 0:
		m.Ticket, err = n.tickets.find(string(q.Ticket))
	}
	if err == nil && n.authority.invite != nil {
		m.Envelope, err = n.withInvite(q.Envelope)
	}
	return m, err
}

// withInvite puts a provider's signed invite where it introduces itself. The kernel has only what the invite says: signed, it is a secret
// of a kind.
func (n *Node) withInvite(raw []byte) ([]byte, error) {
	e, err := event.Decode(raw)
	if err != nil {
		return nil, err
	}
	switch e.EventType {
	case event.NodeHeartbeat:
		var p eventpb.HeartbeatRequest
		if err := event.Open(e, &p); err != nil {
			return nil, err
		}
		p.Grant = n.authority.invite.Raw
		e.Payload = event.Payload(&p)
	case event.NodeJoin:
		var p eventpb.NodeJoinRequest
		if err := event.Open(e, &p); err != nil {
			return nil, err
		}
		p.Invite = n.authority.invite.Raw
		e.Payload = event.Payload(&p)
	default:
		return raw, nil
	}
	return event.Encode(nil, e), nil
}

// checkReply refuses a reply that is not what was asked for. An envelope that the kernel could not be handed is no reply.
func checkReply(q *eventpb.MeshCallRequest, reply mesh.Message) error {
	if len(reply.Envelope) > carriedBytesMax {
		return inos.Errorf(inos.CodeBadFormat, "mesh:call", "%s answered with an envelope of %d bytes, at most %d are taken", q.Node, len(reply.Envelope), carriedBytesMax)
	}
	if len(reply.Bulk) == 0 || len(q.OutputHash) == 0 {
		return nil
	}
	if sum := content.Sum(reply.Bulk); !bytes.Equal(sum[:], q.OutputHash) {
		return inos.Errorf(inos.CodeChunkCorrupt, "mesh:call", "%s sent %d bytes that hash to %x, not to %x", q.Node, len(reply.Bulk), sum, q.OutputHash)
	}
	return nil
}
