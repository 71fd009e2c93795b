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

// A put leaves more chunks short than it can remember. Before it is committed nobody knows how many copies it wants: the map is looked at behind that.
func TestPutThatIsShortOfMuch(t *testing.T) {
	for _, left := range []int{shortsPerPut - 1, shortsPerPut + 1} {
		k, _, _, _ := surplus()
		k.repairs.scan.whole = k.now
		p := &put{phase: putRunning}
		for i := range left {
			k.puts.wantMore(p, inos.ChunkID{1, byte(i), byte(i >> 8)}, []inos.NodeID{"n1"}, 3)
		}
		if k.repairs.scan.again || len(p.shorts) != min(left, shortsPerPut) {
			t.Errorf("of %d chunks %d are remembered; the map is looked at: %t", left, len(p.shorts), k.repairs.scan.again)
		}
		k.puts.wantShorts(p)
		if k.repairs.scan.again != (left > shortsPerPut) || len(k.repairs.waiting) != min(left, shortsPerPut) {
			t.Errorf("of %d chunks %d are wanted; the map is looked at: %t", left, len(k.repairs.waiting), k.repairs.scan.again)
		}
	}
}

// The replicas of a file are set, and their record takes too long: the request fails, and the copies are made all the same.
func TestReplicasSetWithoutARecord(t *testing.T) {
	for _, replicas := range []uint32{3, 0} {
		k, _, _, _ := surplus()
		p := &change{replicas: replicas, file: &eventpb.FileInfo{Path: "/a", Version: 2}}
		p.work = 7
		k.changes.table[p.work] = p
		k.changes.recorded(p.work, nil, inos.Errorf(inos.CodeQuorumLost, "test", "the record is in 0 of 2 domains"))
		if k.repairs.scan.again != (replicas > 0) {
			t.Errorf("with %d replicas the map is looked at: %t", replicas, k.repairs.scan.again)
		}
	}
}
