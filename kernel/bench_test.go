package kernel

import (
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

func benchWorld() (*world, *Kernel) {
	k := New()
	w := newWorld(native{k})
	w.start()
	w.run(100)
	return w, k
}

// BenchmarkStepNoop is a tick when nothing is due.
func BenchmarkStepNoop(b *testing.B) {
	w, k := benchWorld()
	e := w.host(event.NodeTick, nil)
	for b.Loop() {
		k.Step(w.now, e)
	}
}

// BenchmarkStepRoute is a list request, decoded and routed to its effect, and the effect's end routed to its answer: two
// steps with their encodings.
func BenchmarkStepRoute(b *testing.B) {
	w, k := benchWorld()
	for b.Loop() {
		w.now++
		in, err := event.Decode(event.Encode(nil, w.request("t", event.FilesList, &eventpb.FilesListRequest{Prefix: "/"})))
		if err != nil {
			b.Fatal(err)
		}
		out := k.Step(w.now, in).Out
		for _, e := range out {
			if e.EventType == event.ListFiles {
				end := event.Reply(e, event.StateCompleted, w.now, nil)
				end.Metadata = &eventpb.Metadata{SecurityToken: hostToken}
				out = k.Step(w.now, end).Out
				break
			}
		}
		for _, e := range out {
			if e.EventType == event.EpisodicRecord {
				end := event.Reply(e, event.StateCompleted, w.now, nil)
				end.Metadata = &eventpb.Metadata{SecurityToken: hostToken}
				k.Step(w.now, end)
			}
		}
	}
}

// BenchmarkPlace places three copies over 200 nodes.
func BenchmarkPlace(b *testing.B) {
	p := NewPlacement(many(200), inos.ReplicasDefault)
	var at []inos.NodeID
	id := chunkNumber(1)
	for b.Loop() {
		id[0]++
		at = p.Place(at[:0], id, inos.ReplicasDefault)
	}
}

// BenchmarkPutStep is what the kernel does for one chunk of a long put, per chunk, without the host's work.
func BenchmarkPutStep(b *testing.B) {
	for b.Loop() {
		w, _ := benchWorld()
		w.put("/a", 1024*inos.ChunkBytesMax, false)
		w.run(100000)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1024, "us/chunk")
}
