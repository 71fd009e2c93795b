//go:build linux

package engine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
)

func newTestGuest(t testing.TB) *guest {
	t.Helper()
	g, err := newGuest(t.Context(), testModule().bytes(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.in.close(context.Background()) })
	return g
}

func frameOf(envelope, bulk string) []byte {
	message := event.AppendGuest(nil, []byte(envelope), []byte(bulk))
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(message))), message...)
}

func TestServe(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		status         int
	}{
		{"no frame", "", "", 0},
		{"two frames", string(frameOf("E1", "x")) + string(frameOf("E2", "")), string(frameOf("E1", "x")) + string(frameOf("E2", "")), 0},
		{"trap after an answer", string(frameOf("E1", "x")) + string(frameOf("T", "")), string(frameOf("E1", "x")), StatusTrap},
		{"output outside the memory", string(frameOf("O", "")), "", StatusBreach},
		{"oversize frame", "\xff\xff\xff\xff", "", StatusBadFrame},
		{"frame that ends early", string(frameOf("E1", "x")[:9]), "", StatusBadFrame},
		{"envelope longer than the frame", "\x05\x00\x00\x00\x02\x00\x00\x00x", "", StatusBadFrame},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			err := newTestGuest(t).serve(t.Context(), strings.NewReader(c.in), &out)
			if ExitStatus(err) != c.status || out.String() != c.want {
				t.Errorf("status %d (%v), %q", ExitStatus(err), err, out.String())
			}
		})
	}
}

func TestGuestMemoryLimit(t *testing.T) {
	g := newTestGuest(t)
	if g.in.limit.bytesMax != moduleMemoryMax {
		t.Errorf("the limit is %d, the manifest says %d", g.in.limit.bytesMax, moduleMemoryMax)
	}
	if _, err := newGuest(t.Context(), testModule().bytes(), "", 1<<20); inos.CodeOf(err) != inos.CodeBadFormat {
		t.Errorf("a module that begins with more memory than it may have: %v", err)
	}
	// The caller's limit is below the manifest's.
	least := uint64(testModule().pages+4) * pageBytes
	small, err := newGuest(t.Context(), testModule().bytes(), "", least)
	if err != nil {
		t.Fatal(err)
	}
	defer small.in.close(t.Context())
	err = small.serve(t.Context(), bytes.NewReader(frameOf("M", "")), &bytes.Buffer{})
	if ExitStatus(err) != StatusTrap || uint64(small.in.memory.Size()) != least {
		t.Errorf("%v with %d bytes, the limit is %d", err, small.in.memory.Size(), least)
	}
}

// TestWorkerStaysSmall lets a module eat all it may and looks at the peak of the whole process.
func TestWorkerStaysSmall(t *testing.T) {
	p := newTestPool(t, "eater")
	pid := p.start(t, 0)
	if _, _, err := p.Call(t.Context(), 0, []byte("G"), nil, nil); err != nil {
		t.Fatal(err)
	}
	peak := peakBytes(t, pid)
	t.Logf("peak %d MiB for a guest of %d MiB", peak>>20, moduleMemoryMax>>20)
	if peak < moduleMemoryMax-6<<20 || peak > moduleMemoryMax+54<<20 { // the guest's own frame buffer stays untouched
		t.Errorf("the process had %d MiB for a guest of %d MiB", peak>>20, moduleMemoryMax>>20)
	}
}

// peakBytes returns the most memory that a process has had since it began.
func peakBytes(t testing.TB, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("the peak of a process is read from /proc")
	}
	_, line, _ := strings.Cut(string(status), "VmHWM:")
	var kib int
	if _, err := fmt.Sscan(line, &kib); err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

const parentArgument = "parent-process"

// parentMain starts a worker, gives it an endless call, tells its id and waits for its own end.
func parentMain() int {
	p := NewPool(Config{Command: func(int) *exec.Cmd { return exec.Command(os.Args[0], workerArgument, "orphan") }})
	pid, _, err := p.Start(context.Background(), 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(pid)
	_, _, err = p.Call(context.Background(), 0, []byte("Loop"), nil, nil)
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func TestWorkerDiesWithItsNode(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a death signal exists on Linux only")
	}
	parent := exec.Command(os.Args[0], parentArgument)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(bufio.NewReader(out), &pid); err != nil {
		t.Fatal(err)
	}
	if !running(pid) {
		t.Fatal("the worker does not run")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // "signal: killed"
	if !comes(func() bool { return !running(pid) }) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		t.Error("the worker outlives its node")
	}
}

// running is false for a process that has ended, reaped or not.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := bytes.Cut(stat, []byte(") "))
	return len(state) > 0 && state[0] != 'Z' && state[0] != 'X'
}

// BenchmarkWorkerEcho sends a chunk to a worker and back. The ratio is to copying a chunk in memory, measured in the
// same run: a round trip crosses two pipes, each of which copies in and out, and the node's memory.
func BenchmarkWorkerEcho(b *testing.B) {
	for _, size := range []int{0, 64 << 10, inos.ChunkBytesMax} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			p := newTestPool(b, "bench")
			p.start(b, 0)
			bulk, out := bytes.Repeat([]byte{9}, size), make([]byte, 0, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := p.Call(b.Context(), 0, []byte("E"), bulk, out); err != nil {
					b.Fatal(err)
				}
			}
			if size == 0 {
				return
			}
			trip := b.Elapsed() / time.Duration(b.N)
			const copies = 200
			start := time.Now()
			for range copies {
				copy(out[:size], bulk)
			}
			b.ReportMetric(float64(trip)/(float64(time.Since(start))/copies), "copies")
		})
	}
}
