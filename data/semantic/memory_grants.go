package semantic

import (
	"context"
	"maps"
	"slices"

	"github.com/inos-mesh/inos"
)

// PutGrant implements inos.SemanticIdentity.
func (m *Memory) PutGrant(ctx context.Context, g inos.AccessGrant, link *[inos.HashBytes]byte, key inos.RequestKey, now inos.Micros) (put inos.AccessGrant, err error) {
	const op = "semantic:put_grant"
	g, err = checkGrant(op, g, link)
	if err != nil {
		return put, err
	}
	if err := checkKey(op, key); err != nil {
		return put, err
	}
	if err := m.enter(ctx, op); err != nil {
		return put, err
	}
	defer m.mu.Unlock()
	reply, repeated, err := m.reply(op, key, replyGrant)
	if err != nil {
		return put, err
	}
	if repeated {
		return m.grantAgain(op, reply.grant, &g, link, now)
	}
	i := &m.identity
	if _, known := i.users[g.Owner]; !known {
		return put, userUnknown(op, g.Owner)
	}
	if user := inos.Subject(named(g.Grantee, inos.GranteeUser)); user != "" {
		if _, known := i.users[user]; !known {
			return put, userUnknown(op, user)
		}
	}
	if group := named(g.Grantee, inos.GranteeGroup); group != "" && i.groups[group] == nil {
		return put, groupUnknown(op, group)
	}
	if i.grants[g.ID] != nil {
		return put, grantExists(op, g.ID)
	}
	if err := m.freshLink(op, link); err != nil {
		return put, err
	}
	if err := m.roomForGrant(op, g.Owner, link != nil, now); err != nil {
		return put, err
	}
	g.CreatedAt, g.Uses = now, 0
	row := &grantRow{AccessGrant: g}
	if link != nil {
		row.link = slices.Clone(link[:])
	}
	i.grants[g.ID] = row
	m.newFact(factGrants, g.ID, now)
	m.replies[key] = twinReply{kind: replyGrant, at: now, grant: cloneGrant(&g)}
	return g, nil
}

func cloneGrant(g *inos.AccessGrant) inos.AccessGrant {
	c := *g
	c.Verbs = slices.Clone(g.Verbs)
	return c
}

func (m *Memory) grantAgain(op string, was inos.AccessGrant, g *inos.AccessGrant, link *[inos.HashBytes]byte, now inos.Micros) (inos.AccessGrant, error) {
	if err := sameGrant(op, &was, g, link != nil); err != nil {
		return inos.AccessGrant{}, err
	}
	row := m.identity.grants[was.ID]
	if row == nil {
		return inos.AccessGrant{}, grantGone(op, was.ID)
	}
	if link != nil && string(row.link) != string(link[:]) {
		if err := m.freshLink(op, link); err != nil {
			return inos.AccessGrant{}, err
		}
		row.link = slices.Clone(link[:])
		m.newFact(factGrants, was.ID, now)
	}
	return cloneGrant(&was), nil
}

func (m *Memory) freshLink(op string, link *[inos.HashBytes]byte) error {
	for id, g := range m.identity.grants {
		if link != nil && g.link != nil && string(g.link) == string(link[:]) {
			return linkTaken(op, id)
		}
	}
	return nil
}

func (m *Memory) roomForGrant(op string, owner inos.Subject, link bool, now inos.Micros) error {
	most := inos.OwnerGrantsMax
	if link {
		most = inos.OwnerLinksMax
	}
	left := 0
	for _, g := range m.identity.grants {
		if g.Owner == owner && (g.link != nil) == link {
			left++
		}
	}
	if left < most {
		return nil
	}
	var ended []string
	for _, id := range slices.Sorted(maps.Keys(m.identity.grants)) {
		if g := m.identity.grants[id]; g.Owner == owner && g.Over(now) {
			ended = append(ended, id)
			if (g.link != nil) == link {
				left--
			}
		}
	}
	if left >= most {
		return tooManyGrants(op, owner, link)
	}
	for _, id := range ended {
		m.removeGrant(id, now)
	}
	return nil
}

func (m *Memory) removeGrant(id string, now inos.Micros) {
	delete(m.identity.grants, id)
	m.endFact(factGrants, id, now)
}

