package verbs

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// The verbs of members, copies, repairs, records and the rebuild.

func admitNode(c call, q *eventpb.AdmitNodeRequest) (event.Message, error) {
	m, err := c.sem.AdmitNode(c.ctx, member(q.Member), q.Invite, c.now)
	if err != nil {
		return nil, err
	}
	return &eventpb.AdmitNodeReply{Member: MemberPayload(&m)}, nil
}

func listNodes(c call, q *eventpb.ListNodesRequest) (event.Message, error) {
	members, more, err := c.sem.ListNodes(c.ctx, inos.NodeID(q.After), int(q.Limit))
	if err != nil {
		return nil, err
	}
	return &eventpb.ListNodesReply{Members: payloads(members, MemberPayload), More: more}, nil
}

func setNode(c call, q *eventpb.SetNodeRequest) (event.Message, error) {
	addrs := q.Addrs
	if !q.SetAddrs {
		addrs = nil
	} else if addrs == nil {
		addrs = []string{}
	}
	m, err := c.sem.SetNode(c.ctx, inos.NodeID(q.Node), memberState(q.State), addrs)
	if err != nil {
		return nil, err
	}
	return &eventpb.SetNodeReply{Member: MemberPayload(&m)}, nil
}

func distrustNode(c call, q *eventpb.DistrustNodeRequest) (event.Message, error) {
	epoch, err := c.sem.DistrustNode(c.ctx, inos.NodeID(q.Node))
	if err != nil {
		return nil, err
	}
	return &eventpb.DistrustNodeReply{Epoch: epoch}, nil
}

func raiseOrders(c call, q *eventpb.RaiseOrdersRequest) (event.Message, error) {
	before, err := c.sem.RaiseOrders(c.ctx, q.Ceiling)
	if err != nil {
		return nil, err
	}
	return &eventpb.RaiseOrdersReply{Before: before}, nil
}

func addCopies(c call, q *eventpb.AddCopiesRequest) (event.Message, error) {
	ids, err := ChunkIDs(q.ChunkIds)
	if err != nil {
		return nil, err
	}
	taken, err := c.sem.AddCopies(c.ctx, inos.NodeID(q.Node), q.Epoch, ids, q.Promised)
	if err != nil {
		return nil, err
	}
	return &eventpb.AddCopiesReply{Taken: ChunkIDBytes(taken)}, nil
}

func confirmCopies(c call, q *eventpb.ConfirmCopiesRequest) (event.Message, error) {
	ids, err := ChunkIDs(q.ChunkIds)
	if err != nil {
		return nil, err
	}
	unlisted, err := c.sem.ConfirmCopies(c.ctx, inos.NodeID(q.Node), q.Epoch, ids)
	if err != nil {
		return nil, err
	}
	return &eventpb.ConfirmCopiesReply{Unlisted: ChunkIDBytes(unlisted)}, nil
}

func auditCopies(c call, q *eventpb.AuditCopiesRequest) (event.Message, error) {
	ids, err := ChunkIDs(q.ChunkIds)
	if err != nil {
		return nil, err
	}
	if err := c.sem.AuditCopies(c.ctx, inos.NodeID(q.Node), q.Epoch, ids, inos.Micros(q.NowUs)); err != nil {
		return nil, err
	}
	return &eventpb.AuditCopiesReply{}, nil
}

func retireCopy(c call, q *eventpb.RetireCopyRequest) (event.Message, error) {
	id, err := ChunkID(q.ChunkId)
	if err != nil {
		return nil, err
	}
	if err := c.sem.RetireCopy(c.ctx, id, q.Generation, inos.NodeID(q.Node), nodeIDs(q.Keep)); err != nil {
		return nil, err
	}
	return &eventpb.RetireCopyReply{}, nil
}

func chunkStates(c call, q *eventpb.ChunkStatesRequest) (event.Message, error) {
	ids, err := ChunkIDs(q.ChunkIds)
	if err != nil {
		return nil, err
	}
	states, err := c.sem.ChunkStates(c.ctx, ids)
	if err != nil {
		return nil, err
	}
	return &eventpb.ChunkStatesReply{States: statePayloads(states)}, nil
}

func scanChunks(c call, q *eventpb.ScanChunksRequest) (event.Message, error) {
	after, err := OptionalChunkID(q.After)
	if err != nil {
		return nil, err
	}
	states, end, err := c.sem.ScanChunks(c.ctx, after, int(q.Limit))
	if err != nil {
		return nil, err
	}
	return &eventpb.ScanChunksReply{States: statePayloads(states), End: end}, nil
}

func wantRepairs(c call, q *eventpb.WantRepairsRequest) (event.Message, error) {
	wants := make([]inos.RepairWant, len(q.Wants))
	for i, w := range q.Wants {
		id, err := ChunkID(w.ChunkId)
		if err != nil {
			return nil, err
		}
		wants[i] = inos.RepairWant{ID: id, Reason: w.Reason, Live: w.Live}
	}
	added, err := c.sem.WantRepairs(c.ctx, wants, inos.Micros(q.NowUs))
	if err != nil {
		return nil, err
	}
	return &eventpb.WantRepairsReply{Added: uint32(added)}, nil
}

func claimRepairs(c call, q *eventpb.ClaimRepairsRequest) (event.Message, error) {
	repairs, err := c.sem.ClaimRepairs(c.ctx, inos.NodeID(q.Holder), inos.Micros(q.NowUs), inos.Micros(q.UntilUs), int(q.Limit))
	if err != nil {
		return nil, err
	}
	return &eventpb.ClaimRepairsReply{Repairs: repairPayloads(repairs)}, nil
}

