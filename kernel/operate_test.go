package kernel

import (
	"slices"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// A node is set to drain, and whether that has happened is not known: the members are read again at once, and what the node holds is not counted.
func TestSetOfUnknownOutcome(t *testing.T) {
	k := New()
	w := newWorld(&pair{t: t, k: k, every: 1000})
	for _, node := range []string{"node-2", "node-3"} {
		w.join(node, "home", node, "cold", 1<<40)
	}
	w.start()
	w.run(1000)
	w.give(w.request("t", event.NodesSet, &eventpb.NodesSetRequest{Node: "node-2", State: uint32(inos.MemberDraining)}))
	i := slices.IndexFunc(w.pending, func(e *eventpb.Envelope) bool { return e.EventType == event.SetNode })
	if i < 0 {
		t.Fatal("the memory is not asked")
	}
	if _, err := w.perform(w.pending[i]); err != nil {
		t.Fatal(err)
	}
	w.fail(i, inos.CodeIO)
	w.run(1000)
	if !k.members.table["node-2"].draining() {
		t.Error("the switchboard does not know that the node drains")
	}
}
