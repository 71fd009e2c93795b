package host

import (
	"context"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// The performers of the semantic verbs that concern more than one node: members, copies, states and repairs.

func (l *loop) performAdmitNode(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.AdmitNodeRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	m, err := l.node.semantic.AdmitNode(ctx, member(q.Member), q.Invite, l.node.clock.Now())
	if err != nil {
		return nil, err
	}
	return &eventpb.AdmitNodeReply{Member: memberPayload(&m)}, nil
}

func (l *loop) performListNodes(ctx context.Context, _ *eventpb.Envelope) (event.Message, error) {
	members, err := l.node.semantic.ListNodes(ctx)
	if err != nil {
		return nil, err
	}
	reply := &eventpb.ListNodesReply{Members: make([]*eventpb.Member, len(members))}
	for i := range members {
		reply.Members[i] = memberPayload(&members[i])
	}
	return reply, nil
}

func (l *loop) performSetNode(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.SetNodeRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	var addrs []string
	if q.SetAddrs {
		addrs = append([]string{}, q.Addrs...) // not nil: none at all can be set too
	}
	m, err := l.node.semantic.SetNode(ctx, inos.NodeID(q.Node), memberState(q.State), addrs)
	if err != nil {
		return nil, err
	}
	return &eventpb.SetNodeReply{Member: memberPayload(&m)}, nil
}

func (l *loop) performDistrustNode(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.DistrustNodeRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	epoch, err := l.node.semantic.DistrustNode(ctx, inos.NodeID(q.Node))
	if err != nil {
		return nil, err
	}
	return &eventpb.DistrustNodeReply{Epoch: epoch}, nil
}

func (l *loop) performChunkCopies(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.ChunkCopiesRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	ids, err := chunkIDs(q.ChunkIds)
	if err != nil {
		return nil, err
	}
	copies, err := l.node.semantic.ChunkCopies(ctx, ids)
	if err != nil {
		return nil, err
	}
	reply := &eventpb.ChunkCopiesReply{Chunks: make([]*eventpb.CopyList, len(copies))}
	for i := range copies {
		reply.Chunks[i] = &eventpb.CopyList{Copies: copyPayloads(copies[i])}
	}
	return reply, nil
}

func (l *loop) performAddCopies(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.AddCopiesRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	ids, err := chunkIDs(q.ChunkIds)
	if err != nil {
		return nil, err
	}
	taken, err := l.node.semantic.AddCopies(ctx, inos.NodeID(q.Node), q.Epoch, ids)
	if err != nil {
		return nil, err
	}
	return &eventpb.AddCopiesReply{Taken: chunkIDBytes(taken)}, nil
}

func (l *loop) performConfirmCopies(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.ConfirmCopiesRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	ids, err := chunkIDs(q.ChunkIds)
	if err != nil {
		return nil, err
	}
	unlisted, err := l.node.semantic.ConfirmCopies(ctx, inos.NodeID(q.Node), q.Epoch, ids)
	if err != nil {
		return nil, err
	}
	return &eventpb.ConfirmCopiesReply{Unlisted: chunkIDBytes(unlisted)}, nil
}

func (l *loop) performAuditCopies(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.AuditCopiesRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	ids, err := chunkIDs(q.ChunkIds)
	if err != nil {
		return nil, err
	}
	if err := l.node.semantic.AuditCopies(ctx, inos.NodeID(q.Node), q.Epoch, ids, inos.Micros(q.NowUs)); err != nil {
		return nil, err
	}
	return &eventpb.AuditCopiesReply{}, nil
}

func (l *loop) performRetireCopy(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.RetireCopyRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	id, err := chunkID(q.ChunkId)
	if err != nil {
		return nil, err
	}
	if err := l.node.semantic.RetireCopy(ctx, id, q.Generation, inos.NodeID(q.Node), nodeIDs(q.Keep)); err != nil {
		return nil, err
	}
	return &eventpb.RetireCopyReply{}, nil
}

func (l *loop) performChunkStates(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.ChunkStatesRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	ids, err := chunkIDs(q.ChunkIds)
	if err != nil {
		return nil, err
	}
	states, err := l.node.semantic.ChunkStates(ctx, ids)
	if err != nil {
		return nil, err
	}
	return &eventpb.ChunkStatesReply{States: statePayloads(states)}, nil
}

func (l *loop) performScanChunks(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.ScanChunksRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	after, err := optionalChunkID(q.After)
	if err != nil {
		return nil, err
	}
	states, end, err := l.node.semantic.ScanChunks(ctx, after, int(q.Limit))
	if err != nil {
		return nil, err
	}
	return &eventpb.ScanChunksReply{States: statePayloads(states), End: end}, nil
}

func (l *loop) performWantRepairs(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.WantRepairsRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	wants := make([]inos.RepairWant, len(q.Wants))
	for i, w := range q.Wants {
		id, err := chunkID(w.ChunkId)
		if err != nil {
			return nil, err
		}
		wants[i] = inos.RepairWant{ID: id, Reason: w.Reason, Live: w.Live}
	}
	added, err := l.node.semantic.WantRepairs(ctx, wants, inos.Micros(q.NowUs))
	if err != nil {
		return nil, err
	}
	return &eventpb.WantRepairsReply{Added: uint32(added)}, nil
}

func (l *loop) performClaimRepairs(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.ClaimRepairsRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	claimed, err := l.node.semantic.ClaimRepairs(ctx, inos.NodeID(q.Holder), inos.Micros(q.NowUs), inos.Micros(q.UntilUs), int(q.Limit))
	if err != nil {
		return nil, err
	}
	return &eventpb.ClaimRepairsReply{Repairs: repairPayloads(claimed)}, nil
}

func (l *loop) performSettleRepair(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.SettleRepairRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	id, err := chunkID(q.ChunkId)
	if err != nil {
		return nil, err
	}
	if err := l.node.semantic.SettleRepair(ctx, id, q.Lease, nodeIDs(q.Added), inos.Micros(q.RetryUs), inos.Micros(q.NowUs)); err != nil {
		return nil, err
	}
	return &eventpb.SettleRepairReply{}, nil
}

func (l *loop) performListRepairs(ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.ListRepairsRequest
	if err := event.Open(e, &q); err != nil {
		return nil, err
	}
	repairs, total, err := l.node.semantic.ListRepairs(ctx, int(q.Limit))
	if err != nil {
		return nil, err
	}
	return &eventpb.ListRepairsReply{Repairs: repairPayloads(repairs), Total: total}, nil
}

func member(m *eventpb.Member) inos.Member {
	if m == nil {
		return inos.Member{}
	}
	return inos.Member{
		ID: inos.NodeID(m.Node), Operator: m.Operator, Zone: m.Zone, Host: m.Host, Tier: inos.Tier(m.Tier), OfferedBytes: m.OfferedBytes,
		Addrs: m.Addrs, JoinedAt: inos.Micros(m.JoinedUs), State: memberState(m.State), Epoch: m.Epoch, Copies: m.Copies,
		PlacedBytes: m.PlacedBytes, Grant: m.Grant,
	}
}

func memberPayload(m *inos.Member) *eventpb.Member {
	return &eventpb.Member{
		Node: string(m.ID), Operator: m.Operator, Zone: m.Zone, Host: m.Host, Tier: string(m.Tier), OfferedBytes: m.OfferedBytes,
		Addrs: m.Addrs, JoinedUs: int64(m.JoinedAt), State: uint32(m.State), Epoch: m.Epoch, Copies: m.Copies,
		PlacedBytes: m.PlacedBytes, Grant: m.Grant,
	}
}

// memberState keeps a number that is no state from becoming one.
func memberState(state uint32) inos.MemberState {
	return inos.MemberState(min(state, uint32(inos.MemberRemoved)+1))
}

func copyPayloads(copies []inos.Copy) []*eventpb.Copy {
	payloads := make([]*eventpb.Copy, len(copies))
	for i, c := range copies {
		payloads[i] = &eventpb.Copy{Node: string(c.Node), Trusted: c.Trusted, AuditedUs: int64(c.AuditedAt)}
	}
	return payloads
}

func statePayloads(states []inos.ChunkState) []*eventpb.ChunkState {
	payloads := make([]*eventpb.ChunkState, len(states))
	for i := range states {
		s := &states[i]
		payloads[i] = &eventpb.ChunkState{
			ChunkId: s.ID[:], StoredBytes: s.StoredBytes, Generation: s.Generation, Condemned: s.Condemned, Manifest: s.Manifest,
			Wanted: s.Wanted, Copies: copyPayloads(s.Copies),
		}
	}
	return payloads
}

func repairPayloads(repairs []inos.Repair) []*eventpb.RepairInfo {
	payloads := make([]*eventpb.RepairInfo, len(repairs))
	for i := range repairs {
		r := &repairs[i]
		payloads[i] = &eventpb.RepairInfo{
			ChunkId: r.ID[:], Reason: r.Reason, Live: r.Live, AddedUs: int64(r.AddedAt), NotBeforeUs: int64(r.NotBefore),
			Tries: r.Tries, Lease: r.Lease, LeaseUntilUs: int64(r.LeaseUntil), Holder: string(r.Holder),
		}
	}
	return payloads
}

func nodeIDs(raw []string) []inos.NodeID {
	nodes := make([]inos.NodeID, len(raw))
	for i, node := range raw {
		nodes[i] = inos.NodeID(node)
	}
	return nodes
}

func nodeIDStrings(nodes []inos.NodeID) []string {
	raw := make([]string, len(nodes))
	for i, node := range nodes {
		raw[i] = string(node)
	}
	return raw
}
