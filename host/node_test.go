package host

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// testNode is a real node with real workers in a folder of the test, spoken to as package api does.
type testNode struct {
	*Node
	t       testing.TB
	session inos.Session
}

func openNode(t testing.TB, dir string, change func(*Config)) *testNode {
	t.Helper()
	config := Config{DataDir: dir, Listen: "127.0.0.1:0", Workers: 2, Record: true, Stderr: testLog{t}, CacheDir: testCache}
	if change != nil {
		change(&config)
	}
	n, err := Open(context.Background(), config)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	secret, err := n.folder.secret("token", tokenPrefix, tokenBytes)
	if err != nil {
		t.Fatal(err)
	}
	session, err := n.Authenticate(context.Background(), secret)
	if err != nil {
		t.Fatal(err)
	}
	return &testNode{Node: n, t: t, session: session}
}

func (n *testNode) close() {
	n.t.Helper()
	if err := n.Close(context.Background()); err != nil {
		n.t.Fatalf("Close: %v", err)
	}
}

// testLog sends a node's log lines to the test's.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// request submits a client's request and opens its reply.
func (n *testNode) request(ctx context.Context, eventType string, q, reply event.Message) error {
	e := n.hostEnvelope(eventType, q)
	e.Metadata = &eventpb.Metadata{SecurityToken: n.session.TokenID, UserId: string(n.session.Subject), DeviceId: n.session.Device}
	e.Metadata.TraceContext = map[string]string{"traceparent": traceparent()}
	answer, err := n.Request(ctx, e, nil)
	if err != nil {
		return err
	}
	if event.StateOf(answer.EventType) == event.StateFailed {
		return event.FailureOf(answer)
	}
	return event.Open(answer, reply)
}

func traceparent() string {
	var b [24]byte
	_, _ = rand.Read(b[:])
	return fmt.Sprintf("00-%x-%x-01", b[:16], b[16:])
}

func (n *testNode) put(path string, body []byte) (*eventpb.FileInfo, error) {
	return n.putFrom(path, bytes.NewReader(body), int64(len(body)))
}

func (n *testNode) putFrom(path string, body io.Reader, length int64) (*eventpb.FileInfo, error) {
	stream, release := n.Source(body)
	defer release()
	var reply eventpb.FilesPutReply
	err := n.request(context.Background(), event.FilesPut, &eventpb.FilesPutRequest{Path: path, Stream: stream, LengthBytes: length}, &reply)
	return reply.File, err
}

func (n *testNode) get(q *eventpb.FilesGetRequest) ([]byte, error) {
	var b bytes.Buffer
	stream, release := n.Sink(&b)
	defer release()
	q.Stream = stream
	var reply eventpb.FilesGetReply
	err := n.request(context.Background(), event.FilesGet, q, &reply)
	return b.Bytes(), err
}

func (n *testNode) mustPut(path string, body []byte) *eventpb.FileInfo {
	n.t.Helper()
	file, err := n.put(path, body)
	if err != nil {
		n.t.Fatalf("put %s: %v", path, err)
	}
	return file
}

func (n *testNode) mustHold(path string, body []byte) {
	n.t.Helper()
	got, err := n.get(&eventpb.FilesGetRequest{Path: path, LengthBytes: -1})
	if err != nil {
		n.t.Fatalf("get %s: %v", path, err)
	}
	if !bytes.Equal(got, body) {
		n.t.Fatalf("get %s: %d bytes differ from the %d that were put", path, len(got), len(body))
	}
}

// text returns compressible bytes, the same for the same seed.
func text(seed uint64, size int) []byte {
	words := strings.Fields("mesh chunk manifest replica quorum placement repair scrub drain lease ledger epoch beacon proof slice hot cold tier supervisor watcher adjuster the of and to in")
	r := mathrand.New(mathrand.NewPCG(seed, 1))
	b := make([]byte, 0, size+16)
	for len(b) < size {
		b = append(append(b, words[r.IntN(len(words))]...), ' ')
	}
	return b[:size]
}

// noise returns incompressible bytes, the same for the same seed.
func noise(seed uint64, size int) []byte {
	b := make([]byte, size)
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	_, _ = mathrand.NewChaCha8(key).Read(b)
	return b
}

