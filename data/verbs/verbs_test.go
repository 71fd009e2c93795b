package verbs_test

import (
	"bytes"
	"context"
	"os"
	"reflect"
	"regexp"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/semantic"
	"github.com/inos-mesh/inos/data/verbs"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Every event of the service semantic is a verb: one that is declared and not performed would fail in a running node only.
func TestEveryVerbIsPerformed(t *testing.T) {
	names, err := os.ReadFile("../../event/names.go")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`"(semantic:[^"]+)"`).FindAllStringSubmatch(string(names), -1)
	if len(found) < 30 {
		t.Fatalf("%d verbs are declared", len(found))
	}
	for _, m := range found {
		if !verbs.Known(m[1]) {
			t.Errorf("%s is not performed", m[1])
		}
	}
	if verbs.Known(event.ContentRead) {
		t.Error("an effect on a disk is taken for a verb")
	}
	if _, err := verbs.Perform(context.Background(), nil, &eventpb.Envelope{EventType: event.ContentRead}, 0); inos.CodeOf(err) != inos.CodeUnknownEvent {
		t.Errorf("an effect on a disk is refused with %v", err)
	}
}

func TestRecordsComeBack(t *testing.T) {
	file := inos.FileInfo{
		Owner: "ann", Path: "/a", Version: 7, FileID: inos.FileID{1}, ManifestID: inos.ChunkID{2}, PlainBytes: 3, StoredBytes: 4, Chunks: 5,
		CreatedAt: 6, ContentType: "text/plain", ReplicasWanted: 3, ReplicasReached: 2,
	}
	for name, r := range map[string]inos.Record{
		"file":      {File: file, RecordID: inos.ChunkID{9}, Nodes: []inos.NodeID{"n1", "n2"}},
		"tombstone": {File: inos.FileInfo{Owner: "ann", Path: "/a", Version: 8, CreatedAt: 9}, Tombstone: true, Nodes: []inos.NodeID{}},
	} {
		back, err := verbs.Record(verbs.RecordPayload(&r))
		if err != nil || !reflect.DeepEqual(back, r) {
			t.Errorf("%s: %v, %v; want %v", name, back, err, r)
		}
	}
	if _, err := verbs.Record(nil); inos.CodeOf(err) != inos.CodeInternal {
		t.Errorf("no record: %v", err)
	}
}

func TestIdentityComesBack(t *testing.T) {
	u := inos.User{Name: "ann", Operator: true, Disabled: true, Quota: inos.Quota{PlainBytes: 1, Files: 2, RequestsPerSecond: 3}, CreatedAt: 4}
	s := inos.SessionInfo{Name: "n", CreatedAt: 5, Refreshable: true, Session: inos.Session{
		TokenID: "t", Subject: "ann", Device: "d", Capabilities: []string{"files:*:*"}, ExpiresAt: 6, Audience: "a", Peer: "p",
	}}
	g := inos.AccessGrant{
		ID: "g", Owner: "ann", Prefix: "/a", Grantee: "link:g", Verbs: []string{"read"}, ExpiresAt: 7, UsesMax: 8, Uses: 9, By: "bob", CreatedAt: 10,
	}
	for what, pair := range map[string][2]any{
		"user": {verbs.User(verbs.UserPayload(&u)), u}, "session": {verbs.SessionInfo(verbs.SessionInfoPayload(&s)), s},
		"grant":  {verbs.AccessGrant(verbs.AccessGrantPayload(&g)), g},
		"nobody": {verbs.User(nil), inos.User{}}, "no session": {verbs.SessionInfo(nil), inos.SessionInfo{}}, "no grant": {verbs.AccessGrant(nil), inos.AccessGrant{}},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: %+v, want %+v", what, pair[0], pair[1])
		}
	}
}

