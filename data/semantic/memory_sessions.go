package semantic

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/inos-mesh/inos"
)

type twinSession struct {
	inos.SessionInfo
	refresh   *[inos.HashBytes]byte // hash of the present refresh secret
	refreshes int64
}

type twinRefresh struct {
	tokenID string
	seq     int64
	until   inos.Micros
}

// info returns the session, sharing nothing with the one that is kept.
func (s *twinSession) info() inos.SessionInfo {
	info := s.SessionInfo
	info.Capabilities = slices.Clone(info.Capabilities)
	return info
}

// OpenSession implements inos.SemanticIdentity.
func (m *Memory) OpenSession(ctx context.Context, session inos.SessionInfo, o inos.Opening, now inos.Micros) (opened inos.SessionInfo, u inos.User, err error) {
	const op = "semantic:open_session"
	if err := checkOpening(op, &session, &o); err != nil {
		return opened, u, err
	}
	if err := m.enter(ctx, op); err != nil {
		return opened, u, err
	}
	defer m.mu.Unlock()
	i := &m.identity
	u, known := m.user(session.Subject)
	if !known || u.Disabled {
		return opened, inos.User{}, noLogin(op, session.Subject)
	}
	if was := i.sessions[session.TokenID]; was != nil {
		if err := sameSession(op, &was.SessionInfo, &session); err != nil {
			return opened, inos.User{}, err
		}
		return was.info(), u, nil
	}
	enrol, err := m.enrol(op, &session, &o, now)
	if err != nil {
		return opened, inos.User{}, err
	}
	sessions := 0
	for _, s := range i.sessions {
		if s.Subject == session.Subject && !over(s.ExpiresAt, now) {
			sessions++
		}
	}
	if sessions >= inos.UserSessionsMax {
		return opened, inos.User{}, tooMany(op, string(session.Subject), inos.UserSessionsMax, "sessions")
	}
	if o.Refresh != nil {
		gone := func(s *twinSession) bool { return s.Subject == session.Subject && over(s.ExpiresAt, now) }
		if err := m.freshSecret(op, *o.Refresh, gone); err != nil {
			return opened, inos.User{}, err
		}
	}
	maps.DeleteFunc(i.refreshes, func(_ [inos.HashBytes]byte, r twinRefresh) bool { return r.tokenID == session.TokenID })
	m.revoke(func(s *twinSession) bool { return s.Subject == session.Subject && over(s.ExpiresAt, now) })
	enrol()
	session.CreatedAt, session.Refreshable = now, o.Refresh != nil
	kept := &twinSession{SessionInfo: session}
	kept.Capabilities = slices.Clone(session.Capabilities)
	if o.Refresh != nil {
		secret := *o.Refresh
		kept.refresh = &secret
	}
	i.sessions[session.TokenID] = kept
	return kept.info(), u, nil
}

// enrol returns what makes the session's device the user's, which it may be already.
func (m *Memory) enrol(op string, s *inos.SessionInfo, o *inos.Opening, now inos.Micros) (func(), error) {
	i := &m.identity
	if s.Device == "" {
		if i.devices[s.Subject][s.IssuedBy].Revoked {
			return nil, issuerRevoked(op, s)
		}
		return func() {}, nil
	}
	if d, known := i.devices[s.Subject][s.Device]; known {
		return func() {}, checkDevice(op, &d, o.PublicKey)
	}
	if o.Enrolment == nil {
		return nil, notEnrolled(op, s)
	}
	hash := *o.Enrolment
	if e, good := i.enrolments[hash]; !good || e.user != s.Subject || e.expires <= now {
		return nil, notEnrolled(op, s)
	}
	if len(i.devices[s.Subject]) >= inos.UserDevicesMax {
		return nil, tooMany(op, string(s.Subject), inos.UserDevicesMax, "devices, revoked ones included")
	}
	return func() {
		delete(i.enrolments, hash)
		m.putDevice(inos.Device{ID: s.Device, User: s.Subject, Name: o.DeviceName, PublicKey: [32]byte(o.PublicKey), CreatedAt: now})
		m.newFact(factDevices, deviceName(s.Subject, s.Device), now)
	}, nil
}

func (m *Memory) putDevice(d inos.Device) {
	if m.identity.devices[d.User] == nil {
		m.identity.devices[d.User] = map[string]inos.Device{}
	}
	m.identity.devices[d.User][d.ID] = d
}

// freshSecret refuses the hash of a refresh secret that is, or was, that of a session which is not gone.
func (m *Memory) freshSecret(op string, hash [inos.HashBytes]byte, gone func(*twinSession) bool) error {
	for id, s := range m.identity.sessions {
		if s.refresh != nil && *s.refresh == hash && !gone(s) {
			return secretTaken(op, id)
		}
	}
	if r, used := m.identity.refreshes[hash]; used {
		return secretTaken(op, r.tokenID)
	}
	return nil
}

