package semantic

import (
	"bytes"
	"slices"
	"testing"

	"github.com/inos-mesh/inos"
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
