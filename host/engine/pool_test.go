//go:build linux

package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// The test binary is its own worker: "worker-process KIND [path of storage.wasm]".
const workerArgument = "worker-process"

func TestMain(m *testing.M) {
	if len(os.Args) >= 3 && os.Args[1] == workerArgument {
		os.Exit(workerMain(os.Args[2]))
	}
	if len(os.Args) >= 2 && os.Args[1] == parentArgument {
		os.Exit(parentMain())
	}
	os.Exit(m.Run())
}

func workerMain(kind string) int {
	switch kind {
	case "mute": // never answers
		_, _ = io.Copy(io.Discard, os.Stdin)
		return 0
	case "stubborn": // answers the manifest and ignores the end of its input
		g, err := newGuest(context.Background(), testModule().bytes(), "", 0)
		if err == nil {
			err = g.serve(context.Background(), os.Stdin, os.Stdout)
		}
		fmt.Fprintln(os.Stderr, "input ended:", err)
		for {
			time.Sleep(time.Hour)
		}
	case "babbler": // answers with a malformed frame
		_, _ = os.Stdout.WriteString("\xff\xff\xff\xff....")
		_, _ = io.Copy(io.Discard, os.Stdin)
		return 0
	case "twice": // answers each call twice
		answer := binary.LittleEndian.AppendUint32(nil, uint32(len(manifestAnswer())))
		_, _ = os.Stdout.Write(append(answer, manifestAnswer()...))
		_, _, _ = readFrame(os.Stdin, nil)
		for {
			envelope, bulk, err := readFrame(os.Stdin, nil)
			if err != nil {
				return 0
			}
			for range 2 {
				_, _ = writeFrame(os.Stdout, nil, envelope, bulk)
			}
		}
	case "hasty": // answers twice and reads nothing
		answer := binary.LittleEndian.AppendUint32(nil, uint32(len(manifestAnswer())))
		answer = append(answer, manifestAnswer()...)
		_, _ = os.Stdout.Write(append(answer, answer...))
		for {
			time.Sleep(time.Hour)
		}
	}
	err := RunWorker(context.Background(), os.Stdin, os.Stdout, workerModule(kind), "", 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return ExitStatus(err)
}

func workerModule(kind string) []byte {
	m := testModule()
	switch kind {
	case "abi":
		copy(m.funcs, abiFuncs(7))
	case "imports":
		m.imports = []asmImport{{wasiModule, "random_get", []byte{tI32, tI32}, []byte{tI32}}}
	case "memory":
		m.pages = WorkerMemoryBytesMax/pageBytes + 1
	case "nothing":
		return nil
	case "storage":
		wasm, err := os.ReadFile(os.Args[3])
		if err != nil {
			panic(err)
		}
		return wasm
	case "manifest":
		m.data[manifestAt] = make([]byte, len(manifestAnswer()))
	case "pointer":
		m.funcs[1].body = constI32(-8)
	}
	return m.bytes()
}

type exit struct {
	slot, pid int
	reason    string
}

type testPool struct {
	*Pool
	exits chan exit
}

// newTestPool makes a pool whose slots run workers of the given kind, and checks at the end of the test that no
// goroutine and no file is left.
func newTestPool(t testing.TB, kind string) testPool {
	t.Helper()
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	exits := make(chan exit, 64)
	p := testPool{NewPool(Config{
		Command: func(int) *exec.Cmd {
			storage, _ := filepath.Abs("../../build/storage.wasm") // fails without a working folder, and then the worker does
			return exec.Command(os.Args[0], workerArgument, kind, storage)
		},
		OnExit: func(slot, pid int, reason string) { exits <- exit{slot, pid, reason} },
	}), exits}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		settle(t, "goroutines", goroutines, runtime.NumGoroutine)
		settle(t, "open files", files, func() int { return openFiles(t) })
	})
	return p
}

// hangTime is how long a test waits for what tells nobody that it has come: only a hang takes so long.
const hangTime = 5 * time.Minute

