package kernel

import (
	"fmt"
	"math/rand"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// threeNodes returns a world of three nodes of which every one is alive.
func threeNodes(k stepper) *world {
	w := newWorld(k)
	w.join("node-2", "home", "nas2", "cold", 1<<40)
	w.join("node-3", "home", "nas3", "cold", 1<<40)
	w.start()
	w.run(1000)
	w.beat("node-2")
	w.beat("node-3")
	w.run(1000)
	return w
}

// counting counts effects of one type.
type counting struct {
	stepper
	typ string
	n   int
}

func (c *counting) step(now inos.Micros, e *eventpb.Envelope) ([]*eventpb.Envelope, inos.Micros) {
	out, wake := c.stepper.step(now, e)
	for _, e := range out {
		if e.EventType == c.typ {
			c.n++
		}
	}
	return out, wake
}

// Copies are looked up in batches ahead of the window, over the end of a leaf of the manifest too.
func TestGetLooksAhead(t *testing.T) {
	c := &counting{stepper: native{New()}, typ: event.ChunkCopies}
	w := threeNodes(c)
	const chunks = inos.ManifestEntriesMax + 6
	put := w.put("/big", chunks*inos.ChunkBytesMax, false)
	w.run(1 << 20)
	w.mustComplete(t, put)
	c.n = 0
	get, body := w.get("/big", nil)
	w.run(1 << 20)
	w.mustComplete(t, get)
	if len(body.parts) != chunks {
		t.Fatalf("%d parts were sent, not %d", len(body.parts), chunks)
	}
	for i, part := range body.parts {
		if want := fmt.Sprintf("/big/%d/1048576[0:1048576]", i); part != want {
			t.Fatalf("part %d is %s", i, part)
		}
	}
	// A lookup for each of the three manifest nodes, and at most one for every half of copiesAhead.
	if most := 3 + 2*(chunks/copiesAhead+2); c.n > most {
		t.Errorf("%d lookups of copies for %d chunks, at most %d are needed", c.n, chunks, most)
	}
	w.check(t)
}

// As long as one node of three answers with the right bytes, every read is right, however the others fail and whenever.
func TestGetFailsOver(t *testing.T) {
	for seed := int64(1); seed <= 60; seed++ {
		r := rand.New(rand.NewSource(seed))
		k := New()
		w := threeNodes(&pair{t: t, k: k, every: 5 + r.Intn(50)})
		n := uint64(1 + r.Intn(12))
		put := w.put("/a", n*inos.ChunkBytesMax, false)
		w.run(1 << 20)
		w.mustComplete(t, put)
		good := r.Intn(3) // this node's calls do not fail
		var gets []string
		var bodies []*body
		for range 3 {
			id, b := w.get("/a", nil)
			gets, bodies = append(gets, id), append(bodies, b)
		}
		for i := 0; len(w.pending) > 0 || !answered(w, gets); i++ {
			if i > 1<<16 {
				t.Fatalf("seed %d: the gets do not end", seed)
			}
			if len(w.pending) == 0 || r.Intn(12) == 0 {
				w.tick(w.now + inos.Micros(r.Intn(int(hedgeMax))))
				continue
			}
			w.now += inos.Micros(r.Intn(1000))
			at := r.Intn(len(w.pending))
			node, read := w.readOf(w.pending[at])
			if _, done := w.early[w.pending[at].Id]; read && !done && node != good && r.Intn(2) == 0 {
				codes := []inos.Code{inos.CodeChunkCorrupt, inos.CodeChunkNotFound, inos.CodePeerUnreachable, inos.CodeBusy, inos.CodeDeadlineExceeded}
				w.fail(at, codes[r.Intn(len(codes))])
				continue
			}
			w.finish(at)
		}
		for i, id := range gets {
			w.mustComplete(t, id)
			if len(bodies[i].parts) != int(n) {
				t.Errorf("seed %d: %d parts of %d", seed, len(bodies[i].parts), n)
			}
		}
		w.check(t)
		if k.buffers != 0 || k.fetches.buffers != 0 || len(k.fetches.table) != 0 {
			t.Errorf("seed %d: left: %d buffer bytes, %d of second calls, %d fetches", seed, k.buffers, k.fetches.buffers, len(k.fetches.table))
		}
	}
}

// readOf returns the node that an effect reads a chunk from.
func (w *world) readOf(e *eventpb.Envelope) (node int, ok bool) {
	if e.EventType == event.ContentRead {
		return 0, true
	}
	var q eventpb.MeshCallRequest
	if e.EventType != event.MeshCall || event.Open(e, &q) != nil {
		return 0, false
	}
	inner, err := event.Decode(q.Envelope)
	if err != nil || inner.EventType != event.ContentRead {
		return 0, false
	}
	if q.Node == "node-2" {
		return 1, true
	}
	return 2, true
}

// restart gives the world a new kernel, as after a crash of the switchboard.
func (w *world) restart(k stepper) {
	w.kernel, w.pending, w.now = k, nil, w.now+inos.Second
	clear(w.buffers)
	clear(w.workers)
	clear(w.calls)
	clear(w.early)
	w.start()
	w.run(1000)
}

// After a start a read waits for the nodes that have the file as long as they may still be on their way, and no longer; and not for
// a client that went away.
func TestGetWaitsForNodesThatCome(t *testing.T) {
	w := threeNodes(native{New()})
	put := w.put("/a", 1000, false)
	w.run(1000)
	w.mustComplete(t, put)
	clear(w.chunks) // this node's own copies
	for _, row := range sortedKeys(w.rows) {
		delete(w.rows[row].copies, w.boot.NodeId)
	}
	for _, node := range []string{"node-2", "node-3"} {
		w.others[node].down = true
	}
	k := New()
	w.restart(&pair{t: t, k: k, every: 3})
	get, body := w.get("/a", nil)
	var stream uint64
	left, _ := w.get("/a", func(q *eventpb.FilesGetRequest) { stream = q.Stream })
	for range 10 {
		w.run(1000)
		w.tick(w.now + 300*inos.Millisecond)
	}
	if _, ends := w.last(get); ends != 0 {
		t.Fatal("the read did not wait")
	}
	w.streams[stream].gone = true
	w.give(w.host(event.RequestGone, &eventpb.RequestGone{Id: left}))
	w.run(1000)
	if e, ends := w.last(left); ends != 1 || event.FailureOf(e).Code != inos.CodeCanceled || len(k.gets.table) != 1 {
		t.Fatalf("a client that went away has %d answers, and %d gets are left", ends, len(k.gets.table))
	}
	w.others["node-3"].down = false
	w.beat("node-3")
	w.tick(w.now + lookAgain)
	w.run(1000)
	w.mustComplete(t, get)
	if len(body.parts) != 1 {
		t.Fatalf("%d parts", len(body.parts))
	}

	w.others["node-3"].down = true
	k = New()
	w.restart(native{k})
	get, _ = w.get("/a", nil)
	w.run(1000)
	w.tick(w.now + startUpTime)
	for range 4 {
		w.run(1000)
		w.tick(w.now + inos.Second)
	}
	if e, ends := w.last(get); ends != 1 || event.FailureOf(e).Code != inos.CodePeerUnreachable {
		t.Fatalf("%d answers after the time of the start was over", ends)
	}
	if k.fetches.buffers != 0 || len(k.fetches.table) != 0 || k.buffers != 0 {
		t.Errorf("left: %d fetches, %d buffer bytes", len(k.fetches.table), k.buffers)
	}
	w.check(t)
}

// What a node refuses the switchboard says nothing of what a client may.
func TestAReadThatNodesRefuse(t *testing.T) {
	k := New()
	threeNodes(native{k})
	f := &fetch{tries: []*fetchTry{{node: "node-2", code: inos.CodePermissionDenied}, {node: "node-3", code: inos.CodeChunkNotFound}}}
	if err := k.fetches.failed(f, nil); err.Code != inos.CodePeerUnreachable {
		t.Errorf("%v", err)
	}
}
