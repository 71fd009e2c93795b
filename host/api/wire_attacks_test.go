package api

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Two servers in a row that read the same bytes as different requests let a client speak in another's name. Every form
// is refused, or read in one way and the connection ended behind it; what hides in a body is never a request.
func TestSmuggling(t *testing.T) {
	d, s := serve(t, Options{})
	const hidden = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
	auth := "Host: x\r\nAuthorization: Bearer " + operatorSecret + "\r\n"
	put := "PUT /v1/files/a HTTP/1.1\r\n" + auth
	for _, c := range []struct{ name, text, status string }{
		{"length and chunked", put + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n" + hidden, "201"},
		{"chunked and length", put + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n1\r\nx\r\n0\r\n\r\n" + hidden, "200"},
		{"two lengths", put + "Content-Length: 1\r\nContent-Length: 35\r\n\r\nx" + hidden, "400"},
		{"two lengths in a list", put + "Content-Length: 1, 35\r\n\r\nx" + hidden, "400"},
		{"a length with a sign", put + "Content-Length: +1\r\n\r\nx" + hidden, "400"},
		{"a length in hexadecimal", put + "Content-Length: 0x1\r\n\r\nx" + hidden, "400"},
		{"a length below nothing", put + "Content-Length: -1\r\n\r\nx" + hidden, "400"},
		{"a length beyond all", put + "Content-Length: 18446744073709551617\r\n\r\nx" + hidden, "400"},
		{"an empty length", put + "Content-Length: \r\n\r\n" + hidden, "400"},
		{"a space before the colon", put + "Content-Length : 1\r\n\r\nx" + hidden, "400"},
		{"a tab before the colon", put + "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n" + hidden, "400"},
		{"another coding", put + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + hidden, "501"},
		{"a coding twice", put + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, "501"},
		{"a coding that looks like chunked", put + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden, "501"},
		{"a coding behind a vertical tab", put + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + hidden, "400"},
		{"a bare CR in a value", put + "X: a\rContent-Length: 1\r\n\r\n" + hidden, "400"},
		{"a NUL in a value", put + "X: a\x00\r\nContent-Length: 1\r\n\r\nx" + hidden, "400"},
		{"a header that begins folded", "PUT /v1/files/a HTTP/1.1\r\n X: folded\r\n" + auth + "Content-Length: 1\r\n\r\nx" + hidden, "400"},
		{"a length of a chunk with a bare LF", put + "Transfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n" + hidden, "400"},
		{"a length of a chunk with a sign", put + "Transfer-Encoding: chunked\r\n\r\n+1\r\nx\r\n0\r\n\r\n" + hidden, "400"},
		{"a length of a chunk beyond all", put + "Transfer-Encoding: chunked\r\n\r\n10000000000000001\r\nx\r\n0\r\n\r\n" + hidden, "400"},
		{"a chunk that is longer than it says", put + "Transfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n" + hidden, "400"},
		{"two hosts", "PUT /v1/files/a HTTP/1.1\r\nHost: y\r\n" + auth + "Content-Length: 1\r\n\r\nx" + hidden, "400"},
		{"no host", "GET /healthz HTTP/1.1\r\n\r\n" + hidden, "400"},
		{"another protocol", "GET /healthz HTTP/1.1x\r\nHost: x\r\n\r\n" + hidden, "400"},
		{"a body in a GET", "GET /v1/version HTTP/1.1\r\n" + auth + "Content-Length: 35\r\nConnection: close\r\n\r\n" + hidden, "200"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := answered(t, s, c.text)
			if !strings.HasPrefix(got, "HTTP/1.1 "+c.status+" ") {
				t.Errorf("%.200q, want %s", got, c.status)
			}
			if n := strings.Count(got, "HTTP/1.1 "); n != 1 {
				t.Errorf("%d answers: %q", n, got)
			}
		})
	}
	// A folded value is one value, with a space for the fold (RFC 9112, 5.2); a bare LF ends a line of a header for
	// everybody who reads it (2.2). Neither changes where the request ends.
	for name, text := range map[string]string{
		"folded":  put + "X: a\r\n Content-Length: 35\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx" + hidden,
		"bare LF": strings.ReplaceAll(put, "\r\n", "\n") + "Content-Length: 1\nConnection: close\n\nx" + hidden,
	} {
		if got := answered(t, s, text); !strings.HasPrefix(got, "HTTP/1.1 20") || strings.Count(got, "HTTP/1.1 ") != 1 {
			t.Errorf("%s: %q", name, got)
		}
		if f := d.files["/a"]; string(f.body) != "x" {
			t.Errorf("%s: the body is %q", name, f.body)
		}
	}
}

// A header that never ends is waited for no longer than the server's bound, however often another byte of it comes.
func TestSlowHeader(t *testing.T) {
	h := New(newDouble(t), Options{})
	server := NewServer(h)
	if server.ReadHeaderTimeout != HeaderTimeout || server.IdleTimeout != IdleTimeout {
		t.Errorf("the server waits for %v and %v", server.ReadHeaderTimeout, server.IdleTimeout)
	}
	s := httptest.NewUnstartedServer(nil)
	server.ReadHeaderTimeout = 100 * time.Millisecond
	s.Config = server
	s.Start()
	defer s.Close()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, c)
	}()
	ticks := time.NewTicker(10 * time.Millisecond)
	defer ticks.Stop()
	for {
		select {
		case <-ended:
			return
		case <-ticks.C:
			_, _ = io.WriteString(c, "X: y\r\n") // fails at the end; that is what is waited for
		}
	}
}

