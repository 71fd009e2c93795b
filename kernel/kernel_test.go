package kernel

import (
	"fmt"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

func startedWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(native{New()})
	w.start()
	if !w.run(100) {
		t.Fatal("the boot does not end")
	}
	return w
}

func (w *world) put(path string, size uint64, same bool) string {
	w.ids++
	w.streams[w.ids] = &body{name: path, length: size, same: same}
	e := w.request("t", event.FilesPut, &eventpb.FilesPutRequest{Path: path, Stream: w.ids, LengthBytes: int64(size)})
	w.give(e)
	return e.Id
}

func (w *world) get(path string, change func(*eventpb.FilesGetRequest)) (id string, b *body) {
	w.ids++
	b = &body{}
	w.streams[w.ids] = b
	q := &eventpb.FilesGetRequest{Path: path, Stream: w.ids, LengthBytes: -1}
	if change != nil {
		change(q)
	}
	e := w.request("t", event.FilesGet, q)
	w.give(e)
	return e.Id, b
}

func (w *world) check(t *testing.T) {
	t.Helper()
	w.sound()
	for _, p := range w.problems {
		t.Error(p)
	}
	if len(w.buffers) != 0 && len(w.pending) == 0 {
		t.Errorf("%d buffers are left", len(w.buffers))
	}
}

func (w *world) mustComplete(t *testing.T, id string) *eventpb.Envelope {
	t.Helper()
	e, ends := w.last(id)
	if ends != 1 {
		t.Fatalf("%d answers to %s", ends, id)
	}
	if event.StateOf(e.EventType) != event.StateCompleted {
		t.Fatalf("%s: %v", e.EventType, event.FailureOf(e))
	}
	return e
}

// Sizes on each boundary: nothing, one byte, a chunk and its neighbours, a full manifest node and one more.
func TestPutAndGet(t *testing.T) {
	const chunk = inos.ChunkBytesMax
	for _, size := range []uint64{0, 1, chunk - 1, chunk, chunk + 1, 3*chunk + 5, 1024 * chunk, 1024*chunk + 1, 2050 * chunk} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			w := startedWorld(t)
			id := w.put("/a", size, false)
			if !w.run(100000) {
				t.Fatal("the put does not end")
			}
			var r eventpb.FilesPutReply
			w.open(w.mustComplete(t, id), &r)
			if r.File.PlainBytes != size || r.File.Chunks != (size+chunk-1)/chunk {
				t.Errorf("put %d bytes: %v", size, r.File)
			}
			id, b := w.get("/a", nil)
			if !w.run(100000) {
				t.Fatal("the get does not end")
			}
			w.mustComplete(t, id)
			if b.wrote != size {
				t.Errorf("%d bytes were sent", b.wrote)
			}
			for i, p := range b.parts {
				n := min(chunk, size-uint64(i)*chunk)
				if want := fmt.Sprintf("/a/%d/%d[0:%d]", i, n, n); p != want {
					t.Fatalf("part %d is %s, not %s", i, p, want)
				}
			}
			w.check(t)
		})
	}
}
