package semantic

import (
	"context"

	"github.com/inos-mesh/inos"
)

// PutGroup implements inos.SemanticIdentity.
func (s *Store) PutGroup(ctx context.Context, g inos.Group, now inos.Micros) error {
	const op = "semantic:put_group"
	g, err := checkGroup(op, g)
	if err != nil {
		return err
	}
	for left := true; left; {
		err := s.write(ctx, op, 1+len(g.Members), func(t *tx) (err error) {
			if len(g.Members) > 0 {
				left = false
				return t.putGroup(op, &g, now)
			}
			left, err = t.removeGroup(g.Name, now)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) putGroup(op string, g *inos.Group, now inos.Micros) error {
	var one int64
	known, err := found(t.row(existsGroup, g.Name), &one)
	if err != nil {
		return err
	}
	if !known {
		var groups int
		if err := t.row(countGroups).Scan(&groups); err != nil {
			return err
		}
		if groups >= inos.GroupsMax {
			return tooMany(op, "the mesh", inos.GroupsMax, "groups")
		}
		if err := t.exec(insertGroup, g.Name); err != nil {
			return err
		}
	}
	if err := t.exec(deleteMembersOf, g.Name); err != nil {
		return err
	}
	for _, user := range g.Members {
		if err := t.haveUser(op, user); err != nil {
			return err
		}
		var groups int
		if err := t.row(countGroupsOf, string(user)).Scan(&groups); err != nil {
			return err
		}
		if groups >= inos.UserGroupsMax {
			return tooMany(op, string(user), inos.UserGroupsMax, "groups to be in")
		}
	}
	if err := t.insertMembers(g); err != nil {
		return err
	}
	return t.newFact(factGroups, g.Name, now)
}

func (t *tx) insertMembers(g *inos.Group) error {
	for _, user := range g.Members {
		if err := t.exec(insertMemberOf, g.Name, string(user)); err != nil {
			return err
		}
	}
	return nil
}

// removeGroup removes at most SweepRowsMax of the grants to a group and, with the last, the group: one of the same name is another.
func (t *tx) removeGroup(name string, now inos.Micros) (left bool, err error) {
	var one int64
	known, err := found(t.row(existsGroup, name), &one)
	if err != nil || !known {
		return false, err
	}
	rows, err := t.query(selectGrantsTo, inos.GranteeGroup+name, SweepRowsMax+1)
	grants, err := collect(rows, err, scanGrant)
	if err != nil {
		return false, err
	}
	for i := range grants {
		if i == SweepRowsMax {
			return true, nil
		}
		if err := t.removeGrant(grants[i].ID, now); err != nil {
			return false, err
		}
	}
	if err := t.exec(deleteMembersOf, name); err != nil {
		return false, err
	}
	if err := t.exec(deleteGroup, name); err != nil {
		return false, err
	}
	return false, t.endFact(factGroups, name, now)
}

// ListGroups implements inos.SemanticIdentity.
func (s *Store) ListGroups(ctx context.Context, after string, limit int) (groups []inos.Group, more bool, err error) {
	limit = page(limit, GroupsPageMax)
	err = s.read(ctx, "semantic:list_groups", func(r *snapshot) error {
		rows, err := r.query(listGroups, after, limit+1)
		names, err := collect(rows, err, scanText[string])
		if err != nil {
			return err
		}
		names, more = cut(names, limit)
		for _, name := range names {
			members, err := membersOf(r, name)
			if err != nil {
				return err
			}
			groups = append(groups, inos.Group{Name: name, Members: members})
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	return groups, more, nil
}

func membersOf(r reader, group string) ([]inos.Subject, error) {
	rows, err := r.query(selectMembersOf, group)
	return collect(rows, err, scanText[inos.Subject])
}
