package kernel

import (
	"bytes"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// providerWorld is a node that decides nothing, and the disk of another one.
func providerWorld() *world {
	w := newWorld(native{New()})
	w.boot.Switchboard, w.boot.Workers = false, 0
	w.give(w.host(event.NodeBoot, w.boot))
	w.join("p2", "home", "nas2", "cold", 1<<40)
	return w
}

// What other nodes send is outside bytes: every call is answered once, every buffer is given back, and the disk is asked to
// read or write nothing that the ticket does not name.
func FuzzServe(f *testing.F) {
	id := hashOf("chunk")
	grant := event.Payload(&eventpb.Grant{ChunkId: id, Verb: verbWrite, Holder: "p2", Node: "node-1", ExpiresUs: 1 << 60})
	copied := event.Payload(&eventpb.Grant{ChunkId: id, Verb: verbRead, Holder: "node-1", Node: "p2", ExpiresUs: 1 << 60})
	f.Add(event.ContentWrite, event.Payload(&eventpb.ContentWriteRequest{ChunkId: id}), grant, true, uint32(5))
	f.Add(event.ContentRead, event.Payload(&eventpb.ContentReadRequest{ChunkId: id}), grant, false, uint32(0))
	f.Add(event.ContentCopy, event.Payload(&eventpb.ContentCopyRequest{ChunkId: id, Source: "p2"}), copied, true, uint32(0))
	f.Add(event.ContentTrash, event.Payload(&eventpb.ContentTrashRequest{Chunks: []*eventpb.ChunkGeneration{{ChunkId: id}}}), []byte{}, true, uint32(0))
	f.Add(event.ContentMissing, event.Payload(&eventpb.ContentMissingRequest{ChunkIds: [][]byte{id, {1}}}), []byte{}, true, uint32(0))
	f.Add(event.ContentInventory, event.Payload(&eventpb.ContentInventoryRequest{After: []byte{1}, Limit: 1 << 31}), []byte{}, true, uint32(0))
	f.Add(event.ContentProve, event.Payload(&eventpb.ContentProveRequest{ChunkId: id}), []byte{}, true, uint32(0))
	f.Add(event.NodeHeartbeat, event.Payload(&eventpb.HeartbeatRequest{}), []byte{}, false, uint32(0))
	f.Add("files:put:v1:completed", []byte{0xff}, []byte{0xff}, true, uint32(9))
	f.Fuzz(func(t *testing.T, typ string, payload, grant []byte, switchboard bool, input uint32) {
		w := providerWorld()
		w.run(10)
		inner := &eventpb.Envelope{Id: w.newID(), EventType: typ, Timestamp: 1, Payload: payload}
		q := &eventpb.MeshServeRequest{Peer: "p2", Switchboard: switchboard, Envelope: event.Encode(nil, inner)}
		var g eventpb.Grant
		if len(grant) > 0 && g.UnmarshalVT(grant) == nil {
			q.Grant, q.Ticket = &g, []byte("ticket")
		}
		if input > 0 {
			q.Input, q.InputBytes = 1<<63+1, input
			w.fill(q.Input, held{stored: &stored{id: string(hashOf("chunk")), size: 5}})
		}
		e := w.host(event.MeshServe, q)
		w.give(e)
		for _, out := range w.out {
			var m eventpb.ContentWriteRequest
			switch out.EventType {
			case event.ContentRead, event.ContentWrite:
				if w.open(out, &m); q.Grant == nil || !bytes.Equal(g.ChunkId, m.ChunkId) || g.Holder != "p2" || g.Node != "node-1" {
					t.Errorf("%s of %x under the ticket %v", out.EventType, m.ChunkId, &g)
				}
			case event.ContentMissing, event.ContentTrash, event.ContentEmptyTrash, event.ContentInventory, event.ContentScrub, event.ContentProve, event.MeshCall:
				if !switchboard {
					t.Errorf("%s for a node that is no switchboard", out.EventType)
				}
			}
		}
		w.run(20)
		if _, ends := w.last(e.Id); ends != 1 {
			t.Errorf("%s was answered %d times", typ, ends)
		}
		if k := w.kernel.(native).k; k.buffers != 0 || !k.serving.idle() {
			t.Errorf("%d buffer bytes are left", k.buffers)
		}
		w.check(t)
	})
}

// More calls than are served at a time are refused, and the numbers of forgotten writes still void old trash orders.
func TestServingIsBounded(t *testing.T) {
	w := providerWorld()
	w.run(10)
	var calls []string
	for range servingMax + 5 {
		calls = append(calls, w.serve("sb", true, event.ContentMissing, &eventpb.ContentMissingRequest{}, nil, nil))
	}
	if n := len(w.kernel.(native).k.serving.table); n != servingMax {
		t.Errorf("%d calls are served", n)
	}
	w.run(1000)
	refused := 0
	for _, id := range calls {
		e, ends := w.last(id)
		var r eventpb.MeshServeReply
		w.open(e, &r)
		inner, err := event.Decode(r.Envelope)
		if err != nil || ends != 1 {
			t.Fatalf("%d answers: %v", ends, err)
		}
		if event.StateOf(inner.EventType) == event.StateFailed {
			refused++
			if err := event.FailureOf(inner); err.Code != inos.CodeBusy || err.RetryAfter == 0 {
				t.Errorf("refused with %v", err)
			}
		}
	}
	if refused != 5 {
		t.Errorf("%d calls were refused", refused)
	}

	o := &orders{latest: map[string]uint64{}}
	id := func(n int) []byte { return hashOf("chunk", string(rune(n))) }
	for n := range ordersMax + 10 {
		o.wrote(id(n), false, uint64(1000+n))
	}
	o.wrote(id(ordersMax+9), false, 5) // came late
	switch {
	case len(o.latest) != ordersMax || len(o.queue) != ordersMax || o.floor != 1009:
		t.Errorf("%d numbers in a queue of %d, floor %d", len(o.latest), len(o.queue), o.floor)
	case !o.void(id(3), false, 1003), !o.void(id(3), false, 1009), o.void(id(3), false, 1010):
		t.Error("of a chunk that is forgotten, orders up to the floor are void")
	case !o.void(id(20), false, 1019), o.void(id(20), false, 1021), o.void(id(20), true, 1021):
		t.Error("of a chunk that is known, orders before its write are void")
	case !o.void(id(ordersMax+9), false, uint64(1000+ordersMax+8)):
		t.Error("a write that came late hides a later one")
	}
	if o.wrote(id(3), false, 900); !o.void(id(3), false, 1002) {
		t.Error("a write that came late hides a later one that is forgotten")
	}
}

// A node that may have lost chunks proves none before its switchboard has heard that from it: an audit in between would take it for a liar.
func TestNoProofBeforeItIsSaidWhatCameBack(t *testing.T) {
	for _, unclean := range []bool{true, false} {
		w := newWorld(native{New()})
		w.boot.Switchboard, w.boot.Workers, w.boot.Unclean, w.boot.Switchboards = false, 0, unclean, []string{"sb"}
		w.give(w.host(event.NodeBoot, w.boot))
		w.run(1000)
		proves := func() inos.Code {
			id := w.serve("sb", true, event.ContentProve, &eventpb.ContentProveRequest{ChunkId: hashOf("chunk")}, nil, nil)
			w.run(1000)
			e, ends := w.last(id)
			var r eventpb.MeshServeReply
			w.open(e, &r)
			inner, err := event.Decode(r.Envelope)
			if err != nil || ends != 1 {
				t.Fatalf("%d answers: %v", ends, err)
			}
			return event.FailureOf(inner).Code
		}
		home := w.kernel.(native).k.beats.home("sb")
		home.heard = w.now
		if got := proves(); got != inos.CodeChunkNotFound {
			t.Errorf("unclean %t: behind its first beat an audit hears %s", unclean, got.Name())
		}
		home.heard = 0
		if got := proves(); (got == inos.CodeBusy) != unclean {
			t.Errorf("unclean %t: before its first beat an audit hears %s", unclean, got.Name())
		}
	}
}

// A kernel that begins knows nothing of what the one before has written: orders that are older than the switchboard's first answer are void.
func TestOrdersOfBeforeAreVoid(t *testing.T) {
	w := providerWorld()
	w.run(10)
	o := &w.kernel.(native).k.serving.orders
	if *o = (orders{latest: map[string]uint64{}, forgot: true}); o.void(hashOf("chunk"), false, 5) {
		t.Error("no floor is known yet")
	}
	o.wrote(hashOf("late"), false, 500)
	if o.resume(0); !o.forgot {
		t.Error("a switchboard that has no number yet has said which orders are old")
	}
	o.resume(1000)
	o.resume(2000) // a later heartbeat: what has been written since is remembered
	if o.forgot || o.floor != 1000 || o.top != 2000 || !o.void(hashOf("chunk"), false, 999) || o.void(hashOf("chunk"), false, 1001) {
		t.Errorf("the floor is %d, forgot %t", o.floor, o.forgot)
	}
	if !o.void(hashOf("late"), false, 700) || o.void(hashOf("late"), false, 1001) {
		t.Error("a write that came late hides one that the kernel before has served")
	}
	if o.resume(0); !o.forgot {
		t.Error("trash orders are carried out while a switchboard makes its map again")
	}
	if o.resume(5000); o.forgot || !o.void(hashOf("chunk"), false, 4999) || o.void(hashOf("chunk"), false, 5001) {
		t.Errorf("behind it the floor is %d, forgot %t", o.floor, o.forgot)
	}
}
