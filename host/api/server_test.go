package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// serve starts a server over a double; at its end every stream must have been released.
func serve(t *testing.T, o Options) (*double, *httptest.Server) {
	t.Helper()
	return serveBy(t, o, (*httptest.Server).Start)
}

// serveBy is serve with a listener of the test's choice.
func serveBy(t *testing.T, o Options, start func(*httptest.Server)) (*double, *httptest.Server) {
	t.Helper()
	d := newDouble(t)
	h := New(d, o)
	s := httptest.NewUnstartedServer(h)
	s.Config = NewServer(h)
	s.Config.ErrorLog = nil
	start(s)
	t.Cleanup(func() {
		h.Close()
		s.Close()
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.open != 0 {
			t.Errorf("%d streams were not released", d.open)
		}
	})
	return d, s
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) problem(t *testing.T) problem {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != problemType {
		t.Fatalf("status %d, Content-Type %q, want %s; body %s", a.status, got, problemType, a.body)
	}
	var p problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatalf("problem %q: %v", a.body, err)
	}
	return p
}

// call makes a request as the operator; headers are names and values in turn. An empty Authorization sends none.
func call(t *testing.T, s *httptest.Server, method, target, body string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequest(method, s.URL+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+operatorSecret)
	r.Header.Set("Accept-Encoding", "identity")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if r.Header.Get("Authorization") == "" {
		r.Header.Del("Authorization")
	}
	transport := http.DefaultTransport
	if s.TLS != nil {
		transport = s.Client().Transport // which knows the certificate
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	holdToDocument(t, method, r.URL.EscapedPath(), response, b)
	return answer{response.StatusCode, response.Header, string(b)}
}

func TestEveryRouteNeedsAToken(t *testing.T) {
	_, s := serve(t, Options{})
	addresses := map[route]string{
		routeMetrics: "/metrics", routeVersion: "/v1/version", routeStatus: "/v1/status", routeFiles: "/v1/files",
		routeFile: "/v1/files/a", routeBlob: "/v1/blobs/" + strings.Repeat("0", 64), routeStat: "/v1/stat/a",
		routeChunk: "/v1/chunks/" + strings.Repeat("0", 64), routeProof: "/v1/chunks/" + strings.Repeat("0", 64) + "/proof",
		routeVerify: "/v1/verify", routeEvents: "/v1/events", routeTrace: "/v1/traces/" + strings.Repeat("1", 32),
		routeNone:  "/v1/nothing",
		routeUsers: "/v1/users", routeWhoami: "/v1/whoami", routeUser: "/v1/users/ann", routeEnrolments: "/v1/users/ann/enrolments", routeDevices: "/v1/devices",
		routeDevice: "/v1/devices/d1", routeGroups: "/v1/groups", routeGroup: "/v1/groups/family", routeTokens: "/v1/tokens", routeToken: "/v1/tokens/t1",
		routeGrants: "/v1/grants", routeGrant: "/v1/grants/g1", routeLedger: "/v1/ledger", routeKeys: "/v1/keys", routeKey: "/v1/keys/token",
		routeCodes:   "/v1/dashboard/codes",
		routeUploads: "/v1/uploads", routeUpload: "/v1/uploads/u1", routeUploadMissing: "/v1/uploads/u1/missing", routeUploadCommit: "/v1/uploads/u1/commit",
		routeUploadChunk: "/v1/uploads/u1/chunks/" + strings.Repeat("0", 64),
		routeNodes:       "/v1/nodes", routeNode: "/v1/nodes/n1", routeInvites: "/v1/invites", routeRepairs: "/v1/repairs",
	}
	first := ""
	for r := range routes {
		if r.open() {
			continue
		}
		address, ok := addresses[r]
		if !ok {
			t.Fatalf("route %s has no address in this table", r.name())
		}
		for _, m := range append(r.methods(), method{method: "LINK"}) {
			for name, header := range map[string]string{
				"none": "", "wrong": "Bearer nobody", "expired": "Bearer expired-secret", "scheme": "Basic " + operatorSecret,
				"empty": "Bearer ", "bare": operatorSecret,
			} {
				a := call(t, s, m.method, address, "", "Authorization", header)
				if a.status != 401 {
					t.Errorf("%s %s with token %s: status %d, want 401", m.method, address, name, a.status)
				}
				if a.header.Get("Www-Authenticate") == "" {
					t.Errorf("%s %s: no WWW-Authenticate", m.method, address)
				}
				if m.method == "HEAD" {
					continue
				}
				p := a.problem(t)
				p.TraceID = ""
				got := fmt.Sprint(p)
				if first == "" {
					first = got
				}
				if got != first {
					t.Errorf("%s %s with token %s tells more: %s, elsewhere %s", m.method, address, name, got, first)
				}
			}
		}
	}
}

func TestOpenRoutes(t *testing.T) {
	d, s := serve(t, Options{})
	for _, address := range []string{"/", "/healthz", "/readyz"} {
		if a := call(t, s, "GET", address, "", "Authorization", ""); a.status != 200 {
			t.Errorf("%s: %d %s", address, a.status, a.body)
		}
	}
	if got := d.last(event.NodeStatus).Metadata.SecurityToken; got != hostToken {
		t.Errorf("readyz asked with token %q", got)
	}
}

func TestNotReady(t *testing.T) {
	d, s := serve(t, Options{})
	d.hook = func(_ context.Context, e *eventpb.Envelope, _ func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		return event.Failed(e, 1, inos.Errorf(inos.CodeBusy, "node:status", "starting")), nil
	}
	if a := call(t, s, "GET", "/readyz", "", "Authorization", ""); a.status != 503 {
		t.Errorf("status %d, want 503", a.status)
	}
}

func TestMemoryOfTokensIsDown(t *testing.T) {
	_, s := serve(t, Options{})
	a := call(t, s, "GET", "/v1/status", "", "Authorization", "Bearer broken-memory")
	if p := a.problem(t); a.status != 500 || p.Code != "io" {
		t.Errorf("%d %+v, want 500 io", a.status, p)
	}
}

func TestMethods(t *testing.T) {
	_, s := serve(t, Options{})
	a := call(t, s, "POST", "/v1/files/a", "")
	if a.status != 405 || a.header.Get("Allow") != "DELETE, GET, HEAD, PATCH, PUT" || a.problem(t).Code != "method_not_allowed" {
		t.Errorf("%d, Allow %q, %s", a.status, a.header.Get("Allow"), a.body)
	}
	if a := call(t, s, "GET", "/v1/nothing", ""); a.status != 404 || a.problem(t).Code != "route_not_found" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestPutAndGet(t *testing.T) {
	d, s := serve(t, Options{})
	body := strings.Repeat("hello, mesh\n", 200_000) // more than two chunks
	a := call(t, s, "PUT", "/v1/files/dir/a%20b.txt", body, "Content-Type", "text/plain", "Inos-Replicas", "4", "Inos-Tier", "cold")
	if a.status != 201 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	var put PutReply
	if err := json.Unmarshal([]byte(a.body), &put); err != nil {
		t.Fatal(err)
	}
	if put.Path != "/dir/a b.txt" || put.PlainBytes != uint64(len(body)) || put.ReplicasWanted != 4 || !put.Degraded {
		t.Errorf("%+v", put)
	}
	if put.TraceID == "" || put.TraceID != a.header.Get("Inos-Trace-Id") || a.header.Get("ETag") != `"`+put.FileID+`"` {
		t.Errorf("trace %q, header %q, ETag %q", put.TraceID, a.header.Get("Inos-Trace-Id"), a.header.Get("ETag"))
	}
	m := d.last(event.FilesPut).Metadata
	if m.UserId != "operator" || m.DeviceId != "laptop" || m.SecurityToken != "t-operator" {
		t.Errorf("metadata %+v", m)
	}
	if !strings.Contains(m.TraceContext["traceparent"], put.TraceID) {
		t.Errorf("traceparent %q does not name the trace %s", m.TraceContext["traceparent"], put.TraceID)
	}
	if a := call(t, s, "PUT", "/v1/files/dir/a%20b.txt", body); a.status != 200 {
		t.Errorf("a second version: status %d, want 200", a.status)
	}

	for _, address := range []string{"/v1/files/dir/a%20b.txt", "/v1/blobs/" + put.FileID} {
		a := call(t, s, "GET", address, "")
		if a.status != 200 || a.body != body {
			t.Fatalf("%s: %d, %d bytes", address, a.status, len(a.body))
		}
		for name, want := range map[string]string{
			"Etag": `"` + put.FileID + `"`, "Content-Length": fmt.Sprint(len(body)), "Vary": "Accept-Encoding",
			"Content-Disposition":    `attachment; filename="a b.txt"`, // the second put gave no type
			"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox", "Accept-Ranges": "bytes",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %s: %q, want %q", address, name, got, want)
			}
		}
	}
}

func TestTraceIsContinued(t *testing.T) {
	d, s := serve(t, Options{})
	id := "0af7651916cd43dd8448eb211c80319c"
	a := call(t, s, "GET", "/v1/status", "", "Traceparent", "00-"+id+"-b7ad6b7169203331-01", "Tracestate", "a=b")
	if got := a.header.Get("Inos-Trace-Id"); got != id {
		t.Errorf("trace %q, want %s", got, id)
	}
	c := d.last(event.NodeStatus).Metadata.TraceContext
	if !strings.HasPrefix(c["traceparent"], "00-"+id+"-") || strings.Contains(c["traceparent"], "b7ad6b7169203331") || c["tracestate"] != "a=b" {
		t.Errorf("trace context %v", c)
	}
}

func TestRanges(t *testing.T) {
	_, s := serve(t, Options{})
	call(t, s, "PUT", "/v1/files/a", "0123456789")
	call(t, s, "PUT", "/v1/files/empty", "")
	for _, c := range []struct {
		name, path, value string
		status            int
		body, content     string
	}{
		{"first bytes", "a", "bytes=0-3", 206, "0123", "bytes 0-3/10"},
		{"one byte", "a", "bytes=9-9", 206, "9", "bytes 9-9/10"},
		{"to the end", "a", "bytes=4-", 206, "456789", "bytes 4-9/10"},
		{"beyond the end", "a", "bytes=8-99", 206, "89", "bytes 8-9/10"},
		{"suffix", "a", "bytes=-3", 206, "789", "bytes 7-9/10"},
		{"suffix longer than the file", "a", "bytes=-99", 206, "0123456789", "bytes 0-9/10"},
		{"behind the end", "a", "bytes=10-", 416, "", "bytes */10"},
		{"empty suffix", "a", "bytes=-0", 416, "", "bytes */10"},
		{"empty file", "empty", "bytes=0-0", 416, "", "bytes */0"},
		{"backwards is ignored", "a", "bytes=5-2", 200, "0123456789", ""},
		{"empty elements are none", "a", "bytes=, 1-2 ,\t", 206, "12", "bytes 1-2/10"},
		{"one of two has bytes", "a", "bytes=99-,3-4", 206, "34", "bytes 3-4/10"},
		{"none of two has bytes", "a", "bytes=99-,10-11", 416, "", "bytes */10"},
		{"nothing but commas is ignored", "a", "bytes=,,", 200, "0123456789", ""},
		{"overlaps longer than the file are the file", "a", "bytes=0-,0-,0-", 200, "0123456789", ""},
		{"one malformed of two", "a", "bytes=0-1,x", 200, "0123456789", ""},
		{"a range too many is ignored", "a", "bytes=" + strings.Repeat("1-1,", rangesMax) + "1-1", 200, "0123456789", ""},
		{"another unit is ignored", "a", "lines=0-1", 200, "0123456789", ""},
		{"a sign is ignored", "a", "bytes=+1-2", 200, "0123456789", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := call(t, s, "GET", "/v1/files/"+c.path, "", "Range", c.value)
			if a.status != c.status || a.header.Get("Content-Range") != c.content {
				t.Fatalf("%d, Content-Range %q", a.status, a.header.Get("Content-Range"))
			}
			switch c.status {
			case 206:
				if a.body != c.body || a.header.Get("Content-Encoding") != "" {
					t.Errorf("body %q, Content-Encoding %q", a.body, a.header.Get("Content-Encoding"))
				}
			case 416:
				if a.problem(t).Code != "range_not_satisfiable" {
					t.Errorf("%s", a.body)
				}
			}
		})
	}
	if a := call(t, s, "GET", "/v1/files/a", "", "Range", "bytes=2-3", "Accept-Encoding", "br"); a.status != 206 || a.body != "23" || a.header.Get("Content-Encoding") != "" {
		t.Errorf("a range is never of the encoded bytes: %d %q %v", a.status, a.body, a.header)
	}
	if a := call(t, s, "GET", "/v1/files/a", "", "Range", "bytes=2-3", "Accept-Encoding", "br, identity;q=0"); a.status != 200 || a.header.Get("Content-Encoding") != "br" {
		t.Errorf("who refuses plain bytes gets no range of them: %d %q %v", a.status, a.body, a.header)
	}
	tag := call(t, s, "HEAD", "/v1/files/a", "").header.Get("ETag")
	if a := call(t, s, "GET", "/v1/files/a", "", "Range", "bytes=0-1", "If-Range", tag); a.status != 206 {
		t.Errorf("If-Range with the tag: %d", a.status)
	}
	if a := call(t, s, "GET", "/v1/files/a", "", "Range", "bytes=0-1", "If-Range", `"other"`); a.status != 200 || a.body != "0123456789" {
		t.Errorf("If-Range with another tag: %d %q", a.status, a.body)
	}
}

