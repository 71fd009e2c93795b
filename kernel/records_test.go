package kernel

import (
	"bytes"
	"slices"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Two records of one version, noted at once by a memory that does not say what became of it: the one that the map names in the end stays.
func TestRecordsOfOneVersionAreNotedInTurn(t *testing.T) {
	k := New()
	w := newWorld(native{k})
	w.start()
	w.run(1000)
	id := w.put("/a", 1, false)
	w.run(1000)
	w.mustComplete(t, id)
	key := &eventpb.RecordKey{Owner: "ann", Path: "/a", Version: 1}
	for _, first := range []byte{1, 2} {
		k.records.note(settling{key: key, id: bytes.Repeat([]byte{first}, inos.HashBytes), nodes: []string{string(k.self())}, full: true})
	}
	w.tick(w.now + 1)
	var unknown [][]byte // whose first outcome was
	for {
		var under []*eventpb.Envelope
		for i, e := range w.pending {
			if e.EventType == event.SettleRecord {
				w.act(i)
				under = append(under, e)
			}
		}
		if len(under) == 0 {
			break
		}
		for _, e := range under {
			var q eventpb.SettleRecordRequest
			w.open(e, &q)
			i := slices.Index(w.pending, e)
			if slices.ContainsFunc(unknown, func(id []byte) bool { return bytes.Equal(id, q.RecordId) }) {
				w.finish(i)
				continue
			}
			unknown = append(unknown, q.RecordId)
			delete(w.early, e.Id)
			w.fail(i, inos.CodeIO)
		}
	}
	if len(unknown) != 2 {
		t.Fatalf("%d records were noted", len(unknown))
	}
	held := w.settled["ann/a"]
	if held == nil || !slices.ContainsFunc(unknown, func(id []byte) bool { return bytes.Equal(id, held.RecordId) }) {
		t.Fatalf("the map names %v", held)
	}
	for _, n := range append(slices.Clone(k.records.needless), k.records.trashing...) {
		if bytes.Equal(n.id, held.RecordId) {
			t.Errorf("the record that the map names goes to the trash")
		}
	}
}
