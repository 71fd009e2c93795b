package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/inos-mesh/inos"
)

// problem is the body of an answer that failed: application/problem+json (RFC 9457).
type problem struct {
	Type         string `json:"type"` // "urn:inos:error:" and the code
	Title        string `json:"title"`
	Status       int    `json:"status"`
	Code         string `json:"code"`
	Number       uint32 `json:"number"`
	Detail       string `json:"detail"`
	Hint         string `json:"hint,omitempty"`
	Operation    string `json:"operation"`
	RetryAfterUs int64  `json:"retry_after_us,omitempty"`
	TraceID      string `json:"trace_id,omitempty"`
}

const problemType = "application/problem+json"

func problemOf(err error, traceID string) problem {
	var e *inos.Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, context.Canceled):
		e = inos.Errorf(inos.CodeCanceled, "serve", "%w", err)
	case errors.Is(err, context.DeadlineExceeded):
		e = inos.Errorf(inos.CodeDeadlineExceeded, "serve", "%w", err)
	default:
		e = inos.Errorf(inos.CodeInternal, "serve", "%w", err)
	}
	return problem{
		Type: "urn:inos:error:" + e.Code.Name(), Title: e.Code.Name(), Status: e.Code.HTTPStatus(), Code: e.Code.Name(), Number: uint32(e.Code),
		Detail: e.Message, Hint: e.HintText(), Operation: e.Op, RetryAfterUs: int64(e.RetryAfter), TraceID: traceID,
	}
}

// error is the inverse of problemOf, for the client.
func (p *problem) error() *inos.Error {
	return &inos.Error{Code: inos.Code(p.Number), Op: p.Operation, Message: p.Detail, Hint: p.Hint, RetryAfter: inos.Micros(p.RetryAfterUs)}
}

// fail answers with an error. An answer that has begun cannot change its status any more: the connection is aborted,
// so that the client sees a truncated body and not a short file.
func (x *exchange) fail(err error) {
	if x.w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	p := problemOf(err, x.trace.id())
	header := x.w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Content-Disposition", "ETag", "Last-Modified", "Accept-Ranges", "Inos-File-Id", "Inos-Version"} {
		header.Del(name)
	}
	if inos.Code(p.Number) != inos.CodeRangeNotSatisfiable {
		header.Del("Content-Range")
	}
	header.Set("Content-Type", problemType)
	header.Set("Cache-Control", "no-store")
	switch inos.Code(p.Number) {
	case inos.CodeUnauthenticated:
		header.Set("WWW-Authenticate", `Bearer realm="inos"`)
	case inos.CodeOriginRefused: // what the page said of itself stays out of the history: it can be anything
		x.h.node.Refused(p.Operation + ": a page of another origin, or one that does not show the header " + csrfHeader)
	case inos.CodeBusy, inos.CodeShuttingDown, inos.CodeRateLimited, inos.CodeWorkerLost:
		if p.RetryAfterUs == 0 {
			p.RetryAfterUs = busyRetry.Microseconds()
		}
	case inos.CodeQuorumLost, inos.CodePeerUnreachable:
		if p.RetryAfterUs == 0 {
			p.RetryAfterUs = meshRetry.Microseconds()
		}
	}
	if p.RetryAfterUs > 0 {
		header.Set("Retry-After", strconv.FormatInt((p.RetryAfterUs+999_999)/1_000_000, 10))
	}
	x.writeJSON(p.Status, p)
}

// writeJSON answers with one JSON value. The caller may have set another Content-Type.
func (x *exchange) writeJSON(status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("api: encode an answer: " + err.Error()) // no input can cause it
	}
	body = append(body, '\n')
	header := x.w.Header()
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/json")
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(body) // a client that left has no use for the error
	}
}