func TestPutAndGet(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, dir, nil)
	const mib = inos.ChunkBytesMax
	bodies := map[string][]byte{}
	// Sizes on the chunk's boundary, one below, one above, zero; and files of several chunks of both kinds.
	for _, size := range []int{0, 1, 1023, 1024, 1025, 65536, mib - 1, mib, mib + 1, 3*mib + 777} {
		bodies[fmt.Sprintf("/text/%d", size)] = text(uint64(size), size)
		bodies[fmt.Sprintf("/noise/%d", size)] = noise(uint64(size), size)
	}
	for path, body := range bodies {
		file := n.mustPut(path, body)
		if want := blake3.Sum256(body); !bytes.Equal(file.FileId, want[:]) {
			t.Errorf("%s: file id %x, BLAKE3 of the body is %x", path, file.FileId, want)
		}
		n.mustHold(path, body)
	}
	n.close()
	n = openNode(t, dir, nil)
	for path, body := range bodies {
		n.mustHold(path, body)
	}
	n.close()
}

func TestGetRange(t *testing.T) {
	n := openNode(t, t.TempDir(), nil)
	defer n.close()
	body := append(text(1, 2*inos.ChunkBytesMax), noise(2, inos.ChunkBytesMax+5)...)
	n.mustPut("/file", body)
	for _, r := range [][2]int{{0, 1}, {0, len(body)}, {inos.ChunkBytesMax - 1, 2}, {len(body) - 1, 1}, {inos.ChunkBytesMax, inos.ChunkBytesMax}, {100, 3*inos.ChunkBytesMax - 200}} {
		got, err := n.get(&eventpb.FilesGetRequest{Path: "/file", OffsetBytes: uint64(r[0]), LengthBytes: int64(r[1])})
		if err != nil {
			t.Fatalf("range %v: %v", r, err)
		}
		if !bytes.Equal(got, body[r[0]:r[0]+r[1]]) {
			t.Fatalf("range %v: %d bytes differ", r, len(got))
		}
	}
}

func TestDeletedFileIsCollected(t *testing.T) {
	n := openNode(t, t.TempDir(), nil)
	defer n.close()
	n.mustPut("/a", noise(3, 3*inos.ChunkBytesMax))
	var deleted eventpb.FilesDeleteReply
	if err := n.request(context.Background(), event.FilesDelete, &eventpb.FilesDeleteRequest{Path: "/a"}, &deleted); err != nil {
		t.Fatal(err)
	}
	if _, err := n.get(&eventpb.FilesGetRequest{Path: "/a", LengthBytes: -1}); inos.CodeOf(err) != inos.CodeFileNotFound {
		t.Fatalf("get of a deleted file: %v", err)
	}
	n.waitFor("no chunk is held", func(s *eventpb.NodeStatusReply) bool { return n.content.Usage().Chunks == 0 })
	if u := n.content.Usage(); u.UsedBytes != 0 || u.TrashBytes == 0 {
		t.Fatalf("after collection: %+v", u)
	}
}

// waitFor asks for the status until it is as wanted; the test's own time limit ends it.
func (n *testNode) waitFor(what string, is func(*eventpb.NodeStatusReply) bool) {
	n.t.Helper()
	for {
		recorded := n.Recorded() // asked for first: what changes after the status is recorded after it
		s, err := n.Status(context.Background())
		if err != nil {
			n.t.Fatalf("while waiting until %s: %v", what, err)
		}
		if is(s) {
			return
		}
		select {
		case <-recorded:
		case <-time.After(100 * time.Millisecond): // what leaves no record, such as the release of a buffer
		}
	}
}

// waitForNoBuffer waits until no buffer lives. Beside what a test asked for, a challenge of one of its chunks may hold one for a moment.
func (n *testNode) waitForNoBuffer() {
	n.t.Helper()
	n.waitFor("no buffer lives", func(*eventpb.NodeStatusReply) bool {
		count, held := n.buffers.bytes()
		return count == 0 && held == 0
	})
}

// bytes returns how many buffers live and the memory they hold.
func (b *buffers) bytes() (count int, held int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for number, x := range b.live {
		if x.twin < number { // of two in one slab, once
			held += int64(cap(x.slab))
		}
	}
	return len(b.live), held
}

