package kernel

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// manyMembers is a switchboard of a mesh of so many members, of which so many are alive; it makes its map again, or has it.
func manyMembers(members, alive int, rebuild bool) *Kernel {
	k := New()
	k.node.booted, k.node.switchboard, k.node.id, k.now = true, true, "s", inos.Hour
	k.members.loaded, k.recovery.done, k.numbering.ceiling = true, true, 1<<62
	k.random.seed([]byte("a seed of as many bytes as needed"))
	if rebuild {
		k.rebuilding.phase, k.rebuilding.noted = rebuildGather, k.now
	}
	for i := range members {
		m := k.members.newMember()
		m.row = activeRow(fmt.Sprintf("12D3KooW%08d", i))
		if i >= members-alive {
			m.state = liveAlive
		}
		k.members.table[m.id()] = m
	}
	return k
}

// allocated returns how many bytes a function allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// saysNothing has the nodes that are asked what they hold say that it is nothing.
func saysNothing(k *Kernel) (asked int) {
	for _, id := range sortedKeys(k.flights.table) {
		f := k.flights.table[id]
		k.land(f)
		k.out = nil
		k.rebuilding.answer(&answer{op: f.op, work: f.work, slot: f.slot, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.ContentInventoryReply{End: true})}})
		asked++
	}
	return asked
}

// A rebuild asks as many members as there are, and the steps that it takes to do so do not grow with their number: nothing goes through all of them in
// each step, neither those that are silent nor those that have said all. What a step costs is told by what it allocates: a list of all members first of all.
func TestRebuildOfManyMembers(t *testing.T) {
	cost := func(members, alive int) (perStep uint64) {
		k := manyMembers(members, alive, true)
		asked, steps := 0, 0
		k.rebuilding.act()
		bytes := allocated(func() {
			for asked < 2*alive {
				n := saysNothing(k)
				if n == 0 {
					t.Fatalf("of %d nodes nobody is asked after %d answers", alive, asked)
				}
				asked += n
				k.now += 1000
				k.rebuilding.act()
				steps++
			}
		})
		k.now += rebuildSettle + rebuildLook
		if k.rebuilding.act(); k.rebuilding.phase != rebuildRecords || len(k.rebuilding.order) != alive {
			t.Errorf("all have said what they hold, and it is in phase %d with %d nodes of %d", k.rebuilding.phase, len(k.rebuilding.order), alive)
		}
		return bytes / uint64(steps)
	}
	few, silent, many := cost(100, 100), cost(10_000, 100), cost(10_000, 10_000)
	if silent > 2*few || many > 2*few {
		t.Errorf("a step allocates %d bytes with 100 members, %d when 9900 more are silent, %d with 10000 of them", few, silent, many)
	}
}

// Nodes that cannot have their turn are looked at when time has passed, and not in every step, unless they are few.
func TestTurnLine(t *testing.T) {
	name := func(i int) inos.NodeID { return inos.NodeID(fmt.Sprintf("n%05d", i)) }
	for _, c := range []struct{ nodes, looks int }{{restingFew, 5000}, {10_000, 6}} {
		var l turnLine
		for i := range c.nodes {
			l.add(name(i))
			l.add(name(i))
		}
		looks, now := 0, inos.Hour
		last := name(c.nodes - 1)
		had, room := inos.NodeID(""), true
		turn := func(awake inos.NodeID) func(inos.NodeID) int {
			return func(node inos.NodeID) int {
				if looks++; node == awake {
					had = node
					return turnOver
				}
				return turnLater
			}
		}
		for range 5000 { // in five seconds
			l.turns(now, func() bool { return room }, turn(""))
			now += turnLook / 1000
		}
		if looks != c.looks*c.nodes {
			t.Errorf("%d nodes are looked at %d times, want %d each", c.nodes, looks, c.looks)
		}
		if l.wake() != 0 != (c.nodes > restingFew) || l.wake() > now+turnLook {
			t.Errorf("%d nodes: woken in %d us", c.nodes, l.wake()-now)
		}
		now += turnLook
		room = false
		if l.turns(now, func() bool { return room }, turn(last)); had != "" {
			t.Error("a node has a turn without room")
		}
		room = true
		if l.turns(now, func() bool { return room }, turn(last)); had != last || l.has(last) || !l.has(name(0)) {
			t.Errorf("%d nodes: the last had its turn: %q; in line still: %t", c.nodes, had, l.has(last))
		}
	}
}

// A step of a reconciliation is not longer when thousands of members are silent.
func TestReconcilingManyMembers(t *testing.T) {
	k := manyMembers(10_000, 100, false)
	u := &k.reconciles
	u.act()
	if len(u.table) != reconcilesMax || len(u.wanted.ready.list) == 0 {
		t.Fatalf("%d nodes are reconciled, %d wait", len(u.table), len(u.wanted.ready.list))
	}
	for len(u.table) > 0 {
		for _, name := range sortedKeys(u.table) {
			u.table[name].end = true
			u.pageDone(u.table[name])
		}
		u.act()
	}
	if rest := len(u.wanted.resting.list); rest != 9900 || len(u.wanted.ready.list) != 0 || u.wake() > k.now+turnLook {
		t.Errorf("%d silent nodes rest, %d are ready, woken in %d us", rest, len(u.wanted.ready.list), u.wake()-k.now)
	}
}

// BenchmarkRebuildManyMembers asks 10,000 members what they hold, of which 1,000 answer.
func BenchmarkRebuildManyMembers(b *testing.B) {
	for b.Loop() {
		k := manyMembers(10_000, 1000, true)
		k.rebuilding.act()
		for asked := 0; asked < 2000; {
			asked += saysNothing(k)
			k.now += 1000
			k.rebuilding.act()
		}
	}
}

// BenchmarkReconcileManyMembers is a step while 9,999 members are silent and wait to be compared with the map.
func BenchmarkReconcileManyMembers(b *testing.B) {
	k := manyMembers(10_000, 1, false)
	k.reconciles.act()
	for b.Loop() {
		k.now += 1000
		k.reconciles.act()
	}
}
