package datatest

import (
	"testing"

	"github.com/inos-mesh/inos"
)

// issued opens a session that a device issued, or (empty) nobody knows who.
func issued(m inos.Semantic, token string, user inos.Subject, device string, now inos.Micros) error {
	s := opened(token, user, "")
	s.IssuedBy = device
	_, _, err := m.OpenSession(background, s, inos.Opening{}, now)
	return err
}

// semanticIssued sees that a device takes along what it issued, its user's alone, and issues nothing more; what nobody knows the issuer of stays.
func semanticIssued(t *testing.T, m inos.Semantic) {
	user(t, m, "ann", 0)
	user(t, m, "bob", 0)
	login(t, m, "t1", "ann", "d")
	login(t, m, "t2", "ann", "e")
	login(t, m, "t3", "bob", "d") // one key may be a device of two users
	must(t, issued(m, "p2", "ann", "d", 11))
	must(t, issued(m, "p1", "ann", "d", 11))
	must(t, issued(m, "another-device", "ann", "e", 11))
	must(t, issued(m, "another-user", "bob", "d", 11))
	must(t, issued(m, "of-nobody", "ann", "", 11))
	must(t, issued(m, "of-no-device", "ann", "cli", 11)) // the operator's secret is none
	s, err := m.FindSession(background, "p1")
	must(t, err)
	equal(t, "issued by", s.IssuedBy, "d")
	sessions, _, err := m.ListSessions(background, "ann", "p1", 1, 11)
	must(t, err)
	equal(t, "issued by, in a list", sessions[0].IssuedBy, "d")
	wantCode(t, issued(m, "p1", "ann", "e", 12), inos.CodeConflict)
	must(t, issued(m, "p1", "ann", "d", 12)) // the same again

	revoked, count, err := m.RevokeDevice(background, "ann", "d", 20)
	must(t, err)
	same(t, "revoked", []any{revoked, count}, []any{[]string{"p1", "p2", "t1"}, 2})
	for _, token := range revoked {
		_, err := m.FindSession(background, token)
		wantCode(t, err, inos.CodeUnauthenticated)
	}
	for _, token := range []string{"t2", "t3", "another-device", "another-user", "of-nobody", "of-no-device"} {
		_, err := m.FindSession(background, token)
		must(t, err)
	}
	wantCode(t, issued(m, "p3", "ann", "d", 21), inos.CodeUnauthenticated) // it was on its way when the device was revoked
	must(t, issued(m, "p3", "bob", "d", 21))
	revoked, count, err = m.RevokeDevice(background, "ann", "d", 22)
	must(t, err)
	same(t, "revoked again", []any{len(revoked), count}, []any{0, 0})
}
