package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// process is one worker's process seen from the node. Three goroutines live with it: write sends calls, read receives
// answers, wait reaps it and, when the other two have ended, fails the calls that are left. Only wait ends a call
// without an answer, so no caller's memory is in use when its call returns.
type process struct {
	slot, pid     int
	cmd           *exec.Cmd
	stdin, stdout *os.File
	stderr        *tail

	queue   chan *call    // sent and not yet taken by write; sends are made under Pool.mu while not shut
	first   *call         // the manifest's
	pending chan *call    // written or being written, beyond the one that read holds
	dying   chan struct{} // closed by die
	ended   chan struct{} // closed when reaped and every call has ended
	gone    chan struct{} // closed after OnExit
	loops   sync.WaitGroup
	calls   sync.WaitGroup
	dieOnce sync.Once
	cause   string // why the node killed it, set before dying is closed; empty: the process ended by itself
	reason  string // set before ended is closed

	waiting *call // what read held when it ended
	unsent  *call // what write held when it ended

	started  bool // guarded by Pool.mu: Start succeeded, OnExit is due
	shut     bool // guarded by Pool.mu: takes no call any more
	callsNow int  // guarded by Pool.mu
}

type call struct {
	envelope, bulk, out []byte
	claimed             atomic.Bool   // by write, which will end it, or by a caller that gave it up
	written             chan struct{} // closed when the request has left
	done                chan struct{} // closed when the results are set
	reply, bulkOut      []byte
	err                 error
}

func newCall(envelope, bulk, out []byte) *call {
	return &call{envelope: envelope, bulk: bulk, out: out, written: make(chan struct{}), done: make(chan struct{})}
}

// newProcess starts the command with pipes of its own.
func newProcess(slot int, cmd *exec.Cmd) (*process, error) {
	const op = "start worker"
	childIn, stdin, err := os.Pipe()
	if err != nil {
		return nil, inos.Errorf(inos.CodeIO, op, "%w", err)
	}
	stdout, childOut, err := os.Pipe()
	if err != nil {
		closeAll(childIn, stdin)
		return nil, inos.Errorf(inos.CodeIO, op, "%w", err)
	}
	enlarge(stdin)
	enlarge(stdout)
	w := &process{
		slot: slot, cmd: cmd, stdin: stdin, stdout: stdout, stderr: &tail{},
		queue: make(chan *call, CallsQueuedMax+1), first: newCall(manifestRequest(inos.Micros(time.Now().UnixMicro())), nil, nil), pending: make(chan *call, CallsPerWorkerMax-1),
		dying: make(chan struct{}), ended: make(chan struct{}), gone: make(chan struct{}),
	}
	cmd.Stdin, cmd.Stdout = childIn, childOut
	if cmd.Stderr != nil {
		cmd.Stderr = io.MultiWriter(w.stderr, cmd.Stderr)
	} else {
		cmd.Stderr = w.stderr
	}
	cmd.WaitDelay = lastReplyGrace
	if cmd.Env == nil {
		cmd.Env = []string{}
	}
	if cmd.Dir == "" {
		cmd.Dir = string(os.PathSeparator)
	}
	confine(cmd)
	err = cmd.Start()
	closeAll(childIn, childOut)
	if err != nil {
		closeAll(stdin, stdout)
		return nil, inos.Errorf(inos.CodeIO, op, "%w", err)
	}
	w.pid = cmd.Process.Pid
	w.calls.Add(1) // the manifest's, before wait can look
	w.queue <- w.first
	w.loops.Add(2)
	go w.write()
	go w.read()
	return w, nil
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		_ = f.Close() // a pipe has nothing to flush
	}
}

// leaving says that the process is ending or has ended.
func (w *process) leaving() bool {
	select {
	case <-w.dying:
		return true
	default:
		return false
	}
}

// die kills the process; the first cause stays.
func (w *process) die(cause string) {
	w.dieOnce.Do(func() {
		w.cause = cause
		close(w.dying)
		_ = w.cmd.Process.Kill() // fails when it has ended, which is what is wanted
	})
}

// await returns what a call ended with.
func (w *process) await(ctx context.Context, c *call) (reply, bulkOut []byte, err error) {
	select {
	case <-c.done:
	case <-ctx.Done():
		if c.claimed.CompareAndSwap(false, true) {
			return nil, nil, inos.Errorf(inos.CodeCanceled, "call worker", "worker %d did not take the call: %w", w.slot, ctx.Err())
		}
		<-c.done
	}
	return c.reply, c.bulkOut, c.err
}

// manifest waits for what the module says it is. The end of ctx kills the process.
func (w *process) manifest(ctx context.Context) (*eventpb.ModuleManifest, error) {
	defer w.calls.Done()
	stop := context.AfterFunc(ctx, func() { w.die("start took too long") })
	defer stop()
	reply, _, err := w.await(context.WithoutCancel(ctx), w.first)
	if err != nil {
		return nil, err
	}
	return openManifest(reply)
}

