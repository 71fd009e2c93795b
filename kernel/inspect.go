package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects of the inspections.
const (
	opInspectScrub   = iota + 1 // content:scrub of a page of the node's records
	opInspectList               // content:inventory of the same page
	opInspectUnknown            // semantic:unknown_records
	opInspectPending            // semantic:pending_records, to see whether a version is without a record
	opInspectTrash              // content:trash_chunk of records that no version stays for
	opInspectHeld               // semantic:node_records
	opInspectLook               // content:missing_chunks
	opInspectLost               // semantic:unsettle_records of what is missing
	opProofPick                 // semantic:node_records, to choose one that is to be proved
	opProofRead                 // content:read_chunk of that record
	opProofLost                 // semantic:unsettle_records of one that was not proved
)

// inspections compare the nodes' stores of commit records with the map, one node at a time: after a start, after a node's return and in turn.
// First its disk: the records are hashed again on the node, and those that no version stays for are trashed. Then the map: versions
// whose record is not there any more are pending again, and so written again (records_pending.go). Between, a random record of a random node is
// read and hashed here (inspect_proof.go): a node that lies about what it has is noticed by that alone.
//
// A record that the map does not know may be the only one of a version that was acknowledged: this kernel writes it right now, or an earlier one
// wrote it and did not live to have it noted. What is in work here is left out, and nothing is trashed while the map has a version of
// which it knows no record on a node that is alive.
type inspections struct {
	k        *Kernel
	looked   bool // all members were put in line after the boot
	wanted   nodeLine
	node     inos.NodeID // that is being inspected; empty: none is
	op       uint8       // what is to be asked next
	underWay bool
	at       inos.Micros // not before
	began    inos.Micros // when the page was
	worked   inos.Micros // the time that its pages have taken
	tries    uint32
	from     []byte             // the page of the disk begins behind this id
	to       []byte             // and ends with this one
	end      bool               // it is the last
	page     [][]byte           // of the disk, or of the map
	unknown  [][]byte           // of the disk, to be trashed
	after    *eventpb.RecordKey // the page of the map begins behind it, or that of what is pending
	last     inos.NodeID        // had its turn last
	turnAt   inos.Micros        // when the next one has its turn; 0: not planned
	trashed  uint64
	lost     uint64
	proof    recordProof
}

func (u *inspections) init(k *Kernel) { u.k = k }

func (u *inspections) about() about { return about{name: "inspect", kind: "watcher", inFlightMax: 2} }

func (u *inspections) hear(*input) {}

func (u *inspections) code(c *coder) {
	ids := func(l *[][]byte) { list(c, l, unknownRecordsMax, func(c *coder, b *[]byte) { c.bytes(b) }) }
	c.bool(&u.looked)
	u.wanted.code(c)
	text(c, &u.node)
	num(c, &u.op)
	c.bool(&u.underWay)
	for _, t := range []*inos.Micros{&u.at, &u.began, &u.worked, &u.turnAt} {
		num(c, t)
	}
	num(c, &u.tries)
	c.bytes(&u.from)
	c.bytes(&u.to)
	c.bool(&u.end)
	ids(&u.page)
	ids(&u.unknown)
	recordKey(c, &u.after)
	text(c, &u.last)
	num(c, &u.trashed)
	num(c, &u.lost)
	u.proof.code(c)
}

// want asks for a node's records to be looked at.
func (u *inspections) want(node inos.NodeID) { u.wanted.add(node) }

func (u *inspections) active() bool {
	return u.k.ready() && u.k.collector.safe() && !u.k.node.draining
}

func (u *inspections) act() {
	k := u.k
	if !u.active() {
		return
	}
	u.prove()
	if u.underWay {
		return
	}
	if u.node == "" {
		u.takeTurn()
		u.next()
	}
	switch {
	case u.node == "":
	case u.node != k.self() && !k.members.alive(u.node):
		u.stop() // its return, or its next turn, brings it here again
	case u.at <= k.now:
		u.ask()
	}
}

func (u *inspections) wake() (at inos.Micros) {
	if !u.active() {
		return 0
	}
	switch at = u.proof.wake(); {
	case u.underWay:
	case u.node != "":
		at = earlier(at, max(u.at, 1))
	case len(u.wanted.list) > 0:
		at = earlier(at, max(u.at, u.k.now+inspectPause)) // for nodes that do not answer
	default:
		at = earlier(at, u.turnAt)
	}
	return at
}

func (u *inspections) idle() bool { return !u.underWay && u.proof.buffer == 0 && !u.proof.underWay }

