package kernel

import (
	"slices"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// frozen returns until when an effect waits for an answer of a node that gives none; 0: it does not.
func (w *world) frozen(e *eventpb.Envelope, node string) inos.Micros {
	var q eventpb.MeshCallRequest
	if e.EventType != event.MeshCall || event.Open(e, &q) != nil || q.Node != node {
		return 0
	}
	return inos.Micros(e.Timestamp + q.TimeoutUs)
}

// A node that is stopped holds no put for as long as its calls take to fail: not one that wants it for its quorum, nor a long one that goes on
// without its copies. Others are asked in its place, and it is not counted as dead.
func TestPutPassesOverFrozenNode(t *testing.T) {
	for name, c := range map[string]struct {
		chunks uint64
		sync   uint32
	}{
		"of three domains":      {chunks: 2, sync: 3},
		"more than may be late": {chunks: 4 * latePerPutMax},
	} {
		t.Run(name, func(t *testing.T) {
			nodes := []string{"node-2", "node-3", "node-4", "node-5"}
			k, w := hosts(t, nodes)
			first := w.put("/first", inos.ChunkBytesMax, false)
			w.run(1 << 16)
			w.mustComplete(t, first)
			for _, node := range nodes {
				began := w.now
				path, size := "/"+name+"/"+node, c.chunks*inos.ChunkBytesMax
				w.ids++
				w.streams[w.ids] = &body{name: path, length: size}
				e := w.request("t", event.FilesPut, &eventpb.FilesPutRequest{Path: path, Stream: w.ids, LengthBytes: int64(size), Sync: c.sync})
				w.give(e)
				for step := 0; ; step++ {
					if reply, _ := w.last(e.Id); reply != nil {
						break
					}
					if step > 1<<16 {
						var p *put
						for _, active := range k.puts.active {
							p = active
						}
						t.Fatalf("the put does not end: %d of %d chunks are late, %d are on their way, %d of %d buffer bytes", k.puts.late(p), c.chunks, len(p.chunks), k.puts.buffers, k.node.bufferBytesMax)
					}
					if i := slices.IndexFunc(w.pending, func(e *eventpb.Envelope) bool { return w.frozen(e, node) == 0 }); i >= 0 {
						w.now += 100
						w.finish(i)
						continue
					}
					if i := slices.IndexFunc(w.pending, func(e *eventpb.Envelope) bool { return w.frozen(e, node) <= w.now }); i >= 0 {
						w.fail(i, inos.CodePeerUnreachable)
						continue
					}
					next := max(w.wake, w.now+1)
					for _, e := range w.pending {
						next = min(next, w.frozen(e, node))
					}
					w.tick(next)
				}
				w.mustComplete(t, e.Id)
				if took := w.now - began; took >= callDeadline/2 {
					t.Errorf("%s holds the put for %d us", node, took)
				}
				if k.members.dead(inos.NodeID(node)) || k.members.table[inos.NodeID(node)].failures > 0 {
					t.Errorf("%s counts as one that has failed", node)
				}
				w.run(1 << 16)
				for _, other := range nodes {
					w.beat(other)
				}
				w.tick(w.now + 2*avoidFor)
				w.run(1 << 16)
			}
			w.check(t)
			if len(k.puts.fanouts) != 0 || k.puts.hedgeAt != 0 && k.puts.hedgeAt < w.now {
				t.Errorf("%d fanouts are left, looked at again at %d", len(k.puts.fanouts), k.puts.hedgeAt)
			}
		})
	}
}
