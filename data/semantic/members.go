package semantic

import (
	"context"
	"database/sql"
	"errors"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// presentMember is what the verbs on copies have to know of a member. The writer is the only one that changes members, so
// what it has read of one stays true until a verb of the same batch changes it.
type presentMember struct {
	epoch int64
	here  bool // it is a member, and not removed
}

// member returns a member that is not removed.
func (t *tx) member(op string, node inos.NodeID) (presentMember, error) {
	m, known := t.members[node]
	if !known {
		var state int64
		listed, err := found(t.row(memberEpoch, string(node)), &m.epoch, &state)
		if err != nil {
			return m, err
		}
		m.here = listed && inos.MemberState(state) != inos.MemberRemoved
		t.members[node] = m
	}
	if !m.here {
		return m, memberUnknown(op, node)
	}
	return m, nil
}

// placed is a change of a member's counters.
type placed struct{ copies, bytes int64 }

func (t *tx) place(node inos.NodeID, copies, bytes int64) {
	p := t.placed[node]
	t.placed[node] = placed{p.copies + copies, p.bytes + bytes}
}

// keepPlaced adds what a verb that succeeded has placed to the batch.
func (t *tx) keepPlaced() {
	for node, p := range t.placed {
		s := t.sums[node]
		t.sums[node] = placed{s.copies + p.copies, s.bytes + p.bytes}
	}
}

// writePlaced writes the members' counters once for the whole batch.
func (t *tx) writePlaced() error {
	for node, p := range t.sums {
		if p == (placed{}) {
			continue
		}
		if err := t.exec(addPlaced, string(node), p.copies, p.bytes); err != nil {
			return err
		}
	}
	return nil
}

// wholeMember returns a member's row with the counters as the batch has them by now.
func (t *tx) wholeMember(node inos.NodeID) (inos.Member, bool, error) {
	m, known, err := scanMember(t.row(selectMember, string(node)).Scan)
	for _, p := range []placed{t.sums[node], t.placed[node]} {
		m.Copies += uint64(p.copies)
		m.PlacedBytes += uint64(p.bytes)
	}
	return m, known, err
}

func scanMember(scan func(...any) error) (m inos.Member, known bool, err error) {
	var addrs []byte
	err = scan(&m.ID, &m.Operator, &m.Zone, &m.Host, &m.Tier, &m.OfferedBytes, &addrs, &m.JoinedAt, &m.State, &m.Epoch, &m.Copies, &m.PlacedBytes, &m.Revision, &m.Grant)
	if errors.Is(err, sql.ErrNoRows) {
		return inos.Member{}, false, nil
	}
	if err == nil {
		m.Addrs, err = decodeList[string]("read member row", addrs)
	}
	return m, err == nil, err
}

// encodeList stores texts in one column, as the protobuf message NodeList.
func encodeList[T ~string](texts []T) []byte {
	m := eventpb.NodeList{Nodes: make([]string, len(texts))}
	for i, text := range texts {
		m.Nodes[i] = string(text)
	}
	b := make([]byte, m.SizeVT())
	if _, err := m.MarshalToSizedBufferVT(b); err != nil {
		panic("semantic: encode a list in memory: " + err.Error()) // no input can cause it
	}
	return b
}

func decodeList[T ~string](op string, b []byte) ([]T, error) {
	var m eventpb.NodeList
	if err := m.UnmarshalVT(b); err != nil {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "a stored list of %d bytes does not decode: %w", len(b), err)
	}
	var texts []T
	for _, text := range m.Nodes {
		texts = append(texts, T(text))
	}
	return texts, nil
}

// AdmitNode implements inos.SemanticMesh.
func (s *Store) AdmitNode(ctx context.Context, m inos.Member, invite string, now inos.Micros) (admitted inos.Member, err error) {
	const op = "semantic:admit_node"
	if err := checkMember(op, &m, invite); err != nil {
		return inos.Member{}, err
	}
	err = s.write(ctx, op, 1, func(t *tx) error {
		var other string
		used, err := found(t.row(memberOfInvite, invite), &other)
		if err != nil {
			return err
		}
		if used && other != string(m.ID) {
			return inviteUsed(op, m.ID)
		}
		known, listed, err := t.wholeMember(m.ID)
		if err != nil {
			return err
		}
		switch {
		case !listed:
			admitted = newMember(&m, now)
			return t.insertMember(op, &admitted, invite)
		case known.State == inos.MemberRemoved:
			return memberRemoved(op, m.ID)
		}
		if len(m.Addrs) > 0 {
			if err := t.exec(setAddrs, string(m.ID), encodeList(m.Addrs)); err != nil {
				return err
			}
		}
		if known.Tier == "" { // the migration that made it knew no more than its id
			if err := t.exec(labelMember, string(m.ID), invite, m.Operator, m.Zone, m.Host, string(m.Tier), int64(m.OfferedBytes), filled(m.Grant)); err != nil {
				return err
			}
		}
		admitted, _, err = t.wholeMember(m.ID)
		return err
	})
	if err != nil {
		return inos.Member{}, err
	}
	return admitted, nil
}

