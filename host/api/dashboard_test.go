package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// tuned is a clock that a test moves.
type tuned struct{ us atomic.Int64 }

func newTuned() *tuned {
	c := &tuned{}
	c.us.Store(1_700_000_000_000_000)
	return c
}

func (c *tuned) now() time.Time          { return time.UnixMicro(c.us.Load()) }
func (c *tuned) pass(d inos.Micros)      { c.us.Add(int64(d)) }
func origin(s *httptest.Server) []string { return []string{"Authorization", "", "Origin", s.URL} }

// openDashboard returns a cookie, as a header's value, and the CSRF token of a session of the operator's. Over TLS the cookie has the name and all that
// a browser wants of that name (RFC 6265bis, 4.1.3.2): Secure, the path / and no domain.
func openDashboard(t *testing.T, d *double, s *httptest.Server) (cookie, csrf string) {
	t.Helper()
	code := dashboardCode(t, d, s)
	a := call(t, s, "POST", "/v1/dashboard/session", jsonOf(t, DashboardQuestion{code}), origin(s)...)
	var opened DashboardSession
	readOf(t, a, &opened)
	if a.status != 200 || opened.CSRF == "" || opened.User != "operator" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	cookies := (&http.Response{Header: a.header}).Cookies()
	if len(cookies) != 1 {
		t.Fatalf("%d cookies", len(cookies))
	}
	c, name := cookies[0], cookieName
	if s.TLS != nil {
		name = "__Host-inos_session"
	}
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.Secure != (s.TLS != nil) || c.Name != name || c.MaxAge != int(DashboardLife/inos.Second) {
		t.Errorf("the cookie is %v", c)
	}
	if strings.Contains(a.body, c.Value) {
		t.Error("a script can read the cookie's secret")
	}
	if a := call(t, s, "POST", "/v1/dashboard/session", jsonOf(t, DashboardQuestion{code}), origin(s)...); a.status != 401 {
		t.Errorf("the code is good twice: %d", a.status)
	}
	return c.Name + "=" + c.Value, opened.CSRF
}

func dashboardCode(t *testing.T, d *double, s *httptest.Server) string {
	t.Helper()
	session := inos.Session{TokenID: "dash-1", Subject: "operator", Capabilities: []string{"files:*:*", "node:*:*"}}
	d.mu.Lock()
	d.sessions = map[string]inos.Session{"dash-1": session}
	d.mu.Unlock()
	answerWith(d, event.TokensIssue, &eventpb.TokensIssueReply{Session: &eventpb.SessionInfo{Session: &eventpb.Session{TokenId: "dash-1", Subject: "operator"}}, Token: "a.b.c"}, nil)
	answerWith(d, event.TokensRevoke, &eventpb.TokensRevokeReply{Sessions: 1}, nil)
	a := call(t, s, "POST", "/v1/dashboard/codes", "")
	var code DashboardCode
	readOf(t, a, &code)
	if a.status != 201 || len(code.Code) < 40 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return code.Code
}