func TestEncodedBody(t *testing.T) {
	_, s := serve(t, Options{})
	call(t, s, "PUT", "/v1/files/a", "0123456789")
	a := call(t, s, "GET", "/v1/files/a", "", "Accept-Encoding", "gzip, br")
	if a.body != "k\x000123456789\x03" || a.header.Get("Content-Encoding") != "br" || a.header.Get("Content-Length") != "13" || !strings.HasSuffix(a.header.Get("ETag"), `-br"`) {
		t.Errorf("%q %v", a.body, a.header)
	}
	for _, c := range []string{"br;q=0.001", "identity;q=0, *", "*;q=0, br", "BR", "identity;q=0.5, br;q=0.5"} {
		if a := call(t, s, "GET", "/v1/files/a", "", "Accept-Encoding", c); a.header.Get("Content-Encoding") != "br" || a.header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("Accept-Encoding %q: %q %v", c, a.body, a.header)
		}
	}
	for _, c := range []string{"identity;q=0", "*;q=0", "gzip, *;q=0", "br;q=0, identity;q=0, *", "identity;q=0, gzip"} {
		for _, method := range []string{"GET", "HEAD"} {
			a := call(t, s, method, "/v1/files/a", "", "Accept-Encoding", c)
			if a.status != 406 || a.header.Get("Vary") != "Accept-Encoding" || method == "GET" && a.problem(t).Code != "not_acceptable" {
				t.Errorf("%s Accept-Encoding %q: %d %q", method, c, a.status, a.body)
			}
		}
	}
	for _, c := range []string{"identity", "", "*", "br;q=0", "gzip", "br;q=0.2, identity;q=0.9", "br;q=2", "identity, *;q=0"} {
		if a := call(t, s, "GET", "/v1/files/a", "", "Accept-Encoding", c); a.body != "0123456789" || a.header.Get("Content-Encoding") != "" {
			t.Errorf("Accept-Encoding %q: %q %v", c, a.body, a.header)
		}
	}
}

