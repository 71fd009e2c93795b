package semantic

import (
	"context"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// PutToken implements inos.Semantic.
func (s *Store) PutToken(ctx context.Context, hash [inos.HashBytes]byte, session inos.Session) error {
	const op = "semantic:put_token"
	if err := checkToken(op, &session); err != nil {
		return err
	}
	return s.write(ctx, op, 1, func(t *tx) error {
		var id string
		used, err := found(t.row(tokenOfHash, hash[:]), &id)
		if err != nil {
			return err
		}
		if used && id != session.TokenID {
			return conflict(op, "the secret of token %.64q is that of another token", session.TokenID)
		}
		return t.exec(upsertToken, session.TokenID, hash[:], encodeSession(&session))
	})
}

// FindToken implements inos.Semantic.
func (s *Store) FindToken(ctx context.Context, hash [inos.HashBytes]byte) (session inos.Session, err error) {
	const op = "semantic:find_token"
	var b []byte
	known, err := found(s.reads[selectToken].QueryRowContext(ctx, hash[:]), &b)
	if err != nil {
		return session, s.wrap(op, err)
	}
	if !known {
		return session, unauthenticated(op)
	}
	return decodeSession(op, b)
}

func unauthenticated(op string) error {
	return inos.Errorf(inos.CodeUnauthenticated, op, "no token has this secret")
}

func sessionMessage(s *inos.Session) *eventpb.Session {
	return &eventpb.Session{
		TokenId: s.TokenID, Subject: string(s.Subject), Device: s.Device, Capabilities: s.Capabilities, ExpiresUs: int64(s.ExpiresAt),
		Audience: s.Audience, Peer: string(s.Peer), IssuedBy: s.IssuedBy,
	}
}

func messageSession(m *eventpb.Session) inos.Session {
	return inos.Session{
		TokenID: m.TokenId, Subject: inos.Subject(m.Subject), Device: m.Device, Capabilities: m.Capabilities, ExpiresAt: inos.Micros(m.ExpiresUs),
		Audience: m.Audience, Peer: inos.NodeID(m.Peer), IssuedBy: m.IssuedBy,
	}
}

func encodeSession(s *inos.Session) []byte {
	m := sessionMessage(s)
	b := make([]byte, m.SizeVT())
	if _, err := m.MarshalToSizedBufferVT(b); err != nil {
		panic("semantic: encode a session in memory: " + err.Error()) // no input can cause it
	}
	return b
}

func decodeSession(op string, b []byte) (inos.Session, error) {
	var m eventpb.Session
	if err := m.UnmarshalVT(b); err != nil {
		return inos.Session{}, inos.Errorf(inos.CodeBadFormat, op, "the stored session of %d bytes does not decode: %w", len(b), err)
	}
	return messageSession(&m), nil
}
