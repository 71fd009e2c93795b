package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// dial opens a socket with a token.
func dial(t *testing.T, s *httptest.Server, secret, query string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(context.Background(), s.URL+"/v1/events"+query, &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + secret}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	c.SetReadLimit(8 << 20)
	return c
}

func statOf(path string) *eventpb.Envelope {
	return &eventpb.Envelope{Id: newID(time.Now()), EventType: event.FilesStat, Timestamp: 1, Payload: event.Payload(&eventpb.FilesStatRequest{Path: path})}
}

func write(t *testing.T, c *websocket.Conn, e *eventpb.Envelope) {
	t.Helper()
	if err := c.Write(context.Background(), websocket.MessageBinary, event.Encode(nil, e)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, c *websocket.Conn) *eventpb.Envelope {
	t.Helper()
	kind, raw, err := c.Read(context.Background())
	if err != nil || kind != websocket.MessageBinary {
		t.Fatalf("%v, %v", kind, err)
	}
	e, err := event.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// closedWith reads on until the other side has closed, and wants that code.
func closedWith(t *testing.T, c *websocket.Conn, code websocket.StatusCode) {
	t.Helper()
	for {
		if _, _, err := c.Read(context.Background()); err != nil {
			if got := websocket.CloseStatus(err); got != code {
				t.Errorf("closed with %v (%v), want %v", got, err, code)
			}
			return
		}
	}
}

func TestSocketRequests(t *testing.T) {
	d, s := serve(t, Options{})
	call(t, s, "PUT", "/v1/files/a", "x")
	c := dial(t, s, operatorSecret, "")
	q := statOf("/a")
	write(t, c, q)
	reply := read(t, c)
	if reply.Id != q.Id || reply.EventType != "files:stat:v1:completed" {
		t.Errorf("%s %s", reply.Id, reply.EventType)
	}
	if m := d.last(event.FilesStat).Metadata; m.UserId != "operator" || m.SecurityToken != "t-operator" || m.TraceContext["traceparent"] == "" {
		t.Errorf("metadata %+v", m)
	}
	write(t, c, &eventpb.Envelope{Id: newID(time.Now()), EventType: event.FilesVerify, Timestamp: 1, Payload: event.Payload(&eventpb.FilesVerifyRequest{})})
	if first, last := read(t, c), read(t, c); first.EventType != "files:verify:v1:processing" || last.EventType != "files:verify:v1:completed" {
		t.Errorf("%s, then %s", first.EventType, last.EventType)
	}
	// What a POST refuses is refused, by a reply, and the socket goes on.
	before := len(d.seen)
	for _, x := range []struct {
		code   inos.Code
		change func(*eventpb.Envelope)
	}{
		{inos.CodeUnauthenticated, func(e *eventpb.Envelope) { e.Metadata = &eventpb.Metadata{SecurityToken: hostToken} }},
		{inos.CodePermissionDenied, func(e *eventpb.Envelope) { e.Metadata = &eventpb.Metadata{UserId: "guest"} }},
		{inos.CodeUnknownEvent, func(e *eventpb.Envelope) { e.EventType = event.FilesPut }},
		{inos.CodeBadRequest, func(e *eventpb.Envelope) { e.EventType = "files:stat:v1:completed" }},
		{inos.CodeBadEnvelope, func(e *eventpb.Envelope) { e.Id = "1" }},
	} {
		e := statOf("/a")
		x.change(e)
		write(t, c, e)
		if reply := read(t, c); reply.Id != e.Id || !hasState(reply.EventType, event.StateFailed) || event.FailureOf(reply).Code != x.code {
			t.Errorf("%s, want %s", reply.EventType, x.code.Name())
		}
	}
	if len(d.seen) != before {
		t.Error("a refused envelope reached the kernel")
	}
	write(t, c, statOf("/none"))
	if reply := read(t, c); event.FailureOf(reply).Code != inos.CodeFileNotFound {
		t.Errorf("%s", reply.EventType)
	}
}

// Replies come as they are ready, not in the order of the requests.
func TestSocketRequestsAreConcurrent(t *testing.T) {
	d, s := serve(t, Options{})
	call(t, s, "PUT", "/v1/files/a", "x")
	call(t, s, "PUT", "/v1/files/b", "x")
	leave := make(chan struct{})
	d.hook = func(_ context.Context, e *eventpb.Envelope, _ func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		var q eventpb.FilesStatRequest
		if event.Open(e, &q) == nil && q.Path == "/a" {
			<-leave
		}
		return nil, nil
	}
	c := dial(t, s, operatorSecret, "")
	slow, fast := statOf("/a"), statOf("/b")
	write(t, c, slow)
	write(t, c, fast)
	if got := read(t, c).Id; got != fast.Id {
		t.Errorf("%s came first", got)
	}
	close(leave)
	if got := read(t, c).Id; got != slow.Id {
		t.Errorf("%s came last", got)
	}
}

func TestSocketBounds(t *testing.T) {
	d, s := serve(t, Options{})
	var begun, ended atomic.Int64
	d.hook = func(ctx context.Context, e *eventpb.Envelope, progress func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		switch e.EventType {
		case event.FilesStat:
			begun.Add(1)
			<-ctx.Done()
			ended.Add(1)
			return nil, ctx.Err()
		case event.FilesVerify: // more than a client takes that reads nothing
			for ctx.Err() == nil {
				progress(event.Reply(e, event.StateProcessing, 1, make([]byte, 1<<20)))
			}
			return nil, ctx.Err()
		}
		return nil, nil
	}
	t.Run("requests", func(t *testing.T) {
		c := dial(t, s, operatorSecret, "")
		for range SocketRequestsMax + 1 {
			write(t, c, statOf("/a"))
		}
		closedWith(t, c, websocket.StatusPolicyViolation)
		if begun.Load() > SocketRequestsMax {
			t.Errorf("%d requests were begun", begun.Load())
		}
	})
	t.Run("outbox", func(t *testing.T) {
		c := dial(t, s, operatorSecret, "")
		write(t, c, &eventpb.Envelope{Id: newID(time.Now()), EventType: event.FilesVerify, Timestamp: 1, Payload: event.Payload(&eventpb.FilesVerifyRequest{})})
		closedWith(t, c, websocket.StatusTryAgainLater)
	})
	t.Run("a message", func(t *testing.T) {
		c := dial(t, s, operatorSecret, "")
		_ = c.Write(context.Background(), websocket.MessageBinary, make([]byte, inos.EnvelopeHeadBytesMax+inos.PayloadBytesMax+1)) // it may be closed before the end
		closedWith(t, c, websocket.StatusMessageTooBig)
	})
	t.Run("text", func(t *testing.T) {
		c := dial(t, s, operatorSecret, "")
		if err := c.Write(context.Background(), websocket.MessageText, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		closedWith(t, c, websocket.StatusUnsupportedData)
	})
	t.Run("no envelope", func(t *testing.T) {
		c := dial(t, s, operatorSecret, "")
		if err := c.Write(context.Background(), websocket.MessageBinary, []byte{0xff}); err != nil {
			t.Fatal(err)
		}
		closedWith(t, c, websocket.StatusInvalidFramePayloadData)
	})
	t.Run("followers", func(t *testing.T) {
		h := s.Config.Handler.(*Handler)
		h.followers.mu.Lock()
		h.followers.all += FollowersMax // whoever of the sockets above has not left yet
		h.followers.mu.Unlock()
		_, response, err := websocket.Dial(context.Background(), s.URL+"/v1/events", &websocket.DialOptions{
			HTTPHeader: http.Header{"Authorization": {"Bearer " + operatorSecret}},
		})
		if err == nil || response.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%v, %v", response, err)
		}
	})
}

// pageOf reads the lines of the history of one message, and the number to go on behind.
func pageOf(t *testing.T, e *eventpb.Envelope) (lines []*eventpb.EventRecord, seq string) {
	t.Helper()
	var r eventpb.RecordRequest
	if err := event.Open(e, &r); err != nil || e.EventType != historyPage {
		t.Fatalf("%s: %v", e.EventType, err)
	}
	return r.Events, e.Metadata.TraceContext[keySeq]
}

func TestSocketFollowsHistory(t *testing.T) {
	d, s := serve(t, Options{})
	d.record(
		inos.Event{ID: "1", Type: "files:put:v1:completed", Subject: "operator", Path: "/old"},
		inos.Event{ID: "2", Type: "files:get:v1:completed", Subject: "guest", Path: "/b"},
	)
	c := dial(t, s, operatorSecret, "?follow=1&last=1&prefix=files:put")
	lines, seq := pageOf(t, read(t, c))
	if len(lines) != 1 || lines[0].Path != "/old" || seq != "1" {
		t.Errorf("%v, %s", lines, seq)
	}
	for i := range 3 {
		d.record(inos.Event{ID: "x", Type: "node:tick:v1:requested"}, inos.Event{ID: "y", Type: "files:put:v1:completed", Path: fmt.Sprintf("/new%d", i)})
		if lines, _ = pageOf(t, read(t, c)); len(lines) != 1 || lines[0].Path != fmt.Sprintf("/new%d", i) {
			t.Errorf("%v", lines)
		}
	}
	// Another one goes on behind a number, and a guest sees his own alone.
	lines, seq = pageOf(t, read(t, dial(t, s, operatorSecret, "?after=2&prefix=files:")))
	if len(lines) != 3 || lines[0].Path != "/new0" || seq != "8" {
		t.Errorf("%v, %s", lines, seq)
	}
	if lines, _ = pageOf(t, read(t, dial(t, s, guestSecret, "?last=10"))); len(lines) != 1 || lines[0].Path != "/b" {
		t.Errorf("a guest sees %v", lines)
	}
}

// A token that may read a part of the namespace sees no history, which names paths of all of it; requests on a socket are the kernel's to judge.
func TestNarrowTokensSeeNoHistory(t *testing.T) {
	d, s := serve(t, Options{})
	d.record(inos.Event{ID: "1", Type: "files:put:v1:completed", Subject: "guest", Path: "/private", TraceID: strings.Repeat("1", 32)})
	for _, address := range []string{"/v1/events", "/v1/events?after=0", "/v1/events?follow=1", "/v1/traces/" + strings.Repeat("1", 32)} {
		if a := call(t, s, "GET", address, "", "Authorization", "Bearer "+narrowSecret); a.status != 403 || strings.Contains(a.body, "/private") {
			t.Errorf("%s: %d %s", address, a.status, a.body)
		}
	}
	handshake := []string{
		"Authorization", "Bearer " + narrowSecret, "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==",
	}
	for _, query := range []string{"?last=1", "?after=0", "?follow=1"} {
		if a := call(t, s, "GET", "/v1/events"+query, "", handshake...); a.status != 403 {
			t.Errorf("a socket with %s: %d %s", query, a.status, a.body)
		}
	}
	dial(t, s, narrowSecret, "")
}

func TestSocketHandshake(t *testing.T) {
	_, s := serve(t, Options{})
	good := map[string]string{
		"Host": "x", "Authorization": "Bearer " + operatorSecret, "Connection": "keep-alive, Upgrade", "Upgrade": "websocket",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
	}
	for _, c := range []struct{ name, header, value, want string }{
		{"good", "", "", "101"},
		{"its own page", "Origin", "http://x", "101"},
		{"another page", "Origin", "http://y", "403"},
		{"a page of no origin", "Origin", "null", "403"},
		{"no token", "Authorization", "", "401"},
		{"another protocol", "Upgrade", "h2c", "400"},
		{"no connection", "Connection", "close", "400"},
		{"another version", "Sec-WebSocket-Version", "8", "400"},
		{"a short key", "Sec-WebSocket-Key", "AAAA", "400"},
	} {
		text := "GET /v1/events HTTP/1.1\r\n"
		for name, value := range good {
			if name == c.header {
				value = c.value
			}
			if value != "" {
				text += name + ": " + value + "\r\n"
			}
		}
		if _, known := good[c.header]; !known && c.header != "" {
			text += c.header + ": " + c.value + "\r\n"
		}
		got := answered(t, s, text+"\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 "+c.want+" ") {
			t.Errorf("%s: %.200q, want %s", c.name, got, c.want)
		}
		if c.want[0] == '4' && !strings.Contains(got, problemType) {
			t.Errorf("%s: no problem: %q", c.name, got)
		}
	}
}

// A socket ends with the node, and with the session that opened it.
func TestSocketEnds(t *testing.T) {
	d := newDouble(t)
	h := New(d, Options{})
	s := httptest.NewUnstartedServer(nil)
	s.Config = NewServer(h)
	s.Start()
	defer s.Close()
	c := dial(t, s, operatorSecret, "?follow=1")
	h.Close()
	closedWith(t, c, websocket.StatusGoingAway)

	revoked := &revoking{double: d, code: inos.CodeUnauthenticated}
	h = New(revoked, Options{})
	h.keepAlive = time.Millisecond
	s = httptest.NewUnstartedServer(nil)
	s.Config = NewServer(h)
	s.Start()
	defer s.Close()
	defer h.Close()
	c = dial(t, s, operatorSecret, "?follow=1")
	write(t, c, statOf("/a"))
	read(t, c)
	r, _ := http.NewRequest("GET", s.URL+"/v1/events?follow=1", nil)
	r.Header.Set("Authorization", "Bearer "+operatorSecret)
	stream, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	revoked.now.Store(true)
	closedWith(t, c, websocket.StatusPolicyViolation)
	d.record(inos.Event{ID: "1", Type: "files:put:v1:completed"})
	if b, err := io.ReadAll(stream.Body); err == nil || strings.Contains(string(b), "files:put") {
		t.Errorf("a stream of a session that has ended: %q, %v", b, err)
	}
}

// A socket whose session cannot be looked up, because the kernel starts again, does not say that the session has ended.
func TestSocketWhileTheKernelStarts(t *testing.T) {
	starting := &revoking{double: newDouble(t), code: inos.CodeShuttingDown}
	h := New(starting, Options{})
	h.keepAlive = time.Millisecond
	s := httptest.NewUnstartedServer(nil)
	s.Config = NewServer(h)
	s.Start()
	defer s.Close()
	defer h.Close()
	c := dial(t, s, operatorSecret, "")
	starting.now.Store(true)
	closedWith(t, c, websocket.StatusTryAgainLater)
}

// revoking is a node whose sessions end, or fail to be found with another code.
type revoking struct {
	*double
	code inos.Code
	now  atomic.Bool
}

func (r *revoking) Authenticate(ctx context.Context, secret string) (inos.Session, error) {
	if r.now.Load() {
		return inos.Session{}, inos.Errorf(r.code, "find token", "it was revoked, or is not found now")
	}
	return r.double.Authenticate(ctx, secret)
}
