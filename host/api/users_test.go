package api

import (
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// TestManagement asks for each change of identity and looks at what the kernel is asked, and what comes back.
func TestManagement(t *testing.T) {
	user := &eventpb.User{Name: "ann", Operator: true, Quota: &eventpb.Quota{Files: 7}, Usage: &eventpb.Usage{PlainBytes: 5, Files: 1}, Balance: -3}
	session := &eventpb.SessionInfo{Session: &eventpb.Session{TokenId: "t1", Subject: "ann", Capabilities: []string{"files:*:*"}, ExpiresUs: 9}, Name: "backup", CreatedUs: 2}
	grant := &eventpb.AccessGrant{Id: "g1", Owner: "ann", Prefix: "/a", Grantee: "user:bob", Verbs: []string{"read", "write"}, By: "ann"}
	entry := &eventpb.LedgerEntry{Seq: 4, EventId: "e", Account: "user:ann", Amount: -6, AtUs: 8, Reason: "r"}
	for _, c := range []struct {
		method, target, body string
		eventType            string
		asked, reply         event.Message
		status               int
		answer               string
	}{
		{
			"GET", "/v1/users?after=a&limit=3", "", event.UsersList, &eventpb.UsersListRequest{After: "a", Limit: 3}, &eventpb.UsersListReply{Users: []*eventpb.User{user}, Next: "ann"}, 200,
			`{"users":[{"name":"ann","operator":true,"disabled":false,"quota":{"plain_bytes":0,"files":7,"requests_per_second":0},"created_us":0,"plain_bytes":5,"files":1,"balance":-3}],"next":"ann"}`,
		},
		{
			"GET", "/v1/users/ann", "", event.UsersShow, &eventpb.UsersShowRequest{User: "ann"},
			&eventpb.UsersShowReply{User: user, Groups: []string{"family"}, RequestsLeft: 3, RequestsMax: 4}, 200, `"balance":-3,"groups":["family"],"requests_left":3,"requests_max":4}`,
		},
		{"GET", "/v1/users/Ann", "", "", nil, nil, 400, "bad_request"},
		{"GET", "/v1/whoami", "", event.UsersShow, &eventpb.UsersShowRequest{}, &eventpb.UsersShowReply{User: user}, 200, `"groups":[],"requests_left":0,"requests_max":0},"session":{"id":"t-operator","user":"operator","device":"laptop","capabilities":["files:*:*","node:read:*"]}}`},
		{
			"PUT", "/v1/users/ann", `{"operator":true,"quota":{"plain_bytes":1,"files":7,"requests_per_second":2},"create":true,"credits":5}`, event.UsersPut,
			&eventpb.UsersPutRequest{User: &eventpb.User{Name: "ann", Operator: true, Quota: &eventpb.Quota{PlainBytes: 1, Files: 7, RequestsPerSecond: 2}}, Create: true, Credits: 5},
			&eventpb.UsersPutReply{User: user}, 200, `"balance":-3`,
		},
		{"PUT", "/v1/users/ann", `{"credits":-1}`, "", nil, nil, 400, "bad_request"},
		{"PUT", "/v1/users/ann", `{"disbled":true}`, "", nil, nil, 400, "disbled"},
		{"PUT", "/v1/users/host", `{}`, "", nil, nil, 400, "nobody's"},
		{"PUT", "/v1/users/Ann", `{}`, "", nil, nil, 400, "bad_request"},
		{
			"POST", "/v1/users/ann/enrolments", `{"life_us":60}`, event.UsersEnrol, &eventpb.UsersEnrolRequest{User: "ann", LifeUs: 60}, &eventpb.UsersEnrolReply{Secret: "inos-enrol-x", ExpiresUs: 7}, 201,
			`{"secret":"inos-enrol-x","expires_us":7}`,
		},
		{
			"GET", "/v1/devices?user=ann", "", event.DevicesList, &eventpb.DevicesListRequest{User: "ann"}, &eventpb.DevicesListReply{Devices: []*eventpb.Device{{Id: "d1", User: "ann", Name: "phone", Revoked: true}}}, 200,
			`{"devices":[{"id":"d1","user":"ann","name":"phone","created_us":0,"revoked":true}]}`,
		},
		{"DELETE", "/v1/devices/d1?user=ann", "", event.DevicesRevoke, &eventpb.DevicesRevokeRequest{Device: "d1", User: "ann"}, &eventpb.DevicesRevokeReply{Sessions: 2, Tokens: 3}, 200, `{"sessions":2,"tokens":3}`},
		{
			"GET", "/v1/groups", "", event.GroupsList, &eventpb.GroupsListRequest{}, &eventpb.GroupsListReply{Groups: []*eventpb.Group{{Name: "family", Members: []string{"ann"}}}}, 200,
			`{"groups":[{"name":"family","members":["ann"]}],"next":""}`,
		},
		{"GET", "/v1/groups/family", "", event.GroupsList, &eventpb.GroupsListRequest{After: "familx~", Limit: 1}, &eventpb.GroupsListReply{Groups: []*eventpb.Group{{Name: "family"}}}, 200, `"family"`},
		{"GET", "/v1/groups/family", "", event.GroupsList, &eventpb.GroupsListRequest{After: "familx~", Limit: 1}, &eventpb.GroupsListReply{}, 404, "group_unknown"},
		{"PUT", "/v1/groups/family", `{"members":["ann"]}`, event.GroupsPut, &eventpb.GroupsPutRequest{Group: &eventpb.Group{Name: "family", Members: []string{"ann"}}}, &eventpb.GroupsPutReply{}, 200, `"ann"`},
		{"PUT", "/v1/groups/family", `{}`, "", nil, nil, 400, "DELETE"},
		{"DELETE", "/v1/groups/family", "", event.GroupsPut, &eventpb.GroupsPutRequest{Group: &eventpb.Group{Name: "family"}}, &eventpb.GroupsPutReply{}, 200, `[]`},
		{
			"GET", "/v1/tokens?user=ann&after=t0", "", event.TokensList, &eventpb.TokensListRequest{User: "ann", After: "t0"}, &eventpb.TokensListReply{Sessions: []*eventpb.SessionInfo{session}, Next: "t1"}, 200,
			`{"tokens":[{"id":"t1","user":"ann","name":"backup","capabilities":["files:*:*"],"created_us":2,"expires_us":9}],"next":"t1"}`,
		},
		{
			"POST", "/v1/tokens", `{"name":"backup","capabilities":["files:read:/a/*"],"life_us":5,"audience":"x","peer":"y"}`, event.TokensIssue,
			&eventpb.TokensIssueRequest{Name: "backup", Capabilities: []string{"files:read:/a/*"}, LifeUs: 5, Audience: "x", Peer: "y"},
			&eventpb.TokensIssueReply{Session: session, Token: "a.b.c"}, 201, `{"token":"a.b.c","session":{"id":"t1"`,
		},
		{"POST", "/v1/tokens", `{"capabilities":["files:read"]}`, "", nil, nil, 400, "no capability"},
		{"DELETE", "/v1/tokens/t-1", "", event.TokensRevoke, &eventpb.TokensRevokeRequest{TokenId: "t-1"}, &eventpb.TokensRevokeReply{Sessions: 1}, 200, `{"sessions":1}`},
		{"DELETE", "/v1/tokens?user=ann", "", event.TokensRevoke, &eventpb.TokensRevokeRequest{User: "ann"}, &eventpb.TokensRevokeReply{Sessions: 3}, 200, `{"sessions":3}`},
		{"DELETE", "/v1/tokens", "", "", nil, nil, 400, "name the user"},
		{"DELETE", "/v1/tokens/t_1", "", "", nil, nil, 400, "letters, digits and dashes"},
		{
			"GET", "/v1/grants?owner=ann&received=1", "", event.GrantsList, &eventpb.GrantsListRequest{Owner: "ann", Received: true}, &eventpb.GrantsListReply{Grants: []*eventpb.AccessGrant{grant}}, 200,
			`{"grants":[{"id":"g1","owner":"ann","prefix":"/a","grantee":"user:bob","verbs":["read","write"],"by":"ann","created_us":0}],"next":""}`,
		},
		{
			"POST", "/v1/grants", `{"prefix":"/a","grantee":"user:bob","verbs":["write","read","read"]}`, event.GrantsPut,
			&eventpb.GrantsPutRequest{Grant: &eventpb.AccessGrant{Prefix: "/a", Grantee: "user:bob", Verbs: []string{"read", "write"}}}, &eventpb.GrantsPutReply{Grant: grant}, 201, `"grantee":"user:bob"`,
		},
		{
			"POST", "/v1/grants", `{"prefix":"/","link":true,"uses_max":2,"expires_us":5}`, event.GrantsPut,
			&eventpb.GrantsPutRequest{Link: true, Grant: &eventpb.AccessGrant{Prefix: "/", Verbs: []string{"read"}, UsesMax: 2, ExpiresUs: 5}},
			&eventpb.GrantsPutReply{Grant: grant, Secret: "inos-link-x"}, 201, `"secret":"inos-link-x","address":"/v1/links/inos-link-x"`,
		},
		{"POST", "/v1/grants", `{"prefix":"/a","verbs":["read"]}`, "", nil, nil, 400, "grantee"},
		{"POST", "/v1/grants", `{"prefix":"/a","link":true,"grantee":"public","verbs":["read"]}`, "", nil, nil, 400, "grantee"},
		{"POST", "/v1/grants", `{"prefix":"a","grantee":"public","verbs":["read"]}`, "", nil, nil, 400, "bad_path"},
		{"POST", "/v1/grants", `{"prefix":"/a","grantee":"public","verbs":["read"],"expires_us":-1}`, "", nil, nil, 400, "1970"},
		{"DELETE", "/v1/grants/g1?owner=ann", "", event.GrantsRemove, &eventpb.GrantsRemoveRequest{Id: "g1", Owner: "ann"}, &eventpb.GrantsRemoveReply{}, 204, ""},
		{
			"GET", "/v1/ledger?limit=2&after=3", "", event.LedgerList, &eventpb.LedgerListRequest{Account: "user:operator", After: 3, Limit: 2},
			&eventpb.LedgerListReply{Entries: []*eventpb.LedgerEntry{entry}, Next: 4, Balance: 11}, 200,
			`{"entries":[{"seq":4,"event_id":"e","account":"user:ann","amount":-6,"at_us":8,"reason":"r"}],"next":4,"balance":11}`,
		},
		{
			"POST", "/v1/ledger", `{"from":"grant","to":"user:ann","amount":6,"reason":"r"}`, event.LedgerTransfer, &eventpb.LedgerTransferRequest{From: "grant", To: "user:ann", Amount: 6, Reason: "r"},
			&eventpb.LedgerTransferReply{Entries: []*eventpb.LedgerEntry{entry}}, 200, `"seq":4`,
		},
		{"POST", "/v1/ledger", `{"from":"grant","to":"user:ann","amount":0}`, "", nil, nil, 400, "above 0"},
	} {
		name := c.method + " " + c.target + " " + c.body
		d, s := serve(t, Options{})
		if c.reply != nil {
			answerWith(d, c.eventType, c.reply, nil)
		}
		a := call(t, s, c.method, c.target, c.body)
		if a.status != c.status || !strings.Contains(a.body, c.answer) {
			t.Errorf("%s: %d %s; want %d with %s", name, a.status, a.body, c.status, c.answer)
		}
		if c.asked == nil {
			if len(d.seen) != 0 {
				t.Errorf("%s: the kernel was asked", name)
			}
			continue
		}
		e := d.last(c.eventType)
		if got, want := string(e.Payload), string(event.Payload(c.asked)); got != want {
			t.Errorf("%s: the kernel was asked %q, want %q", name, got, want)
		}
		if e.Metadata.SecurityToken != "t-operator" || e.Metadata.UserId != "operator" {
			t.Errorf("%s: by %v", name, e.Metadata)
		}
		if strings.Contains(a.body, "secret") || strings.Contains(a.body, `"token"`) {
			if got := a.header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("%s: a secret with Cache-Control %q", name, got)
			}
		}
	}
}

