package host

import (
	"context"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/trust"
)

// signer returns what the node signs with, if it is a switchboard.
func (l *loop) signer(op string) (*trust.Signer, error) {
	if s := l.node.signer(); s != nil {
		return s, nil
	}
	return nil, inos.Errorf(inos.CodeNotSwitchboard, op, "this node signs nothing")
}

func (l *loop) performRecordSeal(_ context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.RecordSealRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	signer, err := l.signer("record:seal")
	if err != nil {
		return nil, err
	}
	sealed, err := signer.SealRecord(q.Record, l.node.clock.Now())
	if err != nil {
		return nil, err
	}
	id := blake3.Sum256(sealed)
	l.node.buffers.put(q.Output, sealed)
	return &eventpb.RecordSealReply{RecordId: id[:], SealedBytes: uint32(len(sealed))}, nil
}

func (l *loop) performRecordOpen(_ context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.RecordOpenRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	root := l.node.authority.root
	if root == nil {
		return nil, inos.Errorf(inos.CodePermissionDenied, "record:open", "commit records are opened by a rebuild, which has the root key")
	}
	sealed, err := l.node.buffers.get(q.Input)
	if err != nil {
		return nil, err
	}
	record, signed, err := root.OpenRecord(sealed)
	if err != nil {
		return nil, err
	}
	return &eventpb.RecordOpenReply{Record: record, SignedUs: int64(signed)}, nil
}

// performInviteSign makes an invite. Its text is a secret until it is used: the kernel gets a handle, which handOut replaces in the reply to the
// client.
func (l *loop) performInviteSign(_ context.Context, e *eventpb.Envelope) (event.Message, error) {
	const op = "invite:sign"
	var q eventpb.InviteSignRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	signer, err := l.signer(op)
	if err != nil {
		return nil, err
	}
	if q.Invite == nil {
		return nil, inos.Errorf(inos.CodeInternal, op, "the kernel sent none")
	}
	if len(q.Invite.Switchboards) == 0 {
		q.Invite.Switchboards = l.node.MeshAddrs()
	}
	if len(q.Invite.Switchboards) == 0 {
		refused := inos.Errorf(inos.CodeConflict, op, "this node listens for no other: an invite would lead nowhere")
		refused.Hint = "Start it with 'inos up', or with 'inos node --mesh-listen ADDRESS'."
		return nil, refused
	}
	text, err := signer.SignInvite(q.Invite, l.node.clock.Now())
	if err != nil {
		return nil, err
	}
	return &eventpb.InviteSignReply{Text: l.node.secrets.keep([]byte(text))}, nil
}
