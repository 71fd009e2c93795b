package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Versions whose records are not on all of their nodes are looked through after a start, when something was left undone, when the
// members have changed, and now and then. On a mesh with fewer domains than files want, every version stays pending: looking through
// them costs a page of the map at a time and nothing else.

// rescan has the pending versions looked through soon, again when they are being looked through.
func (u *records) rescan() {
	u.short = true
	soon := u.k.now + recordsSettle
	switch {
	case !u.scanning:
		u.scanAt = max(1, min(u.scanAt, soon))
	case u.facts:
		u.resumeAt = max(1, min(u.resumeAt, soon))
	}
}

// factVerbs are the verbs of the semantic memory that change facts of identity. Nobody waits for the records of these.
var factVerbs = map[string]bool{
	event.PutUser: true, event.OpenSession: true, event.RevokeDevice: true, event.PutGroup: true, event.PutGrant: true, event.RemoveGrant: true,
	event.UseGrant: true,
}

// factChanged has the pending facts looked through soon. They come before all files, so that the files need not be looked through for them.
func (u *records) factChanged() {
	if u.factsAt == 0 {
		u.factsAt = u.k.now + recordsSettle
	}
}

// scan begins a record of what is pending after another, a few at a time.
func (u *records) scan() {
	k := u.k
	if !u.scanning {
		if k.members.changedAt > u.scanFrom && u.scanFrom != 0 {
			u.scanFrom = k.members.changedAt
			u.rescan()
		}
		if u.scanAt > k.now && (u.factsAt == 0 || u.factsAt > k.now) {
			return
		}
		u.scanning, u.after, u.factsAt = true, nil, 0
		if u.facts = u.scanAt > k.now; u.facts {
			u.resumeAt, u.scanAt = u.scanAt, k.now
		} else {
			u.scanFrom, u.pending, u.short, u.skipped = k.now, 0, false, false
		}
	}
	for len(u.page) > 0 && u.upkeep < recordsUpkeep && len(u.table) < sealingsMax/2 {
		r := u.page[0]
		u.page = u.page[1:]
		if u.passed || u.noted[pathOfRecord(keyOfRecord(r))] {
			u.short, u.skipped = true, u.skipped || u.passed
			continue
		}
		u.begin(r)
	}
	if u.last && len(u.page) == 0 {
		u.ended()
		return
	}
	if len(u.page) > 0 || u.asked || u.scanAt > k.now {
		return
	}
	u.asked, u.passed = true, false
	clear(u.noted)
	k.send(nil, ask{owner: threadRecords, op: opPending}, event.PendingRecords, &eventpb.PendingRecordsRequest{After: u.after, Limit: pendingPage})
}

// overtake notes that a record of a path was noted, or may have been, while a page is under way or not used up: which record the page names for it, and
// on which nodes, may be over. Noted once more, a record that was needless already would take the place of the one that is not.
func (u *records) overtake(key *eventpb.RecordKey) {
	if !u.asked && len(u.page) == 0 {
		return
	}
	if len(u.noted) >= settlesMax {
		u.passed = true
		return
	}
	u.noted[pathOfRecord(key)] = true
}

// unnoted says that records were made pending: a page of before may name nodes that have lost them.
func (u *records) unnoted() { u.passed = u.asked || len(u.page) > 0 }

// pathOfRecord names the path that a record is of.
func pathOfRecord(key *eventpb.RecordKey) string { return key.Owner + "\x00" + key.Path }

// listed takes a page. The scan ends with an empty one, that of the facts with the first file too.
func (u *records) listed(a *answer) {
	k := u.k
	u.asked = false
	var r eventpb.PendingRecordsReply
	if a.err != nil || event.Open(a.env, &r) != nil || len(r.Records) > pendingPage {
		u.scanAt = k.now + retryBackoffMax
		return
	}
	end := len(r.Records) == 0
	for _, rec := range r.Records {
		if rec.File == nil {
			continue
		}
		if u.facts && rec.File.Owner != "" {
			end = true
			break
		}
		u.page = append(u.page, rec)
		u.after = keyOfRecord(rec)
	}
	u.scanAt = k.now + recordsPace
	if u.last = end; end && len(u.page) == 0 {
		u.ended()
	}
}