func TestDashboardSession(t *testing.T) {
	clock := newTuned()
	d, s := serve(t, Options{Now: clock.now})
	cookie, csrf := openDashboard(t, d, s)
	with := func(headers ...string) []string {
		return append([]string{"Authorization", "", "Cookie", cookie}, headers...)
	}
	for _, c := range []struct {
		name, method, target string
		status               int
		code                 string
		headers              []string
	}{
		{"a read", "GET", "/v1/status", 200, "", with()},
		{"a read of its own page", "GET", "/v1/status", 200, "", with("Sec-Fetch-Site", "same-origin")},
		{"a read of another port's page", "GET", "/v1/status", 403, "origin_refused", with("Sec-Fetch-Site", "same-site")},
		{"a read of another site's page", "GET", "/v1/status", 403, "origin_refused", with("Sec-Fetch-Site", "cross-site")},
		{"a change", "DELETE", "/v1/files/a", 404, "file_not_found", with(csrfHeader, csrf, "Origin", s.URL)},
		{"a change without the CSRF token", "DELETE", "/v1/files/a", 403, "origin_refused", with("Origin", s.URL)},
		{"a change with another CSRF token", "DELETE", "/v1/files/a", 403, "origin_refused", with("Origin", s.URL, csrfHeader, "."+csrf[1:])},
		{"a change of no page's", "DELETE", "/v1/files/a", 403, "origin_refused", with(csrfHeader, csrf)},
		{"a change of another port's page", "DELETE", "/v1/files/a", 403, "origin_refused", with(csrfHeader, csrf, "Origin", "http://127.0.0.1:1")},
		{"a change of nowhere's page", "DELETE", "/v1/files/a", 403, "origin_refused", with(csrfHeader, csrf, "Origin", "null")},
		{"a form", "POST", "/v1/verify", 403, "origin_refused", with("Content-Type", "application/x-www-form-urlencoded", "Origin", s.URL)},
		{"a socket of another port's page", "GET", "/v1/events", 403, "origin_refused", with("Upgrade", "websocket", "Connection", "Upgrade", "Origin", "http://127.0.0.1:1")},
		{"another cookie", "GET", "/v1/status", 401, "unauthenticated", []string{"Authorization", "", "Cookie", cookieName + "=x"}},
		{"two cookies", "GET", "/v1/status", 401, "unauthenticated", []string{"Authorization", "", "Cookie", cookie + "; " + cookie}},
		{"a wrong token beside a good cookie", "GET", "/v1/status", 401, "unauthenticated", []string{"Authorization", "Bearer x", "Cookie", cookie}},
		{"a code for another dashboard", "POST", "/v1/dashboard/codes", 403, "permission_denied", with(csrfHeader, csrf, "Origin", s.URL)},
	} {
		a := call(t, s, c.method, c.target, "", c.headers...)
		if a.status != c.status || c.code != "" && a.problem(t).Code != c.code {
			t.Errorf("%s: %d %s, want %d %s", c.name, a.status, a.body, c.status, c.code)
		}
	}
	if a := call(t, s, "DELETE", "/v1/dashboard/session", "", with(csrfHeader, csrf, "Origin", s.URL)...); a.status != 200 || !strings.Contains(a.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("the end: %d %v %s", a.status, a.header, a.body)
	}
	var ended eventpb.TokensRevokeRequest
	if err := event.Open(d.last(event.TokensRevoke), &ended); err != nil || ended.TokenId != "dash-1" {
		t.Errorf("its token goes on: %v, %v", &ended, err)
	}
	if a := call(t, s, "GET", "/v1/status", "", with()...); a.status != 401 {
		t.Errorf("behind its end: %d", a.status)
	}
}

func TestDashboardSessionsEnd(t *testing.T) {
	clock := newTuned()
	d, s := serve(t, Options{Now: clock.now})
	status := func(cookie string) int {
		return call(t, s, "GET", "/v1/status", "", "Authorization", "", "Cookie", cookie).status
	}
	cookie, _ := openDashboard(t, d, s)
	clock.pass(DashboardIdle - 1)
	if got := status(cookie); got != 200 {
		t.Errorf("just before it is idle too long: %d", got)
	}
	clock.pass(DashboardIdle)
	if got := status(cookie); got != 401 {
		t.Errorf("idle too long: %d", got)
	}
	cookie, _ = openDashboard(t, d, s)
	for passed := inos.Micros(0); passed < DashboardLife-DashboardIdle/2; passed += DashboardIdle / 2 {
		clock.pass(DashboardIdle / 2)
		if got := status(cookie); got != 200 && passed+DashboardIdle/2 < DashboardLife {
			t.Fatalf("busy, after %d s: %d", passed/inos.Second, got)
		}
	}
	clock.pass(DashboardIdle / 2)
	if got := status(cookie); got != 401 {
		t.Errorf("busy to the end of its life: %d", got)
	}
	cookie, _ = openDashboard(t, d, s)
	d.mu.Lock()
	delete(d.sessions, "dash-1")
	d.mu.Unlock()
	if got := status(cookie); got != 401 {
		t.Errorf("its token was revoked: %d", got)
	}
	code := dashboardCode(t, d, s)
	clock.pass(DashboardCodeLife)
	if a := call(t, s, "POST", "/v1/dashboard/session", jsonOf(t, DashboardQuestion{code}), origin(s)...); a.status != 401 {
		t.Errorf("a code that has expired: %d", a.status)
	}
	code = dashboardCode(t, d, s)
	if a := call(t, s, "POST", "/v1/dashboard/session", jsonOf(t, DashboardQuestion{code}), "Authorization", ""); a.status != 403 {
		t.Errorf("a code from no page: %d", a.status)
	}
	if a := call(t, s, "POST", "/v1/dashboard/session", jsonOf(t, DashboardQuestion{code}), "Authorization", "", "Origin", "https://127.0.0.1"); a.status != 403 {
		t.Errorf("a code from another page: %d", a.status)
	}
	secure := "https://" + strings.TrimPrefix(s.URL, "http://")
	a := call(t, s, "POST", "/v1/dashboard/session", jsonOf(t, DashboardQuestion{code}), "Authorization", "", "Origin", secure)
	if got := a.header.Get("Set-Cookie"); a.status != 200 || !strings.HasPrefix(got, secureCookie+"=") || !strings.Contains(got, "; Secure") {
		t.Errorf("behind TLS: %d, cookie %.30s", a.status, got)
	}
}

