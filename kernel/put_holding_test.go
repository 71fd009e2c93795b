package kernel

import (
	"slices"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// The quorum of each chunk may be other nodes than that of the one before. A put is not answered as long as no quorum has all of its chunks and writes
// under way can bring one about; its receipt names domains that have everything.
func TestReceiptNamesWhoHasEverything(t *testing.T) {
	k := New()
	w := newWorld(&pair{t: t, k: k, every: 1000})
	nodes := []string{"node-2", "node-3", "node-4"}
	for _, node := range nodes {
		w.join(node, "home", "host of "+node, "cold", 1<<40)
	}
	w.start()
	w.run(1000)
	for _, node := range nodes {
		w.beat(node)
	}
	w.run(1000)

	w.ids++
	w.streams[w.ids] = &body{name: "/turns", length: 6 * inos.ChunkBytesMax}
	e := w.request("t", event.FilesPut, &eventpb.FilesPutRequest{Path: "/turns", Stream: w.ids, LengthBytes: 6 * inos.ChunkBytesMax})
	w.give(e)
	var chunks []string
	late := func(e *eventpb.Envelope) bool { // the writes that one node, each chunk another, is late with
		var q eventpb.MeshCallRequest
		if e.EventType != event.MeshCall || event.Open(e, &q) != nil {
			return false
		}
		inner, err := event.Decode(q.Envelope)
		var write eventpb.ContentWriteRequest
		if err != nil || inner.EventType != event.ContentWrite || event.Open(inner, &write) != nil {
			return false
		}
		i := slices.Index(chunks, string(write.ChunkId))
		if i < 0 {
			i, chunks = len(chunks), append(chunks, string(write.ChunkId))
		}
		return q.Node == nodes[i%len(nodes)]
	}
	rest := func() {
		for {
			i := slices.IndexFunc(w.pending, func(e *eventpb.Envelope) bool { return !late(e) })
			if i < 0 {
				return
			}
			w.finish(i)
		}
	}
	rest()
	w.tick(w.now + 2*commitPatience)
	rest()
	if reply, _ := w.last(e.Id); reply != nil {
		t.Fatalf("answered while no domain has all of the file")
	}
	if len(w.pending) < len(chunks) {
		t.Fatalf("%d writes of %d chunks are late", len(w.pending), len(chunks))
	}
	w.run(1 << 16)
	w.mustComplete(t, e.Id)
	reply, _ := w.last(e.Id)
	var r eventpb.FilesPutReply
	w.open(reply, &r)
	if quorum, err := k.members.quorum(r.File.ReplicasWanted, 0); err != nil || len(r.Receipt.Domains) < int(quorum) {
		t.Errorf("the receipt names %v", r.Receipt.Domains)
	}
	w.check(t)
}
