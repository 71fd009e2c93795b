package datatest

import (
	"fmt"
	"slices"

	"github.com/inos-mesh/inos"
	"pgregory.net/rapid"
)

// The random verbs of identity. There are few users, groups, secrets and ids, so that verbs meet: an enrolment that is used up, a
// refresh secret that was used before, a grant to a group that is another by now.

var (
	twinUsers   = rapid.SampledFrom([]inos.Subject{"ann", "bob", "cat"})
	twinGroups  = rapid.SampledFrom([]string{"family", "work"})
	twinDevices = rapid.SampledFrom([]string{"", "d1", "d2", "d3"})
	twinTokens  = rapid.SampledFrom([]string{"t1", "t2", "t3", "t4", "t5"})
	twinGrants  = rapid.SampledFrom([]string{"g1", "g2", "g3", "g4"})
	twinPrefix  = rapid.SampledFrom([]inos.Path{"/", "/a", "/a/b"})
	twinEvents  = rapid.SampledFrom([]string{"e1", "e2", "e3", "e4", "e5", "e6"})
)

func identityVerbs(w *twins) map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"put user":        w.putUser,
		"enrol":           w.enrol,
		"devices":         w.devices,
		"revoke device":   w.revokeDevice,
		"put group":       w.putGroup,
		"open session":    w.openSession,
		"open another":    w.openSession,
		"refresh":         w.refresh,
		"sessions":        w.sessions,
		"revoke sessions": w.revokeSessions,
		"prune sessions":  w.pruneSessions,
		"put grant":       w.putGrant,
		"put another":     w.putGrant,
		"grants":          w.grants,
		"remove grant":    w.removeGrant,
		"use grant":       w.useGrant,
		"access":          w.access,
		"find user":       w.findUser,
		"fold entries":    w.foldEntries,
		"transfer":        w.transfer,
		"entries":         w.entries,
		"settle fact":     w.settleFact,
		"restore fact":    w.restoreFact,
	}
}

func secret(t *rapid.T, kind string) [inos.HashBytes]byte {
	return hash(kind, rapid.IntRange(0, 9).Draw(t, kind))
}

