package semantic

import (
	"context"
	"database/sql"

	"github.com/inos-mesh/inos"
)

// WantRepairs implements inos.SemanticMesh.
func (s *Store) WantRepairs(ctx context.Context, wants []inos.RepairWant, now inos.Micros) (added int, err error) {
	const op = "semantic:want_repairs"
	if err := checkWants(op, wants); err != nil {
		return 0, err
	}
	err = s.write(ctx, op, 1+len(wants), func(t *tx) error {
		for i := range wants {
			w := &wants[i]
			fresh, err := t.changed(insertRepair, w.ID[:], w.Reason, int64(w.Live), int64(now))
			if err != nil {
				return err
			}
			if fresh {
				added++
				t.delta.repairs++
			} else if err := t.exec(raiseRepair, w.ID[:], w.Reason, int64(w.Live), int64(now)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return added, nil
}

// ClaimRepairs implements inos.SemanticMesh.
func (s *Store) ClaimRepairs(ctx context.Context, holder inos.NodeID, now, until inos.Micros, limit int) (claimed []inos.Repair, err error) {
	const op = "semantic:claim_repairs"
	if err := checkClaim(op, holder, now, until); err != nil {
		return nil, err
	}
	limit = page(limit, ClaimMax)
	err = s.write(ctx, op, limit, func(t *tx) error {
		var one int64
		ready, err := found(t.row(anyReady, int64(now)), &one)
		if err != nil || !ready {
			return err
		}
		rows, err := t.stmts[selectReady].QueryContext(context.Background(), int64(now), limit)
		if err != nil {
			return err
		}
		if claimed, err = scanRepairs(rows); err != nil {
			return err
		}
		for i := range claimed {
			r := &claimed[i]
			r.Lease, r.LeaseUntil, r.Holder = uint64(t.nextLease()), until, holder
			if err := t.exec(leaseRepair, r.ID[:], int64(r.Lease), int64(until), string(holder)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

func scanRepairs(rows *sql.Rows) (repairs []inos.Repair, err error) {
	defer rows.Close()
	for rows.Next() {
		var id []byte
		var r inos.Repair
		if err := rows.Scan(&id, &r.Reason, &r.Live, &r.AddedAt, &r.NotBefore, &r.Tries, &r.Lease, &r.LeaseUntil, &r.Holder); err != nil {
			return nil, err
		}
		if len(id) != inos.HashBytes {
			return nil, inos.Errorf(inos.CodeBadFormat, "read repair row", "an id of %d bytes, it has %d", len(id), inos.HashBytes)
		}
		r.ID = inos.ChunkID(id)
		repairs = append(repairs, r)
	}
	return repairs, rows.Err()
}

// SettleRepair implements inos.SemanticMesh.
func (s *Store) SettleRepair(ctx context.Context, id inos.ChunkID, lease uint64, added []inos.NodeID, retry, now inos.Micros) error {
	const op = "semantic:settle_repair"
	if err := checkNodes(op, added); err != nil {
		return err
	}
	return s.write(ctx, op, 1+len(added), func(t *tx) error {
		var held uint64
		var until inos.Micros
		queued, err := found(t.row(selectLease, id[:]), &held, &until)
		if err != nil {
			return err
		}
		if !queued || lease == 0 || held != lease || until <= now {
			return leaseOver(op, id, lease)
		}
		if err := t.addRepaired(op, id, added); err != nil {
			return err
		}
		if retry != 0 {
			return t.exec(retryRepair, id[:], int64(retry))
		}
		return t.endRepair(id)
	})
}

// addRepaired makes nodes hold a chunk, unless it is on its way out.
func (t *tx) addRepaired(op string, id inos.ChunkID, added []inos.NodeID) error {
	c, exists, err := t.chunk(id)
	if err != nil {
		return err
	}
	for _, node := range added {
		m, err := t.member(op, node)
		if err != nil {
			return err
		}
		if !exists || c.condemned {
			continue
		}
		if err := t.addCopy(id, node, m.epoch, storedBytes(&c.entry, c.roles), 0); err != nil {
			return err
		}
	}
	return nil
}

// endRepair takes a chunk off the queue, if it is there.
func (t *tx) endRepair(id inos.ChunkID) error {
	was, err := t.changed(deleteRepair, id[:])
	if was {
		t.delta.repairs--
	}
	return err
}

// ListRepairs implements inos.SemanticMesh.
func (s *Store) ListRepairs(ctx context.Context, limit int) (repairs []inos.Repair, total uint64, err error) {
	err = s.read(ctx, "semantic:list_repairs", func(r *snapshot) error {
		if err := r.row(countRepairs).Scan(&total); err != nil {
			return err
		}
		rows, err := r.query(listRepairs, page(limit, ListMax))
		if err != nil {
			return err
		}
		repairs, err = scanRepairs(rows)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return repairs, total, nil
}
