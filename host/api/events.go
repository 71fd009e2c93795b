package api

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// eventsLastDefault is how many events an answer has that neither follows nor says how many.
const eventsLastDefault = 100

// traceWait is how long a question about a trace waits for the history of its end to be written.
const traceWait = 2 * time.Second

// historyFilter restricts who may not operate the node to their own events. They name paths of the whole namespace, so a program's token that may
// not read all of it sees none.
func (x *exchange) historyFilter() (inos.EventFilter, error) {
	if x.may("node", "read") {
		return inos.EventFilter{}, nil
	}
	if !x.may("files", "read") {
		x.h.node.Refused("node:events by " + string(x.session.Subject) + ", whose token does not read the whole namespace")
		return inos.EventFilter{}, inos.Errorf(inos.CodePermissionDenied, "node:events", "history names paths of the whole namespace, which needs the capability files:read:/*")
	}
	return inos.EventFilter{Subject: x.session.Subject}, nil
}

// historyQuery is what a client wants of the history.
type historyQuery struct {
	filter inos.EventFilter // with what was sent already left out
	follow bool
	wanted bool // there is something to send at all
	first  []inos.Event
}

// events answers with history as server-sent events, oldest first: GET /v1/events?prefix=&trace=&last=&after=&follow=.
// The id of each is its sequence number, its data one line of JSON (Event). last says how many of the newest; follow=1
// goes on with each that is recorded. after, or a Last-Event-ID header, which a client sends when it connects again,
// begins behind that one instead. With Upgrade: websocket it opens a socket (socket.go).
func (x *exchange) events(target) error {
	upgrade := x.r.Header.Get("Upgrade") != ""
	if upgrade {
		if err := x.checkUpgrade(); err != nil {
			return err
		}
	}
	values, err := x.query("prefix", "trace", "last", "after", "follow")
	if err != nil {
		return err
	}
	follow, err := flag(values, "follow")
	if err != nil {
		return err
	}
	if follow || upgrade {
		x.h.endWith(x.r)
		user := x.session.Subject // of later: the session is looked up again while it is followed
		if err := x.h.followers.enter("node:events", "clients follow the events", user, FollowersUserMax, FollowersMax); err != nil {
			return err
		}
		defer x.h.followers.leave(user)
	}
	fallback := uint64(eventsLastDefault)
	if follow || upgrade {
		fallback = 0
	}
	q, err := x.historyQuery(values, follow, fallback)
	if err != nil {
		return err
	}
	if upgrade {
		return x.socket(q)
	}
	return x.stream(q.filter, follow, q.first)
}

func (x *exchange) historyQuery(values url.Values, follow bool, fallback uint64) (*historyQuery, error) {
	last, err := number(values, "last", fallback, eventsLimitMax)
	if err != nil {
		return nil, err
	}
	f, refusal := x.historyFilter()
	f.TypePrefix, f.TraceID = values.Get("prefix"), values.Get("trace")
	if len(f.TypePrefix) > inos.EventTypeBytesMax {
		return nil, inos.Errorf(inos.CodeBadRequest, "node:events", "prefix has at most %d bytes", inos.EventTypeBytesMax)
	}
	if f.TraceID != "" && !isTraceID(f.TraceID) {
		return nil, inos.Errorf(inos.CodeBadRequest, "node:events", "trace=%.40q is not 32 lower-case hexadecimal digits", f.TraceID)
	}
	q := &historyQuery{filter: f, follow: follow, wanted: follow || last > 0}
	after, name := x.r.Header.Get("Last-Event-ID"), "Last-Event-ID"
	if after == "" {
		after, name = values.Get("after"), "after"
	}
	if after != "" {
		seq, ok := parseDigits(after)
		if !ok {
			return nil, inos.Errorf(inos.CodeBadRequest, "parse "+name, "%.40q is not a sequence number", after)
		}
		all, err := x.newest(inos.EventFilter{}, 1)
		if err != nil {
			return nil, err
		}
		if seq > seqOfLast(all) {
			seq = 0 // of a history before this one, all of which is new
		}
		q.filter.AfterSeq, q.wanted = seq, true
		return q, refusal
	}
	if q.wanted && refusal != nil {
		return nil, refusal
	}
	if last > 0 {
		if q.first, err = x.newest(f, int(last)); q.first == nil {
			q.first = []inos.Event{}
		}
		return q, err
	}
	// The filter may match nothing for long; the place to go on from is the newest of all.
	all, err := x.newest(inos.EventFilter{}, 1)
	q.filter.AfterSeq = seqOfLast(all)
	return q, err
}