func TestConditions(t *testing.T) {
	_, s := serve(t, Options{})
	call(t, s, "PUT", "/v1/files/a", "0123456789")
	tag := call(t, s, "HEAD", "/v1/files/a", "").header.Get("ETag")
	br := call(t, s, "HEAD", "/v1/files/a", "", "Accept-Encoding", "br").header.Get("ETag")
	for _, c := range []struct {
		name, method, path string
		headers            []string
		status             int
	}{
		{"unchanged", "GET", "a", []string{"If-None-Match", tag}, 304},
		{"unchanged, weak", "GET", "a", []string{"If-None-Match", `"x", W/` + tag}, 304},
		{"unchanged head", "HEAD", "a", []string{"If-None-Match", tag}, 304},
		{"unchanged encoded", "GET", "a", []string{"If-None-Match", br, "Accept-Encoding", "br"}, 304},
		{"the other representation", "GET", "a", []string{"If-None-Match", br}, 200},
		{"changed", "GET", "a", []string{"If-None-Match", `"x"`}, 200},
		{"match", "GET", "a", []string{"If-Match", tag}, 200},
		{"no match", "GET", "a", []string{"If-Match", `"x"`}, 412},
		{"match of the other representation", "GET", "a", []string{"If-Match", br}, 412},
		{"match of the encoded", "GET", "a", []string{"If-Match", br, "Accept-Encoding", "br"}, 200},
		{"a range on top of encoded bytes", "GET", "a", []string{"If-Match", br, "Accept-Encoding", "br", "Range", "bytes=0-1"}, 412},
		{"weak never matches strongly", "GET", "a", []string{"If-Match", "W/" + tag}, 412},
		{"malformed", "GET", "a", []string{"If-None-Match", `x`}, 400},
		{"put only when absent", "PUT", "a", []string{"If-None-Match", "*"}, 412},
		{"put when absent", "PUT", "new", []string{"If-None-Match", "*"}, 201},
		{"put over a version", "PUT", "a", []string{"If-Match", `"x"`}, 412},
		{"put over nothing", "PUT", "none", []string{"If-Match", "*"}, 412},
		{"delete another version", "DELETE", "a", []string{"If-Match", `"x"`}, 412},
		{"put over this version", "PUT", "a", []string{"If-Match", tag}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			if a := call(t, s, c.method, "/v1/files/"+c.path, "", c.headers...); a.status != c.status {
				t.Errorf("%d, want %d: %s", a.status, c.status, a.body)
			}
		})
	}
}

