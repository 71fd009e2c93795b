package kernel

import (
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// A token is issued by the device that asks for it, or by that of the token that asks for it, and so on; it ends with that device, and with no other.
func TestIssuedEndsWithItsDevice(t *testing.T) {
	w := newWorld(native{New()})
	w.give(w.host(event.NodeBoot, w.boot))
	w.run(1000)
	w.users["ann"] = &eventpb.User{Name: "ann"}
	for _, device := range []string{"laptop", "phone"} {
		w.devices[device] = &eventpb.Device{Id: device, User: "ann"}
	}
	// introduce does what the host does with a token that is shown to it.
	introduce := func(s *eventpb.Session) {
		w.sessions[s.TokenId] = &eventpb.SessionInfo{Session: s}
		w.give(w.host(event.IdentitySession, s))
	}
	ask := func(token, typ string, m, reply event.Message) inos.Code {
		t.Helper()
		e := w.request(token, typ, m)
		w.give(e)
		w.run(1000)
		answer, ends := w.last(e.Id)
		if ends != 1 {
			t.Fatalf("%s by %s: %d answers", typ, token, ends)
		}
		if event.StateOf(answer.EventType) == event.StateFailed {
			return event.FailureOf(answer).Code
		}
		if err := event.Open(answer, reply); err != nil {
			t.Fatal(err)
		}
		return 0
	}
	issue := func(token, by string) string {
		t.Helper()
		var r eventpb.TokensIssueReply
		if code := ask(token, event.TokensIssue, &eventpb.TokensIssueRequest{Capabilities: []string{"files:*:*", "tokens:*:ann"}}, &r); code != 0 {
			t.Fatalf("%s by %s", code.Name(), token)
		}
		s := r.Session.Session
		if s.IssuedBy != by || s.Device != "" {
			t.Errorf("what %s issued is issued by %q, not by %q", token, s.IssuedBy, by)
		}
		introduce(s)
		return s.TokenId
	}
	all := userCapabilities(w.users["ann"])
	introduce(&eventpb.Session{TokenId: "l", Subject: "ann", Device: "laptop", Capabilities: all})
	introduce(&eventpb.Session{TokenId: "p", Subject: "ann", Device: "phone", Capabilities: all})
	introduce(&eventpb.Session{TokenId: "old", Subject: "ann", Capabilities: all}) // of a version that did not know
	first := issue("l", "laptop")
	second := issue(first, "laptop")
	third := issue(second, "laptop")
	others := []string{"p", issue("p", "phone"), "old", issue("old", "")}
	next := New()
	if err := next.Restore(w.kernel.(native).k.Snapshot()); err != nil {
		t.Fatal(err)
	}
	w.kernel = native{next}
	fourth := issue(third, "laptop")

	var ended eventpb.DevicesRevokeReply
	if code := ask("p", event.DevicesRevoke, &eventpb.DevicesRevokeRequest{Device: "laptop"}, &ended); code != 0 || ended.Sessions != 1 || ended.Tokens != 4 {
		t.Errorf("revoked: %s, %d sessions, %d tokens", code.Name(), ended.Sessions, ended.Tokens)
	}
	for _, token := range []string{"l", first, second, third, fourth} {
		if code := ask(token, event.FilesList, &eventpb.FilesListRequest{}, &eventpb.FilesListReply{}); code != inos.CodeUnauthenticated || !w.forgotten[token] {
			t.Errorf("%s: %s, the host was told %v", token, code.Name(), w.forgotten[token])
		}
	}
	for _, token := range others {
		if code := ask(token, event.FilesList, &eventpb.FilesListRequest{}, &eventpb.FilesListReply{}); code != 0 || w.forgotten[token] {
			t.Errorf("%s: %s, the host was told %v", token, code.Name(), w.forgotten[token])
		}
	}
}
