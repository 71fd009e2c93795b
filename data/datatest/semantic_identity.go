package datatest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
)

var identityCases = []semanticCase{
	{"a user is made once, changed and listed", semanticUsers},
	{"a user who is disabled has no sessions", semanticDisabled},
	{"an enrolment lets one device in, once", semanticEnrolment},
	{"enrolments are bounded, and those that are over make room", semanticEnrolmentsBound},
	{"a device that is revoked is out for good", semanticRevokeDevice},
	{"what a device issued ends with it", semanticIssued},
	{"who is shut out has no enrolment left to come back by", semanticEnrolmentsEnd},
	{"a session is opened once and found by its token id", semanticOpenSession},
	{"a program's session needs a user and no device", semanticProgramSession},
	{"sessions of a user are bounded, and those that are over make room", semanticSessionsBound},
	{"a refresh secret is good for once", semanticRefresh},
	{"a refresh secret that was used before ends its session", semanticRefreshReused},
	{"sessions are listed and revoked by their user", semanticListSessions},
	{"what is over is pruned, and no more than asked", semanticPruneSessions},
	{"a group has users, and one that was removed lets nobody in", semanticGroups},
	{"identity refuses arguments beyond their bounds", semanticIdentityBounds},
	{"a verb of identity refuses a context that ended, and a closed memory says so", semanticIdentityEnds},
}

func user(t testing.TB, m inos.Semantic, name inos.Subject, credits int64) inos.User {
	t.Helper()
	u, _, err := m.PutUser(background, inos.User{Name: name}, true, credits, keyOf("user "+string(name)), 5)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// opened is what a session is opened with in these tests: token id, user, device.
func opened(token string, user inos.Subject, device string) inos.SessionInfo {
	return inos.SessionInfo{Name: "n", Session: inos.Session{
		TokenID: token, Subject: user, Device: device, Capabilities: []string{"files:*:*"}, ExpiresAt: 1000, Audience: "a", Peer: "p",
	}}
}

func deviceKey(device string) []byte {
	h := hash(device, 7)
	return h[:]
}

// login opens a session of a device that comes with an enrolment, and a refresh secret.
func login(t testing.TB, m inos.Semantic, token string, user inos.Subject, device string) inos.SessionInfo {
	t.Helper()
	enrolment, refresh := hash("enrolment "+token, 1), hash("refresh "+token, 0)
	if err := m.PutEnrolment(background, enrolment, user, 100, 9); err != nil {
		t.Fatal(err)
	}
	o := inos.Opening{PublicKey: deviceKey(device), DeviceName: "a " + device, Enrolment: &enrolment, Refresh: &refresh}
	s, _, err := m.OpenSession(background, opened(token, user, device), o, 10)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Fatalf("%s:\n got %s\nwant %s", what, g, w)
	}
}

func semanticUsers(t *testing.T, m inos.Semantic) {
	quota := inos.Quota{PlainBytes: 1 << 40, Files: 7, RequestsPerSecond: 9}
	want := inos.User{Name: "ann", Operator: true, Quota: quota, CreatedAt: 5, Balance: 70}
	ask := inos.User{Name: "ann", Operator: true, Quota: quota, CreatedAt: 99, Balance: 99, Usage: inos.NamespaceUsage{Files: 9}}
	put, revoked, err := m.PutUser(background, ask, true, 70, keyOf("1"), 5)
	must(t, err)
	same(t, "made", []any{put, revoked}, []any{want, []string(nil)})
	put, _, err = m.PutUser(background, ask, true, 70, keyOf("1"), 8) // the key again: nothing is credited twice
	must(t, err)
	same(t, "again", put, want)
	_, _, err = m.PutUser(background, ask, true, 0, keyOf("2"), 8)
	wantCode(t, err, inos.CodeConflict)
	_, _, err = m.PutUser(background, inos.User{Name: "bob"}, false, 0, keyOf("3"), 8)
	wantCode(t, err, inos.CodeUserUnknown)
	_, _, err = m.PutUser(background, inos.User{Name: "bob"}, true, 0, keyOf("1"), 8)
	wantCode(t, err, inos.CodeConflict) // ann's key
	user(t, m, "bob", 0)
	changed, _, err := m.PutUser(background, inos.User{Name: "ann", Quota: inos.Quota{Files: 1}}, false, 5, keyOf("4"), 9)
	must(t, err)
	want.Operator, want.Quota, want.Balance = false, inos.Quota{Files: 1}, 75
	same(t, "changed", changed, want)
	d := dataRow(1)
	f, _ := commit(t, m, "ann", "/a", "5", 1, d)
	want.Usage = inos.NamespaceUsage{Files: 1, PlainBytes: f.PlainBytes}
	users, more, err := m.ListUsers(background, "", 1)
	must(t, err)
	same(t, "first page", []any{users, more}, []any{[]inos.User{want}, true})
	users, more, err = m.ListUsers(background, "ann", 1)
	must(t, err)
	same(t, "second page", []any{users, more}, []any{[]inos.User{{Name: "bob", CreatedAt: 5}}, false})
	// A key that commits a file is no user's.
	_, _, err = m.PutUser(background, inos.User{Name: "cat"}, true, 0, keyOf("5"), 8)
	wantCode(t, err, inos.CodeConflict)
}