func TestReplacedBetweenStatAndGet(t *testing.T) {
	d, s := serve(t, Options{})
	call(t, s, "PUT", "/v1/files/a", "0123456789")
	once := true
	d.hook = func(_ context.Context, e *eventpb.Envelope, _ func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		if e.EventType == event.FilesGet && once {
			once = false
			d.mu.Lock()
			f := d.files["/a"]
			f.info.Version++
			f.info.FileId, f.body = bytes.Repeat([]byte{7}, 32), []byte("abcdefghij")
			d.files["/a"] = f
			d.mu.Unlock()
		}
		return nil, nil
	}
	a := call(t, s, "GET", "/v1/files/a", "", "Range", "bytes=2-4")
	if a.status != 206 || a.body != "cde" || a.header.Get("ETag") != `"`+strings.Repeat("07", 32)+`"` {
		t.Errorf("%d %q %s", a.status, a.body, a.header.Get("ETag"))
	}
	// A condition that held for the version before must be judged again.
	once = true
	if a := call(t, s, "GET", "/v1/files/a", "", "If-Match", a.header.Get("ETag")); a.status != 200 {
		t.Errorf("the id is the same in both versions: %d", a.status)
	}
	call(t, s, "PUT", "/v1/files/a", "0123456789")
	tag := call(t, s, "HEAD", "/v1/files/a", "").header.Get("ETag")
	once = true
	if a := call(t, s, "GET", "/v1/files/a", "", "If-Match", tag); a.status != 412 {
		t.Errorf("%d %q, want 412", a.status, a.body)
	}
}

func TestBadPaths(t *testing.T) {
	d, s := serve(t, Options{})
	for _, escaped := range []string{
		"", "/", "a//b", "a/", "..", "a/../b", "%2e%2e/a", "a/%2E%2E", ".", "a/./b", "a%2Fb", "a%2f..%2fb", "%00", "a%0Ab", "%7F", "%FF",
		strings.Repeat("a", 1024), strings.Repeat("%61", 1100),
	} {
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			// A client library might clean the address; the wire does not.
			got := raw(t, s, method+" /v1/files/"+escaped+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\nAuthorization: Bearer "+operatorSecret+"\r\n\r\n", false)
			if !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, `"bad_path"`) {
				t.Errorf("%s %.40q: %.120q", method, escaped, got)
			}
		}
	}
	if len(d.seen) != 0 {
		t.Errorf("%d requests reached the kernel", len(d.seen))
	}
	if a := call(t, s, "PUT", "/v1/files/"+strings.Repeat("a", 1023), "x"); a.status != 201 {
		t.Errorf("the longest path: %d %s", a.status, a.body)
	}
}

func TestBadPutHeaders(t *testing.T) {
	_, s := serve(t, Options{})
	for _, c := range [][2]string{
		{"Inos-Replicas", "0"},
		{"Inos-Replicas", "256"},
		{"Inos-Replicas", "x"},
		{"Inos-Sync", "-1"},
		{"Inos-Tier", "warm"},
		{"Inos-File-Id", "abc"},
		{"Inos-Request-Id", "abc"},
		{"Content-Type", "nonsense;;"},
		{"Content-Type", "a/" + strings.Repeat("b", 300)},
		{"Content-Encoding", "gzip"},
		{"Content-Range", "bytes 0-1/2"},
	} {
		a := call(t, s, "PUT", "/v1/files/a", "x", c[0], c[1])
		if a.status != 400 || a.problem(t).Code != "bad_request" {
			t.Errorf("%s: %.40s: %d %s", c[0], c[1], a.status, a.body)
		}
	}
	wrong := strings.Repeat("00", 32)
	if a := call(t, s, "PUT", "/v1/files/a", "x", "Inos-File-Id", wrong); a.status != 422 || a.problem(t).Code != "body_mismatch" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestTruncatedBody(t *testing.T) {
	d, s := serve(t, Options{})
	head := "PUT /v1/files/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + operatorSecret + "\r\n"
	for name, text := range map[string]string{
		"length":  head + "Content-Length: 10\r\n\r\nshort",
		"chunked": head + "Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
	} {
		got := raw(t, s, text, true)
		if !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, `"body_truncated"`) {
			t.Errorf("%s: %.200q", name, got)
		}
	}
	if len(d.files) != 0 {
		t.Error("a truncated body was stored")
	}
}

