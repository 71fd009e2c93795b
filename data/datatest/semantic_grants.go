package datatest

import (
	"fmt"
	"testing"

	"github.com/inos-mesh/inos"
)

var grantCases = []semanticCase{
	{"a grant lets in whom it names, and nobody else", semanticGrantees},
	{"a grant that is over lets nobody in", semanticGrantOver},
	{"a grant is made once under a request's key", semanticGrantKey},
	{"a grant needs an owner, a grantee and verbs that fit", semanticGrantRefused},
	{"grants are listed of an owner and to a subject", semanticListGrants},
	{"grants of a namespace are bounded, and those that are over make room", semanticGrantsBound},
	{"a link is found by its secret and counts its uses", semanticLinks},
}

func grant(t testing.TB, m inos.Semantic, id string, owner inos.Subject, prefix inos.Path, grantee string) inos.AccessGrant {
	t.Helper()
	g, err := m.PutGrant(background, inos.AccessGrant{ID: id, Owner: owner, Prefix: prefix, Grantee: grantee, Verbs: []string{"read"}, By: owner}, nil, keyOf("grant "+id), 5)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// accessIDs returns the ids of the grants that let a subject in at the time 50.
func accessIDs(t testing.TB, m inos.Semantic, owner, subject inos.Subject) (ids string) {
	t.Helper()
	access, err := m.ReadAccess(background, owner, subject, 50)
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range access.Grants {
		if i > 0 {
			ids += " "
		}
		ids += g.ID
	}
	return ids
}

func people(t testing.TB, m inos.Semantic) {
	t.Helper()
	for _, name := range []inos.Subject{"ann", "bob", "cat"} {
		user(t, m, name, 0)
	}
}

func semanticGrantees(t *testing.T, m inos.Semantic) {
	people(t, m)
	must(t, m.PutGroup(background, inos.Group{Name: "family", Members: []inos.Subject{"bob"}}, 1))
	must(t, m.PutGroup(background, inos.Group{Name: "bob", Members: []inos.Subject{"cat"}}, 1)) // a name is not a kind
	g := grant(t, m, "g1", "ann", "/photos", "user:bob")
	grant(t, m, "g2", "ann", "/a", "group:family")
	grant(t, m, "g3", "ann", "/b", "public")
	grant(t, m, "g4", "bob", "/", "user:cat")
	grant(t, m, "g5", "ann", "/c", "group:bob")
	secret := hash("link", 1)
	link := inos.AccessGrant{ID: "g6", Owner: "ann", Prefix: "/d", Grantee: "link:g6", Verbs: []string{"read"}, By: "ann"}
	_, err := m.PutGrant(background, link, &secret, keyOf("link"), 5)
	must(t, err)
	for subject, want := range map[inos.Subject]string{
		"bob": "g1 g2 g3", "cat": "g3 g5", "ann": "g3", "public": "g3", "link:g6": "g3 g6", "link:g1": "g3", "user:bob": "g3", "nobody": "g3",
	} {
		equal(t, "access of "+string(subject), accessIDs(t, m, "ann", subject), want)
	}
	access, err := m.ReadAccess(background, "ann", "bob", 50)
	must(t, err)
	same(t, "owner", access.Owner, inos.User{Name: "ann", CreatedAt: 5})
	same(t, "grant", access.Grants[0], g)
	access, err = m.ReadAccess(background, "dan", "bob", 50)
	must(t, err)
	same(t, "access to nobody's", access, inos.Access{})
}

func semanticGrantOver(t *testing.T, m inos.Semantic) {
	people(t, m)
	for i, end := range []inos.Micros{49, 50, 51, 0} {
		g := inos.AccessGrant{ID: fmt.Sprint("g", i), Owner: "ann", Prefix: "/", Grantee: "user:bob", Verbs: []string{"read"}, By: "ann", ExpiresAt: end}
		_, err := m.PutGrant(background, g, nil, keyOf(g.ID), 5)
		must(t, err)
	}
	equal(t, "access", accessIDs(t, m, "ann", "bob"), "g2 g3")
	removed, err := m.RemoveGrant(background, "ann", "g3", 60)
	must(t, err)
	equal(t, "removed", removed.ID, "g3")
	_, err = m.RemoveGrant(background, "ann", "g3", 60)
	wantCode(t, err, inos.CodeGrantUnknown)
	_, err = m.RemoveGrant(background, "bob", "g2", 60)
	wantCode(t, err, inos.CodeGrantUnknown) // ann's
	equal(t, "access", accessIDs(t, m, "ann", "bob"), "g2")
}

func semanticGrantKey(t *testing.T, m inos.Semantic) {
	people(t, m)
	ask := inos.AccessGrant{
		ID: "g1", Owner: "ann", Prefix: "/a", Grantee: "user:bob", Verbs: []string{"write", "read", "write"}, By: "cat", ExpiresAt: 90, Uses: 7, CreatedAt: 1,
	}
	put, err := m.PutGrant(background, ask, nil, keyOf("1"), 5)
	must(t, err)
	want := inos.AccessGrant{ID: "g1", Owner: "ann", Prefix: "/a", Grantee: "user:bob", Verbs: []string{"read", "write"}, By: "cat", ExpiresAt: 90, CreatedAt: 5}
	same(t, "made", put, want)
	ask.ID = "g2" // made anew with each request
	put, err = m.PutGrant(background, ask, nil, keyOf("1"), 6)
	must(t, err)
	same(t, "again", put, want)
	ask.Prefix = "/b"
	_, err = m.PutGrant(background, ask, nil, keyOf("1"), 6)
	wantCode(t, err, inos.CodeConflict)
	ask.ID = "g1"
	_, err = m.PutGrant(background, ask, nil, keyOf("2"), 6)
	wantCode(t, err, inos.CodeConflict)
	_, err = m.RemoveGrant(background, "ann", "g1", 7)
	must(t, err)
	ask.Prefix = "/a"
	_, err = m.PutGrant(background, ask, nil, keyOf("1"), 8)
	wantCode(t, err, inos.CodeConflict) // a key does not bring it back
	equal(t, "access", accessIDs(t, m, "ann", "bob"), "")
}

func semanticGrantRefused(t *testing.T, m inos.Semantic) {
	people(t, m)
	secret := hash("link", 1)
	good := inos.AccessGrant{ID: "g", Owner: "ann", Prefix: "/a", Grantee: "user:bob", Verbs: []string{"read"}, By: "ann"}
	for name, c := range map[string]struct {
		code   inos.Code
		link   *[inos.HashBytes]byte
		change func(*inos.AccessGrant)
	}{
		"no such owner":         {inos.CodeUserUnknown, nil, func(g *inos.AccessGrant) { g.Owner = "dan" }},
		"no such user":          {inos.CodeUserUnknown, nil, func(g *inos.AccessGrant) { g.Grantee = "user:dan" }},
		"no such group":         {inos.CodeGroupUnknown, nil, func(g *inos.AccessGrant) { g.Grantee = "group:dan" }},
		"no verbs":              {inos.CodeBadRequest, nil, func(g *inos.AccessGrant) { g.Verbs = nil }},
		"a verb there is not":   {inos.CodeBadRequest, nil, func(g *inos.AccessGrant) { g.Verbs = []string{"delete"} }},
		"no path":               {inos.CodeBadPath, nil, func(g *inos.AccessGrant) { g.Prefix = "a/" }},
		"a path with a slash":   {inos.CodeBadPath, nil, func(g *inos.AccessGrant) { g.Prefix = "/a/" }},
		"no id":                 {inos.CodeBadRequest, nil, func(g *inos.AccessGrant) { g.ID = "" }},
		"no grantee":            {inos.CodeBadRequest, nil, func(g *inos.AccessGrant) { g.Grantee = "bob" }},
		"a user's kind alone":   {inos.CodeBadRequest, nil, func(g *inos.AccessGrant) { g.Grantee = "user:" }},
		"public writing":        {inos.CodeBadRequest, nil, func(g *inos.AccessGrant) { g.Grantee, g.Verbs = "public", []string{"read", "write"} }},
		"a user's secret":       {inos.CodeBadRequest, &secret, func(*inos.AccessGrant) {}},
		"a link without secret": {inos.CodeBadRequest, nil, func(g *inos.AccessGrant) { g.Grantee = "link:g" }},
		"another's link":        {inos.CodeBadRequest, &secret, func(g *inos.AccessGrant) { g.Grantee = "link:h" }},
		"a user's uses":         {inos.CodeBadRequest, nil, func(g *inos.AccessGrant) { g.UsesMax = 1 }},
	} {
		g := good
		c.change(&g)
		if _, err := m.PutGrant(background, g, c.link, keyOf(name), 5); inos.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	grants, _, err := m.ListGrants(background, "ann", "", "", 0, 5)
	must(t, err)
	equal(t, "grants", len(grants), 0)
}

func semanticListGrants(t *testing.T, m inos.Semantic) {
	people(t, m)
	must(t, m.PutGroup(background, inos.Group{Name: "family", Members: []inos.Subject{"cat"}}, 1))
	grant(t, m, "g3", "ann", "/a", "user:cat")
	grant(t, m, "g1", "bob", "/a", "group:family")
	grant(t, m, "g2", "ann", "/b", "public")
	grant(t, m, "g4", "ann", "/c", "user:bob")
	list := func(owner, subject inos.Subject, after string, limit int) (s string) {
		grants, more, err := m.ListGrants(background, owner, subject, after, limit, 50)
		must(t, err)
		for _, g := range grants {
			s += g.ID + " "
		}
		return s + fmt.Sprint(more)
	}
	equal(t, "of ann", list("ann", "", "", 0), "g2 g3 g4 false")
	equal(t, "of ann, a page", list("ann", "", "g2", 1), "g3 true")
	equal(t, "to cat", list("", "cat", "", 0), "g1 g3 false")
	equal(t, "to cat, a page", list("", "cat", "", 1), "g1 true")
	equal(t, "to cat, the next", list("", "cat", "g1", 1), "g3 false")
	equal(t, "to ann", list("", "ann", "", 0), "false")
}

func semanticGrantsBound(t *testing.T, m inos.Semantic) {
	people(t, m)
	put := func(i int, owner inos.Subject, now inos.Micros, end inos.Micros) error {
		g := inos.AccessGrant{ID: fmt.Sprintf("g%04d", i), Owner: owner, Prefix: "/a", Grantee: "user:cat", Verbs: []string{"read"}, By: owner, ExpiresAt: end}
		_, err := m.PutGrant(background, g, nil, keyOf(g.ID), now)
		return err
	}
	for i := range inos.OwnerGrantsMax {
		must(t, put(i, "ann", 5, inos.Micros(100+i)))
	}
	wantCode(t, put(5000, "ann", 99, 0), inos.CodeConflict)
	must(t, put(5001, "bob", 99, 0))
	secret := hash("link", 1)
	link := inos.AccessGrant{ID: "l", Owner: "ann", Prefix: "/", Grantee: "link:l", Verbs: []string{"read"}, By: "ann"}
	_, err := m.PutGrant(background, link, &secret, keyOf("link"), 99)
	must(t, err) // links have a bound of their own
	access, err := m.ReadAccess(background, "ann", "cat", 99)
	must(t, err)
	equal(t, "access", len(access.Grants), inos.OwnerGrantsMax)
	must(t, put(5002, "ann", 101, 0)) // two are over
	must(t, put(5003, "ann", 101, 0))
	wantCode(t, put(5004, "ann", 101, 0), inos.CodeConflict)
}

func semanticLinks(t *testing.T, m inos.Semantic) {
	people(t, m)
	first, second, other := hash("link", 1), hash("link", 2), hash("link", 3)
	g := inos.AccessGrant{ID: "g1", Owner: "ann", Prefix: "/a", Grantee: "link:g1", Verbs: []string{"read"}, By: "ann", ExpiresAt: 90, UsesMax: 2}
	put, err := m.PutGrant(background, g, &first, keyOf("1"), 5)
	must(t, err)
	found, err := m.FindLink(background, first)
	must(t, err)
	same(t, "found", found, put)
	_, err = m.FindLink(background, second)
	wantCode(t, err, inos.CodeGrantUnknown)
	g2 := g
	g2.ID, g2.Grantee = "g2", "link:g2"
	_, err = m.PutGrant(background, g2, &first, keyOf("2"), 5)
	wantCode(t, err, inos.CodeConflict) // another's secret
	// The key again comes with another secret, which takes the place of the first: nobody may have received that.
	again, err := m.PutGrant(background, g2, &second, keyOf("1"), 6)
	must(t, err)
	same(t, "again", again, put)
	_, err = m.FindLink(background, first)
	wantCode(t, err, inos.CodeGrantUnknown)
	_, err = m.FindLink(background, second)
	must(t, err)
	_, err = m.PutGrant(background, g2, &other, keyOf("3"), 6)
	must(t, err)
	_, err = m.PutGrant(background, g2, &other, keyOf("1"), 6)
	wantCode(t, err, inos.CodeConflict)
	use := func(owner inos.Subject, request string, now inos.Micros) (uint32, error) {
		return m.UseGrant(background, owner, "g1", request, now)
	}
	for _, c := range []struct {
		request string
		uses    uint32
	}{{"r1", 1}, {"r1", 1}, {"r2", 2}, {"r1", 2}, {"r2", 2}} {
		uses, err := use("ann", c.request, 50)
		must(t, err)
		equal(t, "uses after "+c.request, uses, c.uses)
	}
	_, err = use("ann", "r3", 50)
	wantCode(t, err, inos.CodeGrantUnknown) // it has had its uses
	_, err = use("bob", "r1", 50)
	wantCode(t, err, inos.CodeGrantUnknown)
	_, err = use("ann", "r1", 90)
	wantCode(t, err, inos.CodeGrantUnknown)
	found, err = m.FindLink(background, second)
	must(t, err)
	equal(t, "uses", found.Uses, 2)
	unbounded, secret := g, hash("link", 9)
	unbounded.ID, unbounded.Grantee, unbounded.UsesMax = "g3", "link:g3", 0
	_, err = m.PutGrant(background, unbounded, &secret, keyOf("9"), 5)
	must(t, err)
	for i := range uint32(5) {
		uses, err := m.UseGrant(background, "ann", "g3", fmt.Sprint("q", i), 50)
		must(t, err)
		equal(t, "uses", uses, i+1)
	}
}