// users compares all users: their counters and balances after any verb, and that the ledger sums to zero.
func (w *twins) users(t *rapid.T) {
	w.both(t, "users", func(m inos.Semantic) (any, error) {
		users, more, err := m.ListUsers(background, "", 0)
		return []any{users, more}, err
	})
	sum := int64(0)
	for _, account := range []string{"grant", "user:ann", "user:bob", "user:cat", "escrow:ann", "escrow:bob", "escrow:cat"} {
		_, _, balance, err := w.a.ListEntries(background, account, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		sum += balance
	}
	if sum != 0 {
		t.Fatalf("the ledger sums to %d", sum)
	}
}

func (w *twins) putUser(t *rapid.T) {
	u := inos.User{Name: twinUsers.Draw(t, "user"), Operator: rapid.Bool().Draw(t, "operator"), Disabled: rapid.IntRange(0, 5).Draw(t, "disabled") == 0}
	u.Quota = inos.Quota{PlainBytes: rapid.Uint64Range(0, 3000).Draw(t, "bytes"), Files: rapid.Uint64Range(0, 3).Draw(t, "files"), RequestsPerSecond: 7}
	create, credits, key := rapid.Bool().Draw(t, "create"), rapid.Int64Range(-1, 50).Draw(t, "credits"), keys.Draw(t, "key")
	w.now++
	w.both(t, fmt.Sprintf("put user %s create %t credits %d key %s", u.Name, create, credits, key.ID), func(m inos.Semantic) (any, error) {
		put, revoked, err := m.PutUser(background, u, create, credits, key, w.now)
		return []any{put, revoked}, err
	})
}

func (w *twins) enrol(t *rapid.T) {
	h, user, until := secret(t, "enrolment"), twinUsers.Draw(t, "user"), w.now+inos.Micros(rapid.IntRange(0, 40).Draw(t, "life"))
	w.both(t, fmt.Sprintf("enrol %s until %d", user, until), func(m inos.Semantic) (any, error) {
		return nil, m.PutEnrolment(background, h, user, until, w.now)
	})
}

func (w *twins) devices(t *rapid.T) {
	user := twinUsers.Draw(t, "user")
	w.both(t, "devices of "+string(user), func(m inos.Semantic) (any, error) { return m.ListDevices(background, user) })
}

func (w *twins) revokeDevice(t *rapid.T) {
	user, device := twinUsers.Draw(t, "user"), twinDevices.Draw(t, "device")
	w.now++
	w.both(t, fmt.Sprintf("revoke device %s of %s", device, user), func(m inos.Semantic) (any, error) {
		revoked, issued, err := m.RevokeDevice(background, user, device, w.now)
		return []any{revoked, issued}, err
	})
}

func (w *twins) putGroup(t *rapid.T) {
	g := inos.Group{Name: twinGroups.Draw(t, "group"), Members: rapid.SliceOfN(twinUsers, 0, 3).Draw(t, "members")}
	w.now++
	w.both(t, fmt.Sprintf("put group %v", g), func(m inos.Semantic) (any, error) { return nil, m.PutGroup(background, g, w.now) })
	limit := rapid.IntRange(0, 1).Draw(t, "limit")
	w.both(t, "groups", func(m inos.Semantic) (any, error) {
		groups, more, err := m.ListGroups(background, "", limit)
		return []any{groups, more}, err
	})
}

func (w *twins) openSession(t *rapid.T) {
	s := inos.SessionInfo{Name: "laptop", Session: inos.Session{
		TokenID: twinTokens.Draw(t, "token"), Subject: twinUsers.Draw(t, "user"), Device: twinDevices.Draw(t, "device"),
		Capabilities: []string{"files:*:*"}, ExpiresAt: w.now + inos.Micros(rapid.IntRange(0, 60).Draw(t, "life")), Peer: "p",
	}}
	var o inos.Opening
	if s.Device == "" {
		s.IssuedBy = twinDevices.Draw(t, "issued by")
	}
	if s.Device != "" {
		key := hash("key", rapid.IntRange(0, 9).Draw(t, "key")/9)
		o.PublicKey, o.DeviceName = key[:], "a laptop"
		if rapid.IntRange(0, 3).Draw(t, "enrolled") > 0 {
			h := secret(t, "enrolment")
			o.Enrolment = &h
		}
	}
	if rapid.Bool().Draw(t, "refreshable") {
		h := secret(t, "refresh")
		o.Refresh = &h
	}
	w.now++
	w.both(t, fmt.Sprintf("open %s of %s on %s by %s", s.TokenID, s.Subject, s.Device, s.IssuedBy), func(m inos.Semantic) (any, error) {
		opened, u, err := m.OpenSession(background, s, o, w.now)
		return []any{opened, u}, err
	})
}

func (w *twins) refresh(t *rapid.T) {
	before, next := secret(t, "refresh"), hash("refresh", rapid.IntRange(0, 19).Draw(t, "next"))
	w.both(t, "refresh", func(m inos.Semantic) (any, error) {
		s, u, reused, err := m.RefreshSession(background, before, next, w.now)
		return []any{s, u, reused}, err
	})
}

func (w *twins) sessions(t *rapid.T) {
	user, after, limit, token := twinUsers.Draw(t, "user"), twinTokens.Draw(t, "after"), rapid.IntRange(0, 2).Draw(t, "limit"), twinTokens.Draw(t, "token")
	w.both(t, "sessions of "+string(user), func(m inos.Semantic) (any, error) {
		sessions, more, err := m.ListSessions(background, user, after, limit, w.now)
		return []any{sessions, more}, err
	})
	w.both(t, "session "+token, func(m inos.Semantic) (any, error) { return m.FindSession(background, token) })
}

func (w *twins) revokeSessions(t *rapid.T) {
	user, token := twinUsers.Draw(t, "user"), rapid.SampledFrom([]string{"", "t1", "t2", "t3"}).Draw(t, "token")
	w.both(t, fmt.Sprintf("revoke %q of %s", token, user), func(m inos.Semantic) (any, error) { return m.RevokeSessions(background, user, token) })
}

func (w *twins) pruneSessions(t *rapid.T) {
	before, limit := w.now-inos.Micros(rapid.IntRange(0, 30).Draw(t, "kept")), rapid.IntRange(0, 4).Draw(t, "limit")
	w.both(t, fmt.Sprintf("prune %d sessions before %d", limit, before), func(m inos.Semantic) (any, error) { return m.PruneSessions(background, before, limit) })
}

func (w *twins) putGrant(t *rapid.T) {
	g := inos.AccessGrant{ID: twinGrants.Draw(t, "grant"), Owner: twinUsers.Draw(t, "owner"), Prefix: twinPrefix.Draw(t, "prefix"), By: twinUsers.Draw(t, "by")}
	g.Verbs = rapid.SliceOfN(rapid.SampledFrom([]string{inos.VerbWrite, inos.VerbRead, inos.VerbShare}), 1, 3).Draw(t, "verbs")
	if rapid.IntRange(0, 2).Draw(t, "ends") == 0 {
		g.ExpiresAt = w.now + inos.Micros(rapid.IntRange(1, 30).Draw(t, "life"))
	}
	var link *[inos.HashBytes]byte
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0, 1:
		g.Grantee = inos.GranteeUser + string(twinUsers.Draw(t, "grantee"))
	case 2, 3:
		g.Grantee = inos.GranteeGroup + twinGroups.Draw(t, "grantee")
	case 4:
		g.Grantee, g.Verbs = inos.GranteePublic, []string{inos.VerbRead}
	case 5:
		h := secret(t, "link")
		g.Grantee, g.Verbs, g.UsesMax, link = inos.GranteeLink+g.ID, []string{inos.VerbRead}, rapid.Uint32Range(0, 2).Draw(t, "uses"), &h
	}
	key := keys.Draw(t, "key")
	w.now++
	w.both(t, fmt.Sprintf("grant %s%s to %s key %s", g.Owner, g.Prefix, g.Grantee, key.ID), func(m inos.Semantic) (any, error) {
		return m.PutGrant(background, g, link, key, w.now)
	})
	if link != nil {
		w.both(t, "link", func(m inos.Semantic) (any, error) { return m.FindLink(background, *link) })
	}
}

