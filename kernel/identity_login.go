package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// login checks what the host says of somebody who holds a device's key.
func (u *identities) login(p *errand) *inos.Error {
	q := read[eventpb.LoginRequest](p.payload)
	switch {
	case !userName(q.User):
		return u.notLetIn(p)
	case len(q.PublicKey) != inos.HashBytes || q.Device == "" || !name(q.Device) || !label(q.DeviceName) || !label(q.Audience):
		return p.bad("a public key of 32 bytes, its device's id, and a name and an audience of at most %d bytes are needed", nameBytesMax)
	case len(q.Enrolment) != 0 && len(q.Enrolment) != inos.HashBytes:
		return p.bad("the hash of an enrolment's secret has %d bytes", inos.HashBytes)
	}
	if err := checkCapabilities(p.op(), q.Capabilities); err != nil {
		return err
	}
	return u.user(p, q.User)
}

// notLetIn is the answer to every login that fails: it does not say whether there is such a user.
func (u *identities) notLetIn(p *errand) *inos.Error {
	return inos.Errorf(inos.CodeUnauthenticated, p.op(), "the user, the device or the enrolment is not known, or not good any more")
}

// knownUser has a refresh secret made for a user who may log in. For one who is not there, or is disabled, the same steps are taken, as long, and
// the session is what is refused then: else the time of the answer would tell who there is.
func (u *identities) knownUser(p *errand, user *eventpb.User) *inos.Error {
	q := read[eventpb.LoginRequest](p.payload)
	if user == nil || user.Disabled {
		user = &eventpb.User{Name: q.User}
	}
	have := userCapabilities(user)
	want := slices.DeleteFunc(slices.Clone(q.Capabilities), func(c string) bool { return !attenuates(have, []string{c}) })
	if len(q.Capabilities) == 0 {
		want = have
	}
	p.short = len(want) < len(q.Capabilities) // said when the device has shown who it is
	p.session = &eventpb.SessionInfo{
		Session: &eventpb.Session{
			TokenId: event.NewID(u.k.now, u.k.random.ten()), Subject: q.User, Device: q.Device, Capabilities: want, Audience: q.Audience,
			ExpiresUs: int64(u.k.now + sessionLife),
		},
		Name: q.DeviceName, CreatedUs: int64(u.k.now), Refreshable: true,
	}
	return u.secret(p, "refresh")
}

// open has a login's session opened.
func (u *identities) open(p *errand) *inos.Error {
	q := read[eventpb.LoginRequest](p.payload)
	return u.ask(p, opIDOpen, event.OpenSession, &eventpb.OpenSessionRequest{
		Session: p.session, PublicKey: q.PublicKey, DeviceName: q.DeviceName, Enrolment: q.Enrolment, Refresh: p.hash, NowUs: int64(u.k.now),
	})
}

// countSessions looks, when a session was refused, whether the user has as many as may be. The device has shown who it is by then.
func (u *identities) countSessions(p *errand) *inos.Error {
	return u.ask(p, opIDCrowd, event.ListSessions, &eventpb.ListSessionsRequest{
		User: read[eventpb.LoginRequest](p.payload).User, After: p.after, Limit: sessionsPage, NowUs: int64(u.k.now),
	})
}

// sawSessions ends the oldest login of a user who has as many sessions as may be, so that this one has room: whoever lost devices, or never logs out, is not locked
// out for a month. Token ids begin with the time they were made. Programs' tokens are left alone, for nobody would see them end.
func (u *identities) sawSessions(p *errand, a *answer) *inos.Error {
	var r eventpb.ListSessionsReply
	if event.Open(a.env, &r) != nil {
		return undecoded("semantic:list_sessions")
	}
	for _, s := range r.Sessions {
		if p.oldest == "" && s.Session.GetDevice() != "" {
			p.oldest = s.Session.TokenId
		}
	}
	p.counted += uint32(len(r.Sessions))
	user := read[eventpb.LoginRequest](p.payload).User
	switch {
	case p.counted < inos.UserSessionsMax && r.More && len(r.Sessions) > 0:
		p.after = r.Sessions[len(r.Sessions)-1].Session.GetTokenId()
		return u.countSessions(p)
	case p.counted < inos.UserSessionsMax:
		return u.open(p) // what was refused was something else, and is refused again
	case p.oldest == "":
		return inos.Errorf(inos.CodeConflict, p.op(), "%s has %d tokens of programs and takes no more sessions: end some with 'inos tokens revoke'", user, p.counted)
	}
	return u.ask(p, opIDOldest, event.RevokeSessions, &eventpb.RevokeSessionsRequest{User: user, TokenId: p.oldest})
}

