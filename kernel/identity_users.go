package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// users begins what is asked about users.
func (u *identities) users(p *errand) *inos.Error {
	switch p.eventType {
	case event.UsersList:
		q := read[eventpb.UsersListRequest](p.payload)
		if q.Limit > listMax || !label(q.After) {
			return p.bad("a page of %d users, at most %d", q.Limit, listMax)
		}
		return u.ask(p, opIDVerb, event.ListUsers, &eventpb.ListUsersRequest{After: q.After, Limit: q.Limit})
	case event.UsersShow:
		q := read[eventpb.UsersShowRequest](p.payload)
		if q.User == "" {
			q.User = string(p.subject)
		}
		if !userName(q.User) {
			return p.bad("%.80q is no user's name", q.User)
		}
		return u.ask(p, opIDVerb, event.FindUser, &eventpb.FindUserRequest{Name: q.User})
	case event.UsersEnrol:
		q := read[eventpb.UsersEnrolRequest](p.payload)
		if q.LifeUs < 0 || inos.Micros(q.LifeUs) > enrolmentLifeMax {
			return p.bad("an enrolment is good for at most %s", seconds(enrolmentLifeMax))
		}
		if q.User == "" {
			q.User = string(p.subject)
		}
		if !userName(q.User) {
			return p.bad("%.80q is no user's name", q.User)
		}
		return u.user(p, q.User)
	}
	q := read[eventpb.UsersPutRequest](p.payload)
	switch {
	case q.User == nil || !userName(q.User.Name):
		return p.bad("a user's name is a small letter and then letters, digits, '.', '_' and '-', at most %d of them", inos.NameBytesMax)
	case q.Credits < 0:
		return p.bad("%d credits; what is taken back goes through the ledger", q.Credits)
	case q.Credits > 0 && !p.has("ledger", "write", "grant"):
		return p.forbidden("it needs the capability ledger:write:grant to give credits")
	case q.User.Operator && !p.has("*", "*", "*"):
		return p.forbidden("it needs the capability *:*:* to make an operator")
	}
	u.table[p.work] = p
	u.putting = append(u.putting, p.work)
	if len(u.putting) == 1 {
		u.nextPut()
	}
	return nil
}

// nextPut begins the users:put whose turn it is: with the user as it is now.
func (u *identities) nextPut() {
	if len(u.putting) > 0 {
		p := u.table[u.putting[0]]
		u.user(p, read[eventpb.UsersPutRequest](p.payload).User.Name)
	}
}

// sawUser goes on with a users:put when the user's row is known. Who takes an enabled operator away must leave another.
func (u *identities) sawUser(p *errand, was *eventpb.User) *inos.Error {
	q := read[eventpb.UsersPutRequest](p.payload)
	switch {
	case was == nil && !q.Create:
		return inos.Errorf(inos.CodeUserUnknown, p.op(), "there is no user %s", q.User.Name)
	case was == nil || !was.Operator:
		p.lost = was != nil && q.User.Disabled
		return u.putUser(p)
	case !p.has("*", "*", "*"):
		return p.forbidden("it needs the capability *:*:* to change an operator")
	}
	p.lost = !q.User.Operator || q.User.Disabled
	if was.Disabled || !p.lost || q.Create {
		return u.putUser(p)
	}
	return u.ask(p, opIDOthers, event.ListUsers, &eventpb.ListUsersRequest{Limit: listMax})
}

// sawUsers looks for another enabled operator.
func (u *identities) sawUsers(p *errand, a *answer) *inos.Error {
	var r eventpb.ListUsersReply
	if event.Open(a.env, &r) != nil {
		return undecoded("semantic:list_users")
	}
	self := read[eventpb.UsersPutRequest](p.payload).User.Name
	for _, x := range r.Users {
		if x.Operator && !x.Disabled && x.Name != self {
			return u.putUser(p)
		}
	}
	if r.More && len(r.Users) > 0 {
		return u.ask(p, opIDOthers, event.ListUsers, &eventpb.ListUsersRequest{After: r.Users[len(r.Users)-1].Name, Limit: listMax})
	}
	return inos.Errorf(inos.CodeConflict, p.op(), "%s is the last operator who can log in: make another first", self)
}

