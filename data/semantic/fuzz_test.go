package semantic

import (
	"bytes"
	"slices"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// FuzzReply decodes remembered replies; what decodes encodes to what decodes to the same.
func FuzzReply(f *testing.F) {
	file, _ := smallFile(1)
	f.Add(encodeFile(replyCommit, &file))
	f.Add(encodeFile(replySet, &file))
	f.Add(encodeDelete("ann", "/a", 7))
	f.Add([]byte{})
	f.Add([]byte{replyCommit})
	f.Add([]byte{replyDelete, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, kind := range []byte{replyCommit, replySet} {
			if got, err := decodeFile("fuzz", kind, b); err == nil {
				if again, err := decodeFile("fuzz", kind, encodeFile(kind, &got)); err != nil || again != got {
					t.Errorf("%+v becomes %+v (%v)", got, again, err)
				}
			}
		}
		if owner, path, v, err := decodeDelete("fuzz", b); err == nil {
			if o, p, again, err := decodeDelete("fuzz", encodeDelete(owner, path, v)); err != nil || o != owner || p != path || again != v {
				t.Errorf("%q %q %d becomes %q %q %d (%v)", owner, path, v, o, p, again, err)
			}
		}
	})
}

// FuzzSession decodes stored sessions.
func FuzzSession(f *testing.F) {
	f.Add(encodeSession(&inos.Session{TokenID: "t", Subject: "ann", Device: "d", Capabilities: []string{"files:*:*", ""}, ExpiresAt: 1}))
	f.Add([]byte{0x0a})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeSession("fuzz", b)
		if err != nil {
			return
		}
		once := encodeSession(&s)
		again, err := decodeSession("fuzz", once)
		if err != nil || !bytes.Equal(encodeSession(&again), once) {
			t.Errorf("%+v becomes %+v (%v)", s, again, err)
		}
	})
}

// FuzzList decodes stored lists of nodes or addresses.
func FuzzList(f *testing.F) {
	f.Add(encodeList([]inos.NodeID{"a", "b", ""}))
	f.Add(encodeList[string](nil))
	f.Add([]byte{0x0a, 0x05})
	f.Add([]byte{0x0a, 0x01, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := decodeList[string]("fuzz", b)
		if err != nil {
			return
		}
		if again, err := decodeList[string]("fuzz", encodeList(list)); err != nil || !slices.Equal(again, list) {
			t.Errorf("%q becomes %q (%v)", list, again, err)
		}
	})
}

// FuzzSessionInfo decodes sessions as their table has them.
func FuzzSessionInfo(f *testing.F) {
	f.Add(encodeSessionInfo(&inos.SessionInfo{Name: "n", CreatedAt: 1, Refreshable: true, Session: inos.Session{TokenID: "t", Subject: "ann", Capabilities: []string{"a", ""}}}))
	f.Add([]byte{0x0a})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeSessionInfo("fuzz", b)
		if err != nil {
			return
		}
		once := encodeSessionInfo(&s)
		again, err := decodeSessionInfo("fuzz", once)
		if err != nil || !bytes.Equal(encodeSessionInfo(&again), once) {
			t.Errorf("%+v becomes %+v (%v)", s, again, err)
		}
	})
}

// FuzzFact decodes what records say of facts, as they may come from any mesh: what is taken is as its verb would have made it, and says so
// again when it is written.
func FuzzFact(f *testing.F) {
	u, d := inos.User{Name: "ann", Operator: true, Quota: inos.Quota{Files: 3}}, inos.Device{ID: "d", User: "ann", Name: "laptop"}
	g := inos.AccessGrant{ID: "g", Owner: "ann", Prefix: "/a", Grantee: "link:g", Verbs: []string{"read"}, By: "ann", UsesMax: 1}
	f.Add("/users/ann", encodeFact(&eventpb.Fact{User: userFact(&u)}))
	f.Add("/devices/ann/d", encodeFact(&eventpb.Fact{Device: deviceMessage(&d)}))
	f.Add("/groups/g", encodeFact(&eventpb.Fact{Group: groupMessage(&inos.Group{Name: "g", Members: []inos.Subject{"ann", "bob"}})}))
	f.Add("/grants/g", encodeFact(&eventpb.Fact{Grant: grantMessage(&g), Link: make([]byte, inos.HashBytes)}))
	f.Add("/grants/g", encodeFact(&eventpb.Fact{Grant: grantMessage(&g)}))
	f.Add("/users/ann", []byte{0x0a})
	m := NewMemory()
	f.Fuzz(func(t *testing.T, path string, b []byte) {
		r := inos.Record{File: inos.FileInfo{Path: inos.Path(path), Version: 1}, Fact: b, RecordID: inos.ChunkID{1}, Nodes: []inos.NodeID{"n"}}
		if checkRestore("fuzz", "", &r) != nil {
			return
		}
		m.identity = newTwinIdentity()
		if err := m.restoreFact("fuzz", &r); err != nil {
			t.Fatalf("%q passed its check: %v", path, err)
		}
		once := m.fact(r.File.Path)
		m.identity = newTwinIdentity()
		r.Fact = once
		if err := m.restoreFact("fuzz", &r); err != nil || !bytes.Equal(m.fact(r.File.Path), once) {
			t.Errorf("%q says %x, then %x (%v)", path, once, m.fact(r.File.Path), err)
		}
	})
}
