package kernel

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// identity does the commands about users, tokens, grants and the ledger:
//
//	access slow|fast                         semantic:read_access waits like other effects, or is done at once
//	known user=N [operator] [quota=BYTES] [files=N] [rate=N] [credits=N]   a user that is there already
//	grant id=N owner=O prefix=P to=G verbs=a,b [ttl=D] [uses=N] [by=N]     a grant that is there already
//	revoked grant=N                          it goes, and this kernel is not told
//	login user=N key=K [enrolment=H] [caps=a,b] [audience=A]               of the host; H is the handle of a secret
//	refresh secret=H
//	users:put of=N …, tokens:issue …, grants:put … and so on               what clients ask; of: about whom
//	ledger                                   the balances
func (s *script) identity(verb string, args map[string]string, has func(string) bool, request func(string, event.Message)) bool {
	w := s.w
	number := func(name string) uint64 {
		if args[name] == "" {
			return 0
		}
		n, err := strconv.ParseUint(args[name], 10, 63)
		if err != nil {
			panic(err)
		}
		return n
	}
	words := func(name string) []string {
		return strings.FieldsFunc(args[name], func(r rune) bool { return r == ',' })
	}
	until := func(name string) int64 {
		if args[name] == "" {
			return 0
		}
		d, err := time.ParseDuration(args[name])
		if err != nil {
			panic(err)
		}
		return int64(w.now) + d.Microseconds()
	}
	life := func() int64 {
		if until("life") == 0 {
			return 0
		}
		return until("life") - int64(w.now)
	}
	user := func() *eventpb.User {
		return &eventpb.User{
			Name: args["user"] + args["of"], Operator: has("operator"), Disabled: has("disabled"),
			Quota: &eventpb.Quota{PlainBytes: number("quota"), Files: number("files"), RequestsPerSecond: uint32(number("rate"))},
		}
	}
	grant := func() *eventpb.AccessGrant {
		return &eventpb.AccessGrant{
			Owner: args["owner"], Prefix: args["prefix"], Grantee: args["to"], Verbs: words("verbs"), ExpiresUs: until("ttl"), UsesMax: uint32(number("uses")), By: args["by"],
		}
	}
	switch verb {
	case "access":
		w.slowAccess = has("slow")
	case "known":
		w.users[args["user"]] = user()
		if n := int64(number("credits")); n > 0 {
			w.balances["user:"+args["user"]] += n
			w.balances["grant"] -= n
		}
	case "grant":
		g := grant()
		g.Id = args["id"]
		w.grants[g.Id] = g
	case "revoked":
		delete(w.grants, args["grant"])
	case "login":
		q := &eventpb.LoginRequest{User: args["user"], PublicKey: hashOf("key", args["key"]), Device: "dev-" + args["key"], DeviceName: args["key"], Capabilities: words("caps"), Audience: args["audience"]}
		if has("enrolment") {
			q.Enrolment = hashOf("secret", args["enrolment"])
		}
		s.give(w.host(event.IdentityLogin, q))
	case "refresh":
		s.give(w.host(event.IdentityRefresh, &eventpb.RefreshRequest{Refresh: hashOf("secret", args["secret"])}))
	case "users:put":
		request(event.UsersPut, &eventpb.UsersPutRequest{User: user(), Create: has("create"), Credits: int64(number("credits"))})
	case "users:list":
		request(event.UsersList, &eventpb.UsersListRequest{})
	case "users:show":
		request(event.UsersShow, &eventpb.UsersShowRequest{User: args["of"]})
	case "users:enrol":
		request(event.UsersEnrol, &eventpb.UsersEnrolRequest{User: args["of"], LifeUs: life()})
	case "devices:list":
		request(event.DevicesList, &eventpb.DevicesListRequest{User: args["of"]})
	case "devices:revoke":
		request(event.DevicesRevoke, &eventpb.DevicesRevokeRequest{User: args["of"], Device: args["device"]})
	case "groups:put":
		request(event.GroupsPut, &eventpb.GroupsPutRequest{Group: &eventpb.Group{Name: args["group"], Members: words("members")}})
	case "groups:list":
		request(event.GroupsList, &eventpb.GroupsListRequest{})
	case "tokens:issue":
		request(event.TokensIssue, &eventpb.TokensIssueRequest{Name: args["name"], Capabilities: words("caps"), LifeUs: life(), Audience: args["audience"], Peer: args["peer"]})
	case "tokens:list":
		request(event.TokensList, &eventpb.TokensListRequest{User: args["of"]})
	case "tokens:revoke":
		request(event.TokensRevoke, &eventpb.TokensRevokeRequest{User: args["of"], TokenId: s.tokenID(args["session"])})
	case "grants:put":
		g := grant()
		g.By = ""
		request(event.GrantsPut, &eventpb.GrantsPutRequest{Grant: g, Link: has("link")})
	case "grants:list":
		request(event.GrantsList, &eventpb.GrantsListRequest{Owner: args["owner"], Received: has("received")})
	case "grants:remove":
		request(event.GrantsRemove, &eventpb.GrantsRemoveRequest{Owner: args["owner"], Id: args["grant"]})
	case "ledger:transfer":
		request(event.LedgerTransfer, &eventpb.LedgerTransferRequest{From: args["from"], To: args["to"], Amount: int64(number("amount")), Reason: args["reason"]})
	case "ledger:list":
		request(event.LedgerList, &eventpb.LedgerListRequest{Account: args["account"]})
	case "ledger":
		sum := int64(0)
		for _, a := range sortedKeys(w.balances) {
			sum += w.balances[a]
			s.lines = append(s.lines, fmt.Sprintf("  %s %d", a, w.balances[a]))
		}
		if sum != 0 {
			w.problem("the accounts sum to %d", sum)
		}
	default:
		return false
	}
	return true
}

