package host

import (
	"context"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/mesh"
)

const (
	// incomingBuffer is the number of the first buffer with bulk that another node has sent; the kernel's own numbers are below.
	incomingBuffer = 1 << 63
	// carriedBytesMax bounds an envelope that is carried inside another one's payload.
	carriedBytesMax = inos.PayloadBytesMax - 16<<10
)

// serveCall hands another node's envelope to the kernel and returns its reply. Package mesh bounds how many are under way and the
// bytes they hold.
func (n *Node) serveCall(ctx context.Context, peer inos.NodeID, switchboard bool, q mesh.Message) (mesh.Message, error) {
	inner, err := event.Decode(q.Envelope)
	if err == nil {
		err = event.Check(inner)
	}
	if err == nil && (len(q.Envelope) > carriedBytesMax || event.StateOf(inner.EventType) != event.StateRequested) {
		err = inos.Errorf(inos.CodeBadRequest, "serve call", "%s of %d bytes: a request of at most %d is served", inner.EventType, len(q.Envelope), carriedBytesMax)
	}
	if err != nil {
		n.buffers.recycle(q.Bulk)
		return mesh.Message{}, err
	}
	reply, err := n.serveRequest(ctx, peer, switchboard, inner, q)
	if err != nil {
		return mesh.Message{Envelope: event.Encode(nil, event.Failed(inner, n.clock.Now(), err))}, nil
	}
	return reply, nil
}

// serveRequest checks what only the host can check, and strips what the kernel, and so its log, is not to see: the ticket's bytes, the
// invite's signature and a token. An error is for the peer.
func (n *Node) serveRequest(ctx context.Context, peer inos.NodeID, switchboard bool, inner *eventpb.Envelope, m mesh.Message) (mesh.Message, error) {
	q := &eventpb.MeshServeRequest{Peer: string(peer), Switchboard: switchboard, InputBytes: uint32(len(m.Bulk))}
	if inner.Metadata != nil {
		inner.Metadata.SecurityToken = ""
	}
	err := n.checkInvite(inner, q)
	if err == nil && len(m.Ticket) > 0 {
		q.Grant, err = n.authority.verifier.Ticket(m.Ticket, peer, n.id, n.clock.Now())
	}
	if err == nil {
		err = n.waitBooted(ctx)
	}
	if err != nil {
		n.buffers.recycle(m.Bulk)
		return mesh.Message{}, err
	}
	if len(m.Ticket) > 0 {
		handle := n.tickets.keep(m.Ticket)
		defer n.tickets.drop(handle)
		q.Ticket = []byte(handle)
	}
	if len(m.Bulk) > 0 {
		q.Input = incomingBuffer + n.incoming.Add(1)
		n.buffers.put(q.Input, m.Bulk)
	}
	q.Envelope = event.Encode(nil, inner)
	reply, err := n.askKernel(ctx, n.hostEnvelope(event.MeshServe, q), q.Input)
	if err != nil {
		return mesh.Message{}, err
	}
	out, err := n.replyOf(reply)
	if err == nil && n.signer() != nil && ofMember(inner.EventType, out.Envelope) {
		n.mesh.Vouch(peer)
	}
	if err == nil && inner.EventType == event.NodeHeartbeat && n.signer() != nil {
		out.Envelope = n.withRevocations(out.Envelope)
	}
	return out, err
}

// ofMember says that the kernel's reply to a join or a heartbeat is one to a member.
func ofMember(asked string, raw []byte) bool {
	if asked != event.NodeJoin && asked != event.NodeHeartbeat {
		return false
	}
	e, err := event.Decode(raw)
	if err != nil || event.StateOf(e.EventType) != event.StateCompleted {
		return false
	}
	var p eventpb.HeartbeatReply
	return asked == event.NodeJoin || event.Open(e, &p) == nil && !p.Unknown
}

