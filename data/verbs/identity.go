package verbs

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// The verbs of users, devices, sessions, grants and the ledger.

func putUser(c call, q *eventpb.PutUserRequest) (event.Message, error) {
	u, revoked, err := c.sem.PutUser(c.ctx, User(q.User), q.Create, q.Credits, requestKey(q.Key), inos.Micros(q.NowUs))
	if err != nil {
		return nil, err
	}
	return &eventpb.PutUserReply{User: UserPayload(&u), TokenIds: revoked}, nil
}

func listUsers(c call, q *eventpb.ListUsersRequest) (event.Message, error) {
	users, more, err := c.sem.ListUsers(c.ctx, q.After, int(q.Limit))
	if err != nil {
		return nil, err
	}
	return &eventpb.ListUsersReply{Users: payloads(users, UserPayload), More: more}, nil
}

func findUser(c call, q *eventpb.FindUserRequest) (event.Message, error) {
	u, groups, err := c.sem.FindUser(c.ctx, inos.Subject(q.Name))
	if err != nil {
		return nil, err
	}
	return &eventpb.FindUserReply{User: UserPayload(&u), Groups: groups}, nil
}

func putEnrolment(c call, q *eventpb.PutEnrolmentRequest) (event.Message, error) {
	hash, err := secretHash(q.Hash)
	if err != nil {
		return nil, err
	}
	if err := c.sem.PutEnrolment(c.ctx, hash, inos.Subject(q.User), inos.Micros(q.ExpiresUs), inos.Micros(q.NowUs)); err != nil {
		return nil, err
	}
	return &eventpb.PutEnrolmentReply{}, nil
}

func listDevices(c call, q *eventpb.ListDevicesRequest) (event.Message, error) {
	devices, err := c.sem.ListDevices(c.ctx, inos.Subject(q.User))
	if err != nil {
		return nil, err
	}
	return &eventpb.ListDevicesReply{Devices: payloads(devices, devicePayload)}, nil
}

func revokeDevice(c call, q *eventpb.RevokeDeviceRequest) (event.Message, error) {
	revoked, issued, err := c.sem.RevokeDevice(c.ctx, inos.Subject(q.User), q.Device, c.now)
	if err != nil {
		return nil, err
	}
	return &eventpb.RevokeDeviceReply{TokenIds: revoked, Issued: uint32(issued)}, nil
}

func putGroup(c call, q *eventpb.PutGroupRequest) (event.Message, error) {
	if err := c.sem.PutGroup(c.ctx, group(q.Group), c.now); err != nil {
		return nil, err
	}
	return &eventpb.PutGroupReply{}, nil
}

func listGroups(c call, q *eventpb.ListGroupsRequest) (event.Message, error) {
	groups, more, err := c.sem.ListGroups(c.ctx, q.After, int(q.Limit))
	if err != nil {
		return nil, err
	}
	return &eventpb.ListGroupsReply{Groups: payloads(groups, groupPayload), More: more}, nil
}

func openSession(c call, q *eventpb.OpenSessionRequest) (event.Message, error) {
	enrolment, err := optionalHash(q.Enrolment)
	if err != nil {
		return nil, err
	}
	refresh, err := optionalHash(q.Refresh)
	if err != nil {
		return nil, err
	}
	o := inos.Opening{PublicKey: q.PublicKey, DeviceName: q.DeviceName, Enrolment: enrolment, Refresh: refresh}
	s, u, err := c.sem.OpenSession(c.ctx, SessionInfo(q.Session), o, inos.Micros(q.NowUs))
	if err != nil {
		return nil, err
	}
	return &eventpb.OpenSessionReply{Session: SessionInfoPayload(&s), User: UserPayload(&u)}, nil
}

func refreshSession(c call, q *eventpb.RefreshSessionRequest) (event.Message, error) {
	refresh, err := secretHash(q.Refresh)
	if err != nil {
		return nil, err
	}
	next, err := secretHash(q.Next)
	if err != nil {
		return nil, err
	}
	s, u, reused, err := c.sem.RefreshSession(c.ctx, refresh, next, inos.Micros(q.NowUs))
	if err != nil {
		return nil, err
	}
	return &eventpb.RefreshSessionReply{Session: SessionInfoPayload(&s), User: UserPayload(&u), Reused: reused}, nil
}

