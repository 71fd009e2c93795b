package host

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/api"
)

// identityRig is a node, spoken to over HTTP, and what it wrote for its operator.
type identityRig struct {
	*testNode
	t        testing.TB
	operator *api.Client
	log      *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func newIdentityRig(t testing.TB, changes ...func(*Config)) *identityRig {
	t.Helper()
	r := &identityRig{t: t, log: &lockedBuffer{}}
	r.testNode = openNode(t, t.TempDir(), func(c *Config) {
		c.Stderr = r.log
		for _, change := range changes {
			change(c)
		}
	})
	r.waitFor("its start", func(s *eventpb.NodeStatusReply) bool { return s.Ready })
	r.operator = r.client(func(context.Context, string) (string, error) {
		b, err := os.ReadFile(r.folder.path("token"))
		return strings.TrimSpace(string(b)), err
	})
	return r
}

func (r *identityRig) client(source api.TokenSource) *api.Client {
	r.t.Helper()
	c, err := api.NewClientOf(r.URL(), source)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	return c
}

// phone is a device that logs in, and renews its token whenever it is asked for another.
type phone struct {
	rig  *identityRig
	user string
	key  ed25519.PrivateKey

	mu      sync.Mutex // guards the fields below
	reply   api.LoginReply
	secrets []string // that it has had
}

func (r *identityRig) newPhone(user string) *phone {
	r.t.Helper()
	e, err := r.operator.Enrol(context.Background(), user, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	p := &phone{rig: r, user: user, key: key, secrets: []string{e.Secret}}
	stranger := r.client(func(context.Context, string) (string, error) { return "", nil })
	if p.reply, _, err = stranger.Login(context.Background(), api.LoginQuestion{User: user, Enrolment: e.Secret, DeviceName: "phone"}, key, ""); err != nil {
		r.t.Fatal(err)
	}
	p.secrets = append(p.secrets, p.reply.Token, p.reply.Refresh)
	return p
}

// renew exchanges the refresh secret and the access token.
func (p *phone) renew() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.renewLocked(context.Background())
}

func (p *phone) renewLocked(ctx context.Context) error {
	stranger := p.rig.client(func(context.Context, string) (string, error) { return "", nil })
	reply, err := stranger.Refresh(ctx, p.reply.Refresh)
	if err == nil {
		p.reply = reply
		p.secrets = append(p.secrets, reply.Token, reply.Refresh)
	}
	return err
}

func (p *phone) token(ctx context.Context, refused string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if refused != "" && refused == p.reply.Token {
		if err := p.renewLocked(ctx); err != nil {
			return "", err
		}
	}
	return p.reply.Token, nil
}

// TestKeysAreExchangedUnderLoad exchanges every key that lets somebody in while requests of all kinds of users go on. None may fail.
func TestKeysAreExchangedUnderLoad(t *testing.T) {
	r := newIdentityRig(t)
	defer r.close()
	ctx := context.Background()
	if _, err := r.operator.PutUser(ctx, "ann", api.UserQuestion{Create: true}); err != nil {
		t.Fatal(err)
	}
	first, second := r.newPhone("ann"), r.newPhone("ann")
	var current atomic.Pointer[phone]
	current.Store(first)
	ann := r.client(func(ctx context.Context, refused string) (string, error) { return current.Load().token(ctx, refused) })
	// It is issued by the device that stays, for what a device has issued goes with it.
	issued, err := r.client(second.token).IssueToken(ctx, api.TokenQuestion{Name: "program", Capabilities: []string{"files:*:*"}, LifeUs: int64(inos.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	program := r.client(func(context.Context, string) (string, error) { return issued.Token, nil })

	stop := make(chan struct{})
	var lanes sync.WaitGroup
	var served [3]atomic.Int64
	for i, c := range []*api.Client{r.operator, ann, program} {
		lanes.Go(func() {
			body := []byte(strings.Repeat("keys come and go\n", 200))
			for {
				select {
				case <-stop:
					return
				default:
				}
				path := inos.Path([]string{"/o", "/a", "/p"}[i])
				if _, err := c.Put(ctx, path, bytes.NewReader(body), int64(len(body)), api.PutOptions{}); err != nil {
					t.Errorf("lane %d: put: %v", i, err)
					return
				}
				if _, err := c.Get(ctx, api.Ref{Path: path}, io.Discard, api.GetOptions{}); err != nil {
					t.Errorf("lane %d: get: %v", i, err)
					return
				}
				served[i].Add(1)
			}
		})
	}
	// each waits until every lane was served since, so that requests with what was before and with what is now are among them.
	step := func(name string, do func() error) {
		t.Helper()
		if err := do(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var before [3]int64
		for i := range served {
			before[i] = served[i].Load()
		}
		r.until(func() bool {
			for i := range served {
				if served[i].Load() < before[i]+2 {
					return t.Failed()
				}
			}
			return true
		})
	}
	step("load", func() error { return nil })
	for range 3 {
		step("the token key", func() error { _, err := r.operator.RotateKey(ctx, "token", false); return err })
		step("the refresh secret", first.renew)
	}
	step("the operator's secret", func() error { _, err := r.operator.RotateKey(ctx, "operator", false); return err })
	if _, err := r.operator.RotateKey(ctx, "operator", false); inos.CodeOf(err) != inos.CodeBusy {
		t.Errorf("the operator's secret again while the one before counts: %v", err)
	}
	step("the device, the new one in", func() error { current.Store(second); return nil })
	step("the device, the old one out", func() error {
		_, err := r.operator.RevokeDevice(ctx, "ann", first.reply.Session.Device)
		return err
	})
	close(stop)
	lanes.Wait()
	if _, err := r.client(first.token).Status(ctx); inos.CodeOf(err) != inos.CodeUnauthenticated {
		t.Errorf("the old device is still in: %v", err)
	}
	if _, err := r.operator.RotateKey(ctx, "token", true); err != nil {
		t.Fatal(err)
	}
	if _, err := program.Get(ctx, api.Ref{Path: "/p"}, io.Discard, api.GetOptions{}); inos.CodeOf(err) != inos.CodeUnauthenticated {
		t.Errorf("a program's token of a key that was voided: %v", err)
	}
	if _, err := ann.Get(ctx, api.Ref{Path: "/a"}, io.Discard, api.GetOptions{}); err != nil {
		t.Errorf("a device gets another token by itself: %v", err)
	}
	t.Logf("served %d, %d and %d rounds", served[0].Load(), served[1].Load(), served[2].Load())
}

// until looks again whenever history was written, which every request leaves.
func (r *identityRig) until(is func() bool) {
	for {
		recorded := r.Recorded() // asked for first: what changes behind the look is recorded after it
		if is() {
			return
		}
		<-recorded
	}
}

// TestSecretsAreNowhere uses every kind of secret, good ones and bad ones, and then looks for each of them in everything that the node wrote.
func TestSecretsAreNowhere(t *testing.T) {
	r := newIdentityRig(t)
	ctx := context.Background()
	secrets := map[string]string{}
	old, err := os.ReadFile(r.folder.path("token"))
	if err != nil {
		t.Fatal(err)
	}
	secrets["the operator's secret before"] = strings.TrimSpace(string(old))
	if _, err := r.operator.PutUser(ctx, "ann", api.UserQuestion{Create: true}); err != nil {
		t.Fatal(err)
	}
	p := r.newPhone("ann")
	ann := r.client(p.token)
	if err := p.renew(); err != nil {
		t.Fatal(err)
	}
	body := "what everybody may see"
	if _, err := ann.Put(ctx, "/shared/note.txt", strings.NewReader(body), int64(len(body)), api.PutOptions{ContentType: "text/plain"}); err != nil {
		t.Fatal(err)
	}
	issued, err := ann.IssueToken(ctx, api.TokenQuestion{Name: "program", Capabilities: []string{"files:read:*"}})
	if err != nil {
		t.Fatal(err)
	}
	secrets["a program's token"] = issued.Token
	link, err := ann.Grant(ctx, api.GrantQuestion{Prefix: "/shared", Link: true})
	if err != nil {
		t.Fatal(err)
	}
	secrets["a link"] = link.Secret
	get := func(address string, headers ...string) (int, string, http.Header) {
		t.Helper()
		return r.http("GET", address, "", headers...)
	}
	if status, got, _ := get(link.Address + "/note.txt"); status != 200 || got != body {
		t.Fatalf("by link: %d %q", status, got)
	}
	if status, _, _ := get(link.Address + "/none"); status != 404 {
		t.Errorf("a file that the link does not have: %d", status)
	}
	unused, err := r.operator.Enrol(ctx, "ann", 0)
	if err != nil {
		t.Fatal(err)
	}
	secrets["an enrolment that nobody used"] = unused.Secret
	address, _, err := r.operator.DashboardCode(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(address, "#code=")
	secrets["a dashboard's code"] = code
	status, opened, header := r.http("POST", r.URL()+"/v1/dashboard/session", `{"code":"`+code+`"}`, "Origin", r.URL())
	if status != 200 {
		t.Fatalf("dashboard: %d %s", status, opened)
	}
	var session api.DashboardSession
	if err := json.Unmarshal([]byte(opened), &session); err != nil {
		t.Fatal(err)
	}
	cookie := (&http.Response{Header: header}).Cookies()[0]
	secrets["a dashboard's cookie"], secrets["a dashboard's CSRF token"] = cookie.Value, session.CSRF
	if status, _, _ := get(r.URL()+"/v1/status", "Cookie", cookie.Name+"="+cookie.Value); status != 200 {
		t.Errorf("by cookie: %d", status)
	}

	// Bad ones, which errors could quote: forged, voided, used up, misplaced.
	bad := func(name, secret string) string { secrets[name] = secret; return secret }
	wrong := bad("a forged token", issued.Token[:len(issued.Token)-8]+"AAAAAAAA")
	for _, authorization := range []string{"Bearer " + wrong, "Bearer " + bad("a guessed secret", "inos_"+strings.Repeat("ab", 32)), "Bearer " + bad("nonsense", "nonsense-that-is-no-token-at-all")} {
		if status, _, _ := get(r.URL()+"/v1/status", "Authorization", authorization); status != 401 {
			t.Errorf("%.20s…: %d", authorization, status)
		}
	}
	if status, _, _ := get(r.URL() + "/v1/links/" + bad("a guessed link", "inos-link-"+strings.Repeat("x", 43)) + "/note.txt"); status != 404 {
		t.Errorf("a guessed link: %d", status)
	}
	if status, _, _ := r.http("POST", r.URL()+"/v1/dashboard/session", `{"code":"`+code+`"}`, "Origin", r.URL()); status != 401 {
		t.Errorf("a code again: %d", status)
	}
	used := p.secrets[2]
	if status, _, _ := r.http("POST", r.URL()+"/v1/login/refresh", `{"refresh":"`+used+`"}`); status != 401 {
		t.Errorf("a refresh secret again: %d", status)
	}
	if _, err := r.client(func(context.Context, string) (string, error) { return p.reply.Token, nil }).Status(ctx); inos.CodeOf(err) != inos.CodeUnauthenticated {
		t.Errorf("the session of a refresh secret that came twice goes on: %v", err)
	}
	if _, err := r.operator.RotateKey(ctx, "operator", true); err != nil {
		t.Fatal(err)
	}
	if _, err := r.operator.RotateKey(ctx, "token", true); err != nil {
		t.Fatal(err)
	}
	for _, s := range p.secrets {
		secrets["of the phone: "+s[:12]+s[len(s)-4:]] = s
	}
	now, err := os.ReadFile(r.folder.path("token"))
	if err != nil {
		t.Fatal(err)
	}
	secrets["the operator's secret"] = strings.TrimSpace(string(now))
	r.lookForLine("identity:authenticate")
	dir := r.folder.dir
	r.close()
	searchFor(t, dir, map[string]string{"token": "the operator's secret"}, secrets)
	for name, secret := range secrets {
		if bytes.Contains(r.log.b.Bytes(), []byte(secret)) {
			t.Errorf("%s is in the node's log", name)
		}
	}
}

// lookForLine waits for a line of history.
func (r *identityRig) lookForLine(prefix string) {
	r.t.Helper()
	r.until(func() bool {
		events, err := r.Events(context.Background(), inos.EventFilter{TypePrefix: prefix})
		return err == nil && len(events) > 0
	})
}

// http makes a request without a token.
func (r *identityRig) http(method, address, body string, headers ...string) (status int, answer string, header http.Header) {
	r.t.Helper()
	q, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		q.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, string(b), response.Header
}

// searchFor looks for secrets, and for the parts of tokens, in every file below dir; a file may have the secret that it is there for.
func searchFor(t *testing.T, dir string, may, secrets map[string]string) {
	t.Helper()
	readAll(t, dir, func(relative string, b []byte) {
		for what, secret := range secrets {
			if may[relative] == what {
				if !bytes.Contains(b, []byte(secret)) {
					t.Errorf("%s does not have %s: the search finds nothing", relative, what)
				}
				continue
			}
			parts := []string{secret}
			if tokens := strings.Split(secret, "."); len(tokens) == 3 {
				parts = append(parts, tokens[2]) // the signature makes it a token
			}
			for _, part := range parts {
				if bytes.Contains(b, []byte(part)) {
					t.Errorf("%s has %s", relative, what)
				}
			}
		}
	})
}

// readAll calls visit with every file below a folder, of which there must be some.
func readAll(t *testing.T, dir string, visit func(relative string, b []byte)) {
	t.Helper()
	files, total := 0, 0
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		files++
		total += len(b)
		relative, err := filepath.Rel(dir, name)
		visit(relative, b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 5 || total == 0 {
		t.Errorf("only %d files with %d bytes were looked through in %s", files, total, dir)
	}
}
