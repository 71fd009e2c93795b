package host

import (
	"context"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// stepTimeout is how long one step of the kernel may take before the node is given up. A step takes microseconds; one
// that does not end cannot be interrupted from within its process, so the process has to end.
const stepTimeout = 20 * time.Second

// watch returns the envelope of a step that has lasted for stepTimeout, or nil when ctx ends.
func (l *loop) watch(ctx context.Context) *eventpb.Envelope {
	ticker := time.NewTicker(stepTimeout)
	defer ticker.Stop()
	var before *eventpb.Envelope
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			e := l.stepping.Load()
			if e != nil && e == before {
				return e
			}
			before = e
		}
	}
}

// hung ends the node because its kernel does not return from a step. The goroutine in the step cannot be ended.
func (n *Node) hung(l *loop, e *eventpb.Envelope) {
	err := inos.Errorf(inos.CodeInternal, "run kernel", "it has not returned from %s for %v", e.EventType, stepTimeout)
	err.Hint = "Start the node again: it recovers from its memories. The envelope is kept in the folder quarantine of the data folder; report it with the log."
	n.quarantine(e, err)
	n.fail(err)
	l.cancel()
	_ = l.pool.Close()
	n.ended.Do(func() { close(n.done) })
}
