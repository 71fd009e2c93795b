package kernel

import (
	"fmt"
	"slices"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// surplus is a chunk on three nodes, of which two are wanted; the function says whether a look at it takes a copy away.
func surplus() (*Kernel, inos.ChunkID, *eventpb.ChunkState, func() bool) {
	k, first := sweptNode()
	k.now = inos.Hour
	k.node.booted, k.recovery.done, k.members.loaded = true, true, true
	id := inos.ChunkID{1}
	state := &eventpb.ChunkState{ChunkId: id[:], Generation: 1, Wanted: 2, StoredBytes: 1}
	for i := range 3 {
		m := first
		if i > 0 {
			m = k.members.newMember()
			m.row, m.state = first.row.CloneVT(), liveAlive
			m.row.Node = fmt.Sprintf("n%d", i+1)
			m.row.Host = m.row.Node
			k.members.table[m.id()] = m
		}
		state.Copies = append(state.Copies, &eventpb.Copy{Node: m.row.Node, Trusted: true, AuditedUs: int64(k.now)})
	}
	return k, id, state, func() bool {
		k.out = nil
		u := &k.repairs
		u.trim.chunk, u.trim.working = id, true
		u.trim.answer(u, &answer{op: opTrimStates, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.ChunkStatesReply{States: []*eventpb.ChunkState{state}})}})
		return u.trim.working
	}
}

// A surplus copy stays while a put relies on its chunk: the receipt may name the domain that holds it. It goes when the put is over.
func TestTrimLeavesWhatAPutCountsOn(t *testing.T) {
	k, id, _, retired := surplus()
	p := &put{phase: putRecording, twins: map[string]twin{"hash": {done: true, entry: inos.Entry{ChunkID: id}}}}
	k.puts.active = []*put{p}
	if retired() {
		t.Error("a copy goes that a put may name on its receipt")
	}
	k.puts.active = nil
	if !retired() {
		t.Error("the surplus copy stays when nobody relies on the chunk")
	}
}

// Of the copies that a receipt may name none goes while as many replicas are wanted as its put wanted: one that a repair has made goes, whatever the
// placement.
func TestTrimLeavesWhatAReceiptNames(t *testing.T) {
	for repaired := range 3 {
		k, _, state, retired := surplus()
		for i, held := range state.Copies {
			if i != repaired {
				held.Promised = 2
			}
		}
		if !retired() || string(k.repairs.trim.node) != state.Copies[repaired].Node {
			t.Errorf("copy %d, which a repair has made, is surplus, and %q goes", repaired, k.repairs.trim.node)
		}
		state.Copies[repaired].Promised = 1
		if retired() {
			t.Errorf("the copy of %s goes, which a receipt may name", k.repairs.trim.node)
		}
		if state.Wanted = 1; !retired() {
			t.Error("three copies stay where one is wanted now")
		}
	}
}

// A copy that waits to be looked at, since its node came back or because somebody has not found it there, neither goes nor is kept for another: what the map
// says of it may be out of date when it goes. Those of a node that gives all of its copies away go.
func TestTrimLeavesWhatIsLookedAt(t *testing.T) {
	for name, waits := range map[string]func(k *Kernel, id inos.ChunkID, held *eventpb.Copy){
		"not trusted": func(_ *Kernel, _ inos.ChunkID, held *eventpb.Copy) { held.Trusted, held.AuditedUs = false, 0 },
		"doubted":     func(k *Kernel, id inos.ChunkID, held *eventpb.Copy) { k.losses.doubt(inos.NodeID(held.Node), id) },
	} {
		for i := range 3 {
			k, id, state, retired := surplus()
			held := state.Copies[i]
			held.Promised = 2
			if waits(k, id, held); retired() {
				t.Errorf("%s: the copy of %s goes for that of %s", name, k.repairs.trim.node, k.repairs.trim.keep)
			}
			k.members.table[inos.NodeID(held.Node)].row.State = uint32(inos.MemberDraining)
			if !retired() || string(k.repairs.trim.node) != held.Node {
				t.Errorf("%s: the copy of %s stays, which is drained; that of %s goes", name, held.Node, k.repairs.trim.node)
			}
		}
	}
}

// A surplus copy goes only for copies that were proved a moment ago; the others are challenged, and only they.
func TestTrimChallengesOldProofs(t *testing.T) {
	for name, c := range map[string]struct {
		age  inos.Micros
		goes bool
	}{
		"just now":         {0, true},
		"a moment ago":     {trimProofAge - 1, true},
		"a while ago":      {trimProofAge, false},
		"before the clock": {-inos.Second, false}, // it was set back
	} {
		t.Run(name, func(t *testing.T) {
			k, id, state, retired := surplus()
			state.Copies[0].AuditedUs = int64(k.now - c.age)
			if retired() != c.goes {
				t.Errorf("a copy goes: %t", !c.goes)
			}
			var asked []heldCopy
			if !c.goes {
				asked = []heldCopy{{node: inos.NodeID(state.Copies[0].Node), chunk: id}}
			}
			if !slices.Equal(k.challenges.wanted, asked) {
				t.Errorf("challenged are %v, not %v", k.challenges.wanted, asked)
			}
		})
	}
}
