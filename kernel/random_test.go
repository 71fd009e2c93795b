package kernel

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

var (
	randomSeed  = flag.Int64("random.seed", 0, "run TestRandomWorlds with this seed only")
	randomCount = flag.Int("random.count", 150, "worlds of TestRandomWorlds")
)

// twin steps a kernel and, from a random moment on, a second one restored from its snapshot, and compares.
type pair struct {
	t     *testing.T
	k     *Kernel
	other *Kernel
	every int
	steps int
}

func (p *pair) step(now inos.Micros, e *eventpb.Envelope) ([]*eventpb.Envelope, inos.Micros) {
	raw := event.Encode(nil, e)
	if p.every > 0 && p.steps%p.every == 0 {
		snapshot := p.k.Snapshot()
		p.other = New()
		if err := p.other.Restore(snapshot); err != nil {
			p.t.Fatalf("restore: %v", err)
		}
		if again := p.other.Snapshot(); !bytes.Equal(snapshot, again) {
			p.t.Fatalf("a restored kernel has another snapshot")
		}
	}
	p.steps++
	got := p.k.Step(now, e)
	var out []*eventpb.Envelope
	for _, e := range got.Out {
		raw, err := event.Decode(event.Encode(nil, e))
		if err != nil {
			p.t.Fatalf("an effect breaks the standard: %v", err)
		}
		out = append(out, raw)
	}
	if p.other != nil {
		in, err := event.Decode(raw)
		if err != nil {
			p.t.Fatal(err)
		}
		same := p.other.Step(now, in)
		if same.Wake != got.Wake || len(same.Out) != len(got.Out) {
			p.t.Fatalf("a restored kernel differs: %d effects, wake %d; not %d, wake %d", len(same.Out), same.Wake, len(got.Out), got.Wake)
		}
		for i := range same.Out {
			if a, b := event.Encode(nil, same.Out[i]), event.Encode(nil, got.Out[i]); !bytes.Equal(a, b) {
				p.t.Fatalf("a restored kernel differs in effect %d, %s", i, got.Out[i].EventType)
			}
		}
	}
	return out, got.Wake
}

// TestRandomWorlds runs many small worlds: requests of all kinds, effects that end in any order and fail at random,
// workers that die, clients that go away. Every request must be answered once, every acknowledged file must be whole,
// every buffer given back, every chunk on disk known, and a kernel restored at any moment must decide the same.
func TestRandomWorlds(t *testing.T) {
	first, count := int64(1), int64(*randomCount)
	if *randomSeed != 0 {
		first, count = *randomSeed, 1
	}
	for seed := first; seed < first+count; seed++ {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { randomWorld(t, seed) }) {
			return
		}
	}
}

