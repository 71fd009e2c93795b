package kernel

import (
	"fmt"
	"slices"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// fakeIdentity is what the semantic memory knows of users, sessions, grants and the ledger. It decides nothing that the kernel has to.
type fakeIdentity struct {
	users      map[string]*eventpb.User
	groups     map[string][]string
	devices    map[string]*eventpb.Device // by id
	enrolments map[string]string          // hash -> user
	sessions   map[string]*eventpb.SessionInfo
	refreshes  map[string]string // hash -> token id
	spent      map[string]string // used ones
	grants     map[string]*eventpb.AccessGrant
	usedBy     map[string]bool // grant and request
	balances   map[string]int64
	events     map[string]bool // that moved something
	entries    []*eventpb.LedgerEntry
	folds      []asOfFold
	foldPages  int             // full pages that are to be folded still
	foldLeft   uint64          // entries beside those
	forgotten  map[string]bool // sessions that the host was told to forget
	secrets    int
	slowAccess bool // semantic:read_access waits like other effects
}

func newFakeIdentity() fakeIdentity {
	return fakeIdentity{
		users: map[string]*eventpb.User{}, groups: map[string][]string{}, devices: map[string]*eventpb.Device{}, enrolments: map[string]string{},
		sessions: map[string]*eventpb.SessionInfo{}, refreshes: map[string]string{}, spent: map[string]string{}, grants: map[string]*eventpb.AccessGrant{},
		usedBy: map[string]bool{}, balances: map[string]int64{}, events: map[string]bool{}, forgotten: map[string]bool{},
	}
}

// user returns a user as the memory tells it, with its usage; nil when there is none.
func (w *world) user(name string) *eventpb.User {
	u := w.users[name]
	if u == nil {
		return nil
	}
	u = u.CloneVT()
	u.Usage = &eventpb.Usage{}
	for _, at := range sortedKeys(w.files) {
		if f := w.files[at]; f.Owner == name {
			u.Usage.PlainBytes += f.PlainBytes
			u.Usage.Files++
		}
	}
	u.Balance = w.balances["user:"+name]
	return u
}

// holds checks a commit's quota.
func (w *world) holds(q *eventpb.CommitFileRequest) *inos.Error {
	if q.Quota == nil {
		return nil
	}
	var bytes, files uint64
	for _, at := range sortedKeys(w.files) {
		if f := w.files[at]; f.Owner == q.File.Owner && f.Path != q.File.Path {
			bytes += f.PlainBytes
			files++
		}
	}
	if q.Quota.PlainBytes != 0 && bytes+q.File.PlainBytes > q.Quota.PlainBytes || q.Quota.Files != 0 && files+1 > q.Quota.Files {
		return missing(inos.CodeQuotaExceeded, "the quota of %s", q.File.Owner)
	}
	return nil
}

// escrow moves what a version pledges more, or less, than the one before.
func (w *world) escrow(owner, at string, pledge int64, id string) *inos.Error {
	var before int64
	if f := w.files[at]; f != nil {
		before = f.Pledged
	}
	return w.move(id, []*eventpb.LedgerEntry{
		{Account: "user:" + owner, Amount: before - pledge, Reason: at}, {Account: "escrow:" + owner, Amount: pledge - before, Reason: at},
	}, true)
}

func (w *world) move(id string, entries []*eventpb.LedgerEntry, covered bool) *inos.Error {
	var sum int64
	for _, e := range entries {
		if sum += e.Amount; covered && e.Amount < 0 && strings.HasPrefix(e.Account, "user:") && w.balances[e.Account]+e.Amount < 0 {
			return missing(inos.CodeCreditsShort, "%s has %d", e.Account, w.balances[e.Account])
		}
	}
	if sum != 0 {
		w.problem("a transfer sums to %d", sum)
	}
	for _, e := range entries {
		if e.Amount == 0 {
			continue
		}
		w.balances[e.Account] += e.Amount
		e = e.CloneVT()
		e.Seq, e.EventId = uint64(len(w.entries)+1), id
		w.entries = append(w.entries, e)
	}
	return nil
}

// endSessions ends those of a user that a test accepts.
func (w *world) endSessions(user string, ends func(*eventpb.Session) bool) (ids []string) {
	for _, id := range sortedKeys(w.sessions) {
		if s := w.sessions[id].Session; s.Subject == user && ends(s) {
			delete(w.sessions, id)
			ids = append(ids, id)
		}
	}
	return ids
}

// performIdentity performs the verbs of identity, and what the host does with secrets; ok is false for anything else.
func (w *world) performIdentity(e *eventpb.Envelope) (m event.Message, failure *inos.Error, ok bool) {
	switch e.EventType {
	case event.SecretMake:
		var q eventpb.SecretMakeRequest
		w.open(e, &q)
		w.secrets++
		handle := fmt.Sprintf("%s-%d", q.Kind, w.secrets)
		return &eventpb.SecretMakeReply{Handle: handle, Hash: hashOf("secret", handle)}, nil, true
	case event.TokenSign:
		var q eventpb.TokenSignRequest
		w.open(e, &q)
		return &eventpb.TokenSignReply{Handle: "token-" + q.Session.Subject}, nil, true
	case event.PutUser, event.ListUsers, event.FindUser, event.PutEnrolment, event.ListDevices, event.RevokeDevice, event.PutGroup, event.ListGroups:
		m, failure = w.performUsers(e)
	case event.OpenSession, event.RefreshSession, event.ListSessions, event.RevokeSessions, event.PruneSessions:
		m, failure = w.performSessions(e)
	case event.PutGrant, event.ListGrants, event.RemoveGrant, event.UseGrant, event.ReadAccess, event.Transfer, event.FoldEntries, event.ListEntries:
		m, failure = w.performGrants(e)
	default:
		return nil, nil, false
	}
	return m, failure, true
}

func (w *world) performUsers(e *eventpb.Envelope) (event.Message, *inos.Error) {
	switch e.EventType {
	case event.PutUser:
		var q eventpb.PutUserRequest
		w.open(e, &q)
		if old := w.users[q.User.Name]; old != nil && q.Create || old == nil && !q.Create {
			return nil, missing(inos.CodeConflict, "user %s", q.User.Name)
		}
		w.users[q.User.Name] = q.User
		w.pendFact("/users/"+q.User.Name, event.Payload(q.User))
		if q.Credits > 0 {
			if err := w.move(q.Key.Id, []*eventpb.LedgerEntry{{Account: "grant", Amount: -q.Credits}, {Account: "user:" + q.User.Name, Amount: q.Credits}}, false); err != nil {
				return nil, err
			}
		}
		r := &eventpb.PutUserReply{User: w.user(q.User.Name)}
		if q.User.Disabled {
			r.TokenIds = w.endSessions(q.User.Name, func(*eventpb.Session) bool { return true })
		}
		return r, nil
	case event.ListUsers:
		var q eventpb.ListUsersRequest
		w.open(e, &q)
		r := &eventpb.ListUsersReply{}
		for _, name := range sortedKeys(w.users) {
			if name > q.After {
				r.Users = append(r.Users, w.user(name))
			}
		}
		return r, nil
	case event.FindUser:
		var q eventpb.FindUserRequest
		w.open(e, &q)
		if w.users[q.Name] == nil {
			return nil, missing(inos.CodeUserUnknown, "user %s", q.Name)
		}
		r := &eventpb.FindUserReply{User: w.user(q.Name)}
		for _, name := range sortedKeys(w.groups) {
			if slices.Contains(w.groups[name], q.Name) {
				r.Groups = append(r.Groups, name)
			}
		}
		return r, nil
	case event.PutEnrolment:
		var q eventpb.PutEnrolmentRequest
		w.open(e, &q)
		w.enrolments[string(q.Hash)] = q.User
		return &eventpb.PutEnrolmentReply{}, nil
	case event.ListDevices:
		var q eventpb.ListDevicesRequest
		w.open(e, &q)
		r := &eventpb.ListDevicesReply{}
		for _, id := range sortedKeys(w.devices) {
			if d := w.devices[id]; d.User == q.User {
				r.Devices = append(r.Devices, d.CloneVT())
			}
		}
		return r, nil
	case event.RevokeDevice:
		var q eventpb.RevokeDeviceRequest
		w.open(e, &q)
		d := w.devices[q.Device]
		if d == nil || d.User != q.User {
			return nil, missing(inos.CodeDeviceUnknown, "%s has no device %s", q.User, q.Device)
		}
		d.Revoked = true
		r := &eventpb.RevokeDeviceReply{}
		r.TokenIds = w.endSessions(q.User, func(s *eventpb.Session) bool {
			if s.IssuedBy == q.Device {
				r.Issued++
			}
			return s.Device == q.Device || s.IssuedBy == q.Device
		})
		return r, nil
	case event.PutGroup:
		var q eventpb.PutGroupRequest
		w.open(e, &q)
		if !slices.IsSorted(q.Group.Members) {
			w.problem("the members of a group are not sorted")
		}
		w.groups[q.Group.Name] = q.Group.Members
		var fact []byte
		if len(q.Group.Members) > 0 {
			fact = event.Payload(q.Group)
		}
		w.pendFact("/groups/"+q.Group.Name, fact)
		return &eventpb.PutGroupReply{}, nil
	}
	r := &eventpb.ListGroupsReply{}
	for _, name := range sortedKeys(w.groups) {
		r.Groups = append(r.Groups, &eventpb.Group{Name: name, Members: w.groups[name]})
	}
	return r, nil
}

func (w *world) performSessions(e *eventpb.Envelope) (event.Message, *inos.Error) {
	switch e.EventType {
	case event.OpenSession:
		var q eventpb.OpenSessionRequest
		w.open(e, &q)
		s := q.Session.Session
		user := w.user(s.Subject)
		if user == nil || user.Disabled {
			return nil, missing(inos.CodeUnauthenticated, "no user")
		}
		if s.Device != "" {
			d := w.devices[s.Device]
			if w.enrolments[string(q.Enrolment)] == s.Subject && d == nil {
				delete(w.enrolments, string(q.Enrolment))
				d = &eventpb.Device{Id: s.Device, User: s.Subject, Name: q.DeviceName, PublicKey: q.PublicKey}
				w.devices[s.Device] = d
			}
			if d == nil || d.User != s.Subject || d.Revoked || string(d.PublicKey) != string(q.PublicKey) {
				return nil, missing(inos.CodeUnauthenticated, "no device")
			}
		}
		held := 0
		for _, id := range sortedKeys(w.sessions) {
			if w.sessions[id].Session.Subject == s.Subject {
				held++
			}
		}
		if held >= inos.UserSessionsMax {
			return nil, missing(inos.CodeConflict, "%d sessions", held)
		}
		w.sessions[s.TokenId] = q.Session.CloneVT()
		if len(q.Refresh) > 0 {
			w.refreshes[string(q.Refresh)] = s.TokenId
		}
		return &eventpb.OpenSessionReply{Session: q.Session, User: user}, nil
	case event.RefreshSession:
		var q eventpb.RefreshSessionRequest
		w.open(e, &q)
		if id, ok := w.spent[string(q.Refresh)]; ok && w.sessions[id] != nil {
			s := w.sessions[id]
			delete(w.sessions, id)
			return &eventpb.RefreshSessionReply{Session: s, User: w.user(s.Session.Subject), Reused: true}, nil
		}
		id := w.refreshes[string(q.Refresh)]
		s := w.sessions[id]
		if s == nil {
			return nil, missing(inos.CodeUnauthenticated, "no session")
		}
		delete(w.refreshes, string(q.Refresh))
		w.spent[string(q.Refresh)], w.refreshes[string(q.Next)] = id, id
		return &eventpb.RefreshSessionReply{Session: s.CloneVT(), User: w.user(s.Session.Subject)}, nil
	case event.ListSessions:
		var q eventpb.ListSessionsRequest
		w.open(e, &q)
		r := &eventpb.ListSessionsReply{}
		for _, id := range sortedKeys(w.sessions) {
			if s := w.sessions[id]; s.Session.Subject == q.User && id > q.After {
				if q.Limit > 0 && len(r.Sessions) == int(q.Limit) {
					r.More = true
					break
				}
				r.Sessions = append(r.Sessions, s.CloneVT())
			}
		}
		return r, nil
	case event.RevokeSessions:
		var q eventpb.RevokeSessionsRequest
		w.open(e, &q)
		return &eventpb.RevokeSessionsReply{TokenIds: w.endSessions(q.User, func(s *eventpb.Session) bool { return q.TokenId == "" || s.TokenId == q.TokenId })}, nil
	}
	return &eventpb.PruneSessionsReply{}, nil
}

func (w *world) performGrants(e *eventpb.Envelope) (event.Message, *inos.Error) {
	switch e.EventType {
	case event.PutGrant:
		var q eventpb.PutGrantRequest
		w.open(e, &q)
		if w.users[q.Grant.Owner] == nil {
			return nil, missing(inos.CodeUserUnknown, "no user %s", q.Grant.Owner)
		}
		w.grants[q.Grant.Id] = q.Grant
		return &eventpb.PutGrantReply{Grant: q.Grant}, nil
	case event.ListGrants:
		var q eventpb.ListGrantsRequest
		w.open(e, &q)
		r := &eventpb.ListGrantsReply{}
		for _, id := range sortedKeys(w.grants) {
			if g := w.grants[id]; id > q.After && (q.Owner != "" && g.Owner == q.Owner || q.Owner == "" && g.Grantee != publicSubject && w.reaches(g, q.Subject)) {
				r.Grants = append(r.Grants, g.CloneVT())
			}
		}
		return r, nil
	case event.RemoveGrant:
		var q eventpb.RemoveGrantRequest
		w.open(e, &q)
		g := w.grants[q.Id]
		if g == nil || g.Owner != q.Owner {
			return nil, missing(inos.CodeGrantUnknown, "no grant %s", q.Id)
		}
		delete(w.grants, q.Id)
		return &eventpb.RemoveGrantReply{Grant: g}, nil
	case event.UseGrant:
		var q eventpb.UseGrantRequest
		w.open(e, &q)
		g := w.grants[q.Id]
		if g == nil || g.Owner != q.Owner || g.ExpiresUs != 0 && g.ExpiresUs <= q.NowUs || g.UsesMax != 0 && g.Uses >= g.UsesMax && !w.usedBy[q.Id+q.RequestId] {
			return nil, missing(inos.CodeGrantUnknown, "no use of %s", q.Id)
		}
		if !w.usedBy[q.Id+q.RequestId] {
			w.usedBy[q.Id+q.RequestId] = true
			g.Uses++
		}
		return &eventpb.UseGrantReply{Uses: g.Uses}, nil
	case event.ReadAccess:
		var q eventpb.ReadAccessRequest
		w.open(e, &q)
		r := &eventpb.ReadAccessReply{Owner: w.user(q.Owner)}
		for _, id := range sortedKeys(w.grants) {
			if g := w.grants[id]; g.Owner == q.Owner && w.reaches(g, q.Subject) && (g.ExpiresUs == 0 || g.ExpiresUs > q.NowUs) {
				r.Grants = append(r.Grants, g.CloneVT())
			}
		}
		return r, nil
	case event.Transfer:
		var q eventpb.TransferRequest
		w.open(e, &q)
		if err := w.move(q.EventId, q.Entries, q.Covered); err != nil {
			return nil, err
		}
		return &eventpb.TransferReply{Entries: q.Entries}, nil
	}
	if e.EventType == event.FoldEntries {
		var q eventpb.FoldEntriesRequest
		w.open(e, &q)
		w.folds = append(w.folds, asOfFold{w.now, w.now - inos.Micros(q.BeforeUs)})
		r := &eventpb.FoldEntriesReply{Left: uint64(len(w.entries)) + w.foldLeft}
		if w.foldPages > 0 {
			w.foldPages--
			r.Folded = prunePage
		}
		return r, nil
	}
	var q eventpb.ListEntriesRequest
	w.open(e, &q)
	r := &eventpb.ListEntriesReply{Balance: w.balances[q.Account]}
	for _, entry := range w.entries {
		if entry.Account == q.Account && entry.Seq > q.After {
			r.Entries = append(r.Entries, entry.CloneVT())
		}
	}
	return r, nil
}

// reaches says that a grant lets a subject in.
func (w *world) reaches(g *eventpb.AccessGrant, subject string) bool {
	kind, who, _ := strings.Cut(g.Grantee, ":")
	switch {
	case g.Grantee == publicSubject || g.Grantee == subject && kind == "link":
		return true
	case !hasNamespace(inos.Subject(subject)):
		return false
	case kind == "user":
		return who == subject
	}
	return kind == "group" && slices.Contains(w.groups[who], subject)
}
