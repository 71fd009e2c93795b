package host

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
)

const (
	// refusalsEvery is how often refusals at the edge become lines of history: one for each reason, however many there were.
	refusalsEvery = time.Second
	// refusalReasonsMax bounds the reasons that are told apart in between; the rest are one.
	refusalReasonsMax = 16
	// noteTimeout bounds how long a line of history of the host's own may take to write.
	noteTimeout = 10 * time.Second
)

// authenticateFailed is the type of the line of history about who was not let in. No envelope of it exists: a stranger does not reach the kernel.
var authenticateFailed = event.WithState("identity:authenticate:v1:requested", event.StateFailed)

// refusals are those that are not in the history yet. A flood of them is as many lines as there are reasons.
type refusals struct {
	mu      sync.Mutex // guards the fields below
	counts  map[string]int
	pending *time.Timer
	closed  bool
}

// Refused implements api.Node.
func (n *Node) Refused(why string) {
	r := &n.refusals
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || n.episodic == nil {
		return
	}
	if r.counts == nil {
		r.counts = map[string]int{}
	}
	if _, known := r.counts[why]; !known && len(r.counts) >= refusalReasonsMax {
		why = "other reasons"
	}
	r.counts[why]++
	if r.pending == nil {
		r.pending = time.AfterFunc(refusalsEvery, n.writeRefusals)
	}
}

// writeRefusals makes lines of history of the refusals so far.
func (n *Node) writeRefusals() {
	r := &n.refusals
	r.mu.Lock()
	counts := r.counts
	r.counts, r.pending = nil, nil
	r.mu.Unlock()
	reasons := make([]string, 0, len(counts))
	for why := range counts {
		reasons = append(reasons, why)
	}
	slices.Sort(reasons)
	events := make([]inos.Event, len(reasons))
	for i, why := range reasons {
		events[i] = inos.Event{Type: authenticateFailed, At: n.clock.Now(), Detail: fmt.Sprintf("%d refused: %s", counts[why], why)}
	}
	n.record(events)
}

// closeRefusals writes those that wait; later ones are dropped.
func (n *Node) closeRefusals() {
	n.refusals.mu.Lock()
	pending := n.refusals.pending
	n.refusals.closed = true
	n.refusals.mu.Unlock()
	if pending != nil && pending.Stop() {
		n.writeRefusals()
	}
}

// note leaves a line of history about what the host did itself.
func (n *Node) note(eventType string, subject inos.Subject, detail string) {
	n.record([]inos.Event{{Type: eventType, At: n.clock.Now(), Subject: subject, Detail: detail}})
}

// record writes lines of history. What cannot be written is lost, as other history is, and said once where the node's operator looks.
func (n *Node) record(events []inos.Event) {
	if n.episodic == nil || len(events) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), noteTimeout)
	defer cancel()
	if err := n.episodic.Record(ctx, events, nil); err != nil {
		if inos.CodeOf(err) != inos.CodeShuttingDown {
			n.logf("write history: %v", err)
		}
		return
	}
	n.recorded.announce()
}