func TestStalledBody(t *testing.T) {
	_, s := serve(t, Options{StallTimeout: time.Second}) // the answer has as long, on a busy machine too
	got := raw(t, s, "PUT /v1/files/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+operatorSecret+"\r\nContent-Length: 10\r\n\r\nshort", false)
	if !strings.HasPrefix(got, "HTTP/1.1 504 ") || !strings.Contains(got, `"deadline_exceeded"`) {
		t.Errorf("%.200q", got)
	}
}

func TestExpectContinue(t *testing.T) {
	d, s := serve(t, Options{})
	head := "PUT /v1/files/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer " + operatorSecret + "\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
	d.hook = func(_ context.Context, e *eventpb.Envelope, _ func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		return event.Failed(e, 1, inos.Errorf(inos.CodeDiskFull, "files:put", "no room")), nil
	}
	if got := raw(t, s, head, false); !strings.HasPrefix(got, "HTTP/1.1 507 ") {
		t.Errorf("a put that is refused asks for no body: %.100q", got)
	}
	d.hook = nil
	if got := raw(t, s, head, true); !strings.HasPrefix(got, "HTTP/1.1 100 Continue") {
		t.Errorf("a put that is taken asks for its body: %.100q", got)
	}
}

// A get that fails behind its header must not look like a short file.
func TestGetBreaksOff(t *testing.T) {
	d, s := serve(t, Options{})
	call(t, s, "PUT", "/v1/files/a", strings.Repeat("x", 3<<20))
	d.hook = func(_ context.Context, e *eventpb.Envelope, progress func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		if e.EventType != event.FilesGet {
			return nil, nil
		}
		var q eventpb.FilesGetRequest
		if err := event.Open(e, &q); err != nil {
			return nil, err
		}
		f := d.files["/a"]
		progress(event.Reply(e, event.StateProcessing, 1, event.Payload(&eventpb.FilesGetHeader{File: &f.info})))
		if _, err := d.streams[q.Stream].(io.Writer).Write(f.body[:1<<20]); err != nil {
			t.Error(err)
		}
		return event.Failed(e, 1, inos.Errorf(inos.CodeChunkCorrupt, "files:get", "chunk 1")), nil
	}
	for _, encoding := range []string{"identity", "br"} {
		r, _ := http.NewRequest("GET", s.URL+"/v1/files/a", nil)
		r.Header.Set("Authorization", "Bearer "+operatorSecret)
		r.Header.Set("Accept-Encoding", encoding)
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, response.Body); err == nil || n > 1<<20 {
			t.Errorf("%s: %d bytes, more than the file's or no error: %v", encoding, n, err)
		}
		response.Body.Close()
	}
}

// A get that fails before its first byte has an answer of its own.
func TestGetFailsBeforeTheFirstByte(t *testing.T) {
	d, s := serve(t, Options{})
	call(t, s, "PUT", "/v1/files/a", "0123456789")
	d.hook = func(_ context.Context, e *eventpb.Envelope, progress func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		if e.EventType != event.FilesGet {
			return nil, nil
		}
		f := d.files["/a"]
		progress(event.Reply(e, event.StateProcessing, 1, event.Payload(&eventpb.FilesGetHeader{File: &f.info})))
		return event.Failed(e, 1, inos.Errorf(inos.CodeChunkCorrupt, "files:get", "chunk 0")), nil
	}
	for _, part := range []string{"", "bytes=1-3"} {
		a := call(t, s, "GET", "/v1/files/a", "", "Range", part)
		if p := a.problem(t); a.status != 500 || p.Code != "chunk_corrupt" || a.header.Get("ETag") != "" || a.header.Get("Content-Range") != "" {
			t.Errorf("%d %+v %v", a.status, p, a.header)
		}
	}
}

func TestGetFailsBeforeTheHeader(t *testing.T) {
	_, s := serve(t, Options{})
	a := call(t, s, "GET", "/v1/files/a", "")
	if p := a.problem(t); a.status != 404 || p.Code != "file_not_found" || p.Hint == "" || a.header.Get("ETag") != "" {
		t.Errorf("%d %+v", a.status, p)
	}
}

func TestBusySaysWhen(t *testing.T) {
	d, s := serve(t, Options{})
	d.hook = func(_ context.Context, e *eventpb.Envelope, _ func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		return event.Failed(e, 1, &inos.Error{Code: inos.CodeBusy, Op: "files:put", RetryAfter: 1_500_000}), nil
	}
	a := call(t, s, "PUT", "/v1/files/a", "x")
	if a.status != 503 || a.header.Get("Retry-After") != "2" || a.problem(t).RetryAfterUs != 1_500_000 {
		t.Errorf("%d, Retry-After %q, %s", a.status, a.header.Get("Retry-After"), a.body)
	}
}

func TestRequestsAreBounded(t *testing.T) {
	d, s := serve(t, Options{RequestsMax: 1})
	entered, leave := make(chan struct{}), make(chan struct{})
	d.hook = func(context.Context, *eventpb.Envelope, func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		close(entered)
		<-leave
		return nil, nil
	}
	done := make(chan answer)
	go func() { done <- call(t, s, "GET", "/v1/status", "") }()
	<-entered
	if a := call(t, s, "GET", "/healthz", ""); a.status != 503 {
		t.Errorf("the second request: %d, want 503", a.status)
	}
	close(leave)
	if a := <-done; a.status != 200 {
		t.Errorf("the first request: %d", a.status)
	}
}

