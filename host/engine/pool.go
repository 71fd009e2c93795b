package engine

import (
	"context"
	"os/exec"
	"runtime"
	"sync"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Config says how a pool makes processes and whom it tells of their end.
type Config struct {
	// Command returns a new command that runs RunWorker on its standard input and output. The pool sets both, keeps
	// the end of standard error for the reason of an exit and passes it on to the command's Stderr, if any; a nil Env
	// becomes the empty environment, an empty Dir the root folder. It is called on the goroutine of Start.
	Command func(slot int) *exec.Cmd
	// OnExit is called once for every process whose Start succeeded, on a goroutine of its own, when the process has
	// been reaped and each of its calls has its error. It may be called before Start's caller has seen Start return.
	// The slot can be started again when OnExit has returned; Close waits for it, so it must not call Close.
	OnExit func(slot, pid int, reason string)
}

// Pool is the node's side of its workers: at most one process per slot. Methods may be called from many goroutines.
type Pool struct {
	config Config
	spawn  chan func() // run on one thread that lives as long as the pool

	mu       sync.Mutex
	slots    map[int]*process // guarded by mu; nil while a slot's process is being made
	made     sync.Cond        // on mu: a process has been made, or could not be
	closed   bool             // guarded by mu
	starting sync.WaitGroup   // Starts under way; Add under mu while not closed
}

// NewPool returns a pool without processes. Close ends it.
func NewPool(config Config) *Pool {
	p := &Pool{config: config, spawn: make(chan func()), slots: map[int]*process{}}
	p.made.L = &p.mu
	go func() {
		// The system sends a worker its death signal when the thread that started it ends, so that thread stays.
		runtime.LockOSThread()
		for f := range p.spawn {
			f()
		}
		runtime.UnlockOSThread()
	}()
	return p
}

// Start makes a process for an empty slot and waits for its module's manifest. A slot whose process is ending is
// waited for; one that is alive is CodeConflict. When ctx ends first, the process is killed and CodeCanceled is
// returned. A process whose Start fails has been reaped and has no OnExit: the error carries its reason.
func (p *Pool) Start(ctx context.Context, slot int) (pid int, manifest *eventpb.ModuleManifest, err error) {
	if err := p.claim(ctx, slot); err != nil {
		return 0, nil, err
	}
	defer p.starting.Done()
	w, err := p.spawnWorker(slot)
	p.mu.Lock()
	p.made.Broadcast()
	if err != nil {
		delete(p.slots, slot)
		p.mu.Unlock()
		return 0, nil, err
	}
	p.slots[slot] = w
	if p.closed {
		w.die("the node is stopping")
	}
	p.mu.Unlock()
	go w.wait(p)

	manifest, err = w.manifest(ctx)
	if err == nil && p.confirm(w) {
		return w.pid, manifest, nil
	}
	w.die("start failed")
	<-w.gone
	if ctx.Err() != nil {
		return 0, nil, inos.Errorf(inos.CodeCanceled, "start worker", "worker %d did not answer in time: %w", slot, ctx.Err())
	}
	if err == nil || inos.CodeOf(err) == inos.CodeWorkerLost {
		err = inos.Errorf(inos.CodeWorkerLost, "start worker", "worker %d: %s", slot, w.reason)
	}
	return 0, nil, err
}

// claim waits until the slot is empty and marks it as being started.
func (p *Pool) claim(ctx context.Context, slot int) error {
	const op = "start worker"
	if slot < 0 || slot >= SlotsMax {
		return inos.Errorf(inos.CodeBadRequest, op, "slot %d; slots are 0 to %d", slot, SlotsMax-1)
	}
	for {
		p.mu.Lock()
		w, taken := p.slots[slot]
		switch {
		case p.closed:
			p.mu.Unlock()
			return inos.Errorf(inos.CodeShuttingDown, op, "the workers are stopping")
		case !taken:
			p.slots[slot] = nil
			p.starting.Add(1)
			p.mu.Unlock()
			return nil
		case w == nil || !w.leaving():
			p.mu.Unlock()
			return inos.Errorf(inos.CodeConflict, op, "worker %d runs", slot)
		}
		p.mu.Unlock()
		select {
		case <-w.gone:
		case <-ctx.Done():
			return inos.Errorf(inos.CodeCanceled, op, "worker %d is still ending: %w", slot, ctx.Err())
		}
	}
}

// spawnWorker makes the process on the thread that lives as long as the pool.
func (p *Pool) spawnWorker(slot int) (w *process, err error) {
	cmd := p.config.Command(slot)
	done := make(chan struct{})
	p.spawn <- func() {
		w, err = newProcess(slot, cmd)
		close(done)
	}
	<-done
	return w, err
}

// confirm decides whether a process has started: from here its end is told by OnExit.
func (p *Pool) confirm(w *process) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || w.shut || w.leaving() {
		return false
	}
	w.started = true
	return true
}