func semanticDisabled(t *testing.T, m inos.Semantic) {
	user(t, m, "ann", 0)
	login(t, m, "t2", "ann", "d")
	login(t, m, "t1", "ann", "e")
	put, revoked, err := m.PutUser(background, inos.User{Name: "ann", Disabled: true}, false, 0, keyOf("1"), 20)
	must(t, err)
	same(t, "disabled", []any{put.Disabled, revoked}, []any{true, []string{"t1", "t2"}})
	_, err = m.FindSession(background, "t1")
	wantCode(t, err, inos.CodeUnauthenticated)
	_, _, err = m.OpenSession(background, opened("t3", "ann", "d"), inos.Opening{PublicKey: deviceKey("d")}, 21)
	wantCode(t, err, inos.CodeUnauthenticated)
	_, _, _, err = m.RefreshSession(background, hash("refresh t1", 0), hash("next", 1), 21)
	wantCode(t, err, inos.CodeUnauthenticated)
	_, _, err = m.PutUser(background, inos.User{Name: "ann"}, false, 0, keyOf("2"), 22)
	must(t, err)
	_, _, err = m.OpenSession(background, opened("t3", "ann", "d"), inos.Opening{PublicKey: deviceKey("d")}, 23)
	must(t, err) // the device is the user's still
}

func semanticEnrolment(t *testing.T, m inos.Semantic) {
	user(t, m, "ann", 0)
	user(t, m, "bob", 0)
	secret := hash("enrolment", 1)
	wantCode(t, m.PutEnrolment(background, secret, "cat", 100, 9), inos.CodeUserUnknown)
	must(t, m.PutEnrolment(background, secret, "ann", 100, 9))
	wantCode(t, m.PutEnrolment(background, secret, "bob", 100, 9), inos.CodeConflict)
	o := inos.Opening{PublicKey: deviceKey("d"), DeviceName: "laptop", Enrolment: &secret}
	open := func(token string, user inos.Subject, device string, o inos.Opening, now inos.Micros) error {
		_, _, err := m.OpenSession(background, opened(token, user, device), o, now)
		return err
	}
	wantCode(t, open("t1", "bob", "d", o, 10), inos.CodeUnauthenticated)                                       // another's
	wantCode(t, open("t1", "ann", "d", o, 100), inos.CodeUnauthenticated)                                      // over
	wantCode(t, open("t1", "ann", "d", inos.Opening{PublicKey: deviceKey("d")}, 10), inos.CodeUnauthenticated) // without
	devices, err := m.ListDevices(background, "ann")
	must(t, err)
	equal(t, "devices before", len(devices), 0)
	must(t, open("t1", "ann", "d", o, 10))
	wantCode(t, open("t2", "ann", "e", inos.Opening{PublicKey: deviceKey("e"), Enrolment: &secret}, 11), inos.CodeUnauthenticated) // used up
	must(t, open("t2", "ann", "d", inos.Opening{PublicKey: deviceKey("d")}, 11))
	wantCode(t, open("t3", "ann", "d", inos.Opening{PublicKey: deviceKey("e")}, 11), inos.CodeUnauthenticated) // another key
	devices, err = m.ListDevices(background, "ann")
	must(t, err)
	same(t, "devices", devices, []inos.Device{{ID: "d", User: "ann", Name: "laptop", PublicKey: [32]byte(deviceKey("d")), CreatedAt: 10}})
	_, err = m.ListDevices(background, "cat")
	wantCode(t, err, inos.CodeUserUnknown)
	// One key may be a device of two users.
	must(t, m.PutEnrolment(background, hash("enrolment", 2), "bob", 100, 9))
	second := hash("enrolment", 2)
	must(t, open("t4", "bob", "d", inos.Opening{PublicKey: deviceKey("d"), Enrolment: &second}, 12))
}

