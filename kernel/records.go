package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects of the records.
const (
	opSeal         = iota + 1 // record:seal
	opRecordRead              // content:read_chunk of a sealed record, to copy it
	opRecordWrite             // content:write_chunk of a sealed record
	opSettle                  // semantic:settle_record
	opTrashRecords            // content:trash_chunk of records that are needless
	opPending                 // semantic:pending_records
	opUnsettle                // semantic:unsettle_records
)

// records writes the commit record of every version to the nodes that keep it: sealed by the host, on a quorum of domains before the
// version is acknowledged, and on as many as its file wants in the end. When that is noted, the records that it makes needless are
// trashed. What a crash or a lost node left out is found by paging through the versions whose records are pending.
type records struct {
	k        *Kernel
	table    map[uint64]*sealing
	upkeep   uint32 // of them nobody waits for
	settles  []settling
	settling map[uint64]settling // semantic:settle_record is under way
	dueAt    inos.Micros         // when the first sealing wants to be looked at; 0: none does
	needless []needless
	trashing []needless // content:trash_chunk is under way, at one node
	trashAt  inos.Micros

	scanning bool
	last     bool               // the page is the scan's last
	through  bool               // a scan of all has ended
	facts    bool               // the scan is of the facts only
	factsAt  inos.Micros        // when to look through the facts; 0: none has changed
	resumeAt inos.Micros        // when the scan of all was due that the one of the facts has put off
	after    *eventpb.RecordKey // the page begins behind it
	page     []*eventpb.Record  // of the page, what is left
	asked    bool               // for a page
	noted    map[string]bool    // paths of which a record was noted since; nothing of what the page says of them holds
	passed   bool               // the page is from before records were made pending, or more were noted than are remembered
	skipped  bool               // the scan has passed over such a page
	scanAt   inos.Micros        // when to look again
	scanFrom inos.Micros        // when the scan under way began
	pending  uint64             // versions that the scan under way could do nothing about
	lately   uint64             // and the last one
	short    bool               // the scan left something that may be done later
	gone     nodeLine           // whose records are to be made pending
	going    inos.NodeID        // whose records are being made pending; empty: nobody's
	ungoing  bool               // semantic:unsettle_records is under way, for that one
	goneAt   inos.Micros
}

// settling is a version whose record is to be noted.
type settling struct {
	key   *eventpb.RecordKey
	id    []byte
	nodes []string
	full  bool
	tries uint32
}

// needless is a record that a node may let go of.
type needless struct {
	node inos.NodeID
	id   []byte
}

func (u *records) init(k *Kernel) {
	u.k = k
	u.table, u.settling, u.noted = map[uint64]*sealing{}, map[uint64]settling{}, map[string]bool{}
}

func (u *records) about() about {
	return about{name: "records", kind: "pipeline", inFlightMax: sealingsMax + settlesInFlight + 3}
}

func (u *records) hear(*input) {}

func (u *records) code(c *coder) {
	objects(c, &u.table, sealingsMax, num[uint64], func(c *coder, x *sealing) { x.code(c) })
	num(c, &u.upkeep)
	list(c, &u.settles, settlesMax, func(c *coder, s *settling) { s.code(c) })
	table(c, &u.settling, settlesInFlight, num[uint64], func(c *coder, s *settling) { s.code(c) })
	num(c, &u.dueAt)
	trash := func(l *[]needless) {
		list(c, l, needlessMax, func(c *coder, n *needless) {
			text(c, &n.node)
			c.bytes(&n.id)
		})
	}
	trash(&u.needless)
	trash(&u.trashing)
	num(c, &u.trashAt)
	c.bool(&u.scanning)
	c.bool(&u.last)
	c.bool(&u.through)
	c.bool(&u.facts)
	num(c, &u.factsAt)
	num(c, &u.resumeAt)
	recordKey(c, &u.after)
	list(c, &u.page, pendingPage, record)
	c.bool(&u.asked)
	table(c, &u.noted, settlesMax, text[string], (*coder).bool)
	c.bool(&u.passed)
	c.bool(&u.skipped)
	num(c, &u.scanAt)
	num(c, &u.scanFrom)
	num(c, &u.pending)
	num(c, &u.lately)
	c.bool(&u.short)
	u.gone.code(c)
	text(c, &u.going)
	if c.bool(&u.ungoing); u.ungoing && u.going == "" {
		c.fail("records of no node are being made pending")
	}
	num(c, &u.goneAt)
}