func TestKeysNeedAnOperator(t *testing.T) {
	d, s := serve(t, Options{})
	for _, c := range []struct{ method, target string }{{"GET", "/v1/keys"}, {"POST", "/v1/keys/token"}, {"POST", "/v1/keys/operator"}} {
		if a := call(t, s, c.method, c.target, "{}"); a.status != 403 || a.problem(t).Code != "permission_denied" {
			t.Errorf("%s %s by who reads the node alone: %d %s", c.method, c.target, a.status, a.body)
		}
	}
	if len(d.refused) != 3 {
		t.Errorf("the history was told %q", d.refused)
	}
	d.capabilities = []string{"node:operate:*"}
	for _, c := range []struct{ method, target, body, want string }{
		{"GET", "/v1/keys", "", `{"keys":[{"id":"k1","created_us":7}],"revoked":[{"node":"n9","revoked_us":6}]}`},
		{"POST", "/v1/keys/token", "{}", `{"keys":[{"id":"k2","created_us":8},{"id":"k1","created_us":7,"retired_us":8}]}`},
		{"POST", "/v1/keys/token", `{"at_once":true}`, `{"keys":[{"id":"k2","created_us":8}]}`},
		{"POST", "/v1/keys/operator", "{}", `{"old_expires_us":9}`},
	} {
		if a := call(t, s, c.method, c.target, c.body); a.status != 200 || strings.TrimSpace(a.body) != c.want {
			t.Errorf("%s %s: %d %s", c.method, c.target, a.status, a.body)
		}
	}
	if a := call(t, s, "POST", "/v1/keys/root", "{}"); a.status != 404 || a.problem(t).Code != inos.CodeRouteNotFound.Name() {
		t.Errorf("a kind that there is not: %d %s", a.status, a.body)
	}
}