func semanticEnrolmentsBound(t *testing.T, m inos.Semantic) {
	user(t, m, "ann", 0)
	for i := range inos.UserEnrolmentsMax {
		must(t, m.PutEnrolment(background, hash("enrolment", i), "ann", inos.Micros(100+i), 9))
	}
	wantCode(t, m.PutEnrolment(background, hash("more", 1), "ann", 200, 99), inos.CodeConflict)
	must(t, m.PutEnrolment(background, hash("enrolment", 3), "ann", 300, 99)) // known already
	must(t, m.PutEnrolment(background, hash("more", 1), "ann", 200, 100))     // the first is over
	wantCode(t, m.PutEnrolment(background, hash("more", 2), "ann", 200, 100), inos.CodeConflict)
}

func semanticRevokeDevice(t *testing.T, m inos.Semantic) {
	user(t, m, "ann", 0)
	login(t, m, "t1", "ann", "d")
	login(t, m, "t2", "ann", "e")
	_, _, err := m.RevokeDevice(background, "ann", "f", 20)
	wantCode(t, err, inos.CodeDeviceUnknown)
	_, _, err = m.RevokeDevice(background, "bob", "d", 20)
	wantCode(t, err, inos.CodeDeviceUnknown)
	revoked, _, err := m.RevokeDevice(background, "ann", "d", 20)
	must(t, err)
	same(t, "revoked", revoked, []string{"t1"})
	revoked, _, err = m.RevokeDevice(background, "ann", "d", 21)
	must(t, err)
	equal(t, "revoked again", len(revoked), 0)
	_, err = m.FindSession(background, "t1")
	wantCode(t, err, inos.CodeUnauthenticated)
	_, err = m.FindSession(background, "t2")
	must(t, err)
	secret := hash("enrolment", 1)
	must(t, m.PutEnrolment(background, secret, "ann", 100, 9))
	_, _, err = m.OpenSession(background, opened("t3", "ann", "d"), inos.Opening{PublicKey: deviceKey("d"), Enrolment: &secret}, 22)
	wantCode(t, err, inos.CodeUnauthenticated) // not even with a new enrolment
	devices, err := m.ListDevices(background, "ann")
	must(t, err)
	same(t, "revoked", []any{devices[0].ID, devices[0].Revoked, devices[1].Revoked}, []any{"d", true, false})
}

// semanticEnrolmentsEnd sees that what ends a device, or all sessions of a user's, ends the enrolments that were made with them: whoever stole one of
// these could have made some, and no list shows them.
func semanticEnrolmentsEnd(t *testing.T, m inos.Semantic) {
	user(t, m, "ann", 0)
	user(t, m, "bob", 0)
	login(t, m, "t1", "ann", "d")
	ends := []struct {
		what string
		end  func(key inos.RequestKey) error
	}{
		{"a device is revoked", func(inos.RequestKey) error {
			_, _, err := m.RevokeDevice(background, "ann", "d", 20)
			return err
		}},
		{"all sessions are revoked", func(inos.RequestKey) error {
			_, err := m.RevokeSessions(background, "ann", "")
			return err
		}},
		{"the user is disabled, and let in again", func(key inos.RequestKey) error {
			if _, _, err := m.PutUser(background, inos.User{Name: "ann", Disabled: true}, false, 0, key, 20); err != nil {
				return err
			}
			key.ID = "again"
			_, _, err := m.PutUser(background, inos.User{Name: "ann"}, false, 0, key, 20)
			return err
		}},
	}
	for i, e := range ends {
		hers, his := hash("hers", i), hash("his", i)
		must(t, m.PutEnrolment(background, hers, "ann", 100, 9))
		must(t, m.PutEnrolment(background, his, "bob", 100, 9))
		_, err := m.RevokeSessions(background, "ann", "no such session")
		must(t, err)
		must(t, e.end(inos.RequestKey{Subject: "s", ID: "end", EventType: "users:put"}))
		device := fmt.Sprintf("new-%d", i)
		_, _, err = m.OpenSession(background, opened("hers-"+device, "ann", device), inos.Opening{PublicKey: deviceKey(device), Enrolment: &hers}, 21)
		if inos.CodeOf(err) != inos.CodeUnauthenticated {
			t.Errorf("when %s, an enrolment of before lets a device in: %v", e.what, err)
		}
		_, _, err = m.OpenSession(background, opened("his-"+device, "bob", device), inos.Opening{PublicKey: deviceKey(device), Enrolment: &his}, 21)
		must(t, err) // nobody else's
	}
	hers := hash("one session", 0)
	must(t, m.PutEnrolment(background, hers, "ann", 100, 9))
	_, err := m.RevokeSessions(background, "ann", "t1")
	must(t, err)
	_, _, err = m.OpenSession(background, opened("t9", "ann", "kept"), inos.Opening{PublicKey: deviceKey("kept"), Enrolment: &hers}, 21)
	must(t, err) // one session may end by itself, and is then no sign of theft
}

