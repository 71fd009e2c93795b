package semantic

import (
	"context"
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// OpenSession implements inos.SemanticIdentity.
func (s *Store) OpenSession(ctx context.Context, session inos.SessionInfo, o inos.Opening, now inos.Micros) (opened inos.SessionInfo, u inos.User, err error) {
	const op = "semantic:open_session"
	if err := checkOpening(op, &session, &o); err != nil {
		return opened, u, err
	}
	session.CreatedAt, session.Refreshable = now, o.Refresh != nil
	err = s.write(ctx, op, 4, func(t *tx) (err error) {
		var known bool
		if u, known, err = t.user(session.Subject); err != nil {
			return err
		}
		if !known || u.Disabled {
			return noLogin(op, session.Subject)
		}
		row, known, err := t.session(op, session.TokenID)
		if err != nil {
			return err
		}
		if known {
			opened = row.SessionInfo
			return sameSession(op, &row.SessionInfo, &session)
		}
		if err := t.mayOpen(op, &session, &o, now); err != nil {
			return err
		}
		opened = session
		return t.openSession(op, &session, o.Refresh, now)
	})
	if err != nil {
		return inos.SessionInfo{}, inos.User{}, err
	}
	return opened, u, nil
}

// mayOpen refuses a session of a device that is not the user's, or that a revoked one issued.
func (t *tx) mayOpen(op string, s *inos.SessionInfo, o *inos.Opening, now inos.Micros) error {
	switch {
	case s.Device != "":
		return t.enrol(op, s, o, now)
	case s.IssuedBy != "":
		d, known, err := t.device(s.Subject, s.IssuedBy)
		if err == nil && known && d.Revoked {
			err = issuerRevoked(op, s)
		}
		return err
	}
	return nil
}

func (t *tx) openSession(op string, s *inos.SessionInfo, refresh *[inos.HashBytes]byte, now inos.Micros) error {
	if err := t.exec(deleteOverSessions, string(s.Subject), int64(now)); err != nil {
		return err
	}
	var sessions int
	if err := t.row(countSessions, string(s.Subject)).Scan(&sessions); err != nil {
		return err
	}
	if sessions >= inos.UserSessionsMax {
		return tooMany(op, string(s.Subject), inos.UserSessionsMax, "sessions")
	}
	var secret []byte
	if refresh != nil {
		if err := t.freshSecret(op, *refresh); err != nil {
			return err
		}
		secret = refresh[:]
	}
	// A token id is given to one session: if it was given before, that session's secrets are not this one's.
	if err := t.exec(deleteRefreshes, s.TokenID, numberMax); err != nil {
		return err
	}
	return t.exec(insertSession, s.TokenID, string(s.Subject), s.Device, encodeSessionInfo(s), int64(s.ExpiresAt), secret, s.IssuedBy)
}

// freshSecret refuses the hash of a refresh secret that is, or was, a session's.
func (t *tx) freshSecret(op string, hash [inos.HashBytes]byte) error {
	var id string
	var seq int64
	known, err := found(t.row(selectRefresh, hash[:]), &id)
	if err == nil && !known {
		known, err = found(t.row(selectUsedRefresh, hash[:]), &id, &seq)
	}
	if err == nil && known {
		return secretTaken(op, id)
	}
	return err
}

// sessionRow is a row of sessions.
type sessionRow struct {
	inos.SessionInfo
	refresh   []byte // hash of the present refresh secret; nil: not refreshable
	refreshes int64
}

func (t *tx) session(op, tokenID string) (row sessionRow, known bool, err error) {
	var b []byte
	known, err = found(t.row(selectSession, tokenID), &b, &row.refresh, &row.refreshes)
	if err != nil || !known {
		return row, false, err
	}
	row.SessionInfo, err = decodeSessionInfo(op, b)
	return row, err == nil, err
}

// RefreshSession implements inos.SemanticIdentity.
func (s *Store) RefreshSession(ctx context.Context, refresh, next [inos.HashBytes]byte, now inos.Micros) (session inos.SessionInfo, u inos.User, reused bool, err error) {
	const op = "semantic:refresh_session"
	if err := checkNext(op, refresh, next); err != nil {
		return session, u, false, err
	}
	err = s.write(ctx, op, 4, func(t *tx) error {
		var row sessionRow
		if row, reused, err = t.refresh(op, refresh, next, now); err != nil {
			return err
		}
		session = row.SessionInfo
		var known bool
		if u, known, err = t.user(session.Subject); err == nil && !known {
			err = noLogin(op, session.Subject)
		}
		return err
	})
	if err != nil {
		return inos.SessionInfo{}, inos.User{}, false, err
	}
	return session, u, reused, nil
}

func (t *tx) refresh(op string, refresh, next [inos.HashBytes]byte, now inos.Micros) (row sessionRow, reused bool, err error) {
	var id string
	present, err := found(t.row(selectRefresh, refresh[:]), &id)
	if err != nil {
		return row, false, err
	}
	var seq int64
	if !present {
		used, err := found(t.row(selectUsedRefresh, refresh[:]), &id, &seq)
		if err != nil {
			return row, false, err
		}
		if !used {
			return row, false, noSecret(op)
		}
	}
	row, known, err := t.session(op, id)
	switch {
	case err != nil:
		return row, false, err
	case !known || over(row.ExpiresAt, now):
		return row, false, noSecret(op)
	case present:
		return row, false, t.rotate(op, &row, next)
	case seq == row.refreshes && string(row.refresh) == string(next[:]):
		return row, false, nil // the last call again
	}
	_, err = t.revoke(deleteSession, id, string(row.Subject))
	return row, true, err
}

func (t *tx) rotate(op string, row *sessionRow, next [inos.HashBytes]byte) error {
	if err := t.freshSecret(op, next); err != nil {
		return err
	}
	id, seq := row.TokenID, row.refreshes+1
	if err := t.exec(insertRefresh, row.refresh, id, seq, int64(row.ExpiresAt)); err != nil {
		return err
	}
	if err := t.exec(deleteRefreshes, id, seq-inos.RefreshesMax); err != nil {
		return err
	}
	return t.exec(rotateSession, id, next[:], seq)
}

// revoke deletes sessions and returns their token ids, sorted.
func (t *tx) revoke(s statement, args ...any) ([]string, error) {
	rows, err := t.query(s, args...)
	ids, err := collect(rows, err, scanText[string])
	slices.Sort(ids)
	return ids, err
}

// shutOut ends all sessions of a user, and the enrolments that whoever had one of them may have made.
func (t *tx) shutOut(user inos.Subject) ([]string, error) {
	if err := t.exec(deleteEnrolmentsOf, string(user)); err != nil {
		return nil, err
	}
	return t.revoke(deleteSessionsOf, string(user))
}

// FindSession implements inos.SemanticIdentity.
func (s *Store) FindSession(ctx context.Context, tokenID string) (session inos.SessionInfo, err error) {
	const op = "semantic:find_session"
	var b, refresh []byte
	var refreshes int64
	known, err := found(s.reads[selectSession].QueryRowContext(ctx, tokenID), &b, &refresh, &refreshes)
	if err != nil {
		return session, s.wrap(op, err)
	}
	if !known {
		return session, noSession(op)
	}
	return decodeSessionInfo(op, b)
}

// ListSessions implements inos.SemanticIdentity.
func (s *Store) ListSessions(ctx context.Context, user inos.Subject, after string, limit int, now inos.Micros) (sessions []inos.SessionInfo, more bool, err error) {
	const op = "semantic:list_sessions"
	limit = page(limit, SessionsPageMax)
	r, err := s.reads[listSessions].QueryContext(ctx, string(user), after, int64(now), limit+1)
	sessions, err = collect(r, err, func(scan func(...any) error) (inos.SessionInfo, error) {
		var b []byte
		if err := scan(&b); err != nil {
			return inos.SessionInfo{}, err
		}
		return decodeSessionInfo(op, b)
	})
	if err != nil {
		return nil, false, s.wrap(op, err)
	}
	sessions, more = cut(sessions, limit)
	return sessions, more, nil
}

// RevokeSessions implements inos.SemanticIdentity.
func (s *Store) RevokeSessions(ctx context.Context, user inos.Subject, tokenID string) (revoked []string, err error) {
	err = s.write(ctx, "semantic:revoke_sessions", 16, func(t *tx) (err error) {
		if tokenID == "" {
			revoked, err = t.shutOut(user)
		} else {
			revoked, err = t.revoke(deleteSession, tokenID, string(user))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return revoked, nil
}

// PruneSessions implements inos.SemanticIdentity.
func (s *Store) PruneSessions(ctx context.Context, before inos.Micros, limit int) (pruned int, err error) {
	limit = page(limit, SweepRowsMax)
	err = s.write(ctx, "semantic:prune_sessions", limit, func(t *tx) error {
		pruned = 0
		for _, sweep := range []statement{pruneSessions, pruneRefreshes, pruneEnrolments} {
			r, err := t.stmts[sweep].ExecContext(context.Background(), int64(before), limit-pruned)
			if err != nil {
				return err
			}
			n, err := r.RowsAffected()
			if err != nil {
				return err
			}
			pruned += int(n)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return pruned, nil
}

func encodeSessionInfo(s *inos.SessionInfo) []byte {
	m := eventpb.SessionInfo{Session: sessionMessage(&s.Session), Name: s.Name, CreatedUs: int64(s.CreatedAt), Refreshable: s.Refreshable}
	b := make([]byte, m.SizeVT())
	if _, err := m.MarshalToSizedBufferVT(b); err != nil {
		panic("semantic: encode a session in memory: " + err.Error()) // no input can cause it
	}
	return b
}

func decodeSessionInfo(op string, b []byte) (inos.SessionInfo, error) {
	var m eventpb.SessionInfo
	if err := m.UnmarshalVT(b); err != nil {
		return inos.SessionInfo{}, inos.Errorf(inos.CodeBadFormat, op, "the stored session of %d bytes does not decode: %w", len(b), err)
	}
	s := inos.SessionInfo{Name: m.Name, CreatedAt: inos.Micros(m.CreatedUs), Refreshable: m.Refreshable}
	if m.Session != nil {
		s.Session = messageSession(m.Session)
	}
	return s, nil
}