func randomWorld(t *testing.T, seed int64) {
	r := rand.New(rand.NewSource(seed))
	k := New()
	w := newWorld(&pair{t: t, k: k, every: 20 + r.Intn(200)})
	w.boot.Workers = uint32(1 + r.Intn(4))
	w.boot.BufferBytesMax = uint64(8+r.Intn(40)) * chunkReserveBytes
	w.boot.Unclean = r.Intn(2) == 0
	if w.boot.Unclean {
		w.chunks[string(hashOf("orphan"))] = stored{id: string(hashOf("orphan")), size: 10}
	}
	failing := r.Intn(60)
	w.slowAccess = r.Intn(2) == 0
	collecting := r.Intn(2) == 0 // small files, the same few chunks, and rounds of collection all the time
	rotting := r.Intn(3) == 0
	var others []string
	if r.Intn(2) == 0 {
		for i := range 1 + r.Intn(5) {
			others = append(others, fmt.Sprintf("n%d", i+2))
			w.join(others[i], "home", fmt.Sprintf("nas%d", 2+r.Intn(5)), []string{"hot", "cold"}[r.Intn(2)], 1<<40)
		}
		rotting = false // a world knows the losses of its own node only
	}
	beat := func() {
		for _, node := range others {
			if !w.others[node].down {
				w.beat(node)
			}
		}
	}
	w.start()
	paths := []string{"/a", "/b", "/c/d", "/c/e"}
	names := []string{"one", "two", "three", "raw"}
	var requests []string
	streams := map[string]uint64{}
	uploads := newRandomUploads(w, seed)
	for range 40 + r.Intn(400) {
		w.now += inos.Micros(r.Intn(5000))
		if id := uploads.ask(paths, names); id != "" {
			requests = append(requests, id)
		}
		path := paths[r.Intn(len(paths))]
		switch n := r.Intn(40); {
		case n < 4:
			size := uint64(r.Intn(6 * inos.ChunkBytesMax))
			if r.Intn(4) == 0 {
				size = uint64(r.Intn(40)) * inos.ChunkBytesMax
			}
			if collecting {
				size = 1 + uint64(r.Intn(2))
			}
			w.ids++
			w.streams[w.ids] = &body{name: names[r.Intn(len(names))], length: size, same: r.Intn(4) == 0}
			q := &eventpb.FilesPutRequest{Path: path, Stream: w.ids, LengthBytes: int64(size)}
			if r.Intn(6) == 0 {
				q.LengthBytes += int64(r.Intn(3)) - 1
			}
			if r.Intn(8) == 0 {
				q.LengthBytes = -1
			}
			e := w.request("t", event.FilesPut, q)
			streams[e.Id] = q.Stream
			requests = append(requests, e.Id)
			w.give(e)
		case n < 7:
			w.ids++
			w.streams[w.ids] = &body{}
			q := &eventpb.FilesGetRequest{Path: path, Stream: w.ids, LengthBytes: -1}
			switch r.Intn(4) {
			case 0:
				q.Encoded = true
			case 1:
				q.OffsetBytes, q.LengthBytes = uint64(r.Intn(3*inos.ChunkBytesMax)), int64(r.Intn(3*inos.ChunkBytesMax))
			case 2:
				q.Discard = true
			}
			e := w.request("t", event.FilesGet, q)
			streams[e.Id] = q.Stream
			requests = append(requests, e.Id)
			w.give(e)
		case n < 11:
			types := []struct {
				typ string
				m   event.Message
			}{
				{event.FilesDelete, &eventpb.FilesDeleteRequest{Path: path}},
				{event.FilesDelete, &eventpb.FilesDeleteRequest{Path: path}},
				{event.FilesList, &eventpb.FilesListRequest{Prefix: "/"}},
				{event.FilesStat, &eventpb.FilesStatRequest{Path: path, ChunkLimit: 10}},
				{event.FilesVerify, &eventpb.FilesVerifyRequest{Path: path}},
				{event.FilesVerify, &eventpb.FilesVerifyRequest{}},
				{event.NodeStatus, &eventpb.NodeStatusRequest{}},
			}
			x := types[r.Intn(len(types))]
			e := w.request("t", x.typ, x.m)
			requests = append(requests, e.Id)
			w.give(e)
		case n == 11 && len(requests) > 0:
			id := requests[r.Intn(len(requests))]
			if s := streams[id]; s != 0 {
				w.streams[s].gone = true
			}
			w.give(w.host(event.RequestGone, &eventpb.RequestGone{Id: id}))
		case n == 12 && r.Intn(3) == 0:
			w.killWorker(uint32(r.Intn(int(w.boot.Workers))), "killed by the test")
		case n == 13 || collecting && n < 18:
			w.tick(w.wake)
		case n == 19 || n == 20:
			beat()
		case n == 21 && len(others) > 0:
			d := w.others[others[r.Intn(len(others))]]
			switch r.Intn(3) {
			case 0:
				d.down = !d.down
			case 1:
				d.full = !d.full
			}
		case n == 18 && rotting && len(w.chunks) > 0:
			ids := sortedKeys(w.chunks)
			w.rot(ids[r.Intn(len(ids))])
		case n == 14:
			w.tick(w.now + inos.Micros(r.Intn(int(3*inos.Second))))
		default:
			w.randomEnd(r, failing)
		}
	}
	for _, node := range others {
		w.others[node].down, w.others[node].full = false, false
	}
	beat()
	// Let everything end: performed in any order, without failures.
	ended := false
	for i := 0; ; i++ {
		if i > 200000 {
			for _, id := range requests {
				if _, ends := w.last(id); ends == 0 {
					t.Logf("request %s is not answered", id)
				}
			}
			t.Fatalf("work does not end: %d pending, %d puts, %d fanouts, %d gets, %d queries, %d verifies, %d losses", len(w.pending), len(k.puts.table), len(k.puts.fanouts),
				len(k.gets.table), len(k.queries.table), len(k.verifies.table), len(k.losses.table))
		}
		if len(w.pending) > 0 {
			w.now += 50
			w.randomEnd(r, 0)
			continue
		}
		if answered(w, requests) && quiet(k) {
			if ended {
				break
			}
			ended = true
			requests = append(requests, uploads.end()...)
			continue
		}
		if w.wake == 0 {
			t.Fatalf("nothing is pending, no wake-up is wanted, and work is left")
		}
		beat()
		w.tick(w.wake)
	}
	// Give the collector its rounds.
	for range 60 {
		if len(w.pending) == 0 && w.wake != 0 {
			w.tick(w.wake)
			beat()
		}
		for len(w.pending) > 0 {
			w.now += 50
			w.randomEnd(r, 0)
		}
	}
	w.check(t)
	for _, id := range requests {
		if _, ends := w.last(id); ends != 1 {
			t.Errorf("request %s was answered %d times", id, ends)
		}
	}
	if len(w.pins) != 0 {
		t.Errorf("%d uploads keep their pins", len(w.pins))
	}
	for _, id := range sortedKeys(w.chunks) {
		if w.rows[id] == nil && len(k.collector.sweep.wanted.list) == 0 && k.collector.sweep.node == "" {
			t.Errorf("chunk %x is on disk and has no row", id[:4])
		}
	}
	if k.buffers != 0 || k.puts.buffers != 0 || k.gets.buffers != 0 || len(k.collector.lives) > len(k.repairs.table) || len(k.losses.table) != 0 || len(k.supervisor.jobs) != 0 || k.supervisor.underWay != 0 {
		t.Errorf("left: %d, %d, %d buffer bytes, %d live chunks, %d jobs, %d calls", k.buffers, k.puts.buffers, k.gets.buffers, len(k.collector.lives),
			len(k.supervisor.jobs), k.supervisor.underWay)
	}
	if w.bufferMax > int(w.boot.BufferBytesMax/chunkReserveBytes)*2+2*(putsMax+getsMax) {
		t.Errorf("%d buffers at once", w.bufferMax)
	}
	if t.Failed() {
		t.Logf("seed %d: go test ./kernel -run TestRandomWorlds -random.seed %d", seed, seed)
	}
}

