package host

import (
	"context"
	"io"
	"sync"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/api"
)

var _ api.Node = (*Node)(nil)

// progressMax bounds the progress events that wait for one client; newer ones are dropped when it is slow. The first,
// which announces a get's header, always finds room.
const progressMax = 16

// requests are the clients' requests that the kernel has not answered.
type requests struct {
	mu   sync.Mutex // guards open
	open map[string]*request
}

type request struct {
	id       string
	user     string // who asks; empty: a stranger
	typ      string
	gone     bool // nobody waits for the answer, and the kernel still owes it
	progress chan *eventpb.Envelope
	final    chan *eventpb.Envelope // holds one
	// bulk is set before final gets a completed mesh:serve, and reply by its receiver.
	bulk  []byte
	reply *eventpb.Envelope
}

func newRequests() *requests { return &requests{open: map[string]*request{}} }

// add takes the id of a request until it is answered. Of one whose client went away the answer may be had by the same user who sends the same again,
// and by nobody else.
func (r *requests) add(e *eventpb.Envelope) (*request, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	user := e.Metadata.GetUserId()
	if old, ok := r.open[e.Id]; ok && (!old.gone || user == "" || old.user != user || old.typ != e.EventType) {
		return nil, inos.Errorf(inos.CodeConflict, "submit", "a request with the id %s is under way", e.Id)
	}
	q := &request{id: e.Id, user: user, typ: e.EventType, progress: make(chan *eventpb.Envelope, progressMax), final: make(chan *eventpb.Envelope, 1)}
	r.open[e.Id] = q
	return q, nil
}

// leave says that nobody waits for the answer. The kernel bounds how many it owes.
func (r *requests) leave(q *request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q.gone = true
}

// remove ends a request, unless its answer is still to come. Once it is answered, its id may be another's that came again.
func (r *requests) remove(q *request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[q.id] == q && !q.gone {
		delete(r.open, q.id)
	}
}

// deliver hands a reply, with the bulk of a served call, to the client that waits for it, and says whether one does.
func (r *requests) deliver(e *eventpb.Envelope, bulk []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	q, ok := r.open[e.Id]
	if !ok {
		return false
	}
	if event.StateOf(e.EventType) == event.StateProcessing {
		select {
		case q.progress <- e:
		default:
		}
		return true
	}
	delete(r.open, e.Id)
	if q.gone {
		return false
	}
	q.bulk = bulk
	q.final <- e
	return true
}

// failAll answers every request; the kernel that knew them is gone.
func (r *requests) failAll(now inos.Micros, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, q := range r.open {
		q.final <- &eventpb.Envelope{
			Id: id, EventType: event.KernelLost, Timestamp: int64(now), Payload: event.Payload(event.ErrorPayload(err)),
		}
		delete(r.open, id)
	}
}

// Request implements api.Node.
func (n *Node) Request(ctx context.Context, e *eventpb.Envelope, progress func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
	if err := event.Check(e); err != nil {
		return nil, err
	}
	if n.local != nil {
		e = n.local.speak(e)
	}
	q, err := n.requests.add(e)
	if err != nil {
		return nil, err
	}
	defer n.requests.remove(q)
	l := n.currentLoop()
	if err := l.submit(ctx, e); err != nil {
		return nil, err
	}
	gone := ctx.Done()
	for {
		select {
		case p := <-q.progress:
			if progress != nil {
				progress(p)
			}
		case final := <-q.final:
			for len(q.progress) > 0 && progress != nil {
				progress(<-q.progress)
			}
			return final, nil
		case <-n.done: // no kernel answers any more
			select {
			case final := <-q.final:
				return final, nil
			default:
				return nil, errStopped()
			}
		case <-gone:
			if !cancels(e.EventType) {
				n.requests.leave(q)
				return nil, inos.Errorf(inos.CodeCanceled, event.Stage(e.EventType), "%w", ctx.Err())
			}
			// The kernel ends the request and answers; until then its stream, if it has one, stays in use.
			gone = nil
			l.result(n.hostEnvelope(event.RequestGone, &eventpb.RequestGone{Id: e.Id}))
		}
	}
}

// cancels says that the kernel ends a request when its client goes away: it may take as long as a body or a disk is large.
func cancels(eventType string) bool {
	return eventType == event.FilesPut || eventType == event.FilesGet || eventType == event.FilesVerify
}

// Source implements api.Node.
func (n *Node) Source(r io.Reader) (uint64, func()) { return n.streams.add(r, nil) }

// Sink implements api.Node.
func (n *Node) Sink(w io.Writer) (uint64, func()) { return n.streams.add(nil, w) }

// Events implements api.Node.
func (n *Node) Events(ctx context.Context, f inos.EventFilter) ([]inos.Event, error) {
	if n.episodic == nil {
		return nil, noHistory()
	}
	return n.episodic.Events(ctx, f)
}

// Spans implements api.Node.
func (n *Node) Spans(ctx context.Context, traceID string) ([]inos.Span, error) {
	if n.episodic == nil {
		return nil, noHistory()
	}
	return n.episodic.Spans(ctx, traceID)
}

// noHistory is what a mere provider answers who asks what happened.
func noHistory() error {
	return inos.Errorf(inos.CodeNotSwitchboard, "read history", "this node has no episodic memory")
}

// Recorded implements api.Node.
func (n *Node) Recorded() <-chan struct{} { return n.recorded.wait() }
