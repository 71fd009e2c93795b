package host

import (
	"net/http"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

// An answer of several ranges is one use of a link, as it is one request, and is whole.
func TestSeveralRangesAreOneUseOfALink(t *testing.T) {
	r := newIdentityRig(t)
	defer r.close()
	ctx := t.Context()
	if _, err := r.operator.Put(ctx, "/note", strings.NewReader("0123456789"), 10, api.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	link, err := r.operator.Grant(ctx, api.GrantQuestion{Prefix: "/note", Link: true, Verbs: []string{inos.VerbRead}, UsesMax: 1})
	if err != nil {
		t.Fatal(err)
	}
	status, answer, _ := r.http("GET", link.Address, "", "Range", "bytes=0-1,4-5,8-9")
	if status != http.StatusPartialContent || !strings.Contains(answer, "01") || !strings.Contains(answer, "45") || !strings.Contains(answer, "89") {
		t.Errorf("%d %s", status, answer)
	}
	if status, answer, _ := r.http("GET", link.Address, ""); status != http.StatusNotFound {
		t.Errorf("a second use: %d %s", status, answer)
	}
}