func semanticOpenSession(t *testing.T, m inos.Semantic) {
	user(t, m, "ann", 3)
	user(t, m, "bob", 0)
	s := login(t, m, "t1", "ann", "d")
	want := opened("t1", "ann", "d")
	want.CreatedAt, want.Refreshable = 10, true
	same(t, "opened", s, want)
	found, err := m.FindSession(background, "t1")
	must(t, err)
	same(t, "found", found, want)
	again, u, err := m.OpenSession(background, opened("t1", "ann", "d"), inos.Opening{PublicKey: deviceKey("d")}, 77)
	must(t, err)
	same(t, "again", []any{again, u.Name, u.Balance}, []any{want, "ann", 3})
	_, _, err = m.OpenSession(background, opened("t1", "bob", ""), inos.Opening{}, 77)
	wantCode(t, err, inos.CodeConflict)
	taken := hash("refresh t1", 0)
	_, _, err = m.OpenSession(background, opened("t2", "ann", "d"), inos.Opening{PublicKey: deviceKey("d"), Refresh: &taken}, 77)
	wantCode(t, err, inos.CodeConflict)
	_, err = m.FindSession(background, "t2")
	wantCode(t, err, inos.CodeUnauthenticated)
	endless := opened("t2", "ann", "d")
	endless.ExpiresAt = 0
	fresh := hash("fresh", 0)
	_, _, err = m.OpenSession(background, endless, inos.Opening{PublicKey: deviceKey("d"), Refresh: &fresh}, 77)
	wantCode(t, err, inos.CodeBadRequest)
}

func semanticProgramSession(t *testing.T, m inos.Semantic) {
	_, _, err := m.OpenSession(background, opened("t1", "ann", ""), inos.Opening{}, 10)
	wantCode(t, err, inos.CodeUnauthenticated)
	user(t, m, "ann", 0)
	endless := opened("t1", "ann", "")
	endless.ExpiresAt = 0
	s, _, err := m.OpenSession(background, endless, inos.Opening{}, 10)
	must(t, err)
	same(t, "refreshable, created", []any{s.Refreshable, s.CreatedAt}, []any{false, 10})
	_, _, err = m.OpenSession(background, opened("t2", "ann", ""), inos.Opening{PublicKey: deviceKey("d")}, 10)
	wantCode(t, err, inos.CodeBadRequest)
	n, err := m.PruneSessions(background, 1<<40, 0)
	must(t, err)
	equal(t, "pruned of an endless one", n, 0)
}

func semanticSessionsBound(t *testing.T, m inos.Semantic) {
	user(t, m, "ann", 0)
	user(t, m, "bob", 0)
	open := func(i int, user inos.Subject, now inos.Micros) error {
		s := opened(fmt.Sprint("t", i), user, "")
		s.ExpiresAt = inos.Micros(1000 + i)
		_, _, err := m.OpenSession(background, s, inos.Opening{}, now)
		return err
	}
	for i := range inos.UserSessionsMax {
		must(t, open(i, "ann", 10))
	}
	wantCode(t, open(5000, "ann", 999), inos.CodeConflict)
	must(t, open(5001, "bob", 999))
	must(t, open(5002, "ann", 1000)) // the first is over
	wantCode(t, open(5003, "ann", 1000), inos.CodeConflict)
}

