package kernel

import (
	"fmt"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// A surplus copy stays while a put relies on its chunk: the receipt may name the domain that holds it. It goes when the put is over.
func TestTrimLeavesWhatAPutCountsOn(t *testing.T) {
	k, first := sweptNode()
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
		state.Copies = append(state.Copies, &eventpb.Copy{Node: m.row.Node, Trusted: true, AuditedUs: 1})
	}
	retired := func() bool {
		k.out = nil
		u := &k.repairs
		u.trim.chunk, u.trim.working = id, true
		u.trim.answer(u, &answer{op: opTrimStates, env: &eventpb.Envelope{Payload: event.Payload(&eventpb.ChunkStatesReply{States: []*eventpb.ChunkState{state}})}})
		return u.trim.working
	}
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
