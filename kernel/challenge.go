package kernel

import (
	"slices"
	"strconv"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects of the audits.
const (
	opAuditPage    = iota + 1 // semantic:node_chunks, from a random id
	opAuditStates             // semantic:chunk_states of what is to be audited
	opAuditProve              // content:prove_chunk on the node
	opAuditVerify             // storage:verify_proof, in a worker
	opAuditConfirm            // semantic:chunk_states of a copy that was not proved: the map may name it no more
	opAuditNote               // semantic:audit_copies
)

// auditEvent is under what audits are noted in the history.
const auditEvent = "chunk:audit:v1:requested"

// challenges audits: it has nodes prove that they hold what the map says. A challenge names a chunk and one of its leaves of 1 KiB, both
// random; the node answers with a slice that is verified from the chunk's id alone. At random times a random node is asked, those more likely
// whose many copies were not audited for long; and at once what somebody wants to know: a copy that others are to be trimmed for (trim.go), or one
// whose bytes did not verify for a reader. A complaint alone changes nothing.
//
// A copy that is not proved, while the map still names it, is doubted (loss.go), and more of the node's copies are challenged at once. A
// node that fails half of its last challenges is named: what it holds is trusted for nothing until it is looked at, and it is given no new copies
// for a time that doubles whenever it is named.
type challenges struct {
	k       *Kernel
	wanted  []heldCopy // to be challenged next
	table   map[uint64]*challenge
	paging  inos.NodeID // whose page is being asked for; empty: nobody's
	many    uint32      // how many of it are challenged
	walks   bool        // the page is the next one of the walk through the node's chunks
	asking  []heldCopy  // whose states are being asked for
	passed  []heldCopy  // proved, and to be noted
	noting  []heldCopy
	noteAt  inos.Micros // not before, after a failure
	next    inos.Micros // when a random node is audited
	took    inos.Micros // of the last proof
	pauseAt inos.Micros // nothing more is asked before, after a failure of the semantic memory
}

// heldCopy is a node's copy of a chunk.
type heldCopy struct {
	node  inos.NodeID
	chunk inos.ChunkID
	epoch uint64
}

func (x *heldCopy) code(c *coder) {
	text(c, &x.node)
	c.fixed(x.chunk[:])
	num(c, &x.epoch)
}

// challenge is one that is under way.
type challenge struct {
	origin
	heldCopy
	bytes   uint64 // of the stored form; 0: not known
	leaf    uint64
	buffer  uint64 // of the proof
	started inos.Micros
}

func (u *challenges) init(k *Kernel) {
	u.k = k
	u.table = map[uint64]*challenge{}
}

func (u *challenges) about() about {
	return about{name: "challenge", kind: "watcher", inFlightMax: challengesMax + 3}
}

func (u *challenges) hear(*input) {}

func (u *challenges) code(c *coder) {
	copies := func(l *[]heldCopy, limit int) { list(c, l, limit, func(c *coder, x *heldCopy) { x.code(c) }) }
	copies(&u.wanted, auditsWantedMax)
	objects(c, &u.table, challengesMax, num[uint64], func(c *coder, x *challenge) {
		x.origin.code(c)
		x.heldCopy.code(c)
		num(c, &x.bytes)
		num(c, &x.leaf)
		num(c, &x.buffer)
		num(c, &x.started)
	})
	text(c, &u.paging)
	num(c, &u.many)
	c.bool(&u.walks)
	copies(&u.asking, challengesMax)
	copies(&u.passed, auditsWantedMax)
	copies(&u.noting, auditsWantedMax)
	num(c, &u.noteAt)
	num(c, &u.next)
	num(c, &u.took)
	num(c, &u.pauseAt)
}

// want asks for the audit of a copy.
func (u *challenges) want(node inos.NodeID, id inos.ChunkID) {
	x := heldCopy{node: node, chunk: id}
	same := func(y heldCopy) bool { return y.node == node && y.chunk == id }
	if len(u.wanted) < auditsWantedMax && !slices.ContainsFunc(u.wanted, same) && !slices.ContainsFunc(u.asking, same) && !slices.ContainsFunc(u.passed, same) {
		u.wanted = append(u.wanted, x)
	}
}

// complained asks for the audit of a copy whose bytes did not verify for a reader.
func (u *challenges) complained(node inos.NodeID, id inos.ChunkID) { u.want(node, id) }

func (u *challenges) active() bool { return u.k.repairs.active() && !u.k.node.draining }

func (u *challenges) act() {
	k := u.k
	if !u.active() {
		return
	}
	if len(u.passed) > 0 && len(u.noting) == 0 && u.noteAt <= k.now && (len(u.table) == 0 || len(u.passed) >= auditsPerNote) {
		u.note()
	}
	if u.pauseAt > k.now || k.losses.full() {
		return
	}
	if len(u.wanted) > 0 && len(u.asking) == 0 && len(u.table) < challengesMax {
		u.states()
	}
	switch {
	case u.next == 0:
		u.next = k.now + auditEvery
	case u.next <= k.now:
		u.next = k.now + u.interval()
		if u.paging == "" && len(u.wanted) == 0 {
			u.page(u.pick(), auditChunks)
		}
	}
}

func (u *challenges) wake() (at inos.Micros) {
	if !u.active() {
		return 0
	}
	if len(u.passed) > 0 && len(u.noting) == 0 && (len(u.table) == 0 || len(u.passed) >= auditsPerNote) {
		at = max(u.noteAt, 1)
	}
	if u.k.losses.full() {
		return at
	}
	if len(u.wanted) > 0 && len(u.asking) == 0 && len(u.table) < challengesMax {
		at = earlier(at, max(u.pauseAt, 1))
	}
	return earlier(at, max(u.next, u.pauseAt))
}

// interval returns the time to the next audit of a random node: a proof reads a chunk, and they are to take a twentieth of a node's time at
// most; while clients are served less.
func (u *challenges) interval() inos.Micros {
	every := min(max(auditEvery, 20*auditChunks*u.took), auditEveryMax)
	if len(u.k.puts.active)+len(u.k.gets.active) > 0 {
		every *= 4
	}
	return every/2 + inos.Micros(u.k.random.next()%uint64(every))
}

// pick draws a node, by its copies and the time since it was audited.
func (u *challenges) pick() inos.NodeID {
	k := u.k
	weight := func(m *member) uint64 {
		if _, _, comparing := k.reconciles.progress(m.id()); m.removed() || m.state != liveAlive || m.failures >= muteFailures || m.distrust || comparing || m.row.Copies == 0 {
			return 0
		}
		return min(m.row.Copies, 1<<20) * (1 + uint64(min(k.now-m.audited, inos.Day)/inos.Second))
	}
	total := uint64(0)
	for _, id := range k.members.sorted() {
		total += weight(k.members.table[id])
	}
	if total == 0 {
		return ""
	}
	draw := k.random.next() % total
	for _, id := range k.members.sorted() {
		w := weight(k.members.table[id])
		if draw < w {
			k.members.table[id].audited = k.now
			return id
		}
		draw -= w
	}
	return ""
}

// page asks for some of a node's chunks: from a random id on, or, every other time, behind those of the last walk. Random ids alone reach a chunk
// the more seldom the nearer the one before it is, and some hardly ever.
func (u *challenges) page(node inos.NodeID, many uint32) {
	if node == "" {
		return
	}
	u.paging, u.many, u.walks = node, many, !u.walks
	after := make([]byte, inos.HashBytes)
	for i := range 4 {
		ten := u.k.random.ten()
		copy(after[8*i:], ten[:8])
	}
	if m := u.k.members.member(node); m != nil && u.walks {
		after = m.walked
	}
	u.k.send(nil, ask{owner: threadChallenge, op: opAuditPage}, event.NodeChunks, &eventpb.NodeChunksRequest{Node: string(node), After: after, Limit: many})
}

// paged takes the page. At the end of a node's chunks it begins again with the first.
func (u *challenges) paged(a *answer) {
	node := u.paging
	u.paging = ""
	var r eventpb.NodeChunksReply
	if a.err != nil || event.Open(a.env, &r) != nil {
		u.pauseAt = u.k.now + retryBackoffMax
		return
	}
	if len(r.ChunkIds) == 0 && a.work == 0 {
		u.paging = node
		u.k.send(nil, ask{owner: threadChallenge, op: opAuditPage, work: 1}, event.NodeChunks, &eventpb.NodeChunksRequest{Node: string(node), Limit: u.many})
		return
	}
	m := u.k.members.member(node)
	for _, id := range r.ChunkIds {
		if len(id) != inos.HashBytes {
			continue
		}
		u.want(node, inos.ChunkID(id))
		if u.walks && m != nil {
			m.walked = id
		}
	}
}

// states asks how long the chunks are and whether the map still trusts the copies.
func (u *challenges) states() {
	n := min(len(u.wanted), challengesMax-len(u.table))
	u.asking, u.wanted = slices.Clone(u.wanted[:n]), slices.Clone(u.wanted[n:])
	q := &eventpb.ChunkStatesRequest{}
	for _, x := range u.asking {
		q.ChunkIds = append(q.ChunkIds, slices.Clone(x.chunk[:]))
	}
	u.k.send(nil, ask{owner: threadChallenge, op: opAuditStates}, event.ChunkStates, q)
}

func (u *challenges) stated(a *answer) {
	list := u.asking
	u.asking = nil
	var r eventpb.ChunkStatesReply
	if a.err != nil || event.Open(a.env, &r) != nil || len(r.States) != len(list) {
		u.pauseAt = u.k.now + retryBackoffMax
		return
	}
	for i, x := range list {
		if u.challenged(x) || u.k.losses.judged(x.node, x.chunk) {
			continue // one lost copy counts once, however often it is asked for at a time
		}
		if s := r.States[i]; named(s, x.node) && u.k.members.alive(x.node) && len(u.table) < challengesMax {
			u.challenge(x, s.StoredBytes)
		}
	}
}

// challenged says that a challenge of the copy is under way.
func (u *challenges) challenged(x heldCopy) bool {
	for _, work := range sortedKeys(u.table) {
		if c := u.table[work]; c.node == x.node && c.chunk == x.chunk {
			return true
		}
	}
	return false
}

// named says that the map names a node for a chunk and trusts it.
func named(s *eventpb.ChunkState, node inos.NodeID) bool {
	return !s.Condemned && slices.ContainsFunc(s.Copies, func(c *eventpb.Copy) bool { return c.Node == string(node) && c.Trusted })
}

// challenge asks a node for the proof of a random leaf. Of a manifest node, whose length the map does not know, it is the first one; its
// proof tells the length, and a random one follows.
func (u *challenges) challenge(x heldCopy, bytes uint64) {
	k := u.k
	x.epoch = k.members.epoch(x.node)
	c := &challenge{heldCopy: x, bytes: bytes}
	c.work, c.eventType = k.work(), auditEvent
	u.table[c.work] = c
	u.prove(c)
}

func (u *challenges) prove(c *challenge) {
	k := u.k
	c.buffer, c.started = k.buffer(), k.now
	if c.bytes > 0 {
		c.leaf = k.random.next() % ((c.bytes + inos.LeafBytes - 1) / inos.LeafBytes)
	}
	k.content(nil, ask{owner: threadChallenge, op: opAuditProve, work: c.work}, c.node, event.ContentProve,
		&eventpb.ContentProveRequest{ChunkId: slices.Clone(c.chunk[:]), Leaf: c.leaf, Output: c.buffer}, bulk{output: c.buffer})
}

func (u *challenges) answer(a *answer) {
	switch a.op {
	case opAuditPage:
		u.paged(a)
		return
	case opAuditStates:
		u.stated(a)
		return
	case opAuditNote:
		u.noted(a)
		return
	}
	c := u.table[a.work]
	switch a.op {
	case opAuditProve:
		if a.err != nil {
			c.buffer = 0
			u.unproved(c, a.err)
			return
		}
		u.took = u.k.now - c.started
		key := c.chunk
		key[0] ^= 0xff // what a node sends must not bring the chunk itself into quarantine
		if err := u.k.module(&c.origin, ask{owner: threadChallenge, op: opAuditVerify, work: c.work}, event.VerifyProof, job{input: c.buffer, key: key},
			&eventpb.VerifyProofRequest{ChunkId: slices.Clone(c.chunk[:]), Leaf: c.leaf}); err != nil {
			u.end(c)
		}
	case opAuditVerify:
		if a.err != nil {
			u.unproved(c, a.err)
			return
		}
		var r eventpb.VerifyProofReply
		if c.bytes == 0 && event.Open(a.env, &r) == nil && r.StoredBytes > inos.LeafBytes {
			u.k.release(&c.buffer)
			c.bytes = r.StoredBytes
			u.prove(c)
			return
		}
		u.verdict(c.node, true)
		if len(u.passed) < auditsWantedMax {
			u.passed = append(u.passed, c.heldCopy)
		}
		u.end(c)
	case opAuditConfirm:
		var r eventpb.ChunkStatesReply
		if a.err == nil && event.Open(a.env, &r) == nil && len(r.States) == 1 && named(r.States[0], c.node) && u.k.members.epoch(c.node) == c.epoch {
			u.fail(c)
		}
		u.end(c)
	}
}

// unproved takes a challenge that brought no proof. What says nothing of the copy is no verdict; of the rest the map is asked once more, since a
// copy may have been collected or trimmed meanwhile.
func (u *challenges) unproved(c *challenge, err *inos.Error) {
	u.k.release(&c.buffer)
	switch err.Code {
	case inos.CodeChunkNotFound, inos.CodeChunkCorrupt, inos.CodeBadFormat, inos.CodeModuleFailed, inos.CodeBadRequest:
		u.k.send(nil, ask{owner: threadChallenge, op: opAuditConfirm, work: c.work}, event.ChunkStates, &eventpb.ChunkStatesRequest{ChunkIds: [][]byte{slices.Clone(c.chunk[:])}})
	default:
		u.end(c)
	}
}

// fail takes a copy that its node could not prove.
func (u *challenges) fail(c *challenge) {
	k := u.k
	m := k.members.member(c.node)
	if m == nil {
		return
	}
	u.verdict(c.node, false)
	k.watcher.note(auditEvent, event.StateFailed, "node "+m.label()+" could not prove that it holds chunk "+c.chunk.String()[:16])
	k.losses.judge(c.node, c.chunk)
	if u.paging == "" && !m.avoided {
		u.page(c.node, challengesMax)
	}
}

// verdict counts an audit. The last ones decide whether a node is named.
func (u *challenges) verdict(node inos.NodeID, passed bool) {
	m := u.k.members.member(node)
	if m == nil {
		return
	}
	m.verdicts = m.verdicts<<1 | 1
	m.judged = min(m.judged+1, 64)
	if passed {
		m.passed++
		m.verdicts &^= 1
	} else {
		m.failed++
	}
	recent := m.verdicts & (1<<verdictsRecent - 1)
	failures := 0
	for ; recent != 0; recent &= recent - 1 {
		failures++
	}
	if m.avoided || failures < verdictsFailed || 2*failures < int(min(m.judged, verdictsRecent)) {
		return
	}
	probation := min(probationFirst<<min(m.named, 16), probationMax)
	m.avoided, m.named, m.avoidedTill, m.judged, m.verdicts = true, m.named+1, u.k.now+probation, 0, 0
	u.k.members.next = earlier(u.k.members.next, m.avoidedTill)
	u.k.watcher.note(auditEvent, event.StateFailed, "node "+m.label()+" is named by the audits: "+strconv.Itoa(failures)+" of its last challenges failed; for "+
		seconds(probation)+" it is given no new copies, and its copies are looked at")
	u.k.members.doubt(m)
	u.k.records.nodeGone(m.id()) // what it says of its records counts for nothing either
}

func (u *challenges) end(c *challenge) {
	u.k.release(&c.buffer)
	delete(u.table, c.work)
}

// note tells the semantic memory which copies of one node were proved.
func (u *challenges) note() {
	first := u.passed[0]
	q := &eventpb.AuditCopiesRequest{Node: string(first.node), Epoch: first.epoch, NowUs: int64(u.k.now)}
	u.passed = slices.DeleteFunc(u.passed, func(x heldCopy) bool {
		if x.node != first.node || x.epoch != first.epoch || len(u.noting) >= auditsPerNote {
			return false
		}
		u.noting = append(u.noting, x)
		q.ChunkIds = append(q.ChunkIds, slices.Clone(x.chunk[:]))
		return true
	})
	u.k.send(nil, ask{owner: threadChallenge, op: opAuditNote}, event.AuditCopies, q)
}

// noted takes the end of it. An epoch that is over, or a memory that fails: the copies are audited again some day.
func (u *challenges) noted(a *answer) {
	list := u.noting
	u.noting = nil
	if a.err != nil {
		u.noteAt = u.k.now + retryBackoffMax
		return
	}
	for _, x := range list {
		u.k.repairs.proved(x.chunk)
	}
}

// idle says that no challenge is under way.
func (u *challenges) idle() bool {
	return len(u.table) == 0 && u.paging == "" && len(u.asking) == 0 && len(u.noting) == 0
}
