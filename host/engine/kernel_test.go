package engine

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
)

func newTestKernel(t testing.TB) *Kernel {
	t.Helper()
	k, err := NewKernel(t.Context(), testKernel().bytes(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k
}

// one steps a kernel and returns its one effect, copied.
func one(t *testing.T, k *Kernel, now inos.Micros, envelope string) []byte {
	t.Helper()
	effects, wake, err := k.Step(now, []byte(envelope))
	if err != nil {
		t.Fatal(err)
	}
	if wake != now || len(effects) != 1 {
		t.Fatalf("wake %d with %d effects at %d", wake, len(effects), now)
	}
	return bytes.Clone(effects[0])
}

func TestKernelStep(t *testing.T) {
	k := newTestKernel(t)
	if k.ID() != ModuleID(testKernel().bytes()) {
		t.Error("the kernel's id is not that of its bytes")
	}
	// One byte, the first size of the input buffer and both sides of it, and the largest envelope.
	for _, n := range []int{0, 1, inputBytesMin - 1, inputBytesMin, inputBytesMin + 1, inos.EnvelopeBytesMax} {
		want := bytes.Repeat([]byte{'e'}, n)
		if got := one(t, k, 5, string(want)); !bytes.Equal(got, want) {
			t.Errorf("%d bytes came back as %d", n, len(got))
		}
	}
	if _, _, err := k.Step(6, make([]byte, inos.EnvelopeBytesMax+1)); inos.CodeOf(err) != inos.CodeEnvelopeTooLarge {
		t.Errorf("an envelope above the bound: %v", err)
	}
	one(t, k, 7, "still alive")
}

func TestKernelSeesOnlyWhatItIsGiven(t *testing.T) {
	a, b := newTestKernel(t), newTestKernel(t)
	script := []struct {
		now      inos.Micros
		envelope string
	}{{10, "R"}, {20, "C"}, {20, "C"}, {30, "S"}, {25, "C"}, {40, "R"}, {50, "Z"}, {60, "A"}}
	var seen [][]byte
	for _, s := range script {
		x, y := one(t, a, s.now, s.envelope), one(t, b, s.now, s.envelope)
		if !bytes.Equal(x, y) {
			t.Errorf("%s at %d: %x and %x", s.envelope, s.now, x, y)
		}
		seen = append(seen, x)
	}
	wall := func(i int) uint64 { return binary.LittleEndian.Uint64(seen[i]) }
	monotonic := func(i int) uint64 { return binary.LittleEndian.Uint64(seen[i][8:]) }
	if wall(1) != 20_000 || monotonic(1) != 20_000 || monotonic(2) != 20_001 {
		t.Errorf("clocks at 20 µs: wall %d, monotonic %d then %d", wall(1), monotonic(1), monotonic(2))
	}
	if slept := wall(3); slept != 30_000+1_000_000 {
		t.Errorf("after a sleep of 1 ms at 30 µs the clock is %d", slept)
	}
	if wall(4) != 25_000 || monotonic(4) < 1_030_000 {
		t.Errorf("a step back in time: wall %d, monotonic %d", wall(4), monotonic(4))
	}
	if bytes.Equal(seen[0], seen[5]) {
		t.Error("random bytes repeat")
	}
	if errno := binary.LittleEndian.Uint32(seen[6]); errno != wasiNoSupport {
		t.Errorf("a sleep of an hour: errno %d", errno)
	}
	if errno := binary.LittleEndian.Uint32(seen[7]); errno != wasiNoSupport {
		t.Errorf("a function that is not served: errno %d", errno)
	}
}

func TestKernelFaults(t *testing.T) {
	for _, c := range []struct{ name, envelope, want string }{
		{"trap", "T", "unreachable"},
		{"exit", "X", "oops"},
		{"negative wake-up", "W", "negative"},
		{"output outside the memory", "O", "outside the memory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newTestKernel(t)
			_, _, err := k.Step(1, []byte(c.envelope))
			if inos.CodeOf(err) != inos.CodeInternal || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v", err)
			}
			if _, _, err := k.Step(2, []byte("e")); err == nil {
				t.Error("a step after a fault succeeded")
			}
			if _, err := k.Snapshot(); err == nil {
				t.Error("a snapshot after a fault succeeded")
			}
		})
	}
}