func TestKilledWorkerCostsARetry(t *testing.T) {
	n := openNode(t, t.TempDir(), nil)
	defer n.close()
	body := text(4, 64*inos.ChunkBytesMax)
	kills, passed := 0, 0
	reader := &hookReader{r: bytes.NewReader(body), every: 8 << 20, hook: func() {
		if passed++; passed%2 == 0 { // a chunk that loses two workers is refused: all that were read are done before the next kill
			done := int64(passed)*8 - 1 // the last one is being read
			n.waitFor("what was read is stored", func(*eventpb.NodeStatusReply) bool { return n.content.Usage().Chunks >= done })
			return
		}
		s, err := n.Status(context.Background())
		if err != nil {
			t.Error(err)
			return
		}
		for _, w := range s.Workers {
			if w.Pid != 0 && w.State == "ready" {
				if err := syscall.Kill(int(w.Pid), syscall.SIGKILL); err == nil {
					kills++
				}
				return
			}
		}
	}}
	if _, err := n.putFrom("/killed", reader, int64(len(body))); err != nil {
		t.Fatalf("put while workers are killed: %v", err)
	}
	n.mustHold("/killed", body)
	if kills == 0 {
		t.Fatal("no worker was killed")
	}
}

// hookReader calls hook after every so many bytes.
type hookReader struct {
	r     io.Reader
	every int
	seen  int
	hook  func()
}

func (h *hookReader) Read(p []byte) (int, error) {
	count, err := h.r.Read(p)
	if (h.seen+count)/h.every > h.seen/h.every {
		h.hook()
	}
	h.seen += count
	return count, err
}

func TestBrokenBodyLeavesNothing(t *testing.T) {
	n := openNode(t, t.TempDir(), nil)
	defer n.close()
	broken := io.MultiReader(bytes.NewReader(noise(5, 5*inos.ChunkBytesMax)), &failingReader{io.ErrUnexpectedEOF})
	if _, err := n.putFrom("/broken", broken, 10*inos.ChunkBytesMax); inos.CodeOf(err) != inos.CodeBodyTruncated {
		t.Fatalf("put of a truncated body: %v", err)
	}
	if _, err := n.putFrom("/short", bytes.NewReader(noise(6, 100)), 200); inos.CodeOf(err) != inos.CodeBodyTruncated {
		t.Fatalf("put of a body shorter than its length: %v", err)
	}
	n.waitFor("no chunk is held and no work is left", func(s *eventpb.NodeStatusReply) bool {
		return n.content.Usage().Chunks == 0 && s.BufferBytes == 0 && s.Puts == 0
	})
	n.waitForNoBuffer()
}

type failingReader struct{ err error }

func (f *failingReader) Read([]byte) (int, error) { return 0, f.err }

func TestSecondNodeOnAFolder(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, dir, nil)
	defer n.close()
	_, err := Open(context.Background(), Config{DataDir: dir, Listen: "127.0.0.1:0"})
	if inos.CodeOf(err) != inos.CodeFolderInUse {
		t.Fatalf("second Open: %v", err)
	}
}

func TestWrongTokenIsRefused(t *testing.T) {
	n := openNode(t, t.TempDir(), nil)
	defer n.close()
	for _, secret := range []string{"", "inos_", "inos_" + strings.Repeat("0", 64), strings.Repeat("x", 1000)} {
		if _, err := n.Authenticate(context.Background(), secret); inos.CodeOf(err) != inos.CodeUnauthenticated {
			t.Errorf("%.20q: %v", secret, err)
		}
	}
}

func TestRecordedLogReplays(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, dir, nil)
	for i := range 8 {
		n.mustPut(fmt.Sprintf("/f%d", i), text(uint64(i), 300_000))
	}
	n.close()
	report, err := Replay(context.Background(), dir+"/log", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if report.Steps < 50 {
		t.Fatalf("only %d steps were replayed", report.Steps)
	}
}

func TestCanceledGet(t *testing.T) {
	n := openNode(t, t.TempDir(), nil)
	defer n.close()
	n.mustPut("/big", noise(7, 40*inos.ChunkBytesMax))
	ctx, cancel := context.WithCancel(context.Background())
	stream, release := n.Sink(writerFunc(func(p []byte) (int, error) {
		cancel()
		<-ctx.Done()
		return 0, ctx.Err()
	}))
	defer release()
	var reply eventpb.FilesGetReply
	err := n.request(ctx, event.FilesGet, &eventpb.FilesGetRequest{Path: "/big", Stream: stream, LengthBytes: -1}, &reply)
	if code := inos.CodeOf(err); code != inos.CodeCanceled && !errors.Is(err, context.Canceled) {
		t.Fatalf("a get whose client went away: %v", err)
	}
	n.waitFor("no get is under way", func(s *eventpb.NodeStatusReply) bool { return s.Gets == 0 && s.BufferBytes == 0 })
	n.waitForNoBuffer()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
