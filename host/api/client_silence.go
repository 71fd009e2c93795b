package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/inos-mesh/inos"
)

// A node that hangs keeps its connections: the system below it takes what is sent, and nothing ever comes. Whoever waits for it is told, and what only
// reads ends in the end.
const (
	silenceTold    = 10 * time.Second // nothing has come or gone for so long
	silenceTimeout = 5 * time.Minute  // and a GET waits no longer; all that the node waits for itself is shorter
)

// Tell has told called, from any goroutine, when a call waits for the node in silence, once for each call.
func (c *Client) Tell(told func(text string)) { c.told = told }

// silence watches one call.
type silence struct {
	c      *Client
	cancel context.CancelCauseFunc
	reads  bool // the call may be ended: it changes nothing

	mu    sync.Mutex // guards the fields below
	timer *time.Timer
	was   bool // told
	over  bool
}

// watch begins to watch a call, which is made with the context that comes back. The answer's body has to be closed.
func (c *Client) watch(r *http.Request) (*silence, *http.Request) {
	ctx, cancel := context.WithCancelCause(r.Context())
	s := &silence{c: c, cancel: cancel, reads: r.Method == http.MethodGet}
	if u, ok := r.Body.(*upload); ok {
		u.silence = s
	}
	s.wait()
	return s, r.WithContext(ctx)
}

// wait says that the node has its turn now.
func (s *silence) wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	s.timer = time.AfterFunc(s.c.silenceTold, s.late)
}

// pause says that nothing is expected of the node.
func (s *silence) pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
}

// end says that the call is over.
func (s *silence) end() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.pause()
	s.cancel(nil)
}

func (s *silence) late() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	if !s.was && s.c.told != nil {
		s.c.told(s.c.base + " has been silent for " + s.c.silenceTold.String() + ": it is busy, or it hangs; still waiting, Ctrl-C ends that")
	}
	s.was = true
	if !s.reads {
		return
	}
	s.timer = time.AfterFunc(s.c.silenceTimeout, func() {
		s.cancel(silentNode{&inos.Error{
			Code: inos.CodeNodeUnreachable, Op: "call node", Message: s.c.base + " takes connections and answers nothing",
			Hint: "It hangs, or its machine does: look at it there, and start it again.",
		}})
	})
}

// watchedBody is the body of an answer; where it was asked for, the wait for its bytes is watched too.
type watchedBody struct {
	io.ReadCloser
	silence *silence
	awaited bool
}

// Read implements io.Reader.
func (b *watchedBody) Read(p []byte) (int, error) {
	if b.awaited {
		b.silence.wait()
		defer b.silence.pause()
	}
	return b.ReadCloser.Read(p)
}

// Close implements io.Closer.
func (b *watchedBody) Close() error {
	defer b.silence.end() // behind it, or the connection would not be kept
	return b.ReadCloser.Close()
}

// silentNode is the cause of a call's end that no other has.
type silentNode struct{ end *inos.Error }

// Error implements error.
func (s silentNode) Error() string { return s.end.Error() }

// silenced returns the error with which a call was ended for its silence, or nil.
func silenced(r *http.Request) error {
	var silent silentNode
	if errors.As(context.Cause(r.Context()), &silent) {
		return silent.end
	}
	return nil
}
