package kernel

import (
	"slices"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// sweptNode returns a switchboard and a node of its mesh.
func sweptNode() (*Kernel, *member) {
	k := New()
	k.node.id, k.node.switchboard, k.now = "n0", true, inos.Hour
	m := k.members.newMember()
	m.row, m.state = &eventpb.Member{Node: "n1", Zone: "home", Host: "n1", Tier: "cold", OfferedBytes: 1 << 40, State: uint32(inos.MemberActive), Epoch: 1}, liveAlive
	k.members.table["n1"] = m
	k.collector.sweep.turnAt = k.now + inos.Day // nobody's turn comes
	return k, m
}

// A node that has itself swept over and over is given more and more rest, up to the pause between the turns; one that was left alone is swept at once.
func TestSweptOverAndOver(t *testing.T) {
	k, m := sweptNode()
	u := &k.collector
	swept := func() (waited inos.Micros) {
		u.sweepNode("n1")
		waited = max(0, m.sweep.at-k.now)
		if waited > 0 && u.sweepDue() {
			t.Fatalf("swept %d us before its time", waited)
		}
		if k.now += waited; !u.sweepDue() {
			t.Fatalf("not swept after %d us", waited)
		}
		u.leave()
		return waited
	}
	var waits []inos.Micros
	for range 8 {
		waits = append(waits, swept())
	}
	want := []inos.Micros{0, 0, sweepRest, 2 * sweepRest, 4 * sweepRest, 8 * sweepRest, sweepPause, sweepPause}
	if !slices.Equal(waits, want) {
		t.Errorf("it waited %v, want %v", waits, want)
	}
	if k.now += 3 * sweepPause; swept() != 0 {
		t.Error("it was left alone and has to wait")
	}
	u.sweep.node, u.sweep.worked = "n1", inos.Minute
	if u.leave(); m.sweep.rest < 20*inos.Minute {
		t.Errorf("a sweep of a minute is followed by one after %d us", m.sweep.rest)
	}
}

// A sweep for what may be on its way to a node waits behind the last that asks, and not for ever.
func TestSweepWaitsForWhatIsOnItsWay(t *testing.T) {
	k, m := sweptNode()
	u, first := &k.collector, k.now
	u.sweepLate("n1")
	if m.sweep.at != first+sweepSettle {
		t.Errorf("swept at %d, asked at %d", m.sweep.at, first)
	}
	for range 6 {
		if k.now >= m.sweep.at {
			break
		}
		k.now = min(k.now+sweepSettle-1, m.sweep.at)
		if k.now < m.sweep.at {
			u.sweepLate("n1")
		}
	}
	if k.now != first+3*sweepSettle || u.sweepWake() == 0 || !u.sweepDue() {
		t.Errorf("swept at %d, asked for since %d", k.now, first)
	}
}

// A sweep that may have been too early is followed by another one.
func TestSweepThatWasTooEarly(t *testing.T) {
	id := inos.ChunkID{1}
	told := func(k *Kernel, s *eventpb.ChunkState) {
		s.ChunkId, k.collector.sweep.began = id[:], k.now
		k.collector.told(&answer{env: &eventpb.Envelope{Payload: event.Payload(&eventpb.ChunkStatesReply{States: []*eventpb.ChunkState{s}})}})
	}
	for name, c := range map[string]struct {
		happens func(k *Kernel)
		again   bool
	}{
		"nothing special":            {func(*Kernel) {}, false},
		"it was silent for a moment": {func(k *Kernel) { k.collector.sweepLater() }, true},
		"it was silent for too long": {func(k *Kernel) {
			for k.collector.sweep.node != "" {
				k.collector.sweepLater()
			}
		}, true},
		"a page took long": {func(k *Kernel) {
			k.collector.sweep.began = k.now
			k.now += sweepSettle + 1
			k.collector.pageDone()
		}, true},
		"a chunk is about to be collected": {func(k *Kernel) { told(k, &eventpb.ChunkState{Generation: 1}) }, true},
		"a chunk is being repaired": {func(k *Kernel) {
			k.repairs.table[7] = &mending{work: 7, id: id}
			told(k, &eventpb.ChunkState{Generation: 1, Wanted: 1})
		}, true},
		"a put relies on a chunk": {func(k *Kernel) {
			k.collector.live(id)
			told(k, &eventpb.ChunkState{})
		}, true},
		"a chunk has its copies": {func(k *Kernel) {
			told(k, &eventpb.ChunkState{Generation: 1, Wanted: 1, Copies: []*eventpb.Copy{{Node: "n1", Trusted: true}}})
		}, false},
		"a page took no longer than may be": {func(k *Kernel) {
			k.collector.sweep.began = k.now
			k.now += sweepSettle
			k.collector.pageDone()
		}, false},
	} {
		k, m := sweptNode()
		u := &k.collector
		u.sweepNode("n1")
		if !u.sweepDue() {
			t.Fatal("not swept")
		}
		if c.happens(k); u.sweep.node != "" {
			u.sweepDone()
		}
		if again := u.sweep.wanted.has("n1"); again != c.again || again && m.sweep.at < k.now+sweepSettle {
			t.Errorf("%s: swept again %v, in %d us", name, again, m.sweep.at-k.now)
		}
	}
}
