package kernel

import (
	"slices"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// The claim of a repair is void, and where its chunk is was asked before the map was told of a copy that the repair had made: by a put that has ended since, or
// by a sweep. The answer does not name it; it is not trashed.
func TestVoidCopyThatIsNamedMeanwhile(t *testing.T) {
	for name, tell := range map[string]func(k *Kernel, id inos.ChunkID){
		"nobody tells": func(*Kernel, inos.ChunkID) {},
		"a put": func(k *Kernel, id inos.ChunkID) {
			k.collector.live(id)
			k.collector.unlive(id)
		},
		"a sweep": func(k *Kernel, id inos.ChunkID) {
			k.collector.sweep.node, k.collector.sweep.good = "n3", [][]byte{id[:]}
			k.collector.adopted(&answer{op: opAdopt, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.AddCopiesReply{Taken: [][]byte{id[:]}})}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			k, id, state, _ := surplus()
			k.numbering.ceiling = inos.OrdersMax
			state.Copies = state.Copies[:2]
			x := &mending{work: 7, id: id, step: mendSettle, short: true, added: []inos.NodeID{"n3"}}
			k.repairs.table[x.work] = x
			k.collector.live(id)
			k.repairs.settled(x, inos.Errorf(inos.CodeConflict, "test", "the lease is over"))
			tell(k, id)
			k.repairs.voided(x, &answer{env: &eventpb.Envelope{Payload: event.Payload(&eventpb.ChunkStatesReply{States: []*eventpb.ChunkState{state}})}})
			if trashed := x.step == mendTrash; trashed != (name == "nobody tells") {
				t.Errorf("trashed: %t", trashed)
			}
		})
	}
}

// A sweep has asked where a chunk is, and is told what was so before: a copy was dropped since, or its node came back and is being compared. What the swept
// node holds of it may be the last one, and is not trashed.
func TestSweepIsToldWhatWas(t *testing.T) {
	for name, meanwhile := range map[string]func(k *Kernel, id inos.ChunkID){
		"nothing happens": func(*Kernel, inos.ChunkID) {},
		"a copy is dropped": func(k *Kernel, id inos.ChunkID) {
			key := copyKey("n2", id)
			k.losses.enter(key)
			k.losses.lose(key)
			k.losses.drop()
			k.losses.answer(&answer{op: opDrop, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.DropCopiesReply{Dropped: 1})}})
		},
		"a node is back": func(k *Kernel, _ inos.ChunkID) { k.reconciles.want("n2") },
	} {
		t.Run(name, func(t *testing.T) {
			k, id, state, _ := surplus()
			k.numbering.ceiling = inos.OrdersMax
			state.Copies = state.Copies[:2]
			k.collector.sweep.node = "n3"
			k.collector.inventory()
			k.collector.listed(&answer{op: opInventory, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.ContentInventoryReply{ChunkIds: [][]byte{id[:]}})}})
			meanwhile(k, id)
			k.out = nil
			k.collector.told(&answer{op: opSwept, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.ChunkStatesReply{States: []*eventpb.ChunkState{state}})}})
			if trashed := slices.ContainsFunc(k.out, func(e *eventpb.Envelope) bool { return e.EventType == event.MeshCall }); trashed != (name == "nothing happens") {
				t.Errorf("trashed: %t", trashed)
			}
		})
	}
}

// As long as the semantic memory takes no drops, audits do not go on until nobody can note what is lost.
func TestAuditsWaitForLosses(t *testing.T) {
	k, id, _, _ := surplus()
	k.numbering.ceiling = inos.OrdersMax
	for i := range lossesMax / 2 {
		k.losses.enter(copyKey("n2", inos.ChunkID{9, byte(i), byte(i >> 8)}))
	}
	u := &k.challenges
	u.want("n1", id)
	u.next = k.now
	if u.act(); len(u.asking) > 0 || u.paging != "" || u.wake() != 0 || !u.active() {
		t.Errorf("%d copies are audited, and %q is looked through; woken at %d", len(u.asking), u.paging, u.wake())
	}
	k.losses.table = map[string]uint8{}
	if u.act(); len(u.asking) != 1 || u.wake() == 0 {
		t.Errorf("%d copies are audited behind that; woken at %d", len(u.asking), u.wake())
	}
}

// A lone node trashes what has no row, wherever copies were: that it has lost one of the chunk does not make it wait for a sweep that nobody asks for.
func TestLoneSweepPastALoss(t *testing.T) {
	k, _ := sweptNode()
	k.node.id, k.node.booted, k.recovery.done, k.members.loaded = "n1", true, true, true
	k.numbering.ceiling = inos.OrdersMax
	id := inos.ChunkID{1}
	k.collector.sweep.node = "n1"
	k.collector.inventory()
	k.collector.listed(&answer{op: opInventory, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.ContentInventoryReply{ChunkIds: [][]byte{id[:]}})}})
	key := copyKey("n1", id)
	k.losses.enter(key)
	k.losses.lose(key)
	k.losses.drop()
	k.losses.answer(&answer{op: opDrop, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.DropCopiesReply{})}})
	k.out = nil
	k.collector.unknown(&answer{op: opUnknown, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.UnknownChunksReply{ChunkIds: [][]byte{id[:]}})}})
	if !k.lone() || !slices.ContainsFunc(k.out, func(e *eventpb.Envelope) bool { return e.EventType == event.ContentTrash }) {
		t.Errorf("alone: %t; the chunk without a row is not trashed", k.lone())
	}
}