func (w *twins) grants(t *rapid.T) {
	owner, after, limit := twinUsers.Draw(t, "owner"), rapid.SampledFrom([]string{"", "g1", "g2"}).Draw(t, "after"), rapid.IntRange(0, 2).Draw(t, "limit")
	subject := inos.Subject("")
	if rapid.Bool().Draw(t, "received") {
		owner, subject = "", owner
	}
	w.both(t, fmt.Sprintf("grants of %q to %q", owner, subject), func(m inos.Semantic) (any, error) {
		grants, more, err := m.ListGrants(background, owner, subject, after, limit, w.now)
		return []any{grants, more}, err
	})
}

func (w *twins) removeGrant(t *rapid.T) {
	owner, id := twinUsers.Draw(t, "owner"), twinGrants.Draw(t, "grant")
	w.now++
	w.both(t, fmt.Sprintf("remove grant %s of %s", id, owner), func(m inos.Semantic) (any, error) { return m.RemoveGrant(background, owner, id, w.now) })
}

func (w *twins) useGrant(t *rapid.T) {
	owner, id, request := twinUsers.Draw(t, "owner"), twinGrants.Draw(t, "grant"), twinEvents.Draw(t, "request")
	w.both(t, fmt.Sprintf("use grant %s of %s by %s", id, owner, request), func(m inos.Semantic) (any, error) {
		return m.UseGrant(background, owner, id, request, w.now)
	})
}

func (w *twins) access(t *rapid.T) {
	owner, subject := twinUsers.Draw(t, "owner"), rapid.SampledFrom([]inos.Subject{"ann", "bob", "cat", "public", "link:g1", "link:g2"}).Draw(t, "subject")
	w.both(t, fmt.Sprintf("access of %s to %s", subject, owner), func(m inos.Semantic) (any, error) { return m.ReadAccess(background, owner, subject, w.now) })
}

