package host

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/inos-mesh/inos/host/api"
)

// dashboardCode makes a code for a dashboard with a client's rights.
func (r *identityRig) dashboardCode(c *api.Client) string {
	r.t.Helper()
	address, _, err := c.DashboardCode(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	_, code, _ := strings.Cut(address, "#code=")
	return code
}

// tradeCode returns what a code's trade is answered, and as headers the cookie that came with it.
func (r *identityRig) tradeCode(code string) (status int, cookie []string) {
	r.t.Helper()
	status, _, header := r.http("POST", r.URL()+"/v1/dashboard/session", `{"code":"`+code+`"}`, "Origin", r.URL())
	if status != 200 {
		return status, nil
	}
	c := (&http.Response{Header: header}).Cookies()[0]
	return status, []string{"Cookie", c.Name + "=" + c.Value, "Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "same-origin", "Origin", r.URL()}
}

// TestOneUsersDashboards has a user make more codes and open more dashboards than may be, on a real node. Another's stay.
func TestOneUsersDashboards(t *testing.T) {
	r := newIdentityRig(t)
	defer r.close()
	ctx := context.Background()
	clients := map[string]*api.Client{}
	for _, user := range []string{"ann", "eve"} {
		if _, err := r.operator.PutUser(ctx, user, api.UserQuestion{Create: true}); err != nil {
			t.Fatal(err)
		}
		clients[user] = r.client(r.newPhone(user).token)
	}
	whoami := func(cookie []string) int {
		status, _, _ := r.http("GET", r.URL()+"/v1/whoami", "", cookie...)
		return status
	}
	waits := r.dashboardCode(clients["ann"])
	_, open := r.tradeCode(r.dashboardCode(clients["ann"]))
	var first []string
	for i := range 17 { // one more than a user's share of the sessions
		status, cookie := r.tradeCode(r.dashboardCode(clients["eve"]))
		if status != 200 {
			t.Fatalf("eve's dashboard %d: %d", i, status)
		}
		if i == 0 {
			first = cookie
		}
	}
	oldest := r.dashboardCode(clients["eve"])
	for range 8 { // a user's share of the codes
		r.dashboardCode(clients["eve"])
	}
	if got := whoami(first); got != 401 {
		t.Errorf("eve's first dashboard: %d", got)
	}
	if got, _ := r.tradeCode(oldest); got != 401 {
		t.Errorf("eve's first code: %d", got)
	}
	if got := whoami(open); got != 200 {
		t.Errorf("ann's dashboard: %d", got)
	}
	if got, _ := r.tradeCode(waits); got != 200 {
		t.Errorf("ann's code: %d", got)
	}
}