// TestDashboardOverTLS: where what a browser speaks to is TLS the session lives by the cookie of that name, from its beginning to its end, and a page
// that came without TLS is another one.
func TestDashboardOverTLS(t *testing.T) {
	d, s := serveBy(t, Options{}, (*httptest.Server).StartTLS)
	cookie, csrf := openDashboard(t, d, s)
	with := func(headers ...string) []string {
		return append([]string{"Authorization", "", "Cookie", cookie}, headers...)
	}
	if a := call(t, s, "GET", "/v1/status", "", with()...); a.status != 200 {
		t.Errorf("a read: %d %s", a.status, a.body)
	}
	if a := call(t, s, "DELETE", "/v1/files/a", "", with(csrfHeader, csrf, "Origin", s.URL)...); a.status != 404 {
		t.Errorf("a change: %d %s", a.status, a.body)
	}
	if a := call(t, s, "DELETE", "/v1/files/a", "", with(csrfHeader, csrf, "Origin", "https://127.0.0.1:1")...); a.status != 403 {
		t.Errorf("a change of another port's page: %d %s", a.status, a.body)
	}
	if a := call(t, s, "DELETE", "/v1/files/a", "", with(csrfHeader, csrf, "Origin", "http"+strings.TrimPrefix(s.URL, "https"))...); a.status != 403 {
		t.Errorf("a change of a page that came without TLS: %d %s", a.status, a.body)
	}
	a := call(t, s, "DELETE", "/v1/dashboard/session", "", with(csrfHeader, csrf, "Origin", s.URL)...)
	cookies := (&http.Response{Header: a.header}).Cookies()
	if a.status != 200 || len(cookies) != 1 || !strings.HasPrefix(cookie, cookies[0].Name+"=") || !cookies[0].Secure || cookies[0].MaxAge >= 0 {
		t.Errorf("the end: %d, cookies %v", a.status, cookies) // a browser drops nothing for a cookie of another name, or one with this name that is not secure
	}
	if a := call(t, s, "GET", "/v1/status", "", with()...); a.status != 401 {
		t.Errorf("behind its end: %d", a.status)
	}
}