// endedOldest tries the login again.
func (u *identities) endedOldest(p *errand, a *answer) *inos.Error {
	var r eventpb.RevokeSessionsReply
	if event.Open(a.env, &r) != nil {
		return undecoded("semantic:revoke_sessions")
	}
	u.forget(r.TokenIds)
	u.k.watcher.note(event.TokensRevoke, event.StateCompleted, "the oldest session of "+read[eventpb.LoginRequest](p.payload).User+", "+p.oldest+", ended: there were as many as may be")
	return u.open(p)
}

// refresh checks the hash of a refresh secret.
func (u *identities) refresh(p *errand) *inos.Error {
	if n := len(read[eventpb.RefreshRequest](p.payload).Refresh); n != inos.HashBytes {
		return p.bad("the hash of a refresh secret has %d bytes, not %d", inos.HashBytes, n)
	}
	return u.secret(p, "refresh")
}

// letIn takes a session that was opened or refreshed, has its token signed, and hands that out.
func (u *identities) letIn(p *errand, a *answer) *inos.Error {
	var user *eventpb.User
	switch a.op {
	case opIDOpen:
		var r eventpb.OpenSessionReply
		if event.Open(a.env, &r) != nil {
			return undecoded("semantic:open_session")
		}
		p.session, user = r.Session, r.User
	case opIDRefresh:
		var r eventpb.RefreshSessionReply
		if event.Open(a.env, &r) != nil {
			return undecoded("semantic:refresh_session")
		}
		if p.session, user = r.Session, r.User; r.Reused {
			if p.session != nil && p.session.Session != nil {
				u.forget([]string{p.session.Session.TokenId})
			}
			return inos.Errorf(inos.CodeUnauthenticated, p.op(), "the refresh secret was used before: somebody else has it, and its session has ended")
		}
	default:
		return u.signed(p, a)
	}
	if p.session == nil || p.session.Session == nil || user == nil {
		return undecoded(event.Stage(a.env.EventType))
	}
	s := p.session.Session
	switch {
	case p.short:
		u.undo(p)
		return p.forbidden("user %s does not have all of the capabilities that are asked for", s.Subject)
	case user.Disabled || !attenuates(userCapabilities(user), s.Capabilities):
		u.undo(p)
		u.forget([]string{s.TokenId})
		return u.notLetIn(p) // the user was changed meanwhile
	}
	token := s.CloneVT()
	if p.eventType != event.TokensIssue {
		token.ExpiresUs = min(token.ExpiresUs, int64(u.k.now+accessTokenLife))
	}
	return u.ask(p, opIDSign, event.TokenSign, &eventpb.TokenSignRequest{Session: token})
}

// signed hands the token out.
func (u *identities) signed(p *errand, a *answer) *inos.Error {
	var r eventpb.TokenSignReply
	if event.Open(a.env, &r) != nil || r.Handle == "" {
		u.undo(p)
		return undecoded("token:sign")
	}
	s := p.session.Session
	if p.eventType == event.TokensIssue && u.k.governance.sessions[p.token] == nil { // else its holder had a way back in that began before the revocation and lasts for a year
		u.undo(p)
		return inos.Errorf(inos.CodeUnauthenticated, p.op(), "the token that asks was revoked meanwhile")
	}
	if p.eventType == event.TokensIssue {
		return u.complete(p, &eventpb.TokensIssueReply{Session: p.session, Token: r.Handle}, "token "+s.TokenId+" for "+seconds(inos.Micros(s.ExpiresUs)-u.k.now))
	}
	s.ExpiresUs = min(s.ExpiresUs, int64(u.k.now+accessTokenLife))
	return u.complete(p, &eventpb.LoginReply{Session: s, Token: r.Handle, Refresh: p.handle}, "session "+s.TokenId+" of "+s.Subject+" on "+s.Device)
}