// A client that leaves cancels its request in the kernel.
func TestClientLeaves(t *testing.T) {
	d, s := serve(t, Options{})
	entered, ended := make(chan struct{}), make(chan error, 1)
	d.hook = func(ctx context.Context, _ *eventpb.Envelope, _ func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		close(entered)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithCancel(context.Background())
	r, _ := http.NewRequestWithContext(ctx, "GET", s.URL+"/v1/status", nil)
	r.Header.Set("Authorization", "Bearer "+operatorSecret)
	go func() {
		<-entered
		cancel()
	}()
	if _, err := http.DefaultTransport.RoundTrip(r); err == nil {
		t.Error("no error")
	}
	<-ended
}

// A client that leaves while the node works on its whole body cancels the put.
func TestClientLeavesBehindItsBody(t *testing.T) {
	d, s := serve(t, Options{})
	entered, ended := make(chan struct{}), make(chan struct{})
	d.hook = func(ctx context.Context, e *eventpb.Envelope, _ func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		var q eventpb.FilesPutRequest
		if err := event.Open(e, &q); err != nil {
			return nil, err
		}
		if _, err := io.ReadAll(d.streams[q.Stream].(io.Reader)); err != nil {
			t.Error(err)
		}
		close(entered)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithCancel(context.Background())
	r, _ := http.NewRequestWithContext(ctx, "PUT", s.URL+"/v1/files/a", strings.NewReader("body"))
	r.Header.Set("Authorization", "Bearer "+operatorSecret)
	go func() {
		<-entered
		cancel()
	}()
	if _, err := http.DefaultTransport.RoundTrip(r); err == nil {
		t.Error("no error")
	}
	<-ended
}

func TestListStatVerifyDelete(t *testing.T) {
	_, s := serve(t, Options{})
	for _, p := range []string{"a", "b/1", "b/2", "c"} {
		call(t, s, "PUT", "/v1/files/"+p, p)
	}
	var page ListReply
	a := call(t, s, "GET", "/v1/files?prefix=/b/&limit=1", "")
	if err := json.Unmarshal([]byte(a.body), &page); err != nil || len(page.Files) != 1 || page.Files[0].Path != "/b/1" || page.Next != "/b/1" {
		t.Errorf("%s: %v", a.body, err)
	}
	for _, q := range []string{"?limit=1001", "?limit=x", "?perfix=/b", "?prefix=/a&prefix=/b", "?prefix=%zz", "?prefix=b", "?prefix=//", "?prefix=/b//", "?prefix=/../x", "?prefix=/b/..", "?prefix=/./", "?prefix=/" + strings.Repeat("a", 1025)} {
		if a := call(t, s, "GET", "/v1/files"+q, ""); a.status != 400 {
			t.Errorf("%.40s: %d", q, a.status)
		}
	}
	var st StatReply
	a = call(t, s, "GET", "/v1/stat/a?limit=10", "")
	if err := json.Unmarshal([]byte(a.body), &st); err != nil || st.Path != "/a" || len(st.ChunkList) != 1 || st.ChunkList[0].Codec != "brotli" {
		t.Errorf("%s: %v", a.body, err)
	}
	if a := call(t, s, "GET", "/v1/stat?id="+st.FileID, ""); a.status != 200 {
		t.Errorf("stat by id: %d %s", a.status, a.body)
	}
	for _, q := range []string{"/v1/stat", "/v1/stat/a?id=" + st.FileID, "/v1/stat?id=xyz", "/v1/stat/a?limit=1025"} {
		if a := call(t, s, "GET", q, ""); a.status != 400 {
			t.Errorf("%s: %d", q, a.status)
		}
	}
	a = call(t, s, "POST", "/v1/verify?path=/a", "")
	lines := strings.Split(strings.TrimSpace(a.body), "\n")
	if a.status != 200 || len(lines) != 2 || !strings.Contains(lines[0], `"progress"`) || !strings.Contains(lines[1], `"bad":1`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := call(t, s, "POST", "/v1/verify?path=a", ""); a.status != 400 || a.problem(t).Code != "bad_path" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := call(t, s, "DELETE", "/v1/files/a", ""); a.status != 200 || !strings.Contains(a.body, `"version":2`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := call(t, s, "DELETE", "/v1/files/a", ""); a.status != 404 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestStatusAndMetrics(t *testing.T) {
	_, s := serve(t, Options{})
	if a := call(t, s, "GET", "/v1/status", ""); a.status != 200 || !strings.Contains(a.body, `"ready":true`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	a := call(t, s, "GET", "/metrics", "")
	for _, want := range []string{
		"\ninos_content_used_bytes 99\n", "\ninos_ready 1\n", `inos_stage_seconds{stage="odd\"stage\\",quantile="0.5"} 0.0015`,
		`inos_http_answers_total{route="status",status="200"} 1`, "# TYPE inos_refused_total counter\n",
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("metrics lack %q:\n%s", want, a.body)
		}
	}
	if a := call(t, s, "GET", "/v1/version", ""); !strings.Contains(a.body, `"version":"test"`) {
		t.Errorf("%s", a.body)
	}
}

func TestEventsPage(t *testing.T) {
	d, s := serve(t, Options{})
	d.record(
		inos.Event{ID: "1", Type: "files:put:v1:completed", Subject: "operator", Path: "/a"},
		inos.Event{ID: "2", Type: "files:get:v1:completed", Subject: "guest", Path: "/b"},
		inos.Event{ID: "3", Type: "files:put:v1:failed\ndata: forged", Subject: "operator"},
	)
	a := call(t, s, "GET", "/v1/events?prefix=files:put", "")
	if a.header.Get("Content-Type") != "text/event-stream" || strings.Count(a.body, "id: ") != 2 || strings.Contains(a.body, "\ndata: forged") {
		t.Errorf("%q", a.body)
	}
	if a := call(t, s, "GET", "/v1/events?last=1", ""); !strings.HasPrefix(a.body, "id: 3\n") {
		t.Errorf("%q", a.body)
	}
	if a := call(t, s, "GET", "/v1/events", "", "Last-Event-ID", "1"); strings.Count(a.body, "id: ") != 2 {
		t.Errorf("%q", a.body)
	}
	if a := call(t, s, "GET", "/v1/events", "", "Authorization", "Bearer "+guestSecret); strings.Count(a.body, "id: ") != 1 || !strings.Contains(a.body, `"/b"`) {
		t.Errorf("a guest sees %q", a.body)
	}
	for _, q := range []string{"?follow=2", "?last=x", "?trace=abc", "?prefix=" + strings.Repeat("a", 129)} {
		if a := call(t, s, "GET", "/v1/events"+q, ""); a.status != 400 {
			t.Errorf("%.40s: %d", q, a.status)
		}
	}
}

func TestEventsFollow(t *testing.T) {
	d, s := serve(t, Options{})
	d.record(inos.Event{ID: "1", Type: "files:put:v1:completed", Path: "/old"})
	r, _ := http.NewRequest("GET", s.URL+"/v1/events?follow=1&prefix=files:", nil)
	r.Header.Set("Authorization", "Bearer "+operatorSecret)
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for i := range 3 {
		d.record(inos.Event{ID: "x", Type: "node:tick:v1:requested"}, inos.Event{ID: "y", Type: "files:put:v1:completed", Path: fmt.Sprintf("/new%d", i)})
		for lines.Scan() && !strings.HasPrefix(lines.Text(), "data: ") {
		}
		if want := fmt.Sprintf(`"path":"/new%d"`, i); !strings.Contains(lines.Text(), want) {
			t.Fatalf("%q, want %s", lines.Text(), want)
		}
	}
}

func TestTraceComplete(t *testing.T) {
	for types, want := range map[string]bool{
		"": false, "requested": false, "requested completed": false, "requested completed spans": true, "requested failed spans": true,
		"requested processing": false, "failed": true, "requested requested completed spans": false, "completed": true,
	} {
		tr := &Trace{}
		for _, s := range strings.Fields(types) {
			if s == "spans" {
				tr.Spans = []Span{{}}
			} else {
				tr.Events = append(tr.Events, Event{Type: "files:put:v1:" + s})
			}
		}
		if got := tr.complete(); got != want {
			t.Errorf("%q: %v", types, got)
		}
	}
}

func TestSubmit(t *testing.T) {
	d, s := serve(t, Options{})
	call(t, s, "PUT", "/v1/files/a", "x")
	valid := func() *eventpb.Envelope {
		return &eventpb.Envelope{
			Id: newID(time.Now()), EventType: event.FilesStat, Timestamp: 1, Payload: event.Payload(&eventpb.FilesStatRequest{Path: "/a"}),
			Metadata: &eventpb.Metadata{SecurityToken: operatorSecret},
		}
	}
	post := func(e *eventpb.Envelope) answer {
		return call(t, s, "POST", "/v1/events", string(event.Encode(nil, e)), "Content-Type", protobufType)
	}
	a := post(valid())
	reply, err := event.Decode([]byte(a.body))
	if a.status != 200 || err != nil || reply.EventType != "files:stat:v1:completed" {
		t.Fatalf("%d %q %v", a.status, a.body, err)
	}
	m := d.last(event.FilesStat).Metadata
	if m.SecurityToken != "t-operator" || m.UserId != "operator" || m.DeviceId != "laptop" || m.TraceContext["traceparent"] == "" {
		t.Errorf("metadata %+v", m)
	}
	before := len(d.seen)
	for _, c := range []struct {
		name   string
		change func(*eventpb.Envelope)
		code   string
	}{
		{"another token", func(e *eventpb.Envelope) { e.Metadata.SecurityToken = "t-operator" }, "unauthenticated"},
		{"the node's own token", func(e *eventpb.Envelope) { e.Metadata.SecurityToken = hostToken }, "unauthenticated"},
		{"another user", func(e *eventpb.Envelope) { e.Metadata.UserId = "guest" }, "permission_denied"},
		{"another device", func(e *eventpb.Envelope) { e.Metadata.DeviceId = "phone" }, "permission_denied"},
		{"a reply", func(e *eventpb.Envelope) { e.EventType = "files:stat:v1:completed" }, "bad_request"},
		{"an effect of the host", func(e *eventpb.Envelope) { e.EventType = "stream:read:v1:requested" }, "unknown_event"},
		{"a put with a stream", func(e *eventpb.Envelope) { e.EventType = event.FilesPut }, "unknown_event"},
		{"a session", func(e *eventpb.Envelope) { e.EventType = "identity:session:v1:requested" }, "unknown_event"},
		{"the grammar", func(e *eventpb.Envelope) { e.EventType = "files:stat:1:requested" }, "bad_event_type"},
		{"the id", func(e *eventpb.Envelope) { e.Id = "1" }, "bad_envelope"},
		{"the time", func(e *eventpb.Envelope) { e.Timestamp = -1 }, "bad_envelope"},
		{"a head too large", func(e *eventpb.Envelope) {
			e.Metadata.TraceContext = map[string]string{"a": strings.Repeat("b", 17<<10)}
		}, "envelope_too_large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := valid()
			c.change(e)
			if p := post(e).problem(t); p.Code != c.code {
				t.Errorf("%s, want %s: %s", p.Code, c.code, p.Detail)
			}
		})
	}
	for _, c := range []struct{ name, body, media, code string }{
		{"truncated", string(event.Encode(nil, valid())[:20]), protobufType, "bad_envelope"},
		{"too large", strings.Repeat("x", 5<<20), protobufType, "envelope_too_large"},
		{"media type", "{}", "application/json", "bad_request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if p := call(t, s, "POST", "/v1/events", c.body, "Content-Type", c.media).problem(t); p.Code != c.code {
				t.Errorf("%s, want %s", p.Code, c.code)
			}
		})
	}
	if len(d.seen) != before {
		t.Errorf("%d refused envelopes reached the kernel", len(d.seen)-before)
	}
	missing := valid()
	missing.Payload = event.Payload(&eventpb.FilesStatRequest{Path: "/none"})
	a = post(missing)
	reply, err = event.Decode([]byte(a.body))
	if a.status != 404 || err != nil || event.FailureOf(reply).Code != inos.CodeFileNotFound {
		t.Errorf("%d %q %v", a.status, a.body, err)
	}
}

func TestHandlerSurvivesAPanic(t *testing.T) {
	d, s := serve(t, Options{})
	d.hook = func(context.Context, *eventpb.Envelope, func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		panic("a bug")
	}
	if a := call(t, s, "GET", "/v1/status", ""); a.status != 500 || a.problem(t).Code != "internal" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"/v1/files/a/b", "/v1/files/%2e%2e/a", "/v1/files//", "/v1/blobs/00", "/v1/stat/x%2Fy", "/", "/v1/files/%FF"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.ParseRequestURI(s)
		if err != nil {
			return
		}
		got, err := parseTarget(u)
		if err != nil || got.path == "" {
			return
		}
		if err := inos.CheckPath(got.path); err != nil {
			t.Fatalf("%q gave the invalid path %q: %v", s, got.path, err)
		}
		back, err := parsePath(escapePath(got.path))
		if err != nil || back != got.path {
			t.Fatalf("%q escaped and parsed is %q, %v", got.path, back, err)
		}
	})
}