// RemoveGrant implements inos.SemanticIdentity.
func (m *Memory) RemoveGrant(ctx context.Context, owner inos.Subject, id string, now inos.Micros) (inos.AccessGrant, error) {
	const op = "semantic:remove_grant"
	if err := m.enter(ctx, op); err != nil {
		return inos.AccessGrant{}, err
	}
	defer m.mu.Unlock()
	g := m.identity.grants[id]
	if g == nil || g.Owner != owner {
		return inos.AccessGrant{}, grantUnknown(op, owner, id)
	}
	m.removeGrant(id, now)
	return g.AccessGrant, nil
}

// UseGrant implements inos.SemanticIdentity.
func (m *Memory) UseGrant(ctx context.Context, owner inos.Subject, id, requestID string, now inos.Micros) (uses uint32, err error) {
	const op = "semantic:use_grant"
	key := useKey(id, requestID)
	if err := checkKey(op, key); err != nil {
		return 0, err
	}
	if err := m.enter(ctx, op); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	g := m.identity.grants[id]
	if g == nil || g.Owner != owner || g.Over(now) {
		return 0, grantUnknown(op, owner, id)
	}
	if _, repeated := m.replies[key]; repeated {
		return g.Uses, nil
	}
	if usedUp(&g.AccessGrant) {
		return 0, grantUsedUp(op, id)
	}
	g.Uses++
	if g.UsesMax > 0 {
		m.newFact(factGrants, id, now)
	}
	m.replies[key] = twinReply{kind: replyUse, at: now}
	return g.Uses, nil
}

// FindLink implements inos.SemanticIdentity.
func (m *Memory) FindLink(ctx context.Context, hash [inos.HashBytes]byte) (inos.AccessGrant, error) {
	const op = "semantic:find_link"
	if err := m.enter(ctx, op); err != nil {
		return inos.AccessGrant{}, err
	}
	defer m.mu.Unlock()
	for _, g := range m.identity.grants {
		if g.link != nil && string(g.link) == string(hash[:]) {
			return cloneGrant(&g.AccessGrant), nil
		}
	}
	return inos.AccessGrant{}, noLink(op)
}

// ListGrants implements inos.SemanticIdentity.
func (m *Memory) ListGrants(ctx context.Context, owner, subject inos.Subject, after string, limit int, now inos.Micros) (grants []inos.AccessGrant, more bool, err error) {
	const op = "semantic:list_grants"
	if err := checkOwnerOrSubject(op, owner, subject); err != nil {
		return nil, false, err
	}
	if err := m.enter(ctx, op); err != nil {
		return nil, false, err
	}
	defer m.mu.Unlock()
	to := grantees(subject, m.groupsOf(subject))
	grants, more = cut(m.grants(func(g *inos.AccessGrant) bool {
		return g.ID > after && !g.Over(now) && (owner != "" && g.Owner == owner || owner == "" && slices.Contains(to, g.Grantee))
	}), page(limit, GrantsPageMax))
	return grants, more, nil
}

func (m *Memory) groupsOf(user inos.Subject) (groups []string) {
	for name, members := range m.identity.groups {
		if slices.Contains(members, user) {
			groups = append(groups, name)
		}
	}
	return groups
}

// grants returns those that match, by id.
func (m *Memory) grants(match func(*inos.AccessGrant) bool) (grants []inos.AccessGrant) {
	for _, id := range slices.Sorted(maps.Keys(m.identity.grants)) {
		if g := &m.identity.grants[id].AccessGrant; match(g) {
			grants = append(grants, cloneGrant(g))
		}
	}
	return grants
}

// ReadAccess implements inos.SemanticIdentity.
func (m *Memory) ReadAccess(ctx context.Context, owner, subject inos.Subject, now inos.Micros) (access inos.Access, err error) {
	const op = "semantic:read_access"
	if err := checkAccess(op, owner, subject); err != nil {
		return access, err
	}
	if err := m.enter(ctx, op); err != nil {
		return access, err
	}
	defer m.mu.Unlock()
	access.Owner, _ = m.user(owner)
	to := []string{granteeOf(subject), inos.GranteePublic}
	for _, group := range m.groupsOf(subject) {
		to = append(to, inos.GranteeGroup+group)
	}
	access.Grants = m.grants(func(g *inos.AccessGrant) bool {
		return g.Owner == owner && !g.Over(now) && slices.Contains(to, g.Grantee)
	})
	return access, nil
}