func (x *exchange) newest(f inos.EventFilter, count int) ([]inos.Event, error) {
	f.Limit, f.Last = count, true
	return x.h.node.Events(x.r.Context(), f)
}

// stream writes first, then what follows f.AfterSeq.
func (x *exchange) stream(f inos.EventFilter, follow bool, first []inos.Event) error {
	header := x.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx passes each event on at once
	f.Limit = eventsPage
	page, more := first, follow || first == nil
	if first != nil {
		f.AfterSeq = max(f.AfterSeq, seqOfLast(first))
	}
	tick := time.NewTicker(x.h.keepAlive)
	defer tick.Stop()
	for sent := 0; ; {
		for i := range page {
			if err := x.writeEvent(&page[i]); err != nil {
				return err
			}
		}
		sent += len(page)
		if x.w.status == 0 {
			x.w.WriteHeader(http.StatusOK)
		}
		if err := x.w.flush(); err != nil {
			return err
		}
		if !more || !follow && sent >= eventsLimitMax {
			return nil
		}
		recorded := x.h.node.Recorded()
		if err := x.authenticate(); err != nil { // a session that has ended sees no more
			return err
		}
		var err error
		if page, err = x.h.node.Events(x.r.Context(), f); err != nil {
			return err
		}
		if len(page) > 0 {
			f.AfterSeq = seqOfLast(page)
			continue
		}
		if !follow {
			return nil
		}
		if open, err := x.await(recorded, tick.C); err != nil || !open {
			return err
		}
	}
}

// await returns when something was recorded; open is false when the stream is to end.
func (x *exchange) await(recorded <-chan struct{}, tick <-chan time.Time) (open bool, err error) {
	for {
		select {
		case <-recorded:
			return true, nil
		case <-x.h.closed:
			return false, nil
		case <-x.r.Context().Done():
			return false, x.r.Context().Err()
		case <-tick: // proves to both sides and all between that the connection lives
			if _, err := io.WriteString(x.w, ": keep-alive\n\n"); err != nil {
				return false, err
			}
			if err := x.w.flush(); err != nil {
				return false, err
			}
		}
	}
}

func seqOfLast(events []inos.Event) uint64 {
	if len(events) == 0 {
		return 0
	}
	return events[len(events)-1].Seq
}

func (x *exchange) writeEvent(e *inos.Event) error {
	data, err := json.Marshal(eventOf(e))
	if err != nil {
		panic("api: encode an event: " + err.Error()) // no input can cause it
	}
	// An event type that a node recorded has no line break; one that had could forge a field.
	_, err = fmt.Fprintf(x.w, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, strings.Map(dropControl, e.Type), data)
	return err
}

func dropControl(r rune) rune {
	if r < ' ' {
		return -1
	}
	return r
}

// traces answers with what is known of one trace: GET /v1/traces/{id}. History is written in batches, so a trace
// that is not there yet, or of which a request has no end yet, is waited for a moment; then the answer is what there is.
func (x *exchange) traces(t target) error {
	timeout := time.NewTimer(x.h.traceWait)
	defer timeout.Stop()
	for {
		recorded := x.h.node.Recorded()
		out, err := x.readTrace(t.traceID)
		if err != nil {
			return err
		}
		if !out.complete() {
			select {
			case <-recorded:
				continue
			case <-timeout.C:
			case <-x.h.closed:
			case <-x.r.Context().Done():
				return x.r.Context().Err()
			}
		}
		x.writeJSON(http.StatusOK, out)
		return nil
	}
}

// complete tells whether everything that was recorded as begun has ended and left its spans. A request that was refused
// at once has neither a beginning nor spans.
func (t *Trace) complete() bool {
	requested, ended := 0, 0
	for i := range t.Events {
		switch e := t.Events[i].Type; {
		case hasState(e, event.StateRequested):
			requested++
		case hasState(e, event.StateCompleted), hasState(e, event.StateFailed):
			ended++
		}
	}
	return ended > 0 && ended >= requested && (requested == 0 || len(t.Spans) > 0)
}

func (x *exchange) readTrace(id string) (Trace, error) {
	out := Trace{TraceID: id, Events: []Event{}, Spans: []Span{}}
	f, err := x.historyFilter()
	if err != nil {
		return out, err
	}
	f.TraceID = id
	events, err := x.h.node.Events(x.r.Context(), f)
	if err != nil {
		return out, err
	}
	for i := range events {
		out.Events = append(out.Events, eventOf(&events[i]))
	}
	if f.Subject != "" {
		if own, err := x.ownTrace(events, f); err != nil || !own {
			return out, err
		}
	}
	spans, err := x.h.node.Spans(x.r.Context(), id)
	if err != nil {
		return out, err
	}
	for i := range spans {
		out.Spans = append(out.Spans, spanOf(&spans[i]))
	}
	return out, nil
}

