package api

import (
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/inos-mesh/inos"
)

// Options tune a Handler; the zero value is right for a node.
type Options struct {
	// Now returns the time; nil means time.Now.
	Now func() time.Time
	// StallTimeout replaces the constant of that name when it is not zero.
	StallTimeout time.Duration
	// RequestsMax replaces the constant of that name when it is not zero.
	RequestsMax int
}

// Handler serves the HTTP interface of one node. Close ends the answers that would never end by themselves.
type Handler struct {
	node    Node
	now     func() time.Time
	stall   time.Duration
	limit   int64
	started time.Time

	traceWait time.Duration // the constants, but for tests
	keepAlive time.Duration

	underWay  atomic.Int64
	requests  shares // of those under way whose sender is known
	followers shares
	counts    counts
	ready     readiness

	challenges challenges
	dashboards dashboards
	document   func() []byte // of OpenAPI; a field, because the routes lead to who asks for it

	registerOnce sync.Once
	closeOnce    sync.Once
	closed       chan struct{}
}

// New returns the handler of a node's HTTP interface. It trusts nothing of a request but its TCP connection: every
// route that is not open needs a token or a dashboard's cookie.
func New(node Node, o Options) *Handler {
	h := &Handler{node: node, now: o.Now, stall: o.StallTimeout, limit: int64(o.RequestsMax), traceWait: traceWait, keepAlive: keepAliveInterval, closed: make(chan struct{}), document: sync.OnceValue(openAPIDocument)}
	if h.now == nil {
		h.now = time.Now
	}
	if h.stall == 0 {
		h.stall = StallTimeout
	}
	if h.limit == 0 {
		h.limit = RequestsMax
	}
	h.started = h.now()
	return h
}

// NewServer returns an http.Server for a handler with the bounds of this package.
func NewServer(h *Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: HeaderTimeout, IdleTimeout: IdleTimeout, MaxHeaderBytes: HeaderBytesMax,
		ConnState: newConnections(ConnectionsMax).change,
	}
}

// endWith closes the handler when the server that carries a request shuts down: an answer that follows the events
// would keep it from ending.
func (h *Handler) endWith(r *http.Request) {
	if s, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok {
		h.registerOnce.Do(func() { s.RegisterOnShutdown(h.Close) })
	}
}

// Close ends the answers that follow the events, as a shutdown of the server does. Requests under way go on. It may be
// called more than once.
func (h *Handler) Close() { h.closeOnce.Do(func() { close(h.closed) }) }

// exchange is one request and its answer.
type exchange struct {
	h       *Handler
	w       *stallWriter
	r       *http.Request
	rc      *http.ResponseController
	body    *body
	session inos.Session
	trace   trace
	owner   inos.Subject // whose namespace a request is about; empty: the session's own
	cookie  string       // of the dashboard's session, when that let the request in
	script  bool         // the cookie came with the session's CSRF token, which only a script of the dashboard has
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	sw := &stallWriter{ResponseWriter: w, rc: rc, stall: h.stall}
	x := &exchange{h: h, w: sw, r: r, rc: rc, body: &body{r: r.Body, rc: rc, stall: h.stall}}
	if r.ContentLength != 0 {
		sw.settle = func() { x.body.settle(r) }
	}
	route := "none"
	began := h.now()
	defer func() {
		p := recover()
		if p != nil && p != http.ErrAbortHandler {
			// The kernel's state is not touched by a handler, so the node goes on; the stack goes to the server's log.
			debug.PrintStack()
			if sw.status == 0 {
				x.fail(inos.Errorf(inos.CodeInternal, route, "the handler broke off: %v", p))
				p = nil
			}
		}
		h.counts.add(route, sw.status, h.now().Sub(began))
		sw.refresh() // for what the server still flushes
		if p != nil {
			panic(http.ErrAbortHandler)
		}
	}()
	sw.refresh()
	setSecurityHeaders(w.Header())
	if len(r.TransferEncoding) > 0 {
		// net/http has taken a Content-Length beside it away; who sends both may be two who read requests in different
		// ways, and the connection has to end behind the answer (RFC 9112, 6.3).
		w.Header().Set("Connection", "close")
	}
	x.trace = newTrace(r.Header)
	w.Header().Set("Inos-Trace-Id", x.trace.id())

	leave := sync.OnceFunc(func() { h.underWay.Add(-1) })
	defer leave()
	target, err := parseTarget(r.URL)
	turnAway := func(err error) {
		leave() // who is not served has no place while what is left of a body comes
		x.refuse(target, err)
	}
	if h.underWay.Add(1) > h.limit {
		turnAway(inos.Errorf(inos.CodeBusy, "accept request", "as many requests as allowed are under way"))
		return
	}
	route = target.route.name()
	if err != nil && target.route == routeNone {
		// An address that cannot be told apart is refused like one that does not exist: only to who may ask.
		if authErr := x.authenticate(); authErr != nil {
			err = authErr
		}
		turnAway(err)
		return
	}
	if !target.route.open() {
		if err := x.authenticate(); err != nil {
			turnAway(err)
			return
		}
	}
	if target.route == routeHealth || target.route == routeReady {
		leave() // by these it is decided whether the node is to live
	} else {
		user := x.session.Subject
		if err := h.enter(user); err != nil {
			turnAway(err)
			return
		}
		defer h.requests.leave(user)
	}
	if err == nil && target.route.inNamespace() {
		err = x.takeOwner()
	}
	if err == nil && target.route.content() && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		err = x.guardContent()
	}
	if err != nil {
		x.refuse(target, err)
		return
	}
	x.serve(target)
}

// enter takes a place for a request of a user's, of half of all: nobody takes those of all others, and strangers together do not either.
func (h *Handler) enter(user inos.Subject) error {
	return h.requests.enter("accept request", "requests are under way", user, int(h.limit+1)/2, int(h.limit))
}

// serve calls the handler of the route and method.
func (x *exchange) serve(t target) {
	methods := t.route.methods()
	for _, m := range methods {
		if m.method == x.r.Method {
			if err := m.serve(x, t); err != nil {
				x.refuse(t, err)
			}
			return
		}
	}
	x.w.Header().Set("Allow", methods.allow())
	x.fail(inos.Errorf(inos.CodeMethodNotAllowed, t.route.name(), "%.16q is not a method of this address", x.r.Method))
}

// refuse answers with the error of a route's handler.
func (x *exchange) refuse(t target, err error) {
	if t.route.stranger() && inos.CodeOf(err) != inos.CodeOriginRefused {
		err = strangersError(err)
	}
	x.fail(err)
}

// micros returns the time in the event standard's unit.
func (h *Handler) micros() inos.Micros { return inos.Micros(h.now().UnixMicro()) }

// setSecurityHeaders keeps what a person stored from acting on the origin that serves it.
func setSecurityHeaders(header http.Header) {
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "private, no-cache")
}
