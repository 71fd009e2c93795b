package host

import (
	"context"
	"crypto/rand"
	"sync"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

const (
	tokenFile   = "token"
	tokenPrefix = "inos_"
	tokenBytes  = 32
	// tokenBytesMax bounds the operator's secret from outside before it is hashed.
	tokenBytesMax = 256
	// operatorOverlap is how long the operator's old secret counts when there is a new one: as long as a command may take between reading the file and asking.
	operatorOverlap = inos.Minute
	// operatorCredits are the micro-credits that the first operator begins with: a million credits.
	operatorCredits = 1_000_000_000_000
)

// operator is who owns a node that nobody else was invited to.
const operator inos.Subject = "operator"

// The operator's secret has one of two token ids; the other is that of the one before it, or of none.
var operatorTokens = [2]string{"operator-1", "operator-2"}

// operatorSession is what the operator's secret stands for.
func operatorSession(id string, expires inos.Micros) inos.Session {
	return inos.Session{TokenID: id, Subject: operator, Device: "cli", Capabilities: []string{"*:*:*"}, ExpiresAt: expires}
}

// operatorSecret is the secret in the data folder, and its place among the two.
type operatorSecret struct {
	mu    sync.Mutex // held while it is exchanged; guards the fields below
	text  string
	place int
	// oldUntil is until when the one before counts.
	oldUntil inos.Micros
}

// ensureOperator makes the semantic memory know the operator, and the hash of the secret in the data folder; any other secret of the operator's is void.
func (n *Node) ensureOperator(ctx context.Context) (string, error) {
	o := &n.operator
	o.mu.Lock()
	defer o.mu.Unlock()
	text, err := n.folder.secret(tokenFile, tokenPrefix, tokenBytes)
	if err != nil {
		return "", err
	}
	if err := n.ensureOperatorUser(ctx); err != nil {
		return "", err
	}
	hash := blake3.Sum256([]byte(text))
	o.text, o.place = text, 0
	if s, err := n.semantic.FindToken(ctx, hash); err == nil && s.TokenID == operatorTokens[1] {
		o.place = 1
	}
	if err := n.semantic.PutToken(ctx, hash, operatorSession(operatorTokens[o.place], 0)); err != nil {
		return "", err
	}
	return text, n.voidOperator(ctx, 1-o.place)
}

// ensureOperatorUser makes the user of that name with its credits, at the first start and in a folder of before there were users.
func (n *Node) ensureOperatorUser(ctx context.Context) error {
	now := n.clock.Now()
	var random [10]byte
	_, _ = rand.Read(random[:]) // crypto/rand.Read never fails: it ends the process instead
	key := inos.RequestKey{Subject: hostTokenID, ID: event.NewID(now, random), EventType: event.UsersPut}
	_, _, err := n.semantic.PutUser(ctx, inos.User{Name: operator, Operator: true}, true, operatorCredits, key, now)
	if inos.CodeOf(err) == inos.CodeConflict {
		return nil // there is one, whatever it was changed to
	}
	return err
}

// voidOperator puts a hash that nobody knows the secret of into a place.
func (n *Node) voidOperator(ctx context.Context, place int) error {
	var nobodys [inos.HashBytes]byte
	_, _ = rand.Read(nobodys[:]) // crypto/rand.Read never fails: it ends the process instead
	return n.semantic.PutToken(ctx, nobodys, operatorSession(operatorTokens[place], 1))
}

// RotateOperator implements api.Node. The new secret counts before it is in the file, and the old one for operatorOverlap longer, so that no command in
// between is refused; at once ends the old one with the answer.
func (n *Node) RotateOperator(ctx context.Context, by inos.Session, atOnce bool) (inos.Micros, error) {
	if n.semantic == nil {
		return 0, inos.Errorf(inos.CodeNotSwitchboard, "rotate operator token", "restart this provider with its file 'token' removed to get another")
	}
	o := &n.operator
	o.mu.Lock()
	defer o.mu.Unlock()
	if left := o.oldUntil - n.clock.Now(); left > 0 && !atOnce {
		e := inos.Errorf(inos.CodeBusy, "rotate operator token", "the token before the present one counts for %d s more", left/inos.Second+1)
		e.RetryAfter = left
		return 0, e
	}
	text, err := randomSecret(tokenPrefix, tokenBytes)
	if err != nil {
		return 0, err
	}
	place := 1 - o.place
	if err := n.semantic.PutToken(ctx, blake3.Sum256([]byte(text)), operatorSession(operatorTokens[place], 0)); err != nil {
		return 0, err
	}
	l := n.currentLoop()
	l.forget([]string{operatorTokens[place]}) // the kernel knew another by this id
	if err := n.folder.write(tokenFile, text+"\n"); err != nil {
		return 0, err
	}
	old, oldPlace := blake3.Sum256([]byte(o.text)), o.place
	o.text, o.place = text, place
	expires := n.clock.Now()
	if atOnce {
		if err := n.voidOperator(ctx, oldPlace); err != nil {
			return 0, err
		}
		l.result(n.hostEnvelope(event.IdentityRevoke, &eventpb.Revocation{TokenId: operatorTokens[oldPlace]}))
	} else {
		expires += operatorOverlap
		if err := n.semantic.PutToken(ctx, old, operatorSession(operatorTokens[oldPlace], expires)); err != nil {
			return 0, err
		}
	}
	l.forget([]string{operatorTokens[oldPlace]})
	o.oldUntil = expires
	n.note(keysRotated, by.Subject, "the operator's token; the old one counts until "+microsText(expires))
	return expires, nil
}

// localOperator is who may ask a mere provider for its status: whoever reads the secret in its folder. It is no token of the mesh.
type localOperator struct {
	hash    [inos.HashBytes]byte
	session inos.Session
}

// speak makes the local operator's question for the status the host's own: the kernel of a mere provider answers no client.
func (o *localOperator) speak(e *eventpb.Envelope) *eventpb.Envelope {
	if e.EventType != event.NodeStatus || e.GetMetadata().GetSecurityToken() != o.session.TokenID {
		return e
	}
	own := e.CloneVT()
	own.Metadata.SecurityToken = hostTokenID
	return own
}

func (f *folder) localOperator() (*localOperator, error) {
	secret, err := f.secret(tokenFile, tokenPrefix, tokenBytes)
	if err != nil {
		return nil, err
	}
	return &localOperator{blake3.Sum256([]byte(secret)), inos.Session{
		TokenID: "local-1", Subject: operator, Device: "cli", Capabilities: []string{"node:*:*"},
	}}, nil
}