func listSessions(c call, q *eventpb.ListSessionsRequest) (event.Message, error) {
	sessions, more, err := c.sem.ListSessions(c.ctx, inos.Subject(q.User), q.After, int(q.Limit), inos.Micros(q.NowUs))
	if err != nil {
		return nil, err
	}
	return &eventpb.ListSessionsReply{Sessions: payloads(sessions, SessionInfoPayload), More: more}, nil
}

func revokeSessions(c call, q *eventpb.RevokeSessionsRequest) (event.Message, error) {
	revoked, err := c.sem.RevokeSessions(c.ctx, inos.Subject(q.User), q.TokenId)
	if err != nil {
		return nil, err
	}
	return &eventpb.RevokeSessionsReply{TokenIds: revoked}, nil
}

func pruneSessions(c call, q *eventpb.PruneSessionsRequest) (event.Message, error) {
	pruned, err := c.sem.PruneSessions(c.ctx, inos.Micros(q.BeforeUs), int(q.Limit))
	if err != nil {
		return nil, err
	}
	return &eventpb.PruneSessionsReply{Pruned: uint32(pruned)}, nil
}

func putGrant(c call, q *eventpb.PutGrantRequest) (event.Message, error) {
	link, err := optionalHash(q.Link)
	if err != nil {
		return nil, err
	}
	g, err := c.sem.PutGrant(c.ctx, AccessGrant(q.Grant), link, requestKey(q.Key), inos.Micros(q.NowUs))
	if err != nil {
		return nil, err
	}
	return &eventpb.PutGrantReply{Grant: AccessGrantPayload(&g)}, nil
}

func listGrants(c call, q *eventpb.ListGrantsRequest) (event.Message, error) {
	grants, more, err := c.sem.ListGrants(c.ctx, inos.Subject(q.Owner), inos.Subject(q.Subject), q.After, int(q.Limit), inos.Micros(q.NowUs))
	if err != nil {
		return nil, err
	}
	return &eventpb.ListGrantsReply{Grants: payloads(grants, AccessGrantPayload), More: more}, nil
}

func removeGrant(c call, q *eventpb.RemoveGrantRequest) (event.Message, error) {
	g, err := c.sem.RemoveGrant(c.ctx, inos.Subject(q.Owner), q.Id, c.now)
	if err != nil {
		return nil, err
	}
	return &eventpb.RemoveGrantReply{Grant: AccessGrantPayload(&g)}, nil
}

func useGrant(c call, q *eventpb.UseGrantRequest) (event.Message, error) {
	uses, err := c.sem.UseGrant(c.ctx, inos.Subject(q.Owner), q.Id, q.RequestId, inos.Micros(q.NowUs))
	if err != nil {
		return nil, err
	}
	return &eventpb.UseGrantReply{Uses: uses}, nil
}

func readAccess(c call, q *eventpb.ReadAccessRequest) (event.Message, error) {
	access, err := c.sem.ReadAccess(c.ctx, inos.Subject(q.Owner), inos.Subject(q.Subject), inos.Micros(q.NowUs))
	if err != nil {
		return nil, err
	}
	reply := &eventpb.ReadAccessReply{Grants: payloads(access.Grants, AccessGrantPayload)}
	if access.Owner.Name != "" {
		reply.Owner = UserPayload(&access.Owner)
	}
	return reply, nil
}

func transfer(c call, q *eventpb.TransferRequest) (event.Message, error) {
	entries := make([]inos.LedgerEntry, len(q.Entries))
	for i, e := range q.Entries {
		entries[i] = inos.LedgerEntry{Account: e.Account, Amount: e.Amount, Reason: e.Reason}
	}
	written, repeated, err := c.sem.Transfer(c.ctx, q.EventId, entries, q.Covered, inos.Micros(q.NowUs))
	if err != nil {
		return nil, err
	}
	return &eventpb.TransferReply{Entries: payloads(written, entryPayload), Repeated: repeated}, nil
}

func foldEntries(c call, q *eventpb.FoldEntriesRequest) (event.Message, error) {
	folded, left, err := c.sem.FoldEntries(c.ctx, inos.Micros(q.BeforeUs), int(q.Limit))
	if err != nil {
		return nil, err
	}
	return &eventpb.FoldEntriesReply{Folded: uint32(folded), Left: uint64(left)}, nil
}

func listEntries(c call, q *eventpb.ListEntriesRequest) (event.Message, error) {
	entries, more, balance, err := c.sem.ListEntries(c.ctx, q.Account, q.After, int(q.Limit))
	if err != nil {
		return nil, err
	}
	return &eventpb.ListEntriesReply{Entries: payloads(entries, entryPayload), More: more, Balance: balance}, nil
}
