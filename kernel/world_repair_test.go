package kernel

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// wantRepair queues a repair.
func (w *world) wantRepair(want *eventpb.RepairWant, now int64) {
	id := string(want.ChunkId)
	old := w.queue[id]
	if old == nil {
		w.queue[id] = &eventpb.RepairInfo{ChunkId: want.ChunkId, Reason: want.Reason, Live: want.Live, AddedUs: now}
		return
	}
	if old.Reason = want.Reason; want.Live < old.Live {
		old.NotBeforeUs = 0
	}
	old.Live = want.Live
}

// line returns the queue in the order in which repairs are claimed.
func (w *world) line() (out []*eventpb.RepairInfo) {
	for _, id := range sortedKeys(w.queue) {
		out = append(out, w.queue[id])
	}
	slices.SortStableFunc(out, func(a, b *eventpb.RepairInfo) int {
		return cmp.Or(cmp.Compare(a.Live, b.Live), cmp.Compare(a.AddedUs, b.AddedUs))
	})
	return out
}

// performRepairs keeps the queue of repairs, and takes surplus copies off the map.
func (w *world) performRepairs(e *eventpb.Envelope) (event.Message, *inos.Error) {
	switch e.EventType {
	case event.ScanChunks:
		var q eventpb.ScanChunksRequest
		w.open(e, &q)
		r := &eventpb.ScanChunksReply{End: true}
		for _, id := range sortedKeys(w.rows) {
			if id <= string(q.After) {
				continue
			}
			if r.End = len(r.States) < int(q.Limit); !r.End {
				break
			}
			r.States = append(r.States, w.stateOf(id))
		}
		return r, nil
	case event.ClaimRepairs:
		var q eventpb.ClaimRepairsRequest
		w.open(e, &q)
		r := &eventpb.ClaimRepairsReply{}
		for _, x := range w.line() {
			if x.Lease != 0 && x.LeaseUntilUs > q.NowUs || x.NotBeforeUs > q.NowUs || len(r.Repairs) == int(q.Limit) {
				continue
			}
			w.leases++
			x.Lease, x.LeaseUntilUs, x.Holder = w.leases, q.UntilUs, q.Holder
			r.Repairs = append(r.Repairs, x.CloneVT())
		}
		return r, nil
	case event.ListRepairs:
		r := &eventpb.ListRepairsReply{Total: uint64(len(w.queue))}
		for _, x := range w.line() {
			r.Repairs = append(r.Repairs, x.CloneVT())
		}
		return r, nil
	case event.SettleRepair:
		var q eventpb.SettleRepairRequest
		w.open(e, &q)
		x := w.queue[string(q.ChunkId)]
		if x == nil || x.Lease != q.Lease || x.LeaseUntilUs <= q.NowUs {
			return nil, missing(inos.CodeConflict, "the lease %d is over", q.Lease)
		}
		for _, node := range q.Added {
			if row := w.rows[string(q.ChunkId)]; row != nil && !w.condemned[string(q.ChunkId)] {
				if d := w.diskOf(node); d == nil || d.chunks[string(q.ChunkId)].id == "" {
					w.problem("chunk %x is said to be copied to %s, which has no bytes of it", q.ChunkId[:4], node)
				}
				row.copies[node] = &fakeCopy{epoch: w.epochOf(node)}
			}
		}
		if q.RetryUs == 0 {
			delete(w.queue, string(q.ChunkId))
			delete(w.wants, string(q.ChunkId))
		} else {
			x.Lease, x.LeaseUntilUs, x.Holder, x.NotBeforeUs = 0, 0, "", q.RetryUs
			x.Tries++
		}
		return &eventpb.SettleRepairReply{}, nil
	}
	var q eventpb.RetireCopyRequest
	w.open(e, &q)
	row := w.rows[string(q.ChunkId)]
	if row == nil || row.generation != q.Generation {
		return nil, missing(inos.CodeConflict, "another generation")
	}
	for _, node := range q.Keep {
		if c := row.copies[node]; c == nil || c.epoch != w.epochOf(node) {
			return nil, missing(inos.CodeConflict, "%s holds no trusted copy", node)
		} else if c.audited == 0 {
			w.problem("a copy of chunk %x is kept by %s, which has not proved it", q.ChunkId[:4], node)
		}
	}
	if uint32(len(q.Keep)) < w.wantedOf(string(q.ChunkId)) {
		w.problem("chunk %x is trimmed below its target", q.ChunkId[:4])
	}
	delete(row.copies, q.Node)
	return &eventpb.RetireCopyReply{}, nil
}

// copyChunk has a node pull a chunk from another.
func (w *world) copyChunk(call *eventpb.MeshCallRequest, to *disk, inner *eventpb.Envelope) (event.Message, *inos.Error) {
	var q eventpb.ContentCopyRequest
	w.open(inner, &q)
	g := call.Grant
	if g == nil || g.Verb != verbRead || g.Holder != call.Node || g.Node != q.Source || !bytes.Equal(g.ChunkId, q.ChunkId) {
		w.problem("chunk %x is to be copied to %s from %s without a grant for it: %v", q.ChunkId[:4], call.Node, q.Source, g)
	}
	failed := func(code inos.Code, format string, args ...any) *inos.Error {
		return inos.Errorf(code, "content:copy_chunk", format, args...)
	}
	from := w.diskOf(q.Source)
	if from == nil || from.down {
		return nil, failed(inos.CodePeerUnreachable, "read from node %s: it does not answer", q.Source)
	}
	s, ok := from.chunks[string(q.ChunkId)]
	if !ok {
		return nil, failed(inos.CodeChunkNotFound, "read from node %s: it is not held", q.Source)
	}
	if to.full {
		return nil, failed(inos.CodeDiskFull, "write: the disk is full")
	}
	_, existed := to.chunks[s.id]
	to.chunks[s.id] = s
	delete(to.trash, s.id)
	return &eventpb.ContentCopyReply{Existed: existed, StoredBytes: s.size}, nil
}
