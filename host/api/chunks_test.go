package api

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

func TestChunks(t *testing.T) {
	d, s := serve(t, Options{})
	body := strings.Repeat("a", inos.ChunkBytesMax) + strings.Repeat("b", 3000)
	call(t, s, "PUT", "/v1/files/a", body)
	file := call(t, s, "HEAD", "/v1/files/a", "").header.Get("Inos-File-Id")
	var ids [2]string
	for i, part := range []string{body[:inos.ChunkBytesMax], body[inos.ChunkBytesMax:]} {
		sum := blake3.Sum256([]byte(part))
		ids[i] = hex.EncodeToString(sum[:])
		for _, name := range []string{"path=/a", "file=" + file} {
			a := call(t, s, "GET", fmt.Sprintf("/v1/chunks/%s?%s&index=%d", ids[i], name, i), "")
			if a.status != 200 || a.body != part || a.header.Get("ETag") != `"`+ids[i]+`"` {
				t.Errorf("chunk %d by %s: %d, %d bytes", i, name, a.status, len(a.body))
			}
		}
	}
	for address, want := range map[string]string{"offset=0": "leaf 0 of 3000", "offset=1023": "leaf 0 of 3000", "offset=1024": "leaf 1 of 3000", "offset=2999": "leaf 2 of 3000", "": "leaf 0 of 3000"} {
		if a := call(t, s, "GET", "/v1/chunks/"+ids[1]+"/proof?path=/a&index=1&"+address, ""); a.status != 200 || a.body != want {
			t.Errorf("%s: %d %s", address, a.status, a.body)
		}
	}
	if a := call(t, s, "GET", "/v1/chunks/"+ids[1]+"?path=/a&index=1", "", "If-None-Match", `"`+ids[1]+`"`); a.status != 304 {
		t.Errorf("unchanged: %d", a.status)
	}
	for _, c := range []struct{ address, code string }{
		{ids[1] + "?path=/a&index=0", "chunk_not_found"}, // of the file, but not there
		{ids[1] + "/proof?path=/a&index=0", "chunk_not_found"},
		{strings.Repeat("0", 64) + "?path=/a&index=0", "chunk_not_found"},
		{ids[0] + "?path=/none&index=0", "file_not_found"},
		{ids[0] + "?path=/a", "bad_request"},
		{ids[0] + "?index=0", "bad_request"},
		{ids[0] + "?path=/a&file=" + file + "&index=0", "bad_request"},
		{ids[0] + "?path=/a&index=x", "bad_request"},
		{ids[0] + "?path=/a&index=0&offset=1", "bad_request"},
		{ids[0] + "?path=/../a&index=0", "bad_path"},
		{"xyz?path=/a&index=0", "bad_request"},
		{ids[1] + "/proof?path=/a&index=1&offset=3000", "range_not_satisfiable"},
	} {
		if a := call(t, s, "GET", "/v1/chunks/"+c.address, ""); a.status < 400 || a.problem(t).Code != c.code {
			t.Errorf("%s: %d %s", c.address, a.status, a.body)
		}
	}
	// The kernel's refusal is the answer, whatever is known of the chunk; and bytes of another version are not it.
	d.hook = func(_ context.Context, e *eventpb.Envelope, _ func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		if e.EventType == event.FilesStat {
			return event.Failed(e, 1, inos.Errorf(inos.CodePermissionDenied, "files:stat", "no")), nil
		}
		return nil, nil
	}
	if a := call(t, s, "GET", "/v1/chunks/"+ids[0]+"?path=/a&index=0", ""); a.status != 403 {
		t.Errorf("%d %s", a.status, a.body)
	}
	d.hook = func(_ context.Context, e *eventpb.Envelope, _ func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		if e.EventType == event.FilesGet {
			d.mu.Lock()
			f := d.files["/a"]
			f.body = []byte(strings.Repeat("c", len(body)))
			d.files["/a"] = f
			d.mu.Unlock()
		}
		return nil, nil
	}
	if a := call(t, s, "GET", "/v1/chunks/"+ids[0]+"?path=/a&index=0", ""); a.status != 404 || a.problem(t).Code != "chunk_not_found" {
		t.Errorf("%d %.100s", a.status, a.body)
	}
}