func semanticRefresh(t *testing.T, m inos.Semantic) {
	user(t, m, "ann", 3)
	s := login(t, m, "t1", "ann", "d")
	first, second, third := hash("refresh t1", 0), hash("refresh", 2), hash("refresh", 3)
	refresh := func(from, to [inos.HashBytes]byte, now inos.Micros) (inos.SessionInfo, inos.User, bool, error) {
		return m.RefreshSession(background, from, to, now)
	}
	got, u, reused, err := refresh(first, second, 20)
	must(t, err)
	same(t, "refreshed", []any{got, u.Name, u.Balance, reused}, []any{s, "ann", 3, false})
	got, _, reused, err = refresh(first, second, 21) // the same call again
	must(t, err)
	same(t, "again", []any{got, reused}, []any{s, false})
	_, _, _, err = refresh(second, first, 22)
	wantCode(t, err, inos.CodeConflict) // a secret that was used before does not come back
	_, _, _, err = refresh(second, second, 22)
	wantCode(t, err, inos.CodeBadRequest)
	_, _, _, err = refresh(second, third, 22)
	must(t, err)
	_, _, _, err = refresh(hash("never", 1), hash("refresh", 4), 22)
	wantCode(t, err, inos.CodeUnauthenticated)
	_, _, _, err = refresh(third, hash("refresh", 4), 1000)
	wantCode(t, err, inos.CodeUnauthenticated) // over
	_, _, _, err = refresh(first, hash("refresh", 4), 1000)
	wantCode(t, err, inos.CodeUnauthenticated) // over, and used before
	_, err = m.FindSession(background, "t1")
	must(t, err)
}

func semanticRefreshReused(t *testing.T, m inos.Semantic) {
	user(t, m, "ann", 0)
	s := login(t, m, "t1", "ann", "d")
	other := login(t, m, "t2", "ann", "d")
	_, _, _, err := m.RefreshSession(background, hash("refresh t1", 0), hash("next", 1), 20)
	must(t, err)
	got, u, reused, err := m.RefreshSession(background, hash("refresh t1", 0), hash("next", 2), 21)
	must(t, err)
	same(t, "reused", []any{got, u.Name, reused}, []any{s, "ann", true})
	_, err = m.FindSession(background, "t1")
	wantCode(t, err, inos.CodeUnauthenticated)
	for _, h := range [][inos.HashBytes]byte{hash("refresh t1", 0), hash("next", 1), hash("next", 2)} {
		_, _, _, err := m.RefreshSession(background, h, hash("next", 3), 22)
		wantCode(t, err, inos.CodeUnauthenticated) // nothing of it is left
	}
	found, err := m.FindSession(background, "t2")
	must(t, err)
	same(t, "the user's other session", found, other)
	// Secrets of long ago are forgotten: they are of no session.
	h := hash("refresh t2", 0)
	for i := range inos.RefreshesMax + 1 {
		next := hash("chain", i)
		if _, _, _, err := m.RefreshSession(background, h, next, 23); err != nil {
			t.Fatal(i, err)
		}
		h = next
	}
	_, _, _, err = m.RefreshSession(background, hash("refresh t2", 0), hash("next", 3), 24)
	wantCode(t, err, inos.CodeUnauthenticated)
	_, _, reused, err = m.RefreshSession(background, hash("chain", 0), hash("next", 3), 24)
	must(t, err)
	equal(t, "the oldest that is known", reused, true)
}

func semanticListSessions(t *testing.T, m inos.Semantic) {
	user(t, m, "ann", 0)
	user(t, m, "bob", 0)
	for _, token := range []string{"t3", "t1", "t2"} {
		login(t, m, token, "ann", "d"+token)
	}
	login(t, m, "t4", "bob", "d")
	page := func(user inos.Subject, after string, limit int, now inos.Micros) (s string) {
		sessions, more, err := m.ListSessions(background, user, after, limit, now)
		must(t, err)
		for _, one := range sessions {
			s += one.TokenID + " "
		}
		return s + fmt.Sprint(more)
	}
	equal(t, "page", page("ann", "", 2, 20), "t1 t2 true")
	equal(t, "next page", page("ann", "t2", 2, 20), "t3 false")
	equal(t, "over", page("ann", "", 2, 1000), "false")
	revoked, err := m.RevokeSessions(background, "bob", "t1") // ann's
	must(t, err)
	equal(t, "another's", len(revoked), 0)
	revoked, err = m.RevokeSessions(background, "ann", "t1")
	must(t, err)
	same(t, "one", revoked, []string{"t1"})
	revoked, err = m.RevokeSessions(background, "ann", "")
	must(t, err)
	same(t, "all", revoked, []string{"t2", "t3"})
	equal(t, "none left", page("ann", "", 0, 20), "false")
	equal(t, "bob's", page("bob", "", 0, 20), "t4 false")
}