func quiet(k *Kernel) bool {
	return len(k.losses.table) == 0 && len(k.puts.fanouts) == 0 && k.puts.lates.idle() && len(k.puts.table) == 0 && len(k.gets.table) == 0 && len(k.queries.table) == 0 && len(k.verifies.table) == 0
}

func answered(w *world, requests []string) bool {
	for _, id := range requests {
		if _, ends := w.last(id); ends == 0 {
			return false
		}
	}
	return true
}

// randomEnd ends one pending effect, at random with an error that it may have. An effect that fails may have been done
// all the same: its reply was lost.
func (w *world) randomEnd(r *rand.Rand, failing int) {
	if len(w.pending) == 0 {
		return
	}
	i := r.Intn(len(w.pending))
	if r.Intn(3) == 0 {
		w.act(i) // done now, told later
		return
	}
	if r.Intn(1000) >= failing {
		w.finish(i)
		return
	}
	e := w.pending[i]
	if _, done := w.early[e.Id]; done {
		w.finish(i)
		return
	}
	codes := []inos.Code{inos.CodeIO}
	switch e.EventType {
	case event.ContentWrite:
		codes = []inos.Code{inos.CodeDiskFull, inos.CodeIO}
	case event.MeshCall:
		codes = []inos.Code{inos.CodePeerUnreachable}
		if r.Intn(2) == 0 {
			w.lose(e)
		}
	case event.ContentRead:
		codes = []inos.Code{inos.CodeChunkCorrupt, inos.CodeChunkNotFound}
	case event.StreamRead, event.StreamWrite:
		codes = []inos.Code{inos.CodeCanceled}
	case event.WorkerCall, event.WorkerStart, event.WorkerStop:
		w.finish(i)
		return
	case event.CommitFile, event.DeleteFile, event.StageChunks, event.AbortUpload, event.DropCopies, event.AddCopies, event.WantRepairs, event.ClaimRepairs,
		event.SettleRepair, event.RetireCopy, event.ConfirmCopies, event.SettleRecord, event.UnsettleRecords, event.DistrustNode, event.CondemnChunks, event.ForgetChunks:
		if r.Intn(2) == 0 {
			w.perform(e)
		}
	}
	w.fail(i, codes[r.Intn(len(codes))])
}
