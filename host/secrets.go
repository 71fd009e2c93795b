package host

import (
	"context"
	"crypto/rand"
	"encoding/base64"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

const (
	// secretBytes is the randomness of a secret.
	secretBytes = 32
	// secretTextsMax bounds the secrets and tokens that were made and not handed out yet.
	secretTextsMax = 1024
)

// secretPrefixes are how the texts of secrets begin, so that a person and a scanner see what one is.
var secretPrefixes = map[string]string{"enrolment": enrolmentPrefix, "link": linkPrefix, "refresh": refreshPrefix}

const (
	enrolmentPrefix = "inos-enrol-"
	linkPrefix      = "inos-link-"
	refreshPrefix   = "inos-refresh-"
)

// secretText makes a secret.
func secretText(prefix string) string {
	var random [secretBytes]byte
	_, _ = rand.Read(random[:]) // crypto/rand.Read never fails: it ends the process instead
	return prefix + base64.RawURLEncoding.EncodeToString(random[:])
}

// performSecretMake makes a secret that the kernel knows the hash of and never sees.
func (l *loop) performSecretMake(_ context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.SecretMakeRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	prefix, ok := secretPrefixes[q.Kind]
	if !ok {
		return nil, inos.Errorf(inos.CodeInternal, "secret:make", "%.40q is no kind of secret", q.Kind)
	}
	text := secretText(prefix)
	hash := blake3.Sum256([]byte(text))
	return &eventpb.SecretMakeReply{Handle: l.node.secrets.keep([]byte(text)), Hash: hash[:]}, nil
}

// performTokenSign makes the access token of a session, and gives the kernel a handle.
func (l *loop) performTokenSign(_ context.Context, e *eventpb.Envelope) (event.Message, error) {
	const op = "token:sign"
	var q eventpb.TokenSignRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	if q.Session == nil {
		return nil, inos.Errorf(inos.CodeInternal, op, "the kernel sent none")
	}
	if l.node.tokenKeys == nil {
		return nil, inos.Errorf(inos.CodeNotSwitchboard, op, "this node signs no tokens")
	}
	text, err := l.node.tokenKeys.use.Load().Sign(q.Session, l.node.clock.Now())
	if err != nil {
		return nil, err
	}
	return &eventpb.TokenSignReply{Handle: l.node.secrets.keep([]byte(text))}, nil
}

// handOuts has for each reply that carries secrets to a client an empty payload and where the handles are in it.
var handOuts = map[string]func() (event.Message, []*string){
	completed(event.NodesInvite): func() (event.Message, []*string) {
		p := &eventpb.NodesInviteReply{}
		return p, []*string{&p.Text}
	},
	completed(event.IdentityLogin):   loginSecrets,
	completed(event.IdentityRefresh): loginSecrets,
	completed(event.UsersEnrol): func() (event.Message, []*string) {
		p := &eventpb.UsersEnrolReply{}
		return p, []*string{&p.Secret}
	},
	completed(event.TokensIssue): func() (event.Message, []*string) {
		p := &eventpb.TokensIssueReply{}
		return p, []*string{&p.Token}
	},
	completed(event.GrantsPut): func() (event.Message, []*string) {
		p := &eventpb.GrantsPutReply{}
		return p, []*string{&p.Secret}
	},
}

func loginSecrets() (event.Message, []*string) {
	p := &eventpb.LoginReply{}
	return p, []*string{&p.Token, &p.Refresh}
}

func completed(eventType string) string { return event.WithState(eventType, event.StateCompleted) }

// handOut replaces the handles in a reply by what they stand for, once: what the kernel sees is in its log, so it never sees that.
func (n *Node) handOut(e *eventpb.Envelope) *eventpb.Envelope {
	if e.EventType == statusTold {
		return n.tellCertificate(e)
	}
	empty, ok := handOuts[e.EventType]
	if !ok {
		return e
	}
	payload, secrets := empty()
	if event.Open(e, payload) != nil {
		return e
	}
	for _, s := range secrets {
		if *s == "" {
			continue // of a link that was made before: its secret is nowhere any more
		}
		text, err := n.secrets.find(*s)
		if err != nil {
			return event.Failed(e, n.clock.Now(), err)
		}
		n.secrets.drop(*s)
		*s = string(text)
	}
	out := e.CloneVT()
	out.Payload = event.Payload(payload)
	return out
}
