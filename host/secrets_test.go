package host

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// secretNode is what the performers of secrets need of a node.
func secretNode(t *testing.T) *loop {
	t.Helper()
	n := &Node{clock: newClock(), secrets: newHandles(secretTextsMax)}
	var err error
	if n.tokenKeys, err = openTokenKeys(&folder{dir: t.TempDir()}, make([]byte, 32), n.clock.Now()); err != nil {
		t.Fatal(err)
	}
	return &loop{node: n}
}

func effect(eventType string, q event.Message) *eventpb.Envelope {
	return &eventpb.Envelope{Id: "1", EventType: eventType, Payload: event.Payload(q)}
}

// TestSecretsLeaveByTheReplyAlone follows each kind of secret: the kernel gets a handle, the client the text, once.
func TestSecretsLeaveByTheReplyAlone(t *testing.T) {
	l := secretNode(t)
	ctx := context.Background()
	secret := func(kind string) (handle string, hash []byte) {
		t.Helper()
		m, err := l.performSecretMake(ctx, effect(event.SecretMake, &eventpb.SecretMakeRequest{Kind: kind}))
		if err != nil {
			t.Fatal(err)
		}
		r := m.(*eventpb.SecretMakeReply)
		return r.Handle, r.Hash
	}
	token := func() string {
		t.Helper()
		s := &eventpb.Session{TokenId: "t", Subject: "ann", ExpiresUs: int64(l.node.clock.Now() + inos.Hour)}
		m, err := l.performTokenSign(ctx, effect(event.TokenSign, &eventpb.TokenSignRequest{Session: s}))
		if err != nil {
			t.Fatal(err)
		}
		return m.(*eventpb.TokenSignReply).Handle
	}
	open := func(e *eventpb.Envelope, m event.Message) {
		t.Helper()
		if err := event.Open(e, m); err != nil {
			t.Fatal(err)
		}
	}
	isSecret := func(text, prefix string, hash []byte) {
		t.Helper()
		if sum := blake3.Sum256([]byte(text)); !strings.HasPrefix(text, prefix) || len(text) != len(prefix)+43 || !bytes.Equal(sum[:], hash) {
			t.Errorf("a secret of %d bytes that begins %.12q does not have the hash that the kernel was told, or no %s", len(text), text, prefix)
		}
	}
	for _, kind := range []string{event.IdentityLogin, event.IdentityRefresh} {
		refresh, hash := secret("refresh")
		reply := effect(completed(kind), &eventpb.LoginReply{Token: token(), Refresh: refresh})
		out := l.node.handOut(reply)
		var got eventpb.LoginReply
		open(out, &got)
		isSecret(got.Refresh, refreshPrefix, hash)
		if _, err := l.node.tokenKeys.use.Load().Verify(got.Token, "", "", l.node.clock.Now()); err != nil {
			t.Errorf("%s: the token handed out: %v", kind, err)
		}
		if again := l.node.handOut(reply); event.StateOf(again.EventType) != event.StateFailed {
			t.Errorf("%s: a handle is good twice: %s", kind, again.EventType)
		}
	}
	handle, hash := secret("enrolment")
	var enrolled eventpb.UsersEnrolReply
	open(l.node.handOut(effect(completed(event.UsersEnrol), &eventpb.UsersEnrolReply{Secret: handle, ExpiresUs: 7})), &enrolled)
	isSecret(enrolled.Secret, enrolmentPrefix, hash)
	if enrolled.ExpiresUs != 7 {
		t.Errorf("the rest of the reply is lost: %v", &enrolled)
	}
	handle, hash = secret("link")
	var granted eventpb.GrantsPutReply
	open(l.node.handOut(effect(completed(event.GrantsPut), &eventpb.GrantsPutReply{Secret: handle})), &granted)
	isSecret(granted.Secret, linkPrefix, hash)
	var plain eventpb.GrantsPutReply
	open(l.node.handOut(effect(completed(event.GrantsPut), &eventpb.GrantsPutReply{Grant: &eventpb.AccessGrant{Id: "g"}})), &plain)
	if plain.Secret != "" {
		t.Error("a grant without a secret got one")
	}
	var issued eventpb.TokensIssueReply
	open(l.node.handOut(effect(completed(event.TokensIssue), &eventpb.TokensIssueReply{Token: token()})), &issued)
	if strings.Count(issued.Token, ".") != 2 {
		t.Errorf("issued: %.20q", issued.Token)
	}
	if len(l.node.secrets.kept) != 0 {
		t.Errorf("%d secrets are kept behind their reply", len(l.node.secrets.kept))
	}
	if _, err := l.performSecretMake(ctx, effect(event.SecretMake, &eventpb.SecretMakeRequest{Kind: "other"})); err == nil {
		t.Error("a secret of no kind was made")
	}
}
