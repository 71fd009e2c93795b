package api

import "github.com/inos-mesh/inos"

// describedIdentity is the part of described about who people are and what they may.
var describedIdentity = map[route]description{
	routeChallenge: {[]string{"/v1/login/challenge"}, map[string]operation{"POST": {
		summary: "makes what a device signs", request: ChallengeQuestion{}, answers: ok(Challenge{}), codes: [][]inos.Code{whereQuestion, whereLogin},
	}}},
	routeLogin: {[]string{"/v1/login"}, map[string]operation{"POST": {
		summary: "lets a device in", request: LoginQuestion{}, answers: ok(LoginReply{}), codes: [][]inos.Code{whereQuestion, whereLogin},
	}}},
	routeRefresh: {[]string{"/v1/login/refresh"}, map[string]operation{"POST": {
		summary: "another access token and another refresh secret", request: RefreshQuestion{}, answers: ok(LoginReply{}), codes: [][]inos.Code{whereQuestion, whereLogin},
	}}},
	routeUsers: {[]string{"/v1/users"}, map[string]operation{"GET": {summary: "a page of users", answers: ok(UsersReply{}), parameters: []parameter{inAfter, inLimit}}}},
	routeUser: {[]string{"/v1/users/{name}"}, map[string]operation{
		"GET": {summary: "one user; users see themselves", answers: ok(UserReply{}), codes: [][]inos.Code{{inos.CodeUserUnknown}}},
		"PUT": {
			summary: "makes or changes a user", request: UserQuestion{}, answers: ok(User{}), parameters: []parameter{inRequestID},
			codes: [][]inos.Code{whereQuestion, whereRepeated, {inos.CodeCreditsShort}},
		},
	}},
	routeWhoami: {[]string{"/v1/whoami"}, map[string]operation{"GET": {
		summary: "who asks: the session, and its user with quota and use", answers: ok(WhoamiReply{}), codes: [][]inos.Code{{inos.CodeUserUnknown}},
	}}},
	routeEnrolments: {[]string{"/v1/users/{name}/enrolments"}, map[string]operation{"POST": {
		summary: "a secret with which one new device logs in", request: EnrolmentQuestion{}, answers: created(Enrolment{}), codes: [][]inos.Code{whereQuestion, {inos.CodeUserUnknown}},
	}}},
	routeDevices: {[]string{"/v1/devices"}, map[string]operation{"GET": {
		summary: "a user's devices", answers: ok(DevicesReply{}), parameters: []parameter{inUser}, codes: [][]inos.Code{{inos.CodeUserUnknown}},
	}}},
	routeDevice: {[]string{"/v1/devices/{id}"}, map[string]operation{"DELETE": {
		summary: "ends a device, its sessions and the tokens that it issued", answers: ok(DeviceEndedReply{}), parameters: []parameter{inUser}, codes: [][]inos.Code{{inos.CodeUserUnknown, inos.CodeDeviceUnknown}},
	}}},
	routeGroups: {[]string{"/v1/groups"}, map[string]operation{"GET": {summary: "a page of groups", answers: ok(GroupsReply{}), parameters: []parameter{inAfter, inLimit}}}},
	routeGroup: {[]string{"/v1/groups/{name}"}, map[string]operation{
		"GET":    {summary: "one group", answers: ok(Group{}), codes: [][]inos.Code{{inos.CodeGroupUnknown}}},
		"PUT":    {summary: "makes or changes a group", request: GroupQuestion{}, answers: ok(Group{}), codes: [][]inos.Code{whereQuestion, {inos.CodeUserUnknown}}},
		"DELETE": {summary: "removes a group, and grants to it", answers: ok(Group{})},
	}},
	routeTokens: {[]string{"/v1/tokens"}, map[string]operation{
		"GET": {summary: "a page of sessions", answers: ok(TokensReply{}), parameters: []parameter{inUser, inAfter, inLimit}, codes: [][]inos.Code{{inos.CodeUserUnknown}}},
		"POST": {
			summary: "a program's token, with no more than the sender may", request: TokenQuestion{}, answers: created(TokenReply{}), codes: [][]inos.Code{whereQuestion, {inos.CodeUserUnknown}},
		},
		"DELETE": {summary: "ends all sessions of a user", answers: ok(EndedReply{}), parameters: []parameter{inUser.needed()}, codes: [][]inos.Code{{inos.CodeUserUnknown}}},
	}},
	routeToken: {[]string{"/v1/tokens/{id}"}, map[string]operation{"DELETE": {
		summary: "ends one session", answers: ok(EndedReply{}), parameters: []parameter{inUser}, codes: [][]inos.Code{{inos.CodeUserUnknown}},
	}}},
	routeGrants: {[]string{"/v1/grants"}, map[string]operation{
		"GET": {
			summary: "a page of grants", answers: ok(GrantsReply{}), codes: [][]inos.Code{{inos.CodeUserUnknown}},
			parameters: []parameter{inOwner, inQuery("received", "those that let one in elsewhere", aFlag), inAfter, inLimit},
		},
		"POST": {
			summary: "lets somebody in, or whoever has a link", request: GrantQuestion{}, answers: created(GrantReply{}), parameters: []parameter{inRequestID},
			codes: [][]inos.Code{whereQuestion, whereRepeated, {inos.CodeBadPath, inos.CodeUserUnknown, inos.CodeGroupUnknown}},
		},
	}},
	routeGrant: {[]string{"/v1/grants/{id}"}, map[string]operation{"DELETE": {
		summary: "takes a grant back", answers: []reply{{204, nil, nil}}, parameters: []parameter{inOwner}, codes: [][]inos.Code{{inos.CodeGrantUnknown, inos.CodeUserUnknown}},
	}}},
	routeLedger: {[]string{"/v1/ledger"}, map[string]operation{
		"GET": {
			summary: "an account's entries, oldest first", answers: ok(LedgerReply{}), codes: [][]inos.Code{{inos.CodeUserUnknown}},
			parameters: []parameter{inAccount, inQuery("after", "a sequence number", aNumber), inLimit},
		},
		"POST": {
			summary: "moves micro-credits", request: TransferQuestion{}, answers: ok(LedgerReply{}), parameters: []parameter{inRequestID},
			codes: [][]inos.Code{whereQuestion, whereRepeated, {inos.CodeCreditsShort, inos.CodeUserUnknown}},
		},
	}},
	routeKeys: {[]string{"/v1/keys"}, map[string]operation{"GET": {summary: "the keys of access tokens, and the switchboards that are revoked", answers: ok(KeysReply{})}}},
	routeKey: {[]string{"/v1/keys/{kind}"}, map[string]operation{"POST": {
		summary: "exchanges a key", request: RotateQuestion{}, answers: ok(RotateReply{}), codes: [][]inos.Code{whereQuestion, {inos.CodeRouteNotFound}},
	}}},
	routeCodes: {[]string{"/v1/dashboard/codes"}, map[string]operation{"POST": {summary: "a code for a dashboard with the sender's rights", answers: created(DashboardCode{}), codes: [][]inos.Code{{inos.CodeUserUnknown}}}}},
	routeDashboard: {[]string{"/v1/dashboard/session"}, map[string]operation{
		"POST": {
			summary: "trades a code for a cookie", request: DashboardQuestion{}, answers: ok(DashboardSession{}, "Set-Cookie"), codes: [][]inos.Code{whereQuestion, whereLogin, {inos.CodeOriginRefused}},
		},
		"DELETE": {summary: "ends the session and its token", answers: ok(EndedReply{}, "Set-Cookie"), guarded: true},
	}},
}
