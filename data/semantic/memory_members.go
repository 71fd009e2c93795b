package semantic

import (
	"cmp"
	"context"
	"slices"

	"github.com/inos-mesh/inos"
)

type twinMember struct {
	inos.Member // its counters are counted when asked
	invite      string
}

type twinCopy struct {
	epoch     uint64
	auditedAt inos.Micros // in that epoch
	promised  uint32
}

// confirm makes a node hold the chunk in an epoch; what was audited in an earlier one counts no more.
func (c *twinChunk) confirm(node inos.NodeID, epoch uint64) {
	if k, held := c.copies[node]; !held || k.epoch != epoch {
		c.copies[node] = twinCopy{epoch: epoch, promised: k.promised}
	}
}

// promise notes that a receipt may name every node that holds the chunk.
func (c *twinChunk) promise(promised uint32) {
	for node, k := range c.copies {
		if promised != 0 && (k.promised == 0 || k.promised > promised) {
			k.promised = promised
			c.copies[node] = k
		}
	}
}

func (c *twinChunk) drop(node inos.NodeID) bool {
	_, held := c.copies[node]
	delete(c.copies, node)
	return held
}

// storedBytes is what one copy takes; the map does not know it of a manifest node.
func (c *twinChunk) storedBytes() uint64 {
	if c.roles&roleData == 0 {
		return 0
	}
	return c.entry.StoredBytes
}

// member returns a member that is not removed.
func (m *Memory) member(op string, node inos.NodeID) (*twinMember, error) {
	member := m.members[node]
	if member == nil || member.State == inos.MemberRemoved {
		return nil, memberUnknown(op, node)
	}
	return member, nil
}

// counted returns members with their counters, by scanning all copies.
func (m *Memory) counted(ids ...inos.NodeID) []inos.Member {
	members := make([]inos.Member, len(ids))
	place := make(map[inos.NodeID]*inos.Member, len(ids))
	for i, id := range ids {
		members[i] = m.members[id].Member
		members[i].Addrs, members[i].Grant = slices.Clone(members[i].Addrs), slices.Clone(members[i].Grant)
		place[id] = &members[i]
	}
	for _, c := range m.chunks {
		for node := range c.copies {
			if p := place[node]; p != nil {
				p.Copies++
				p.PlacedBytes += c.storedBytes()
			}
		}
	}
	return members
}

// AdmitNode implements inos.SemanticMesh.
func (m *Memory) AdmitNode(ctx context.Context, member inos.Member, invite string, now inos.Micros) (inos.Member, error) {
	const op = "semantic:admit_node"
	if err := checkMember(op, &member, invite); err != nil {
		return inos.Member{}, err
	}
	if err := m.enter(ctx, op); err != nil {
		return inos.Member{}, err
	}
	defer m.mu.Unlock()
	if invite != "" {
		for id, other := range m.members {
			if other.invite == invite && id != member.ID {
				return inos.Member{}, inviteUsed(op, member.ID)
			}
		}
	}
	known := m.members[member.ID]
	switch {
	case known == nil && len(m.members) >= inos.MembersMax:
		return inos.Member{}, tooManyMembers(op)
	case known == nil:
		known = &twinMember{newMember(&member, now), invite}
		m.members[member.ID] = known
	case known.State == inos.MemberRemoved:
		return inos.Member{}, memberRemoved(op, member.ID)
	case len(member.Addrs) > 0:
		known.Addrs = slices.Clone(member.Addrs)
		known.Revision++
	}
	return m.counted(member.ID)[0], nil
}

// ListNodes implements inos.SemanticMesh.
func (m *Memory) ListNodes(ctx context.Context, after inos.NodeID, limit int) (members []inos.Member, more bool, err error) {
	if err := m.enter(ctx, "semantic:list_nodes"); err != nil {
		return nil, false, err
	}
	defer m.mu.Unlock()
	var above []inos.NodeID
	for id := range m.members {
		if id > after {
			above = append(above, id)
		}
	}
	slices.Sort(above)
	above, more = cut(above, page(limit, NodesPageMax))
	members = m.counted(above...)
	for i := range members {
		members[i].Grant = nil
	}
	return members, more, nil
}

// SetNode implements inos.SemanticMesh.
func (m *Memory) SetNode(ctx context.Context, id inos.NodeID, state inos.MemberState, addrs []string) (inos.Member, error) {
	const op = "semantic:set_node"
	if err := checkSetNode(op, id, state, addrs); err != nil {
		return inos.Member{}, err
	}
	if err := m.enter(ctx, op); err != nil {
		return inos.Member{}, err
	}
	defer m.mu.Unlock()
	member := m.members[id]
	if member == nil {
		return inos.Member{}, memberUnknown(op, id)
	}
	if state != 0 {
		if member.State == inos.MemberRemoved && state != inos.MemberRemoved {
			return inos.Member{}, memberRemoved(op, id)
		}
		if state == inos.MemberRemoved {
			for _, c := range m.chunks {
				c.drop(id)
			}
		}
		member.State = state
		member.Revision++
	}
	if addrs != nil {
		member.Addrs = slices.Clone(addrs)
		member.Revision++
	}
	return m.counted(id)[0], nil
}