// A body that drips keeps no request open.
func TestDrippingBody(t *testing.T) {
	pipe, client := io.Pipe()
	defer pipe.Close()
	go func() {
		for {
			if _, err := client.Write([]byte("x")); err != nil {
				return
			}
		}
	}()
	b := &body{r: pipe, rc: http.NewResponseController(httptest.NewRecorder()), stall: time.Hour, waited: time.Hour + time.Second, received: 3601 * BodyRateMin}
	p := make([]byte, 1)
	if _, err := b.Read(p); err != nil {
		t.Errorf("a client that is as fast as it has to be: %v", err)
	}
	b.received = 3600 * BodyRateMin
	if _, err := b.Read(p); err == nil || !strings.Contains(err.Error(), "a second") {
		t.Errorf("a client that is slower: %v", err)
	}
	b.waited, b.received = time.Hour-time.Second, 0
	if _, err := b.Read(p); err != nil {
		t.Errorf("a client that has just begun: %v", err)
	}
}

// Connections beyond the bound push out those that wait for longest; those at work stay.
func TestConnectionsAreBounded(t *testing.T) {
	const limit = 8
	d := newDouble(t)
	h := New(d, Options{})
	s := httptest.NewUnstartedServer(nil)
	s.Config = NewServer(h)
	s.Config.ConnState = newConnections(limit).change
	s.Start()
	defer s.Close()
	defer h.Close()
	entered, leave := make(chan struct{}), make(chan struct{})
	d.hook = func(_ context.Context, e *eventpb.Envelope, _ func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		if e.EventType == event.FilesStat {
			entered <- struct{}{}
			<-leave
		}
		return nil, nil
	}
	dial := func(text string) net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		return c
	}
	question := "GET /v1/stat/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + operatorSecret + "\r\n\r\n"
	var idle []net.Conn
	for range 50 {
		idle = append(idle, dial("GET /healthz HTTP/1.1\r\nX"))
	}
	for i, c := range idle[:50-limit] {
		if _, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("connection %d of 50: %v", i, err)
		}
	}
	var working []net.Conn
	for range limit {
		working = append(working, dial(question))
		<-entered
	}
	if _, err := io.ReadAll(dial(question)); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("a connection too many: %v", err)
	}
	close(leave)
	for _, c := range working {
		if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 404") {
			t.Errorf("a connection at work: %q, %v", line, err)
		}
	}
	// What is idle again makes room; the server calls it so some time after its answer.
	for answered := false; !answered; {
		line, _ := bufio.NewReader(dial("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")).ReadString('\n')
		answered = strings.HasPrefix(line, "HTTP/1.1 200")
	}
}

