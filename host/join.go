package host

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/mesh"
	"github.com/inos-mesh/inos/host/trust"
)

const (
	// joinTimeout is how long a newcomer asks the switchboards of its invite before its start fails.
	joinTimeout = 60 * time.Second
	// joinCallTimeout bounds one question.
	joinCallTimeout = 15 * time.Second
	// joinPause is the time between two rounds of questions.
	joinPause = time.Second
)

// Join makes a data folder that of a provider: it checks the text of an invite and keeps it, and the node that is opened on the folder asks
// a switchboard to let it in. It returns what the invite grants. Joining again with the same invite changes nothing; with one of another switchboard
// of the same mesh the node asks that one from then on.
//
// CodeInviteRefused says what is wrong with the invite; CodeConflict, that the folder is a switchboard's or of another mesh;
// CodeFolderInUse, that a node runs on it.
func Join(dir, text string) (*eventpb.Invite, error) {
	f, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	defer f.close()
	invite, err := f.join(text, newClock().Now())
	if err != nil {
		return nil, err
	}
	return invite.Content, nil
}

// InviteAddresses returns the multiaddresses at which an invite has its bearer look for a switchboard; none for what is no invite.
func InviteAddresses(text string) []string {
	invite, err := trust.ReadInvite(text, newClock().Now())
	if err != nil {
		return nil
	}
	return invite.Content.Switchboards
}

func (f *folder) join(text string, now inos.Micros) (*trust.Invite, error) {
	const op = "join"
	invite, err := trust.ReadInvite(text, now)
	if err != nil {
		return nil, err
	}
	if len(invite.Content.Switchboards) == 0 {
		return nil, inos.Errorf(inos.CodeInviteRefused, op, "the invite names no switchboard to ask")
	}
	for _, addr := range invite.Content.Switchboards {
		if _, err := nodeOfAddr(addr); err != nil {
			return nil, inos.Errorf(inos.CodeInviteRefused, op, "%w", err)
		}
	}
	state, err := f.meshState()
	if err != nil {
		return nil, err
	}
	if state != nil {
		before, err := f.invite(state)
		switch {
		case err != nil:
			return nil, err
		case string(before.Raw) == string(invite.Raw):
			return invite, nil
		case state.Joined && (!bytes.Equal(state.RootKey, invite.Content.RootKey) || before.By == invite.By):
			return nil, inos.Errorf(inos.CodeConflict, op, "%s has joined a mesh with another invite; another node needs another folder", f.dir)
		}
	}
	next := &meshState{RootKey: invite.Content.RootKey, Invite: text}
	if state != nil && bytes.Equal(state.RootKey, next.RootKey) {
		next.Revocations = state.Revocations
	}
	return invite, f.keepMeshState(next)
}

// invite reads the invite that a folder has joined with.
func (f *folder) invite(state *meshState) (*trust.Invite, error) {
	const op = "start provider"
	if state == nil {
		e := inos.Errorf(inos.CodeBadRequest, op, "%s has joined no mesh", f.dir)
		e.Hint = "Join one with 'inos join INVITE'; the mesh's operator makes an invite with 'inos invite'."
		return nil, e
	}
	if state.Invite == "" {
		return nil, inos.Errorf(inos.CodeConflict, op, "%s is the folder of a switchboard; a provider needs one of its own", f.dir)
	}
	v, err := trust.NewVerifier(state.RootKey)
	if err != nil {
		return nil, err
	}
	return v.InviteText(state.Invite)
}

// openMembership reads what a provider has joined with.
func (n *Node) openMembership() error {
	if n.config.Invite != "" {
		if _, err := n.folder.join(n.config.Invite, n.clock.Now()); err != nil {
			return err
		}
	}
	state, err := n.folder.meshState()
	if err != nil {
		return err
	}
	invite, err := n.folder.invite(state)
	if err != nil {
		return err
	}
	verifier, err := n.believe(state.RootKey, state)
	if err != nil {
		return err
	}
	n.authority = authority{verifier: verifier, state: state, invite: invite}
	if err := n.keepRevocations(); err != nil {
		return err
	}
	c := invite.Content
	n.config.Zone, n.config.HostLabel, n.config.Operator = c.Zone, c.Host, c.Operator
	n.config.Tier, n.config.OfferedBytes = inos.Tier(c.Tier), c.OfferedBytes
	if n.config.CapacityBytes == 0 {
		n.config.CapacityBytes = int64(min(c.OfferedBytes, 1<<62))
	}
	return n.openKey(nil)
}

// join asks the switchboards of the invite to let this node in, unless one has already. It asks again while none answers, until joinTimeout; a
// refusal ends it.
func (n *Node) join(ctx context.Context) error {
	if n.authority.state.Joined {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	for {
		err := n.joinAny(ctx)
		if err == nil {
			n.authority.state.Joined = true
			return n.folder.keepMeshState(n.authority.state)
		}
		if !mayChange(err) {
			return err
		}
		select {
		case <-time.After(joinPause):
		case <-ctx.Done():
			return err
		}
	}
}

// mayChange says that asking again may help.
func mayChange(err error) bool {
	var coded *inos.Error
	if errors.As(err, &coded) && coded.RetryAfter > 0 {
		return true
	}
	switch inos.CodeOf(err) {
	case inos.CodePeerUnreachable, inos.CodeBusy, inos.CodeShuttingDown, inos.CodeDeadlineExceeded:
		return true
	}
	return false
}

// joinAny asks one switchboard after the other.
func (n *Node) joinAny(ctx context.Context) (err error) {
	for _, addr := range n.authority.invite.Content.Switchboards {
		if err = n.joinAt(ctx, addr); err == nil || !mayChange(err) {
			return err
		}
	}
	return err
}

func (n *Node) joinAt(ctx context.Context, addr string) error {
	board, err := nodeOfAddr(addr)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, joinCallTimeout)
	defer cancel()
	q := n.hostEnvelope(event.NodeJoin, &eventpb.NodeJoinRequest{
		Invite: n.authority.invite.Raw, Addrs: n.mesh.Addrs(), Held: uint64(n.content.Usage().Chunks + n.records.Usage().Chunks),
	})
	q.Metadata = nil
	m, err := n.mesh.Call(ctx, board, []string{addr}, mesh.Message{Envelope: event.Encode(nil, q)}, nil)
	if err != nil {
		return err
	}
	reply, err := event.Decode(m.Envelope)
	if err != nil {
		return err
	}
	if event.StateOf(reply.EventType) == event.StateFailed {
		return event.FailureOf(reply)
	}
	var joined eventpb.NodeJoinReply
	return event.Open(reply, &joined)
}
