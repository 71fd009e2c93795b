package host

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/host/api"
)

// TestRequestComesAgain sends requests with the id of an earlier one: the same request has the same answer and one effect;
// another under its id is refused, and nothing that its sender believes stored is dropped.
func TestRequestComesAgain(t *testing.T) {
	n := openNode(t, t.TempDir(), nil)
	defer n.close()
	secret, err := n.folder.secret("token", tokenPrefix, tokenBytes)
	if err != nil {
		t.Fatal(err)
	}
	parse := func(answer string) (r api.PutReply) { // an answer to a delete has some of its fields
		t.Helper()
		if err := json.Unmarshal([]byte(answer), &r); err != nil {
			t.Fatalf("%s: %v", answer, err)
		}
		return r
	}
	send := func(method, path, id, body string) (int, string) {
		t.Helper()
		q, err := http.NewRequest(method, n.URL()+"/v1/files"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Authorization", "Bearer "+secret)
		q.Header.Set("Inos-Request-Id", id)
		r, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		answer, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(answer)
	}
	refused := func(method, path, id, body, names string) {
		t.Helper()
		status, answer := send(method, path, id, body)
		if status != http.StatusConflict || !strings.Contains(answer, names) || !strings.Contains(answer, `"code":"conflict"`) {
			t.Errorf("%s %s again with %q: %d %s, want a conflict that names %s", method, path, body, status, answer, names)
		}
	}
	id := n.hostEnvelope(event.FilesPut, nil).Id
	status, first := send("PUT", "/a", id, "one")
	if status/100 != 2 {
		t.Fatalf("put: %d %s", status, first)
	}
	refused("PUT", "/a", id, "two", "/a")
	refused("PUT", "/b", id, "one", "/b")
	if again, answer := send("PUT", "/a", id, "one"); again != status || parse(answer).File != parse(first).File {
		t.Errorf("the same put again: %d %s, the first was %d %s", again, answer, status, first)
	}
	n.mustHold("/a", []byte("one"))
	n.mustPut("/b", []byte("two"))
	id = n.hostEnvelope(event.FilesDelete, nil).Id
	status, first = send("DELETE", "/a", id, "")
	if status/100 != 2 {
		t.Fatalf("delete: %d %s", status, first)
	}
	refused("DELETE", "/b", id, "", "/b")
	if again, answer := send("DELETE", "/a", id, ""); again != status || parse(answer).File != parse(first).File {
		t.Errorf("the same delete again: %d %s, the first was %d %s", again, answer, status, first)
	}
	n.mustHold("/b", []byte("two"))
}
