package api

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// question is a random request for one file, and the one that net/http's own file server is asked instead: the same
// without what this server, as RFC 9110 lets it, treats in another way. What is left out has tests of its own above.
type question struct {
	method        string
	sent, compare http.Header
}

// randomQuestion makes a request of ranges and conditions for a file. Where the two servers differ:
//   - HEAD with Range: the RFC defines ranges for GET alone; net/http answers 206.
//   - a malformed Range or more than rangesMax: ignored here; net/http answers 416, and has no bound.
//   - If-Range with a date: never holds here.
func randomQuestion(r *rand.Rand, f *File) question {
	q := question{method: "GET", sent: http.Header{}, compare: http.Header{}}
	if r.IntN(5) == 0 {
		q.method = "HEAD"
	}
	both := func(name, value string) {
		q.sent.Add(name, value)
		q.compare.Add(name, value)
	}
	usable := false
	if r.IntN(4) > 0 {
		value, valid := randomRanges(r, f.PlainBytes)
		q.sent.Set("Range", value)
		if usable = valid && q.method == "GET"; usable {
			q.compare.Set("Range", value)
		}
	}
	modified := f.modified()
	date := func() string {
		return modified.Add(time.Duration(r.IntN(3)-1) * time.Second).Format(http.TimeFormat)
	}
	if usable && r.IntN(4) == 0 {
		if value := randomTag(r, f); r.IntN(4) > 0 {
			both("If-Range", value)
		} else {
			q.sent.Set("If-Range", date())
			q.compare.Del("Range")
		}
	}
	for _, name := range []string{"If-Match", "If-None-Match"} {
		if r.IntN(6) > 0 {
			continue
		}
		if r.IntN(6) == 0 {
			both(name, "*")
			continue
		}
		tags := make([]string, 1+r.IntN(3))
		for i := range tags {
			tags[i] = randomTag(r, f)
		}
		both(name, strings.Join(tags, []string{",", ", ", " ,\t"}[r.IntN(3)]))
	}
	for _, name := range []string{"If-Modified-Since", "If-Unmodified-Since"} {
		if r.IntN(8) == 0 {
			both(name, date())
		}
	}
	return q
}

func randomTag(r *rand.Rand, f *File) string {
	return []string{plainTag(f), "W/" + plainTag(f), encodedTag(f), `"other"`, `""`}[r.IntN(5)]
}

// randomRanges writes a Range of up to rangesMax+1 ranges; their edges lie about the edges of the file and of its chunks.
func randomRanges(r *rand.Rand, size uint64) (value string, valid bool) {
	if r.IntN(12) == 0 {
		return []string{"bytes=5-2", "lines=0-1", "bytes=x-", "bytes=-", "bytes 0-1", "bytes=1-2;3-4", "bytes=", "bytes=0-1,9-8"}[r.IntN(8)], false
	}
	edge := func() uint64 {
		at := []uint64{0, size / 2, size, inos.ChunkBytesMax, r.Uint64N(size + 2)}[r.IntN(5)] + r.Uint64N(5)
		return at - min(at, 2)
	}
	n := 1
	if r.IntN(2) == 0 {
		n = 1 + r.IntN(rangesMax+1)
	}
	items := make([]string, n)
	for i := range items {
		first, last := edge(), edge()
		if n > 1 && r.IntN(8) > 0 { // short, or most lists would be longer than the file
			items[i] = fmt.Sprintf("%d-%d", first, first+r.Uint64N(8))
			continue
		}
		switch r.IntN(4) {
		case 0:
			items[i] = fmt.Sprintf("%d-", first)
		case 1:
			items[i] = fmt.Sprintf("-%d", 1+last) // "-0" has no byte here; net/http sends a part without one
		default:
			items[i] = fmt.Sprintf("%d-%d", min(first, last), max(first, last))
			if r.IntN(2) == 0 {
				items[i] = fmt.Sprintf("%d-%d", first, first+r.Uint64N(8))
			}
		}
	}
	return "bytes=" + strings.Join(items, []string{",", ", "}[r.IntN(2)]), n <= rangesMax
}

// reference answers as net/http serves content, with the headers that this server gives a file.
func reference(q question, f *File, body []byte) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	header := w.Header()
	setSecurityHeaders(header)
	header.Set("Vary", "Accept-Encoding")
	header.Set("Content-Type", f.ContentType)
	header.Set("Content-Disposition", disposition(inos.Path(f.Path), f.ContentType))
	header.Set("Inos-File-Id", f.FileID)
	header.Set("Inos-Version", fmt.Sprint(f.Version))
	header.Set("ETag", plainTag(f))
	r := httptest.NewRequest(q.method, "/", nil)
	r.Header = q.compare
	http.ServeContent(w, r, "", f.modified(), bytes.NewReader(body))
	return w
}