// tokenID returns the id of the session that a user has last opened, or nothing.
func (s *script) tokenID(user string) (id string) {
	for _, t := range sortedKeys(s.w.sessions) {
		if s.w.sessions[t].Session.Subject == user {
			id = t
		}
	}
	return id
}

// fileID returns the id of the file at owner:path, of one that nobody has for "?", or nothing.
func (s *script) fileID(at string) []byte {
	owner, path, ok := strings.Cut(at, ":")
	switch {
	case at == "?":
		return hashOf("nobody's file")
	case !ok:
		return nil
	case s.w.files[owner+path] == nil:
		panic("no file " + at)
	}
	return s.w.files[owner+path].FileId
}

// describeIdentity writes what an effect of identity asks.
func describeIdentity(e *eventpb.Envelope) string {
	open := func(m event.Message) bool { return event.Open(e, m) == nil }
	var (
		access  eventpb.ReadAccessRequest
		lookup  eventpb.LookupFileRequest
		list    eventpb.ListFilesRequest
		user    eventpb.PutUserRequest
		session eventpb.OpenSessionRequest
		sign    eventpb.TokenSignRequest
		secret  eventpb.SecretMakeRequest
		grant   eventpb.PutGrantRequest
		use     eventpb.UseGrantRequest
		revoke  eventpb.RevokeSessionsRequest
		forget  eventpb.Forget
		set     eventpb.SetReplicasRequest
	)
	switch {
	case e.EventType == event.ReadAccess && open(&access):
		return fmt.Sprintf(" owner=%s subject=%s", access.Owner, access.Subject)
	case e.EventType == event.LookupFile && open(&lookup) && lookup.Owner != "ann":
		return fmt.Sprintf(" owner=%s %s", lookup.Owner, lookup.Path)
	case e.EventType == event.ListFiles && open(&list) && list.Owner != "ann":
		return fmt.Sprintf(" owner=%s prefix=%s after=%s limit=%d", list.Owner, list.Prefix, list.After, list.Limit)
	case e.EventType == event.PutUser && open(&user):
		return fmt.Sprintf(" %s operator=%t disabled=%t create=%t credits=%d", user.User.Name, user.User.Operator, user.User.Disabled, user.Create, user.Credits)
	case e.EventType == event.OpenSession && open(&session):
		x := session.Session.Session
		return fmt.Sprintf(" of=%s device=%s caps=%v for=%s enrolment=%t refresh=%t", x.Subject, x.Device, x.Capabilities, lasting(e, x.ExpiresUs), len(session.Enrolment) > 0, len(session.Refresh) > 0)
	case e.EventType == event.TokenSign && open(&sign):
		return fmt.Sprintf(" of=%s caps=%v for=%s audience=%s peer=%s", sign.Session.Subject, sign.Session.Capabilities, lasting(e, sign.Session.ExpiresUs), sign.Session.Audience, sign.Session.Peer)
	case e.EventType == event.SecretMake && open(&secret):
		return " " + secret.Kind
	case e.EventType == event.PutGrant && open(&grant):
		return " " + describeGrant(grant.Grant) + fmt.Sprintf(" by=%s link=%t", grant.Grant.By, len(grant.Link) > 0)
	case e.EventType == event.UseGrant && open(&use):
		return fmt.Sprintf(" owner=%s grant=%s", use.Owner, use.Id)
	case e.EventType == event.RevokeSessions && open(&revoke):
		return fmt.Sprintf(" of=%s all=%t", revoke.User, revoke.TokenId == "")
	case e.EventType == event.IdentityForget && open(&forget):
		return fmt.Sprintf(" sessions=%d", len(forget.TokenIds))
	case e.EventType == event.SetReplicas && open(&set) && set.Pledge > 0:
		return fmt.Sprintf(" pledge=%d of version %d", set.Pledge, set.Version)
	}
	return ""
}

