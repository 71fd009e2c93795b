package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

func connect(t *testing.T, s *httptest.Server, secret string) *Client {
	t.Helper()
	c, err := NewClient(s.URL, secret)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func wantCode(t *testing.T, err error, code inos.Code) {
	t.Helper()
	var e *inos.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("error %v (%s), want %s", err, inos.CodeOf(err).Name(), code.Name())
	}
	if e.HintText() == "" {
		t.Errorf("%v has no hint", err)
	}
}

func TestClientRoundTrip(t *testing.T) {
	_, s := serve(t, Options{})
	c := connect(t, s, operatorSecret)
	ctx := context.Background()
	for name, body := range map[string]string{
		"/empty": "", "/one": "x", "/dir/with space/ü%2F?#.txt": "y", "/big": strings.Repeat("0123456789", 300_000),
	} {
		var sent int64
		put, err := c.Put(ctx, inos.Path(name), strings.NewReader(body), int64(len(body)), PutOptions{Progress: func(n int64) { sent = n }})
		if err != nil {
			t.Fatalf("put %s: %v", name, err)
		}
		if put.Path != name || sent != int64(len(body)) {
			t.Errorf("put %s: %+v, progress %d", name, put, sent)
		}
		ref, err := ParseRef(put.FileID)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []Ref{{Path: inos.Path(name)}, ref} {
			var out bytes.Buffer
			got, err := c.Get(ctx, r, &out, GetOptions{})
			if err != nil || out.String() != body || !got.Verified || got.FileID != put.FileID {
				t.Errorf("get %s: %v, %d bytes, %+v", r, err, out.Len(), got)
			}
		}
		if st, err := c.Stat(ctx, ref, 0, 10); err != nil || st.Path != name || len(st.ChunkList) != 1 {
			t.Errorf("stat %s: %+v %v", name, st, err)
		}
	}
	if put, err := c.Put(ctx, "/unknown-length", io.MultiReader(strings.NewReader("abc")), -1, PutOptions{}); err != nil || put.PlainBytes != 3 {
		t.Errorf("%+v %v", put, err)
	}
	var out bytes.Buffer
	if _, err := c.Get(ctx, Ref{Path: "/big"}, &out, GetOptions{Offset: 11, Length: 4}); err != nil || out.String() != "1234" {
		t.Errorf("%q %v", out.String(), err)
	}
	out.Reset()
	if _, err := c.Get(ctx, Ref{Path: "/big"}, &out, GetOptions{Offset: -3}); err != nil || out.String() != "789" {
		t.Errorf("%q %v", out.String(), err)
	}
	count := 0
	for f, err := range c.List(ctx, "/") {
		if err != nil {
			t.Fatal(err)
		}
		if f.Path == "" {
			t.Error("a file without a path")
		}
		count++
	}
	if count != 5 {
		t.Errorf("%d files, want 5", count)
	}
	if v, err := c.Verify(ctx, "", nil); err != nil || v.Bad != 1 {
		t.Errorf("%+v %v", v, err)
	}
	if _, err := c.Delete(ctx, "/one"); err != nil {
		t.Error(err)
	}
	if st, err := c.Status(ctx); err != nil || st.NodeID != "n1" {
		t.Errorf("%+v %v", st, err)
	}
}

func TestClientErrors(t *testing.T) {
	_, s := serve(t, Options{})
	c := connect(t, s, operatorSecret)
	ctx := context.Background()
	_, err := c.Get(ctx, Ref{Path: "/none"}, io.Discard, GetOptions{})
	wantCode(t, err, inos.CodeFileNotFound)
	_, err = c.Delete(ctx, "/none")
	wantCode(t, err, inos.CodeFileNotFound)
	_, err = c.Delete(ctx, "/../none")
	wantCode(t, err, inos.CodeBadPath)
	_, err = connect(t, s, "nobody").Status(ctx)
	wantCode(t, err, inos.CodeUnauthenticated)
	_, err = c.Put(ctx, "/a", strings.NewReader("short"), 10, PutOptions{})
	wantCode(t, err, inos.CodeBodyTruncated)
	_, err = c.Trace(ctx, "x")
	wantCode(t, err, inos.CodeBadRequest)
	for _, bad := range []string{"", "localhost:1", "ftp://x", "http://", "http://u:p@x", "http://x/?q"} {
		_, err := NewClient(bad, "")
		wantCode(t, err, inos.CodeBadRequest)
	}
	nobody, _ := NewClient("http://127.0.0.1:1", "") // a port that the system gives nobody
	_, err = nobody.Status(ctx)
	wantCode(t, err, inos.CodeNodeUnreachable)
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	_, err = connect(t, other, "").Status(ctx)
	wantCode(t, err, inos.CodeIO)
}

