package kernel

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
)

// snapshotSources copies what kernel.wasm is built from, once: while the tests run the sources may be edited.
var snapshotSources = sync.OnceValues(func() (string, error) {
	var err error
	if sourcesDir, err = os.MkdirTemp("", "kernel-sources"); err != nil {
		return "", err
	}
	return sourcesDir, copySources("..", sourcesDir)
})

// sourcesDir is where snapshotSources put them; empty: nowhere.
var sourcesDir string

// copySources copies what kernel.wasm is built from into a folder.
func copySources(from, to string) error {
	for _, name := range []string{"go.mod", "go.sum", "event", "kernel", "tools/build-kernel"} {
		if err := os.MkdirAll(filepath.Join(to, filepath.Dir(name)), 0o755); err != nil {
			return err
		}
		if out, err := exec.Command("cp", "-r", filepath.Join(from, name), filepath.Join(to, name)).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	top, err := filepath.Glob(filepath.Join(from, "*.go"))
	if err != nil {
		return err
	}
	out, err := exec.Command("cp", append(top, to)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// buildIn builds kernel.wasm from the sources in a folder.
func buildIn(dir string) ([]byte, error) {
	out := filepath.Join(dir, "kernel.wasm")
	if message, err := exec.Command(filepath.Join(dir, "tools/build-kernel"), out).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, message)
	}
	return os.ReadFile(out)
}

// buildWASM builds kernel.wasm from the sources under test, once.
var buildWASM = sync.OnceValues(func() ([]byte, error) {
	dir, err := snapshotSources()
	if err != nil {
		return nil, err
	}
	return buildIn(dir)
})

// TestMain removes the copy of the sources.
func TestMain(m *testing.M) {
	code := m.Run()
	if sourcesDir != "" {
		_ = os.RemoveAll(sourcesDir)
	}
	os.Exit(code)
}

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
	t         testing.TB
	m         api.Module
	functions map[string]api.Function
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
	g := &guest{t, m, map[string]api.Function{}}
	if v := g.call("inos_abi"); v != 1 {
		t.Fatalf("ABI version %d", v)
	}
	return g
}

func (g *guest) call(name string, args ...uint64) uint64 {
	f, ok := g.functions[name]
	if !ok {
		f = g.m.ExportedFunction(name) // each lookup makes a call engine
		g.functions[name] = f
	}
	out, err := f.Call(context.Background(), args...)
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

// TestWASMImports holds what kernel.wasm asks of its host to a committed list: a new import is a new power.
func TestWASMImports(t *testing.T) {
	compiled, err := compileWASM()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		names = append(names, module+" "+name)
	}
	if len(compiled.ImportedMemories()) != 0 {
		t.Error("kernel.wasm imports a memory")
	}
	slices.Sort(names)
	got := strings.Join(names, "\n") + "\n"
	const file = "wasm/imports.txt"
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || string(want) != got {
		t.Errorf("kernel.wasm imports\n%sbut %s says\n%s(%v)", got, file, want, err)
	}
	exports := []string{"_initialize", "inos_abi", "inos_alloc", "inos_free", "inos_restore", "inos_snapshot", "inos_step"}
	if got := sortedKeys(compiled.ExportedFunctions()); !slices.Equal(got, exports) {
		t.Errorf("kernel.wasm exports %v, not %v", got, exports)
	}
}

// TestWASMReproducible builds from two folders: the same sources give the same bytes.
func TestWASMReproducible(t *testing.T) {
	if testing.Short() {
		t.Skip("builds twice")
	}
	first, err := buildWASM()
	if err != nil {
		t.Fatal(err)
	}
	sources, err := snapshotSources()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := copySources(sources, dir); err != nil {
		t.Fatal(err)
	}
	second, err := buildIn(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Errorf("built in another folder kernel.wasm has %d bytes that are not the %d", len(second), len(first))
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
