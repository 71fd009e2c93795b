package host

import (
	"context"
	"io"
	"os"
	"os/exec"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/build"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/engine"
)

// envWorkerCache names the folder of compiled modules. A worker gets nothing else of the node's environment.
const envWorkerCache = "INOS_WORKER_CACHE"

// workerMemoryBytes is what a module's linear memory may grow to.
const workerMemoryBytes = 96 << 20

// Worker is the main of a worker process: it answers guest messages on in and out until in ends. The process ends with the status, which tells its
// node what the error was.
func Worker(ctx context.Context, in io.Reader, out io.Writer) (status int, err error) {
	wasm, err := build.Storage()
	if err != nil {
		return 1, err
	}
	err = engine.RunWorker(ctx, in, out, wasm, os.Getenv(envWorkerCache), workerMemoryBytes)
	return engine.ExitStatus(err), err
}

// workerCommand returns the command that starts the worker of a slot.
func (n *Node) workerCommand(int) *exec.Cmd {
	cmd := exec.Command(n.config.WorkerCommand[0], n.config.WorkerCommand[1:]...)
	cmd.Env = []string{envWorkerCache + "=" + n.config.CacheDir}
	cmd.Dir = "/"
	cmd.Stderr = n.config.Stderr
	return cmd
}

func (l *loop) performWorkerStart(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.WorkerStartRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	pid, m, err := l.pool.Start(ctx, int(q.Worker))
	if err != nil {
		return nil, err
	}
	return &eventpb.WorkerStartReply{Pid: uint32(pid), Module: &eventpb.ModuleInfo{
		Id: l.node.moduleID[:], Name: m.Name, Version: m.Version, MemoryBytesMax: m.MemoryBytesMax, DeadlineUs: m.DeadlineUs,
	}}, nil
}

func (l *loop) performWorkerStop(_ context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.WorkerStopRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	if err := l.pool.Stop(int(q.Worker), q.Kill); err != nil {
		return nil, err
	}
	return &eventpb.WorkerStopReply{}, nil
}

// callWorker performs a worker:call. It is sent before the next effect is looked at, and its end is told after those of
// the calls before it: a worker takes its calls in the order in which the kernel made them, and from the order of their
// ends the kernel knows which one a lost worker was at.
func (l *loop) callWorker(e *eventpb.Envelope) {
	var q eventpb.WorkerCallRequest
	if err := event.Open(e, &q); err != nil {
		l.performing.Go(func() { l.tell(e, nil, err) })
		return
	}
	wait := l.sendCall(&q)
	told := make(chan struct{})
	l.mu.Lock()
	before := l.lines[int(q.Worker)]
	l.lines[int(q.Worker)] = told
	l.mu.Unlock()
	l.performing.Go(func() {
		defer close(told)
		m, err := wait(l.ctx)
		if before != nil {
			<-before
		}
		l.tell(e, m, err)
	})
}

// sendCall sends a call to its worker; the function it returns waits for the end.
func (l *loop) sendCall(q *eventpb.WorkerCallRequest) (wait func(context.Context) (event.Message, error)) {
	failed := func(err error) func(context.Context) (event.Message, error) {
		return func(context.Context) (event.Message, error) { return nil, err }
	}
	var bulk []byte
	if q.Input != 0 {
		var err error
		if bulk, err = l.node.buffers.get(q.Input); err != nil {
			return failed(err)
		}
	}
	slab := l.node.buffers.slab()
	call, err := l.pool.Send(int(q.Worker), q.Envelope, bulk, slab)
	if err != nil {
		l.node.buffers.recycle(slab)
		return failed(err)
	}
	return func(ctx context.Context) (event.Message, error) {
		reply, bulkOut, err := call.Wait(ctx)
		if err != nil {
			l.node.buffers.recycle(slab)
			return nil, err
		}
		if q.Output == 0 || len(bulkOut) == 0 {
			l.node.buffers.recycle(slab)
		} else {
			l.node.buffers.put(q.Output, bulkOut)
		}
		return &eventpb.WorkerCallReply{Envelope: reply, OutputBytes: uint32(len(bulkOut))}, nil
	}
}

// workerTold notes that the kernel has the end of a worker:start.
func (l *loop) workerTold(e *eventpb.Envelope, r *eventpb.WorkerStartReply) {
	var q eventpb.WorkerStartRequest
	if event.Open(e, &q) != nil {
		return // it was opened to perform it
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told[int(q.Worker)] = int(r.Pid)
	l.toldOne.Broadcast()
}

// workerExited tells the kernel that a worker process ended, after it has been told of its start, for a process may end
// sooner than that, and of the ends of its calls.
func (l *loop) workerExited(slot, pid int, reason string) {
	l.mu.Lock()
	for l.told[slot] != pid {
		l.toldOne.Wait()
	}
	last := l.lines[slot]
	l.mu.Unlock()
	if last != nil {
		<-last
	}
	l.result(l.node.hostEnvelope(event.WorkerExit, &eventpb.WorkerExit{Worker: uint32(slot), Pid: uint32(pid), Reason: reason}))
}

// defaultWorkerCommand runs this executable's hidden command "worker".
func defaultWorkerCommand() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, inos.Errorf(inos.CodeIO, "find own executable", "%w", err)
	}
	return []string{self, "worker"}, nil
}