// told returns what an answer says, without what differs from request to request. The boundary of several parts is
// replaced by its length; the headers of failures are compared as far as both servers know them.
func told(t *testing.T, header http.Header, status int, body string) (http.Header, string) {
	t.Helper()
	out := header.Clone()
	for _, name := range []string{"Date", "Inos-Trace-Id", "Connection"} {
		out.Del(name)
	}
	if media := out.Get("Content-Type"); strings.HasPrefix(media, "multipart/byteranges; boundary=") {
		_, boundary, _ := strings.Cut(media, "boundary=")
		out.Set("Content-Type", fmt.Sprintf("multipart/byteranges; boundary=%d", len(boundary)))
		body = strings.ReplaceAll(body, boundary, "BOUNDARY")
	}
	switch status {
	case http.StatusNotModified:
		return http.Header{"Etag": out["Etag"], "Vary": out["Vary"], "Cache-Control": out["Cache-Control"]}, body
	case http.StatusRequestedRangeNotSatisfiable:
		return http.Header{"Content-Range": out["Content-Range"], "Vary": out["Vary"]}, ""
	case http.StatusPreconditionFailed:
		return http.Header{"Vary": out["Vary"]}, ""
	}
	return out, body
}

// Random requests have the same answer, byte for byte and header for header, as from net/http's own file server over
// the same bytes.
func TestReadsLikeTheReference(t *testing.T) {
	count := 10_000
	if testing.Short() {
		count = 2000
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	d := newDouble(t)
	h := New(d, Options{})
	defer h.Close()
	type file struct {
		info File
		body []byte
	}
	var files []file
	for i, size := range []int{1, 2, 10, 1000, inos.ChunkBytesMax, inos.ChunkBytesMax + 1} {
		body := make([]byte, size)
		for j := range body {
			body[j] = byte(r.Uint32())
		}
		path := fmt.Sprintf("/dir/%d é.bin", i)
		w := httptest.NewRecorder()
		put := httptest.NewRequest("PUT", "/v1/files/"+escapePath(inos.Path(path)), bytes.NewReader(body))
		put.Header.Set("Authorization", "Bearer "+operatorSecret)
		put.Header.Set("Content-Type", []string{"text/plain", "text/html", "application/pdf"}[i%3])
		h.ServeHTTP(w, put)
		s, err := d.find(path, nil)
		if err != nil {
			t.Fatalf("%d %s: %v", w.Code, w.Body, err)
		}
		files = append(files, file{fileOf(&s.info), body})
	}
	seen := map[string]int{}
	for i := range count {
		f := files[r.IntN(len(files))]
		if i%8 != 0 && len(f.body) > 1000 { // most time would go by in copying
			f = files[3]
		}
		q := randomQuestion(r, &f.info)
		want := reference(q, &f.info, f.body)
		got := httptest.NewRecorder()
		address := "/v1/files/" + escapePath(inos.Path(f.info.Path))
		if r.IntN(2) == 0 {
			address = "/v1/blobs/" + f.info.FileID
		}
		request := httptest.NewRequest(q.method, address, nil)
		request.Header = q.sent
		request.Header.Set("Authorization", "Bearer "+operatorSecret)
		h.ServeHTTP(got, request)
		wantHeader, wantBody := told(t, want.Header(), want.Code, want.Body.String())
		gotHeader, gotBody := told(t, got.Header(), got.Code, got.Body.String())
		if got.Code != want.Code || fmt.Sprint(gotHeader) != fmt.Sprint(wantHeader) || gotBody != wantBody {
			t.Fatalf("seed %d, request %d: %s %v\n got %d %v, %d bytes %.300q\nwant %d %v, %d bytes %.300q", seed, i, q.method, q.sent,
				got.Code, gotHeader, len(gotBody), gotBody, want.Code, wantHeader, len(wantBody), wantBody)
		}
		kind := fmt.Sprint(got.Code)
		if got.Code == http.StatusPartialContent && strings.HasPrefix(got.Header().Get("Content-Type"), "multipart/") {
			kind = "several"
		}
		seen[kind]++
	}
	t.Logf("seed %d: %v", seed, seen)
	for _, kind := range []string{"200", "206", "several", "304", "412", "416"} {
		if seen[kind] < count/200 {
			t.Errorf("seed %d: only %d of %d answers were %s: %v", seed, seen[kind], count, kind, seen)
		}
	}
	if d.open != 0 {
		t.Errorf("%d streams were not released", d.open)
	}
}

// A file that is replaced between two ranges must not be spliced from both.
func TestReplacedBetweenTwoRanges(t *testing.T) {
	d, s := serve(t, Options{})
	call(t, s, "PUT", "/v1/files/a", "0123456789")
	var gets atomic.Int32
	d.hook = func(_ context.Context, e *eventpb.Envelope, _ func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		if e.EventType == event.FilesGet {
			if gets.Add(1) == 2 {
				d.mu.Lock()
				f := d.files["/a"]
				f.info.Version++
				f.info.FileId, f.body = bytes.Repeat([]byte{7}, 32), []byte("abcdefghij")
				d.files["/a"] = f
				d.mu.Unlock()
			}
		}
		return nil, nil
	}
	// A client library would ask again by itself when the connection ends before a byte came.
	got := raw(t, s, "GET /v1/files/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer "+operatorSecret+"\r\nRange: bytes=0-1,4-5\r\n\r\n", false)
	if strings.Contains(got, "ef") || strings.HasSuffix(got, "--\r\n") {
		t.Errorf("a whole answer of two versions: %q", got)
	}
	if n := gets.Load(); n != 2 {
		t.Errorf("%d reads", n)
	}
}
