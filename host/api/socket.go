package api

import (
	"context"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// historyPage is the event type of what a socket sends of the history: a RecordRequest with lines of it. The envelope's
// trace context names the sequence number of the last one as keySeq; after= goes on behind it.
const (
	historyPage = "node:events:v1:processing"
	keySeq      = "inos-seq"
)

// checkUpgrade refuses what is no handshake of a WebSocket (RFC 6455, 4.2.1), and one that a page of another origin asks for.
func (x *exchange) checkUpgrade() error {
	const op = "open socket"
	header := x.r.Header
	key := header.Values("Sec-WebSocket-Key")
	switch {
	case !x.r.ProtoAtLeast(1, 1) || x.r.ProtoMajor > 1:
		return inos.Errorf(inos.CodeBadRequest, op, "%s has no Upgrade; HTTP/1.1 has", x.r.Proto)
	case !hasToken(header.Values("Upgrade"), "websocket") || !hasToken(header.Values("Connection"), "upgrade"):
		return inos.Errorf(inos.CodeBadRequest, op, "Upgrade %.40q with Connection %.40q is not how a WebSocket is opened", header.Get("Upgrade"), header.Get("Connection"))
	case header.Get("Sec-WebSocket-Version") != "13":
		x.w.Header().Set("Sec-WebSocket-Version", "13")
		return inos.Errorf(inos.CodeBadRequest, op, "Sec-WebSocket-Version %.20q is not 13", header.Get("Sec-WebSocket-Version"))
	case len(key) != 1 || !isSocketKey(key[0]):
		return inos.Errorf(inos.CodeBadRequest, op, "Sec-WebSocket-Key is not 16 bytes as base64")
	case len(header.Values("Origin")) > 0:
		return x.sameOrigin()
	}
	return nil
}

func isSocketKey(s string) bool {
	b, err := base64.StdEncoding.DecodeString(s)
	return err == nil && len(b) == 16
}

// hasToken tells whether a list of tokens has one; case does not matter.
func hasToken(values []string, token string) bool {
	for _, v := range values {
		for item := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.Trim(item, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// socket is one WebSocket: a client's requests come as binary messages, one envelope each, and are what a POST of the
// same envelope is; replies in every state go back, and what the client wants of the history.
type socket struct {
	x      *exchange
	c      *websocket.Conn
	ctx    context.Context // ends with the socket
	cancel context.CancelFunc

	underWay atomic.Int64 // requests
	ending   sync.Once

	mu      sync.Mutex // guards the fields below
	outbox  [][]byte
	bytes   int
	filled  chan struct{} // holds one value while there is something to write
	drained chan struct{} // holds one value since everything was written
}

// socket serves GET /v1/events with Upgrade: websocket until one side ends it.
func (x *exchange) socket(q *historyQuery) error {
	// The origin was judged; the library would allow what this does not.
	c, err := websocket.Accept(x.w.ResponseWriter, x.r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	x.w.status = http.StatusSwitchingProtocols
	if err != nil {
		return nil // it has answered
	}
	c.SetReadLimit(inos.EnvelopeHeadBytesMax + inos.PayloadBytesMax)
	// The server watches a connection no more once it is taken over, so the request's context does not end with it.
	ctx, cancel := context.WithCancel(context.WithoutCancel(x.r.Context()))
	y := &exchange{h: x.h, r: x.r.WithContext(ctx), session: x.session, cookie: x.cookie, script: x.script, trace: x.trace}
	s := &socket{x: y, c: c, ctx: ctx, cancel: cancel, filled: make(chan struct{}, 1), drained: make(chan struct{}, 1)}
	var works sync.WaitGroup
	works.Go(s.write)
	works.Go(s.watch)
	if q.wanted {
		works.Go(func() { s.history(q) })
	}
	s.read(&works)
	cancel()
	_ = c.CloseNow()
	works.Wait()
	return nil
}

// end closes the socket with a code and a reason; the first one counts.
func (s *socket) end(code websocket.StatusCode, reason string) {
	s.ending.Do(func() {
		go func() {
			_ = s.c.Close(code, reason[:min(len(reason), 123)]) // RFC 6455, 5.5: 125 bytes with the code
			s.cancel()
		}()
	})
}

// read takes the client's envelopes until the socket has ended.
func (s *socket) read(works *sync.WaitGroup) {
	for {
		kind, raw, err := s.c.Read(s.ctx)
		if err != nil {
			return // a message that is too large was answered with 1009
		}
		if kind != websocket.MessageBinary {
			s.end(websocket.StatusUnsupportedData, "a message is one binary envelope")
			continue // until the other side has closed too
		}
		e, err := event.Decode(raw)
		if err != nil {
			s.end(websocket.StatusInvalidFramePayloadData, "a message that is no envelope")
			continue
		}
		s.x.trace = newTrace(nil)
		if err := s.x.adopt(e); err != nil {
			s.push(event.Failed(e, s.x.h.micros(), err))
			continue
		}
		if s.underWay.Add(1) > SocketRequestsMax {
			s.end(websocket.StatusPolicyViolation, strconv.Itoa(SocketRequestsMax)+" requests of this socket are under way, no more may be")
			continue
		}
		works.Go(func() { s.request(e) })
	}
}

func (s *socket) request(e *eventpb.Envelope) {
	final, err := s.submit(e)
	s.underWay.Add(-1) // before the client can know that it has ended
	if err != nil {
		final = event.Failed(e, s.x.h.micros(), err)
	}
	s.push(final)
}

func (s *socket) submit(e *eventpb.Envelope) (*eventpb.Envelope, error) {
	h := s.x.h
	defer h.underWay.Add(-1)
	if h.underWay.Add(1) > h.limit {
		return nil, &inos.Error{
			Code: inos.CodeBusy, Op: "accept request", Message: "as many requests as allowed are under way",
			RetryAfter: inos.Micros(busyRetry.Microseconds()),
		}
	}
	if err := h.enter(s.x.session.Subject); err != nil {
		return nil, err
	}
	defer h.requests.leave(s.x.session.Subject)
	return h.node.Request(s.ctx, e, func(p *eventpb.Envelope) { s.push(p) })
}

// push has an envelope written, behind those that wait. A client that does not read what it asked for is let go.
func (s *socket) push(e *eventpb.Envelope) {
	raw := event.Encode(nil, e)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.outbox) >= SocketOutboxMax || s.bytes+len(raw) > SocketOutboxBytesMax {
		s.end(websocket.StatusTryAgainLater, "what was asked for is not read")
		return
	}
	s.outbox, s.bytes = append(s.outbox, raw), s.bytes+len(raw)
	select {
	case s.filled <- struct{}{}:
	default:
	}
}

// write sends what waits, each message within the stall time.
func (s *socket) write() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.filled:
		}
		for raw := s.next(); raw != nil; raw = s.next() {
			ctx, cancel := context.WithTimeout(s.ctx, s.x.h.stall)
			err := s.c.Write(ctx, websocket.MessageBinary, raw)
			cancel()
			if err != nil {
				s.cancel()
				return
			}
		}
	}
}

// next takes the first message that waits, or says that none does.
func (s *socket) next() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.outbox) == 0 {
		select {
		case s.drained <- struct{}{}:
		default:
		}
		return nil
	}
	raw := s.outbox[0]
	s.outbox[0] = nil
	s.outbox, s.bytes = s.outbox[1:], s.bytes-len(raw)
	return raw
}

