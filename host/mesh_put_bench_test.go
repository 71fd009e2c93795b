package host

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/api"
)

// BenchmarkMeshPutGet puts and gets files at the default of three replicas on a mesh of real processes in memory, by HTTP. A limit is the
// lesser of what the workers do alone with the same bytes, and what calls of the mesh carry to and from disks; three writes make one put.
func BenchmarkMeshPutGet(b *testing.B) {
	workers := runtime.NumCPU()
	writes, reads := meshRates(b)
	for _, kind := range benchKinds {
		body := kind.make(2, benchFileBytes)
		pool, chunks := benchPool(b, workers), split(body)
		start := time.Now()
		stored, entries := encodeAll(b, pool, workers, chunks, 2)
		encodes := benchFileBytes / time.Since(start).Seconds()
		start = time.Now()
		inflateAll(b, pool, workers, stored, entries)
		inflates := benchFileBytes / time.Since(start).Seconds()
		if err := pool.Close(); err != nil {
			b.Fatal(err)
		}
		share := 0.0 // of the plain bytes that are stored
		for _, s := range stored {
			share += float64(len(s)) / benchFileBytes
		}
		lone := openRig(b, 0, func(c *Config) { c.Workers, c.Quality = workers, 2 })
		lone.puts(kind.name+"/put/lone", body, map[string]float64{"of-limit": encodes})
		alone := lone.fastest
		lone.close()
		mesh := openRig(b, rigProviders, func(c *Config) { c.Workers, c.Quality = workers, 2 })
		mesh.puts(kind.name+"/put/mesh", body, map[string]float64{"of-limit": min(encodes, writes/inos.ReplicasDefault/share), "of-lone": alone})
		mesh.gets(kind.name+"/get/mesh", min(inflates, reads/share))
		mesh.close()
	}
}

// puts measures puts of a body that is another one each time. Each rate is a base that the result is compared with.
func (r *rig) puts(name string, body []byte, bases map[string]float64) {
	count := 0
	r.b.Run(name, func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		before, done := r.cpu(), 0
		r.fastest = 0
		for b.Loop() {
			b.StopTimer()
			count++ // the first bytes of the chunks change, so that nothing is held already
			for i := 0; i < len(body); i += inos.ChunkBytesMax {
				copy(body[i:], fmt.Sprintf("%08d", count))
			}
			start := time.Now()
			b.StartTimer()
			if _, err := r.client.Put(b.Context(), "/file", bytes.NewReader(body), int64(len(body)), api.PutOptions{}); err != nil {
				b.Fatal(err)
			}
			done++
			r.fastest = max(r.fastest, float64(len(body))/time.Since(start).Seconds())
		}
		rate := float64(done*len(body)) / b.Elapsed().Seconds()
		for unit, base := range bases {
			if base > 0 { // measured: not left out by the selection
				b.ReportMetric(rate/base, unit)
			}
		}
		r.report(b, before, float64(done*len(body)))
	})
}

// gets measures gets of what was put last.
func (r *rig) gets(name string, limit float64) {
	r.b.Run(name, func(b *testing.B) {
		before, done := r.cpu(), int64(0)
		for b.Loop() {
			got, err := r.client.Get(b.Context(), api.Ref{Path: "/file"}, io.Discard, api.GetOptions{})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(got.Bytes)
			done += got.Bytes
		}
		b.ReportMetric(float64(done)/b.Elapsed().Seconds()/limit, "of-limit")
		r.report(b, before, float64(done))
	})
}

// meshRates returns how many bytes a second calls write to three nodes in memory and read from them, without any kernel: tickets, TLS,
// hashes and disks. All of it runs in this process.
func meshRates(b *testing.B) (writes, reads float64) {
	b.Helper()
	if dir := "/dev/shm"; len(benchPlaces(b)) > 1 {
		b.Setenv("TMPDIR", dir) // where the folders of the nodes go
	}
	const lanes, chunks = 8, 64
	root := newRoot(b, 1)
	board := newScripted(b, root, root, func(*scripted, *eventpb.Envelope) {})
	var nodes []*scripted
	for range inos.ReplicasDefault {
		nodes = append(nodes, newScripted(b, nil, root, func(s *scripted, e *eventpb.Envelope) { go serveContent(s, e) }))
	}
	bodies, ids := split(noise(3, chunks*inos.ChunkBytesMax)), make([][]byte, chunks)
	for i, body := range bodies {
		id := blake3.Sum256(body)
		ids[i] = id[:]
	}
	all := func(verb string, call func(i int, q *eventpb.MeshCallRequest)) float64 {
		start := time.Now()
		var wg sync.WaitGroup
		for lane := range lanes {
			wg.Go(func() {
				for i := lane; i < chunks*len(nodes); i += lanes {
					node := nodes[i%len(nodes)]
					q := &eventpb.MeshCallRequest{
						Node: string(node.id), Addrs: node.MeshAddrs(),
						Grant: &eventpb.Grant{ChunkId: ids[i/len(nodes)], Verb: verb, Holder: string(board.id), Node: string(node.id), ExpiresUs: int64(board.clock.Now() + inos.Minute)},
					}
					call(i, q)
					if _, err := board.l.performMeshCall(b.Context(), board.hostEnvelope(event.MeshCall, q)); err != nil {
						b.Error(err)
						return
					}
					board.buffers.take(q.Input) // its bytes are still this one's
					board.buffers.release([]uint64{q.Output})
				}
			})
		}
		wg.Wait()
		return float64(chunks*len(nodes)*inos.ChunkBytesMax) / time.Since(start).Seconds()
	}
	writes = all("write", func(i int, q *eventpb.MeshCallRequest) {
		q.Input = uint64(i + 1)
		board.buffers.put(q.Input, bodies[i/len(nodes)])
		q.Envelope = board.inner(event.ContentWrite, &eventpb.ContentWriteRequest{ChunkId: ids[i/len(nodes)]})
	})
	reads = all("read", func(i int, q *eventpb.MeshCallRequest) {
		q.Output, q.OutputHash = uint64(i+1), ids[i/len(nodes)]
		q.Envelope = board.inner(event.ContentRead, &eventpb.ContentReadRequest{ChunkId: ids[i/len(nodes)]})
	})
	return writes, reads
}

// serveContent performs a write or a read like a provider's kernel would have it performed.
func serveContent(s *scripted, e *eventpb.Envelope) {
	var q eventpb.MeshServeRequest
	_ = event.Open(e, &q)
	inner, err := event.Decode(q.Envelope)
	var m event.Message
	var output uint64
	if err == nil && inner.EventType == event.ContentWrite {
		var p eventpb.ContentWriteRequest
		_ = event.Open(inner, &p)
		p.Input = q.Input
		inner.Payload = event.Payload(&p)
		m, err = s.l.performContentWrite(s.l.ctx, inner)
	} else if err == nil {
		var p eventpb.ContentReadRequest
		_ = event.Open(inner, &p)
		output = s.outputs.Add(1)
		p.Output = output
		inner.Payload = event.Payload(&p)
		m, err = s.l.performContentRead(s.l.ctx, inner)
	}
	s.buffers.release([]uint64{q.Input})
	if err != nil {
		s.requests.failAll(s.clock.Now(), err)
		return
	}
	end := event.Reply(inner, event.StateCompleted, s.clock.Now(), event.Payload(m))
	s.l.dispatch(event.Reply(e, event.StateCompleted, s.clock.Now(), event.Payload(&eventpb.MeshServeReply{Envelope: event.Encode(nil, end), Output: output})))
}