func FuzzParseRange(f *testing.F) {
	f.Add("bytes=0-3", uint64(10))
	f.Add("bytes=-3", uint64(0))
	f.Add("bytes=0-1, 5-,-2", uint64(200))
	f.Add("bytes=9223372036854775807-", uint64(1)<<63)
	f.Fuzz(func(t *testing.T, s string, size uint64) {
		ranges := parseRanges([]string{s})
		if len(ranges) > rangesMax {
			t.Fatalf("%q: %d ranges", s, len(ranges))
		}
		size >>= 4 // of files the sum of rangesMax never overflows
		parts, err := resolveRanges(ranges, size)
		var sum uint64
		for _, p := range parts {
			if err != nil || p.length == 0 || p.offset >= size || p.length > size-p.offset {
				t.Fatalf("%q of %d: %+v, %v", s, size, p, err)
			}
			if sum += p.length; len(parts) > 1 && sum > size {
				t.Fatalf("%q of %d: %+v are longer than the file", s, size, parts)
			}
		}
	})
}

func FuzzHeaders(f *testing.F) {
	f.Add(`W/"a", "b"`, "br;q=0.5", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Bearer x")
	f.Add("*", "identity;q=0,*", "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", "bearer  y")
	f.Fuzz(func(t *testing.T, condition, encoding, traceparent, authorization string) {
		if c, err := parseCondition("If-Match", []string{condition}); err == nil && len(c.tags) > conditionValuesMax {
			t.Fatalf("%d tags", len(c.tags))
		}
		parseCodings([]string{encoding})
		tr := newTrace(http.Header{"Traceparent": {traceparent}})
		if got, err := event.ParseTraceparent(tr.traceparent); err != nil || hash(got.TraceID[:]) != tr.id() {
			t.Fatalf("%q made %q", traceparent, tr.traceparent)
		}
		if secret, ok := bearer([]string{authorization}); ok && (secret == "" || strings.ContainsAny(secret, " \r\n\x00")) {
			t.Fatalf("%q is a secret %q", authorization, secret)
		}
	})
}

// The bound of a header is net/http's, which adds 4 KiB; the documentation names the sum.
func TestHeaderBound(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	s.Config = NewServer(New(newDouble(t), Options{}))
	s.Start()
	defer s.Close()
	const before, behind = "GET /healthz HTTP/1.1\r\nHost: node\r\nConnection: close\r\nX: ", "\r\n\r\n"
	for size, want := range map[int]string{36 << 10: "HTTP/1.1 200 ", 36<<10 + 1: "HTTP/1.1 431 "} {
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, before+strings.Repeat("a", size-len(before)-len(behind))+behind); err != nil {
			t.Error(err)
		}
		answer, _ := io.ReadAll(c) // a server that refuses may reset the connection behind its answer
		_ = c.Close()
		if !strings.HasPrefix(string(answer), want) {
			t.Errorf("%d bytes: %.80q, want %q", size, answer, want)
		}
	}
}
