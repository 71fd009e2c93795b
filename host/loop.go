package host

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/verbs"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/engine"
)

const (
	// inboxMax bounds what clients have submitted and the kernel has not yet seen; a full inbox blocks the sender.
	inboxMax = 256
	// resultsMax bounds finished effects that the kernel has not yet seen. The kernel bounds its effects in flight below
	// this; were it to exceed it, performers would wait.
	resultsMax = 8192
	// introducedMax bounds the token ids that the loop remembers to have introduced to its kernel.
	introducedMax = 1024
)

// loop is the one goroutine that owns a kernel: it steps it with every envelope, hands its effects to performers, and
// its replies to the clients that wait. It ends when the kernel traps, when a step fails, or when ctx ends.
type loop struct {
	node    *Node
	kernel  *engine.Kernel
	inbox   chan *eventpb.Envelope // from clients and the host itself
	results chan *eventpb.Envelope // ends of effects
	stopped chan struct{}          // closed when run returns
	ctx     context.Context        // ends the performers
	cancel  context.CancelFunc
	pool    *engine.Pool
	// performing counts the effects under way.
	performing sync.WaitGroup
	// stepping is the envelope that the kernel is at, nil between steps.
	stepping atomic.Pointer[eventpb.Envelope]

	mu         sync.Mutex // guards the fields below
	introduced map[string]struct{}
	told       map[int]int             // by slot: the process whose start the kernel has been told of
	toldOne    sync.Cond               // told has changed
	lines      map[int]<-chan struct{} // by slot: closed when the kernel has been told the end of its last call
}

func newLoop(n *Node, k *engine.Kernel) *loop {
	ctx, cancel := context.WithCancel(context.Background())
	l := &loop{
		node: n, kernel: k, ctx: ctx, cancel: cancel,
		inbox: make(chan *eventpb.Envelope, inboxMax), results: make(chan *eventpb.Envelope, resultsMax), stopped: make(chan struct{}),
		introduced: map[string]struct{}{}, told: map[int]int{}, lines: map[int]<-chan struct{}{},
	}
	l.toldOne.L = &l.mu
	return l
}

// submit hands an envelope to the kernel; it waits while the inbox is full.
func (l *loop) submit(ctx context.Context, e *eventpb.Envelope) error {
	select {
	case <-l.stopped: // the inbox of a kernel that is gone may have room, and nobody would answer
		return errStopped()
	default:
	}
	select {
	case l.inbox <- e:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.stopped:
		return errStopped()
	}
}

func errStopped() *inos.Error {
	e := inos.Errorf(inos.CodeShuttingDown, "submit", "the node's kernel is stopping or starting again")
	e.RetryAfter = inos.Second
	return e
}

// run steps the kernel until ctx ends or a step fails, and returns why with the envelope that did it.
func (l *loop) run(ctx context.Context) (*eventpb.Envelope, error) {
	defer close(l.stopped)
	defer l.cancel()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var wake inos.Micros
	for {
		e, err := l.next(ctx, timer, wake)
		if err != nil {
			return nil, nil //nolint:nilerr // ctx ended: an orderly stop
		}
		if wake, err = l.step(e); err != nil {
			return e, err
		}
	}
}

// next waits for the next envelope: results of effects before new work, and a tick when the kernel asked for one.
func (l *loop) next(ctx context.Context, timer *time.Timer, wake inos.Micros) (*eventpb.Envelope, error) {
	select {
	case e := <-l.results:
		return e, nil
	default:
	}
	var tick <-chan time.Time
	if wake != 0 {
		timer.Reset(time.Duration(max(0, wake-l.node.clock.Now())) * time.Microsecond)
		tick = timer.C
	}
	select {
	case e := <-l.results:
		return e, nil
	case e := <-l.inbox:
		return e, nil
	case <-tick:
		return l.node.hostEnvelope(event.NodeTick, nil), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// step hands the kernel one envelope, records it and acts on the effects.
func (l *loop) step(e *eventpb.Envelope) (wake inos.Micros, err error) {
	now := l.node.clock.Now()
	l.stepping.Store(e)
	defer l.stepping.Store(nil)
	raw := event.Encode(nil, e)
	if l.node.recorder.full() {
		snapshot, err := l.kernel.Snapshot()
		if err != nil {
			return 0, err
		}
		l.node.recorder.begin(l.kernel.ID(), snapshot)
	}
	effects, wake, err := l.kernel.Step(now, raw)
	if err != nil {
		return 0, err
	}
	l.node.recorder.record(now, raw, wake, effects)
	for _, b := range effects {
		effect, err := event.Decode(b)
		if err != nil {
			return 0, inos.Errorf(inos.CodeInternal, "decode effect", "after %s: %w", e.EventType, err)
		}
		l.dispatch(effect)
	}
	return wake, nil
}

// dispatch performs an effect or delivers a reply.
func (l *loop) dispatch(e *eventpb.Envelope) {
	if event.StateOf(e.EventType) != event.StateRequested {
		bulk := l.takeOutput(e)
		if !l.node.requests.deliver(l.node.handOut(e), bulk) {
			l.node.buffers.recycle(bulk)
		}
		return
	}
	if e.EventType == event.BufferFill {
		var q eventpb.BufferFill
		if err := event.Open(e, &q); err == nil {
			l.node.buffers.put(q.Buffer, q.Bytes)
		}
		return
	}
	if e.EventType == event.BufferRelease {
		var q eventpb.BufferRelease
		if err := event.Open(e, &q); err == nil {
			l.node.buffers.release(q.Buffers)
		}
		return
	}
	if e.EventType == event.IdentityForget {
		l.forgetSessions(e)
		return
	}
	if e.EventType == event.WorkerCall {
		l.callWorker(e)
		return
	}
	l.performing.Go(func() { l.perform(e) })
}

// perform runs one effect and gives its end to the kernel. The kernel bounds how many are under way.
func (l *loop) perform(e *eventpb.Envelope) {
	performer, ok := performers[e.EventType]
	switch {
	case ok:
	case !verbs.Known(e.EventType):
		performer = unknownEffect
	case l.node.semantic == nil:
		performer = noMemory
	default:
		performer = performSemantic
	}
	message, err := performer(l, l.ctx, e)
	if q := (eventpb.EndRestoreRequest{}); err == nil && e.EventType == event.EndRestore && event.Open(e, &q) == nil && q.Settle {
		err = l.node.rebuilt() // the one without is the beginning
	}
	l.tell(e, message, err)
	if start, ok := message.(*eventpb.WorkerStartReply); ok {
		l.workerTold(e, start)
	}
}

// tell gives the kernel the end of an effect. One that came to more than a step takes has failed: the step would be refused, and with it the
// kernel would end.
func (l *loop) tell(e *eventpb.Envelope, message event.Message, err error) {
	var reply *eventpb.Envelope
	if err == nil {
		reply = endOf(e, event.Reply(e, event.StateCompleted, l.node.clock.Now(), event.Payload(message)))
		err = event.Check(reply)
	}
	if err != nil {
		reply = endOf(e, event.Failed(e, l.node.clock.Now(), err))
	}
	l.result(reply)
}

// endOf makes an envelope the end of an effect: the host's own, in its trace.
func endOf(e, reply *eventpb.Envelope) *eventpb.Envelope {
	reply.Metadata = hostMetadata(e.Metadata)
	return reply
}

// result gives the kernel an envelope of the host's own, unless the kernel is gone.
func (l *loop) result(e *eventpb.Envelope) {
	select {
	case l.results <- e:
	case <-l.ctx.Done():
	}
}