// What a kernel asks by events is what the memory does: who is made, let in and given a grant is found by the next event.
func TestIdentityByEvents(t *testing.T) {
	m := semantic.NewMemory()
	do := func(typ string, q, reply event.Message) {
		t.Helper()
		r, err := verbs.Perform(context.Background(), m, &eventpb.Envelope{EventType: typ, Payload: event.Payload(q)}, 50)
		if err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		if reply != nil {
			if err := event.Open(&eventpb.Envelope{Payload: event.Payload(r)}, reply); err != nil {
				t.Fatal(err)
			}
		}
	}
	key := func(id string) *eventpb.RequestKey {
		return &eventpb.RequestKey{Subject: "host", Id: id, EventType: "e"}
	}
	hash := func(b byte) []byte { return bytes.Repeat([]byte{b}, inos.HashBytes) }
	for _, name := range []string{"ann", "bob"} {
		do(event.PutUser, &eventpb.PutUserRequest{User: &eventpb.User{Name: name}, Create: true, Credits: 9, Key: key(name), NowUs: 5}, nil)
	}
	do(event.PutGroup, &eventpb.PutGroupRequest{Group: &eventpb.Group{Name: "g", Members: []string{"bob"}}}, nil)
	do(event.PutEnrolment, &eventpb.PutEnrolmentRequest{Hash: hash(1), User: "ann", ExpiresUs: 90, NowUs: 5}, nil)
	var opened eventpb.OpenSessionReply
	do(event.OpenSession, &eventpb.OpenSessionRequest{
		Session:   &eventpb.SessionInfo{Session: &eventpb.Session{TokenId: "t", Subject: "ann", Device: "d", ExpiresUs: 99}},
		PublicKey: hash(2), DeviceName: "laptop", Enrolment: hash(1), Refresh: hash(3), NowUs: 6,
	}, &opened)
	if opened.User.Balance != 9 || !opened.Session.Refreshable {
		t.Errorf("opened %v", &opened)
	}
	var refreshed eventpb.RefreshSessionReply
	for i, reused := range []bool{false, true} {
		do(event.RefreshSession, &eventpb.RefreshSessionRequest{Refresh: hash(3), Next: hash(byte(4 + i)), NowUs: 7}, &refreshed)
		if refreshed.Reused != reused || refreshed.Session.Session.TokenId != "t" {
			t.Errorf("refreshed %v", &refreshed)
		}
	}
	grant := &eventpb.AccessGrant{Id: "x", Owner: "ann", Prefix: "/a", Grantee: "group:g", Verbs: []string{"read"}, By: "ann", ExpiresUs: 60}
	do(event.PutGrant, &eventpb.PutGrantRequest{Grant: grant, Key: key("x"), NowUs: 8}, nil)
	for now, want := range map[int64]int{59: 1, 60: 0} {
		var access eventpb.ReadAccessReply
		do(event.ReadAccess, &eventpb.ReadAccessRequest{Owner: "ann", Subject: "bob", NowUs: now}, &access)
		if len(access.Grants) != want || access.Owner.Name != "ann" {
			t.Errorf("access at %d: %v", now, &access)
		}
	}
	var nobody eventpb.ReadAccessReply
	if do(event.ReadAccess, &eventpb.ReadAccessRequest{Owner: "cat", Subject: "bob", NowUs: 1}, &nobody); nobody.Owner != nil {
		t.Errorf("access to nobody's: %v", &nobody)
	}
	_, err := verbs.Perform(context.Background(), m, &eventpb.Envelope{EventType: event.PutEnrolment, Payload: event.Payload(&eventpb.PutEnrolmentRequest{Hash: hash(1)[:31], User: "ann"})}, 50)
	if inos.CodeOf(err) != inos.CodeInternal {
		t.Errorf("a hash of 31 bytes: %v", err)
	}
}

func TestIDsHaveOneLength(t *testing.T) {
	for _, n := range []int{1, 31, 33} {
		if _, err := verbs.OptionalChunkID(make([]byte, n)); inos.CodeOf(err) != inos.CodeInternal {
			t.Errorf("an id of %d bytes: %v", n, err)
		}
	}
	if id, err := verbs.OptionalChunkID(nil); err != nil || id != (inos.ChunkID{}) {
		t.Errorf("no id: %v", err)
	}
}
