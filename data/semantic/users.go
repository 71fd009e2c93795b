package semantic

import (
	"context"
	"database/sql"
	"errors"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// PutUser implements inos.SemanticIdentity.
func (s *Store) PutUser(ctx context.Context, u inos.User, create bool, credits int64, key inos.RequestKey, now inos.Micros) (put inos.User, revoked []string, err error) {
	const op = "semantic:put_user"
	if err := checkUser(op, &u, credits, key); err != nil {
		return put, nil, err
	}
	err = s.write(ctx, op, 16, func(t *tx) error {
		reply, err := t.reply(key)
		if err != nil {
			return err
		}
		if reply != nil {
			if put, err = decodeUser(op, reply); err != nil {
				return err
			}
			return sameUser(op, put.Name, u.Name)
		}
		if put, revoked, err = t.putUser(op, u, create, credits, key.ID, now); err != nil {
			return err
		}
		return t.remember(key, now, encodeReply(replyUser, userMessage(&put)))
	})
	if err != nil {
		return inos.User{}, nil, err
	}
	return put, revoked, nil
}

func (t *tx) putUser(op string, u inos.User, create bool, credits int64, eventID string, now inos.Micros) (put inos.User, revoked []string, err error) {
	_, known, err := t.user(u.Name)
	switch {
	case err != nil:
		return put, nil, err
	case create && known:
		return put, nil, userExists(op, u.Name)
	case !create && !known:
		return put, nil, userUnknown(op, u.Name)
	}
	if create {
		var users int
		if err := t.row(countUsers).Scan(&users); err != nil {
			return put, nil, err
		}
		if users >= inos.UsersMax {
			return put, nil, tooMany(op, "the mesh", inos.UsersMax, "users")
		}
		err = t.exec(insertUser, string(u.Name), flag(u.Operator), flag(u.Disabled), int64(u.Quota.PlainBytes), int64(u.Quota.Files), int64(u.Quota.RequestsPerSecond), int64(now))
	} else {
		err = t.exec(updateUser, string(u.Name), flag(u.Operator), flag(u.Disabled), int64(u.Quota.PlainBytes), int64(u.Quota.Files), int64(u.Quota.RequestsPerSecond))
	}
	if err != nil {
		return put, nil, err
	}
	if u.Disabled {
		if revoked, err = t.shutOut(u.Name); err != nil {
			return put, nil, err
		}
	}
	if credits > 0 {
		if _, err := t.post(op, eventID, creditEntries(u.Name, credits), now); err != nil {
			return put, nil, err
		}
	}
	if err := t.newFact(factUsers, string(u.Name), now); err != nil {
		return put, nil, err
	}
	put, _, err = t.user(u.Name)
	return put, revoked, err
}

// flag is a truth as a column has it.
func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (t *tx) user(name inos.Subject) (inos.User, bool, error) {
	return foundUser(t.row(selectUser, string(name)))
}

func foundUser(r *sql.Row) (inos.User, bool, error) {
	u, err := scanUser(r.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return inos.User{}, false, nil
	}
	return u, err == nil, err
}

func scanUser(scan func(...any) error) (u inos.User, err error) {
	return u, scan(&u.Name, &u.Operator, &u.Disabled, &u.Quota.PlainBytes, &u.Quota.Files, &u.Quota.RequestsPerSecond, &u.CreatedAt,
		&u.Usage.Files, &u.Usage.PlainBytes, &u.Balance)
}

// haveUser refuses a name that is no user's.
func (t *tx) haveUser(op string, name inos.Subject) error {
	var disabled bool
	known, err := found(t.row(existsUser, string(name)), &disabled)
	if err == nil && !known {
		return userUnknown(op, name)
	}
	return err
}

func userMessage(u *inos.User) *eventpb.User {
	return &eventpb.User{
		Name: string(u.Name), Operator: u.Operator, Disabled: u.Disabled, CreatedUs: int64(u.CreatedAt), Balance: u.Balance,
		Quota: &eventpb.Quota{PlainBytes: u.Quota.PlainBytes, Files: u.Quota.Files, RequestsPerSecond: u.Quota.RequestsPerSecond},
		Usage: &eventpb.Usage{PlainBytes: u.Usage.PlainBytes, Files: u.Usage.Files},
	}
}

func messageUser(m *eventpb.User) inos.User {
	u := inos.User{Name: inos.Subject(m.Name), Operator: m.Operator, Disabled: m.Disabled, CreatedAt: inos.Micros(m.CreatedUs), Balance: m.Balance}
	if q := m.Quota; q != nil {
		u.Quota = inos.Quota{PlainBytes: q.PlainBytes, Files: q.Files, RequestsPerSecond: q.RequestsPerSecond}
	}
	if q := m.Usage; q != nil {
		u.Usage = inos.NamespaceUsage{PlainBytes: q.PlainBytes, Files: q.Files}
	}
	return u
}

func decodeUser(op string, b []byte) (inos.User, error) {
	var m eventpb.User
	if err := decodeReply(op, replyUser, b, &m); err != nil {
		return inos.User{}, err
	}
	return messageUser(&m), nil
}

// FindUser implements inos.SemanticIdentity.
func (s *Store) FindUser(ctx context.Context, name inos.Subject) (u inos.User, groups []string, err error) {
	const op = "semantic:find_user"
	err = s.read(ctx, op, func(r *snapshot) error {
		var known bool
		if u, known, err = foundUser(r.row(selectUser, string(name))); err != nil {
			return err
		}
		if !known {
			return userUnknown(op, name)
		}
		rows, err := r.query(selectGroupsOf, string(name))
		groups, err = collect(rows, err, scanText[string])
		return err
	})
	if err != nil {
		return inos.User{}, nil, err
	}
	return u, groups, nil
}

// ListUsers implements inos.SemanticIdentity.
func (s *Store) ListUsers(ctx context.Context, after string, limit int) (users []inos.User, more bool, err error) {
	limit = page(limit, ListMax)
	r, err := s.reads[listUsers].QueryContext(ctx, after, limit+1)
	users, err = collect(r, err, scanUser)
	if err != nil {
		return nil, false, s.wrap("semantic:list_users", err)
	}
	users, more = cut(users, limit)
	return users, more, nil
}