// checkInvite verifies the invite that a join or a heartbeat brings to a switchboard, and leaves its content alone for the kernel, which
// sees whether it has expired. One that a revoked switchboard has signed lets nobody in, unless the map is made again: its members are those of before.
func (n *Node) checkInvite(inner *eventpb.Envelope, q *eventpb.MeshServeRequest) error {
	var raw []byte
	switch inner.EventType {
	case event.NodeJoin:
		var p eventpb.NodeJoinRequest
		if err := event.Open(inner, &p); err != nil {
			return err
		}
		raw, p.Invite = p.Invite, nil
		inner.Payload = event.Payload(&p)
	case event.NodeHeartbeat:
		var p eventpb.HeartbeatRequest
		if err := event.Open(inner, &p); err != nil {
			return err
		}
		raw, p.Grant = p.Grant, nil
		inner.Payload = event.Payload(&p)
	}
	if len(raw) == 0 || n.signer() == nil {
		return nil
	}
	invite, err := n.authority.verifier.Invite(raw)
	if err != nil {
		return err
	}
	if n.authority.verifier.Revoked(invite.By) && !n.config.Rebuild {
		if inner.EventType == event.NodeJoin {
			return inos.Errorf(inos.CodeInviteRefused, "check invite", "the switchboard %s, which signed it, was revoked", invite.By)
		}
		return nil
	}
	q.Invite = event.Payload(invite.Content)
	return nil
}

// waitBooted waits until there is a kernel to ask.
func (n *Node) waitBooted(ctx context.Context) error {
	select {
	case <-n.booted:
		return nil
	case <-ctx.Done():
		return inos.Errorf(inos.CodeCanceled, "serve call", "%w", ctx.Err())
	case <-n.done:
		return errStopped()
	}
}

// askKernel submits a call and waits for the kernel's reply, whatever becomes of the peer: the kernel has it under way, with the buffers. The
// input is released when the kernel did not take it.
func (n *Node) askKernel(ctx context.Context, e *eventpb.Envelope, input uint64) (*request, error) {
	r, err := n.requests.add(e)
	if err != nil {
		n.buffers.release([]uint64{input})
		return nil, err
	}
	defer n.requests.remove(r)
	l := n.currentLoop()
	if err := l.submit(ctx, e); err != nil {
		n.buffers.release([]uint64{input})
		return nil, err
	}
	select {
	case r.reply = <-r.final:
		if r.reply.EventType != event.KernelLost {
			return r, nil
		}
	case <-l.stopped: // what it had under way is void, whether it had seen the call or not
	case <-n.done: // the kernel hangs in a step: it answers nothing any more, and the node's memory ends with it
		return nil, errStopped()
	}
	l.performing.Wait() // an effect of it may still use the buffer
	n.buffers.release([]uint64{input})
	return nil, errStopped()
}

// replyOf makes the reply for the peer.
func (n *Node) replyOf(r *request) (mesh.Message, error) {
	if event.StateOf(r.reply.EventType) == event.StateFailed {
		n.buffers.recycle(r.bulk)
		return mesh.Message{}, event.FailureOf(r.reply)
	}
	var p eventpb.MeshServeReply
	if err := event.Open(r.reply, &p); err != nil {
		n.buffers.recycle(r.bulk)
		return mesh.Message{}, err
	}
	return mesh.Message{Envelope: p.Envelope, Bulk: r.bulk, Done: func() { n.buffers.recycle(r.bulk) }}, nil
}

// takeOutput takes the bulk of a served call out of its buffer when the kernel replies, before it releases the buffer: the bytes are on
// their way to the peer.
func (l *loop) takeOutput(e *eventpb.Envelope) []byte {
	if e.EventType != meshServed {
		return nil
	}
	var p eventpb.MeshServeReply
	if event.Open(e, &p) != nil || p.Output == 0 {
		return nil
	}
	return l.node.buffers.take(p.Output)
}

var meshServed = event.WithState(event.MeshServe, event.StateCompleted)
