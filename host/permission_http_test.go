package host

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/api"
	"github.com/inos-mesh/inos/host/api/contract"
	"lukechampine.com/blake3"
)

// who asks over HTTP, in the order of the columns of httpMatrix. All that is asked is about alice, who is the owner. Reader to admin have a
// grant in her /shared: to read, to write, to read and share, to read and administer; member is in a group that may read there, former had a grant that was taken back and late one that has expired, program is a token of alice's
// that may read below /shared, cookie a dashboard of alice's without its CSRF token. Bad stands for every token of httpMatrix.bad, none for no token.
var httpWho = strings.Fields("owner reader writer sharer admin member former late stranger operator program cookie bad none")

// httpRow is the status for each column, an operation of the OpenAPI document, and an address and a body of it.
type httpRow struct{ cells, operation, address, body string }

// httpMatrix is what the rows speak of.
type httpMatrix struct {
	*identityRig
	headers  map[string][]string // of each column
	bad      map[string][]string
	contract *contract.Document
	made     map[string]func() string // what stands in <> in the rows
}

// newHTTPMatrix makes people, grants and tokens of all kinds.
func newHTTPMatrix(t *testing.T) *httpMatrix {
	t.Helper()
	ctx := context.Background()
	m := &httpMatrix{identityRig: newIdentityRig(t, func(c *Config) { c.MeshListen = []string{"/ip4/127.0.0.1/tcp/0"} }), headers: map[string][]string{}, bad: map[string][]string{}, made: map[string]func() string{}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, raw, _ := m.http("GET", m.URL()+"/v1/openapi.json", "")
	var err error
	m.contract, err = contract.Read([]byte(raw))
	must(err)

	phones := map[string]*phone{}
	bearer := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
	login := func(column, user string) {
		_, err := m.operator.PutUser(ctx, user, api.UserQuestion{Create: true})
		must(err)
		phones[column] = m.newPhone(user)
		m.headers[column] = bearer(phones[column].reply.Token)
	}
	for column, user := range map[string]string{
		"owner": "alice", "reader": "rita", "writer": "will", "sharer": "shea", "admin": "adam", "member": "mel", "former": "fred", "late": "lena", "stranger": "stan",
	} {
		login(column, user)
	}
	alice := m.client(phones["owner"].token)
	put := func(path inos.Path) api.PutReply {
		body := "alice's " + string(path)
		reply, err := alice.Put(ctx, path, strings.NewReader(body), int64(len(body)), api.PutOptions{ContentType: "text/plain"})
		must(err)
		return reply
	}
	file := put("/shared/note.txt")
	put("/open/note.txt")
	put("/private/diary.txt")
	put("/private/journal.txt") // nobody asks for it
	stat, err := alice.Stat(ctx, api.Ref{Path: "/shared/note.txt"}, 0, 1)
	must(err)
	fixed := func(name, value string) { m.made[name] = func() string { return value } }
	fixed("<chunk>", stat.ChunkList[0].ChunkID)
	fixed("<file>", file.FileID)
	fixed("<trace>", file.TraceID)
	fixed("<node>", string(m.id))
	m.made["<gone>"] = func() string { put("/shared/gone.txt"); return "" }
	grant := func(prefix, grantee string, verbs ...string) api.GrantReply {
		g, err := alice.Grant(ctx, api.GrantQuestion{Prefix: prefix, Grantee: grantee, Link: grantee == "", Verbs: verbs})
		must(err)
		return g
	}
	must2 := func(_ any, err error) { t.Helper(); must(err) }
	must2(m.operator.PutGroup(ctx, "family", []string{"mel"}))
	grant("/shared", "user:rita", "read")
	grant("/shared", "user:will", "write")
	grant("/shared", "user:shea", "read", "share")
	grant("/shared", "user:adam", "admin", "read")
	grant("/shared", "group:family", "read")
	grant("/open", "public", "read")
	former := grant("/shared", "user:fred", "read", "write", "share", "admin")
	must(alice.RemoveGrant(ctx, "", former.Grant.ID))
	link := grant("/shared", "", "read")
	fixed("<link>", strings.TrimPrefix(link.Address, m.URL()))
	fixed("<file link>", strings.TrimPrefix(grant("/shared/note.txt", "", "read").Address, m.URL()))
	// over has a grant or a link of alice's expire: it was made two hours ago for one.
	over := func(prefix inos.Path, grantee, secret string, verbs ...string) {
		g := inos.AccessGrant{ID: "01a3185c-5006-7ef8-8c02-0000000000" + grantee[len(grantee)-2:], Owner: "alice", Prefix: prefix, Grantee: grantee, Verbs: verbs, By: "alice", ExpiresAt: m.clock.Now() - inos.Hour}
		var hash *[inos.HashBytes]byte
		if secret != "" {
			h := blake3.Sum256([]byte(secret))
			g.ID, hash = strings.TrimPrefix(grantee, inos.GranteeLink), &h
		}
		must2(m.semantic.PutGrant(ctx, g, hash, inos.RequestKey{Subject: "alice", ID: g.ID, EventType: event.GrantsPut}, m.clock.Now()-2*inos.Hour))
	}
	over("/shared", "user:lena", "", inos.VerbAdmin, inos.VerbRead, inos.VerbShare, inos.VerbWrite)
	expiredLink := linkPrefix + strings.Repeat("e", 43)
	over("/shared", inos.GranteeLink+"01a3185c-5006-7ef8-8c02-c3670ee75857", expiredLink, inos.VerbRead)
	fixed("<expired link>", "/v1/links/"+expiredLink)
	put("/shared/below/it.txt")
	if _, answer, _ := m.http("GET", link.Address+"/", ""); strings.Count(answer, `"path"`) != 2 || !strings.Contains(answer, `"path":"/below/it.txt"`) ||
		!strings.Contains(answer, `"path":"/note.txt"`) || strings.Contains(answer, "alice") || strings.Contains(answer, "shared") {
		t.Errorf("a link's list: %s", answer)
	}
	if _, answer, _ := m.http("GET", link.Address+"/?limit=1", ""); !strings.Contains(answer, `"next":"/below/it.txt"`) {
		t.Errorf("a page of a link's list: %s", answer)
	}
	if _, answer, _ := m.http("GET", link.Address+"/?after=/below/it.txt", ""); strings.Count(answer, `"path"`) != 1 || !strings.Contains(answer, `"path":"/note.txt"`) {
		t.Errorf("the next page of a link's list: %s", answer)
	}
	if _, answer, _ := m.http("GET", link.Address+"/?prefix=/below/", ""); strings.Count(answer, `"path"`) != 1 || !strings.Contains(answer, `"path":"/below/it.txt"`) {
		t.Errorf("what of a link's list is below /below: %s", answer)
	}
	spent, err := alice.Grant(ctx, api.GrantQuestion{Prefix: "/shared/note.txt", Link: true, Verbs: []string{inos.VerbRead}, UsesMax: 1})
	must(err)
	if status, answer, _ := m.http("GET", spent.Address, ""); status != 200 {
		t.Fatalf("the only use of a link: %d %s", status, answer)
	}
	fixed("<spent link>", strings.TrimPrefix(spent.Address, m.URL()))
	operator, err := m.operatorSecret()
	must(err)
	m.headers["operator"] = bearer(operator)
	issue := func(q api.TokenQuestion) api.TokenReply {
		reply, err := alice.IssueToken(ctx, q)
		must(err)
		return reply
	}
	m.headers["program"] = bearer(issue(api.TokenQuestion{Name: "program", Capabilities: []string{"files:read:/shared/*"}}).Token)
	m.headers["cookie"] = m.cookieOf(alice)
	m.headers["none"] = nil

	m.made["<device>"] = func() string { return m.newPhone("alice").reply.Session.Device }
	m.made["<session>"] = func() string {
		return issue(api.TokenQuestion{Name: "x", Capabilities: []string{"files:read:*"}}).Session.ID
	}
	m.made["<grant>"] = func() string { return grant("/elsewhere", "user:stan", "read").Grant.ID }

	last := ""
	upload := func(bytes uint64) func() string {
		return func() string {
			if last != "" {
				_ = alice.DropUpload(ctx, last) // it may be over
			}
			u, err := alice.OpenUpload(ctx, api.UploadQuestion{Path: "/shared/upload", PlainBytes: bytes}, "")
			must(err)
			last = u.ID
			return u.ID
		}
	}
	m.made["<upload>"], m.made["<empty upload>"] = upload(1), upload(0)
	fixed("<piece>", inos.ChunkID(blake3.Sum256([]byte(piece))).String())

	m.made[statEnvelope] = func() string {
		e := m.hostEnvelope(event.FilesStat, &eventpb.FilesStatRequest{Owner: "alice", Path: "/shared/note.txt"})
		e.Metadata = nil
		return string(event.Encode(nil, e))
	}

	// What lets nobody in.
	m.bad["forged"] = bearer(flipped(phones["owner"].reply.Token))
	m.bad["a link's secret"] = bearer(link.Secret)
	m.bad["of another audience"] = bearer(issue(api.TokenQuestion{Name: "elsewhere", Capabilities: []string{"files:*:*"}, Audience: "another-service"}).Token)
	m.bad["of another peer"] = bearer(issue(api.TokenQuestion{Name: "peer", Capabilities: []string{"files:*:*"}, Peer: string(m.id)}).Token)
	lost := m.newPhone("alice")
	m.bad["revoked"] = bearer(lost.reply.Token)
	issued, err := m.client(lost.token).IssueToken(ctx, api.TokenQuestion{Name: "issued", Capabilities: []string{"files:*:*", "tokens:write:alice"}})
	must(err)
	below, err := m.client(func(context.Context, string) (string, error) { return issued.Token, nil }).IssueToken(ctx, api.TokenQuestion{Name: "below", Capabilities: []string{"files:*:*"}})
	must(err)
	m.bad["issued by a token of a device that was revoked"] = bearer(below.Token)
	must2(m.operator.RevokeDevice(ctx, "alice", lost.reply.Session.Device))
	must2(m.operator.PutUser(ctx, "erin", api.UserQuestion{Create: true}))
	must2(m.operator.PutUser(ctx, "dan", api.UserQuestion{Create: true}))
	m.bad["of a disabled user"] = bearer(m.newPhone("dan").reply.Token)
	must2(m.operator.PutUser(ctx, "dan", api.UserQuestion{Disabled: true}))
	whole := &eventpb.Session{TokenId: phones["owner"].reply.Session.ID, Subject: "alice", Device: phones["owner"].reply.Session.Device, ExpiresUs: int64(m.clock.Now() - inos.Hour)}
	expired, err := m.tokenKeys.use.Load().Sign(whole, m.clock.Now()-2*inos.Hour)
	must(err)
	m.bad["expired"] = bearer(expired)
	other, err := newTokenKey(m.clock.Now())
	must(err)
	foreign := &tokenKeys{folder: &folder{dir: t.TempDir()}, root: m.tokenKeys.root}
	must(foreign.keep(append(foreign.kept, other)))
	whole.ExpiresUs = int64(m.clock.Now() + inos.Hour)
	stolen, err := foreign.use.Load().Sign(whole, m.clock.Now())
	must(err)
	m.bad["signed by a key of nobody's"] = bearer(stolen)
	return m
}

// flipped changes one bit of a token's signature.
func flipped(token string) string {
	i := strings.LastIndexByte(token, '.') + 5
	c := byte('A')
	if token[i] == c {
		c = 'B'
	}
	return token[:i] + string(c) + token[i+1:]
}

func (r *identityRig) operatorSecret() (string, error) {
	return r.folder.secret("token", tokenPrefix, tokenBytes)
}

// cookieOf opens a dashboard with a client's rights.
func (r *identityRig) cookieOf(c *api.Client) []string {
	r.t.Helper()
	status, cookie := r.tradeCode(r.dashboardCode(c))
	if status != 200 {
		r.t.Fatalf("dashboard: %d", status)
	}
	return cookie
}

// fill puts what is made into what stands in <>.
func (m *httpMatrix) fill(text string) string {
	for name, value := range m.made {
		if strings.Contains(text, name) {
			text = strings.ReplaceAll(text, name, value())
		}
	}
	return text
}

// ask makes the request of a row and holds the answer against the document.
func (m *httpMatrix) ask(row *httpRow, headers []string) (int, string) {
	m.t.Helper()
	method, _, _ := strings.Cut(row.operation, " ")
	address, body := m.fill(row.address), m.fill(row.body)
	if row.operation == "POST /v1/events" {
		headers = append(slices.Clone(headers), "Content-Type", "application/x-protobuf")
	}
	status, answer, header := m.http(method, m.URL()+address, body, headers...)
	for status == http.StatusTooManyRequests { // more than a hundred requests by one link: a fast machine has them within a second
		<-time.After(100 * time.Millisecond)
		status, answer, header = m.http(method, m.URL()+address, body, headers...)
	}
	escaped, _, _ := strings.Cut(address, "?")
	if err := m.contract.Check(method, escaped, status, header, []byte(answer)); err != nil {
		m.t.Errorf("the answer is not as the OpenAPI document says: %v", err)
	}
	return status, answer
}

// TestPermissionMatrixOfHTTP asks every operation as everybody, of a real node.
func TestPermissionMatrixOfHTTP(t *testing.T) {
	m := newHTTPMatrix(t)
	defer m.close()
	operations := m.contract.Operations()
	rows := map[string]bool{}
	for i := range httpRows {
		row := &httpRows[i]
		rows[row.operation] = true
		if operations[row.operation] == nil {
			t.Errorf("%s: there is no such operation", row.operation)
			continue
		}
		want := strings.Fields(row.cells)
		got := make([]string, len(httpWho))
		var wait sync.WaitGroup
		for c, column := range httpWho {
			kinds := map[string][]string{"": m.headers[column]}
			if column == "bad" {
				kinds = m.bad
			}
			cell := func() {
				for kind, headers := range kinds {
					status, answer := m.ask(row, headers)
					if s := fmt.Sprint(status); got[c] == "" || got[c] == s {
						got[c] = s
					} else {
						got[c] += "|" + s
					}
					if c >= len(want) || fmt.Sprint(status) != want[c] {
						t.Errorf("%s %s by %s %s: %d, not %s: %.300s", row.operation, row.address, column, kind, status, append(want, make([]string, 99)...)[c], answer)
					}
					if !slices.Contains([]string{"owner", "cookie", "operator"}, column) && strings.Contains(answer, "journal") {
						t.Errorf("%s tells %s of what it must not know: %.500s", row.operation, column, answer)
					}
				}
			}
			if strings.Contains(row.operation, "{trace_id}") { // each waits for an end that does not come
				wait.Go(cell)
			} else {
				cell()
			}
		}
		wait.Wait()
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Logf("ROW %s %q", row.operation, strings.Join(got, " "))
		}
	}
	for operation := range operations {
		if !rows[operation] {
			t.Errorf("%s has no row: say who may", operation)
		}
	}
}