// write sends calls in the order of the queue. A call enters pending before its first byte leaves, so that read finds
// it there; pending being full holds the next call back.
func (w *process) write() {
	defer w.loops.Done()
	var head []byte
	for {
		var c *call
		select {
		case c = <-w.queue:
		case <-w.dying:
			return
		}
		if !c.claimed.CompareAndSwap(false, true) {
			continue // its caller gave it up
		}
		select {
		case w.pending <- c:
		case <-w.dying:
			w.unsent = c
			return
		}
		var err error
		head, err = writeFrame(w.stdin, head, c.envelope, c.bulk)
		if err != nil {
			w.die(brokenPipe)
			return
		}
		close(c.written)
	}
}

// brokenPipe is the cause when a pipe ends first: none, the process's own status says more.
const brokenPipe = ""

// read completes calls in the order in which they were written.
func (w *process) read() {
	defer w.loops.Done()
	for {
		select {
		case w.waiting = <-w.pending:
		case <-w.dying:
			return
		}
		c := w.waiting
		reply, bulkOut, err := readFrame(w.stdout, c.out)
		if err != nil {
			w.die(readCause(err))
			return
		}
		// A question that the module cannot decode is answered without an id.
		if id := event.IDOf(reply); c != w.first && len(id) > 0 && !bytes.Equal(id, event.IDOf(c.envelope)) {
			w.die("it answered another call than the one it was asked") // and so would every answer that follows
			return
		}
		if !w.hasLeft(c) {
			return
		}
		w.waiting = nil
		c.reply, c.bulkOut = reply, bulkOut
		close(c.done)
	}
}

// hasLeft waits until a request has been written: an answer that comes before its end must not end the call while the
// caller's memory is in use. It is false when the process ends first.
func (w *process) hasLeft(c *call) bool {
	select {
	case <-c.written:
		return true
	default:
	}
	select {
	case <-c.written:
		return true
	case <-w.dying:
		return false
	}
}

func readCause(err error) string {
	if inos.CodeOf(err) != inos.CodeBadFormat || strings.Contains(err.Error(), "the pipe ended") {
		return brokenPipe
	}
	return err.Error()
}

// drain lets the calls under way end, closes the worker's input and kills it when it does not end by itself. The
// caller has made sure that no call is added.
func (w *process) drain() {
	w.calls.Wait()
	if w.leaving() {
		return
	}
	_ = w.stdin.Close() // wait closes it too
	timer := time.AfterFunc(stopGrace, func() { w.die("did not end when its input did") })
	go func() {
		<-w.ended
		timer.Stop()
	}()
}

// wait reaps the process and ends what is left of it.
func (w *process) wait(p *Pool) {
	err := w.cmd.Wait()
	w.die("")
	_ = w.stdin.Close()                                          // ends a write under way
	_ = w.stdout.SetReadDeadline(time.Now().Add(lastReplyGrace)) // the end of the pipe ends a read, unless another process holds it
	w.loops.Wait()
	_ = w.stdout.Close()
	w.reason = w.describe(err)

	p.mu.Lock()
	w.shut = true
	started := w.started
	p.mu.Unlock()
	w.failAll()
	w.calls.Wait()
	close(w.ended)
	if started && p.config.OnExit != nil {
		p.config.OnExit(w.slot, w.pid, w.reason)
	}
	p.mu.Lock()
	delete(p.slots, w.slot)
	p.mu.Unlock()
	close(w.gone)
}

// failAll ends the calls that were not answered, in their order. Both loops have ended, and nothing is sent any more.
func (w *process) failAll() {
	fail := func(c *call) {
		if c != nil {
			c.err = inos.Errorf(inos.CodeWorkerLost, "call worker", "worker %d: %s", w.slot, w.reason)
			close(c.done)
		}
	}
	fail(w.waiting)
	for len(w.pending) > 0 {
		fail(<-w.pending)
	}
	fail(w.unsent)
	for len(w.queue) > 0 {
		if c := <-w.queue; c.claimed.CompareAndSwap(false, true) {
			fail(c)
		}
	}
}

// describe says why the process ended: what the node did to it, or its status and what it wrote.
func (w *process) describe(err error) string {
	if w.cause != "" {
		return w.cause
	}
	state := w.cmd.ProcessState
	if state == nil {
		return fmt.Sprintf("wait: %v", err)
	}
	text := state.String() // "signal: killed"
	if state.Exited() {
		text = fmt.Sprintf("%s (status %d)", statusText(state.ExitCode()), state.ExitCode())
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		text += ", a process it started lives on"
	}
	if wrote := w.stderr.summary(); wrote != "" {
		text += ": " + wrote
	}
	return text
}
