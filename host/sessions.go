package host

import (
	"context"
	"sync"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// sessionsMax bounds the sessions that are remembered.
const sessionsMax = 4096

// sessions remembers what the semantic memory says of sessions, so that a request costs no look into it. The kernel says which have ended
// before anybody is answered that they have (identity:forget); from then on they are looked up again.
type sessions struct {
	lookup func(ctx context.Context, tokenID string) (inos.Session, error)

	mu   sync.Mutex // guards the fields below
	kept map[string]inos.Session
	ends uint64 // times that sessions have ended
}

func newSessions(lookup func(context.Context, string) (inos.Session, error)) *sessions {
	return &sessions{lookup: lookup, kept: map[string]inos.Session{}}
}

// lookupSession asks the semantic memory.
func (n *Node) lookupSession(ctx context.Context, tokenID string) (inos.Session, error) {
	s, err := n.semantic.FindSession(ctx, tokenID)
	return s.Session, err
}

// find returns the session of a token id, CodeUnauthenticated when there is none.
func (c *sessions) find(ctx context.Context, tokenID string) (inos.Session, error) {
	c.mu.Lock()
	s, ok := c.kept[tokenID]
	ends := c.ends
	c.mu.Unlock()
	if ok {
		return s, nil
	}
	s, err := c.lookup(ctx, tokenID)
	if err != nil {
		return s, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ends != ends {
		return s, nil // it may have ended since it was read
	}
	for id := range c.kept { // any will do: all of them are looked up again when they are asked for
		if len(c.kept) < sessionsMax {
			break
		}
		delete(c.kept, id)
	}
	c.kept[tokenID] = s
	return s, nil
}

// forget drops sessions that have ended.
func (c *sessions) forget(tokens []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends++
	for _, id := range tokens {
		delete(c.kept, id)
	}
}

// ended counts the times that sessions have ended.
func (c *sessions) ended() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ends
}

// forgetSessions does what the kernel says of sessions that have ended, before anything that it says next.
func (l *loop) forgetSessions(e *eventpb.Envelope) {
	var q eventpb.Forget
	if event.Open(e, &q) != nil {
		return
	}
	if c := l.node.sessions; c != nil {
		c.forget(q.TokenIds)
	}
	l.forget(q.TokenIds)
}