func (u *identities) putUser(p *errand) *inos.Error {
	q := read[eventpb.UsersPutRequest](p.payload)
	user := &eventpb.User{Name: q.User.Name, Operator: q.User.Operator, Disabled: q.User.Disabled, Quota: q.User.Quota, CreatedUs: int64(u.k.now)}
	return u.ask(p, opIDVerb, event.PutUser, &eventpb.PutUserRequest{User: user, Create: q.Create, Credits: q.Credits, Key: p.requestKey(), NowUs: int64(u.k.now)})
}

// usersDone answers with what came back.
func (u *identities) usersDone(p *errand, a *answer) *inos.Error {
	switch p.eventType {
	case event.UsersList:
		var r eventpb.ListUsersReply
		if event.Open(a.env, &r) != nil {
			return undecoded("semantic:list_users")
		}
		reply := &eventpb.UsersListReply{Users: r.Users}
		if r.More && len(r.Users) > 0 {
			reply.Next = r.Users[len(r.Users)-1].Name
		}
		return u.complete(p, reply, plural(uint64(len(r.Users)), "user", "users"))
	case event.UsersShow:
		var r eventpb.FindUserReply
		if event.Open(a.env, &r) != nil || r.User == nil {
			return undecoded("semantic:find_user")
		}
		reply := &eventpb.UsersShowReply{User: r.User, Groups: r.Groups}
		if q := r.User.Quota; q != nil {
			reply.RequestsLeft, reply.RequestsMax = u.k.governance.rates.left(inos.Subject(r.User.Name), q.RequestsPerSecond)
		}
		return u.complete(p, reply, plural(uint64(len(r.Groups)), "group", "groups"))
	case event.UsersEnrol:
		if u.k.governance.sessions[p.token] == nil { // nobody learns the secret
			return inos.Errorf(inos.CodeUnauthenticated, p.op(), "the token that asks was revoked meanwhile")
		}
		return u.complete(p, &eventpb.UsersEnrolReply{Secret: p.handle, ExpiresUs: int64(p.expires)}, "one device, within "+seconds(p.expires-u.k.now))
	}
	if a.op == opIDRevoke {
		var r eventpb.RevokeSessionsReply
		if event.Open(a.env, &r) != nil {
			return undecoded("semantic:revoke_sessions")
		}
		p.tokens = append(p.tokens, r.TokenIds...)
	} else {
		var r eventpb.PutUserReply
		if event.Open(a.env, &r) != nil || r.User == nil {
			return undecoded("semantic:put_user")
		}
		p.reply = &eventpb.UsersPutReply{User: r.User}
		p.tokens = r.TokenIds
		if p.lost {
			return u.ask(p, opIDRevoke, event.RevokeSessions, &eventpb.RevokeSessionsRequest{User: r.User.Name})
		}
	}
	if p.lost {
		for _, token := range u.k.governance.sessionsOf(inos.Subject(p.reply.User.Name)) {
			if !slices.Contains(p.tokens, token) {
				p.tokens = append(p.tokens, token)
			}
		}
	}
	u.forget(p.tokens)
	return u.complete(p, p.reply, describeUser(p.reply.User, len(p.tokens)))
}

// describeUser says in the history what became of a user.
func describeUser(user *eventpb.User, ended int) string {
	s := "user"
	if user.Operator {
		s = "operator"
	}
	if user.Disabled {
		s += ", disabled"
	}
	if q := user.Quota; q != nil && (q.PlainBytes != 0 || q.Files != 0 || q.RequestsPerSecond != 0) {
		s += ", quota " + plural(q.PlainBytes, "byte", "bytes") + ", " + plural(q.Files, "file", "files") + ", " + plural(uint64(q.RequestsPerSecond), "request", "requests") + " a second"
	}
	if ended > 0 {
		s += ", " + plural(uint64(ended), "session", "sessions") + " ended"
	}
	return s
}

// mayEnrol lets a device be enrolled only by who may do all that it could: it will log in with all that the user has.
func (u *identities) mayEnrol(p *errand, user *eventpb.User) *inos.Error {
	if user == nil || user.Disabled {
		return inos.Errorf(inos.CodeUserUnknown, p.op(), "there is no such user who can log in")
	}
	if !attenuates(p.capabilities, userCapabilities(user)) {
		return p.forbidden("it needs all of the capabilities of %s, who could log in with the device", user.Name)
	}
	p.after = user.Name
	return u.secret(p, "enrolment")
}