func TestDigests(t *testing.T) {
	d, s := serve(t, Options{})
	const body = "0123456789"
	short, long := sha256.Sum256([]byte(body)), sha512.Sum512([]byte(body))
	good, other := "sha-256=:"+base64.StdEncoding.EncodeToString(short[:])+":", "sha-256=:"+base64.StdEncoding.EncodeToString(make([]byte, 32))+":"
	wide := "sha-512=:" + base64.StdEncoding.EncodeToString(long[:]) + ":"
	for _, c := range []struct {
		name, value string
		status      int
	}{
		{"sha-256", good, 200},
		{"both", wide + ", " + good, 200},
		{"with a parameter", good + ";x=1", 200},
		{"unknown and known", "md5=:AA==:, " + good, 200},
		{"unknown", "md5=:AA==:", 200},
		{"another sum", other, 422},
		{"one of two", wide + "," + other, 422},
		{"no base64", "sha-256=:!:", 400},
		{"a string", `sha-256="x"`, 400},
		{"too short", "sha-256=:AA==:", 400},
		{"two sums", good + ", " + other, 400},
	} {
		for _, name := range digestNames {
			call(t, s, "PUT", "/v1/files/a", "before")
			a := call(t, s, "PUT", "/v1/files/a", body, name, c.value)
			if a.status != c.status {
				t.Errorf("%s %s: %d %s, want %d", name, c.name, a.status, a.body, c.status)
			}
			if stored := string(d.files["/a"].body); (stored == body) != (c.status == 200) {
				t.Errorf("%s %s: stored %q", name, c.name, stored)
			}
		}
	}
	for trailer, want := range map[string]string{good: "HTTP/1.1 200", other: "HTTP/1.1 422", "sha-256=x": "HTTP/1.1 400"} {
		got := raw(t, s, "PUT /v1/files/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+operatorSecret+"\r\nTrailer: Repr-Digest\r\nTransfer-Encoding: chunked\r\n\r\n"+
			"a\r\n"+body+"\r\n0\r\nRepr-Digest: "+trailer+"\r\n\r\n", false)
		if !strings.HasPrefix(got, want) {
			t.Errorf("trailer %s: %.200q, want %s", trailer, got, want)
		}
	}
}

// A body that is announced, never sent and read by nobody holds up no answer for longer than a stall, and no connection behind it; one that is sent is in
// nobody's way either.
func TestBodyThatNobodyReads(t *testing.T) {
	_, s := serve(t, Options{StallTimeout: 100 * time.Millisecond})
	auth := "Authorization: Bearer " + operatorSecret + "\r\n"
	for _, c := range []struct{ request, body, status string }{
		{"GET /healthz HTTP/1.1\r\nContent-Length: 5\r\n", "", "200"},
		{"GET /v1/openapi.json HTTP/1.1\r\nContent-Length: 5\r\n", "", "200"}, // more than the server keeps back
		{"GET /v1/openapi.json HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", "5\r\nab", "200"},
		{"PUT /v1/files/a HTTP/1.1\r\nContent-Length: 200000\r\n", "ab", "401"},
		{"PUT /v1/files/a HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n", "", "401"},
		{"PUT /v1/files/a HTTP/1.1\r\nContent-Length: 5\r\nIf-Match: \"x\"\r\n" + auth, "", "412"},
		{"GET /v1/openapi.json HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n", "5\r\nab", "200"},
		{"GET /v1/openapi.json HTTP/1.1\r\nContent-Length: 5\r\nConnection: close\r\n", "12345", "200"},
	} {
		conn := dialed(t, s, c.request+"Host: x\r\n\r\n"+c.body)
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		got, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 "+c.status+" ") {
			t.Errorf("%q: %.200q, %v", c.request, got, err)
		}
		_ = conn.Close()
	}
}
