package semantic

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/inos-mesh/inos"
)

// grantRow is a row of grants.
type grantRow struct {
	inos.AccessGrant
	link []byte // hash of a link's secret
}

func scanGrant(scan func(...any) error) (g grantRow, err error) {
	var prefix []byte
	var verbs int64
	err = scan(&g.ID, &g.Owner, &prefix, &g.Grantee, &verbs, &g.ExpiresAt, &g.UsesMax, &g.Uses, &g.By, &g.CreatedAt, &g.link)
	g.Prefix, g.Verbs = inos.Path(prefix), verbsOf(verbs)
	return g, err
}

func (t *tx) grant(id string) (grantRow, bool, error) { return foundGrant(t.row(selectGrant, id)) }

func foundGrant(r *sql.Row) (grantRow, bool, error) {
	g, err := scanGrant(r.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return grantRow{}, false, nil
	}
	return g, err == nil, err
}

// grantsOf leaves out what only the memory knows of grants.
func grantsOf(rows []grantRow) (grants []inos.AccessGrant) {
	for i := range rows {
		grants = append(grants, rows[i].AccessGrant)
	}
	return grants
}

// PutGrant implements inos.SemanticIdentity.
func (s *Store) PutGrant(ctx context.Context, g inos.AccessGrant, link *[inos.HashBytes]byte, key inos.RequestKey, now inos.Micros) (put inos.AccessGrant, err error) {
	const op = "semantic:put_grant"
	g, err = checkGrant(op, g, link)
	if err != nil {
		return put, err
	}
	if err := checkKey(op, key); err != nil {
		return put, err
	}
	err = s.write(ctx, op, 16, func(t *tx) error {
		reply, err := t.reply(key)
		if err != nil {
			return err
		}
		if reply != nil {
			put, err = t.grantAgain(op, reply, &g, link, now)
			return err
		}
		if put, err = t.putGrant(op, g, link, now); err != nil {
			return err
		}
		return t.remember(key, now, encodeReply(replyGrant, grantMessage(&put)))
	})
	if err != nil {
		return inos.AccessGrant{}, err
	}
	return put, nil
}

// grantAgain answers a key that was used before: the grant is the one made then, and of a link the new secret takes the place of the first, which
// nobody may have received.
func (t *tx) grantAgain(op string, reply []byte, g *inos.AccessGrant, link *[inos.HashBytes]byte, now inos.Micros) (inos.AccessGrant, error) {
	was, err := decodeGrant(op, reply)
	if err != nil {
		return was, err
	}
	if err := sameGrant(op, &was, g, link != nil); err != nil {
		return was, err
	}
	row, known, err := t.grant(was.ID)
	if err != nil {
		return was, err
	}
	if !known {
		return was, grantGone(op, was.ID)
	}
	if link == nil || string(row.link) == string(link[:]) {
		return was, nil
	}
	if err := t.freshLink(op, link); err != nil {
		return was, err
	}
	if err := t.exec(relinkGrant, was.ID, link[:]); err != nil {
		return was, err
	}
	return was, t.newFact(factGrants, was.ID, now)
}

func (t *tx) putGrant(op string, g inos.AccessGrant, link *[inos.HashBytes]byte, now inos.Micros) (inos.AccessGrant, error) {
	if err := t.haveUser(op, g.Owner); err != nil {
		return g, err
	}
	if err := t.haveGrantee(op, g.Grantee); err != nil {
		return g, err
	}
	_, known, err := t.grant(g.ID)
	if err != nil {
		return g, err
	}
	if known {
		return g, grantExists(op, g.ID)
	}
	if link != nil {
		if err := t.freshLink(op, link); err != nil {
			return g, err
		}
	}
	if err := t.roomForGrant(op, g.Owner, link != nil, now); err != nil {
		return g, err
	}
	g.CreatedAt, g.Uses = now, 0
	row := grantRow{AccessGrant: g}
	if link != nil {
		row.link = link[:]
	}
	if err := t.writeGrant(&row); err != nil {
		return g, err
	}
	return g, t.newFact(factGrants, g.ID, now)
}

func (t *tx) writeGrant(g *grantRow) error {
	return t.exec(insertGrant, g.ID, string(g.Owner), []byte(g.Prefix), g.Grantee, verbBits(g.Verbs), int64(g.ExpiresAt), int64(g.UsesMax), int64(g.Uses),
		string(g.By), int64(g.CreatedAt), g.link)
}

func (t *tx) haveGrantee(op, grantee string) error {
	if user := inos.Subject(named(grantee, inos.GranteeUser)); user != "" {
		return t.haveUser(op, user)
	}
	group := named(grantee, inos.GranteeGroup)
	if group == "" {
		return nil
	}
	var one int64
	known, err := found(t.row(existsGroup, group), &one)
	if err == nil && !known {
		return groupUnknown(op, group)
	}
	return err
}

func (t *tx) freshLink(op string, link *[inos.HashBytes]byte) error {
	g, known, err := foundGrant(t.row(selectLink, link[:]))
	if err == nil && known {
		return linkTaken(op, g.ID)
	}
	return err
}