// Call hands a module one request and returns its answer: Send and Wait in one.
func (p *Pool) Call(ctx context.Context, slot int, envelope, bulk, out []byte) (reply, bulkOut []byte, err error) {
	c, err := p.Send(slot, envelope, bulk, out)
	if err != nil {
		return nil, nil, err
	}
	return c.Wait(ctx)
}

// Send puts a request into a slot's queue without waiting. A worker takes its calls in the order in which they were sent and
// answers them in that order; at most CallsPerWorkerMax are with the worker, at most CallsQueuedMax of a slot exist,
// beyond that CodeBusy. CodeWorkerLost answers for a slot without a running worker. Wait must be called once; until it
// has returned, envelope, bulk and out belong to the call.
func (p *Pool) Send(slot int, envelope, bulk, out []byte) (*Call, error) {
	const op = "call worker"
	if len(envelope) > inos.EnvelopeBytesMax || len(bulk) > frameBytesMax-4-len(envelope) {
		return nil, inos.Errorf(inos.CodeEnvelopeTooLarge, op, "an envelope of %d bytes with %d bytes of bulk, at most %d together", len(envelope), len(bulk), frameBytesMax-4)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.slots[slot]
	if w == nil || w.shut || !w.started {
		return nil, inos.Errorf(inos.CodeWorkerLost, op, "worker %d does not run", slot)
	}
	c := newCall(envelope, bulk, out)
	if w.callsNow < CallsQueuedMax {
		select {
		case w.queue <- c:
			w.callsNow++
			w.calls.Add(1)
			return &Call{p, w, c}, nil
		default: // of calls that were given up and not yet dropped
		}
	}
	return nil, inos.Errorf(inos.CodeBusy, op, "worker %d has %d calls", slot, CallsQueuedMax)
}

// Call is a request that was sent to a worker.
type Call struct {
	p *Pool
	w *process
	c *call
}

// Wait returns the module's answer. bulkOut is read into out's capacity when it fits there.
//
// A call that waits for its turn ends with ctx (CodeCanceled); one that the worker has taken ends only by its answer or
// by the end of the worker, CodeWorkerLost, so that no memory of the caller is in use after Wait returns. To give up a
// call, Stop the slot with kill.
func (c *Call) Wait(ctx context.Context) (reply, bulkOut []byte, err error) {
	defer func() {
		c.p.mu.Lock()
		c.w.callsNow--
		c.p.mu.Unlock()
		c.w.calls.Done()
	}()
	return c.w.await(ctx, c.c)
}

// Stop ends a slot's process, one that is still starting included, and returns when it has been reaped; an empty slot is no error. With kill the calls under
// way end with CodeWorkerLost at once. Without, no new call is taken, those under way are finished first, however long
// they take (Stop with kill from elsewhere ends the wait), and the worker's input is closed.
func (p *Pool) Stop(slot int, kill bool) error {
	p.mu.Lock()
	w, taken := p.slots[slot]
	for taken && w == nil {
		p.made.Wait()
		w, taken = p.slots[slot]
	}
	if w != nil {
		w.shut = true // no call is added from here
	}
	p.mu.Unlock()
	if w == nil {
		return nil
	}
	if kill {
		w.die("killed by the node")
	} else {
		w.drain()
	}
	<-w.ended
	return nil
}

// Close kills every process and returns when all are reaped, their OnExit included. It may be called more than once.
func (p *Pool) Close() error {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	workers := make([]*process, 0, len(p.slots))
	for _, w := range p.slots {
		if w != nil {
			workers = append(workers, w)
		}
	}
	p.mu.Unlock()
	for _, w := range workers {
		w.die("the node is stopping")
	}
	p.starting.Wait()
	for _, w := range workers {
		<-w.gone
	}
	if first {
		close(p.spawn)
	}
	return nil
}
