package host

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/api"
)

// A provider's folder alone reveals no path, no owner, nobody's name and no secret, after a user has done there all that leaves something: put,
// shared, read by a link, uploaded, replaced, deleted, and after a read was served and a copy repaired. The switchboard's folder shows that the
// search finds what is there.
func TestAProvidersFolderTellsNothing(t *testing.T) {
	m := openMesh(t, 4)
	ctx := context.Background()
	r := &identityRig{t: t, testNode: m.board, log: &lockedBuffer{}}
	r.operator = r.client(func(context.Context, string) (string, error) {
		b, err := os.ReadFile(r.folder.path("token"))
		return strings.TrimSpace(string(b)), err
	})
	words := map[string]string{"the owner": "wilhelmina", "a folder": "diary-of-the-north", "a file": "fourteenth-of-may", "a group": "expedition-members", "a content type": "text/x-field-notes"}
	if _, err := r.operator.PutUser(ctx, words["the owner"], api.UserQuestion{Create: true}); err != nil {
		t.Fatal(err)
	}
	p := r.newPhone(words["the owner"])
	user := r.client(p.token)
	path := inos.Path("/" + words["a folder"] + "/" + words["a file"])
	put := func(path inos.Path, body []byte) {
		t.Helper()
		if _, err := user.Put(ctx, path, bytes.NewReader(body), int64(len(body)), api.PutOptions{ContentType: words["a content type"]}); err != nil {
			t.Fatal(err)
		}
	}
	put(path, text(7, 3<<20))
	put(path, noise(8, 2<<20))
	put(path+".gone", noise(9, 1000))
	if _, err := user.Delete(ctx, path+".gone"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.operator.PutGroup(ctx, words["a group"], []string{words["the owner"]}); err != nil {
		t.Fatal(err)
	}
	link, err := user.Grant(ctx, api.GrantQuestion{Prefix: "/" + words["a folder"], Link: true})
	if err != nil {
		t.Fatal(err)
	}
	if status, _, _ := r.http("GET", link.Address+"/"+words["a file"], ""); status != 200 {
		t.Fatalf("by link: %d", status)
	}
	lost := 0 // what it holds is copied to the others, by pulls among them
	if err := m.providers[lost].Close(ctx); err != nil {
		t.Fatal(err)
	}
	m.providers[lost] = nil
	m.board.waitFor("the others hold all", func(*eventpb.NodeStatusReply) bool {
		for _, p := range m.providers[1:] {
			if p.content.Usage().Chunks < 3 { // two chunks and their manifest; of the version before they may be gone
				return false
			}
		}
		return true
	})
	if _, err := user.Get(ctx, api.Ref{Path: path}, io.Discard, api.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	for i, s := range p.secrets {
		words["secret "+string(rune('0'+i))] = s
	}
	words["a link"] = link.Secret
	m.close()

	found := map[string]bool{}
	look := func(dir string, seen func(name, what string)) {
		readAll(t, dir, func(name string, b []byte) {
			for what, word := range words {
				for _, form := range []string{word, hex.EncodeToString([]byte(word)), base64.RawStdEncoding.EncodeToString([]byte(word))} {
					if bytes.Contains(b, []byte(form)) || strings.Contains(name, form) {
						seen(name, what)
					}
				}
			}
		})
	}
	for i := range m.providers {
		look(m.folderOf(i), func(name, what string) { t.Errorf("provider %d: %s has %s", i, name, what) })
	}
	look(filepath.Join(m.parent, "switchboard"), func(_, what string) { found[what] = true })
	for _, what := range []string{"the owner", "a folder", "a file", "a group", "a content type"} {
		if !found[what] {
			t.Errorf("the switchboard's folder does not have %s: the search finds nothing", what)
		}
	}
}
