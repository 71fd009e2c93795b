package kernel

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// twins steps kernel.wasm in wazero and a native kernel with the same recorded envelopes, from bytes to bytes, and reports
// what one of units costs in WASM and how many times that is of native code in the same run.
func twins(b *testing.B, unit string, units int, record func(w *world)) {
	b.Helper()
	k := New()
	r := &recording{stepper: native{k}}
	w := newWorld(r)
	w.start()
	w.run(100)
	snapshot := k.Snapshot()
	r.steps = nil
	record(w)
	if len(w.problems) > 0 {
		b.Fatal(w.problems)
	}
	g := newGuest(b)
	if code := g.restore(snapshot, len(snapshot)); code != 0 {
		b.Fatalf("restore: code %d", code)
	}
	for i, s := range r.steps {
		out, _ := g.step(s.now, s.in)
		if len(out) != len(s.out) || len(out) > 0 && !bytes.Equal(out[0], s.out[0]) {
			b.Fatalf("step %d differs in WASM", i)
		}
	}
	var took time.Duration
	var buf []byte
	for b.Loop() {
		b.StopTimer()
		g.restore(snapshot, len(snapshot))
		twin := New()
		if err := twin.Restore(snapshot); err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		for _, s := range r.steps {
			e, err := event.Decode(s.in)
			if err != nil {
				b.Fatal(err)
			}
			buf = buf[:0]
			for _, e := range twin.Step(s.now, e).Out {
				buf = event.Encode(buf, e)
			}
		}
		took += time.Since(began)
		b.StartTimer()
		for _, s := range r.steps {
			g.step(s.now, s.in)
		}
	}
	b.ReportMetric(0, "ns/op") // of a whole recording: says nothing
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(units), "ns/"+unit)
	b.ReportMetric(float64(b.Elapsed())/float64(took), "x-native")
}

// BenchmarkWASMNoop is a tick when nothing is due.
func BenchmarkWASMNoop(b *testing.B) {
	const steps = 1000
	twins(b, "step", steps, func(w *world) {
		for range steps {
			w.now++
			w.give(w.host(event.NodeTick, nil))
		}
	})
}

// BenchmarkWASMRoute is a list request, routed to its effect, and the effect's end, routed to its answer.
func BenchmarkWASMRoute(b *testing.B) {
	const requests = 200
	twins(b, "request", requests, func(w *world) {
		for range requests {
			w.now++
			w.give(w.request("t", event.FilesList, &eventpb.FilesListRequest{Prefix: "/"}))
			w.run(10)
		}
	})
}

// BenchmarkWASMPut is all that the kernel does for a chunk of a put.
func BenchmarkWASMPut(b *testing.B) {
	const chunks = 64
	twins(b, "chunk", chunks, func(w *world) {
		w.put("/a", chunks*inos.ChunkBytesMax, false)
		w.run(10000)
	})
}

// BenchmarkWASMPlace places three copies over 200 nodes, as BenchmarkPlace does.
func BenchmarkWASMPlace(b *testing.B) {
	const nodes, chunks = 200, 256
	out := filepath.Join(b.TempDir(), "placebench.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-o", out, "./testdata/placebench")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if message, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, message)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx)
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	m, err := r.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithStartFunctions("_initialize"))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := m.ExportedFunction("prepare").Call(ctx, nodes); err != nil {
		b.Fatal(err)
	}
	place := m.ExportedFunction("place")
	p := NewPlacement(many(nodes), inos.ReplicasDefault)
	var at []inos.NodeID
	natively := func() (sum uint64) {
		var id inos.ChunkID
		for i := range chunks {
			id[0], id[1], id[2] = byte(i), byte(i>>8), byte(i>>16)
			at = p.Place(at[:0], id, inos.ReplicasDefault)
			for _, node := range at {
				sum = sum*31 + uint64(node[len(node)-1]) + uint64(node[len(node)-2])<<8 + uint64(node[len(node)-3])<<16
			}
		}
		return sum
	}
	want := natively()
	var took time.Duration
	for b.Loop() {
		b.StopTimer()
		began := time.Now()
		natively()
		took += time.Since(began)
		b.StartTimer()
		got, err := place.Call(ctx, chunks)
		if err != nil || got[0] != want {
			b.Fatalf("placed otherwise in WASM: %x, not %x (%v)", got, want, err)
		}
	}
	b.ReportMetric(0, "ns/op") // of many chunks: says nothing
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/chunks, "ns/chunk")
	b.ReportMetric(float64(b.Elapsed())/float64(took), "x-native")
}