// roomForGrant removes grants that are over when there are as many as a namespace may have.
func (t *tx) roomForGrant(op string, owner inos.Subject, link bool, now inos.Micros) error {
	counted, most := countAccess, inos.OwnerGrantsMax
	if link {
		counted, most = countLinks, inos.OwnerLinksMax
	}
	for _, swept := range []bool{false, true} {
		var grants int
		if err := t.row(counted, string(owner)).Scan(&grants); err != nil || grants < most {
			return err
		}
		if swept {
			break
		}
		rows, err := t.query(selectOverGrants, string(owner), int64(now))
		ended, err := collect(rows, err, scanGrant)
		if err != nil {
			return err
		}
		for i := range ended {
			if err := t.removeGrant(ended[i].ID, now); err != nil {
				return err
			}
		}
	}
	return tooManyGrants(op, owner, link)
}

func (t *tx) removeGrant(id string, now inos.Micros) error {
	if err := t.exec(deleteGrant, id); err != nil {
		return err
	}
	return t.endFact(factGrants, id, now)
}

// RemoveGrant implements inos.SemanticIdentity.
func (s *Store) RemoveGrant(ctx context.Context, owner inos.Subject, id string, now inos.Micros) (removed inos.AccessGrant, err error) {
	const op = "semantic:remove_grant"
	err = s.write(ctx, op, 2, func(t *tx) error {
		g, known, err := t.grant(id)
		if err != nil {
			return err
		}
		if !known || g.Owner != owner {
			return grantUnknown(op, owner, id)
		}
		removed = g.AccessGrant
		return t.removeGrant(id, now)
	})
	if err != nil {
		return inos.AccessGrant{}, err
	}
	return removed, nil
}

// UseGrant implements inos.SemanticIdentity.
func (s *Store) UseGrant(ctx context.Context, owner inos.Subject, id, requestID string, now inos.Micros) (uses uint32, err error) {
	const op = "semantic:use_grant"
	key := useKey(id, requestID)
	if err := checkKey(op, key); err != nil {
		return 0, err
	}
	err = s.write(ctx, op, 2, func(t *tx) error {
		g, known, err := t.grant(id)
		if err != nil {
			return err
		}
		if !known || g.Owner != owner || g.Over(now) {
			return grantUnknown(op, owner, id)
		}
		reply, err := t.reply(key)
		if err != nil {
			return err
		}
		if uses = g.Uses; reply != nil {
			return nil
		}
		if usedUp(&g.AccessGrant) {
			return grantUsedUp(op, id)
		}
		uses++
		if err := t.exec(useGrant, id); err != nil {
			return err
		}
		if g.UsesMax > 0 { // what is left of a bounded link survives with it
			if err := t.newFact(factGrants, id, now); err != nil {
				return err
			}
		}
		return t.remember(key, now, []byte{replyUse})
	})
	if err != nil {
		return 0, err
	}
	return uses, nil
}

// FindLink implements inos.SemanticIdentity.
func (s *Store) FindLink(ctx context.Context, hash [inos.HashBytes]byte) (inos.AccessGrant, error) {
	const op = "semantic:find_link"
	g, known, err := foundGrant(s.reads[selectLink].QueryRowContext(ctx, hash[:]))
	if err != nil {
		return inos.AccessGrant{}, s.wrap(op, err)
	}
	if !known {
		return inos.AccessGrant{}, noLink(op)
	}
	return g.AccessGrant, nil
}

// ListGrants implements inos.SemanticIdentity.
func (s *Store) ListGrants(ctx context.Context, owner, subject inos.Subject, after string, limit int, now inos.Micros) (grants []inos.AccessGrant, more bool, err error) {
	const op = "semantic:list_grants"
	if err := checkOwnerOrSubject(op, owner, subject); err != nil {
		return nil, false, err
	}
	limit = page(limit, GrantsPageMax)
	var all []grantRow
	err = s.read(ctx, op, func(r *snapshot) error {
		if owner != "" {
			rows, err := r.query(listGrantsOf, string(owner), after, int64(now), limit+1)
			all, err = collect(rows, err, scanGrant)
			return err
		}
		rows, err := r.query(selectGroupsOf, string(subject))
		groups, err := collect(rows, err, scanText[string])
		if err != nil {
			return err
		}
		for _, grantee := range grantees(subject, groups) {
			rows, err := r.query(listGrantsTo, grantee, after, int64(now), limit+1)
			some, err := collect(rows, err, scanGrant)
			if err != nil {
				return err
			}
			all = append(all, some...)
			slices.SortFunc(all, compareGrants)
			all = all[:min(len(all), limit+1)]
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	grants, more = cut(grantsOf(all), limit)
	return grants, more, nil
}

// ReadAccess implements inos.SemanticIdentity.
func (s *Store) ReadAccess(ctx context.Context, owner, subject inos.Subject, now inos.Micros) (access inos.Access, err error) {
	const op = "semantic:read_access"
	if err := checkAccess(op, owner, subject); err != nil {
		return access, err
	}
	err = s.read(ctx, op, func(r *snapshot) error {
		u, _, err := foundUser(r.row(selectUser, string(owner)))
		if err != nil {
			return err
		}
		access.Owner = u
		rows, err := r.query(readAccess, string(owner), granteeOf(subject), string(subject), int64(now))
		grants, err := collect(rows, err, scanGrant)
		slices.SortFunc(grants, compareGrants)
		access.Grants = grantsOf(grants)
		return err
	})
	if err != nil {
		return inos.Access{}, err
	}
	return access, nil
}
