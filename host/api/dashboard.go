package api

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// A browser that shows the dashboard is let in by a code that 'inos up' prints, good for once, in a part of the address that browsers
// send nowhere. It gets a cookie that no script sees and no other site's page can make it send.
const (
	// DashboardCodeLife is how long a code is good.
	DashboardCodeLife = 10 * inos.Minute
	// DashboardLife ends a dashboard's session, however busy it is.
	DashboardLife = 12 * inos.Hour
	// DashboardIdle ends one by which nothing was asked for so long.
	DashboardIdle = 30 * inos.Minute

	cookieName = "inos_session"
	// secureCookie is the name of one that only goes over TLS: a browser takes that from this very host alone (RFC 6265bis, 4.1.3.2).
	secureCookie = "__Host-" + cookieName
	csrfHeader   = "Inos-Csrf"
	// dashboardToken is what its session is called among a user's tokens.
	dashboardToken = "dashboard"
)

// dashboardCode makes a code for a dashboard with the sender's rights: POST /v1/dashboard/codes.
func (x *exchange) dashboardCode(target) error {
	if x.cookie != "" {
		return inos.Errorf(inos.CodePermissionDenied, "make dashboard code", "a dashboard lets no other in: use 'inos dashboard' on the node's machine")
	}
	reply, err := x.issue(&TokenQuestion{Name: dashboardToken, Capabilities: x.session.Capabilities, LifeUs: int64(DashboardLife)})
	if err != nil {
		return err
	}
	token, now := reply.GetSession().GetSession().GetTokenId(), x.h.micros()
	expires := now + DashboardCodeLife
	code, ok := x.h.dashboards.wait(&dashboardSession{token: token, user: string(x.session.Subject), expires: expires}, now)
	if !ok {
		_ = x.ask(event.TokensRevoke, &eventpb.TokensRevokeRequest{TokenId: token}, &eventpb.TokensRevokeReply{}) // nobody has it: it is in nobody's way until it expires
		return dashboardsFull("make dashboard code", dashboardCodesMax, "codes wait")
	}
	x.secret(http.StatusCreated, DashboardCode{Code: code, ExpiresUs: int64(expires)})
	return nil
}

// openDashboard trades a code for a cookie: POST /v1/dashboard/session {code}, from a page of this node.
func (x *exchange) openDashboard(target) error {
	if err := x.sameOrigin(); err != nil {
		return err
	}
	var q DashboardQuestion
	if err := x.readJSON(&q); err != nil {
		return err
	}
	now := x.h.micros()
	s, ok := x.h.dashboards.find(q.Code, now)
	if !ok {
		return x.refuseStranger("a dashboard code that is not good")
	}
	if _, err := x.h.node.Resume(x.r.Context(), s.token); err != nil {
		return x.refuseStranger("a dashboard code whose session has ended")
	}
	s.csrf, s.expires, s.used = randomText(), now+DashboardLife, now
	cookie, good, room := x.h.dashboards.trade(q.Code, &s, now)
	switch {
	case !good:
		return x.refuseStranger("a dashboard code that is not good any more")
	case !room:
		return dashboardsFull("open dashboard", dashboardsMax, "dashboards are open")
	}
	x.setCookie(cookie, int(DashboardLife/inos.Second))
	x.secret(http.StatusOK, DashboardSession{CSRF: s.csrf, User: s.user, ExpiresUs: int64(s.expires), IdleUs: int64(DashboardIdle)})
	return nil
}

// closeDashboard ends the session of the cookie, and its token: DELETE /v1/dashboard/session.
func (x *exchange) closeDashboard(target) error {
	if err := x.authenticate(); err != nil {
		return err
	}
	if x.cookie == "" {
		return inos.Errorf(inos.CodeBadRequest, "end dashboard session", "the request carries no cookie of one")
	}
	x.h.dashboards.end(x.cookie)
	x.setCookie("", -1)
	return x.revoke(x.session.TokenID)
}

// dashboardsFull is the answer when all users together have as many as may be.
func dashboardsFull(op string, limit int, what string) error {
	e := inos.Errorf(inos.CodeBusy, op, "%d %s, no more may", limit, what)
	e.RetryAfter = inos.Minute
	e.Hint = "Try again later: codes are good for minutes, and dashboards that are not used end."
	return e
}

func (x *exchange) setCookie(value string, seconds int) {
	secure := x.secure()
	name := cookieName
	if secure {
		name = secureCookie
	}
	http.SetCookie(x.w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: seconds, Secure: secure, HttpOnly: true, SameSite: http.SameSiteStrictMode})
}

// secure says that the browser speaks TLS, to this node or to what stands before it.
func (x *exchange) secure() bool {
	return x.r.TLS != nil || strings.HasPrefix(x.r.Header.Get("Origin"), "https://")
}

// dashboardCookie returns the one cookie of a dashboard's session.
func dashboardCookie(r *http.Request) string {
	for _, name := range []string{secureCookie, cookieName} {
		if found := r.CookiesNamed(name); len(found) == 1 {
			return found[0].Value
		}
	}
	return ""
}

// authenticateCookie finds the session of a dashboard's cookie, and refuses what another site's page can have sent.
func (x *exchange) authenticateCookie(cookie string) error {
	s, ok := x.h.dashboards.use(cookie, x.h.micros())
	if !ok {
		return x.refuseStranger("a cookie of no dashboard that is open")
	}
	if err := x.fromDashboard(&s); err != nil {
		return err
	}
	session, err := x.h.node.Resume(x.r.Context(), s.token)
	if inos.CodeOf(err) == inos.CodeUnauthenticated {
		x.h.dashboards.end(cookie)
		return x.refuseStranger("a cookie of a dashboard whose session has ended")
	}
	if err != nil {
		return err
	}
	x.session, x.cookie = session, cookie
	return nil
}

// fromDashboard holds a request that a cookie came with against what a page of the dashboard sends. A browser sends the cookie along with what
// any page of the same site asks, and another port of this machine is the same site.
func (x *exchange) fromDashboard(s *dashboardSession) error {
	const op = "check origin"
	switch site := x.r.Header.Get("Sec-Fetch-Site"); site {
	case "", "same-origin", "none": // none: a person typed the address
	default:
		return inos.Errorf(inos.CodeOriginRefused, op, "a page that is %.20s asks with the dashboard's cookie", site)
	}
	script := subtle.ConstantTimeCompare([]byte(x.r.Header.Get(csrfHeader)), []byte(s.csrf)) == 1
	upgrade := x.r.Header.Get("Upgrade") != "" // a socket is opened by GET and can do everything
	switch x.r.Method {
	case http.MethodGet, http.MethodHead:
		if !upgrade {
			x.script = script
			return nil
		}
	default:
		if !script {
			return inos.Errorf(inos.CodeOriginRefused, op, "the header %s is not the session's", csrfHeader)
		}
	}
	x.script = script
	return x.sameOrigin()
}

// sameOrigin refuses a request whose Origin is not this node, as its client calls it. On the usual ports the host alone does not tell a page that came
// without TLS, which anybody on the way can have written.
func (x *exchange) sameOrigin() error {
	origins := x.r.Header.Values("Origin")
	if len(origins) == 1 {
		u, err := url.Parse(origins[0])
		if err == nil && (u.Scheme == "https" || u.Scheme == "http" && x.r.TLS == nil) && u.Host != "" && u.Host == x.r.Host {
			return nil
		}
	}
	return inos.Errorf(inos.CodeOriginRefused, "check origin", "the Origin %.100q is not the host %.100q that was asked", strings.Join(origins, ", "), x.r.Host)
}
