package kernel

import (
	"bytes"
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// The pages of an inspection: what is asked, in which order, and what the answers mean.

// take takes an answer, and says whether it makes sense.
func (u *inspections) take(a *answer) bool {
	switch a.op {
	case opInspectScrub:
		var r eventpb.ContentScrubReply
		if event.Open(a.env, &r) != nil || !r.End && bytes.Compare(r.Next, u.from) <= 0 {
			return false
		}
		u.to, u.end, u.op = r.Next, r.End, opInspectList
	case opInspectList:
		var r eventpb.ContentInventoryReply
		if event.Open(a.env, &r) != nil || !ascends(u.from, r.ChunkIds, inspectPage) {
			return false
		}
		u.listed(r.ChunkIds)
	case opInspectUnknown:
		var r eventpb.UnknownRecordsReply
		if event.Open(a.env, &r) != nil || len(r.RecordIds) > len(u.page) {
			return false
		}
		for _, id := range r.RecordIds {
			if len(u.unknown) < unknownRecordsMax && !u.k.records.working(id) {
				u.unknown = append(u.unknown, id)
			}
		}
		u.diskPageDone()
	case opInspectPending:
		var r eventpb.PendingRecordsReply
		if event.Open(a.env, &r) != nil || len(r.Records) > pendingPage {
			return false
		}
		u.spare(r.Records)
	case opInspectTrash:
		u.trashed += uint64(len(u.page))
		u.trashNext()
	case opInspectHeld:
		var r eventpb.NodeRecordsReply
		if event.Open(a.env, &r) != nil || len(r.Records) > inspectPage {
			return false
		}
		u.held(r.Records)
	case opInspectLook:
		var r eventpb.ContentMissingReply
		if event.Open(a.env, &r) != nil || len(r.ChunkIds) > len(u.page) {
			return false
		}
		asked := map[string]bool{}
		for _, id := range u.page {
			asked[string(id)] = true
		}
		u.page = slices.DeleteFunc(r.ChunkIds, func(id []byte) bool { return !asked[string(id)] || u.k.records.working(id) })
		if u.op = opInspectLost; len(u.page) == 0 {
			u.mapPageDone()
		}
	case opInspectLost:
		var r eventpb.UnsettleRecordsReply
		if event.Open(a.env, &r) != nil {
			return false
		}
		if r.Unsettled > 0 {
			u.lost += uint64(r.Unsettled)
			for _, id := range u.page {
				u.k.losses.relapses.lost(copyKey(u.node, inos.ChunkID(id)))
			}
			u.k.records.rescan()
		}
		u.unnoted(u.node, u.page)
		u.mapPageDone()
	}
	return true
}

// working says that a record is being written or noted: the map does not know yet, or not any more, who has it.
func (u *records) working(id []byte) bool {
	for _, work := range sortedKeys(u.table) {
		if bytes.Equal(u.table[work].id, id) {
			return true
		}
	}
	for _, work := range sortedKeys(u.settling) {
		if bytes.Equal(u.settling[work].id, id) {
			return true
		}
	}
	return slices.ContainsFunc(u.settles, func(s settling) bool { return bytes.Equal(s.id, id) })
}

// listed takes the records of a page of the disk: those in work are passed over, now and when the map has answered.
func (u *inspections) listed(ids [][]byte) {
	u.page = nil
	for _, id := range ids {
		if (u.end || bytes.Compare(id, u.to) <= 0) && !u.k.records.working(id) {
			u.page = append(u.page, id)
		}
	}
	if u.op = opInspectUnknown; len(u.page) == 0 {
		u.diskPageDone()
	}
}

// diskPageDone goes on with the next page of the disk, after a pause as long as this one took.
func (u *inspections) diskPageDone() {
	u.rest()
	u.from, u.page, u.op = u.to, nil, opInspectScrub
	if !u.end {
		return
	}
	u.after, u.op = nil, opInspectHeld
	if u.k.rebuilding.lacking() || !u.k.collector.clears() {
		u.unknown = nil // they may be of what a rebuild with more nodes would restore
	}
	if len(u.unknown) > 0 {
		u.op = opInspectPending
	}
}

func (u *inspections) rest() {
	took := max(0, u.k.now-u.began)
	u.worked += took
	u.at = u.k.now + took
}

// spare goes through the pending versions: while there is one of which no record is known on a node that is alive, nothing is trashed.
func (u *inspections) spare(pending []*eventpb.Record) {
	for _, r := range pending {
		if r.File == nil {
			continue
		}
		u.after = keyOfRecord(r)
		if len(r.RecordId) != inos.HashBytes || !slices.ContainsFunc(r.Nodes, func(n string) bool { return u.k.holdsRecords(inos.NodeID(n)) }) {
			u.unknown, u.after, u.op = nil, nil, opInspectHeld
			return
		}
	}
	if len(pending) == 0 {
		u.after = nil
		u.trashNext()
	}
}

// holdsRecords says that a node's records count: it is alive, or this node.
func (k *Kernel) holdsRecords(node inos.NodeID) bool {
	m := k.members.member(node)
	return node == k.self() || m != nil && m.state == liveAlive && !m.avoided
}

func (u *inspections) trashNext() {
	n := min(len(u.unknown), needlessPerCall)
	u.page, u.unknown, u.op = u.unknown[:n:n], u.unknown[n:], opInspectTrash
	if n == 0 {
		u.page, u.op = nil, opInspectHeld
	}
}

// held takes a page of the records that the map says the node holds. It ends with an empty one.
func (u *inspections) held(list []*eventpb.HeldRecord) {
	u.page = nil
	for _, h := range list {
		if h.Key != nil && len(h.RecordId) == inos.HashBytes {
			u.page, u.after = append(u.page, h.RecordId), h.Key
		}
	}
	if u.op = opInspectLook; len(u.page) == 0 {
		u.done()
	}
}

func (u *inspections) mapPageDone() {
	u.rest()
	u.page, u.op = nil, opInspectHeld
}

func (u *inspections) done() {
	m := u.k.members.member(u.node)
	if m != nil && u.lost > 0 {
		m.losesTill = u.k.now + recordsElsewhere
		u.k.watcher.note(event.UnsettleRecords, event.StateCompleted, "node "+m.label()+" has lost "+plural(u.lost, "commit record", "commit records")+": they are written again")
	}
	if m != nil && u.trashed > 0 {
		u.k.watcher.note(event.UnknownRecords, event.StateCompleted, "node "+m.label()+": "+plural(u.trashed, "commit record", "commit records")+" of no version moved to the trash")
	}
	u.stop()
}