func (w *twins) findUser(t *rapid.T) {
	name := twinUsers.Draw(t, "user")
	w.both(t, "user "+string(name), func(m inos.Semantic) (any, error) {
		u, groups, err := m.FindUser(background, name)
		return []any{u, groups}, err
	})
}

func (w *twins) transfer(t *rapid.T) {
	accounts := rapid.SampledFrom([]string{"grant", "user:ann", "user:bob", "user:cat", "escrow:ann"})
	amount, event, covered := rapid.Int64Range(-60, 60).Draw(t, "amount"), twinEvents.Draw(t, "event"), rapid.Bool().Draw(t, "covered")
	entries := []inos.LedgerEntry{{Account: accounts.Draw(t, "from"), Amount: amount, Reason: "r"}, {Account: accounts.Draw(t, "to"), Amount: -amount}}
	w.now++
	w.both(t, fmt.Sprintf("transfer %v by %s", entries, event), func(m inos.Semantic) (any, error) {
		written, repeated, err := m.Transfer(background, event, entries, covered, w.now)
		return []any{written, repeated}, err
	})
}

func (w *twins) entries(t *rapid.T) {
	account, after, limit := rapid.SampledFrom([]string{"grant", "user:ann", "user:bob", "escrow:ann", "escrow:bob", "nobody"}).Draw(t, "account"), rapid.Uint64Range(0, 20).Draw(t, "after"), rapid.IntRange(0, 3).Draw(t, "limit")
	w.both(t, "entries of "+account, func(m inos.Semantic) (any, error) {
		entries, more, balance, err := m.ListEntries(background, account, after, limit)
		return []any{entries, more, balance}, err
	})
}

func (w *twins) foldEntries(t *rapid.T) {
	before, limit := w.now-inos.Micros(rapid.IntRange(-1, 30).Draw(t, "younger")), rapid.IntRange(0, 5).Draw(t, "limit")
	w.both(t, fmt.Sprintf("fold entries before %d", before), func(m inos.Semantic) (any, error) {
		folded, left, err := m.FoldEntries(background, before, limit)
		return []int{folded, left}, err
	})
}

// facts returns the pending versions of facts, which have been compared.
func (w *twins) facts(t *rapid.T) []inos.Record {
	pending, err := w.a.PendingRecords(background, inos.RecordKey{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(pending, func(r inos.Record) bool { return r.File.Owner != "" })
}

func (w *twins) settleFact(t *rapid.T) {
	facts := w.facts(t)
	if len(facts) == 0 {
		t.Skip("no fact is pending")
	}
	f := rapid.SampledFrom(facts).Draw(t, "fact").File
	key := inos.RecordKey{Path: f.Path, Version: f.Version - min(f.Version-1, rapid.Uint64Range(0, 3).Draw(t, "below")/2)}
	id, nodes, full := recordIDs.Draw(t, "id"), drawNodes(t, 1), rapid.Bool().Draw(t, "full")
	w.both(t, fmt.Sprintf("settle %s:%d on %v", key.Path, key.Version, nodes), func(m inos.Semantic) (any, error) {
		return m.SettleRecord(background, key, id, nodes, full)
	})
}

// restoreFact restores a version of a fact as a record on the mesh may have it: what was pending at some time.
func (w *twins) restoreFact(t *rapid.T) {
	w.seen = append(w.seen, w.facts(t)...)
	w.seen = w.seen[max(0, len(w.seen)-40):]
	if len(w.seen) == 0 {
		t.Skip("no fact is known")
	}
	r := rapid.SampledFrom(w.seen).Draw(t, "fact")
	r.File.Version += rapid.Uint64Range(0, 2).Draw(t, "above")
	r.File.CreatedAt += inos.Micros(rapid.IntRange(-1, 1).Draw(t, "later"))
	r.RecordID, r.Nodes = recordIDs.Draw(t, "id"), drawNodes(t, 1)
	if rapid.IntRange(0, 3).Draw(t, "tombstone") == 0 {
		r.Tombstone, r.Fact = true, nil
	}
	w.both(t, fmt.Sprintf("restore %s:%d", r.File.Path, r.File.Version), func(m inos.Semantic) (any, error) {
		return m.RestoreVersion(background, "", r, w.now)
	})
}
