package host

import (
	"context"
	"testing"

	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/engine"
)

// The ends of a worker's calls are told in the order in which the kernel made the calls: by it the kernel knows which one
// a lost worker was at.
func TestWorkerCallsEndInOrder(t *testing.T) {
	n := openNode(t, t.TempDir(), nil)
	defer n.close()
	l := newLoop(n.Node, nil) // without a kernel: the test hands out the calls
	l.pool = engine.NewPool(engine.Config{Command: n.workerCommand})
	defer l.performing.Wait()
	defer l.pool.Close()
	if _, _, err := l.pool.Start(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	inner := event.Encode(nil, n.hostEnvelope(event.OpenNode, &eventpb.OpenNodeRequest{})) // fails at once: it has no input
	for round := range 200 {
		var calls []*eventpb.Envelope
		for range 4 {
			calls = append(calls, n.hostEnvelope(event.WorkerCall, &eventpb.WorkerCallRequest{Envelope: inner}))
		}
		for _, c := range calls {
			l.dispatch(c)
		}
		for i, c := range calls {
			end := <-l.results
			if event.StateOf(end.EventType) != event.StateCompleted {
				t.Fatalf("round %d: %v", round, event.FailureOf(end))
			}
			if end.Id != c.Id {
				t.Fatalf("round %d: the end that was told as number %d is another call's", round, i)
			}
		}
	}
}
