package datatest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
)

var factCases = []semanticCase{
	{"each change of a fact is a version with a record", semanticFactVersions},
	{"a memory that was lost gets its facts back by their records", semanticFactsRestored},
	{"of two versions of a fact with one number the later counts", semanticFactTwice},
	{"a record that says something else than its path is refused", semanticFactRefused},
}

// facts returns the records of facts that are pending.
func facts(t testing.TB, m inos.Semantic) (list []inos.Record) {
	t.Helper()
	pending, err := m.PendingRecords(background, inos.RecordKey{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range pending {
		if r.File.Owner == "" {
			list = append(list, r)
		}
	}
	return list
}

func briefFacts(t testing.TB, m inos.Semantic) (s string) {
	t.Helper()
	for _, r := range facts(t, m) {
		s += fmt.Sprintf(" %s:%d", r.File.Path, r.File.Version)
		if r.Tombstone {
			s += "+"
		}
		if r.Tombstone != (len(r.Fact) == 0) {
			t.Fatalf("the version %d of %s says %d bytes", r.File.Version, r.File.Path, len(r.Fact))
		}
	}
	return s
}

func settleFact(t testing.TB, m inos.Semantic, path inos.Path, version uint64) string {
	t.Helper()
	needless, err := m.SettleRecord(background, inos.RecordKey{Path: path, Version: version}, recordID(int(version)), []inos.NodeID{"a"}, true)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(len(needless))
}

func semanticFactVersions(t *testing.T, m inos.Semantic) {
	people(t, m)
	login(t, m, "t1", "ann", "d")
	must(t, m.PutGroup(background, inos.Group{Name: "g", Members: []inos.Subject{"ann"}}, 6))
	grant(t, m, "x", "ann", "/a", "group:g")
	commit(t, m, "ann", "/a", "1", 1, dataRow(1)) // comes after, in the order of owners
	equal(t, "pending", briefFacts(t, m), " /devices/ann/d:1 /grants/x:1 /groups/g:1 /users/ann:1 /users/bob:1 /users/cat:1")
	equal(t, "changed at", facts(t, m)[0].File.CreatedAt, 10)
	equal(t, "needless", settleFact(t, m, "/devices/ann/d", 1), "0")
	equal(t, "needless", settleFact(t, m, "/users/ann", 1), "0")
	equal(t, "pending", briefFacts(t, m), " /grants/x:1 /groups/g:1 /users/bob:1 /users/cat:1")
	_, _, err := m.RevokeDevice(background, "ann", "d", 20)
	must(t, err)
	_, _, err = m.RevokeDevice(background, "ann", "d", 21) // changes nothing
	must(t, err)
	must(t, m.PutGroup(background, inos.Group{Name: "g"}, 22)) // and the grant to it
	equal(t, "pending", briefFacts(t, m), " /devices/ann/d:2 /grants/x:2+ /groups/g:2+ /users/bob:1 /users/cat:1")
	equal(t, "needless: the record of the version before", settleFact(t, m, "/devices/ann/d", 2), "1")
	must(t, m.PutGroup(background, inos.Group{Name: "g", Members: []inos.Subject{"bob"}}, 23))
	equal(t, "pending", briefFacts(t, m), " /grants/x:2+ /groups/g:3 /users/bob:1 /users/cat:1")
	n, err := m.UnsettleRecords(background, "a", nil, 0)
	must(t, err)
	equal(t, "unsettled", n, 2)
	unknown, err := m.UnknownRecords(background, []inos.ChunkID{recordID(1), recordID(2), recordID(3)})
	must(t, err)
	equal(t, "unknown", len(unknown), 1)
	// Sessions, their secrets and the uses of a link without a bound change no fact.
	before := briefFacts(t, m)
	_, _, err = m.OpenSession(background, opened("t2", "ann", ""), inos.Opening{}, 30)
	must(t, err)
	equal(t, "after a session", briefFacts(t, m), before)
	secret := hash("link", 1)
	g := inos.AccessGrant{ID: "l", Owner: "ann", Prefix: "/", Grantee: "link:l", Verbs: []string{"read"}, By: "ann"}
	for i, max := range []uint32{0, 1} {
		g.ID, g.UsesMax = fmt.Sprint("l", i), max
		g.Grantee = "link:" + g.ID
		secret[0] = byte(i)
		_, err := m.PutGrant(background, g, &secret, keyOf(g.ID), 30)
		must(t, err)
		_, err = m.UseGrant(background, "ann", g.ID, "r", 31)
		must(t, err)
	}
	equal(t, "after uses", briefFacts(t, m), " /devices/ann/d:2 /grants/l0:1 /grants/l1:2 /grants/x:2+ /groups/g:3 /users/ann:1 /users/bob:1 /users/cat:1")
}

func semanticFactsRestored(t *testing.T, m inos.Semantic) {
	quota := inos.Quota{PlainBytes: 9, Files: 8, RequestsPerSecond: 7}
	_, _, err := m.PutUser(background, inos.User{Name: "ann", Operator: true, Quota: quota}, true, 50, keyOf("ann"), 5)
	must(t, err)
	user(t, m, "bob", 0)
	login(t, m, "t1", "ann", "d")
	login(t, m, "t2", "bob", "e")
	_, _, err = m.RevokeDevice(background, "bob", "e", 12)
	must(t, err)
	must(t, m.PutGroup(background, inos.Group{Name: "g", Members: []inos.Subject{"bob", "ann"}}, 6))
	grant(t, m, "g1", "ann", "/a", "group:g")
	grant(t, m, "g2", "ann", "/a", "public")
	_, err = m.RemoveGrant(background, "ann", "g2", 13)
	must(t, err)
	secret := hash("link", 1)
	g := inos.AccessGrant{ID: "g3", Owner: "ann", Prefix: "/b", Grantee: "link:g3", Verbs: []string{"read"}, By: "ann", UsesMax: 2, ExpiresAt: 90}
	_, err = m.PutGrant(background, g, &secret, keyOf("g3"), 6)
	must(t, err)
	_, err = m.UseGrant(background, "ann", "g3", "r", 7)
	must(t, err)
	say := func() string {
		users, _, err := m.ListUsers(background, "", 0)
		must(t, err)
		devices, err := m.ListDevices(background, "bob")
		must(t, err)
		groups, _, err := m.ListGroups(background, "", 0)
		must(t, err)
		grants, _, err := m.ListGrants(background, "ann", "", "", 0, 50)
		must(t, err)
		link, err := m.FindLink(background, secret)
		must(t, err)
		return fmt.Sprintf("%+v %+v %+v %+v %+v %s", users, devices, groups, grants, link, briefFacts(t, m))
	}
	want, records := say(), facts(t, m)
	equal(t, "records", len(records), 8)
	// Removed by versions that nobody has written, then restored by what was pending, under higher numbers.
	for i, r := range records {
		gone := inos.Record{File: r.File, Tombstone: true, RecordID: recordID(i), Nodes: []inos.NodeID{"a"}}
		gone.File.Version = 10
		restore(t, m, gone, true)
	}
	users, _, err := m.ListUsers(background, "", 0)
	must(t, err)
	equal(t, "users", len(users), 0)
	equal(t, "access", accessIDs(t, m, "ann", "bob"), "")
	_, err = m.FindLink(background, secret)
	wantCode(t, err, inos.CodeGrantUnknown)
	for i := len(records) - 1; i >= 0; i-- { // in any order
		r := records[i]
		r.RecordID, r.Nodes = recordID(20+i), []inos.NodeID{"b"}
		restore(t, m, r, false)
		r.File.Version += 20
		restore(t, m, r, true)
	}
	for i := range records {
		want = strings.Replace(want, fmt.Sprintf("%s:%d", records[i].File.Path, records[i].File.Version), fmt.Sprintf("%s:%d", records[i].File.Path, records[i].File.Version+20), 1)
	}
	equal(t, "restored", say(), want)
	equal(t, "bob by his group", accessIDs(t, m, "ann", "bob"), "g1")
	uses, err := m.UseGrant(background, "ann", "g3", "r2", 50)
	must(t, err)
	equal(t, "uses", uses, 2)
	_, err = m.UseGrant(background, "ann", "g3", "r3", 50)
	wantCode(t, err, inos.CodeGrantUnknown)
	_, _, err = m.OpenSession(background, opened("t9", "ann", "d"), inos.Opening{PublicKey: deviceKey("d")}, 50)
	must(t, err) // the device logs in as before
	_, _, err = m.OpenSession(background, opened("t8", "bob", "e"), inos.Opening{PublicKey: deviceKey("e")}, 50)
	wantCode(t, err, inos.CodeUnauthenticated) // it stays revoked
	needless, err := m.SettleRecord(background, inos.RecordKey{Path: "/users/ann", Version: 21}, recordID(26), []inos.NodeID{"b"}, true)
	must(t, err)
	same(t, "needless: the record of the removal", needless, []inos.SealedRecord{{ID: recordID(6), Nodes: []inos.NodeID{"a"}}})
}

func semanticFactTwice(t *testing.T, m inos.Semantic) {
	user(t, m, "ann", 0)
	_, _, err := m.PutUser(background, inos.User{Name: "ann", Operator: true}, false, 0, keyOf("2"), 9)
	must(t, err)
	second := facts(t, m)[0]
	second.RecordID, second.Nodes = recordID(2), []inos.NodeID{"a"}
	_, _, err = m.PutUser(background, inos.User{Name: "ann"}, false, 0, keyOf("3"), 20)
	must(t, err)
	again := func(version uint64, at inos.Micros, tombstone, want bool) {
		t.Helper()
		r := second
		r.File.Version, r.File.CreatedAt, r.Tombstone = version, at, tombstone
		restore(t, m, r, want)
	}
	again(3, 19, false, false)
	again(3, 20, true, false) // of one time what is there counts, and the one that is greater
	again(3, 20, false, true)
	again(3, 20, false, false)
	users, _, err := m.ListUsers(background, "", 0)
	must(t, err)
	equal(t, "operator", users[0].Operator, true)
	again(3, 21, true, true)
	again(3, 21, false, true)
	equal(t, "pending", briefFacts(t, m), " /users/ann:3")
	u, _, err := m.PutUser(background, inos.User{Name: "ann"}, false, 0, keyOf("4"), 22)
	must(t, err)
	equal(t, "created", u.CreatedAt, 5)
	equal(t, "pending", briefFacts(t, m), " /users/ann:4")
	// A user who is disabled by a restored version has no sessions.
	_, _, err = m.PutUser(background, inos.User{Name: "ann", Disabled: true}, false, 0, keyOf("5"), 23)
	must(t, err)
	disabled := facts(t, m)[0]
	_, _, err = m.PutUser(background, inos.User{Name: "ann"}, false, 0, keyOf("6"), 24)
	must(t, err)
	login(t, m, "t1", "ann", "d")
	disabled.File.Version, disabled.RecordID, disabled.Nodes = 9, recordID(9), []inos.NodeID{"a"}
	restore(t, m, disabled, true)
	_, err = m.FindSession(background, "t1")
	wantCode(t, err, inos.CodeUnauthenticated)
}

func semanticFactRefused(t *testing.T, m inos.Semantic) {
	user(t, m, "ann", 0)
	must(t, m.PutGroup(background, inos.Group{Name: "g", Members: []inos.Subject{"ann"}}, 6))
	list := facts(t, m)
	group, ann := list[0], list[1]
	for name, r := range map[string]struct {
		path inos.Path
		fact []byte
	}{
		"another's name":       {"/users/bob", ann.Fact},
		"another kind":         {"/users/g", group.Fact},
		"no fact's path":       {"/files/a", ann.Fact},
		"no name":              {"/users", ann.Fact},
		"a path below":         {"/users/ann/b", ann.Fact},
		"a device of nobody's": {"/devices/d", ann.Fact},
		"nothing":              {"/users/ann", nil},
		"no message":           {"/users/ann", []byte{0xff}},
		"too much":             {"/users/ann", make([]byte, 70000)},
	} {
		rec := inos.Record{File: inos.FileInfo{Path: r.path, Version: 9}, Fact: r.fact, RecordID: recordID(1), Nodes: []inos.NodeID{"a"}}
		if _, err := m.RestoreVersion(background, "", rec, 7); inos.CodeOf(err) != inos.CodeBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	equal(t, "pending", briefFacts(t, m), " /groups/g:1 /users/ann:1")
}
