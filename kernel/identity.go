package kernel

import (
	"slices"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects of an errand: what it waits for.
const (
	opIDUser    = iota + 1 // semantic:read_access of a user's own namespace, for the user's row
	opIDAccess             // semantic:read_access, of who asks in somebody else's namespace
	opIDSecret             // secret:make
	opIDOpen               // semantic:open_session
	opIDRefresh            // semantic:refresh_session
	opIDSign               // token:sign
	opIDOthers             // semantic:list_users, for another operator
	opIDFind               // semantic:list_grants, for one of them
	opIDVerb               // the verb that does what is asked
	opIDRevoke             // semantic:revoke_sessions, of a user who lost rights
	opIDCrowd              // semantic:list_sessions, of a user who has as many as may be
	opIDOldest             // semantic:revoke_sessions, of the oldest login among them
	opIDUndo               // semantic:revoke_sessions, of a session whose token was not handed out
	opIDPrune              // semantic:prune_sessions
	opIDFold               // semantic:fold_entries
)

// identities lets users in, and does what is asked about users, devices, groups, tokens, grants and the ledger. Each request is an errand: a few
// effects one after the other. What ends sessions drops them here and in the host before it is answered.
type identities struct {
	k       *Kernel
	table   map[uint64]*errand
	putting []uint64 // users:put take turns: two must not each take the other for the operator that stays
	pruneAt inos.Micros
	pruning bool // what is over is being pruned, or the ledger folded
	crowded bool // the ledger has more than ledgerEntriesMax
}

// errand is one request under way.
type errand struct {
	origin
	payload      []byte
	capabilities []string // of the session that asks
	handle       string   // of the secret that was made
	hash         []byte
	session      *eventpb.SessionInfo
	grant        *eventpb.AccessGrant
	reply        *eventpb.UsersPutReply
	after        string
	administers  []string // prefixes in the owner's namespace
	short        bool     // a capability was wanted that the user does not have
	lost         bool     // the user loses rights: the sessions end
	expires      inos.Micros
	tokens       []string // sessions that have ended
	counted      uint32   // sessions of a user who may have too many
	oldest       string   // of them the oldest login
	retried      bool     // it was ended, and the login is tried again
}

func (u *identities) init(k *Kernel) {
	u.k = k
	u.table = map[uint64]*errand{}
}

func (u *identities) about() about {
	return about{
		name: "identity", kind: "governance", inFlightMax: 2 * errandsMax,
		hears: []string{
			event.IdentityLogin, event.IdentityRefresh, event.UsersPut, event.UsersList, event.UsersShow, event.UsersEnrol, event.DevicesList, event.DevicesRevoke,
			event.GroupsPut, event.GroupsList, event.TokensIssue, event.TokensList, event.TokensRevoke, event.GrantsPut, event.GrantsList, event.GrantsRemove,
			event.LedgerTransfer, event.LedgerList,
		},
	}
}

func (u *identities) code(c *coder) {
	objects(c, &u.table, errandsMax, num[uint64], func(c *coder, p *errand) {
		p.origin.code(c)
		c.bytes(&p.payload)
		list(c, &p.capabilities, inos.SessionCapsMax, text[string])
		text(c, &p.handle)
		c.bytes(&p.hash)
		message(c, &p.session)
		message(c, &p.grant)
		message(c, &p.reply)
		text(c, &p.after)
		list(c, &p.administers, accessGrantsMax, text[string])
		c.bool(&p.short)
		c.bool(&p.lost)
		num(c, &p.expires)
		list(c, &p.tokens, revokedMax, text[string])
		num(c, &p.counted)
		text(c, &p.oldest)
		c.bool(&p.retried)
	})
	list(c, &u.putting, errandsMax, num[uint64])
	num(c, &u.pruneAt)
	c.bool(&u.pruning)
	c.bool(&u.crowded)
	if c.reading && c.err == nil {
		members(c, u.table, u.putting)
	}
}

// message codes a protobuf message, or nil.
func message[M any, P interface {
	*M
	event.Message
}](c *coder, m *P,
) {
	present := *m != nil
	c.bool(&present)
	if !present {
		return
	}
	var b []byte
	if !c.reading {
		b = event.Payload(*m)
	}
	c.bytes(&b)
	if c.reading {
		*m = new(M)
		if err := (*m).UnmarshalVT(b); err != nil {
			c.fail("a message does not decode: %v", err)
		}
	}
}

func (u *identities) idle() bool { return len(u.table) == 0 && !u.pruning }

func (u *identities) act() {
	if u.pruneAt == 0 {
		if u.k.ready() && u.k.node.switchboard {
			u.pruneAt = u.k.now + pruneEvery
		}
		return
	}
	if u.pruneAt <= u.k.now && !u.pruning && !u.k.node.draining {
		u.pruning = true
		u.k.send(nil, ask{owner: threadIdentity, op: opIDPrune}, event.PruneSessions, &eventpb.PruneSessionsRequest{BeforeUs: int64(u.k.now), Limit: prunePage})
	}
}

func (u *identities) wake() inos.Micros {
	if u.pruning || u.k.node.draining {
		return 0
	}
	return u.pruneAt
}

// pruned goes on with the ledger, unless there is more to be pruned.
func (u *identities) pruned(a *answer) {
	var r eventpb.PruneSessionsReply
	if a.err == nil && event.Open(a.env, &r) == nil && r.Pruned >= prunePage {
		u.pruning, u.pruneAt = false, u.k.now+pruneAgain
		return
	}
	life := ledgerLife
	if u.crowded {
		life = ledgerLifeMin
	}
	u.k.send(nil, ask{owner: threadIdentity, op: opIDFold}, event.FoldEntries, &eventpb.FoldEntriesRequest{BeforeUs: int64(max(0, u.k.now-life)), Limit: prunePage})
}

func (u *identities) folded(a *answer) {
	u.pruning, u.pruneAt = false, u.k.now+pruneEvery
	var r eventpb.FoldEntriesReply
	if a.err != nil || event.Open(a.env, &r) != nil {
		return
	}
	was := u.crowded
	u.crowded = r.Left > ledgerEntriesMax
	if r.Folded >= prunePage || u.crowded && !was {
		u.pruneAt = u.k.now + pruneAgain
	}
}

func (u *identities) hear(in *input) {
	p := &errand{origin: in.origin, payload: in.env.Payload}
	if s := u.k.governance.sessions[p.token]; s != nil {
		p.capabilities = s.capabilities
	}
	u.k.watcher.began(&p.origin)
	if err := u.begin(p); err != nil {
		u.end(p, err)
	}
}

func (p *errand) op() string { return event.Stage(p.eventType) }

// bad refuses what cannot be meant.
func (p *errand) bad(format string, args ...any) *inos.Error {
	return inos.Errorf(inos.CodeBadRequest, p.op(), format, args...)
}

// forbidden refuses what the sender may not do.
func (p *errand) forbidden(format string, args ...any) *inos.Error {
	return inos.Errorf(inos.CodePermissionDenied, p.op(), format, args...)
}

// has says that the sender's session has a capability.
func (p *errand) has(service, verb, resource string) bool {
	return covers(p.capabilities, need{service: service, verb: verb, resource: resource})
}

// begin checks a request and asks for the first thing that it needs.
func (u *identities) begin(p *errand) *inos.Error {
	switch {
	case !u.k.started():
		return again(inos.Errorf(inos.CodeBusy, p.op(), "the switchboard is starting"))
	case len(u.table) >= errandsMax:
		return busy(p.op(), "requests", errandsMax)
	}
	switch p.eventType {
	case event.IdentityLogin:
		return u.login(p)
	case event.IdentityRefresh:
		return u.refresh(p)
	case event.UsersPut, event.UsersList, event.UsersShow, event.UsersEnrol:
		return u.users(p)
	case event.DevicesList, event.DevicesRevoke, event.GroupsPut, event.GroupsList:
		return u.devices(p)
	case event.TokensIssue, event.TokensList, event.TokensRevoke:
		return u.tokens(p)
	case event.GrantsPut, event.GrantsList, event.GrantsRemove:
		return u.grants(p)
	}
	return u.ledger(p)
}

// ask sends an effect of an errand.
func (u *identities) ask(p *errand, op uint8, effect string, m event.Message) *inos.Error {
	u.table[p.work] = p
	u.k.send(&p.origin, ask{owner: threadIdentity, op: op, work: p.work}, effect, m)
	return nil
}

// secret has a secret made, whose text begins as its kind says.
func (u *identities) secret(p *errand, kind string) *inos.Error {
	return u.ask(p, opIDSecret, event.SecretMake, &eventpb.SecretMakeRequest{Kind: kind})
}

// user asks for a user's row.
func (u *identities) user(p *errand, name string) *inos.Error {
	return u.ask(p, opIDUser, event.ReadAccess, &eventpb.ReadAccessRequest{Owner: name, Subject: name, NowUs: int64(u.k.now)})
}

func (u *identities) answer(a *answer) {
	switch a.op {
	case opIDPrune:
		u.pruned(a)
		return
	case opIDFold:
		u.folded(a)
		return
	case opIDUndo:
		return
	}
	p := u.table[a.work]
	if changesRights(p, a.op) {
		u.k.governance.access.changed() // also when it failed: it may have been done all the same
	}
	err := a.err
	if err == nil {
		err = u.proceed(p, a)
	} else if p.eventType == event.IdentityLogin && a.op == opIDOpen && err.Code == inos.CodeConflict && !p.retried {
		p.retried = true
		err = u.countSessions(p)
	} else if p.session != nil && a.op == opIDSign {
		u.undo(p)
	}
	if err != nil && p.eventType == event.IdentityLogin && (err.Code == inos.CodeUnauthenticated || err.Code == inos.CodeUserUnknown) {
		err = u.notLetIn(p) // what it was tells who there is
	}
	if err != nil {
		u.end(p, because(p.op(), err, ""))
	}
}

// changesRights says that an effect changes what somebody may do.
func changesRights(p *errand, op uint8) bool {
	switch p.eventType {
	case event.UsersPut, event.GroupsPut, event.GrantsPut, event.GrantsRemove:
		return op == opIDVerb
	}
	return false
}

// proceed takes the end of an effect of an errand.
func (u *identities) proceed(p *errand, a *answer) *inos.Error {
	switch a.op {
	case opIDSecret:
		var r eventpb.SecretMakeReply
		if event.Open(a.env, &r) != nil || len(r.Hash) != inos.HashBytes {
			return undecoded("secret:make")
		}
		p.handle, p.hash = r.Handle, r.Hash
		return u.hasSecret(p)
	case opIDUser, opIDAccess:
		var r eventpb.ReadAccessReply
		if event.Open(a.env, &r) != nil {
			return undecoded("semantic:read_access")
		}
		return u.hasAccess(p, a.op, &r)
	case opIDOpen, opIDRefresh, opIDSign:
		return u.letIn(p, a)
	case opIDCrowd:
		return u.sawSessions(p, a)
	case opIDOldest:
		return u.endedOldest(p, a)
	case opIDOthers:
		return u.sawUsers(p, a)
	case opIDFind:
		return u.sawGrants(p, a)
	}
	switch p.eventType {
	case event.UsersPut, event.UsersList, event.UsersShow, event.UsersEnrol:
		return u.usersDone(p, a)
	case event.DevicesList, event.DevicesRevoke, event.GroupsPut, event.GroupsList:
		return u.devicesDone(p, a)
	case event.TokensList, event.TokensRevoke:
		return u.tokensDone(p, a)
	case event.GrantsPut, event.GrantsList, event.GrantsRemove:
		return u.grantsDone(p, a)
	}
	return u.ledgerDone(p, a)
}

func undecoded(op string) *inos.Error {
	return inos.Errorf(inos.CodeInternal, op, "the reply does not decode")
}

// hasSecret goes on when the secret is made.
func (u *identities) hasSecret(p *errand) *inos.Error {
	switch p.eventType {
	case event.UsersEnrol:
		return u.enrol(p)
	case event.GrantsPut:
		return u.putGrant(p)
	case event.IdentityRefresh:
		return u.ask(p, opIDRefresh, event.RefreshSession, &eventpb.RefreshSessionRequest{
			Refresh: read[eventpb.RefreshRequest](p.payload).Refresh, Next: p.hash, NowUs: int64(u.k.now),
		})
	}
	return u.open(p)
}

// hasAccess goes on when a row, or what the sender may do, is known.
func (u *identities) hasAccess(p *errand, op uint8, r *eventpb.ReadAccessReply) *inos.Error {
	switch {
	case op == opIDAccess:
		return u.mayGrant(p, r)
	case p.eventType == event.IdentityLogin:
		return u.knownUser(p, r.Owner)
	case p.eventType == event.UsersEnrol:
		return u.mayEnrol(p, r.Owner)
	}
	return u.sawUser(p, r.Owner)
}

// complete answers an errand.
func (u *identities) complete(p *errand, m event.Message, detail string) *inos.Error {
	u.k.complete(&p.origin, m, detail)
	u.end(p, nil)
	return nil
}

// end forgets an errand, and answers it when it has failed.
func (u *identities) end(p *errand, err *inos.Error) {
	if err != nil {
		u.k.fail(&p.origin, err)
	}
	delete(u.table, p.work)
	if i := slices.Index(u.putting, p.work); i >= 0 {
		u.putting = slices.Delete(u.putting, i, i+1)
		if i == 0 {
			u.nextPut()
		}
	}
}

// forget drops sessions that have ended, here and in the host.
func (u *identities) forget(tokens []string) {
	for _, t := range tokens {
		u.k.governance.revoke(t)
	}
	for page := range slices.Chunk(tokens, forgetPage) {
		u.k.emit(&eventpb.Envelope{
			Id: event.NewID(u.k.now, u.k.random.ten()), EventType: event.IdentityForget, Timestamp: int64(u.k.now),
			Payload: event.Payload(&eventpb.Forget{TokenIds: page}),
		})
	}
}

// undo ends a session that was opened in vain.
func (u *identities) undo(p *errand) {
	s := p.session.Session
	u.k.send(&p.origin, ask{owner: threadIdentity, op: opIDUndo}, event.RevokeSessions, &eventpb.RevokeSessionsRequest{User: s.Subject, TokenId: s.TokenId})
}

// label says that a text is short enough for a person to read, and has nothing in it that is not shown.
func label(s string) bool {
	return len(s) <= nameBytesMax && !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f || r == 0xfffd })
}