// comes looks until something holds, and says whether it did.
func comes(holds func() bool) bool {
	for began := time.Now(); !holds(); time.Sleep(time.Millisecond) {
		if time.Since(began) > hangTime {
			return false
		}
	}
	return true
}

// settle waits until a count is back at what it was: a goroutine that closed its last channel needs a moment to end.
func settle(t testing.TB, what string, want int, count func() int) {
	if comes(func() bool { return count() <= want }) {
		return
	}
	buf := make([]byte, 64<<10)
	t.Errorf("%s: %d before, %d after\n%s", what, want, count(), buf[:runtime.Stack(buf, true)])
}

func openFiles(t testing.TB) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("counting open files needs /proc")
	}
	return len(entries)
}

func (p testPool) start(t testing.TB, slot int) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hangTime)
	defer cancel()
	pid, manifest, err := p.Start(ctx, slot)
	if err != nil {
		t.Fatal(err)
	}
	if manifest.Name != "test" || manifest.MemoryBytesMax != moduleMemoryMax {
		t.Fatalf("manifest %q with %d bytes", manifest.Name, manifest.MemoryBytesMax)
	}
	return pid
}

func (p testPool) echo(t testing.TB, slot int, bulk, out []byte) []byte {
	t.Helper()
	reply, bulkOut, err := p.Call(t.Context(), slot, []byte("Echo"), bulk, out)
	if err != nil {
		t.Fatal(err)
	}
	if string(reply) != "Echo" || !bytes.Equal(bulkOut, bulk) {
		t.Fatalf("%q with %d bytes came back for %d", reply, len(bulkOut), len(bulk))
	}
	return bulkOut
}

func TestPoolEcho(t *testing.T) {
	p := newTestPool(t, "echo")
	pid := p.start(t, 3)
	if _, _, err := p.Start(t.Context(), 3); inos.CodeOf(err) != inos.CodeConflict {
		t.Errorf("a second start of a slot: %v", err)
	}
	// Nothing, a byte, a chunk, its largest stored form, and the largest frame: pipes hold 1 MiB, so the last ones
	// cross in several turns.
	for _, n := range []int{0, 1, inos.ChunkBytesMax, inos.StoredBytesMax, frameBytesMax - 4 - len("Echo")} {
		bulk := bytes.Repeat([]byte{byte(n), 7, 1}, n/3+1)[:n]
		out := make([]byte, 0, n)
		got := p.echo(t, 3, bulk, out)
		if n > 0 && &got[0] != &out[:1][0] {
			t.Errorf("%d bytes fit into out and were put elsewhere", n)
		}
		p.echo(t, 3, bulk, make([]byte, 0, n/2))
	}
	if _, _, err := p.Call(t.Context(), 3, []byte("Echo"), make([]byte, frameBytesMax), nil); inos.CodeOf(err) != inos.CodeEnvelopeTooLarge {
		t.Errorf("a frame above the bound: %v", err)
	}
	if _, _, err := p.Call(t.Context(), 4, []byte("Echo"), nil, nil); inos.CodeOf(err) != inos.CodeWorkerLost {
		t.Errorf("a call to an empty slot: %v", err)
	}
	if err := p.Stop(3, false); err != nil {
		t.Fatal(err)
	}
	if e := <-p.exits; e.slot != 3 || e.pid != pid || !strings.Contains(e.reason, "status 0") {
		t.Errorf("%+v", e)
	}
	if err := p.Stop(3, true); err != nil {
		t.Errorf("stopping an empty slot: %v", err)
	}
	if again := p.start(t, 3); again == pid {
		t.Error("the same process again")
	}
	p.echo(t, 3, []byte("x"), nil)
}