// ownTrace says that nobody but the session's user has a part in a trace, of which these are the user's events. Spans sum what all have done under it,
// and who knows the id of another's trace can send a request of their own under the same.
func (x *exchange) ownTrace(own []inos.Event, f inos.EventFilter) (bool, error) {
	if len(own) == 0 {
		return false, nil
	}
	all, err := x.h.node.Events(x.r.Context(), inos.EventFilter{TraceID: f.TraceID, Limit: traceEventsMax})
	other := func(e inos.Event) bool { return e.Subject != "" && e.Subject != f.Subject }
	return len(all) < traceEventsMax && !slices.ContainsFunc(all, other), err
}

// traceEventsMax is how many events of a trace are looked at for whether it is a user's own; one with more shows that user no spans.
const traceEventsMax = 10_000

// submittable lists the requests that need no host stream. File bytes travel as bodies: a stream's number in a
// client's envelope would name somebody else's.
var submittable = map[string]bool{
	event.FilesStat: true, event.FilesList: true, event.FilesDelete: true, event.FilesVerify: true, event.NodeStatus: true,
}

// protobufType is the media type of a binary envelope.
const protobufType = "application/x-protobuf"

// submit takes one binary envelope and answers with the last reply to it: POST /v1/events. A reply that failed has the
// status of its code and is an envelope too; an envelope that is refused here gets a problem.
func (x *exchange) submit(target) error {
	const op = "submit envelope"
	if media := x.r.Header.Get("Content-Type"); media != protobufType {
		return inos.Errorf(inos.CodeBadRequest, op, "Content-Type %.80q is not %s", media, protobufType)
	}
	raw, err := x.readEnvelope()
	if err != nil {
		return err
	}
	e, err := event.Decode(raw)
	if err != nil {
		return err
	}
	if err := x.adopt(e); err != nil {
		return err
	}
	final, err := x.h.node.Request(x.r.Context(), e, nil)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if hasState(final.EventType, event.StateFailed) {
		status = event.FailureOf(final).Code.HTTPStatus()
	}
	x.w.Header().Set("Content-Type", protobufType)
	x.w.WriteHeader(status)
	_, _ = x.w.Write(event.Encode(nil, final)) // a client that left has no use for the error
	return nil
}

func (x *exchange) readEnvelope() ([]byte, error) {
	const limit = inos.EnvelopeHeadBytesMax + inos.PayloadBytesMax
	if x.r.ContentLength > limit {
		return nil, inos.Errorf(inos.CodeEnvelopeTooLarge, "read envelope", "%d bytes, at most %d", x.r.ContentLength, limit)
	}
	raw, err := io.ReadAll(io.LimitReader(x.body, limit+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > limit {
		return nil, inos.Errorf(inos.CodeEnvelopeTooLarge, "read envelope", "more than %d bytes", limit)
	}
	return raw, nil
}

// adopt makes a client's envelope one of the session: its secret becomes the id of the token, and who it says it is
// from must be who the token says.
func (x *exchange) adopt(e *eventpb.Envelope) error {
	const op = "submit envelope"
	if !hasState(e.EventType, event.StateRequested) {
		return inos.Errorf(inos.CodeBadRequest, op, "%s: a client sends only the state requested", e.EventType)
	}
	if !submittable[e.EventType] {
		return inos.Errorf(inos.CodeUnknownEvent, op, "%s is not taken as an envelope; file bytes travel by /v1/files", e.EventType)
	}
	if _, err := event.IDTime(e.Id); err != nil {
		return err
	}
	if e.Metadata == nil {
		e.Metadata = &eventpb.Metadata{}
	}
	m := e.Metadata
	secret, _ := bearer(x.r.Header.Values("Authorization"))
	if m.SecurityToken != "" && subtle.ConstantTimeCompare([]byte(m.SecurityToken), []byte(secret)) != 1 {
		return unauthenticated()
	}
	if m.UserId != "" && m.UserId != string(x.session.Subject) || m.DeviceId != "" && m.DeviceId != x.session.Device {
		return inos.Errorf(inos.CodePermissionDenied, op, "user_id or device_id is not the token's")
	}
	m.UserId, m.DeviceId, m.SecurityToken = string(x.session.Subject), x.session.Device, x.session.TokenID
	if m.TraceContext == nil {
		m.TraceContext = map[string]string{}
	}
	if given := event.TraceID(e); given != "" {
		if x.w != nil {
			x.w.Header().Set("Inos-Trace-Id", given)
		}
	} else {
		for k, v := range x.trace.context() {
			m.TraceContext[k] = v
		}
	}
	return nil
}
