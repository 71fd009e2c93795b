package semantic

import (
	"context"
	"maps"
	"slices"

	"github.com/inos-mesh/inos"
)

// twinIdentity is what Memory keeps of users, sessions, grants and the ledger.
type twinIdentity struct {
	users      map[inos.Subject]inos.User // without usage and balance
	devices    map[inos.Subject]map[string]inos.Device
	enrolments map[[inos.HashBytes]byte]twinEnrolment
	groups     map[string][]inos.Subject
	sessions   map[string]*twinSession
	refreshes  map[[inos.HashBytes]byte]twinRefresh // used up
	grants     map[string]*grantRow
	entries    []inos.LedgerEntry
	lastEntry  uint64 // the number of the newest
}

type twinEnrolment struct {
	user    inos.Subject
	expires inos.Micros
}

func newTwinIdentity() twinIdentity {
	return twinIdentity{
		users:      map[inos.Subject]inos.User{},
		devices:    map[inos.Subject]map[string]inos.Device{},
		enrolments: map[[inos.HashBytes]byte]twinEnrolment{},
		groups:     map[string][]inos.Subject{},
		sessions:   map[string]*twinSession{},
		refreshes:  map[[inos.HashBytes]byte]twinRefresh{},
		grants:     map[string]*grantRow{},
	}
}

// user returns a user with its usage and balance, counted.
func (m *Memory) user(name inos.Subject) (inos.User, bool) {
	u, known := m.identity.users[name]
	if known {
		u.Usage, u.Balance = m.used(name), m.balance(inos.AccountUser+string(name))
	}
	return u, known
}

func (m *Memory) used(owner inos.Subject) (used inos.NamespaceUsage) {
	for _, f := range m.files[owner] {
		used.Files++
		used.PlainBytes += f.PlainBytes
	}
	return used
}

// usedWith returns what an owner's namespace has with a file in place of the one at its path.
func (m *Memory) usedWith(f *inos.FileInfo) inos.NamespaceUsage {
	used := m.used(f.Owner)
	before, live := m.files[f.Owner][f.Path]
	if !live {
		used.Files++
	}
	used.PlainBytes += f.PlainBytes - before.PlainBytes
	return used
}

// PutUser implements inos.SemanticIdentity.
func (m *Memory) PutUser(ctx context.Context, u inos.User, create bool, credits int64, key inos.RequestKey, now inos.Micros) (put inos.User, revoked []string, err error) {
	const op = "semantic:put_user"
	if err := checkUser(op, &u, credits, key); err != nil {
		return put, nil, err
	}
	if err := m.enter(ctx, op); err != nil {
		return put, nil, err
	}
	defer m.mu.Unlock()
	reply, repeated, err := m.reply(op, key, replyUser)
	if err != nil {
		return put, nil, err
	}
	if repeated {
		if err := sameUser(op, reply.user.Name, u.Name); err != nil {
			return put, nil, err
		}
		return reply.user, nil, nil
	}
	known, exists := m.identity.users[u.Name]
	switch {
	case create && exists:
		return put, nil, userExists(op, u.Name)
	case !create && !exists:
		return put, nil, userUnknown(op, u.Name)
	case create && len(m.identity.users) >= inos.UsersMax:
		return put, nil, tooMany(op, "the mesh", inos.UsersMax, "users")
	}
	if credits > 0 {
		if _, err := m.post(op, key.ID, creditEntries(u.Name, credits), now); err != nil {
			return put, nil, err
		}
	}
	created := known.CreatedAt
	if create {
		created = now
	}
	m.identity.users[u.Name] = inos.User{Name: u.Name, Operator: u.Operator, Disabled: u.Disabled, Quota: u.Quota, CreatedAt: created}
	if u.Disabled {
		revoked = m.shutOut(u.Name)
	}
	m.newFact(factUsers, string(u.Name), now)
	put, _ = m.user(u.Name)
	m.replies[key] = twinReply{kind: replyUser, at: now, user: put}
	return put, revoked, nil
}

// ListUsers implements inos.SemanticIdentity.
func (m *Memory) ListUsers(ctx context.Context, after string, limit int) (users []inos.User, more bool, err error) {
	if err := m.enter(ctx, "semantic:list_users"); err != nil {
		return nil, false, err
	}
	defer m.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(m.identity.users)) {
		if string(name) > after {
			u, _ := m.user(name)
			users = append(users, u)
		}
	}
	users, more = cut(users, page(limit, ListMax))
	return users, more, nil
}

// FindUser implements inos.SemanticIdentity.
func (m *Memory) FindUser(ctx context.Context, name inos.Subject) (inos.User, []string, error) {
	const op = "semantic:find_user"
	if err := m.enter(ctx, op); err != nil {
		return inos.User{}, nil, err
	}
	defer m.mu.Unlock()
	u, known := m.user(name)
	if !known {
		return inos.User{}, nil, userUnknown(op, name)
	}
	groups := m.groupsOf(name)
	slices.Sort(groups)
	return u, groups, nil
}