// A token must not follow a redirect to another server.
func TestClientKeepsItsToken(t *testing.T) {
	stolen := ""
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { stolen = r.Header.Get("Authorization") }))
	defer thief.Close()
	s := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect))
	defer s.Close()
	if _, err := connect(t, s, "secret").Status(context.Background()); err == nil || stolen != "" {
		t.Errorf("%v, the other server got %q", err, stolen)
	}
}

func TestClientNoticesWrongBytes(t *testing.T) {
	d, s := serve(t, Options{})
	c := connect(t, s, operatorSecret)
	ctx := context.Background()
	if _, err := c.Put(ctx, "/a", strings.NewReader("right"), 5, PutOptions{}); err != nil {
		t.Fatal(err)
	}
	f := d.files["/a"]
	f.body = []byte("wrong")
	d.files["/a"] = f
	_, err := c.Get(ctx, Ref{Path: "/a"}, io.Discard, GetOptions{})
	wantCode(t, err, inos.CodeBodyMismatch)

	dir := t.TempDir()
	name := filepath.Join(dir, "out")
	if err := os.WriteFile(name, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = c.GetFile(ctx, Ref{Path: "/a"}, name, GetOptions{})
	wantCode(t, err, inos.CodeBodyMismatch)
	if b, _ := os.ReadFile(name); string(b) != "before" {
		t.Errorf("the file is %q now", b)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	d.hook = func(_ context.Context, e *eventpb.Envelope, _ func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		f.info.FileId = make([]byte, 32)
		return event.Reply(e, event.StateCompleted, 1, event.Payload(&eventpb.FilesPutReply{File: &f.info})), nil
	}
	_, err = c.Put(ctx, "/a", strings.NewReader("right"), 5, PutOptions{})
	wantCode(t, err, inos.CodeBodyMismatch)
}

func TestGetFile(t *testing.T) {
	_, s := serve(t, Options{})
	c := connect(t, s, operatorSecret)
	ctx := context.Background()
	if _, err := c.Put(ctx, "/a", strings.NewReader("bytes"), 5, PutOptions{}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	name, link := filepath.Join(dir, "out"), filepath.Join(dir, "link")
	if err := os.WriteFile(name, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(name, link); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetFile(ctx, Ref{Path: "/a"}, link, GetOptions{}); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(name); string(b) != "bytes" {
		t.Errorf("%q", b)
	}
	if info, _ := os.Lstat(link); info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link was replaced")
	}
	if _, err := c.GetFile(ctx, Ref{Path: "/a"}, os.DevNull, GetOptions{}); err != nil {
		t.Errorf("to a device: %v", err)
	}
	_, err := c.GetFile(ctx, Ref{Path: "/a"}, dir, GetOptions{})
	wantCode(t, err, inos.CodeBadRequest)
	missing := filepath.Join(dir, "no", "out")
	_, err = c.GetFile(ctx, Ref{Path: "/a"}, missing, GetOptions{})
	wantCode(t, err, inos.CodeBadRequest)
	if want := "write what is got: " + missing + ": no such file or directory"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
}

func TestGetIntoStaysBelow(t *testing.T) {
	_, s := serve(t, Options{})
	c := connect(t, s, operatorSecret)
	ctx := context.Background()
	if _, err := c.Put(ctx, "/a", strings.NewReader("bytes"), 5, PutOptions{}); err != nil {
		t.Fatal(err)
	}
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, name := range []string{"link/a", "../a", outside + "/a"} {
		if _, err := c.GetInto(ctx, Ref{Path: "/a"}, root, name, GetOptions{}); err == nil {
			t.Errorf("%s was written", name)
		}
	}
	if entries, _ := os.ReadDir(outside); len(entries) > 0 {
		t.Errorf("outside: %v", entries)
	}
	if _, err := c.GetInto(ctx, Ref{Path: "/none"}, root, "b", GetOptions{}); err == nil {
		t.Error("a file that is not there was got")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("a get that failed leaves %v", entries)
	}
}

func TestPutIsSentAgainWhenBusy(t *testing.T) {
	d, s := serve(t, Options{})
	tries := 0
	var ids []string
	d.hook = func(_ context.Context, e *eventpb.Envelope, _ func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		ids = append(ids, e.Id)
		if tries++; tries == 1 {
			return event.Failed(e, 1, &inos.Error{Code: inos.CodeBusy, Op: "files:put", RetryAfter: inos.Millisecond}), nil
		}
		return nil, nil
	}
	c := connect(t, s, operatorSecret)
	put, err := c.Put(context.Background(), "/a", strings.NewReader("bytes"), 5, PutOptions{})
	if err != nil || put.PlainBytes != 5 || tries != 2 || ids[0] != ids[1] {
		t.Errorf("%+v %v, %d tries with ids %v", put, err, tries, ids)
	}
	tries = 0
	_, err = c.Put(context.Background(), "/a", io.MultiReader(strings.NewReader("bytes")), 5, PutOptions{})
	wantCode(t, err, inos.CodeBusy)
}

// Following survives a broken connection and misses nothing.
func TestFollowConnectsAgain(t *testing.T) {
	d, s := serve(t, Options{})
	c := connect(t, s, operatorSecret)
	d.record(inos.Event{ID: "1", Type: "a:b:v1:completed"})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var seen []uint64
	err := c.Events(ctx, EventsOptions{Last: 10, Follow: true}, func(e Event) error {
		seen = append(seen, e.Seq)
		switch e.Seq {
		case 1:
			d.record(inos.Event{ID: "2", Type: "a:b:v1:completed"})
		case 2:
			s.CloseClientConnections()
			d.record(inos.Event{ID: "3", Type: "a:b:v1:completed"})
		case 3:
			cancel()
		}
		return nil
	})
	wantCode(t, err, inos.CodeCanceled)
	if len(seen) != 3 || seen[2] != 3 {
		t.Errorf("seen %v", seen)
	}
	stop := errors.New("enough")
	if err := c.Events(context.Background(), EventsOptions{Last: 10, Follow: true}, func(Event) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
	err = connect(t, s, "nobody").Events(context.Background(), EventsOptions{Follow: true}, func(Event) error { return nil })
	wantCode(t, err, inos.CodeUnauthenticated)
}

// A shutdown must not wait for those who follow for ever.
func TestShutdownEndsFollowers(t *testing.T) {
	d := newDouble(t)
	d.record(inos.Event{ID: "1", Type: "a:b:v1:completed"})
	s := httptest.NewServer(New(d, Options{}))
	defer s.Close()
	following, ended := make(chan struct{}), make(chan error, 1)
	c := connect(t, s, operatorSecret)
	go func() {
		lastSeq := ""
		_, err := c.eventsOnce(context.Background(), EventsOptions{Last: 1, Follow: true}, &lastSeq, func(Event) error {
			close(following)
			return nil
		})
		ended <- err
	}()
	<-following
	if err := s.Config.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestParseRef(t *testing.T) {
	id := strings.Repeat("ab", 32)
	for s, path := range map[string]inos.Path{"/a": "/a", id: "", "/" + id: inos.Path("/" + id)} {
		if r, err := ParseRef(s); err != nil || r.Path != path {
			t.Errorf("%s: %+v %v", s, r, err)
		}
	}
	for _, s := range []string{"", "a", id[1:], strings.Repeat("zz", 32), "/a/../b"} {
		_, err := ParseRef(s)
		wantCode(t, err, inos.CodeBadPath)
	}
}

func TestConnectionErrorIsShort(t *testing.T) {
	c, err := NewClient("http://127.0.0.1:7770", "")
	if err != nil {
		t.Fatal(err)
	}
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7770}
	write := &net.OpError{Op: "write", Net: "tcp", Source: addr, Addr: addr, Err: os.NewSyscallError("write", syscall.EPIPE)}
	for want, err := range map[string]error{
		"broken pipe":                &url.Error{Op: "Put", URL: "http://127.0.0.1:7770/v1", Err: &net.OpError{Op: "readfrom", Net: "tcp", Source: addr, Addr: addr, Err: write}},
		"it ended before the answer": &url.Error{Op: "Get", URL: "http://127.0.0.1:7770/v1", Err: io.EOF},
	} {
		got := c.connectionError(t.Context(), err).Error()
		if want = "call node: http://127.0.0.1:7770: the connection broke: " + want; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