func settleRepair(c call, q *eventpb.SettleRepairRequest) (event.Message, error) {
	id, err := ChunkID(q.ChunkId)
	if err != nil {
		return nil, err
	}
	if err := c.sem.SettleRepair(c.ctx, id, q.Lease, nodeIDs(q.Added), inos.Micros(q.RetryUs), inos.Micros(q.NowUs)); err != nil {
		return nil, err
	}
	return &eventpb.SettleRepairReply{}, nil
}

func listRepairs(c call, q *eventpb.ListRepairsRequest) (event.Message, error) {
	repairs, total, err := c.sem.ListRepairs(c.ctx, int(q.Limit))
	if err != nil {
		return nil, err
	}
	return &eventpb.ListRepairsReply{Repairs: repairPayloads(repairs), Total: total}, nil
}

func pendingRecords(c call, q *eventpb.PendingRecordsRequest) (event.Message, error) {
	records, err := c.sem.PendingRecords(c.ctx, recordKey(q.After), int(q.Limit))
	if err != nil {
		return nil, err
	}
	reply := &eventpb.PendingRecordsReply{Records: make([]*eventpb.Record, len(records))}
	for i := range records {
		reply.Records[i] = RecordPayload(&records[i])
	}
	return reply, nil
}

func settleRecord(c call, q *eventpb.SettleRecordRequest) (event.Message, error) {
	id, err := ChunkID(q.RecordId)
	if err != nil {
		return nil, err
	}
	needless, err := c.sem.SettleRecord(c.ctx, recordKey(q.Key), id, nodeIDs(q.Nodes), q.Full)
	if err != nil {
		return nil, err
	}
	reply := &eventpb.SettleRecordReply{Needless: make([]*eventpb.SealedRecord, len(needless))}
	for i := range needless {
		reply.Needless[i] = &eventpb.SealedRecord{RecordId: needless[i].ID[:], Nodes: nodeStrings(needless[i].Nodes)}
	}
	return reply, nil
}

func unsettleRecords(c call, q *eventpb.UnsettleRecordsRequest) (event.Message, error) {
	ids, err := ChunkIDs(q.RecordIds)
	if err != nil {
		return nil, err
	}
	n, err := c.sem.UnsettleRecords(c.ctx, inos.NodeID(q.Node), ids, int(q.Limit))
	if err != nil {
		return nil, err
	}
	return &eventpb.UnsettleRecordsReply{Unsettled: uint32(n)}, nil
}

func sight(c call, q *eventpb.SightRequest) (event.Message, error) {
	ids, err := ChunkIDs(q.ChunkIds)
	if err != nil {
		return nil, err
	}
	if err := c.sem.Sight(c.ctx, inos.NodeID(q.Node), ids); err != nil {
		return nil, err
	}
	return &eventpb.SightReply{}, nil
}

func sighted(c call, q *eventpb.SightedRequest) (event.Message, error) {
	ids, err := ChunkIDs(q.ChunkIds)
	if err != nil {
		return nil, err
	}
	nodes, err := c.sem.Sighted(c.ctx, ids)
	if err != nil {
		return nil, err
	}
	reply := &eventpb.SightedReply{Chunks: make([]*eventpb.NodeList, len(nodes))}
	for i, list := range nodes {
		reply.Chunks[i] = &eventpb.NodeList{Nodes: nodeStrings(list)}
	}
	return reply, nil
}

func restoreVersion(c call, q *eventpb.RestoreVersionRequest) (event.Message, error) {
	r, err := Record(q.Record)
	if err != nil {
		return nil, err
	}
	restored, err := c.sem.RestoreVersion(c.ctx, inos.UploadID(q.Upload), r, inos.Micros(q.NowUs))
	if err != nil {
		return nil, err
	}
	return &eventpb.RestoreVersionReply{Restored: restored}, nil
}

func endRestore(c call, q *eventpb.EndRestoreRequest) (event.Message, error) {
	if err := c.sem.EndRestore(c.ctx, q.Settle, inos.Micros(q.NowUs)); err != nil {
		return nil, err
	}
	return &eventpb.EndRestoreReply{}, nil
}

func unknownRecords(c call, q *eventpb.UnknownRecordsRequest) (event.Message, error) {
	ids, err := ChunkIDs(q.RecordIds)
	if err != nil {
		return nil, err
	}
	unknown, err := c.sem.UnknownRecords(c.ctx, ids)
	if err != nil {
		return nil, err
	}
	return &eventpb.UnknownRecordsReply{RecordIds: ChunkIDBytes(unknown)}, nil
}

func nodeRecords(c call, q *eventpb.NodeRecordsRequest) (event.Message, error) {
	held, err := c.sem.NodeRecords(c.ctx, inos.NodeID(q.Node), recordKey(q.After), int(q.Limit))
	if err != nil {
		return nil, err
	}
	reply := &eventpb.NodeRecordsReply{Records: make([]*eventpb.HeldRecord, len(held))}
	for i := range held {
		key := &eventpb.RecordKey{Owner: string(held[i].Key.Owner), Path: string(held[i].Key.Path), Version: held[i].Key.Version}
		reply.Records[i] = &eventpb.HeldRecord{Key: key, RecordId: held[i].ID[:]}
	}
	return reply, nil
}