// PutEnrolment implements inos.SemanticIdentity.
func (m *Memory) PutEnrolment(ctx context.Context, hash [inos.HashBytes]byte, user inos.Subject, expires, now inos.Micros) error {
	const op = "semantic:put_enrolment"
	if err := checkEnrolment(op, user, expires, now); err != nil {
		return err
	}
	if err := m.enter(ctx, op); err != nil {
		return err
	}
	defer m.mu.Unlock()
	i := &m.identity
	if _, known := i.users[user]; !known {
		return userUnknown(op, user)
	}
	good := 0
	for _, e := range i.enrolments {
		if e.user == user && e.expires > now {
			good++
		}
	}
	e, known := i.enrolments[hash]
	if known && e.user == user && e.expires <= now {
		known = false
	}
	switch {
	case known && e.user != user:
		return enrolmentTaken(op, user)
	case !known && good >= inos.UserEnrolmentsMax:
		return tooMany(op, string(user), inos.UserEnrolmentsMax, "enrolments that are not used yet")
	}
	maps.DeleteFunc(i.enrolments, func(_ [inos.HashBytes]byte, e twinEnrolment) bool { return e.user == user && e.expires <= now })
	i.enrolments[hash] = twinEnrolment{user, expires}
	return nil
}

// ListDevices implements inos.SemanticIdentity.
func (m *Memory) ListDevices(ctx context.Context, user inos.Subject) (devices []inos.Device, err error) {
	const op = "semantic:list_devices"
	if err := m.enter(ctx, op); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	if _, known := m.identity.users[user]; !known {
		return nil, userUnknown(op, user)
	}
	for _, id := range slices.Sorted(maps.Keys(m.identity.devices[user])) {
		devices = append(devices, m.identity.devices[user][id])
	}
	return devices, nil
}

// RevokeDevice implements inos.SemanticIdentity.
func (m *Memory) RevokeDevice(ctx context.Context, user inos.Subject, device string, now inos.Micros) (revoked []string, issued int, err error) {
	const op = "semantic:revoke_device"
	if err := m.enter(ctx, op); err != nil {
		return nil, 0, err
	}
	defer m.mu.Unlock()
	d, known := m.identity.devices[user][device]
	if !known {
		return nil, 0, deviceUnknown(op, user, device)
	}
	if !d.Revoked {
		d.Revoked = true
		m.identity.devices[user][device] = d
		m.newFact(factDevices, deviceName(user, device), now)
	}
	m.dropEnrolments(user)
	revoked = m.revoke(func(s *twinSession) bool {
		if s.Subject == user && s.IssuedBy == device {
			issued++
			return true
		}
		return s.Subject == user && s.Device == device
	})
	return revoked, issued, nil
}

// PutGroup implements inos.SemanticIdentity.
func (m *Memory) PutGroup(ctx context.Context, g inos.Group, now inos.Micros) error {
	const op = "semantic:put_group"
	g, err := checkGroup(op, g)
	if err != nil {
		return err
	}
	if err := m.enter(ctx, op); err != nil {
		return err
	}
	defer m.mu.Unlock()
	i := &m.identity
	_, known := i.groups[g.Name]
	if len(g.Members) == 0 {
		if known {
			for _, id := range slices.Sorted(maps.Keys(i.grants)) {
				if i.grants[id].Grantee == inos.GranteeGroup+g.Name {
					m.removeGrant(id, now)
				}
			}
			delete(i.groups, g.Name)
			m.endFact(factGroups, g.Name, now)
		}
		return nil
	}
	if !known && len(i.groups) >= inos.GroupsMax {
		return tooMany(op, "the mesh", inos.GroupsMax, "groups")
	}
	for _, user := range g.Members {
		if _, known := i.users[user]; !known {
			return userUnknown(op, user)
		}
		in := 0
		for name, members := range i.groups {
			if name != g.Name && slices.Contains(members, user) {
				in++
			}
		}
		if in >= inos.UserGroupsMax {
			return tooMany(op, string(user), inos.UserGroupsMax, "groups to be in")
		}
	}
	i.groups[g.Name] = g.Members
	m.newFact(factGroups, g.Name, now)
	return nil
}

// ListGroups implements inos.SemanticIdentity.
func (m *Memory) ListGroups(ctx context.Context, after string, limit int) (groups []inos.Group, more bool, err error) {
	if err := m.enter(ctx, "semantic:list_groups"); err != nil {
		return nil, false, err
	}
	defer m.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(m.identity.groups)) {
		if name > after {
			groups = append(groups, inos.Group{Name: name, Members: slices.Clone(m.identity.groups[name])})
		}
	}
	groups, more = cut(groups, page(limit, GroupsPageMax))
	return groups, more, nil
}