// TestDashboardsAreShared: who has his share pushes out his own oldest ones and nobody else's; when all have as many as may be, one more is refused.
func TestDashboardsAreShared(t *testing.T) {
	for _, table := range []struct {
		name         string
		share, limit int
		keep         func(t *testing.T, d *dashboards, user string) (secret string, ok bool)
		there        func(*dashboards, string) bool
	}{
		{"codes", dashboardUserCodesMax, dashboardCodesMax, func(_ *testing.T, d *dashboards, user string) (string, bool) {
			return d.wait(&dashboardSession{user: user, expires: 10}, 1)
		}, func(d *dashboards, code string) bool { _, ok := d.find(code, 2); return ok }},
		{"sessions", dashboardUserMax, dashboardsMax, func(t *testing.T, d *dashboards, user string) (string, bool) {
			code, ok := d.wait(&dashboardSession{user: user, expires: 10}, 1)
			if !ok {
				t.Fatal("no room for a code")
			}
			cookie, good, room := d.trade(code, &dashboardSession{user: user, expires: 10, used: 1}, 1)
			if _, again := d.find(code, 1); !good || again == room {
				t.Fatalf("good %v, room %v, good once more %v", good, room, again)
			}
			delete(d.codes, hashOf(code)) // it is in the next one's way
			return cookie, room
		}, func(d *dashboards, cookie string) bool { _, ok := d.use(cookie, 2); return ok }},
	} {
		t.Run(table.name, func(t *testing.T) {
			var d dashboards
			keep := func(user string) string {
				t.Helper()
				secret, ok := table.keep(t, &d, user)
				if !ok {
					t.Fatalf("no room for %s", user)
				}
				return secret
			}
			others := keep("ann")
			first, second := keep("eve"), keep("eve")
			for range table.share - 1 {
				keep("eve")
			}
			if table.there(&d, first) || !table.there(&d, second) {
				t.Error("of one who has more than his share the oldest goes, and no other")
			}
			for range table.limit {
				keep("eve")
			}
			if !table.there(&d, others) {
				t.Error("one user has pushed out another's")
			}
			for i := range table.limit - 1 - table.share {
				keep("user " + strconv.Itoa(i/table.share))
			}
			if _, ok := table.keep(t, &d, "bob"); ok {
				t.Errorf("more than %d", table.limit)
			}
			keep("eve") // in the place of one of his own
			if !table.there(&d, others) || len(d.codes) > dashboardCodesMax || len(d.sessions) > dashboardsMax {
				t.Errorf("ann's is there %v, %d codes, %d sessions", table.there(&d, others), len(d.codes), len(d.sessions))
			}
			for _, s := range map[string]map[[32]byte]*dashboardSession{"codes": d.codes, "sessions": d.sessions}[table.name] {
				s.expires = 1 // one of them is over now
				break
			}
			keep("bob")
		})
	}
}

// TestDashboardsAreFull: a code that cannot be kept leaves no token behind, and one that finds no room for its session stays good.
func TestDashboardsAreFull(t *testing.T) {
	clock := newTuned()
	d, s := serve(t, Options{Now: clock.now})
	code := dashboardCode(t, d, s)
	h := s.Config.Handler.(*Handler)
	fill := func(table *map[[32]byte]*dashboardSession, limit int) {
		h.dashboards.mu.Lock()
		defer h.dashboards.mu.Unlock()
		if *table == nil {
			*table = map[[32]byte]*dashboardSession{}
		}
		for i := 0; len(*table) < limit; i++ {
			(*table)[hashOf(strconv.Itoa(i))] = &dashboardSession{user: strconv.Itoa(i), expires: inos.Micros(clock.us.Load()) + inos.Minute}
		}
	}
	fill(&h.dashboards.sessions, dashboardsMax)
	open := func() answer {
		return call(t, s, "POST", "/v1/dashboard/session", jsonOf(t, DashboardQuestion{code}), origin(s)...)
	}
	if a := open(); a.status != 503 || a.problem(t).Code != "busy" || a.header.Get("Retry-After") != "60" {
		t.Errorf("a session where none has room: %d %v %s", a.status, a.header, a.body)
	}
	fill(&h.dashboards.codes, dashboardCodesMax)
	h.dashboards.mu.Lock()
	delete(h.dashboards.codes, hashOf("0"))
	h.dashboards.mu.Unlock()
	if a := call(t, s, "POST", "/v1/dashboard/codes", ""); a.status != 201 {
		t.Errorf("a code in the place of one that went: %d %s", a.status, a.body)
	}
	if a := call(t, s, "POST", "/v1/dashboard/codes", ""); a.status != 503 || a.problem(t).Code != "busy" {
		t.Errorf("a code where none has room: %d %s", a.status, a.body)
	}
	var ended eventpb.TokensRevokeRequest
	if err := event.Open(d.last(event.TokensRevoke), &ended); err != nil || ended.TokenId != "dash-1" {
		t.Errorf("its token goes on: %v, %v", &ended, err)
	}
	clock.pass(inos.Minute)
	if a := open(); a.status != 200 {
		t.Errorf("the code when there is room again: %d %s", a.status, a.body)
	}
	if a := open(); a.status != 401 {
		t.Errorf("the code again: %d %s", a.status, a.body)
	}
}

