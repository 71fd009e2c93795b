package kernel

import (
	"fmt"
	"slices"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// body is what a client sends, or gets.
type body struct {
	name   string
	length uint64
	read   uint64
	same   bool     // every chunk equals the first
	of     []string // instead of name, what each chunk is of
	form   *stored  // a chunk in its stored form
	wrote  uint64
	parts  []string
	gone   bool
}

// putOf begins a put of chunks that are of what the names say.
func (w *world) putOf(path string, of ...string) string {
	length := uint64(len(of)) * inos.ChunkBytesMax
	w.ids++
	w.streams[w.ids] = &body{name: path, length: length, of: of}
	e := w.request("t", event.FilesPut, &eventpb.FilesPutRequest{Path: path, Stream: w.ids, LengthBytes: int64(length)})
	w.give(e)
	return e.Id
}

// named returns the domains on the receipt of a put, after it was seen that everything is there.
func (w *world) named(t *testing.T, k *Kernel, id string) []string {
	t.Helper()
	var r eventpb.FilesPutReply
	w.open(w.mustComplete(t, id), &r)
	var below func(id string)
	below = func(id string) {
		row := w.rows[id]
		if row == nil {
			t.Fatalf("chunk %x has no row", id[:4])
		}
		for _, domain := range r.Receipt.Domains {
			if !slices.ContainsFunc(k.members.all(), func(node inos.NodeID) bool {
				return k.members.domain(node, r.File.ReplicasWanted) == domain && w.diskOf(string(node)).chunks[id].id != ""
			}) {
				t.Errorf("the receipt names %s, where chunk %x is not", domain, id[:4])
			}
		}
		for _, child := range row.children {
			below(child)
		}
	}
	below(string(r.File.ManifestId))
	return r.Receipt.Domains
}

// A put whose chunks are there already, of files in other domains, has a receipt that names a quorum of domains nevertheless; what is new goes to where
// the others were found, and only what was found elsewhere is copied.
func TestReceiptOfFoundChunks(t *testing.T) {
	var nodes []string
	for i := range 9 {
		nodes = append(nodes, fmt.Sprint("node-", i+2))
	}
	for name, c := range map[string]struct {
		of     []string
		brings bool
	}{
		"found, then new":        {of: []string{"a", "b", "x"}},
		"new, then found":        {of: []string{"x", "a", "b"}},
		"new between found ones": {of: []string{"a", "x", "b", "y", "a"}},
		"all of two files":       {of: []string{"a", "b", "c", "d"}, brings: true},
		"in turns":               {of: []string{"a", "c", "b", "d", "a", "c"}, brings: true},
		"of everything":          {of: []string{"x", "c", "y", "a", "a", "z", "e", "d"}, brings: true},
	} {
		t.Run(name, func(t *testing.T) {
			k, w := hosts(t, nodes)
			for _, of := range [][]string{{"a", "b"}, {"c", "d"}, {"e"}} {
				id := w.putOf("/of "+of[0], of...)
				w.run(1 << 16)
				w.named(t, k, id)
			}
			before := w.homes()
			id := w.putOf("/found", c.of...)
			w.run(1 << 16)
			if domains := w.named(t, k, id); len(domains) < 2 {
				t.Errorf("the receipt names %v", domains)
			}
			w.run(1 << 16)
			w.tick(w.now + lateEvery)
			w.run(1 << 16)
			brought := 0
			for chunk, was := range before {
				brought += len(w.rows[chunk].copies) - was
			}
			if c.brings != (brought > 0) {
				t.Errorf("%d copies of what was there are made", brought)
			}
			w.check(t)
		})
	}
}

// homes counts the copies of each chunk.
func (w *world) homes() map[string]int {
	out := map[string]int{}
	for _, id := range sortedKeys(w.rows) {
		out[id] = len(w.rows[id].copies)
	}
	return out
}

// A domain without one of the manifest nodes has not got the file, though it has every chunk.
func TestStatCountsTheManifest(t *testing.T) {
	k, w := hosts(t, []string{"node-2", "node-3", "node-4"})
	id := w.putOf("/a", "a", "b")
	w.run(1 << 16)
	w.tick(w.now + lateEvery)
	w.run(1 << 16)
	w.named(t, k, id)
	var r eventpb.FilesPutReply
	w.open(w.mustComplete(t, id), &r)
	root := w.rows[string(r.File.ManifestId)]
	gone := sortedKeys(root.copies)[0]
	delete(root.copies, gone)
	for limit, chunks := range map[uint32]int{1: 1, 10: 2} {
		e := w.request("t", event.FilesStat, &eventpb.FilesStatRequest{Path: "/a", ChunkLimit: limit})
		w.give(e)
		w.run(1 << 16)
		var s eventpb.FilesStatReply
		w.open(w.mustComplete(t, e.Id), &s)
		if len(s.Chunks) != chunks || len(s.Receipt.Domains) != 2 || slices.Contains(s.Receipt.Domains, k.members.domain(inos.NodeID(gone), 3)) || s.File.ReplicasReached != 2 {
			t.Errorf("%d chunks on %v, %d replicas, without %s", len(s.Chunks), s.Receipt.Domains, s.File.ReplicasReached, gone)
		}
	}
}
