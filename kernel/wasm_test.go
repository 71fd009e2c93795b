package kernel

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
)

// buildWASM builds kernel.wasm from the sources under test, once.
var buildWASM = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "kernel")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "kernel.wasm")
	if message, err := exec.Command("../tools/build-kernel", out).CombinedOutput(); err != nil {
		return message, err
	}
	return os.ReadFile(out)
})

// compileWASM compiles it, once: it takes a second.
var compileWASM = sync.OnceValues(func() (wazero.CompiledModule, error) {
	wasm, err := buildWASM()
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	theRuntime = wazero.NewRuntime(ctx)
	wasi_snapshot_preview1.MustInstantiate(ctx, theRuntime)
	return theRuntime.CompileModule(ctx, wasm)
})

var theRuntime wazero.Runtime

// guest is a kernel in wazero.
type guest struct {
	t testing.TB
	m api.Module
}

func newGuest(t testing.TB) *guest {
	compiled, err := compileWASM()
	if err != nil {
		t.Fatalf("build and compile kernel.wasm: %v", err)
	}
	ctx := context.Background()
	m, err := theRuntime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close(ctx) })
	g := &guest{t, m}
	if v := g.call("inos_abi"); v != 1 {
		t.Fatalf("ABI version %d", v)
	}
	return g
}

func (g *guest) call(name string, args ...uint64) uint64 {
	out, err := g.m.ExportedFunction(name).Call(context.Background(), args...)
	if err != nil {
		g.t.Fatalf("%s: %v", name, err)
	}
	if len(out) == 0 {
		return 0
	}
	return out[0]
}

func (g *guest) give(b []byte) (ptr uint64) {
	ptr = g.call("inos_alloc", uint64(len(b)))
	if !g.m.Memory().Write(uint32(ptr), b) {
		g.t.Fatal("inos_alloc returned memory that is not there")
	}
	return ptr
}

func (g *guest) take(packed uint64) []byte {
	b, ok := g.m.Memory().Read(uint32(packed>>32), uint32(packed))
	if !ok {
		g.t.Fatal("a result is not in memory")
	}
	return bytes.Clone(b)
}

func (g *guest) step(now inos.Micros, envelope []byte) (out [][]byte, wake inos.Micros) {
	ptr := g.give(envelope)
	b := g.take(g.call("inos_step", uint64(now), ptr, uint64(len(envelope))))
	g.call("inos_free", ptr, uint64(len(envelope)))
	wake = inos.Micros(binary.LittleEndian.Uint64(b))
	for b = b[8:]; len(b) > 0; {
		n := binary.LittleEndian.Uint32(b)
		out = append(out, b[4:4+n])
		b = b[4+n:]
	}
	return out, wake
}

// snapshot takes a snapshot in pieces of at most limit bytes.
func (g *guest) snapshot(limit uint64) (b []byte) {
	for {
		piece := g.take(g.call("inos_snapshot", limit))
		if len(piece) == 0 {
			return b
		}
		b = append(b, piece...)
	}
}

func (g *guest) restore(b []byte, piece int) uint64 {
	for {
		n := min(piece, len(b))
		ptr := g.give(b[:n])
		last := uint64(0)
		if n == len(b) {
			last = 1
		}
		code := g.call("inos_restore", ptr, uint64(n), last)
		g.call("inos_free", ptr, uint64(n))
		if b = b[n:]; last == 1 {
			return code
		}
	}
}

// replayInWASM steps kernel.wasm with what a native kernel was stepped with; every effect must be the same to the byte.
// Half-way the instance is replaced by one that is restored from its snapshot, which must be the native kernel's.
func (r *recording) replayInWASM(t *testing.T) {
	g := newGuest(t)
	twin := New()
	for i, s := range r.steps {
		if i == len(r.steps)/2 {
			snapshot := g.snapshot(1000)
			if !bytes.Equal(snapshot, twin.Snapshot()) {
				t.Fatalf("before step %d the snapshot in WASM is not the native one", i)
			}
			g = newGuest(t)
			if code := g.restore(snapshot, 777); code != 0 {
				t.Fatalf("restore: code %d", code)
			}
		}
		out, wake := g.step(s.now, s.in)
		if wake != s.wake || len(out) != len(s.out) {
			t.Fatalf("step %d: %d effects and wake-up %d in WASM, %d and %d natively", i, len(out), wake, len(s.out), s.wake)
		}
		for j := range out {
			if !bytes.Equal(out[j], s.out[j]) {
				t.Fatalf("step %d: effect %d differs in WASM", i, j)
			}
		}
		e, err := event.Decode(s.in)
		if err != nil {
			t.Fatal(err)
		}
		twin.Step(s.now, e)
	}
}

func TestWASMUndecodable(t *testing.T) {
	g := newGuest(t)
	if out, wake := g.step(1, []byte("no envelope")); len(out) != 0 || wake != 0 {
		t.Errorf("%d effects, wake-up %d", len(out), wake)
	}
	if code := g.restore([]byte("no snapshot"), 4); code == 0 {
		t.Error("no snapshot was restored")
	}
}