func (s *settling) code(c *coder) {
	recordKey(c, &s.key)
	c.bytes(&s.id)
	list(c, &s.nodes, fanoutNodesMax, text[string])
	c.bool(&s.full)
	num(c, &s.tries)
}

func recordKey(c *coder, p **eventpb.RecordKey) {
	present := *p != nil
	c.bool(&present)
	if !present {
		return
	}
	if c.reading {
		*p = &eventpb.RecordKey{}
	}
	text(c, &(*p).Owner)
	text(c, &(*p).Path)
	num(c, &(*p).Version)
}

func record(c *coder, p **eventpb.Record) {
	if c.reading {
		*p = &eventpb.Record{}
	}
	r := *p
	fileInfo(c, &r.File)
	if c.reading && r.File == nil {
		c.fail("a record of no file")
		r.File = &eventpb.FileInfo{}
	}
	c.bool(&r.Tombstone)
	c.bytes(&r.RecordId)
	list(c, &r.Nodes, fanoutNodesMax, text[string])
	c.bytes(&r.Fact)
}

// keyOfRecord names the version that a record is of.
func keyOfRecord(r *eventpb.Record) *eventpb.RecordKey {
	return &eventpb.RecordKey{Owner: r.File.Owner, Path: r.File.Path, Version: r.File.Version}
}

// nodeGone makes the records that a node held pending again, once more when that is under way: it may have passed what was noted since.
func (u *records) nodeGone(node inos.NodeID) {
	if u.ungoing || node != u.going {
		u.gone.add(node)
	}
}

// leaves says that a node's records wait to be made pending, and none are under way.
func (u *records) leaves() bool { return !u.ungoing && (u.going != "" || len(u.gone.list) > 0) }

func (u *records) act() {
	k := u.k
	if !k.ready() || !k.node.switchboard {
		return
	}
	if u.dueAt != 0 && u.dueAt <= k.now {
		u.dueAt = 0
		for _, work := range sortedKeys(u.table) {
			if u.due(u.table[work]); u.table[work] != nil {
				u.dueAt = earlier(u.dueAt, u.table[work].wake())
			}
		}
	}
	for len(u.settling) < settlesInFlight && u.settle() {
	}
	if len(u.needless) > 0 && len(u.trashing) == 0 && u.trashAt <= k.now {
		u.trash()
	}
	if k.node.draining {
		return
	}
	if u.leaves() && u.goneAt <= k.now {
		if u.going == "" {
			u.going = u.gone.first()
		}
		u.ungoing = true
		k.send(nil, ask{owner: threadRecords, op: opUnsettle}, event.UnsettleRecords, &eventpb.UnsettleRecordsRequest{Node: string(u.going), Limit: unsettlePage})
	}
	u.scan()
}

func (u *records) wake() (at inos.Micros) {
	k := u.k
	if !k.ready() || !k.node.switchboard {
		return 0
	}
	at = u.dueAt
	if len(u.needless) > 0 && len(u.trashing) == 0 {
		at = earlier(at, u.trashAt)
	}
	if k.node.draining {
		return at
	}
	if u.leaves() {
		at = earlier(at, max(u.goneAt, 1))
	}
	if !u.scanning || len(u.page) == 0 && !u.asked {
		at = earlier(at, u.scanAt)
	}
	if !u.scanning {
		at = earlier(at, u.factsAt)
	}
	return at
}

// idle says that nothing is left to write or to note; what is only pending is found again.
func (u *records) idle() bool {
	return len(u.table) == 0 && len(u.settles)+len(u.settling) == 0 && len(u.trashing) == 0 && !u.asked && !u.ungoing
}

func (u *records) answer(a *answer) {
	switch a.op {
	case opSettle:
		u.settled(a)
	case opTrashRecords:
		u.trashed(a)
	case opPending:
		u.listed(a)
	case opUnsettle:
		u.unsettled(a)
	default:
		x := u.table[a.work]
		switch a.op {
		case opSeal:
			u.sealed(x, a)
		case opRecordRead:
			u.read(x, a)
		case opRecordWrite:
			u.wrote(x, a)
		}
	}
}

// count returns how many versions have records that are not on all of their nodes, as of the last scan and of what is under way.
func (u *records) count() uint64 { return u.lately + uint64(len(u.table)+len(u.settles)) }

