package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// recordProof is the challenge of a record: from time to time a random node is asked for one of its records, whole, for it is small, and its bytes
// have to hash to its id. A node whose answer is wrong, while the map still names it, has lost that record and, as with chunks, a point.
type recordProof struct {
	next     inos.Micros // when one is asked for; 0: not planned
	node     inos.NodeID
	id       []byte
	buffer   uint64 // its bytes are being read into it
	underWay bool
}

func (x *recordProof) code(c *coder) {
	num(c, &x.next)
	text(c, &x.node)
	c.bytes(&x.id)
	num(c, &x.buffer)
	c.bool(&x.underWay)
}

func (x *recordProof) wake() inos.Micros {
	if x.underWay {
		return 0
	}
	return x.next
}

// prove draws a node and asks the map for some of its records.
func (u *inspections) prove() {
	k, x := u.k, &u.proof
	switch {
	case x.underWay || x.next > k.now:
		return
	case x.next == 0:
		x.next = k.now + proofEvery
		return
	}
	x.next = k.now + proofEvery/2 + inos.Micros(k.random.next()%uint64(proofEvery))
	var nodes []inos.NodeID
	for _, id := range k.members.sorted() {
		if m := k.members.table[id]; !m.removed() && m.state == liveAlive && m.failures == 0 && id != k.self() { // what is on this node's own disk an inspection hashes
			nodes = append(nodes, id)
		}
	}
	if len(nodes) == 0 {
		return
	}
	x.node, x.underWay = nodes[k.random.next()%uint64(len(nodes))], true
	k.send(nil, ask{owner: threadInspect, op: opProofPick}, event.NodeRecords,
		&eventpb.NodeRecordsRequest{Node: string(x.node), After: k.members.table[x.node].proved, Limit: proofPage})
}

// proved takes the answers of a challenge.
func (u *inspections) proved(a *answer) {
	k, x := u.k, &u.proof
	x.underWay = false
	m := k.members.member(x.node)
	switch a.op {
	case opProofPick:
		var r eventpb.NodeRecordsReply
		if m == nil || a.err != nil || event.Open(a.env, &r) != nil {
			return
		}
		list := slices.DeleteFunc(r.Records, func(h *eventpb.HeldRecord) bool { return h.Key == nil || len(h.RecordId) != inos.HashBytes })
		if len(list) == 0 {
			m.proved = nil // it begins again with the first
			return
		}
		m.proved = list[len(list)-1].Key
		x.id = list[k.random.next()%uint64(len(list))].RecordId
		if k.records.working(x.id) || !k.members.alive(x.node) {
			return
		}
		x.buffer, x.underWay = k.buffer(), true
		k.content(nil, ask{owner: threadInspect, op: opProofRead}, x.node, event.ContentRead,
			&eventpb.ContentReadRequest{ChunkId: x.id, Output: x.buffer, Record: true}, bulk{output: x.buffer, hash: x.id, grant: k.readGrant(x.id, x.node)})
	case opProofRead:
		a.unfilled(k, &x.buffer)
		k.release(&x.buffer)
		switch {
		case a.err == nil:
			k.challenges.verdict(x.node, true)
		case a.err.Code == inos.CodeChunkNotFound || a.err.Code == inos.CodeChunkCorrupt || a.err.Code == inos.CodeBadFormat:
			x.underWay = true
			k.send(nil, ask{owner: threadInspect, op: opProofLost}, event.UnsettleRecords,
				&eventpb.UnsettleRecordsRequest{Node: string(x.node), RecordIds: [][]byte{x.id}, Limit: 1})
		}
	case opProofLost:
		var r eventpb.UnsettleRecordsReply
		u.unnoted(x.node, [][]byte{x.id})
		if a.err != nil {
			k.records.rescan() // it may have been done
		}
		if a.err != nil || event.Open(a.env, &r) != nil || r.Unsettled == 0 {
			return // the map does not name it any more, and it may have been trashed
		}
		k.losses.relapses.lost(copyKey(x.node, inos.ChunkID(x.id)))
		k.records.rescan()
		u.want(x.node)
		if m != nil {
			k.watcher.note(auditEvent, event.StateFailed, "node "+m.label()+" does not hold the commit record "+inos.ChunkID(x.id).String()[:16]+": it is written again")
			k.challenges.verdict(x.node, false)
		}
	}
}