// TestContentNeverRunsHere asks for stored scripts and pages in every way that a browser does.
func TestContentNeverRunsHere(t *testing.T) {
	d, s := serve(t, Options{})
	put := func(path, media string) {
		t.Helper()
		if a := call(t, s, "PUT", "/v1/files"+path, "alert(1)", "Content-Type", media); a.status >= 300 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	put("/evil.js", "text/javascript")
	put("/evil.txt", "text/plain")
	for _, media := range []string{ // whatever a browser takes for JavaScript (WHATWG MIME Sniffing, 4.6)
		"application/ecmascript", "application/javascript", "application/x-ecmascript", "application/x-javascript", "text/ecmascript", "text/javascript1.0",
		"text/javascript1.1", "text/javascript1.2", "text/javascript1.3", "text/javascript1.4", "text/javascript1.5", "text/JScript", "text/livescript",
		"text/x-ecmascript", "text/x-javascript",
	} {
		put("/secret/folder/other.js", media)
		if a := call(t, s, "GET", "/v1/links/"+linkSecret+"/other.js", "", "Authorization", ""); a.status != 200 || a.header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s by a link: %d, %s", media, a.status, a.header.Get("Content-Type"))
		}
	}
	put("/secret/folder/evil.js", "application/javascript; charset=utf-8")
	cookie, csrf := openDashboard(t, d, s)
	for _, dest := range []string{"script", "worker", "serviceworker", "sharedworker", "style", "iframe", "frame", "object", "embed", "manifest", "xslt", "audioworklet", "font", "report", "json"} {
		for _, target := range []string{"/v1/files/evil.js", "/v1/links/" + linkSecret + "/evil.js", "/v1/public/ann/evil.js"} {
			a := call(t, s, "GET", target, "", "Authorization", "", "Cookie", cookie, "Sec-Fetch-Dest", dest, "Sec-Fetch-Site", "same-origin")
			if a.status != 403 || a.problem(t).Code != "origin_refused" {
				t.Errorf("%s as a %s: %d", target, dest, a.status)
			}
		}
	}
	for _, c := range []struct {
		name, target, mediaType, disposition string
		status                               int
		headers                              []string
	}{
		{"by token, as it is", "/v1/files/evil.js", "text/javascript", "attachment", 200, nil},
		{"by cookie, for a script that runs", "/v1/files/evil.js", "text/plain; charset=utf-8", "attachment", 200, []string{"Authorization", "", "Cookie", cookie, "Sec-Fetch-Dest", "empty"}},
		{"by cookie, as a page", "/v1/files/evil.txt", "text/plain", "attachment", 200, []string{"Authorization", "", "Cookie", cookie, "Sec-Fetch-Dest", "document"}},
		{"by cookie, as an image", "/v1/files/evil.txt", "text/plain", "inline", 200, []string{"Authorization", "", "Cookie", cookie, "Sec-Fetch-Dest", "image"}},
		{"by cookie, of a browser that does not say", "/v1/files/evil.js", problemType, "", 403, []string{"Authorization", "", "Cookie", cookie}},
		{"the same by the dashboard's script", "/v1/files/evil.js", "text/plain; charset=utf-8", "attachment", 200, []string{"Authorization", "", "Cookie", cookie, csrfHeader, csrf}},
		{"by link", "/v1/links/" + linkSecret + "/evil.js", "text/plain; charset=utf-8", "attachment", 200, []string{"Authorization", ""}},
		{"in public, as a page", "/v1/public/ann/evil.txt", "text/plain", "inline", 200, []string{"Authorization", "", "Sec-Fetch-Dest", "document"}},
	} {
		a := call(t, s, "GET", c.target, "", c.headers...)
		disposition, _, _ := strings.Cut(a.header.Get("Content-Disposition"), ";")
		if a.status != c.status || a.header.Get("Content-Type") != c.mediaType || disposition != c.disposition {
			t.Errorf("%s: %d, %s, %s; want %d, %s, %s", c.name, a.status, a.header.Get("Content-Type"), disposition, c.status, c.mediaType, c.disposition)
		}
		if a.header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(a.header.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s: neither nosniff nor a sandbox: %v", c.name, a.header)
		}
	}
}

