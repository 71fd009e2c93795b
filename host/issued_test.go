package host

import (
	"context"
	"strings"
	"testing"

	"github.com/inos-mesh/inos/host/api"
)

// TestStolenDevice has a device issue whatever lets somebody in, revokes it from another one, over HTTP on a real node, and shows everything again.
func TestStolenDevice(t *testing.T) {
	r := newIdentityRig(t)
	defer r.close()
	ctx := context.Background()
	if _, err := r.operator.PutUser(ctx, "ann", api.UserQuestion{Create: true}); err != nil {
		t.Fatal(err)
	}
	laptop, phone := r.newPhone("ann"), r.newPhone("ann")
	issue := func(c *api.Client, name string) api.TokenReply {
		t.Helper()
		reply, err := c.IssueToken(ctx, api.TokenQuestion{Name: name, Capabilities: []string{"files:*:*", "tokens:*:ann"}})
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}
	of := func(token string) *api.Client {
		return r.client(func(context.Context, string) (string, error) { return token, nil })
	}
	thief, owner := of(laptop.reply.Token), of(phone.reply.Token)
	if _, err := owner.Put(ctx, "/a", strings.NewReader("a"), 1, api.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	program := issue(thief, "program")
	below := issue(of(program.Token), "below")
	backup := issue(owner, "backup")
	code, dashboard := r.dashboardCode(thief), r.cookieOf(thief)
	below2, ownCode, ownDashboard := r.dashboardCode(of(below.Token)), r.dashboardCode(owner), r.cookieOf(owner)
	bearer := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
	status := func(headers []string) int {
		status, _, _ := r.http("GET", r.URL()+"/v1/files/a", "", headers...)
		return status
	}
	show := func(when string, stolen int) {
		t.Helper()
		for name, c := range map[string]struct {
			headers []string
			want    int
		}{
			"the device's token": {bearer(laptop.reply.Token), stolen}, "a token that it issued": {bearer(program.Token), stolen},
			"a token that this issued": {bearer(below.Token), stolen}, "its dashboard": {dashboard, stolen},
			"another device's token": {bearer(phone.reply.Token), 200}, "a token that this issued itself": {bearer(backup.Token), 200}, "another device's dashboard": {ownDashboard, 200},
		} {
			if got := status(c.headers); got != c.want {
				t.Errorf("%s, %s: %d, not %d", when, name, got, c.want)
			}
		}
	}
	show("before", 200)
	issuers := map[string]string{}
	for s, err := range owner.Tokens(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		issuers[s.ID] = s.IssuedBy
	}
	stolen, kept := laptop.reply.Session, phone.reply.Session
	for id, want := range map[string]string{stolen.ID: "", kept.ID: "", program.Session.ID: stolen.Device, below.Session.ID: stolen.Device, backup.Session.ID: kept.Device} {
		if got, listed := issuers[id]; !listed || got != want {
			t.Errorf("%s is listed %v, issued by %q, not by %q", id, listed, got, want)
		}
	}
	ended, err := owner.RevokeDevice(ctx, "", stolen.Device)
	if err != nil || ended.Sessions != 1 || ended.Tokens != 5 { // two tokens, a dashboard and two codes
		t.Errorf("ended %+v (%v)", ended, err)
	}
	show("after", 401)
	for name, c := range map[string]struct {
		code string
		want int
	}{"its code": {code, 401}, "the code of a token of its": {below2, 401}, "another device's code": {ownCode, 200}} {
		if got, _ := r.tradeCode(c.code); got != c.want {
			t.Errorf("%s: %d, not %d", name, got, c.want)
		}
	}
	if err := laptop.renew(); err == nil {
		t.Error("the refresh secret is good")
	}
	if _, err := thief.IssueToken(ctx, api.TokenQuestion{Name: "more", Capabilities: []string{"files:*:*"}}); err == nil {
		t.Error("the device issues more")
	}
}
