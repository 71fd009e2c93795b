package sim

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/verbs"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// performSemantic is the switchboard's semantic memory. While its answers are in doubt, a verb is done or not and ends with CodeIO either
// way: its outcome is unknown.
func (w *World) performSemantic(p *process, e *eventpb.Envelope) (event.Message, error) {
	if !p.switchboard {
		w.violate("%s asks for %s and is no switchboard", p, e.EventType)
	}
	if !verbs.Known(e.EventType) {
		w.violate("%s asks for %s, which is no verb", p, e.EventType)
		return nil, inos.Errorf(inos.CodeUnknownEvent, e.EventType, "no such verb")
	}
	if r := w.chance(e.EventType); w.now < w.semantic.doubtTo && r.IntN(5) == 0 {
		if r.IntN(2) == 0 {
			_, _ = w.verb(p, e)
			if e.EventType == event.SetNode {
				w.memberDoubt = w.now
			}
		}
		w.stated(e, nil)
		return nil, inos.Errorf(inos.CodeIO, event.Stage(e.EventType), "the outcome is unknown")
	}
	m, err := w.verb(p, e)
	w.stated(e, m)
	return m, err
}

// stated takes what the switchboard is told when it asks for the state of one chunk.
func (w *World) stated(e *eventpb.Envelope, m event.Message) {
	if e.EventType != event.ChunkStates {
		return
	}
	var q eventpb.ChunkStatesRequest
	if w.open(e, &q); len(q.ChunkIds) != 1 {
		return
	}
	var s *eventpb.ChunkState
	if r, ok := m.(*eventpb.ChunkStatesReply); ok && len(r.States) == 1 {
		s = r.States[0]
	}
	w.confirmed(w.chunkID(q.ChunkIds[0]), s)
}

// verb does a verb and tells the truth of it.
func (w *World) verb(p *process, e *eventpb.Envelope) (event.Message, error) {
	m, err := verbs.Perform(background, w.semantic.Memory, w.unpledged(e), p.now())
	if err != nil {
		if code := inos.CodeOf(err); code == inos.CodeInternal || code == inos.CodeBadRequest {
			w.violate("%s: %s is refused: %v", p, e.EventType, err)
		}
		return nil, err
	}
	w.learn(e, m)
	return m, nil
}

// unpledged returns a verb without its pledge: who asks is no user here and has no account. The kernel's own tests keep the ledger.
func (w *World) unpledged(e *eventpb.Envelope) *eventpb.Envelope {
	switch e.EventType {
	case event.CommitFile:
		var q eventpb.CommitFileRequest
		w.open(e, &q)
		if q.Pledge > 0 {
			q.Pledge = 0
			e = e.CloneVT()
			e.Payload = event.Payload(&q)
		}
	case event.SetReplicas:
		var q eventpb.SetReplicasRequest
		w.open(e, &q)
		if q.Pledge > 0 {
			q.Pledge = 0
			e = e.CloneVT()
			e.Payload = event.Payload(&q)
		}
	}
	return e
}

