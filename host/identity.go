package host

import (
	"context"
	"strings"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

const (
	tokenPrefix = "inos_"
	tokenBytes  = 32
	// tokenBytesMax bounds a secret from outside before it is hashed.
	tokenBytesMax = 256
)

// operator is who owns a node that nobody else was invited to.
const operator inos.Subject = "operator"

// hostTokenID is the token id of the host's own envelopes. No token has it: the edge replaces a client's token by the
// id found in the semantic memory.
const hostTokenID = "host"

// ensureOperator returns the operator's secret and makes the semantic memory know its hash.
func (n *Node) ensureOperator(ctx context.Context) (string, error) {
	secret, err := n.folder.secret("token", tokenPrefix, tokenBytes)
	if err != nil {
		return "", err
	}
	return secret, n.semantic.PutToken(ctx, blake3.Sum256([]byte(secret)), inos.Session{
		TokenID: "operator-1", Subject: operator, Device: "cli", Capabilities: []string{"*:*:*"},
	})
}

// Authenticate implements api.Node. A session is made known to the kernel before it is returned.
func (n *Node) Authenticate(ctx context.Context, secret string) (inos.Session, error) {
	const op = "authenticate"
	if secret == "" || len(secret) > tokenBytesMax || !strings.HasPrefix(secret, tokenPrefix) {
		return inos.Session{}, inos.Errorf(inos.CodeUnauthenticated, op, "the request carries no token of this mesh")
	}
	session, err := n.findToken(ctx, blake3.Sum256([]byte(secret)))
	if err != nil {
		return inos.Session{}, err
	}
	if session.ExpiresAt != 0 && session.ExpiresAt <= n.clock.Now() {
		return inos.Session{}, inos.Errorf(inos.CodeUnauthenticated, op, "the token %s has expired", session.TokenID)
	}
	return session, n.currentLoop().introduce(ctx, session)
}

func (n *Node) findToken(ctx context.Context, hash [inos.HashBytes]byte) (inos.Session, error) {
	if n.local == nil {
		return n.semantic.FindToken(ctx, hash)
	}
	if hash != n.local.hash { // of hashes: how long it takes says nothing of the secret
		return inos.Session{}, inos.Errorf(inos.CodeUnauthenticated, "authenticate", "the request carries no token of this node")
	}
	return n.local.session, nil
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
	secret, err := f.secret("token", tokenPrefix, tokenBytes)
	if err != nil {
		return nil, err
	}
	return &localOperator{blake3.Sum256([]byte(secret)), inos.Session{
		TokenID: "local-1", Subject: operator, Device: "cli", Capabilities: []string{"node:*:*"},
	}}, nil
}

// introduce tells the kernel of a session, once per kernel.
func (l *loop) introduce(ctx context.Context, s inos.Session) error {
	l.mu.Lock()
	_, known := l.introduced[s.TokenID]
	l.mu.Unlock()
	if known {
		return nil
	}
	err := l.submit(ctx, l.node.hostEnvelope(event.IdentitySession, &eventpb.Session{
		TokenId: s.TokenID, Subject: string(s.Subject), Device: s.Device, Capabilities: s.Capabilities, ExpiresUs: int64(s.ExpiresAt),
	}))
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.introduced) >= introducedMax {
		clear(l.introduced) // introducing a session again changes nothing
	}
	l.introduced[s.TokenID] = struct{}{}
	return nil
}
