package api

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// answerWith makes the double answer one type of event with a payload or an error.
func answerWith(d *double, eventType string, reply event.Message, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.hook
	d.hook = func(ctx context.Context, e *eventpb.Envelope, progress func(*eventpb.Envelope)) (*eventpb.Envelope, error) {
		switch {
		case e.EventType == eventType && err != nil:
			return event.Failed(e, 1, err), nil
		case e.EventType == eventType:
			return event.Reply(e, event.StateCompleted, 1, event.Payload(reply)), nil
		case before != nil:
			return before(ctx, e, progress)
		}
		return nil, nil
	}
}

// device is a key that logs in.
type device struct{ key ed25519.PrivateKey }

func newDevice(name string) device {
	seed := sha256.Sum256([]byte(name))
	return device{ed25519.NewKeyFromSeed(seed[:])}
}

func (d device) public() string { return hex.EncodeToString(d.key.Public().(ed25519.PublicKey)) }

func (d device) sign(mesh, user, challenge string) string {
	return hex.EncodeToString(ed25519.Sign(d.key, LoginText(mesh, user, challenge)))
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func readOf(t *testing.T, a answer, out any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), out); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
}

func TestLogin(t *testing.T) {
	d, s := serve(t, Options{})
	answerWith(d, event.IdentityLogin, &eventpb.LoginReply{
		Session: &eventpb.Session{TokenId: "t1", Subject: "ann", Device: "d1", Capabilities: []string{"files:*:*"}, ExpiresUs: 9}, Token: "a.eyJleHAiOjEyM30.c", Refresh: "inos-refresh-x",
	}, nil)
	ask := func(user string) Challenge {
		t.Helper()
		a := call(t, s, "POST", "/v1/login/challenge", jsonOf(t, ChallengeQuestion{user}), "Authorization", "")
		if a.status != 200 || a.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %s", a.status, a.body)
		}
		var c Challenge
		readOf(t, a, &c)
		return c
	}
	phone := newDevice("phone")
	good := func() LoginQuestion {
		c := ask("ann")
		return LoginQuestion{User: "ann", DevicePublicKey: phone.public(), Challenge: c.Challenge, Signature: phone.sign(c.Mesh, "ann", c.Challenge), DeviceName: "Ann's phone"}
	}
	enrolled := good()
	enrolled.Enrolment, enrolled.Capabilities, enrolled.Audience = "inos-enrol-secret", []string{"files:read:*"}, "backup"
	a := call(t, s, "POST", "/v1/login", jsonOf(t, enrolled), "Authorization", "")
	var reply LoginReply
	readOf(t, a, &reply)
	if a.status != 200 || reply.Token != "a.eyJleHAiOjEyM30.c" || reply.TokenExpiresUs != 123_000_000 || reply.Refresh != "inos-refresh-x" || reply.Session.User != "ann" || reply.Session.ExpiresUs != 9 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a.header.Get("Cache-Control") != "no-store" {
		t.Error("a token may be kept by whoever is between")
	}
	e := d.last(event.IdentityLogin)
	var asked eventpb.LoginRequest
	if err := event.Open(e, &asked); err != nil {
		t.Fatal(err)
	}
	sum := blake3.Sum256([]byte("inos-enrol-secret"))
	want := &eventpb.LoginRequest{
		User: "ann", PublicKey: phone.key.Public().(ed25519.PublicKey), DeviceName: "Ann's phone", Enrolment: sum[:], Capabilities: []string{"files:read:*"}, Audience: "backup",
		Device: d.DeviceID(phone.key.Public().(ed25519.PublicKey)),
	}
	if !asked.EqualVT(want) || e.Metadata.SecurityToken != hostToken || e.Metadata.UserId != "" {
		t.Errorf("the kernel was asked %v by %v", &asked, e.Metadata)
	}

	first := ""
	refused := func(name string, q LoginQuestion) {
		t.Helper()
		a := call(t, s, "POST", "/v1/login", jsonOf(t, q), "Authorization", "")
		if a.status != 401 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
			return
		}
		p := a.problem(t)
		p.TraceID = ""
		if first == "" {
			first = fmt.Sprint(p)
		}
		if fmt.Sprint(p) != first {
			t.Errorf("%s tells more: %v", name, p)
		}
	}
	refused("a challenge that was used", enrolled)
	for name, edit := range map[string]func(*LoginQuestion){
		"another's challenge":     func(q *LoginQuestion) { q.User = "bob"; q.Signature = phone.sign("mesh-1", "bob", q.Challenge) },
		"a challenge of nobody's": func(q *LoginQuestion) { q.Challenge = "x"; q.Signature = phone.sign("mesh-1", "ann", "x") },
		"no challenge":            func(q *LoginQuestion) { q.Challenge = ""; q.Signature = phone.sign("mesh-1", "ann", "") },
		"another key":             func(q *LoginQuestion) { q.DevicePublicKey = newDevice("other").public() },
		"another mesh":            func(q *LoginQuestion) { q.Signature = phone.sign("mesh-2", "ann", q.Challenge) },
		"no signature":            func(q *LoginQuestion) { q.Signature = "" },
		"a short key":             func(q *LoginQuestion) { q.DevicePublicKey = "00" },
		"a long enrolment":        func(q *LoginQuestion) { q.Enrolment = strings.Repeat("x", loginSecretMax+1) },
	} {
		q := good()
		edit(&q)
		refused(name, q)
		q2 := good()
		q2.Challenge = q.Challenge
		q2.Signature = phone.sign("mesh-1", "ann", q.Challenge)
		if q.Challenge != "" && q.Challenge != "x" {
			refused(name+", its challenge again", q2)
		}
	}
	for _, code := range []inos.Code{inos.CodeUnauthenticated, inos.CodeUserUnknown} {
		answerWith(d, event.IdentityLogin, nil, inos.Errorf(code, "identity:login", "the user ann has no such device"))
		refused(code.Name(), good())
	}
	answerWith(d, event.IdentityLogin, nil, inos.Errorf(inos.CodeBusy, "identity:login", "too much"))
	if a := call(t, s, "POST", "/v1/login", jsonOf(t, good()), "Authorization", ""); a.status != 503 {
		t.Errorf("a busy kernel: %d %s", a.status, a.body)
	}
	if len(d.refused) == 0 || strings.Contains(fmt.Sprint(d.refused), "inos-enrol") {
		t.Errorf("the history was told %q", d.refused)
	}
}

