package host

import (
	"testing"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// BenchmarkMeshCall reads a chunk from another node on loopback, ticket, disk and hash included, one call after the other and eight at once.
func BenchmarkMeshCall(b *testing.B) {
	for _, calls := range []int{1, 8} {
		b.Run(map[int]string{1: "one", 8: "eight"}[calls], func(b *testing.B) { benchmarkMeshCall(b, calls) })
	}
}

func benchmarkMeshCall(b *testing.B, calls int) {
	root := newRoot(b, 1)
	board := newScripted(b, root, root, func(*scripted, *eventpb.Envelope) {})
	provider := newScripted(b, nil, root, func(s *scripted, e *eventpb.Envelope) { go serveRead(s, e) })
	chunk := noise(7, inos.ChunkBytesMax)
	id := blake3.Sum256(chunk)
	if _, err := provider.content.Put(b.Context(), id, chunk); err != nil {
		b.Fatal(err)
	}
	inner := board.inner(event.ContentRead, &eventpb.ContentReadRequest{ChunkId: id[:]})
	b.SetBytes(int64(len(chunk)))
	b.ReportAllocs()
	started := 0
	begin := func() {
		started++
		board.l.dispatch(board.hostEnvelope(event.MeshCall, &eventpb.MeshCallRequest{
			Node: string(provider.id), Addrs: provider.MeshAddrs(), Output: uint64(started), OutputHash: id[:], Envelope: inner,
			Grant: &eventpb.Grant{ChunkId: id[:], Verb: "read", Holder: string(board.id), Node: string(provider.id), ExpiresUs: int64(board.clock.Now() + inos.Minute)},
		}))
	}
	for b.Loop() {
		for range calls {
			begin()
		}
		for done := 0; done < calls; {
			end := <-board.l.results
			switch {
			case event.StateOf(end.EventType) == event.StateFailed:
				b.Fatal(event.FailureOf(end))
			case event.Stage(end.EventType) == event.Stage(event.MeshCall):
				done++
			}
		}
		for i := range calls {
			board.buffers.release([]uint64{uint64(started - i)})
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(started), "ns/call")
	b.ReportMetric(float64(started)*float64(len(chunk))/b.Elapsed().Seconds()/1e6, "MB/s-all")
}

// serveRead answers a read like a provider's kernel, each call by itself.
func serveRead(s *scripted, e *eventpb.Envelope) {
	var q eventpb.MeshServeRequest
	_ = event.Open(e, &q)
	inner, err := event.Decode(q.Envelope)
	if err != nil {
		return
	}
	var p eventpb.ContentReadRequest
	_ = event.Open(inner, &p)
	p.Output = q.Input + s.outputs.Add(1)
	inner.Payload = event.Payload(&p)
	m, err := s.l.performContentRead(s.l.ctx, inner)
	if err != nil {
		s.requests.failAll(s.clock.Now(), err)
		return
	}
	end := event.Reply(inner, event.StateCompleted, s.clock.Now(), event.Payload(m))
	s.l.dispatch(event.Reply(e, event.StateCompleted, s.clock.Now(), event.Payload(&eventpb.MeshServeReply{Envelope: event.Encode(nil, end), Output: p.Output})))
}