// lasting writes for how long something is good that an effect is about.
func lasting(e *eventpb.Envelope, until int64) string {
	return (time.Duration(until-e.Timestamp) * time.Microsecond).String()
}

func describeIdentityReply(e *eventpb.Envelope, state event.State) string {
	open := func(m event.Message) bool { return event.Open(e, m) == nil }
	var (
		login   eventpb.LoginReply
		user    eventpb.UsersPutReply
		users   eventpb.UsersListReply
		show    eventpb.UsersShowReply
		enrol   eventpb.UsersEnrolReply
		devices eventpb.DevicesListReply
		groups  eventpb.GroupsListReply
		device  eventpb.DevicesRevokeReply
		ended   eventpb.TokensRevokeReply
		issued  eventpb.TokensIssueReply
		tokens  eventpb.TokensListReply
		grant   eventpb.GrantsPutReply
		grants  eventpb.GrantsListReply
		ledger  eventpb.LedgerListReply
	)
	if state != event.StateCompleted {
		return ""
	}
	switch typ := event.WithState(e.EventType, event.StateRequested); {
	case (typ == event.IdentityLogin || typ == event.IdentityRefresh) && open(&login):
		return fmt.Sprintf(" %s on %s caps=%v token=%s refresh=%s", login.Session.Subject, login.Session.Device, login.Session.Capabilities, login.Token, login.Refresh)
	case typ == event.UsersPut && open(&user):
		return fmt.Sprintf(" %s operator=%t disabled=%t balance=%d", user.User.Name, user.User.Operator, user.User.Disabled, user.User.Balance)
	case typ == event.UsersList && open(&users):
		line := ""
		for _, u := range users.Users {
			line += " " + u.Name
		}
		return line
	case typ == event.UsersShow && open(&show):
		return fmt.Sprintf(" %s groups=%v requests=%d/%d", show.User.Name, show.Groups, show.RequestsLeft, show.RequestsMax)
	case typ == event.UsersEnrol && open(&enrol):
		return " " + enrol.Secret
	case typ == event.DevicesList && open(&devices):
		line := ""
		for _, d := range devices.Devices {
			line += fmt.Sprintf(" %s of %s revoked=%t", d.Id, d.User, d.Revoked)
		}
		return line
	case typ == event.GroupsList && open(&groups):
		line := ""
		for _, g := range groups.Groups {
			line += fmt.Sprintf(" %s%v", g.Name, g.Members)
		}
		return line
	case typ == event.DevicesRevoke && open(&device):
		return fmt.Sprintf(" sessions=%d tokens=%d", device.Sessions, device.Tokens)
	case typ == event.TokensRevoke && open(&ended):
		return fmt.Sprintf(" sessions=%d", ended.Sessions)
	case typ == event.TokensIssue && open(&issued):
		return fmt.Sprintf(" %s caps=%v token=%s", issued.Session.Name, issued.Session.Session.Capabilities, issued.Token)
	case typ == event.TokensList && open(&tokens):
		return fmt.Sprintf(" %d", len(tokens.Sessions))
	case typ == event.GrantsPut && open(&grant):
		return " " + describeGrant(grant.Grant) + " secret=" + grant.Secret
	case typ == event.GrantsList && open(&grants):
		line := ""
		for _, g := range grants.Grants {
			line += "\n  " + describeGrant(g)
		}
		return line
	case typ == event.LedgerList && open(&ledger):
		line := fmt.Sprintf(" balance=%d", ledger.Balance)
		for _, x := range ledger.Entries {
			line += fmt.Sprintf("\n  %d %s", x.Amount, x.Reason)
		}
		return line
	}
	return ""
}