func (t *tx) insertMember(op string, m *inos.Member, invite string) error {
	members, err := t.memberCount()
	if err != nil {
		return err
	}
	if members >= inos.MembersMax {
		return tooManyMembers(op)
	}
	delete(t.members, m.ID)
	t.delta.members++
	return t.exec(insertMember, string(m.ID), m.Operator, m.Zone, m.Host, string(m.Tier), int64(m.OfferedBytes), encodeList(m.Addrs),
		int64(m.JoinedAt), int64(m.State), int64(m.Epoch), int64(m.Copies), int64(m.PlacedBytes), int64(m.Revision), filled(m.Grant), invite)
}

// filled keeps a column that is never NULL from becoming it: no bytes are empty bytes.
func filled(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// ListNodes implements inos.SemanticMesh.
func (s *Store) ListNodes(ctx context.Context, after inos.NodeID, limit int) (members []inos.Member, more bool, err error) {
	limit = page(limit, NodesPageMax)
	rows, err := s.reads[listMembers].QueryContext(ctx, string(after), limit+1)
	members, err = collect(rows, err, func(scan func(...any) error) (inos.Member, error) {
		m, _, err := scanMember(func(columns ...any) error { return scan(columns[:len(columns)-1]...) }) // all but the last, the grant
		return m, err
	})
	if err != nil {
		return nil, false, s.wrap("semantic:list_nodes", err)
	}
	members, more = cut(members, limit)
	return members, more, nil
}

// SetNode implements inos.SemanticMesh.
func (s *Store) SetNode(ctx context.Context, id inos.NodeID, state inos.MemberState, addrs []string) (m inos.Member, err error) {
	const op = "semantic:set_node"
	if err := checkSetNode(op, id, state, addrs); err != nil {
		return inos.Member{}, err
	}
	for left := true; left; {
		err := s.write(ctx, op, SweepRowsMax, func(t *tx) error {
			m, left, err = t.setNode(op, id, state, addrs)
			return err
		})
		if err != nil {
			return inos.Member{}, err
		}
	}
	return m, nil
}

// setNode sets what is asked, or, left, drops some of the copies of a node that is to be removed.
func (t *tx) setNode(op string, id inos.NodeID, state inos.MemberState, addrs []string) (m inos.Member, left bool, err error) {
	m, listed, err := t.wholeMember(id)
	switch {
	case err != nil:
		return m, false, err
	case !listed:
		return m, false, memberUnknown(op, id)
	case m.State == inos.MemberRemoved && state != 0 && state != inos.MemberRemoved:
		return m, false, memberRemoved(op, id)
	}
	if state == inos.MemberRemoved {
		if left, err = t.dropNode(id); err != nil || left {
			return m, left, err
		}
	}
	if state != 0 {
		delete(t.members, id)
		if err := t.exec(setMember, string(id), int64(state)); err != nil {
			return m, false, err
		}
	}
	if addrs != nil {
		if err := t.exec(setAddrs, string(id), encodeList(addrs)); err != nil {
			return m, false, err
		}
	}
	m, _, err = t.wholeMember(id)
	return m, false, err
}

// dropNode drops at most SweepRowsMax copies of a node.
func (t *tx) dropNode(node inos.NodeID) (left bool, err error) {
	ids, err := t.ids(selectNodeCopies, string(node), SweepRowsMax+1)
	if err != nil {
		return false, err
	}
	for i, id := range ids {
		if i == SweepRowsMax {
			return true, nil
		}
		if _, err := t.dropCopy(id, node); err != nil {
			return false, err
		}
	}
	return false, nil
}

// DistrustNode implements inos.SemanticMesh.
func (s *Store) DistrustNode(ctx context.Context, id inos.NodeID) (epoch uint64, err error) {
	const op = "semantic:distrust_node"
	if err := checkText(op, "node id", string(id), 1); err != nil {
		return 0, err
	}
	err = s.write(ctx, op, 1, func(t *tx) error {
		m, err := t.member(op, id)
		if err != nil {
			return err
		}
		epoch = uint64(m.epoch) + 1
		delete(t.members, id)
		return t.exec(distrustMember, string(id))
	})
	if err != nil {
		return 0, err
	}
	return epoch, nil
}

// RaiseOrders implements inos.SemanticMesh.
func (s *Store) RaiseOrders(ctx context.Context, ceiling uint64) (before uint64, err error) {
	const op = "semantic:raise_orders"
	if err := checkOrders(op, ceiling); err != nil {
		return 0, err
	}
	err = s.write(ctx, op, 1, func(t *tx) error {
		if err := t.row(selectOrders).Scan(&before); err != nil || before >= ceiling {
			return err
		}
		return t.exec(raiseOrders, int64(ceiling))
	})
	if err != nil {
		return 0, err
	}
	return before, nil
}