func TestLinksAndPublic(t *testing.T) {
	d, s := serve(t, Options{})
	if a := call(t, s, "PUT", "/v1/files/secret/folder/cat.txt", "a cat\n", "Content-Type", "text/plain"); a.status != 201 {
		t.Fatal(a.body)
	}
	asked := func() *eventpb.FilesGetRequest {
		t.Helper()
		var q eventpb.FilesGetRequest
		if err := event.Open(d.last(event.FilesGet), &q); err != nil {
			t.Fatal(err)
		}
		return &q
	}
	a := call(t, s, "GET", "/v1/links/"+linkSecret+"/cat.txt", "", "Authorization", "")
	if q, m := asked(), d.last(event.FilesGet).Metadata; a.status != 200 || a.body != "a cat\n" || q.Owner != "ann" || q.Path != "/secret/folder/cat.txt" || m.UserId != "link:g1" || m.SecurityToken != "link:g1" {
		t.Errorf("by link: %d %q, asked %v by %v", a.status, a.body, q, m)
	}
	if a := call(t, s, "GET", "/v1/links/"+rootLinkSecret+"/secret/folder/cat.txt", "", "Authorization", "", "Range", "bytes=2-4"); a.status != 206 || a.body != "cat" {
		t.Errorf("a range by a link to everything: %d %q", a.status, a.body)
	}
	if a := call(t, s, "HEAD", "/v1/links/"+linkSecret+"/cat.txt", "", "Authorization", ""); a.status != 200 || a.header.Get("Content-Length") != "6" {
		t.Errorf("HEAD: %d %v", a.status, a.header)
	}
	if a := call(t, s, "GET", "/v1/links/"+linkSecret+"/", "", "Authorization", ""); a.status != 200 || !strings.Contains(a.body, `"path":"/cat.txt"`) || strings.Contains(a.body, "secret") {
		t.Errorf("a link's list: %d %s", a.status, a.body)
	}
	if a := call(t, s, "GET", "/v1/links/"+rootLinkSecret+"/", "", "Authorization", ""); a.status != 200 || !strings.Contains(a.body, `"path":"/secret/folder/cat.txt"`) {
		t.Errorf("the list of a link to everything: %d %s", a.status, a.body)
	}
	a = call(t, s, "GET", "/v1/public/ann/secret/folder/cat.txt", "", "Authorization", "")
	if q, m := asked(), d.last(event.FilesGet).Metadata; a.status != 200 || q.Owner != "ann" || m.SecurityToken != "public" {
		t.Errorf("in public: %d, asked %v by %v", a.status, q, m)
	}

	first := ""
	for _, target := range []string{
		"/v1/links/inos-link-x", "/v1/links/", "/v1/links/" + strings.Repeat("x", loginSecretMax+1), "/v1/links/%41", "/v1/links/" + linkSecret + "/none", "/v1/links/" + linkSecret,
		"/v1/links/" + strings.Repeat("x", loginSecretMax+1) + "/", "/v1/links/inos-link-x/", "/v1/links/" + linkSecret + "//", "/v1/links/" + linkSecret + "/../folder/cat.txt", "/v1/links/" + linkSecret + "/a%2fb", "/v1/links/" + rootLinkSecret,
		"/v1/public/ann/none", "/v1/public/nobody/none", "/v1/public/ann", "/v1/public/", "/v1/public/ANN/x", "/v1/public/ann/../x",
	} {
		a := call(t, s, "GET", target, "", "Authorization", "")
		if a.status != 404 {
			t.Errorf("%s: %d %s", target, a.status, a.body)
			continue
		}
		p := a.problem(t)
		p.TraceID = ""
		if first == "" {
			first = fmt.Sprint(p)
		}
		if got := fmt.Sprint(p); got != first {
			t.Errorf("%s tells more: %s", target, got)
		}
	}
	for _, target := range []string{"/v1/links/inos-link-x", "/v1/links/inos-link-x/"} {
		d.refused = nil
		if call(t, s, "GET", target, "", "Authorization", ""); len(d.refused) != 1 || strings.Contains(d.refused[0], "inos-link") {
			t.Errorf("%s: history says %q", target, d.refused)
		}
	}
	for _, code := range []inos.Code{inos.CodePermissionDenied, inos.CodeUserUnknown, inos.CodeGrantUnknown, inos.CodeUnauthenticated} {
		answerWith(d, event.FilesGet, nil, inos.Errorf(code, "files:get", "ann has shown /secret/folder to nobody"))
		a := call(t, s, "GET", "/v1/links/"+linkSecret+"/cat.txt", "", "Authorization", "")
		if p := a.problem(t); a.status != 404 || strings.Contains(a.body, "ann") || strings.Contains(a.body, "secret") || p.Code != "file_not_found" {
			t.Errorf("%s: %d %s", code.Name(), a.status, a.body)
		}
	}
	answerWith(d, event.FilesGet, nil, &inos.Error{Code: inos.CodeRateLimited, Op: "files:get", Message: "ann's /secret/folder", RetryAfter: inos.Second})
	if a := call(t, s, "GET", "/v1/links/"+linkSecret+"/cat.txt", "", "Authorization", ""); a.status != 429 || a.header.Get("Retry-After") != "1" || strings.Contains(a.body, "secret") {
		t.Errorf("a rate: %d %v %s", a.status, a.header, a.body)
	}
	for _, why := range d.refused {
		if strings.Contains(why, "inos-link") {
			t.Errorf("the history was told %q", why)
		}
	}
}

