package kernel

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// loginWorld is a world with ann, who has a device, and dan, who is disabled.
func loginWorld() *world {
	w := newWorld(native{New()})
	w.give(w.host(event.NodeBoot, w.boot))
	w.users["ann"], w.users["dan"] = &eventpb.User{Name: "ann"}, &eventpb.User{Name: "dan", Disabled: true}
	w.devices["dev"] = &eventpb.Device{Id: "dev", User: "ann", PublicKey: hashOf("key", "ann")}
	w.run(1000)
	return w
}

// login lets the world's device in as a user, and returns the answer with the effects that were asked for.
func (w *world) login(user, key string) (*eventpb.Envelope, []string) {
	asked := &effects{stepper: w.kernel}
	w.kernel = asked
	e := w.host(event.IdentityLogin, &eventpb.LoginRequest{User: user, PublicKey: hashOf("key", key), Device: "dev", DeviceName: "phone"})
	w.give(e)
	w.run(1000)
	answer, _ := w.last(e.Id)
	return answer, asked.types
}

// Who is not there, who is disabled and who shows another key than the device's are refused by the same steps, with the same words.
func TestARefusedLoginTellsNothing(t *testing.T) {
	want := ""
	for _, who := range [][2]string{{"ann", "another"}, {"dan", "ann"}, {"nobody", "ann"}} {
		answer, steps := loginWorld().login(who[0], who[1])
		if event.StateOf(answer.EventType) != event.StateFailed {
			t.Fatalf("%s is let in", who[0])
		}
		got := fmt.Sprint(steps, event.FailureOf(answer).Code.Name(), event.FailureOf(answer).Message)
		if want == "" {
			want = got
		}
		if got != want || len(steps) < 3 {
			t.Errorf("%s: %s, others: %s", who[0], got, want)
		}
	}
}

// Who has as many sessions as may be is let in, and the oldest login ends; programs' tokens stay, and when there is nothing else say so.
func TestTheOldestLoginMakesRoom(t *testing.T) {
	for _, programs := range []int{0, 300, inos.UserSessionsMax} {
		w := loginWorld()
		id := func(i int) string { return fmt.Sprintf("t%05d", i) }
		for i := range inos.UserSessionsMax {
			s := &eventpb.Session{TokenId: id(i), Subject: "ann"}
			if i >= programs {
				s.Device = "dev"
			}
			w.sessions[s.TokenId] = &eventpb.SessionInfo{Session: s}
		}
		w.give(w.host(event.IdentitySession, &eventpb.Session{TokenId: id(programs), Subject: "ann", Capabilities: []string{"files:*:*"}}))
		answer, _ := w.login("ann", "ann")
		if programs == inos.UserSessionsMax {
			if event.StateOf(answer.EventType) != event.StateFailed || event.FailureOf(answer).Code != inos.CodeConflict || !strings.Contains(event.FailureOf(answer).Message, "inos tokens revoke") || len(w.sessions) != programs {
				t.Errorf("with nothing but programs' tokens: %v", answer)
			}
			continue
		}
		if event.StateOf(answer.EventType) != event.StateCompleted {
			t.Fatalf("with %d programs: %v", programs, event.FailureOf(answer))
		}
		if len(w.sessions) != inos.UserSessionsMax || w.sessions[id(programs)] != nil || programs > 0 && w.sessions[id(0)] == nil {
			t.Errorf("with %d programs another session than the oldest login has ended", programs)
		}
		e := w.request(id(programs), event.FilesList, &eventpb.FilesListRequest{})
		w.give(e)
		w.run(1000)
		if refused, _ := w.last(e.Id); event.StateOf(refused.EventType) != event.StateFailed || event.FailureOf(refused).Code != inos.CodeUnauthenticated {
			t.Errorf("the session that has ended counts still: %v", refused)
		}
		w.tick(w.now + inos.Second)
		w.run(1000)
		if !slices.ContainsFunc(w.history, func(r *eventpb.EventRecord) bool { return strings.Contains(r.Detail, id(programs)+", ended") }) {
			t.Error("the end of the session is not in the history")
		}
	}
}
