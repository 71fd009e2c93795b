package api

import (
	"net/http"
	"net/url"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// page reads after= and limit=, and the parameters named beside them.
func (x *exchange) page(known ...string) (values url.Values, after string, limit uint32, err error) {
	values, err = x.query(append(known, "after", "limit")...)
	if err != nil {
		return nil, "", 0, err
	}
	n, err := number(values, "limit", 0, listLimitMax)
	if err == nil && len(values.Get("after")) > pageKeyMax {
		err = inos.Errorf(inos.CodeBadRequest, "parse query", "after has at most %d bytes", pageKeyMax)
	}
	return values, values.Get("after"), uint32(n), err
}

// users answers with a page of users: GET /v1/users?after=&limit=.
func (x *exchange) users(target) error {
	_, after, limit, err := x.page()
	if err != nil {
		return err
	}
	var reply eventpb.UsersListReply
	if err := x.ask(event.UsersList, &eventpb.UsersListRequest{After: after, Limit: limit}, &reply); err != nil {
		return err
	}
	out := UsersReply{Users: make([]User, len(reply.Users)), Next: reply.Next}
	for i, u := range reply.Users {
		out.Users[i] = userOf(u)
	}
	x.writeJSON(http.StatusOK, out)
	return nil
}

// user answers with one: GET /v1/users/{name}.
func (x *exchange) user(t target) error {
	reply, err := x.showUser(t.name)
	if err != nil {
		return err
	}
	x.writeJSON(http.StatusOK, reply)
	return nil
}

// whoami answers with who asks: its session, and its user with quota and use: GET /v1/whoami.
func (x *exchange) whoami(target) error {
	reply, err := x.showUser("")
	if err != nil {
		return err
	}
	s := &x.session
	x.writeJSON(http.StatusOK, WhoamiReply{User: reply, Session: Session{
		ID: s.TokenID, User: string(s.Subject), Device: s.Device, Capabilities: append([]string{}, s.Capabilities...), Audience: s.Audience, Peer: string(s.Peer),
		ExpiresUs: int64(s.ExpiresAt), IssuedBy: s.IssuedBy,
	}})
	return nil
}

// showUser asks for one user; of an empty name for who asks.
func (x *exchange) showUser(name string) (UserReply, error) {
	var reply eventpb.UsersShowReply
	if err := x.ask(event.UsersShow, &eventpb.UsersShowRequest{User: name}, &reply); err != nil {
		return UserReply{}, err
	}
	return UserReply{User: userOf(reply.User), Groups: append([]string{}, reply.Groups...), RequestsLeft: reply.RequestsLeft, RequestsMax: reply.RequestsMax}, nil
}

// justBefore returns a key behind which no other name stands before this one: no byte of a name is as great as ~.
func justBefore(name string) string {
	last := len(name) - 1
	return name[:last] + string(rune(name[last]-1)) + "~"
}

// putUser makes a user or changes one: PUT /v1/users/{name}. What is left away is off, or no bound. The same Inos-Request-Id within 24
// hours has one effect.
func (x *exchange) putUser(t target) error {
	id, err := x.requestID()
	if err != nil {
		return err
	}
	var q UserQuestion
	if err := x.readJSON(&q); err != nil {
		return err
	}
	if q.Credits < 0 {
		return inos.Errorf(inos.CodeBadRequest, "users:put", "credits of %d micro-credits cannot be given; POST /v1/ledger takes some back", q.Credits)
	}
	request := &eventpb.UsersPutRequest{
		User: &eventpb.User{Name: t.name, Operator: q.Operator, Disabled: q.Disabled, Quota: &eventpb.Quota{
			PlainBytes: q.Quota.PlainBytes, Files: q.Quota.Files, RequestsPerSecond: q.Quota.RequestsPerSecond,
		}},
		Create: q.Create, Credits: q.Credits,
	}
	var reply eventpb.UsersPutReply
	if err := x.send(x.r.Context(), x.envelope(id, event.UsersPut, request), &reply, nil); err != nil {
		return err
	}
	x.writeJSON(http.StatusOK, userOf(reply.User))
	return nil
}

// enrol makes a secret with which a new device of a user logs in: POST /v1/users/{name}/enrolments {life_us}. It is shown once.
func (x *exchange) enrol(t target) error {
	var q EnrolmentQuestion
	if err := x.readJSON(&q); err != nil {
		return err
	}
	var reply eventpb.UsersEnrolReply
	if err := x.ask(event.UsersEnrol, &eventpb.UsersEnrolRequest{User: t.name, LifeUs: q.LifeUs}, &reply); err != nil {
		return err
	}
	x.secret(http.StatusCreated, Enrolment{Secret: reply.Secret, ExpiresUs: reply.ExpiresUs})
	return nil
}

// devices answers with a user's devices: GET /v1/devices?user=; without a user one's own.
func (x *exchange) devices(target) error {
	values, err := x.query("user")
	if err != nil {
		return err
	}
	var reply eventpb.DevicesListReply
	if err := x.ask(event.DevicesList, &eventpb.DevicesListRequest{User: values.Get("user")}, &reply); err != nil {
		return err
	}
	out := DevicesReply{Devices: make([]Device, len(reply.Devices))}
	for i, d := range reply.Devices {
		out.Devices[i] = deviceOf(d)
	}
	x.writeJSON(http.StatusOK, out)
	return nil
}

// revokeDevice ends a device, its sessions and what it issued at once: DELETE /v1/devices/{id}?user=.
func (x *exchange) revokeDevice(t target) error {
	values, err := x.query("user")
	if err != nil {
		return err
	}
	var reply eventpb.DevicesRevokeReply
	if err := x.ask(event.DevicesRevoke, &eventpb.DevicesRevokeRequest{Device: t.name, User: values.Get("user")}, &reply); err != nil {
		return err
	}
	x.writeJSON(http.StatusOK, DeviceEndedReply{Sessions: reply.Sessions, Tokens: reply.Tokens})
	return nil
}

// groups answers with a page of groups: GET /v1/groups?after=&limit=.
func (x *exchange) groups(target) error {
	_, after, limit, err := x.page()
	if err != nil {
		return err
	}
	var reply eventpb.GroupsListReply
	if err := x.ask(event.GroupsList, &eventpb.GroupsListRequest{After: after, Limit: limit}, &reply); err != nil {
		return err
	}
	out := GroupsReply{Groups: make([]Group, len(reply.Groups)), Next: reply.Next}
	for i, g := range reply.Groups {
		out.Groups[i] = groupOf(g)
	}
	x.writeJSON(http.StatusOK, out)
	return nil
}

// group answers with one: GET /v1/groups/{name}.
func (x *exchange) group(t target) error {
	var reply eventpb.GroupsListReply
	if err := x.ask(event.GroupsList, &eventpb.GroupsListRequest{After: justBefore(t.name), Limit: 1}, &reply); err != nil {
		return err
	}
	if len(reply.Groups) == 0 || reply.Groups[0].Name != t.name {
		return inos.Errorf(inos.CodeGroupUnknown, "groups:list", "there is no group %q", t.name)
	}
	x.writeJSON(http.StatusOK, groupOf(reply.Groups[0]))
	return nil
}

// putGroup makes a group or says anew who it consists of: PUT /v1/groups/{name} {members}.
func (x *exchange) putGroup(t target) error {
	var q GroupQuestion
	if err := x.readJSON(&q); err != nil {
		return err
	}
	if len(q.Members) == 0 {
		return inos.Errorf(inos.CodeBadRequest, "groups:put", "a group has members; DELETE removes it, with the grants to it")
	}
	return x.changeGroup(&eventpb.Group{Name: t.name, Members: q.Members})
}

// removeGroup removes a group and the grants to it: DELETE /v1/groups/{name}. One that is not there is removed already.
func (x *exchange) removeGroup(t target) error {
	return x.changeGroup(&eventpb.Group{Name: t.name})
}

func (x *exchange) changeGroup(g *eventpb.Group) error {
	var reply eventpb.GroupsPutReply
	if err := x.ask(event.GroupsPut, &eventpb.GroupsPutRequest{Group: g}, &reply); err != nil {
		return err
	}
	x.writeJSON(http.StatusOK, groupOf(g))
	return nil
}