// TestRefusalsAreHistory asks at the edge what never reaches the kernel. Each refusal is a line of history, which holds nothing that the asker chose.
func TestRefusalsAreHistory(t *testing.T) {
	clock := newTuned()
	d, s := serve(t, Options{Now: clock.now})
	cookie, csrf := openDashboard(t, d, s)
	for _, c := range []struct {
		name, method, target string
		status               int
		headers              []string
	}{
		{"without a token", "GET", "/v1/status", 401, []string{"Authorization", ""}},
		{"an address that is none, without a token", "GET", "/chosen", 401, []string{"Authorization", ""}},
		{"another scheme", "GET", "/v1/status", 401, []string{"Authorization", "Basic chosen"}},
		{"another cookie", "GET", "/v1/status", 401, []string{"Authorization", "", "Cookie", cookieName + "=chosen"}},
		{"another site's page", "GET", "/v1/status", 403, []string{"Authorization", "", "Cookie", cookie, "Sec-Fetch-Site", "chosen"}},
		{"another origin", "DELETE", "/v1/files/a", 403, []string{"Authorization", "", "Cookie", cookie, csrfHeader, csrf, "Origin", "http://chosen"}},
		{"no CSRF token", "DELETE", "/v1/files/a", 403, []string{"Authorization", "", "Cookie", cookie, csrfHeader, "chosen", "Origin", s.URL}},
		{"a code of another origin", "POST", "/v1/dashboard/session", 403, []string{"Authorization", "", "Origin", "http://chosen"}},
		{"a script", "GET", "/v1/files/a", 403, []string{"Sec-Fetch-Dest", "script"}},
	} {
		d.mu.Lock()
		d.refused = nil
		d.mu.Unlock()
		a := call(t, s, c.method, c.target, "", c.headers...)
		d.mu.Lock()
		if a.status != c.status || len(d.refused) != 1 || strings.Contains(d.refused[0], "chosen") {
			t.Errorf("%s: %d, and the history was told %q", c.name, a.status, d.refused)
		}
		d.mu.Unlock()
	}
}
