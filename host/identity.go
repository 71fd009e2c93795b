package host

import (
	"context"
	"crypto/ed25519"
	"strings"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/api"
	"github.com/inos-mesh/inos/host/trust"
)

// hostTokenID is the token id of the host's own envelopes. No token has it: the edge replaces a client's token by the
// id found in the semantic memory.
const hostTokenID = "host"

// publicSubject is who shows nothing.
const publicSubject = inos.GranteePublic

// Authenticate implements api.Node. The secret is the operator's, or an access token. A session is made known to the kernel before it is returned.
func (n *Node) Authenticate(ctx context.Context, secret string) (s inos.Session, err error) {
	switch {
	case strings.HasPrefix(secret, tokenPrefix) && len(secret) <= tokenBytesMax:
		if s, err = n.findToken(ctx, blake3.Sum256([]byte(secret))); err == nil {
			s, err = n.admitSession(ctx, s)
		}
	case n.tokenKeys != nil && strings.Count(secret, ".") == 2:
		s, err = n.sessionOfToken(ctx, secret)
	default:
		err = inos.Errorf(inos.CodeUnauthenticated, "authenticate", "the request carries no token of this mesh")
	}
	if inos.CodeOf(err) == inos.CodeUnauthenticated {
		n.Refused(err.Error())
	}
	return s, err
}

// sessionOfToken verifies an access token and finds its session. What it may do is what the memory says; the token has to be of that session.
func (n *Node) sessionOfToken(ctx context.Context, token string) (inos.Session, error) {
	claims, err := n.tokenKeys.use.Load().Verify(token, "", "", n.clock.Now())
	if err != nil {
		return inos.Session{}, err
	}
	s, err := n.admitFound(ctx, claims.TokenId)
	if err != nil {
		return s, err
	}
	if string(s.Subject) != claims.Subject || s.Device != claims.Device || s.Audience != claims.Audience || string(s.Peer) != claims.Peer {
		return s, inos.Errorf(inos.CodeUnauthenticated, "authenticate", "the token is not what its session %s says", s.TokenID)
	}
	return s, nil
}

// Resume implements api.Node.
func (n *Node) Resume(ctx context.Context, tokenID string) (inos.Session, error) {
	if n.tokenKeys == nil {
		return inos.Session{}, inos.Errorf(inos.CodeNotSwitchboard, "find session", "this node has no sessions")
	}
	return n.admitFound(ctx, tokenID)
}

// admitSession tells the kernel of a session that is not over.
func (n *Node) admitSession(ctx context.Context, s inos.Session) (inos.Session, error) {
	if s.ExpiresAt != 0 && s.ExpiresAt <= n.clock.Now() {
		return s, inos.Errorf(inos.CodeUnauthenticated, "authenticate", "the session %s has expired", s.TokenID)
	}
	return s, n.currentLoop().introduce(ctx, s)
}

// admitFound does that with a session that was found by its id. When sessions have ended meanwhile it looks again: the kernel is not to be told of one
// behind its end.
func (n *Node) admitFound(ctx context.Context, tokenID string) (inos.Session, error) {
	ended := n.sessions.ended()
	s, err := n.sessions.find(ctx, tokenID)
	if err == nil {
		s, err = n.admitSession(ctx, s)
	}
	if err != nil || ended == n.sessions.ended() {
		return s, err
	}
	if _, err = n.sessions.find(ctx, tokenID); inos.CodeOf(err) == inos.CodeUnauthenticated {
		l := n.currentLoop()
		l.forget([]string{tokenID})
		l.result(n.hostEnvelope(event.IdentityRevoke, &eventpb.Revocation{TokenId: tokenID}))
	}
	return s, err
}

// findToken returns the session of an opaque secret.
func (n *Node) findToken(ctx context.Context, hash [inos.HashBytes]byte) (inos.Session, error) {
	if n.local == nil {
		return n.semantic.FindToken(ctx, hash)
	}
	if hash != n.local.hash { // of hashes: how long it takes says nothing of the secret
		return inos.Session{}, inos.Errorf(inos.CodeUnauthenticated, "authenticate", "the request carries no token of this node")
	}
	return n.local.session, nil
}

// OpenLink implements api.Node. Whether the link is over or used up, the kernel says.
func (n *Node) OpenLink(ctx context.Context, secret string) (api.Shared, error) {
	if !strings.HasPrefix(secret, linkPrefix) || n.semantic == nil {
		return api.Shared{}, inos.Errorf(inos.CodeGrantUnknown, "open link", "this is no link of this mesh")
	}
	g, err := n.semantic.FindLink(ctx, blake3.Sum256([]byte(secret)))
	if err != nil {
		return api.Shared{}, err
	}
	if g.UsesMax != 0 && g.Uses >= g.UsesMax { // the kernel counts gets; this is for the headers, which it does not count
		return api.Shared{}, inos.Errorf(inos.CodeGrantUnknown, "open link", "the link %s has been used as often as it may be", g.ID)
	}
	s, err := n.stranger(ctx, inos.Session{TokenID: g.Grantee, Subject: inos.Subject(g.Grantee), ExpiresAt: g.ExpiresAt})
	if inos.CodeOf(err) == inos.CodeUnauthenticated {
		err = inos.Errorf(inos.CodeGrantUnknown, "open link", "the link %s has expired", g.ID)
	}
	return api.Shared{Session: s, Owner: g.Owner, Prefix: g.Prefix}, err
}

// Public implements api.Node.
func (n *Node) Public(ctx context.Context) (api.Shared, error) {
	s, err := n.stranger(ctx, inos.Session{TokenID: publicSubject, Subject: publicSubject})
	return api.Shared{Session: s}, err
}

// stranger tells the kernel of a session without a user. It may read what grants say, in every namespace, and has none of its own.
func (n *Node) stranger(ctx context.Context, s inos.Session) (inos.Session, error) {
	s.Capabilities = []string{"files:read:*"}
	if s.ExpiresAt != 0 && s.ExpiresAt <= n.clock.Now() {
		return s, inos.Errorf(inos.CodeUnauthenticated, "authenticate", "the session %s has expired", s.TokenID)
	}
	return s, n.currentLoop().introduce(ctx, s)
}

// DeviceID implements api.Node.
func (n *Node) DeviceID(publicKey []byte) string {
	return string(trust.NodeOf(ed25519.PublicKey(publicKey)))
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
		Audience: s.Audience, Peer: string(s.Peer), IssuedBy: s.IssuedBy,
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

// forget makes the loop introduce sessions anew.
func (l *loop) forget(tokens []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range tokens {
		delete(l.introduced, id)
	}
}
