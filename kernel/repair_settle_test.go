package kernel

import (
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// A repair whose end is not known, and whose copy may be lost meanwhile, does not end with what is left: its chunk stays in the queue, or comes back to it
// when the claim is over.
func TestRepairOutlivesItsCopy(t *testing.T) {
	for name, lose := range map[string]func(u *repairs, x *mending){
		"its node came back from a crash":  func(u *repairs, x *mending) { u.distrusted(x.target) },
		"its node has lost it":             func(u *repairs, x *mending) { u.dropped(x.target, x.id) },
		"another node has lost its copy":   func(u *repairs, x *mending) { u.dropped(x.source, x.id) },
		"the chunk was wanted once more":   func(u *repairs, x *mending) { u.want(x.id[:], "put", 1); u.waiting = nil },
		"and the end is then on its way":   func(u *repairs, x *mending) { x.step = mendSettle; u.distrusted(x.target) },
		"that is found while it is tried ": func(u *repairs, x *mending) { x.step = mendSettle; u.dropped(x.target, x.id) },
	} {
		t.Run(name, func(t *testing.T) {
			k, _, _, _ := surplus()
			u := &k.repairs
			x := &mending{
				work: 7, id: inos.ChunkID{1}, lease: 3, wanted: 2, reason: "lost copy", until: k.now + inos.Hour, step: mendPause, again: k.now + 1,
				source: "n1", target: "n2", good: []inos.NodeID{"n1", "n2"}, added: []inos.NodeID{"n2"},
			}
			u.table = map[uint64]*mending{x.work: x}
			k.collector.live(x.id)
			lose(u, x)
			if x.step == mendSettle { // sent before: it fails, or is found to be over
				u.settled(x, inos.Errorf(inos.CodeIO, "test", "the outcome is unknown"))
			}
			k.now, k.out = x.again, nil
			u.advance(x)
			var q eventpb.SettleRepairRequest
			for _, e := range k.out {
				if e.EventType == event.SettleRepair && event.Open(e, &q) != nil {
					t.Fatal("settle_repair does not decode")
				}
			}
			if len(k.out) != 1 || q.Lease != 3 || q.RetryUs <= int64(k.now) {
				t.Fatalf("the claim is ended by %v", k.out)
			}
			u.settled(x, inos.Errorf(inos.CodeConflict, "test", "the lease is over"))
			if len(u.waiting) != 1 || string(u.waiting[0].ChunkId) != string(x.id[:]) {
				t.Errorf("wanted are %v", u.waiting)
			}
		})
	}
}

// The other nodes are removed while a repair waits, and this one is alone: the claim is ended all the same, or its chunk would stay for ever, and a stop
// would wait for it.
func TestRepairOfOneThatIsLeftAlone(t *testing.T) {
	for name, step := range map[string]uint8{"for the rate": mendReady, "for another try to end it": mendPause} {
		t.Run(name, func(t *testing.T) {
			k, id, _, _ := surplus()
			k.numbering.ceiling = inos.OrdersMax
			u := &k.repairs
			x := &mending{work: 7, id: id, lease: 3, wanted: 2, until: k.now + inos.Hour, step: step, again: k.now + 1, good: []inos.NodeID{"n1"}, sources: []inos.NodeID{"n1"}}
			u.table = map[uint64]*mending{x.work: x}
			k.collector.live(id)
			for _, node := range k.members.all() {
				k.members.table[node].row.State = uint32(inos.MemberRemoved)
			}
			self := k.members.newMember()
			self.row, self.state = &eventpb.Member{Node: string(k.self()), Tier: "cold", State: uint32(inos.MemberActive)}, liveAlive
			k.members.table[k.self()] = self
			if k.members.changed(); !k.lone() {
				t.Fatal("it is not alone")
			}
			if at := u.wake(); at != x.again {
				t.Errorf("it wants to be woken at %d, not %d", at, x.again)
			}
			k.now, k.out = x.again, nil
			if u.act(); len(k.out) != 1 || k.out[0].EventType != event.SettleRepair {
				t.Fatalf("it does %v", k.out)
			}
			if u.settled(x, nil); !u.idle() || len(k.collector.lives) > 0 {
				t.Error("the repair is not over")
			}
		})
	}
}