func TestPoolCallsInOrder(t *testing.T) {
	p := newTestPool(t, "echo")
	p.start(t, 0)
	var wg sync.WaitGroup
	for caller := range 8 {
		wg.Go(func() {
			bulk := bytes.Repeat([]byte{byte(caller)}, 300_000+caller)
			for range 20 {
				reply, out, err := p.Call(t.Context(), 0, fmt.Appendf(nil, "E%d", caller), bulk, nil)
				if err != nil || string(reply) != fmt.Sprintf("E%d", caller) || !bytes.Equal(out, bulk) {
					t.Errorf("caller %d: %q, %d bytes, %v", caller, reply, len(out), err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// hang starts an endless call and returns its error's channel when the worker has been given the call.
func hang(t *testing.T, p testPool, slot int) chan error {
	t.Helper()
	result := make(chan error, 4)
	go func() {
		_, _, err := p.Call(context.Background(), slot, []byte("Loop"), nil, nil)
		result <- err
	}()
	waitFor(t, p, slot, 1)
	return result
}

// waitFor waits until a slot has n calls, which have to be such as do not end meanwhile.
func waitFor(t *testing.T, p testPool, slot, n int) {
	t.Helper()
	for {
		p.mu.Lock()
		now := p.slots[slot].callsNow
		p.mu.Unlock()
		if now >= n {
			return
		}
		runtime.Gosched()
	}
}

func TestPoolKillsALoopWhileOthersServe(t *testing.T) {
	p := newTestPool(t, "loop")
	pid := p.start(t, 0)
	p.start(t, 1)
	first := hang(t, p, 0)
	second := make(chan error, 1)
	go func() {
		_, _, err := p.Call(context.Background(), 0, []byte("Echo"), make([]byte, 2<<20), nil)
		second <- err
	}()
	for range 10 {
		p.echo(t, 1, make([]byte, 100_000), nil)
	}
	waitFor(t, p, 0, 2)
	select {
	case err := <-first:
		t.Fatalf("the loop ended: %v", err)
	case e := <-p.exits:
		t.Fatalf("%+v", e)
	default:
	}
	if err := p.Stop(0, true); err != nil {
		t.Fatal(err)
	}
	for i, result := range []chan error{first, second} {
		if err := <-result; inos.CodeOf(err) != inos.CodeWorkerLost {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if e := <-p.exits; e.pid != pid || e.reason != "killed by the node" {
		t.Errorf("%+v", e)
	}
	p.echo(t, 1, []byte("alive"), nil)
	p.start(t, 0)
	p.echo(t, 0, []byte("alive"), nil)
}

func TestPoolModuleFaults(t *testing.T) {
	p := newTestPool(t, "faults")
	for _, c := range []struct {
		name, envelope, want string
		status               int
	}{
		{"trap", "Trap", "unreachable", StatusTrap},
		{"memory eaten", "Memory", "unreachable", StatusTrap},
		{"output outside the memory", "Out", "outside the memory", StatusBreach},
		{"output too long", "Huge", "at most", StatusBreach},
		{"output too short", "Short", "guest message", StatusBreach},
		{"envelope longer than the output", "Nested", "guest message", StatusBreach},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.start(t, 0)
			_, _, err := p.Call(t.Context(), 0, []byte(c.envelope), nil, nil)
			if inos.CodeOf(err) != inos.CodeWorkerLost {
				t.Fatalf("%v", err)
			}
			e := <-p.exits
			if !strings.Contains(e.reason, "status "+strconv.Itoa(c.status)) || !strings.Contains(e.reason, c.want) {
				t.Errorf("reason %q", e.reason)
			}
		})
	}
}

func TestPoolStartFaults(t *testing.T) {
	for _, c := range []struct{ kind, want string }{
		{"abi", "guest ABI 7"},
		{"imports", "random_get"},
		{"memory", "pages"},
		{"nothing", "magic"},
		{"manifest", "parse event type"},
		{"pointer", "inos_alloc"},
		{"babbler", "guest message of 4294967295"},
	} {
		t.Run(c.kind, func(t *testing.T) {
			p := newTestPool(t, c.kind)
			_, _, err := p.Start(t.Context(), 0)
			if inos.CodeOf(err) != inos.CodeWorkerLost || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
			select {
			case e := <-p.exits:
				t.Errorf("an exit is told of a start that failed: %+v", e)
			default:
			}
		})
	}
	t.Run("mute", func(t *testing.T) {
		p := newTestPool(t, "mute")
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		if _, _, err := p.Start(ctx, 0); inos.CodeOf(err) != inos.CodeCanceled {
			t.Errorf("%v", err)
		}
	})
	p := NewPool(Config{Command: func(int) *exec.Cmd { return exec.Command("/nonexistent/inos") }})
	defer p.Close()
	for _, slot := range []int{0, 0} { // the slot is free again
		if _, _, err := p.Start(t.Context(), slot); inos.CodeOf(err) != inos.CodeIO {
			t.Errorf("a command that does not exist: %v", err)
		}
	}
	for _, slot := range []int{-1, SlotsMax} {
		if _, _, err := p.Start(t.Context(), slot); inos.CodeOf(err) != inos.CodeBadRequest {
			t.Errorf("slot %d: %v", slot, err)
		}
	}
}

// TestPoolKillInTheMiddle kills workers from outside while chunks cross their pipes: each call ends once, with its
// answer or with worker_lost, and each process has one exit.
func TestPoolKillInTheMiddle(t *testing.T) {
	p := newTestPool(t, "kill")
	bulk := bytes.Repeat([]byte("0123456789abcdef"), inos.ChunkBytesMax/16)
	for round := range 12 {
		pid := p.start(t, 0)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					mine := bytes.Clone(bulk)
					_, out, err := p.Call(t.Context(), 0, []byte("E"), mine, make([]byte, 0, len(mine)))
					clear(mine) // races with the pool when it still reads
					if err != nil {
						if inos.CodeOf(err) != inos.CodeWorkerLost {
							t.Errorf("%v", err)
						}
						return
					}
					if !bytes.Equal(out, bulk) {
						t.Error("other bytes came back")
					}
				}
			})
		}
		for range round * 3 {
			p.echo(t, 0, bulk, nil)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if e := <-p.exits; e.pid != pid || !strings.Contains(e.reason, "killed") {
			t.Errorf("%+v", e)
		}
	}
	select {
	case e := <-p.exits:
		t.Errorf("one exit too many: %+v", e)
	default:
	}
}

// TestPoolAnswerBeforeTheRequestHasLeft: the call must not end while the pool still reads its bulk.
func TestPoolAnswerBeforeTheRequestHasLeft(t *testing.T) {
	p := newTestPool(t, "hasty")
	p.start(t, 0)
	result := make(chan error, 1)
	go func() {
		bulk := make([]byte, 4<<20)
		question, _, err := event.SplitGuest(manifestAnswer()) // of the same id
		if err == nil {
			_, _, err = p.Call(context.Background(), 0, question, bulk, nil)
		}
		clear(bulk)
		result <- err
	}()
	waitFor(t, p, 0, 1)
	p.mu.Lock()
	w := p.slots[0]
	p.mu.Unlock()
	if !comes(func() bool { return unread(t, w.stdout) == 0 }) {
		t.Error("the early answer is not read")
	}
	for range 10_000 {
		runtime.Gosched()
	}
	if err := p.Stop(0, true); err != nil {
		t.Fatal(err)
	}
	if err := <-result; inos.CodeOf(err) != inos.CodeWorkerLost {
		t.Errorf("%v", err)
	}
}

// TestPoolAnswersOfAnotherCall: a worker that is out of step is lost, and nobody is given the answer to another's call.
func TestPoolAnswersOfAnotherCall(t *testing.T) {
	p := newTestPool(t, "twice")
	p.start(t, 0)
	for i, want := range []inos.Code{0, inos.CodeWorkerLost, inos.CodeWorkerLost} {
		e := event.Encode(nil, &eventpb.Envelope{Id: fmt.Sprint("call ", i), EventType: "test:echo:v1:requested"})
		reply, _, err := p.Call(t.Context(), 0, e, nil, nil)
		if inos.CodeOf(err) != want || err == nil && !bytes.Equal(reply, e) {
			t.Errorf("call %d: %q, %v", i, reply, err)
		}
	}
	if e := <-p.exits; !strings.Contains(e.reason, "answered another call") {
		t.Errorf("%+v", e)
	}
}

func unread(t *testing.T, pipe *os.File) (n int) {
	t.Helper()
	raw, err := pipe.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { n, failed = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return n
}

// TestPoolLeavesNoFile counts files with the collector off, which would close what was forgotten.
func TestPoolLeavesNoFile(t *testing.T) {
	p := newTestPool(t, "files")
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	p.start(t, 0) // the runtime's own files, once
	_ = p.Stop(0, true)
	<-p.exits
	before := openFiles(t)
	for _, kill := range []bool{true, false, true} {
		p.start(t, 0)
		p.echo(t, 0, []byte("x"), nil)
		if err := p.Stop(0, kill); err != nil {
			t.Fatal(err)
		}
		<-p.exits
	}
	settle(t, "open files", before, func() int { return openFiles(t) })
}

func TestPoolDrain(t *testing.T) {
	p := newTestPool(t, "drain")
	p.start(t, 0)
	bulk := make([]byte, inos.ChunkBytesMax)
	results := make(chan error, CallsPerWorkerMax+1)
	for range cap(results) {
		c, err := p.Send(0, []byte("E"), bulk, nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _, err := c.Wait(context.Background())
			results <- err
		}()
	}
	if err := p.Stop(0, false); err != nil {
		t.Fatal(err)
	}
	// A call that came before Stop is answered, one that came after is refused as lost.
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if _, err := p.Send(0, []byte("E"), bulk, nil); inos.CodeOf(err) != inos.CodeWorkerLost {
		t.Errorf("a call after the stop: %v", err)
	}
	if e := <-p.exits; !strings.Contains(e.reason, "status 0") {
		t.Errorf("%+v", e)
	}

	p.start(t, 1)
	result := hang(t, p, 1)
	drained := make(chan error, 1)
	go func() { drained <- p.Stop(1, false) }()
	if err := p.Stop(1, true); err != nil { // ends the wait of the other
		t.Fatal(err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if err := <-result; inos.CodeOf(err) != inos.CodeWorkerLost {
		t.Error(err)
	}
}

func TestPoolBounds(t *testing.T) {
	p := newTestPool(t, "bounds")
	p.start(t, 0)
	hang(t, p, 0)
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan error, CallsQueuedMax)
	for range CallsQueuedMax - 1 {
		go func() {
			_, _, err := p.Call(ctx, 0, []byte("E"), nil, nil)
			waiting <- err
		}()
	}
	waitFor(t, p, 0, CallsQueuedMax)
	if _, _, err := p.Call(t.Context(), 0, []byte("E"), nil, nil); inos.CodeOf(err) != inos.CodeBusy {
		t.Errorf("a call above the bound: %v", err)
	}
	cancel()
	// Two calls are with write and read beyond the one that hangs; the others leave.
	for range CallsQueuedMax - 1 - CallsPerWorkerMax {
		if err := <-waiting; inos.CodeOf(err) != inos.CodeCanceled {
			t.Errorf("%v", err)
		}
	}
	if err := p.Stop(0, true); err != nil {
		t.Fatal(err)
	}
	for range CallsPerWorkerMax {
		if err := <-waiting; inos.CodeOf(err) != inos.CodeWorkerLost && inos.CodeOf(err) != inos.CodeCanceled {
			t.Errorf("%v", err)
		}
	}
}

func TestPoolClose(t *testing.T) {
	p := newTestPool(t, "close")
	for slot := range 3 {
		p.start(t, slot)
	}
	result := hang(t, p, 1)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; inos.CodeOf(err) != inos.CodeWorkerLost {
		t.Error(err)
	}
	if len(p.exits) != 3 {
		t.Errorf("%d exits", len(p.exits))
	}
	if _, _, err := p.Start(t.Context(), 0); inos.CodeOf(err) != inos.CodeShuttingDown {
		t.Errorf("a start after the close: %v", err)
	}
}