// DistrustNode implements inos.SemanticMesh.
func (m *Memory) DistrustNode(ctx context.Context, id inos.NodeID) (epoch uint64, err error) {
	const op = "semantic:distrust_node"
	if err := checkText(op, "node id", string(id), 1); err != nil {
		return 0, err
	}
	if err := m.enter(ctx, op); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	member, err := m.member(op, id)
	if err != nil {
		return 0, err
	}
	member.Epoch++
	return member.Epoch, nil
}

// RaiseOrders implements inos.SemanticMesh.
func (m *Memory) RaiseOrders(ctx context.Context, ceiling uint64) (before uint64, err error) {
	const op = "semantic:raise_orders"
	if err := checkOrders(op, ceiling); err != nil {
		return 0, err
	}
	if err := m.enter(ctx, op); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	before = m.orders
	m.orders = max(before, ceiling)
	return before, nil
}

// enterEpoch locks the memory for a verb on a node's copies in one epoch.
func (m *Memory) enterEpoch(ctx context.Context, op string, node inos.NodeID, epoch uint64, ids []inos.ChunkID) error {
	if err := checkCopies(op, node, epoch, ids); err != nil {
		return err
	}
	if err := m.enter(ctx, op); err != nil {
		return err
	}
	member, err := m.member(op, node)
	if err == nil && member.Epoch != epoch {
		err = epochOver(op, node, epoch, member.Epoch)
	}
	if err != nil {
		m.mu.Unlock()
	}
	return err
}

// AddCopies implements inos.SemanticMesh.
func (m *Memory) AddCopies(ctx context.Context, node inos.NodeID, epoch uint64, ids []inos.ChunkID, promised uint32) (taken []inos.ChunkID, err error) {
	if err := m.enterEpoch(ctx, "semantic:add_copies", node, epoch, ids); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	for _, id := range ids {
		if c := m.chunks[id]; c != nil && !c.condemned {
			c.confirm(node, epoch)
			c.promise(promised)
			taken = append(taken, id)
		}
	}
	return taken, nil
}

// ConfirmCopies implements inos.SemanticMesh.
func (m *Memory) ConfirmCopies(ctx context.Context, node inos.NodeID, epoch uint64, ids []inos.ChunkID) (unlisted []inos.ChunkID, err error) {
	if err := m.enterEpoch(ctx, "semantic:confirm_copies", node, epoch, ids); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	for _, id := range ids {
		c := m.chunks[id]
		held := false
		if c != nil {
			_, held = c.copies[node]
		}
		if held {
			c.confirm(node, epoch)
		} else {
			unlisted = append(unlisted, id)
		}
	}
	return unlisted, nil
}

// AuditCopies implements inos.SemanticMesh.
func (m *Memory) AuditCopies(ctx context.Context, node inos.NodeID, epoch uint64, ids []inos.ChunkID, now inos.Micros) error {
	const op = "semantic:audit_copies"
	if err := checkCopies(op, node, epoch, ids); err != nil {
		return err
	}
	if err := m.enter(ctx, op); err != nil {
		return err
	}
	defer m.mu.Unlock()
	for _, id := range ids {
		if c := m.chunks[id]; c != nil {
			if k, held := c.copies[node]; held && k.epoch == epoch {
				c.copies[node] = twinCopy{epoch, now, k.promised}
			}
		}
	}
	return nil
}

// trusted says whether a node's copy of a chunk is of its present epoch.
func (m *Memory) trusted(c *twinChunk, node inos.NodeID) bool {
	k, held := c.copies[node]
	return held && k.epoch == m.members[node].Epoch
}

// RetireCopy implements inos.SemanticMesh.
func (m *Memory) RetireCopy(ctx context.Context, id inos.ChunkID, generation uint64, node inos.NodeID, keep []inos.NodeID) error {
	const op = "semantic:retire_copy"
	if err := checkRetire(op, node, keep); err != nil {
		return err
	}
	if err := m.enter(ctx, op); err != nil {
		return err
	}
	defer m.mu.Unlock()
	c := m.chunks[id]
	if c == nil || c.generation != generation {
		return generationOver(op, id, generation)
	}
	for _, k := range keep {
		if !m.trusted(c, k) || c.copies[k].auditedAt == 0 {
			return notKept(op, id, k)
		}
	}
	c.drop(node)
	return nil
}

// copies returns the copies of a chunk sorted by node, none of an unknown one.
func (m *Memory) copies(c *twinChunk) (copies []inos.Copy) {
	if c == nil {
		return nil
	}
	for node, k := range c.copies {
		known := inos.Copy{Node: node, Promised: k.promised}
		if m.trusted(c, node) {
			known.Trusted, known.AuditedAt = true, k.auditedAt
		}
		copies = append(copies, known)
	}
	slices.SortFunc(copies, func(a, b inos.Copy) int { return cmp.Compare(a.Node, b.Node) })
	return copies
}
