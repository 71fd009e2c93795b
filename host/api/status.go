package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// home tells a person who came by browser where to go: GET /. It needs no token and names nothing of the node.
func (x *exchange) home(target) error {
	x.plain(http.StatusOK, "This is an INOS node. Its interface is under /v1 and needs a token.\n"+
		"On its machine, try: inos status, inos put FILE /path, inos get /path, inos --help\n"+
		"The pages of the dashboard are not here yet.\n")
	return nil
}

// health tells that the process serves: GET /healthz. It asks nobody.
func (x *exchange) health(target) error {
	x.plain(http.StatusOK, "ok\n")
	return nil
}

// readiness tells whether the node takes work: GET /readyz; 200 or 503.
func (x *exchange) readiness(target) error {
	if x.h.isReady() {
		x.plain(http.StatusOK, "ready\n")
	} else {
		x.w.Header().Set("Retry-After", "1")
		x.plain(http.StatusServiceUnavailable, "not ready\n")
	}
	return nil
}

func (x *exchange) plain(status int, text string) {
	x.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	x.w.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write([]byte(text)) // a client that left has no use for the error
	}
}

// readiness remembers the last answer of the kernel.
type readiness struct {
	mu    sync.Mutex // guards the fields below, and lets one question through at a time
	at    time.Time
	ready bool
}

func (h *Handler) isReady() bool {
	h.ready.mu.Lock()
	defer h.ready.mu.Unlock()
	if now := h.now(); h.ready.at.IsZero() || now.Sub(h.ready.at) > readyLife {
		ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
		defer cancel()
		x := &exchange{h: h, trace: newTrace(nil)}
		x.session.TokenID = hostToken
		var reply eventpb.NodeStatusReply
		err := x.send(ctx, x.envelope(newID(now), event.NodeStatus, &eventpb.NodeStatusRequest{}), &reply, nil)
		h.ready.at, h.ready.ready = h.now(), err == nil && reply.Ready
	}
	return h.ready.ready
}

// status answers with the node's state: GET /v1/status.
func (x *exchange) status(target) error {
	s, err := x.nodeStatus()
	if err != nil {
		return err
	}
	x.writeJSON(http.StatusOK, s)
	return nil
}

func (x *exchange) nodeStatus() (Status, error) {
	var reply eventpb.NodeStatusReply
	if err := x.ask(event.NodeStatus, &eventpb.NodeStatusRequest{}, &reply); err != nil {
		return Status{}, err
	}
	return StatusOf(&reply), nil
}

// version answers with the node's name and build: GET /v1/version.
func (x *exchange) version(target) error {
	x.writeJSON(http.StatusOK, x.h.node.Info())
	return nil
}
