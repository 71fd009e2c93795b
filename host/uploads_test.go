package host

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/api"
)

// sender sends bytes as an upload, as a client does.
type sender struct {
	t       *testing.T
	client  *api.Client
	encoder *Encoder
	body    []byte
}

func newSender(t *testing.T, client *api.Client, body []byte) *sender {
	t.Helper()
	encoder, err := NewEncoder(context.Background(), 1, testCache, testLog{t})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = encoder.Close() })
	return &sender{t, client, encoder, body}
}

func (s *sender) chunk(index uint64) []byte {
	rest := s.body[index*inos.ChunkBytesMax:]
	return rest[:min(len(rest), inos.ChunkBytesMax)]
}

func (s *sender) chunks() uint64 {
	return uint64((len(s.body) + inos.ChunkBytesMax - 1) / inos.ChunkBytesMax)
}

func (s *sender) open(path string) api.Upload {
	s.t.Helper()
	u, err := s.client.OpenUpload(context.Background(), api.UploadQuestion{Path: path, PlainBytes: uint64(len(s.body))}, "")
	if err != nil {
		s.t.Fatal(err)
	}
	return u
}

// missing asks which chunks have to be sent.
func (s *sender) missing(id string) []uint64 {
	s.t.Helper()
	var hashes []inos.PlainHash
	for i := range s.chunks() {
		hashes = append(hashes, blake3.Sum256(s.chunk(i)))
	}
	r, err := s.client.ClaimChunks(context.Background(), id, 0, hashes)
	if err != nil {
		s.t.Fatal(err)
	}
	return r.Missing
}

func (s *sender) encoded(index uint64) (inos.Entry, []byte) {
	s.t.Helper()
	stored, entry, err := s.encoder.Encode(context.Background(), s.chunk(index), index*inos.ChunkBytesMax)
	if err != nil {
		s.t.Fatal(err)
	}
	return entry, stored
}

func (s *sender) send(id string, indexes ...uint64) {
	s.t.Helper()
	for _, index := range indexes {
		entry, stored := s.encoded(index)
		sent, err := s.client.SendChunk(context.Background(), id, index, entry.ChunkID, stored, entry.Quality)
		if err != nil || sent.PlainHash != entry.PlainHash.String() {
			s.t.Fatalf("chunk %d: %+v, %v", index, sent, err)
		}
	}
}

func clientOf(t *testing.T, n *testNode, dir string) *api.Client {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := api.NewClient(n.URL(), strings.TrimSpace(string(token)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// An upload outlives the node: what arrived before is not asked for again, and the file is what was sent.
func TestUploadSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, dir, nil)
	body := append(append(text(1, 3*inos.ChunkBytesMax), noise(2, inos.ChunkBytesMax)...), text(3, 777)...)
	s := newSender(t, clientOf(t, n, dir), body)
	u := s.open("/big")
	if got := fmt.Sprint(s.missing(u.ID)); got != "[0 1 2 3 4]" || u.Chunks != 5 {
		t.Fatalf("%d chunks, missing %s", u.Chunks, got)
	}
	var sent sync.WaitGroup
	for _, i := range []uint64{4, 1, 3} { // in any order, side by side
		sent.Go(func() { s.send(u.ID, i) })
	}
	sent.Wait()
	n.close()

	n = openNode(t, dir, nil)
	defer func() { n.close() }()
	n.waitFor("its start", func(s *eventpb.NodeStatusReply) bool { return s.Ready })
	s.client = clientOf(t, n, dir)
	var open []api.Upload
	for u, err := range s.client.Uploads(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, u)
	}
	if len(open) != 1 || open[0].ID != u.ID || open[0].Held != 3 {
		t.Fatalf("open: %+v", open)
	}
	page, err := s.client.StatUpload(context.Background(), u.ID, 0)
	if err != nil || len(page.Have) != 3 || fmt.Sprint(page.Missing) != "[{0 1} {2 1}]" {
		t.Fatalf("%+v (%v)", page, err)
	}
	if _, err := s.client.CommitUpload(context.Background(), u.ID, inos.FileID{}, false, ""); inos.CodeOf(err) != inos.CodeUploadIncomplete {
		t.Fatalf("a commit without two chunks: %v", err)
	}
	missing := s.missing(u.ID)
	if fmt.Sprint(missing) != "[0 2]" {
		t.Fatalf("missing %v", missing)
	}
	s.send(u.ID, missing...)
	if _, err := s.client.CommitUpload(context.Background(), u.ID, inos.FileID{1}, false, ""); inos.CodeOf(err) != inos.CodeBodyMismatch {
		t.Fatalf("a commit as another file: %v", err)
	}
	const id = "" // a new request
	reply, err := s.client.CommitUpload(context.Background(), u.ID, blake3.Sum256(body), true, id)
	if err != nil || reply.FileID != inos.FileID(blake3.Sum256(body)).String() || reply.PlainBytes != uint64(len(body)) {
		t.Fatalf("%+v (%v)", reply, err)
	}
	// Its answer was lost: another request for the same upload gets it again, and no other version.
	again, err := s.client.CommitUpload(context.Background(), u.ID, blake3.Sum256(body), true, id)
	if err != nil || again.FileID != reply.FileID || again.Version != reply.Version || again.Version != 1 {
		t.Fatalf("a commit once more: %+v (%v), not %+v", again, err, reply)
	}
	n.mustHold("/big", body)
	stream, err := n.get(&eventpb.FilesGetRequest{Path: "/big", LengthBytes: -1, Encoded: true})
	if err != nil || len(stream) == 0 {
		t.Fatal(err)
	}
	if _, err := s.client.StatUpload(context.Background(), u.ID, 0); inos.CodeOf(err) != inos.CodeUploadUnknown {
		t.Errorf("it is open still: %v", err)
	}

	// The same bytes again, moved by a chunk: nothing has to be sent, and every chunk has another chaining value.
	s.body = append(noise(2, inos.ChunkBytesMax), body...)
	u = s.open("/moved")
	if missing := s.missing(u.ID); len(missing) != 0 {
		t.Fatalf("missing %v", missing)
	}
	if _, err := s.client.CommitUpload(context.Background(), u.ID, blake3.Sum256(s.body), false, ""); err != nil {
		t.Fatal(err)
	}
	n.mustHold("/moved", s.body)
}