// ended ends a scan.
func (u *records) ended() {
	k := u.k
	u.scanning, u.last = false, false
	if u.facts {
		u.facts, u.scanAt = false, u.resumeAt
		if u.short {
			u.scanAt = min(u.scanAt, k.now+recordsEvery)
		}
		return
	}
	u.lately, u.through = u.pending, u.through || !u.skipped
	u.rested()
	u.scanAt = k.now + recordsIdleEvery
	if u.short {
		u.scanAt = k.now + recordsEvery
	}
}

// rested tells a rebuild that all records have been looked through, and that none which nobody waits for is being written.
func (u *records) rested() {
	if u.through && u.upkeep == 0 {
		u.k.rebuilding.spread()
	}
}

// begin writes the record of a pending version where it is missing, if something can be done about it.
func (u *records) begin(r *eventpb.Record) {
	k := u.k
	key := keyOfRecord(r)
	if u.inWork(key) {
		u.short = true // what is in work may be an earlier version's
		return
	}
	x := &sealing{record: r, wanted: replicasOf(r)}
	settled := len(r.RecordId) == inos.HashBytes
	if x.quorum, _ = k.recordQuorum(x.wanted); x.quorum == 0 && settled {
		x.quorum = 1 // it was in a quorum once, and no version before it stays: one copy is better than none
	}
	if x.quorum == 0 {
		u.short = true // too few domains are to be had now
		u.pending++
		return
	}
	if settled {
		for _, node := range r.Nodes {
			if !k.members.dead(inos.NodeID(node)) {
				x.held = append(x.held, inos.NodeID(node))
			}
		}
	}
	live := k.members.distinct(x.held, x.wanted)
	switch {
	case live >= x.wanted:
		u.note(settling{key: key, id: r.RecordId, nodes: names(x.held), full: true})
		return
	case live > 0 && len(k.members.placeRecord(inos.ChunkID(r.RecordId), x.wanted, x.held, nil)) == 0:
		if all, _ := k.members.domains(x.wanted); live < min(x.wanted, all) {
			u.short = true
		}
		u.pending++
		return // there is nowhere to put more
	}
	u.upkeep++
	u.start(x, live > 0)
}

// replicasOf returns on how many nodes a version's record is wanted.
func replicasOf(r *eventpb.Record) uint32 {
	if r.Tombstone || r.File.ReplicasWanted == 0 {
		return inos.ReplicasDefault
	}
	return min(r.File.ReplicasWanted, replicasMax)
}

// safeQuorum returns in how many domains what is written has to be before it is acknowledged. The disk of a lone node is asked even when
// it seems to be full: it may be emptied.
func (k *Kernel) safeQuorum(wanted, sync uint32) (uint32, *inos.Error) {
	return k.aloneQuorum(k.members.quorum(wanted, sync))
}

// recordQuorum is safeQuorum for a change that stores nothing but its commit record.
func (k *Kernel) recordQuorum(wanted uint32) (uint32, *inos.Error) {
	return k.aloneQuorum(k.members.recordQuorum(wanted))
}

func (k *Kernel) aloneQuorum(quorum uint32, err *inos.Error) (uint32, *inos.Error) {
	if err != nil && err.Code == inos.CodeQuorumLost && k.lone() {
		return 1, nil
	}
	return quorum, err
}

func names(nodes []inos.NodeID) (out []string) {
	for _, n := range nodes {
		out = append(out, string(n))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// inWork says that the record of the path is being written, or noted.
func (u *records) inWork(key *eventpb.RecordKey) bool {
	same := func(owner, path string) bool { return owner == key.Owner && path == key.Path }
	for _, work := range sortedKeys(u.table) {
		if f := u.table[work].record.File; same(f.Owner, f.Path) {
			return true
		}
	}
	for _, work := range sortedKeys(u.settling) {
		if s := u.settling[work]; same(s.key.Owner, s.key.Path) {
			return true
		}
	}
	for i := range u.settles {
		if s := &u.settles[i]; same(s.key.Owner, s.key.Path) {
			return true
		}
	}
	return false
}