func semanticPruneSessions(t *testing.T, m inos.Semantic) {
	user(t, m, "ann", 0)
	login(t, m, "t1", "ann", "d")
	login(t, m, "t2", "ann", "d")
	_, _, _, err := m.RefreshSession(background, hash("refresh t1", 0), hash("next", 1), 20)
	must(t, err)
	// t2's enrolment is left: its device was the user's already.
	prune := func(before inos.Micros, limit, want int) {
		t.Helper()
		n, err := m.PruneSessions(background, before, limit)
		must(t, err)
		equal(t, fmt.Sprintf("pruned before %d", before), n, want)
	}
	prune(100, 0, 0)
	prune(101, 0, 1) // the enrolment
	prune(1000, 0, 0)
	prune(1001, 2, 2) // the sessions
	_, err = m.FindSession(background, "t1")
	wantCode(t, err, inos.CodeUnauthenticated)
	prune(1001, 2, 1) // the secret used up
	prune(1001, 2, 0)
}

func semanticGroups(t *testing.T, m inos.Semantic) {
	for _, name := range []inos.Subject{"ann", "bob", "cat"} {
		user(t, m, name, 0)
	}
	list := func(after string, limit int) string {
		groups, more, err := m.ListGroups(background, after, limit)
		must(t, err)
		return fmt.Sprintf("%+v %t", groups, more)
	}
	put := func(name string, members ...inos.Subject) error {
		return m.PutGroup(background, inos.Group{Name: name, Members: members}, 7)
	}
	must(t, put("nobody"))
	must(t, put("work", "cat", "ann", "cat"))
	must(t, put("family", "bob"))
	wantCode(t, put("other", "bob", "dan"), inos.CodeUserUnknown)
	equal(t, "groups", list("", 0), "[{Name:family Members:[bob]} {Name:work Members:[ann cat]}] false")
	must(t, put("all", "ann", "bob"))
	for name, want := range map[inos.Subject]string{"ann": "[all work]", "bob": "[all family]", "cat": "[work]"} {
		u, groups, err := m.FindUser(background, name)
		must(t, err)
		equal(t, "groups of "+string(name), fmt.Sprint(u.Name, groups), string(name)+want)
	}
	_, _, err := m.FindUser(background, "dan")
	wantCode(t, err, inos.CodeUserUnknown)
	must(t, put("all"))
	equal(t, "page", list("", 1), "[{Name:family Members:[bob]}] true")
	equal(t, "next page", list("family", 1), "[{Name:work Members:[ann cat]}] false")
	grant(t, m, "g1", "ann", "/a", "group:family")
	must(t, put("family", "cat"))
	equal(t, "of who left", accessIDs(t, m, "ann", "bob"), "")
	equal(t, "of who came", accessIDs(t, m, "ann", "cat"), "g1")
	must(t, put("family"))
	equal(t, "of a removed group", accessIDs(t, m, "ann", "cat"), "")
	must(t, put("family", "bob")) // another of the same name
	equal(t, "of another group", accessIDs(t, m, "ann", "bob"), "")
	equal(t, "groups", list("", 0), "[{Name:family Members:[bob]} {Name:work Members:[ann cat]}] false")
	for i := range inos.UserGroupsMax - 1 {
		must(t, put(fmt.Sprint("g", i), "bob"))
	}
	wantCode(t, put("more", "bob"), inos.CodeConflict)
	must(t, put("family", "bob", "ann")) // it is in it already
}

