package host

import (
	"context"
	"crypto/ed25519"
	"strings"

	"github.com/mr-tron/base58"
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
	session, err := n.semantic.FindToken(ctx, blake3.Sum256([]byte(secret)))
	if err != nil {
		return inos.Session{}, err
	}
	if session.ExpiresAt != 0 && session.ExpiresAt <= n.clock.Now() {
		return inos.Session{}, inos.Errorf(inos.CodeUnauthenticated, op, "the token %s has expired", session.TokenID)
	}
	return session, n.currentLoop().introduce(ctx, session)
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

// peerID returns the libp2p peer id of an Ed25519 key: the base58 of the identity multihash of its protobuf form
// (libp2p specification, peer ids).
func peerID(key ed25519.PublicKey) inos.NodeID {
	return inos.NodeID(base58.Encode(append([]byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}, key...)))
}
