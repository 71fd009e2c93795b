package api

import (
	"net/http"
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// tokens answers with a page of sessions: GET /v1/tokens?user=&after=&limit=; without a user one's own.
func (x *exchange) tokens(target) error {
	values, after, limit, err := x.page("user")
	if err != nil {
		return err
	}
	var reply eventpb.TokensListReply
	if err := x.ask(event.TokensList, &eventpb.TokensListRequest{User: values.Get("user"), After: after, Limit: limit}, &reply); err != nil {
		return err
	}
	out := TokensReply{Tokens: make([]Session, len(reply.Sessions)), Next: reply.Next}
	for i, s := range reply.Sessions {
		out.Tokens[i] = sessionInfoOf(s)
	}
	x.writeJSON(http.StatusOK, out)
	return nil
}

// issueToken makes a token for a program, with no more than the sender's own capabilities: POST /v1/tokens. It is shown once.
func (x *exchange) issueToken(target) error {
	var q TokenQuestion
	if err := x.readJSON(&q); err != nil {
		return err
	}
	reply, err := x.issue(&q)
	if err != nil {
		return err
	}
	x.secret(http.StatusCreated, TokenReply{Token: reply.Token, Session: sessionInfoOf(reply.Session)})
	return nil
}

func (x *exchange) issue(q *TokenQuestion) (*eventpb.TokensIssueReply, error) {
	if err := checkCapabilities("tokens:issue", q.Capabilities); err != nil {
		return nil, err
	}
	var reply eventpb.TokensIssueReply
	return &reply, x.ask(event.TokensIssue, &eventpb.TokensIssueRequest{
		Name: q.Name, Capabilities: q.Capabilities, LifeUs: q.LifeUs, Audience: q.Audience, Peer: q.Peer,
	}, &reply)
}

// revokeToken ends a session at once: DELETE /v1/tokens/{id}?user=.
func (x *exchange) revokeToken(t target) error { return x.revoke(t.name) }

// revokeTokens ends all sessions of a user: DELETE /v1/tokens?user=, which has to name one.
func (x *exchange) revokeTokens(target) error {
	if x.r.URL.Query().Get("user") == "" {
		return inos.Errorf(inos.CodeBadRequest, "tokens:revoke", "name the user whose sessions are all to end: ?user=NAME, or one session: /v1/tokens/ID")
	}
	return x.revoke("")
}

func (x *exchange) revoke(id string) error {
	values, err := x.query("user")
	if err != nil {
		return err
	}
	var reply eventpb.TokensRevokeReply
	if err := x.ask(event.TokensRevoke, &eventpb.TokensRevokeRequest{TokenId: id, User: values.Get("user")}, &reply); err != nil {
		return err
	}
	x.writeJSON(http.StatusOK, EndedReply{Sessions: reply.Sessions})
	return nil
}

// grants answers with a page of grants: GET /v1/grants?owner=&received=&after=&limit=; without an owner those in one's own namespace, with
// received=1 those that let one into others'.
func (x *exchange) grants(target) error {
	values, after, limit, err := x.page("owner", "received")
	if err != nil {
		return err
	}
	received, err := flag(values, "received")
	if err != nil {
		return err
	}
	var reply eventpb.GrantsListReply
	q := &eventpb.GrantsListRequest{Owner: values.Get("owner"), After: after, Limit: limit, Received: received}
	if err := x.ask(event.GrantsList, q, &reply); err != nil {
		return err
	}
	out := GrantsReply{Grants: make([]Grant, len(reply.Grants)), Next: reply.Next}
	for i, g := range reply.Grants {
		out.Grants[i] = grantOf(g)
	}
	x.writeJSON(http.StatusOK, out)
	return nil
}

// putGrant lets somebody into a part of a namespace: POST /v1/grants. The secret of a link is shown once. The same Inos-Request-Id within 24 hours has one effect.
func (x *exchange) putGrant(target) error {
	const op = "grants:put"
	id, err := x.requestID()
	if err != nil {
		return err
	}
	var q GrantQuestion
	if err := x.readJSON(&q); err != nil {
		return err
	}
	if q.Prefix != "/" {
		if err := inos.CheckPath(inos.Path(q.Prefix)); err != nil {
			return err
		}
	}
	switch {
	case q.Link != (q.Grantee == ""):
		return inos.Errorf(inos.CodeBadRequest, op, "a grant has a grantee (user:NAME, group:NAME, public), or link: true")
	case q.ExpiresUs < 0:
		return inos.Errorf(inos.CodeBadRequest, op, "expires_us %d is before 1970", q.ExpiresUs)
	case q.Link && len(q.Verbs) == 0:
		q.Verbs = []string{"read"}
	}
	slices.Sort(q.Verbs)
	var reply eventpb.GrantsPutReply
	request := &eventpb.GrantsPutRequest{Link: q.Link, Grant: &eventpb.AccessGrant{
		Owner: q.Owner, Prefix: q.Prefix, Grantee: q.Grantee, Verbs: slices.Compact(q.Verbs), ExpiresUs: q.ExpiresUs, UsesMax: q.UsesMax,
	}}
	if err := x.send(x.r.Context(), x.envelope(id, event.GrantsPut, request), &reply, nil); err != nil {
		return err
	}
	out := GrantReply{Grant: grantOf(reply.Grant), Secret: reply.Secret}
	if out.Secret != "" {
		out.Address = linksPrefix + out.Secret
	}
	x.secret(http.StatusCreated, out)
	return nil
}

// removeGrant takes a grant back at once: DELETE /v1/grants/{id}?owner=.
func (x *exchange) removeGrant(t target) error {
	values, err := x.query("owner")
	if err != nil {
		return err
	}
	var reply eventpb.GrantsRemoveReply
	if err := x.ask(event.GrantsRemove, &eventpb.GrantsRemoveRequest{Id: t.name, Owner: values.Get("owner")}, &reply); err != nil {
		return err
	}
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

// ledger answers with a page of an account's entries, oldest first: GET /v1/ledger?account=&after=&limit=; without an account one's own.
func (x *exchange) ledger(target) error {
	values, err := x.query("account", "after", "limit")
	if err != nil {
		return err
	}
	after, err := number(values, "after", 0, 1<<62)
	if err != nil {
		return err
	}
	limit, err := number(values, "limit", 0, listLimitMax)
	if err != nil {
		return err
	}
	var reply eventpb.LedgerListReply
	q := &eventpb.LedgerListRequest{Account: values.Get("account"), After: after, Limit: uint32(limit)}
	if q.Account == "" {
		q.Account = "user:" + string(x.session.Subject)
	}
	if err := x.ask(event.LedgerList, q, &reply); err != nil {
		return err
	}
	out := LedgerReply{Entries: entriesOf(reply.Entries), Next: reply.Next, Balance: reply.Balance}
	x.writeJSON(http.StatusOK, out)
	return nil
}

// transfer moves micro-credits: POST /v1/ledger. The same Inos-Request-Id within 24 hours has one effect.
func (x *exchange) transfer(target) error {
	id, err := x.requestID()
	if err != nil {
		return err
	}
	var q TransferQuestion
	if err := x.readJSON(&q); err != nil {
		return err
	}
	if q.Amount <= 0 {
		return inos.Errorf(inos.CodeBadRequest, "ledger:transfer", "amount %d is not above 0; what is to go the other way has from and to exchanged", q.Amount)
	}
	var reply eventpb.LedgerTransferReply
	request := &eventpb.LedgerTransferRequest{From: q.From, To: q.To, Amount: q.Amount, Reason: q.Reason}
	if err := x.send(x.r.Context(), x.envelope(id, event.LedgerTransfer, request), &reply, nil); err != nil {
		return err
	}
	x.writeJSON(http.StatusOK, LedgerReply{Entries: entriesOf(reply.Entries)})
	return nil
}

func entriesOf(entries []*eventpb.LedgerEntry) []Entry {
	out := make([]Entry, len(entries))
	for i, e := range entries {
		out[i] = entryOf(e)
	}
	return out
}