// Nothing that a client says is believed, and nothing false stays.
func TestUploadAttacks(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, dir, nil)
	defer n.close()
	n.waitFor("its start", func(s *eventpb.NodeStatusReply) bool { return s.Ready })
	ctx := context.Background()
	s := newSender(t, clientOf(t, n, dir), text(1, 2*inos.ChunkBytesMax))
	u := s.open("/a")
	first, stored := s.encoded(0)
	second, _ := s.encoded(1)
	put := func(index uint64, id inos.ChunkID, body []byte) error {
		_, err := s.client.SendChunk(ctx, u.ID, index, id, body, 5)
		return err
	}
	id := func(b []byte) inos.ChunkID { return blake3.Sum256(b) }
	want := func(what string, err error, code inos.Code) {
		t.Helper()
		if inos.CodeOf(err) != code {
			t.Errorf("%s: %v, want %s", what, err, code.Name())
		}
	}
	want("another chunk's id", put(0, second.ChunkID, stored), inos.CodeBodyMismatch)
	cut := stored[:len(stored)-5]
	want("a form that is cut off", put(0, id(cut), cut), inos.CodeBodyMismatch)
	closed := append(bytes.Clone(stored), 3)
	want("a form that ends the stream", put(0, id(closed), closed), inos.CodeBodyMismatch)
	joined := append(bytes.Clone(stored), stored...)
	want("more plain bytes than a chunk has", put(0, id(joined), joined), inos.CodeBodyMismatch)
	_, bomb := (&sender{t, s.client, s.encoder, make([]byte, inos.ChunkBytesMax)}).encoded(0)
	bomb = bytes.Repeat(bomb, 1000)
	want("a bomb", put(0, id(bomb), bomb), inos.CodeBodyMismatch)
	empty := bytes.Repeat([]byte{6}, 1<<20)
	want("a million empty meta-blocks", put(0, id(empty), empty), inos.CodeBodyMismatch)
	noisy := noise(9, 70_000)
	want("noise", put(0, id(noisy), noisy), inos.CodeBodyMismatch)
	short, shortForm := (&sender{t, s.client, s.encoder, text(1, 1000)}).encoded(0)
	want("too few plain bytes", put(0, short.ChunkID, shortForm), inos.CodeBodyMismatch)
	want("an index behind the end", put(2, first.ChunkID, stored), inos.CodeBadRequest)
	want("a body that is too long", put(0, first.ChunkID, make([]byte, inos.StoredBytesMax+1)), inos.CodeBadRequest)
	if missing := s.missing(u.ID); len(missing) != 2 {
		t.Errorf("after nothing but lies, %v is missing", missing)
	}
	status, err := s.client.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range status.Workers {
		if w.Restarts > 0 {
			t.Errorf("worker %d was started again: %s", w.Worker, w.Reason)
		}
	}

	// Ids and hashes of others grant nothing: bob has the chunks, and has to be sent them all the same.
	if err := n.request(ctx, event.UsersPut, &eventpb.UsersPutRequest{User: &eventpb.User{Name: "bob"}, Create: true}, &eventpb.UsersPutReply{}); err != nil {
		t.Fatal(err)
	}
	n.mustPut("/mine", s.body)
	if missing := s.missing(u.ID); len(missing) != 0 {
		t.Errorf("of what is in the namespace, %v is missing", missing)
	}
	for address, status := range map[string]int{
		"/v1/uploads/" + u.ID + "/chunks/xyz?index=0":                                    400,
		"/v1/uploads/" + u.ID + "/chunks/" + first.ChunkID.String():                      400,
		"/v1/uploads/" + u.ID + "/nothing":                                               404,
		"/v1/uploads/..%2f" + u.ID + "/chunks/" + first.ChunkID.String() + "?index=0":    400,
		"/v1/uploads/" + u.ID + "x/chunks/" + first.ChunkID.String() + "?index=0":        404,
		"/v1/uploads/" + u.ID + "/chunks/" + first.ChunkID.String() + "?index=99999999":  400,
		"/v1/uploads/" + u.ID + "/chunks/" + first.ChunkID.String() + "?index=-1":        400,
		"/v1/uploads/" + u.ID + "/chunks/" + first.ChunkID.String() + "?index=0&owner=x": 403,
	} {
		r, err := http.NewRequest("PUT", n.URL()+address, bytes.NewReader(stored))
		if err != nil {
			t.Fatal(err)
		}
		token, _ := os.ReadFile(filepath.Join(dir, "token"))
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != status {
			t.Errorf("%s: %d, want %d", address, response.StatusCode, status)
		}
	}
	// More uploads than one may have open.
	for i := 1; i < 64; i++ {
		s.open(fmt.Sprintf("/many/%d", i))
	}
	_, err = s.client.OpenUpload(ctx, api.UploadQuestion{Path: "/more", PlainBytes: 1}, "")
	want("one upload too many", err, inos.CodeQuotaExceeded)
	if err := s.client.DropUpload(ctx, u.ID); err != nil {
		t.Fatal(err)
	}
	want("what was given up", put(0, first.ChunkID, stored), inos.CodeUploadUnknown)
	s.open("/more")
}
