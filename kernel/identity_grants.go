package kernel

import (
	"slices"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// grants begins what is asked about who is let in to a namespace. Its owner may do all of it; others need a grant that says so.
func (u *identities) grants(p *errand) *inos.Error {
	owner := ""
	switch p.eventType {
	case event.GrantsPut:
		q := read[eventpb.GrantsPutRequest](p.payload)
		if err := u.checkGrant(p, q); err != nil {
			return err
		}
		owner = p.grant.Owner
	case event.GrantsList:
		q := read[eventpb.GrantsListRequest](p.payload)
		if q.Limit > listMax || !label(q.After) || q.Received && q.Owner != "" {
			return p.bad("a page of %d grants, at most %d; of an owner, or those received", q.Limit, listMax)
		}
		if q.Received {
			return u.ask(p, opIDVerb, event.ListGrants, &eventpb.ListGrantsRequest{Subject: string(p.subject), After: q.After, Limit: q.Limit, NowUs: int64(u.k.now)})
		}
		owner = q.Owner
	case event.GrantsRemove:
		q := read[eventpb.GrantsRemoveRequest](p.payload)
		if !name(q.Id) {
			return p.bad("%.80q is no grant's id", q.Id)
		}
		owner = q.Owner
	}
	if owner == "" {
		owner = string(p.subject)
	}
	switch {
	case owner == string(p.subject) && hasNamespace(p.subject):
		return u.mayDo(p)
	case !userName(owner):
		return p.bad("%.80q has no namespace", owner)
	}
	return u.ask(p, opIDAccess, event.ReadAccess, &eventpb.ReadAccessRequest{Owner: owner, Subject: string(p.subject), NowUs: int64(u.k.now)})
}

// checkGrant refuses a grant that cannot be meant, and completes it.
func (u *identities) checkGrant(p *errand, q *eventpb.GrantsPutRequest) *inos.Error {
	g := q.Grant
	if g == nil {
		return p.bad("the request says nothing of what is granted")
	}
	open := q.Link || g.Grantee == publicSubject
	kind, who, _ := strings.Cut(g.Grantee, ":")
	bits, sorted := bitsOf(g.Verbs)
	switch {
	case g.Id != "":
		return p.bad("a grant gets its id here; to change one, remove it and put another")
	case g.Prefix != "/" && inos.CheckPath(inos.Path(g.Prefix)) != nil:
		return inos.Errorf(inos.CodeBadPath, p.op(), "the prefix %.200q is no path", g.Prefix)
	case q.Link && g.Grantee != "":
		return p.bad("a link is for whoever has it: it names no grantee")
	case !open && (kind != "user" && kind != "group" || !userName(who)):
		return p.bad("%.80q is no grantee: one is user:NAME, group:NAME or public", g.Grantee)
	case !sorted || open && bits != mayReadFiles:
		return p.bad("the verbs of a grant are some of admin, read, share and write in this order; of links and public ones only read")
	case g.ExpiresUs < 0 || g.ExpiresUs != 0 && g.ExpiresUs <= int64(u.k.now):
		return p.bad("the grant would have expired before it is made")
	case g.UsesMax != 0 && !q.Link:
		return p.bad("only the uses of a link are counted")
	}
	p.grant = &eventpb.AccessGrant{
		Id: event.NewID(u.k.now, u.k.random.ten()), Owner: g.Owner, Prefix: g.Prefix, Grantee: g.Grantee, Verbs: g.Verbs, ExpiresUs: g.ExpiresUs, UsesMax: g.UsesMax,
		By: string(p.subject), CreatedUs: int64(u.k.now),
	}
	if p.grant.Owner == "" {
		p.grant.Owner = string(p.subject)
	}
	if q.Link {
		p.grant.Grantee = linkPrefix + p.grant.Id
	}
	return nil
}

// mayGrant goes on when it is known what the sender may do in the namespace of somebody else. It is refused alike whether there is such a namespace
// or such a grant.
func (u *identities) mayGrant(p *errand, r *eventpb.ReadAccessReply) *inos.Error {
	a := &access{subject: p.subject}
	for _, g := range r.Grants {
		if bits, ok := bitsOf(g.Verbs); ok && lets(g.Grantee, p.subject) {
			a.grants = append(a.grants, &right{id: g.Id, prefix: inos.Path(g.Prefix), verbs: bits, expires: inos.Micros(g.ExpiresUs)})
		}
	}
	switch p.eventType {
	case event.GrantsRemove:
		p.list(a)
		return u.find(p)
	case event.GrantsList:
		if ok, _ := a.allows("/", mayAdmin, u.k.now); !ok {
			return p.forbidden("no grant lets %.80s administer ~%.80s", p.subject, read[eventpb.GrantsListRequest](p.payload).Owner)
		}
		return u.mayDo(p)
	}
	g := p.grant
	bits, _ := bitsOf(g.Verbs)
	needed := uint8(mayAdmin)
	if open := g.Grantee == publicSubject || strings.HasPrefix(g.Grantee, linkPrefix); open {
		needed = mayShare
	}
	ok, until := a.allows(inos.Path(g.Prefix), bits|needed, u.k.now)
	switch {
	case !ok:
		return p.forbidden("no grant lets %.80s give %s of ~%.80s%.200s to %.80s", p.subject, strings.Join(g.Verbs, ", "), g.Owner, g.Prefix, g.Grantee)
	case until != 0 && (g.ExpiresUs == 0 || g.ExpiresUs > int64(until)):
		return p.forbidden("the grant would last longer than the one it is given by: let it end within %s", seconds(until-u.k.now))
	}
	return u.mayDo(p)
}

// list remembers the prefixes that the sender administers.
func (p *errand) list(a *access) {
	for _, r := range a.grants {
		if r.verbs&mayAdmin != 0 {
			p.administers = append(p.administers, string(r.prefix))
		}
	}
}

// find looks for the grant that somebody who is not the owner wants to remove.
func (u *identities) find(p *errand) *inos.Error {
	return u.ask(p, opIDFind, event.ListGrants, &eventpb.ListGrantsRequest{
		Owner: read[eventpb.GrantsRemoveRequest](p.payload).Owner, After: p.after, Limit: grantsPage, NowUs: int64(u.k.now),
	})
}

// sawGrants lets a grant be removed by who made it, or administers what it covers.
func (u *identities) sawGrants(p *errand, a *answer) *inos.Error {
	var r eventpb.ListGrantsReply
	if event.Open(a.env, &r) != nil {
		return undecoded("semantic:list_grants")
	}
	q := read[eventpb.GrantsRemoveRequest](p.payload)
	for _, g := range r.Grants {
		if g.Id != q.Id {
			continue
		}
		if g.By == string(p.subject) || slices.ContainsFunc(p.administers, func(prefix string) bool { return inos.Path(g.Prefix).In(inos.Path(prefix)) }) {
			return u.mayDo(p)
		}
		break
	}
	if n := len(r.Grants); r.More && n > 0 && r.Grants[n-1].Id < q.Id {
		p.after = r.Grants[n-1].Id
		return u.find(p)
	}
	return p.forbidden("no grant lets %.80s remove %.80s of ~%.80s", p.subject, q.Id, q.Owner)
}

// mayDo does what the sender may do.
func (u *identities) mayDo(p *errand) *inos.Error {
	owner := func(s string) string {
		if s == "" {
			return string(p.subject)
		}
		return s
	}
	switch p.eventType {
	case event.GrantsPut:
		if strings.HasPrefix(p.grant.Grantee, linkPrefix) {
			return u.secret(p, "link")
		}
		return u.putGrant(p)
	case event.GrantsList:
		q := read[eventpb.GrantsListRequest](p.payload)
		return u.ask(p, opIDVerb, event.ListGrants, &eventpb.ListGrantsRequest{Owner: owner(q.Owner), After: q.After, Limit: q.Limit, NowUs: int64(u.k.now)})
	}
	q := read[eventpb.GrantsRemoveRequest](p.payload)
	return u.ask(p, opIDVerb, event.RemoveGrant, &eventpb.RemoveGrantRequest{Owner: owner(q.Owner), Id: q.Id})
}

func (u *identities) putGrant(p *errand) *inos.Error {
	return u.ask(p, opIDVerb, event.PutGrant, &eventpb.PutGrantRequest{Grant: p.grant, Link: p.hash, Key: p.requestKey(), NowUs: int64(u.k.now)})
}

func (u *identities) grantsDone(p *errand, a *answer) *inos.Error {
	switch p.eventType {
	case event.GrantsPut:
		var r eventpb.PutGrantReply
		if event.Open(a.env, &r) != nil || r.Grant == nil {
			return undecoded("semantic:put_grant")
		}
		return u.complete(p, &eventpb.GrantsPutReply{Grant: r.Grant, Secret: p.handle}, describeGrant(r.Grant))
	case event.GrantsList:
		var r eventpb.ListGrantsReply
		if event.Open(a.env, &r) != nil {
			return undecoded("semantic:list_grants")
		}
		reply := &eventpb.GrantsListReply{Grants: r.Grants}
		if r.More && len(r.Grants) > 0 {
			reply.Next = r.Grants[len(r.Grants)-1].Id
		}
		return u.complete(p, reply, plural(uint64(len(r.Grants)), "grant", "grants"))
	}
	var r eventpb.RemoveGrantReply
	if event.Open(a.env, &r) != nil || r.Grant == nil {
		return undecoded("semantic:remove_grant")
	}
	if strings.HasPrefix(r.Grant.Grantee, linkPrefix) {
		u.forget(u.k.governance.sessionsOf(inos.Subject(r.Grant.Grantee)))
	}
	return u.complete(p, &eventpb.GrantsRemoveReply{}, "removed: "+describeGrant(r.Grant))
}

// describeGrant says in the history what somebody is let in to.
func describeGrant(g *eventpb.AccessGrant) string {
	return "~" + g.Owner + g.Prefix + " to " + g.Grantee + ": " + strings.Join(g.Verbs, ", ")
}
