package kernel

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// busySnapshots returns snapshots of a kernel in the middle of work.
func busySnapshots() (out [][]byte) {
	w := newWorld(native{New()})
	k := w.kernel.(native).k
	out = append(out, k.Snapshot())
	w.start()
	w.put("/a", 5<<20, false)
	w.put("/b", 5<<20, true)
	for i := 0; i < 30 && len(w.pending) > 0; i++ {
		w.now += 1000
		w.finish(i % len(w.pending))
		if i%6 == 0 {
			out = append(out, k.Snapshot())
		}
	}
	w.run(1000)
	w.get("/a", nil)
	for range 6 {
		w.finish(0)
	}
	out = append(out, k.Snapshot())
	// And in the middle of questions about what somebody may do, and of what is asked about tokens and grants.
	w.slowAccess = true
	w.users["ann"], w.users["bob"] = &eventpb.User{Name: "ann", Quota: &eventpb.Quota{PlainBytes: 1, RequestsPerSecond: 9}}, &eventpb.User{Name: "bob"}
	w.grants["g"] = &eventpb.AccessGrant{Id: "g", Owner: "bob", Prefix: "/a", Grantee: "user:ann", Verbs: []string{"read"}}
	w.give(w.host(event.IdentitySession, &eventpb.Session{TokenId: "a", Subject: "ann", Capabilities: []string{"*:*:*"}}))
	w.tick(w.now + 2*accessLife)
	w.get("/a/b", func(q *eventpb.FilesGetRequest) { q.Owner = "bob" })
	w.put("/c", 1, false)
	w.give(w.request("a", event.GrantsPut, &eventpb.GrantsPutRequest{Grant: &eventpb.AccessGrant{Prefix: "/a", Verbs: []string{"read"}}, Link: true}))
	w.give(w.request("a", event.UsersPut, &eventpb.UsersPutRequest{User: &eventpb.User{Name: "bob"}}))
	w.give(w.request("a", event.UsersPut, &eventpb.UsersPutRequest{User: &eventpb.User{Name: "ann"}}))
	w.give(w.host(event.IdentityLogin, &eventpb.LoginRequest{User: "ann", PublicKey: hashOf("key"), Device: "d"}))
	for range 12 {
		out = append(out, k.Snapshot())
		if len(w.pending) > 0 {
			w.finish(0)
		}
	}
	return append(out, k.Snapshot())
}

// Restore takes any bytes: it refuses them or gives a kernel whose snapshot is those bytes, and never panics. The checksum is
// made right, so that the fuzzer gets behind it.
func FuzzRestore(f *testing.F) {
	for _, b := range busySnapshots() {
		f.Add(b[snapshotHead:])
	}
	f.Fuzz(func(t *testing.T, state []byte) {
		b := append([]byte(snapshotMagic), 0, 0, 0, 0, 0, 0, 0, 0)
		binary.LittleEndian.PutUint32(b[8:], snapshotVersion)
		binary.LittleEndian.PutUint32(b[12:], crc32.ChecksumIEEE(state))
		b = append(b, state...)
		k := New()
		if k.Restore(b) != nil {
			return
		}
		again := New()
		if err := again.Restore(k.Snapshot()); err != nil {
			t.Fatalf("the snapshot of a restored kernel is refused: %v", err)
		}
	})
}

// Any envelope from outside is answered or ignored; a client's bytes never bring the kernel down.
func FuzzStep(f *testing.F) {
	for _, typ := range append(sortedKeys(verbs), event.WorkerExit, event.RequestGone, event.IdentitySession, event.IdentityLogin) {
		f.Add(typ, event.Payload(&eventpb.FilesGetRequest{Path: "/a", Stream: 1, LengthBytes: -1}), "t")
		f.Add(typ, []byte{0xff}, "")
		f.Add(typ, event.Payload(&eventpb.GrantsPutRequest{Grant: &eventpb.AccessGrant{Owner: "ann", Prefix: "/a", Verbs: []string{"read"}}, Link: true}), "all")
		f.Add(typ, event.Payload(&eventpb.UsersPutRequest{User: &eventpb.User{Name: "bob", Operator: true}, Create: true}), "all")
	}
	f.Fuzz(func(t *testing.T, typ string, payload []byte, token string) {
		w := newWorld(native{New()})
		w.start()
		w.give(w.host(event.IdentitySession, &eventpb.Session{TokenId: "all", Subject: "ann", Capabilities: []string{"*:*:*"}}))
		w.users["ann"] = &eventpb.User{Name: "ann", Operator: true}
		w.run(20)
		e := w.host(event.NodeStatus, nil)
		e.EventType, e.Payload, e.Metadata.SecurityToken = typ, payload, token
		if event.Check(e) != nil || token == hostToken {
			return
		}
		w.give(e)
		w.run(100)
		if _, ends := w.last(e.Id); event.StateOf(typ) == event.StateRequested && ends != 1 {
			t.Errorf("%s was answered %d times", typ, ends)
		}
	})
}

// A snapshot that is cut off, changed, or of another version is refused, and the kernel can still be booted.
func TestRestoreRefuses(t *testing.T) {
	snapshots := busySnapshots()
	good := snapshots[len(snapshots)-2]
	for _, at := range []int{0, 8, 12, snapshotHead, len(good) / 2, len(good) - 1} {
		k := New()
		if k.Restore(good[:at]) == nil {
			t.Errorf("a snapshot cut off at %d is taken", at)
		}
		bad := append([]byte(nil), good...)
		bad[at] ^= 0x40
		if k.Restore(bad) == nil {
			t.Errorf("a snapshot changed at %d is taken", at)
		}
		w := newWorld(native{k})
		w.start()
		if w.run(100); !k.ready() {
			t.Error("a kernel that refused a snapshot does not boot")
		}
	}
}