func TestKernelSnapshot(t *testing.T) {
	a := newTestKernel(t)
	for range 3 {
		one(t, a, 1, "e")
	}
	snapshot, err := a.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if len(snapshot) != 4+3<<20 || snapshot[0] != 3 {
		t.Fatalf("%d bytes, count %d", len(snapshot), snapshot[0])
	}
	b := newTestKernel(t)
	if err := b.Restore(snapshot); err != nil {
		t.Fatal(err)
	}
	again, err := b.Snapshot()
	if err != nil || !bytes.Equal(again, snapshot) {
		t.Errorf("the snapshot of a restored kernel differs (%v)", err)
	}
	if err := b.Restore(snapshot[:100]); inos.CodeOf(err) != inos.CodeBadFormat {
		t.Errorf("a short snapshot: %v", err)
	}
	if _, _, err := b.Step(1, []byte("e")); err == nil {
		t.Error("a kernel that refused a snapshot steps on")
	}
	if err := newTestKernel(t).Restore(make([]byte, SnapshotBytesMax+1)); inos.CodeOf(err) != inos.CodeBadFormat {
		t.Errorf("a snapshot above the bound: %v", err)
	}
}

func TestKernelRefusals(t *testing.T) {
	foreign := testKernel()
	foreign.imports[5].module = "env"
	narrow := testKernel()
	narrow.imports[5] = asmImport{wasiModule, "random_get", []byte{tI32, tI32, tI32}, []byte{tI32}}
	old := testKernel()
	copy(old.funcs, abiFuncs(2))
	huge := testKernel()
	huge.pages = KernelMemoryBytesMax/pageBytes + 1
	incomplete := testKernel()
	incomplete.funcs[4].export = ""
	other := testKernel()
	other.funcs[3].results = []byte{tI32}
	other.funcs[3].body = constI32(0)
	for _, c := range []struct {
		name, want string
		wasm       []byte
	}{
		{"not WebAssembly", "invalid magic", []byte("MZ not a module")},
		{"empty", "invalid magic", nil},
		{"import from elsewhere", "env.sock_accept", foreign.bytes()},
		{"import with other parameters", "random_get", narrow.bytes()},
		{"another ABI", "guest ABI 2", old.bytes()},
		{"too much memory", "pages", huge.bytes()},
		{"no snapshot", "inos_snapshot", incomplete.bytes()},
		{"a step with another result", "inos_step", other.bytes()},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewKernel(t.Context(), c.wasm, "")
			if inos.CodeOf(err) != inos.CodeBadFormat || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestKernelCache(t *testing.T) {
	dir := t.TempDir()
	load := func() {
		t.Helper()
		k, err := NewKernel(t.Context(), testKernel().bytes(), dir)
		if err != nil {
			t.Fatal(err)
		}
		one(t, k, 1, "e")
		_ = k.Close()
		_ = k.Close() // twice is allowed
	}
	load()
	files := cacheFiles(t, dir)
	if len(files) == 0 {
		t.Fatal("nothing was cached")
	}
	for _, f := range files { // a torn write must not stop the node
		if err := os.WriteFile(f, []byte("WAZEVO torn"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	load()
}

func cacheFiles(t *testing.T, dir string) (files []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			files = append(files, cacheFiles(t, dir+"/"+e.Name())...)
		} else {
			files = append(files, dir+"/"+e.Name())
		}
	}
	return files
}

func TestKernelStepDoesNotAllocate(t *testing.T) {
	k := newTestKernel(t)
	envelope := []byte("echo")
	if n := testing.AllocsPerRun(1000, func() {
		if _, _, err := k.Step(1, envelope); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations in a step", n)
	}
}

func FuzzParseStep(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 8))
	f.Add(append(make([]byte, 8), 3, 0, 0, 0, 'a', 'b', 'c'))
	f.Add(append(make([]byte, 8), 4, 0, 0, 0, 'a', 'b', 'c'))
	f.Add(append(make([]byte, 8), 0xff, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, out []byte) {
		effects, wake, err := parseStep(nil, out)
		if err != nil {
			return
		}
		again := binary.LittleEndian.AppendUint64(nil, uint64(wake))
		for _, e := range effects {
			again = binary.LittleEndian.AppendUint32(again, uint32(len(e)))
			again = append(again, e...)
		}
		if !bytes.Equal(again, out) {
			t.Errorf("%x was read as %x", out, again)
		}
	})
}

func BenchmarkKernelStep(b *testing.B) {
	k := newTestKernel(b)
	envelope := make([]byte, 256)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := k.Step(1, envelope); err != nil {
			b.Fatal(err)
		}
	}
}
