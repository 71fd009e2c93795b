package kernel

import (
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// A drop fails and has happened all the same: the one that follows finds nothing to drop, and the chunk is short. Its repair is wanted.
func TestDropOfUnknownOutcome(t *testing.T) {
	for _, first := range []*inos.Error{nil, inos.Errorf(inos.CodeIO, "test", "the outcome is unknown")} {
		k, id, state, _ := surplus()
		u, key := &k.losses, copyKey("n2", inos.ChunkID{1})
		u.enter(key)
		u.lose(key)
		u.drop()
		if first != nil {
			u.answer(&answer{op: opDrop, err: first})
			k.now = u.again
			u.act()
		}
		if len(u.dropping) != 1 {
			t.Fatalf("%d copies are being dropped", len(u.dropping))
		}
		u.answer(&answer{op: opDrop, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.DropCopiesReply{})}})
		u.act()
		if asked := u.short.underWay; asked != (first != nil) {
			t.Errorf("after %v the chunk's copies are asked for: %t", first, asked)
			continue
		}
		if first == nil {
			continue // the map did not name the copy
		}
		state.Copies = state.Copies[:1]
		u.answer(&answer{op: opStates, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.ChunkStatesReply{States: []*eventpb.ChunkState{state}})}})
		if w := k.repairs.waiting; len(w) != 1 || string(w[0].ChunkId) != string(id[:]) || w[0].Live != 1 {
			t.Errorf("wanted are %v", w)
		}
	}
}

// A put that stayed short wants more of a chunk whose repair is under way, and was planned before: it is wanted once more when that has ended.
func TestShortPutDuringARepair(t *testing.T) {
	k, id, _, _ := surplus()
	x := &mending{work: 7, id: id, step: mendCopy, wanted: 2}
	k.repairs.table[x.work] = x
	k.collector.live(id)
	k.puts.wantRepairs(lateShort{id, 2})
	k.repairs.waiting = nil // the queue has the chunk already
	x.step = mendSettle
	k.repairs.settled(x, nil)
	if len(k.repairs.waiting) != 1 || len(k.repairs.table) != 0 {
		t.Errorf("%d repairs are wanted when the claim has ended", len(k.repairs.waiting))
	}
}

// What is short and finds no room in a queue, or fails too often on its way there, is found by a look at the map, soon; and what waits fits into a snapshot.
func TestShortageWithoutRoom(t *testing.T) {
	failed := inos.Errorf(inos.CodeIO, "test", "the disk does not take it")
	ids := func(n int) (wants []*eventpb.RepairWant, keys []string) {
		for i := range n {
			id := inos.ChunkID{1, byte(i), byte(i >> 8)}
			wants, keys = append(wants, &eventpb.RepairWant{ChunkId: id[:], Reason: "test"}), append(keys, copyKey("n2", id))
		}
		return wants, keys
	}
	for name, fill := range map[string]func(k *Kernel){
		"the queue is full when a call fails": func(k *Kernel) {
			wants, _ := ids(repairWantsMax + 1)
			k.repairs.wanting = wants[:1]
			k.repairs.wants(wants[1:])
			k.repairs.queued(&answer{op: opRepairWant, err: failed})
		},
		"too many copies are lost": func(k *Kernel) {
			_, keys := ids(shortagesMax + 1)
			k.losses.short.add(k, keys)
		},
		"nobody says where they are": func(k *Kernel) {
			_, keys := ids(1)
			k.losses.short.add(k, keys)
			for range retriesMax + 1 {
				k.losses.short.act(k)
				k.losses.short.answer(k, &answer{op: opStates, err: failed})
				k.now = max(k.now, k.losses.short.again)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			k, _, _, _ := surplus()
			if fill(k); !k.repairs.scan.again {
				t.Error("the map is not looked at")
			}
			if err := New().Restore(k.Snapshot()); err != nil {
				t.Error(err)
			}
		})
	}
}

// Late copies come back from a call that fails when others have taken their places.
func TestLateCopiesWithoutRoom(t *testing.T) {
	k, id, _, _ := surplus()
	l := &k.puts.lates
	late := func(work uint64) *fanout {
		return &fanout{work: work, id: id, copies: []*fanoutCopy{{node: "n2", state: copyWritten}}}
	}
	for len(l.adding) < rowsPerStage {
		l.adding = append(l.adding, lateCopy{id: id, node: "n2"})
	}
	for work := range uint64(lateMax) {
		k.puts.lateCopies(late(work + 1))
	}
	k.puts.toldLate(&answer{op: opAddCopies, err: inos.Errorf(inos.CodeIO, "test", "the disk does not take it")})
	if err := New().Restore(k.Snapshot()); err != nil || len(l.adds) != lateMax {
		t.Errorf("%d late copies wait: %v", len(l.adds), err)
	}
}
