package api

import (
	"context"
	"crypto/rand"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// hostToken is the token id of the node itself. No client can name it: every other envelope carries its session's.
const hostToken = "host"

// envelope returns a request of the session. Its token is the id of the verified one, never the secret.
func (x *exchange) envelope(id, eventType string, payload event.Message) *eventpb.Envelope {
	if x.owner != "" {
		inNamespaceOf(x.owner, payload)
	}
	return &eventpb.Envelope{
		Id: id, EventType: eventType, Timestamp: int64(x.h.micros()), Payload: event.Payload(payload),
		Metadata: &eventpb.Metadata{
			UserId: string(x.session.Subject), DeviceId: x.session.Device,
			TraceContext: x.trace.context(), SecurityToken: x.session.TokenID,
		},
	}
}

// newID returns a fresh UUIDv7.
func newID(now time.Time) string {
	var random [10]byte
	_, _ = rand.Read(random[:]) // it cannot fail
	return event.NewID(inos.Micros(now.UnixMicro()), random)
}

// requestID returns the id that a client chose to make its request idempotent, or a new one.
func (x *exchange) requestID() (string, error) {
	id := x.r.Header.Get("Inos-Request-Id")
	if id == "" {
		return newID(x.h.now()), nil
	}
	if _, err := event.IDTime(id); err != nil {
		return "", inos.Errorf(inos.CodeBadRequest, "parse Inos-Request-Id", "%w", err)
	}
	return id, nil
}

// ask sends a request and reads its reply into reply; a failed reply is its error.
func (x *exchange) ask(eventType string, payload, reply event.Message) error {
	return x.send(x.r.Context(), x.envelope(newID(x.h.now()), eventType, payload), reply, nil)
}

func (x *exchange) send(ctx context.Context, e *eventpb.Envelope, reply event.Message, progress func(*eventpb.Envelope)) error {
	final, err := x.h.node.Request(ctx, e, progress)
	if err != nil {
		return err
	}
	if hasState(final.EventType, event.StateFailed) {
		return notFound(e, event.FailureOf(final))
	}
	return event.Open(final, reply)
}

// notFound says of a file that is not there what the client called it; how the memories are asked for it, and by which
// name they know who asks, is nothing to it. Other failures are returned as they are.
func notFound(e *eventpb.Envelope, failure *inos.Error) error {
	if failure.Code != inos.CodeFileNotFound {
		return failure
	}
	path, id := fileNamed(e)
	switch out := *failure; {
	case path != "":
		out.Op, out.Message = event.Stage(e.EventType), "no file "+strconv.Quote(path)
		return &out
	case len(id) > 0:
		out.Op, out.Message = event.Stage(e.EventType), "no file with the id "+hash(id)
		return &out
	}
	return failure
}

// fileNamed returns the path or the FileID that a request names.
func fileNamed(e *eventpb.Envelope) (path string, fileID []byte) {
	switch e.EventType {
	case event.FilesGet:
		var q eventpb.FilesGetRequest
		if event.Open(e, &q) == nil {
			return q.Path, q.FileId
		}
	case event.FilesStat:
		var q eventpb.FilesStatRequest
		if event.Open(e, &q) == nil {
			return q.Path, q.FileId
		}
	case event.FilesDelete:
		var q eventpb.FilesDeleteRequest
		if event.Open(e, &q) == nil {
			return q.Path, nil
		}
	case event.FilesSet:
		var q eventpb.FilesSetRequest
		if event.Open(e, &q) == nil {
			return q.Path, nil
		}
	case event.FilesVerify:
		var q eventpb.FilesVerifyRequest
		if event.Open(e, &q) == nil {
			return q.Path, nil
		}
	}
	return "", nil
}

func hasState(eventType string, s event.State) bool {
	return strings.HasSuffix(eventType, ":"+string(s))
}

// fileRequest is what names a file: its path, or its FileID in the session's namespace.
func (t target) fileRequest() (path string, fileID []byte) {
	if t.fileID != nil {
		return "", t.fileID[:]
	}
	return string(t.path), nil
}

// query reads the parameters of an address and refuses those that the route does not know: a misspelt filter must
// not select everything.
func (x *exchange) query(known ...string) (url.Values, error) {
	values, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		return nil, inos.Errorf(inos.CodeBadRequest, "parse query", "%w", err)
	}
next:
	for name, v := range values {
		for _, k := range known {
			if name == k && len(v) == 1 {
				if !utf8.ValidString(v[0]) {
					return nil, inos.Errorf(inos.CodeBadRequest, "parse query", "%s=%.40q is not UTF-8", name, v[0])
				}
				continue next
			}
		}
		return nil, inos.Errorf(inos.CodeBadRequest, "parse query", "%.40q is unknown or given twice; there are: %s", name, strings.Join(known, ", "))
	}
	return values, nil
}

// number reads a parameter from 0 to limit; absent means fallback.
func number(values url.Values, name string, fallback, limit uint64) (uint64, error) {
	s := values.Get(name)
	if s == "" {
		return fallback, nil
	}
	n, ok := parseDigits(s)
	if !ok || n > limit {
		return 0, inos.Errorf(inos.CodeBadRequest, "parse query", "%s=%.40q is not a number from 0 to %d", name, s, limit)
	}
	return n, nil
}

// flag reads a parameter that is "", "0" or "1".
func flag(values url.Values, name string) (bool, error) {
	switch s := values.Get(name); s {
	case "", "0":
		return false, nil
	case "1":
		return true, nil
	default:
		return false, inos.Errorf(inos.CodeBadRequest, "parse query", "%s=%.40q is neither 0 nor 1", name, s)
	}
}

// small reads a header that is absent or a number from 1 to 255.
func (x *exchange) small(name string) (uint32, error) {
	s := x.r.Header.Get(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || n == 0 {
		return 0, inos.Errorf(inos.CodeBadRequest, "parse "+name, "%.40q is not a number from 1 to 255", s)
	}
	return uint32(n), nil
}