// RefreshSession implements inos.SemanticIdentity.
func (m *Memory) RefreshSession(ctx context.Context, refresh, next [inos.HashBytes]byte, now inos.Micros) (session inos.SessionInfo, u inos.User, reused bool, err error) {
	const op = "semantic:refresh_session"
	if err := checkNext(op, refresh, next); err != nil {
		return session, u, false, err
	}
	if err := m.enter(ctx, op); err != nil {
		return session, u, false, err
	}
	defer m.mu.Unlock()
	i := &m.identity
	used, wasUsed := i.refreshes[refresh]
	s, present := i.sessions[used.tokenID], false
	for _, other := range i.sessions {
		if other.refresh != nil && *other.refresh == refresh {
			s, present = other, true
		}
	}
	if s == nil || !present && !wasUsed || over(s.ExpiresAt, now) {
		return session, u, false, noSecret(op)
	}
	u, known := m.user(s.Subject)
	if !known {
		return session, u, false, noLogin(op, s.Subject)
	}
	switch {
	case present:
		if err := m.freshSecret(op, next, func(*twinSession) bool { return false }); err != nil {
			return session, inos.User{}, false, err
		}
		s.refreshes++
		i.refreshes[refresh] = twinRefresh{s.TokenID, s.refreshes, s.ExpiresAt}
		maps.DeleteFunc(i.refreshes, func(_ [inos.HashBytes]byte, r twinRefresh) bool {
			return r.tokenID == s.TokenID && r.seq <= s.refreshes-inos.RefreshesMax
		})
		s.refresh = &next
	case used.seq != s.refreshes || *s.refresh != next:
		reused = true
		delete(i.sessions, s.TokenID)
	}
	return s.info(), u, reused, nil
}

// revoke deletes the sessions that match and returns their token ids, sorted.
func (m *Memory) revoke(match func(*twinSession) bool) (revoked []string) {
	for _, id := range slices.Sorted(maps.Keys(m.identity.sessions)) {
		if match(m.identity.sessions[id]) {
			delete(m.identity.sessions, id)
			revoked = append(revoked, id)
		}
	}
	return revoked
}

func (m *Memory) shutOut(user inos.Subject) []string {
	m.dropEnrolments(user)
	return m.revoke(func(s *twinSession) bool { return s.Subject == user })
}

func (m *Memory) dropEnrolments(user inos.Subject) {
	maps.DeleteFunc(m.identity.enrolments, func(_ [inos.HashBytes]byte, e twinEnrolment) bool { return e.user == user })
}

// FindSession implements inos.SemanticIdentity.
func (m *Memory) FindSession(ctx context.Context, tokenID string) (inos.SessionInfo, error) {
	const op = "semantic:find_session"
	if err := m.enter(ctx, op); err != nil {
		return inos.SessionInfo{}, err
	}
	defer m.mu.Unlock()
	if s := m.identity.sessions[tokenID]; s != nil {
		return s.info(), nil
	}
	return inos.SessionInfo{}, noSession(op)
}

// ListSessions implements inos.SemanticIdentity.
func (m *Memory) ListSessions(ctx context.Context, user inos.Subject, after string, limit int, now inos.Micros) (sessions []inos.SessionInfo, more bool, err error) {
	if err := m.enter(ctx, "semantic:list_sessions"); err != nil {
		return nil, false, err
	}
	defer m.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(m.identity.sessions)) {
		if s := m.identity.sessions[id]; s.Subject == user && id > after && !over(s.ExpiresAt, now) {
			sessions = append(sessions, s.info())
		}
	}
	sessions, more = cut(sessions, page(limit, SessionsPageMax))
	return sessions, more, nil
}

// RevokeSessions implements inos.SemanticIdentity.
func (m *Memory) RevokeSessions(ctx context.Context, user inos.Subject, tokenID string) (revoked []string, err error) {
	if err := m.enter(ctx, "semantic:revoke_sessions"); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	if tokenID == "" {
		return m.shutOut(user), nil
	}
	return m.revoke(func(s *twinSession) bool { return s.Subject == user && s.TokenID == tokenID }), nil
}

// PruneSessions implements inos.SemanticIdentity.
func (m *Memory) PruneSessions(ctx context.Context, before inos.Micros, limit int) (pruned int, err error) {
	if err := m.enter(ctx, "semantic:prune_sessions"); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	i, left := &m.identity, page(limit, SweepRowsMax)
	ended := func(end inos.Micros) bool { return end != 0 && end < before }
	prune := func(rows []twinEnd) {
		slices.SortFunc(rows, func(a, b twinEnd) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.key, b.key)) })
		for _, row := range rows[:min(len(rows), left)] {
			row.forget()
			left--
			pruned++
		}
	}
	var rows []twinEnd
	for id, s := range i.sessions {
		if ended(s.ExpiresAt) {
			rows = append(rows, twinEnd{s.ExpiresAt, id, func() { delete(i.sessions, id) }})
		}
	}
	prune(rows)
	rows = nil
	for hash, r := range i.refreshes {
		if ended(r.until) {
			rows = append(rows, twinEnd{r.until, string(hash[:]), func() { delete(i.refreshes, hash) }})
		}
	}
	prune(rows)
	rows = nil
	for hash, e := range i.enrolments {
		if ended(e.expires) {
			rows = append(rows, twinEnd{e.expires, string(hash[:]), func() { delete(i.enrolments, hash) }})
		}
	}
	prune(rows)
	return pruned, nil
}

// twinEnd is a row that is over.
type twinEnd struct {
	at     inos.Micros
	key    string
	forget func()
}