func semanticIdentityBounds(t *testing.T, m inos.Semantic) {
	user(t, m, "ann", 0)
	long := strings.Repeat("x", 5000)
	session := func(change func(*inos.SessionInfo)) error {
		s := opened("t1", "ann", "")
		change(&s)
		_, _, err := m.OpenSession(background, s, inos.Opening{}, 1)
		return err
	}
	put := func(name inos.Subject, credits int64, quota inos.Quota, key inos.RequestKey) error {
		_, _, err := m.PutUser(background, inos.User{Name: name, Quota: quota}, true, credits, key, 1)
		return err
	}
	members := make([]inos.Subject, inos.GroupMembersMax+1)
	for i := range members {
		members[i] = inos.Subject(fmt.Sprint("u", i))
	}
	entry := func(account string, amount int64) inos.LedgerEntry {
		return inos.LedgerEntry{Account: account, Amount: amount}
	}
	transfer := func(entries ...inos.LedgerEntry) error {
		_, _, err := m.Transfer(background, "e", entries, false, 1)
		return err
	}
	for name, call := range map[string]func() error{
		"a user without a name":     func() error { return put("", 0, inos.Quota{}, keyOf("1")) },
		"a name with a colon":       func() error { return put("a:b", 0, inos.Quota{}, keyOf("1")) },
		"a name that begins so":     func() error { return put("-a", 0, inos.Quota{}, keyOf("1")) },
		"everybody's name":          func() error { return put("public", 0, inos.Quota{}, keyOf("1")) },
		"the host's name":           func() error { return put("host", 0, inos.Quota{}, keyOf("1")) },
		"a long name":               func() error { return put(inos.Subject(long[:65]), 0, inos.Quota{}, keyOf("1")) },
		"credits below zero":        func() error { return put("bob", -1, inos.Quota{}, keyOf("1")) },
		"a quota beyond numbers":    func() error { return put("bob", 0, inos.Quota{Files: 1 << 63}, keyOf("1")) },
		"no key":                    func() error { return put("bob", 0, inos.Quota{}, inos.RequestKey{}) },
		"an enrolment that is over": func() error { return m.PutEnrolment(background, hash("e", 1), "ann", 5, 5) },
		"a large group":             func() error { return m.PutGroup(background, inos.Group{Name: "g", Members: members}, 1) },
		"a group without a name":    func() error { return m.PutGroup(background, inos.Group{Members: []inos.Subject{"ann"}}, 1) },
		"a session without an id":   func() error { return session(func(s *inos.SessionInfo) { s.TokenID = "" }) },
		"an id with a slash":        func() error { return session(func(s *inos.SessionInfo) { s.TokenID = "a/b" }) },
		"a long label":              func() error { return session(func(s *inos.SessionInfo) { s.Name = long[:129] }) },
		"a device's session, issued": func() error {
			s := opened("t9", "ann", "d")
			s.IssuedBy = "e"
			_, _, err := m.OpenSession(background, s, inos.Opening{PublicKey: deviceKey("d")}, 1)
			return err
		},
		"a long device that issues":   func() error { return session(func(s *inos.SessionInfo) { s.IssuedBy = long[:129] }) },
		"a device without a key":      func() error { return session(func(s *inos.SessionInfo) { s.Device = "d" }) },
		"capabilities beyond a bound": func() error { return session(func(s *inos.SessionInfo) { s.Capabilities = []string{long} }) },
		"many capabilities": func() error {
			return session(func(s *inos.SessionInfo) { s.Capabilities = slices.Repeat([]string{"a"}, inos.SessionCapsMax+1) })
		},
		"one entry":                func() error { return transfer(entry("grant", 1)) },
		"entries that do not sum":  func() error { return transfer(entry("grant", -2), entry("user:ann", 1)) },
		"an entry of nothing":      func() error { return transfer(entry("grant", 0), entry("user:ann", 0)) },
		"an account of nobody's":   func() error { return transfer(entry("grant", -1), entry("ann", 1)) },
		"grants of nobody":         func() error { _, _, err := m.ListGrants(background, "", "", "", 0, 1); return err },
		"grants of and to":         func() error { _, _, err := m.ListGrants(background, "ann", "bob", "", 0, 1); return err },
		"the entries of nobody":    func() error { _, _, _, err := m.ListEntries(background, "", 0, 0); return err },
		"a use without a request":  func() error { _, err := m.UseGrant(background, "ann", "g", "", 1); return err },
		"the access of nobody":     func() error { _, err := m.ReadAccess(background, "ann", "", 1); return err },
		"a pledge below zero":      func() error { _, _, err := m.SetReplicas(background, "ann", "/a", 1, 0, -1, keyOf("1"), 1); return err },
		"a quota's key, no grants": func() error { _, err := m.PutGrant(background, inos.AccessGrant{}, nil, keyOf("1"), 1); return err },
	} {
		if err := call(); inos.CodeOf(err) != inos.CodeBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	users, _, err := m.ListUsers(background, "", 0)
	must(t, err)
	equal(t, "users", len(users), 1)
}

// identityVerbsOf calls every verb of inos.SemanticIdentity with arguments that are in order.
func identityVerbsOf(m inos.Semantic) map[string]func(context.Context) error {
	h := hash("h", 1)
	g := inos.AccessGrant{ID: "g", Owner: "ann", Prefix: "/", Grantee: "public", Verbs: []string{inos.VerbRead}, By: "ann"}
	entries := []inos.LedgerEntry{{Account: "grant", Amount: -1}, {Account: "user:ann", Amount: 1}}
	return map[string]func(context.Context) error{
		"put user": func(ctx context.Context) error {
			_, _, err := m.PutUser(ctx, inos.User{Name: "bob"}, true, 1, keyOf("1"), 1)
			return err
		},
		"list users":    func(ctx context.Context) error { _, _, err := m.ListUsers(ctx, "", 1); return err },
		"find user":     func(ctx context.Context) error { _, _, err := m.FindUser(ctx, "ann"); return err },
		"put enrolment": func(ctx context.Context) error { return m.PutEnrolment(ctx, h, "ann", 2, 1) },
		"list devices":  func(ctx context.Context) error { _, err := m.ListDevices(ctx, "ann"); return err },
		"revoke device": func(ctx context.Context) error { _, _, err := m.RevokeDevice(ctx, "ann", "d", 1); return err },
		"put group": func(ctx context.Context) error {
			return m.PutGroup(ctx, inos.Group{Name: "g", Members: []inos.Subject{"ann"}}, 1)
		},
		"list groups": func(ctx context.Context) error { _, _, err := m.ListGroups(ctx, "", 1); return err },
		"open session": func(ctx context.Context) error {
			_, _, err := m.OpenSession(ctx, opened("t", "ann", ""), inos.Opening{}, 1)
			return err
		},
		"refresh session": func(ctx context.Context) error { _, _, _, err := m.RefreshSession(ctx, h, hash("h", 2), 1); return err },
		"find session":    func(ctx context.Context) error { _, err := m.FindSession(ctx, "t"); return err },
		"list sessions":   func(ctx context.Context) error { _, _, err := m.ListSessions(ctx, "ann", "", 1, 1); return err },
		"revoke sessions": func(ctx context.Context) error { _, err := m.RevokeSessions(ctx, "ann", ""); return err },
		"prune sessions":  func(ctx context.Context) error { _, err := m.PruneSessions(ctx, 1, 1); return err },
		"put grant":       func(ctx context.Context) error { _, err := m.PutGrant(ctx, g, nil, keyOf("2"), 1); return err },
		"list grants":     func(ctx context.Context) error { _, _, err := m.ListGrants(ctx, "ann", "", "", 1, 1); return err },
		"remove grant":    func(ctx context.Context) error { _, err := m.RemoveGrant(ctx, "ann", "g", 1); return err },
		"use grant":       func(ctx context.Context) error { _, err := m.UseGrant(ctx, "ann", "g", "r", 1); return err },
		"find link":       func(ctx context.Context) error { _, err := m.FindLink(ctx, h); return err },
		"read access":     func(ctx context.Context) error { _, err := m.ReadAccess(ctx, "ann", "bob", 1); return err },
		"transfer":        func(ctx context.Context) error { _, _, err := m.Transfer(ctx, "e", entries, true, 1); return err },
		"fold entries":    func(ctx context.Context) error { _, _, err := m.FoldEntries(ctx, 1, 1); return err },
		"list entries":    func(ctx context.Context) error { _, _, _, err := m.ListEntries(ctx, "grant", 0, 1); return err },
	}
}

func semanticIdentityEnds(t *testing.T, m inos.Semantic) {
	ctx, cancel := context.WithCancel(background)
	cancel()
	for name, verb := range identityVerbsOf(m) {
		if err := verb(ctx); inos.CodeOf(err) != inos.CodeCanceled {
			t.Errorf("%s with a context that ended: %v", name, err)
		}
	}
	users, _, err := m.ListUsers(background, "", 0)
	must(t, err)
	equal(t, "users", len(users), 0)
	must(t, m.Close())
	for name, verb := range identityVerbsOf(m) {
		if err := verb(background); inos.CodeOf(err) != inos.CodeShuttingDown {
			t.Errorf("%s of a closed memory: %v", name, err)
		}
	}
}