// takeTurn puts a node in line now and then: all of them some time after the boot, then one after the other, in a twentieth of
// the time: records are few and small.
func (u *inspections) takeTurn() {
	k := u.k
	if u.turnAt > k.now {
		return
	}
	all := k.members.all()
	if len(all) == 0 {
		return
	}
	first := u.turnAt == 0
	u.turnAt = k.now + max(min(inspectEvery/inos.Micros(len(all)), 20*u.worked), inspectTurn)
	switch {
	case first:
		return
	case !u.looked:
		u.looked = true
		for _, node := range all {
			u.want(node)
		}
		return
	}
	i, found := slices.BinarySearch(all, u.last)
	if found {
		i++
	}
	u.last = all[i%len(all)]
	u.want(u.last)
}

// next begins with the first node in line that answers. One that is dead is let go: its return brings it here again.
func (u *inspections) next() {
	k := u.k
	if u.at > k.now {
		return
	}
	u.wanted.leave(func(node inos.NodeID) bool {
		return k.collector.gone(node) || node == k.self() && !k.node.provider
	})
	for i, node := range u.wanted.list {
		if node == k.self() || k.members.alive(node) {
			u.wanted.take(i)
			u.node, u.op, u.from, u.to, u.end, u.page, u.unknown, u.after = node, opInspectScrub, nil, nil, false, nil, nil, nil
			u.tries, u.worked, u.trashed, u.lost = 0, 0, 0, 0
			return
		}
	}
}

func (u *inspections) stop() {
	u.node, u.page, u.unknown, u.after, u.from, u.to = "", nil, nil, nil, nil, nil
}

// ask asks what is next.
func (u *inspections) ask() {
	k := u.k
	u.underWay = true
	a := ask{owner: threadInspect, op: u.op}
	disk := func(effect string, m event.Message) {
		k.content(nil, a, u.node, effect, m, bulk{timeout: trashTimeout})
	}
	switch u.op {
	case opInspectScrub:
		u.began = k.now
		disk(event.ContentScrub, &eventpb.ContentScrubRequest{After: u.from, Limit: inspectPage, Record: true})
	case opInspectList:
		disk(event.ContentInventory, &eventpb.ContentInventoryRequest{After: u.from, Limit: inspectPage, Record: true})
	case opInspectUnknown:
		k.send(nil, a, event.UnknownRecords, &eventpb.UnknownRecordsRequest{RecordIds: u.page})
	case opInspectPending:
		k.send(nil, a, event.PendingRecords, &eventpb.PendingRecordsRequest{After: u.after, Limit: pendingPage})
	case opInspectTrash:
		q := &eventpb.ContentTrashRequest{Record: true}
		for _, id := range u.page {
			q.Chunks = append(q.Chunks, &eventpb.ChunkGeneration{ChunkId: id})
		}
		disk(event.ContentTrash, q)
	case opInspectHeld:
		u.began = k.now
		k.send(nil, a, event.NodeRecords, &eventpb.NodeRecordsRequest{Node: string(u.node), After: u.after, Limit: inspectPage})
	case opInspectLook:
		disk(event.ContentMissing, &eventpb.ContentMissingRequest{ChunkIds: u.page, Record: true})
	case opInspectLost:
		k.send(nil, a, event.UnsettleRecords, &eventpb.UnsettleRecordsRequest{Node: string(u.node), RecordIds: u.page, Limit: unsettlePage})
	}
}

func (u *inspections) answer(a *answer) {
	if a.op >= opProofPick {
		u.proved(a)
		return
	}
	u.underWay = false
	if u.node == "" {
		return
	}
	if a.err == nil && u.take(a) {
		u.tries = 0
		return
	}
	if a.op == opInspectLost {
		u.unnoted(u.node, u.page)
		u.k.records.rescan() // it may have been done, and is told to nobody then: the next time there is nothing left to do
	}
	u.at = u.k.now + min(retryBackoffMin<<min(u.tries, 8), retryBackoffMax)
	u.began = u.at // waiting for a node that does not answer is no work
	if u.tries++; u.tries > retriesMax {
		u.stop()
	}
}

// unnoted says that a node was taken off those that hold records, or may have been. One of which a note is on its way may name it again, by what
// the map said before: then the node is looked at once more.
func (u *inspections) unnoted(node inos.NodeID, ids [][]byte) {
	u.k.records.unnoted()
	if slices.ContainsFunc(ids, u.k.records.working) {
		u.want(node)
	}
}
