package api

import (
	"strings"

	"github.com/inos-mesh/inos"
)

// unauthenticated is the answer to a missing, malformed, wrong and expired token alike: it tells a stranger nothing.
func unauthenticated() error {
	return &inos.Error{Code: inos.CodeUnauthenticated, Op: "authenticate", Message: "a valid bearer token is needed"}
}

// refuseStranger leaves a line of history and returns what a stranger is told, which does not say why.
func (x *exchange) refuseStranger(why string) error {
	x.h.node.Refused(why)
	return unauthenticated()
}

// authenticate finds the session of the request's bearer token (RFC 6750, 2.1), or without one of a dashboard's cookie.
func (x *exchange) authenticate() error {
	if len(x.r.Header.Values("Authorization")) == 0 {
		if cookie := dashboardCookie(x.r); cookie != "" {
			return x.authenticateCookie(cookie)
		}
	}
	secret, ok := bearer(x.r.Header.Values("Authorization"))
	if !ok {
		return x.refuseStranger("a request without a bearer token")
	}
	s, err := x.h.node.Authenticate(x.r.Context(), secret)
	if inos.CodeOf(err) == inos.CodeUnauthenticated {
		return unauthenticated() // the history has it from the node, which knows why
	}
	if err != nil {
		return err // the memory of tokens does not answer: not the client's fault
	}
	if s.ExpiresAt != 0 && s.ExpiresAt <= x.h.micros() {
		return x.refuseStranger("a token that has expired")
	}
	x.session = s
	return nil
}

// bearer returns the secret of the one Authorization header.
func bearer(values []string) (secret string, ok bool) {
	if len(values) != 1 || len(values[0]) > secretBytesMax {
		return "", false
	}
	scheme, secret, found := strings.Cut(values[0], " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	secret = strings.TrimLeft(secret, " ")
	if secret == "" {
		return "", false
	}
	for i := range len(secret) {
		if secret[i] <= ' ' || secret[i] > '~' {
			return "", false
		}
	}
	return secret, true
}

// may tells whether the session holds a capability for all that a service's verb is about, such as "node:read" or "files:read" of its own
// namespace. The kernel decides everything that passes through it; this guards only what is read beside it: the history, and keys.
func (x *exchange) may(service, verb string) bool {
	for _, c := range x.session.Capabilities {
		parts := strings.SplitN(c, ":", 3)
		if len(parts) == 3 && (parts[2] == "*" || service == "files" && parts[2] == "/*") && (parts[0] == service || parts[0] == "*") && (parts[1] == verb || parts[1] == "*") {
			return true
		}
	}
	return false
}
