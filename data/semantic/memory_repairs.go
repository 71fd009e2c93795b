package semantic

import (
	"cmp"
	"context"
	"slices"

	"github.com/inos-mesh/inos"
)

// WantRepairs implements inos.SemanticMesh.
func (m *Memory) WantRepairs(ctx context.Context, wants []inos.RepairWant, now inos.Micros) (added int, err error) {
	const op = "semantic:want_repairs"
	if err := checkWants(op, wants); err != nil {
		return 0, err
	}
	if err := m.enter(ctx, op); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	for _, w := range wants {
		if m.chunks[w.ID] == nil {
			continue
		}
		r, queued := m.repairs[w.ID]
		switch {
		case !queued:
			m.repairs[w.ID] = inos.Repair{RepairWant: w, AddedAt: now, NotBefore: now}
			added++
		case w.Live < r.Live:
			r.RepairWant, r.NotBefore = w, now
			m.repairs[w.ID] = r
		}
	}
	return added, nil
}

// queue returns all repairs in the order in which they are claimed.
func (m *Memory) queue() []inos.Repair {
	queue := make([]inos.Repair, 0, len(m.repairs))
	for _, r := range m.repairs {
		queue = append(queue, r)
	}
	slices.SortFunc(queue, func(a, b inos.Repair) int {
		return cmp.Or(cmp.Compare(a.Live, b.Live), cmp.Compare(a.AddedAt, b.AddedAt), compareIDs(a.ID, b.ID))
	})
	return queue
}

// ClaimRepairs implements inos.SemanticMesh.
func (m *Memory) ClaimRepairs(ctx context.Context, holder inos.NodeID, now, until inos.Micros, limit int) (claimed []inos.Repair, err error) {
	const op = "semantic:claim_repairs"
	if err := checkClaim(op, holder, now, until); err != nil {
		return nil, err
	}
	if err := m.enter(ctx, op); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	for _, r := range m.queue() {
		if len(claimed) == page(limit, ClaimMax) {
			break
		}
		if r.Lease != 0 && r.LeaseUntil > now || r.NotBefore > now {
			continue
		}
		m.lease++
		r.Lease, r.LeaseUntil, r.Holder = m.lease, until, holder
		m.repairs[r.ID] = r
		claimed = append(claimed, r)
	}
	return claimed, nil
}

// SettleRepair implements inos.SemanticMesh.
func (m *Memory) SettleRepair(ctx context.Context, id inos.ChunkID, lease uint64, added []inos.NodeID, retry, now inos.Micros) error {
	const op = "semantic:settle_repair"
	if err := checkNodes(op, added); err != nil {
		return err
	}
	if err := m.enter(ctx, op); err != nil {
		return err
	}
	defer m.mu.Unlock()
	r, queued := m.repairs[id]
	if !queued || lease == 0 || r.Lease != lease || r.LeaseUntil <= now {
		return leaseOver(op, id, lease)
	}
	for _, node := range added {
		if _, err := m.member(op, node); err != nil {
			return err
		}
	}
	if c := m.chunks[id]; !c.condemned {
		for _, node := range added {
			c.confirm(node, m.members[node].Epoch)
		}
	}
	if retry == 0 {
		delete(m.repairs, id)
		return nil
	}
	r.Tries++
	r.NotBefore, r.Lease, r.LeaseUntil, r.Holder = retry, 0, 0, ""
	m.repairs[id] = r
	return nil
}

// ListRepairs implements inos.SemanticMesh.
func (m *Memory) ListRepairs(ctx context.Context, limit int) (repairs []inos.Repair, total uint64, err error) {
	if err := m.enter(ctx, "semantic:list_repairs"); err != nil {
		return nil, 0, err
	}
	defer m.mu.Unlock()
	queue := m.queue()
	return queue[:min(len(queue), page(limit, ListMax))], uint64(len(queue)), nil
}