// note has it noted who holds a version's record. What does not fit is found pending again. Another record of the version that was noted before, and
// that is on its way to more nodes, is needless from now on: when it ends it must not take the place of this one.
func (u *records) note(s settling) {
	for _, work := range sortedKeys(u.table) {
		x := u.table[work]
		if f := x.record.File; len(x.held) > 0 && f.Version == s.key.Version && f.Path == s.key.Path && f.Owner == s.key.Owner && string(x.id) != string(s.id) {
			x.needless = true
		}
	}
	if len(u.settles) >= settlesMax {
		u.short = true
		return
	}
	u.settles = append(u.settles, s)
}

// settle sends the first note whose version has none under way: of two records of one version that are noted at once, and again when the
// outcome is not known, each would be told that the other is needless, and both would go.
func (u *records) settle() bool {
	i := slices.IndexFunc(u.settles, func(s settling) bool {
		for _, work := range sortedKeys(u.settling) {
			x := u.settling[work]
			if x.key.Version == s.key.Version && x.key.Path == s.key.Path && x.key.Owner == s.key.Owner {
				return false
			}
		}
		return true
	})
	if i < 0 {
		return false
	}
	s := u.settles[i]
	u.settles = slices.Delete(u.settles, i, i+1)
	work := u.k.work()
	u.settling[work] = s
	u.k.send(nil, ask{owner: threadRecords, op: opSettle, work: work}, event.SettleRecord,
		&eventpb.SettleRecordRequest{Key: s.key, RecordId: s.id, Nodes: s.nodes, Full: s.full})
	return true
}

// settled takes the records that a version's makes needless. Content that only versions before it referred to may be collected now.
func (u *records) settled(a *answer) {
	s := u.settling[a.work]
	delete(u.settling, a.work)
	u.overtake(s.key)
	if a.err != nil {
		if a.err.Code == inos.CodeIO && s.tries < retriesMax && len(u.settles) < settlesMax {
			s.tries++
			u.settles = slices.Insert(u.settles, 0, s) // it may have happened; the verb is idempotent, but not behind another record of the version
			return
		}
		u.short = true
		return
	}
	u.k.collector.changed()
	for _, node := range s.nodes {
		if m := u.k.members.table[inos.NodeID(node)]; m != nil && !m.stays() {
			u.nodeGone(inos.NodeID(node)) // it began to leave while its copy of the record was being noted
		}
	}
	var r eventpb.SettleRecordReply
	if event.Open(a.env, &r) != nil {
		return
	}
	for _, n := range r.Needless {
		for _, node := range n.Nodes {
			if len(u.needless) < needlessMax && len(n.RecordId) == inos.HashBytes {
				u.needless = append(u.needless, needless{inos.NodeID(node), n.RecordId})
			}
		}
	}
}

// trash has a node let go of needless records. A node that does not answer keeps them: they lose against any later version.
func (u *records) trash() {
	k := u.k
	u.needless = slices.DeleteFunc(u.needless, func(n needless) bool { return n.node != k.self() && !k.members.alive(n.node) })
	q := &eventpb.ContentTrashRequest{Record: true}
	u.needless = slices.DeleteFunc(u.needless, func(n needless) bool {
		if len(u.trashing) >= needlessPerCall || len(u.trashing) > 0 && u.trashing[0].node != n.node {
			return false
		}
		u.trashing = append(u.trashing, n)
		q.Chunks = append(q.Chunks, &eventpb.ChunkGeneration{ChunkId: n.id})
		return true
	})
	if len(u.trashing) > 0 {
		k.content(nil, ask{owner: threadRecords, op: opTrashRecords}, u.trashing[0].node, event.ContentTrash, q, bulk{})
	}
}

func (u *records) trashed(a *answer) {
	list := u.trashing
	u.trashing = nil
	if a.err != nil && a.err.Code == inos.CodeBusy && len(u.needless)+len(list) <= needlessMax {
		u.needless = append(u.needless, list...)
		u.trashAt = u.k.now + busyRetryAfter
	}
}

// unsettled goes on until no version names the node any more; then the pending ones are looked through.
func (u *records) unsettled(a *answer) {
	u.ungoing = false
	u.unnoted()
	var r eventpb.UnsettleRecordsReply
	switch {
	case a.err != nil || event.Open(a.env, &r) != nil:
		u.goneAt = u.k.now + retryBackoffMax
	case r.Unsettled < unsettlePage:
		u.going = ""
		u.rescan()
	default:
		u.rescan()
	}
}
