package kernel

import (
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// A copy whose audit is under way is dropped behind it: a reader who finds at the same time that it is gone must not spare its node the verdict. And
// until it is dropped it is not challenged once more.
func TestLostWhileItIsAudited(t *testing.T) {
	k, m := sweptNode()
	k.node.booted, k.recovery.done, k.members.loaded = true, true, true
	k.numbering.ceiling = inos.OrdersMax
	u, id := &k.challenges, inos.ChunkID{1}
	state := &eventpb.ChunkState{ChunkId: id[:], Generation: 1, Wanted: 2, StoredBytes: 1, Copies: []*eventpb.Copy{{Node: "n1", Trusted: true}}}
	stated := func() *answer {
		return &answer{op: opAuditStates, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.ChunkStatesReply{States: []*eventpb.ChunkState{state}})}}
	}
	x := heldCopy{node: "n1", chunk: id}
	u.asking = []heldCopy{x}
	u.stated(stated())
	if !u.challenged(x) {
		t.Fatal("it is not challenged")
	}
	k.losses.doubt("n1", id)
	k.losses.doubted = nil
	k.losses.lose(copyKey("n1", id))
	if k.losses.drop(); len(k.losses.dropping) > 0 {
		t.Error("it is dropped while its audit is under way")
	}
	for _, work := range sortedKeys(u.table) {
		c := u.table[work]
		u.unproved(c, inos.Errorf(inos.CodeChunkNotFound, "test", "it is not held"))
		u.answer(&answer{op: opAuditConfirm, work: work, env: stated().env})
	}
	if m.failed != 1 {
		t.Errorf("%d verdicts, want 1", m.failed)
	}
	u.asking = []heldCopy{x}
	if u.stated(stated()); u.challenged(x) {
		t.Error("it is challenged again before it is dropped")
	}
	if k.losses.drop(); len(k.losses.dropping) != 1 {
		t.Error("it is not dropped behind its audit")
	}
	k.losses.forget(k.losses.dropping...)
	u.asking = []heldCopy{x}
	if u.stated(stated()); !u.challenged(x) {
		t.Error("a copy that was written anew is not challenged")
	}
}
