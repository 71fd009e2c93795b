package host

import (
	"fmt"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/build"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/engine"
)

// The kernel of a mesh of as many members as there may be fits into the memory that it is granted, and so do its snapshot and the kernel that is
// restored from that.
func TestManyMembersFitIntoTheKernel(t *testing.T) {
	wasm, err := build.Kernel()
	if err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir() // both are compiled once
	k, err := engine.NewKernel(t.Context(), wasm, cache)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	now := 1_800_000_000 * inos.Second
	members := 0
	var pending []*eventpb.Envelope
	step := func(e *eventpb.Envelope) {
		t.Helper()
		now++
		out, _, err := k.Step(now, event.Encode(nil, e))
		if err != nil {
			t.Fatalf("with %d members: %v\n%s", members, err, k.Log())
		}
		for _, raw := range out {
			effect, err := event.Decode(raw)
			if err != nil {
				t.Fatal(err)
			}
			if effect.EventType == event.ListNodes {
				pending = append(pending, effect)
			}
		}
	}
	boot := &eventpb.NodeBoot{
		Switchboard: true, NodeId: "switchboard", Zone: "zone", Host: "host", Seed: []byte("thirty-two bytes, no two of them"), ModuleId: make([]byte, 32),
		BufferBytesMax: 64 << 20, Workers: 1, Version: "test",
	}
	step(&eventpb.Envelope{Id: event.NewID(now, [10]byte{1}), EventType: event.NodeBoot, Metadata: &eventpb.Metadata{SecurityToken: "host"}, Payload: event.Payload(boot)})
	for pages := 0; len(pending) > 0; pages++ {
		e := pending[0]
		pending = pending[1:]
		r := &eventpb.ListNodesReply{}
		for len(r.Members) < 128 && members < inos.MembersMax {
			node := fmt.Sprintf("12D3KooWEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE%09d", members)
			r.Members = append(r.Members, &eventpb.Member{
				Node: node, Operator: "ann", Zone: "a zone", Host: fmt.Sprint("host-", members), Tier: "cold", OfferedBytes: 1 << 40, State: uint32(inos.MemberActive), Epoch: 1,
				JoinedUs: int64(now), Addrs: []string{"/ip4/192.0.2.1/tcp/4001/p2p/" + node, "/ip4/192.0.2.1/udp/4001/quic-v1/p2p/" + node}, Copies: 1 << 20, PlacedBytes: 1 << 40,
			})
			members++
		}
		r.More = members < inos.MembersMax
		reply := event.Reply(e, event.StateCompleted, now, event.Payload(r))
		if reply.Metadata == nil {
			reply.Metadata = &eventpb.Metadata{}
		}
		reply.Metadata.SecurityToken = "host"
		step(reply)
		if pages == 600 {
			t.Fatal("the walk has no end")
		}
	}
	if members != inos.MembersMax {
		t.Fatalf("%d members were asked for, of %d", members, inos.MembersMax)
	}
	snapshot, err := k.Snapshot()
	if err != nil {
		t.Fatalf("a snapshot with %d members: %v\n%s", members, err, k.Log())
	}
	t.Logf("a snapshot of %d members has %d bytes", members, len(snapshot))
	other, err := engine.NewKernel(t.Context(), wasm, cache)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Restore(snapshot); err != nil {
		t.Fatalf("a kernel restored with %d members: %v\n%s", members, err, other.Log())
	}
}