// learn takes from a verb that was done what it means for the truth.
func (w *World) learn(e *eventpb.Envelope, m event.Message) {
	switch r := m.(type) {
	case *eventpb.CommitFileReply:
		var q eventpb.CommitFileRequest
		w.open(e, &q)
		w.truth.committed(w, r.File, q.Key.Id, false, r.Repeated)
		if !r.Repeated {
			w.rows(q.Chunks)
		}
	case *eventpb.StageChunksReply:
		var q eventpb.StageChunksRequest
		w.open(e, &q)
		w.rows(q.Chunks)
	case *eventpb.FillSlotReply:
		var q eventpb.FillSlotRequest
		w.open(e, &q)
		w.rows([]*eventpb.ChunkRow{q.Chunk})
	case *eventpb.ClaimSlotsReply:
		var q eventpb.ClaimSlotsRequest
		w.open(e, &q)
		w.checkClaimedSlots(&q, r)
	case *eventpb.EmptySlotsReply:
		var q eventpb.EmptySlotsRequest
		w.open(e, &q)
		if u := w.uploaderOf(q.Upload); u != nil {
			for _, index := range q.Indexes {
				delete(u.held, index)
			}
		}
	case *eventpb.AddCopiesReply:
		var q eventpb.AddCopiesRequest
		w.open(e, &q)
		w.looked(q.Node, q.ChunkIds)
	case *eventpb.ConfirmCopiesReply:
		var q eventpb.ConfirmCopiesRequest
		w.open(e, &q)
		w.looked(q.Node, q.ChunkIds)
	case *eventpb.SetReplicasReply:
		var q eventpb.SetReplicasRequest
		w.open(e, &q)
		w.truth.committed(w, r.File, q.Key.Id, false, r.Repeated)
	case *eventpb.DeleteFileReply:
		var q eventpb.DeleteFileRequest
		w.open(e, &q)
		w.truth.committed(w, &eventpb.FileInfo{Owner: q.Owner, Path: q.Path, Version: r.Version}, q.Key.Id, true, r.Repeated)
	case *eventpb.ClaimRepairsReply:
		w.doze(len(r.Repairs))
		for _, c := range r.Repairs {
			id := w.chunkID(c.ChunkId)
			w.leases[id] = c.CloneVT()
			w.checkClaimed(c)
			trusted, hoped := w.judged(id)
			w.claims[id] = &claim{at: w.now, trusted: trusted, hoped: hoped, members: w.memberChanges}
			if v := w.truth.guard()[id]; v != nil {
				w.claims[id].wanted = v.info.ReplicasWanted
			}
		}
	case *eventpb.SettleRepairReply:
		var q eventpb.SettleRepairRequest
		w.open(e, &q)
		if c := w.leases[w.chunkID(q.ChunkId)]; c == nil || c.Lease != q.Lease || c.LeaseUntilUs <= q.NowUs {
			w.violate("the repair of %x is settled under lease %d, which is over", q.ChunkId, q.Lease)
		}
		w.checkRepaired(&q)
		for _, node := range q.Added {
			w.checkNamed(w.chunkID(q.ChunkId), node)
		}
		w.plan.outage.count(w.now, len(q.Added), 0)
	case *eventpb.RetireCopyReply:
		var q eventpb.RetireCopyRequest
		w.open(e, &q)
		w.checkRetired(&q)
		if p := w.byID[inos.NodeID(q.Node)]; p != nil {
			p.retired[w.chunkID(q.ChunkId)] = w.now
		}
		w.plan.outage.count(w.now, 0, 1)
	case *eventpb.DistrustNodeReply:
		var q eventpb.DistrustNodeRequest
		w.open(e, &q)
		w.memberChanges++
		if p := w.byID[inos.NodeID(q.Node)]; p != nil {
			w.checkDistrusted(p)
			p.proved, p.looked, p.distrusted = map[inos.ChunkID]bool{}, map[inos.ChunkID]bool{}, w.now
			for _, x := range p.audits.asked {
				x.over = true
			}
		}
	case *eventpb.AdmitNodeReply:
		w.member(r.Member)
	case *eventpb.SetNodeReply:
		w.member(r.Member)
		w.memberDoubt = w.now // the switchboard hears of it in a moment, behind other answers
	case *eventpb.SettleRecordReply:
		var q eventpb.SettleRecordRequest
		w.open(e, &q)
		w.truth.settled(q.Key)
	case *eventpb.RestoreVersionReply:
		var q eventpb.RestoreVersionRequest
		w.open(e, &q)
		if r.Restored {
			w.truth.restored(w, q.Record)
		}
	}
}

// member takes what the semantic memory says of a node.
func (w *World) member(m *eventpb.Member) {
	p := w.byID[inos.NodeID(m.Node)]
	if p == nil {
		w.violate("%q is admitted and is no node", m.Node)
		return
	}
	w.memberChanges++
	state := inos.MemberState(m.State)
	if leaves := state == inos.MemberDraining || state == inos.MemberRemoved; leaves && !p.draining && !p.removed {
		p.leaves = w.now
	}
	p.member, p.draining, p.removed = true, state == inos.MemberDraining, state == inos.MemberRemoved
	for _, r := range w.clients.open {
		r.safe = min(r.safe, w.safe(r.replicas()))
	}
}
