package kernel

import (
	"slices"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// tokens begins what is asked about sessions: another one for a program, which ones there are, and the end of them.
func (u *identities) tokens(p *errand) *inos.Error {
	user := func(s string) string {
		if s == "" {
			return string(p.subject)
		}
		return s
	}
	switch p.eventType {
	case event.TokensList:
		q := read[eventpb.TokensListRequest](p.payload)
		if q.Limit > listMax || !label(q.After) || !label(q.User) {
			return p.bad("a page of %d tokens, at most %d", q.Limit, listMax)
		}
		return u.ask(p, opIDVerb, event.ListSessions, &eventpb.ListSessionsRequest{User: user(q.User), After: q.After, Limit: q.Limit, NowUs: int64(u.k.now)})
	case event.TokensRevoke:
		q := read[eventpb.TokensRevokeRequest](p.payload)
		if !label(q.TokenId) || !label(q.User) {
			return p.bad("%.80q is no token's id", q.TokenId)
		}
		return u.ask(p, opIDVerb, event.RevokeSessions, &eventpb.RevokeSessionsRequest{User: user(q.User), TokenId: q.TokenId})
	}
	q := read[eventpb.TokensIssueRequest](p.payload)
	life := inos.Micros(q.LifeUs)
	if life == 0 {
		life = tokenLife
	}
	switch {
	case !hasNamespace(p.subject):
		return p.forbidden("tokens are for users, and %.80s is none", p.subject)
	case len(q.Capabilities) == 0:
		return p.bad("a token is for something: name the capabilities that it needs")
	case !label(q.Name) || !label(q.Audience) || q.Peer != "" && !name(q.Peer):
		return p.bad("a token's name, audience and peer have at most %d bytes", nameBytesMax)
	case life < 0 || life > tokenLifeMax:
		return p.bad("a token is good for at most %s", seconds(tokenLifeMax))
	}
	if err := checkCapabilities(p.op(), q.Capabilities); err != nil {
		return err
	}
	if err := u.lessThanAsked(p, q); err != nil {
		return err
	}
	s, expires := u.k.governance.sessions[p.token], u.k.now+life // lessThanAsked has seen that it is there
	if s.device == "" && s.expires != 0 {
		expires = min(expires, s.expires) // a program's token does not outlive itself in another one
	}
	p.session = &eventpb.SessionInfo{
		Session: &eventpb.Session{
			TokenId: event.NewID(u.k.now, u.k.random.ten()), Subject: string(p.subject), Capabilities: q.Capabilities, Audience: q.Audience, Peer: q.Peer,
			ExpiresUs: int64(expires), IssuedBy: s.issuer(),
		},
		Name: q.Name, CreatedUs: int64(u.k.now),
	}
	return u.ask(p, opIDOpen, event.OpenSession, &eventpb.OpenSessionRequest{Session: p.session, NowUs: int64(u.k.now)})
}

// lessThanAsked refuses a token that could do more than the session that asks for it.
func (u *identities) lessThanAsked(p *errand, q *eventpb.TokensIssueRequest) *inos.Error {
	s := u.k.governance.sessions[p.token]
	for _, c := range q.Capabilities {
		if !attenuates(p.capabilities, []string{c}) {
			return p.forbidden("the token that asks does not have the capability %.200s itself", c)
		}
	}
	switch {
	case s == nil:
		return p.forbidden("the token that asks was revoked")
	case s.peer != "" && q.Peer != s.peer:
		return p.forbidden("the token that asks is for the node %.80s only, and so are those it issues", s.peer)
	case s.audience != "" && q.Audience != s.audience:
		return p.forbidden("the token that asks is for %.80s only, and so are those it issues", s.audience)
	}
	return nil
}

func (u *identities) tokensDone(p *errand, a *answer) *inos.Error {
	if p.eventType == event.TokensList {
		var r eventpb.ListSessionsReply
		if event.Open(a.env, &r) != nil {
			return undecoded("semantic:list_sessions")
		}
		reply := &eventpb.TokensListReply{Sessions: r.Sessions}
		if r.More && len(r.Sessions) > 0 {
			reply.Next = r.Sessions[len(r.Sessions)-1].GetSession().GetTokenId()
		}
		return u.complete(p, reply, plural(uint64(len(r.Sessions)), "token", "tokens"))
	}
	var r eventpb.RevokeSessionsReply
	if event.Open(a.env, &r) != nil {
		return undecoded("semantic:revoke_sessions")
	}
	u.forget(r.TokenIds)
	return u.complete(p, &eventpb.TokensRevokeReply{Sessions: uint32(len(r.TokenIds))}, plural(uint64(len(r.TokenIds)), "session", "sessions")+" ended")
}

// ledger begins what is asked about accounts.
func (u *identities) ledger(p *errand) *inos.Error {
	if p.eventType == event.LedgerList {
		q := read[eventpb.LedgerListRequest](p.payload)
		if !account(q.Account) || q.Limit > listMax {
			return p.bad("%.80q is no account, or a page of %d entries is more than %d", q.Account, q.Limit, listMax)
		}
		return u.ask(p, opIDVerb, event.ListEntries, &eventpb.ListEntriesRequest{Account: q.Account, After: q.After, Limit: q.Limit})
	}
	q := read[eventpb.LedgerTransferRequest](p.payload)
	escrow := func(s string) bool { return strings.HasPrefix(s, "escrow:") }
	switch {
	case !account(q.From) || !account(q.To) || q.From == q.To || q.Amount <= 0 || !label(q.Reason):
		return p.bad("a transfer moves more than nothing from one account to another; accounts are grant and user:NAME")
	case escrow(q.From) || escrow(q.To):
		return p.forbidden("what is in escrow belongs to pledges: it moves with the replicas of files")
	}
	entry := func(account string, amount int64) *eventpb.LedgerEntry {
		return &eventpb.LedgerEntry{Account: account, Amount: amount, EventId: p.id, AtUs: int64(u.k.now), Reason: q.Reason}
	}
	return u.ask(p, opIDVerb, event.Transfer, &eventpb.TransferRequest{
		Entries: []*eventpb.LedgerEntry{entry(q.From, -q.Amount), entry(q.To, q.Amount)}, EventId: p.id, NowUs: int64(u.k.now), Covered: q.From != "grant",
	})
}

// account says that s names one: grant, user:NAME or escrow:NAME.
func account(s string) bool {
	kind, user, ok := strings.Cut(s, ":")
	return s == "grant" || ok && slices.Contains([]string{"user", "escrow"}, kind) && userName(user)
}

func (u *identities) ledgerDone(p *errand, a *answer) *inos.Error {
	if p.eventType == event.LedgerList {
		var r eventpb.ListEntriesReply
		if event.Open(a.env, &r) != nil {
			return undecoded("semantic:list_entries")
		}
		reply := &eventpb.LedgerListReply{Entries: r.Entries, Balance: r.Balance}
		if r.More && len(r.Entries) > 0 {
			reply.Next = r.Entries[len(r.Entries)-1].Seq
		}
		return u.complete(p, reply, plural(uint64(len(r.Entries)), "entry", "entries"))
	}
	var r eventpb.TransferReply
	if event.Open(a.env, &r) != nil {
		return undecoded("semantic:transfer")
	}
	q := read[eventpb.LedgerTransferRequest](p.payload)
	return u.complete(p, &eventpb.LedgerTransferReply{Entries: r.Entries}, plural(uint64(q.Amount), "micro-credit", "micro-credits")+" to "+q.To)
}