func (u *identities) enrol(p *errand) *inos.Error {
	life := inos.Micros(read[eventpb.UsersEnrolRequest](p.payload).LifeUs)
	if life == 0 {
		life = enrolmentLife
	}
	p.expires = u.k.now + life
	return u.ask(p, opIDVerb, event.PutEnrolment, &eventpb.PutEnrolmentRequest{Hash: p.hash, User: p.after, ExpiresUs: int64(p.expires), NowUs: int64(u.k.now)})
}

// devices begins what is asked about devices and groups.
func (u *identities) devices(p *errand) *inos.Error {
	user := func(s string) string {
		if s == "" {
			return string(p.subject)
		}
		return s
	}
	switch p.eventType {
	case event.DevicesList:
		q := read[eventpb.DevicesListRequest](p.payload)
		if !label(q.User) {
			return p.bad("%.80q is no user's name", q.User)
		}
		return u.ask(p, opIDVerb, event.ListDevices, &eventpb.ListDevicesRequest{User: user(q.User)})
	case event.DevicesRevoke:
		q := read[eventpb.DevicesRevokeRequest](p.payload)
		if !label(q.User) || !name(q.Device) {
			return p.bad("%.80q is no device", q.Device)
		}
		return u.ask(p, opIDVerb, event.RevokeDevice, &eventpb.RevokeDeviceRequest{User: user(q.User), Device: q.Device})
	case event.GroupsList:
		q := read[eventpb.GroupsListRequest](p.payload)
		if q.Limit > listMax || !label(q.After) {
			return p.bad("a page of %d groups, at most %d", q.Limit, listMax)
		}
		return u.ask(p, opIDVerb, event.ListGroups, &eventpb.ListGroupsRequest{After: q.After, Limit: q.Limit})
	}
	q := read[eventpb.GroupsPutRequest](p.payload)
	if q.Group == nil || !userName(q.Group.Name) {
		return p.bad("a group's name is a small letter and then letters, digits, '.', '_' and '-', at most %d of them", inos.NameBytesMax)
	}
	members := slices.Clone(q.Group.Members)
	slices.Sort(members)
	members = slices.Compact(members)
	if i := slices.IndexFunc(members, func(s string) bool { return !userName(s) }); i >= 0 || len(members) > inos.GroupMembersMax {
		return p.bad("a group has at most %d members, and each is a user", inos.GroupMembersMax)
	}
	return u.ask(p, opIDVerb, event.PutGroup, &eventpb.PutGroupRequest{Group: &eventpb.Group{Name: q.Group.Name, Members: members}})
}

func (u *identities) devicesDone(p *errand, a *answer) *inos.Error {
	switch p.eventType {
	case event.DevicesList:
		var r eventpb.ListDevicesReply
		if event.Open(a.env, &r) != nil {
			return undecoded("semantic:list_devices")
		}
		return u.complete(p, &eventpb.DevicesListReply{Devices: r.Devices}, plural(uint64(len(r.Devices)), "device", "devices"))
	case event.DevicesRevoke:
		var r eventpb.RevokeDeviceReply
		if event.Open(a.env, &r) != nil {
			return undecoded("semantic:revoke_device")
		}
		u.forget(r.TokenIds)
		tokens := min(r.Issued, uint32(len(r.TokenIds)))
		sessions := uint32(len(r.TokenIds)) - tokens
		return u.complete(p, &eventpb.DevicesRevokeReply{Sessions: sessions, Tokens: tokens}, "device "+read[eventpb.DevicesRevokeRequest](p.payload).Device+", "+
			plural(uint64(sessions), "session", "sessions")+" and "+plural(uint64(tokens), "token", "tokens")+" that it had issued ended")
	case event.GroupsList:
		var r eventpb.ListGroupsReply
		if event.Open(a.env, &r) != nil {
			return undecoded("semantic:list_groups")
		}
		reply := &eventpb.GroupsListReply{Groups: r.Groups}
		if r.More && len(r.Groups) > 0 {
			reply.Next = r.Groups[len(r.Groups)-1].Name
		}
		return u.complete(p, reply, plural(uint64(len(r.Groups)), "group", "groups"))
	}
	n := uint64(len(read[eventpb.GroupsPutRequest](p.payload).Group.Members))
	return u.complete(p, &eventpb.GroupsPutReply{}, plural(n, "member", "members"))
}

// requestKey names the request for what is done once only.
func (p *errand) requestKey() *eventpb.RequestKey {
	return &eventpb.RequestKey{Subject: string(p.subject), Id: p.id, EventType: p.eventType}
}