// watch ends a socket whose client is gone, whose session has ended, or whose node shuts down.
func (s *socket) watch() {
	tick := time.NewTicker(s.x.h.keepAlive)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.x.h.closed:
			s.end(websocket.StatusGoingAway, "the node shuts down")
			<-s.ctx.Done()
			return
		case <-tick.C:
		}
		if !s.stillIn() {
			continue
		}
		ctx, cancel := context.WithTimeout(s.ctx, s.x.h.stall)
		err := s.c.Ping(ctx)
		cancel()
		if err != nil {
			s.cancel()
		}
	}
}

// stillIn asks whether the session may still see anything, and ends the socket when it may not.
func (s *socket) stillIn() bool {
	y := &exchange{h: s.x.h, r: s.x.r} // a session of its own: the requests' is in use
	err := y.authenticate()
	switch {
	case err == nil:
		return true
	case s.ctx.Err() != nil:
	case inos.CodeOf(err) == inos.CodeUnauthenticated:
		s.end(websocket.StatusPolicyViolation, "the session has ended")
	default: // the kernel starts again, or the memory of sessions does not answer
		s.end(websocket.StatusTryAgainLater, "the session cannot be looked up now")
	}
	return false
}

// history sends what the client wants of the history, a page at a time: the next one is read when all was taken.
func (s *socket) history(q *historyQuery) {
	h, f := s.x.h, q.filter
	follow := &eventpb.Envelope{Id: newID(h.now()), EventType: historyPage}
	f.Limit = eventsPage
	page, more := q.first, q.follow || q.first == nil
	for sent := 0; ; {
		if len(page) > 0 {
			f.AfterSeq = seqOfLast(page)
			sent += len(page)
			if !s.sendPage(follow, page) {
				return
			}
		}
		if !more || !q.follow && sent >= eventsLimitMax {
			return
		}
		recorded := h.node.Recorded()
		if !s.stillIn() {
			return
		}
		var err error
		if page, err = h.node.Events(s.ctx, f); err != nil {
			s.end(websocket.StatusInternalError, "the history cannot be read")
			return
		}
		if len(page) > 0 {
			continue
		}
		if !q.follow {
			return
		}
		select {
		case <-recorded:
		case <-s.ctx.Done():
			return
		}
	}
}

// sendPage waits until all that was sent has been taken; false when the socket has ended.
func (s *socket) sendPage(follow *eventpb.Envelope, page []inos.Event) bool {
	select { // of an earlier time
	case <-s.drained:
	default:
	}
	r := &eventpb.RecordRequest{Events: make([]*eventpb.EventRecord, len(page))}
	for i := range page {
		e := &page[i]
		r.Events[i] = &eventpb.EventRecord{
			Id: e.ID, EventType: e.Type, TimestampUs: int64(e.At), TraceId: e.TraceID, Subject: string(e.Subject),
			Path: e.Path, Detail: e.Detail, DurationUs: int64(e.Duration),
		}
	}
	s.push(&eventpb.Envelope{
		Id: follow.Id, EventType: follow.EventType, Timestamp: int64(s.x.h.micros()), Payload: event.Payload(r),
		Metadata: &eventpb.Metadata{TraceContext: map[string]string{keySeq: strconv.FormatUint(seqOfLast(page), 10)}},
	})
	select {
	case <-s.drained:
		return true
	case <-s.ctx.Done():
		return false
	}
}