func TestChallengesAreBoundedAndExpire(t *testing.T) {
	var c challenges
	first, expires := c.make("ann", 0)
	if c.take(first, "ann", expires) {
		t.Error("an expired challenge was taken")
	}
	first, _ = c.make("ann", 0)
	for range challengesMax - 1 {
		c.make("ann", 0)
	}
	last, _ := c.make("ann", 0)
	if c.take(first, "ann", 0) {
		t.Error("more challenges wait than may")
	}
	if !c.take(last, "ann", 0) || c.take(last, "ann", 0) {
		t.Error("the newest challenge is not good for once")
	}
	if len(c.open) > challengesMax || len(c.queue) > challengesMax {
		t.Errorf("%d challenges and %d in the queue", len(c.open), len(c.queue))
	}
	c.make("ann", challengeLife)
	if len(c.open) != 1 || len(c.queue) != 1 {
		t.Errorf("expired ones stay: %d and %d", len(c.open), len(c.queue))
	}
}

func TestRefresh(t *testing.T) {
	d, s := serve(t, Options{})
	answerWith(d, event.IdentityRefresh, &eventpb.LoginReply{Session: &eventpb.Session{TokenId: "t1"}, Token: "a.b.c", Refresh: "inos-refresh-2"}, nil)
	a := call(t, s, "POST", "/v1/login/refresh", jsonOf(t, RefreshQuestion{"inos-refresh-1"}), "Authorization", "")
	var reply LoginReply
	readOf(t, a, &reply)
	if a.status != 200 || reply.Refresh != "inos-refresh-2" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	var asked eventpb.RefreshRequest
	if err := event.Open(d.last(event.IdentityRefresh), &asked); err != nil {
		t.Fatal(err)
	}
	if sum := blake3.Sum256([]byte("inos-refresh-1")); string(asked.Refresh) != string(sum[:]) {
		t.Error("the kernel was asked for another secret's hash")
	}
	answerWith(d, event.IdentityRefresh, nil, inos.Errorf(inos.CodeUnauthenticated, "identity:refresh", "it was used before"))
	for _, q := range []string{`{"refresh":"inos-refresh-1"}`, `{"refresh":""}`, `{"refresh":"` + strings.Repeat("x", loginSecretMax+1) + `"}`} {
		if a := call(t, s, "POST", "/v1/login/refresh", q, "Authorization", ""); a.status != 401 || a.problem(t).Detail != "a valid bearer token is needed" {
			t.Errorf("%s: %d %s", q, a.status, a.body)
		}
	}
	if a := call(t, s, "POST", "/v1/login/refresh", `{"refresh":"x","more":1}`, "Authorization", ""); a.status != 400 {
		t.Errorf("an unknown field: %d", a.status)
	}
}
