package verbs

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// payloads returns a list as payloads carry it.
func payloads[T, P any](list []T, payload func(*T) *P) []*P {
	all := make([]*P, len(list))
	for i := range list {
		all[i] = payload(&list[i])
	}
	return all
}

// secretHash reads the hash of a secret; CodeInternal unless it has 32 bytes. The error does not quote it.
func secretHash(b []byte) (hash [inos.HashBytes]byte, err error) {
	if len(b) != inos.HashBytes {
		return hash, inos.Errorf(inos.CodeInternal, "read hash of a secret", "%d bytes, a hash has %d", len(b), inos.HashBytes)
	}
	return [inos.HashBytes]byte(b), nil
}

func optionalHash(b []byte) (*[inos.HashBytes]byte, error) {
	if len(b) == 0 {
		return nil, nil
	}
	hash, err := secretHash(b)
	return &hash, err
}

func quota(q *eventpb.Quota) inos.Quota {
	if q == nil {
		return inos.Quota{}
	}
	return inos.Quota{PlainBytes: q.PlainBytes, Files: q.Files, RequestsPerSecond: q.RequestsPerSecond}
}

// User reads a user; usage and balance are the memory's own to say.
func User(u *eventpb.User) inos.User {
	if u == nil {
		return inos.User{}
	}
	return inos.User{Name: inos.Subject(u.Name), Operator: u.Operator, Disabled: u.Disabled, Quota: quota(u.Quota), CreatedAt: inos.Micros(u.CreatedUs)}
}

// UserPayload returns a user as payloads carry it.
func UserPayload(u *inos.User) *eventpb.User {
	return &eventpb.User{
		Name: string(u.Name), Operator: u.Operator, Disabled: u.Disabled, CreatedUs: int64(u.CreatedAt), Balance: u.Balance,
		Quota: &eventpb.Quota{PlainBytes: u.Quota.PlainBytes, Files: u.Quota.Files, RequestsPerSecond: u.Quota.RequestsPerSecond},
		Usage: &eventpb.Usage{PlainBytes: u.Usage.PlainBytes, Files: u.Usage.Files},
	}
}

func devicePayload(d *inos.Device) *eventpb.Device {
	return &eventpb.Device{Id: d.ID, User: string(d.User), Name: d.Name, PublicKey: d.PublicKey[:], CreatedUs: int64(d.CreatedAt), Revoked: d.Revoked}
}

func group(g *eventpb.Group) (out inos.Group) {
	if g == nil {
		return out
	}
	out.Name = g.Name
	for _, user := range g.Members {
		out.Members = append(out.Members, inos.Subject(user))
	}
	return out
}

func groupPayload(g *inos.Group) *eventpb.Group {
	p := &eventpb.Group{Name: g.Name}
	for _, user := range g.Members {
		p.Members = append(p.Members, string(user))
	}
	return p
}

// Session reads what a token says.
func Session(s *eventpb.Session) inos.Session {
	if s == nil {
		return inos.Session{}
	}
	return inos.Session{
		TokenID: s.TokenId, Subject: inos.Subject(s.Subject), Device: s.Device, Capabilities: s.Capabilities, ExpiresAt: inos.Micros(s.ExpiresUs),
		Audience: s.Audience, Peer: inos.NodeID(s.Peer), IssuedBy: s.IssuedBy,
	}
}

// SessionPayload returns a session as payloads carry it. It shares memory with s.
func SessionPayload(s *inos.Session) *eventpb.Session {
	return &eventpb.Session{
		TokenId: s.TokenID, Subject: string(s.Subject), Device: s.Device, Capabilities: s.Capabilities, ExpiresUs: int64(s.ExpiresAt),
		Audience: s.Audience, Peer: string(s.Peer), IssuedBy: s.IssuedBy,
	}
}

// SessionInfo reads a session as the memory keeps it.
func SessionInfo(s *eventpb.SessionInfo) inos.SessionInfo {
	if s == nil {
		return inos.SessionInfo{}
	}
	return inos.SessionInfo{Session: Session(s.Session), Name: s.Name, CreatedAt: inos.Micros(s.CreatedUs), Refreshable: s.Refreshable}
}

// SessionInfoPayload returns a session as payloads carry it. It shares memory with s.
func SessionInfoPayload(s *inos.SessionInfo) *eventpb.SessionInfo {
	return &eventpb.SessionInfo{Session: SessionPayload(&s.Session), Name: s.Name, CreatedUs: int64(s.CreatedAt), Refreshable: s.Refreshable}
}

// AccessGrant reads a grant.
func AccessGrant(g *eventpb.AccessGrant) inos.AccessGrant {
	if g == nil {
		return inos.AccessGrant{}
	}
	return inos.AccessGrant{
		ID: g.Id, Owner: inos.Subject(g.Owner), Prefix: inos.Path(g.Prefix), Grantee: g.Grantee, Verbs: g.Verbs, ExpiresAt: inos.Micros(g.ExpiresUs),
		UsesMax: g.UsesMax, Uses: g.Uses, By: inos.Subject(g.By), CreatedAt: inos.Micros(g.CreatedUs),
	}
}

// AccessGrantPayload returns a grant as payloads carry it. It shares memory with g.
func AccessGrantPayload(g *inos.AccessGrant) *eventpb.AccessGrant {
	return &eventpb.AccessGrant{
		Id: g.ID, Owner: string(g.Owner), Prefix: string(g.Prefix), Grantee: g.Grantee, Verbs: g.Verbs, ExpiresUs: int64(g.ExpiresAt),
		UsesMax: g.UsesMax, Uses: g.Uses, By: string(g.By), CreatedUs: int64(g.CreatedAt),
	}
}

func entryPayload(e *inos.LedgerEntry) *eventpb.LedgerEntry {
	return &eventpb.LedgerEntry{Seq: e.Seq, EventId: e.EventID, Account: e.Account, Amount: e.Amount, AtUs: int64(e.At), Reason: e.Reason}
}
