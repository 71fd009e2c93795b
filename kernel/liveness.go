package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Whether a member is alive is soft state. It beats at the interval it is told; its deadline adapts to how regularly it does (mean and
// deviation of the time between beats, as RFC 6298 smooths round trips), within bounds. Silent beyond the deadline, or without a connection
// for a moment, it is suspected: nothing new is written to it. Silent for as long again it is dead, and when it has been so for its tier's grace, it is
// gone: the repair of what it held begins. A member that beats but answers no call is treated as silent since the first call it did not
// answer, and is asked again from time to time.

// Liveness of a member.
const (
	liveNever   = iota // not heard of since this kernel started
	liveAlive          // beats and answers
	liveSuspect        // late
	liveDead           // silent for long
	liveCount
)

var liveNames = [liveCount]string{"never", "alive", "suspect", "dead"}

// member is a node of the mesh.
type member struct {
	row       *eventpb.Member // as the semantic memory has it
	state     uint8
	gone      bool        // dead beyond its grace: repair has begun
	seen      inos.Micros // when it last beat, or answered
	beaten    inos.Micros // when it last beat; 0: never
	lost      inos.Micros // when its connection was lost; 0: connected or never heard of
	mean      inos.Micros // of the time between beats
	deviation inos.Micros // mean deviation from it
	sequence  uint64
	started   inos.Micros // of its run, as it says
	usage     *eventpb.ContentUsage
	version   string
	load      uint32 // calls it serves, as it says
	records   uint64

	calls    uint32      // asked and not answered
	failures uint32      // calls in a row that it did not answer
	mute     inos.Micros // when the first of them ended
	probeAt  inos.Micros // when to ask again whether it answers
	busyTill inos.Micros // it has said that it has too much to do
	latency  histogram   // of reads
	writes   histogram   // of chunks and records

	distrust    bool        // its copies are being distrusted
	doubtful    bool        // and are to be once more, when that has ended
	doubtAt     inos.Micros // or at this time
	complaints  uint64
	passed      uint64 // audits
	failed      uint64
	avoided     bool   // named by audits: it gets no new copies
	verdicts    uint64 // of the last 64 audits, the last one lowest; 1: failed
	judged      uint32 // audits since it was named or joined, at most 64
	named       uint32 // how often it was named
	avoidedTill inos.Micros
	losesTill   inos.Micros        // it has lost commit records: until then others get them, where there are any
	audited     inos.Micros        // when a random audit chose it last
	sweep       sweepTurn          // when its disk is swept
	walked      []byte             // the walk of the audits through its chunks goes on behind it
	proved      *eventpb.RecordKey // the next commit record to be proved is one behind it
}

func (u *memberships) newMember() *member {
	return &member{row: &eventpb.Member{}, seen: u.k.now}
}

func (m *member) code(c *coder) {
	memberCode(c, &m.row)
	num(c, &m.state)
	if m.state >= liveCount {
		c.fail("liveness %d", m.state)
		m.state = 0
	}
	c.bool(&m.gone)
	for _, t := range []*inos.Micros{&m.seen, &m.beaten, &m.lost, &m.mean, &m.deviation, &m.started, &m.mute, &m.probeAt, &m.busyTill, &m.doubtAt} {
		num(c, t)
	}
	num(c, &m.sequence)
	usageCode(c, &m.usage)
	text(c, &m.version)
	num(c, &m.load)
	num(c, &m.records)
	num(c, &m.calls)
	num(c, &m.failures)
	m.latency.code(c)
	m.writes.code(c)
	c.bool(&m.distrust)
	c.bool(&m.doubtful)
	num(c, &m.complaints)
	num(c, &m.passed)
	num(c, &m.failed)
	c.bool(&m.avoided)
	num(c, &m.verdicts)
	num(c, &m.judged)
	num(c, &m.named)
	num(c, &m.avoidedTill)
	num(c, &m.losesTill)
	num(c, &m.audited)
	m.sweep.code(c)
	c.bytes(&m.walked)
	recordKey(c, &m.proved)
}

func memberCode(c *coder, p **eventpb.Member) {
	if c.reading {
		*p = &eventpb.Member{}
	}
	m := *p
	text(c, &m.Node)
	text(c, &m.Operator)
	text(c, &m.Zone)
	text(c, &m.Host)
	text(c, &m.Tier)
	num(c, &m.OfferedBytes)
	list(c, &m.Addrs, inos.MemberAddrsMax, text[string])
	num(c, &m.JoinedUs)
	num(c, &m.State)
	num(c, &m.Epoch)
	num(c, &m.Copies)
	num(c, &m.PlacedBytes)
	c.bytes(&m.Grant)
	num(c, &m.Revision)
}

func (m *member) id() inos.NodeID { return inos.NodeID(m.row.Node) }
func (m *member) removed() bool   { return m.row.State == uint32(inos.MemberRemoved) }
func (m *member) draining() bool  { return m.row.State == uint32(inos.MemberDraining) }
func (m *member) unread() bool    { return m.row.State == uint32(inos.MemberUnread) }

// stays says that what a member takes now counts as long as it is heard: it does not leave, is not given up, and the audits do not name it.
func (m *member) stays() bool {
	return m.row.State == uint32(inos.MemberActive) && !m.avoided && !m.gone
}

// label names a member for a person.
func (m *member) label() string {
	return shortID(m.row.Node) + " (" + m.row.Zone + "/" + m.row.Host + ")"
}

// shortID returns the end of a node's id, where ids differ.
func shortID(id string) string {
	if len(id) > 12 {
		return "…" + id[len(id)-8:]
	}
	return id
}

// interval returns the time between two beats that members are told.
func (u *memberships) interval() inos.Micros {
	if u.k.node.heartbeat > 0 {
		return min(max(u.k.node.heartbeat, heartbeatMin), heartbeatMax)
	}
	return heartbeatEvery
}

// grace returns how long a member of a tier may be dead before what it held is repaired.
func (u *memberships) grace(tier string) inos.Micros {
	n := &u.k.node
	if tier == string(inos.TierHot) {
		if n.graceHot > 0 {
			return n.graceHot
		}
		return graceHotDefault
	}
	if n.graceCold > 0 {
		return n.graceCold
	}
	return graceColdDefault
}

// patience returns for how long a member may be silent before it is suspected.
func (u *memberships) patience(m *member) inos.Micros {
	interval := u.interval()
	if m.mean == 0 {
		return 3 * interval
	}
	return min(max(m.mean+m.mean/2+4*m.deviation, 2*interval), 6*interval)
}

// silence returns since when a member has been silent.
func (m *member) silence() inos.Micros {
	if m.failures >= muteFailures {
		return min(m.seen, m.mute)
	}
	return m.seen
}

// times returns when a member is suspected, dead and gone, if nothing is heard of it.
func (u *memberships) times(m *member) (suspect, dead, gone inos.Micros) {
	patience, since := u.patience(m), m.silence()
	suspect, dead = since+patience, since+2*patience
	if m.lost != 0 {
		suspect = min(suspect, m.lost+lostPatience)
	}
	if m.state == liveNever {
		dead = max(dead, since+neverPatience)
	}
	return suspect, dead, dead + u.grace(m.row.Tier)
}

// look goes through the members and finds when to look again.
func (u *memberships) look() {
	k := u.k
	u.next = 0
	for _, id := range u.sorted() {
		m := u.table[id]
		if m.removed() {
			continue
		}
		u.pardon(m)
		if id == k.self() {
			continue
		}
		suspect, dead, gone := u.times(m)
		state := m.state
		switch {
		case dead <= k.now:
			state = liveDead
		case suspect <= k.now && m.state != liveNever:
			state = liveSuspect
			u.next = earlier(u.next, dead)
		case m.state == liveNever:
			u.next = earlier(u.next, dead)
		case m.state == liveAlive:
			u.next = earlier(u.next, suspect)
		default: // it is heard of again
			u.revive(m)
			state = m.state
			u.next = earlier(u.next, suspect)
		}
		if state != m.state {
			u.turn(m, state)
		}
		if m.state == liveDead && !m.gone {
			if gone <= k.now {
				u.bury(m)
			} else {
				u.next = earlier(u.next, gone)
			}
		}
		u.probe(m)
	}
}

// pardon ends what is held against a member for a time: that audits have named it, and a doubt that could not be noted.
func (u *memberships) pardon(m *member) {
	k := u.k
	switch {
	case !m.avoided:
	case m.avoidedTill <= k.now:
		m.avoided = false
		u.changedAt = k.now
		k.watcher.note(auditEvent, event.StateCompleted, "node "+m.label()+" is given copies again")
	default:
		u.next = earlier(u.next, m.avoidedTill)
	}
	switch {
	case m.doubtAt == 0:
	case m.doubtAt <= k.now:
		u.doubt(m)
	default:
		u.next = earlier(u.next, m.doubtAt)
	}
}

// turn changes a member's liveness.
func (u *memberships) turn(m *member, state uint8) {
	was := m.state
	m.state = state
	if state == liveDead || was == liveDead || was == liveNever {
		u.k.repairs.rescan() // what is stored survives more or less now
	}
	switch {
	case state == liveDead:
		u.k.watcher.note(livenessEvent, event.StateFailed, "node "+m.label()+" is dead: silent for "+seconds(u.k.now-m.silence())+
			", repaired in "+seconds(u.grace(m.row.Tier)))
	case state == liveAlive && was == liveDead:
		u.k.inspections.want(m.id())
		u.k.watcher.note(livenessEvent, event.StateCompleted, "node "+m.label()+" is back")
	}
}

// livenessEvent is under what a member's life is noted in the history.
const livenessEvent = "node:liveness:v1:requested"

// bury gives a dead member up: what it held is repaired.
func (u *memberships) bury(m *member) {
	m.gone = true
	u.changedAt = u.k.now
	u.k.watcher.note(livenessEvent, event.StateFailed, "node "+m.label()+" did not come back: the repair of its "+plural(m.row.Copies, "copy", "copies")+" begins")
	u.k.repairs.gone(m.id())
	u.k.records.nodeGone(m.id())
}

// heard notes a sign of life.
func (u *memberships) heard(m *member) {
	m.seen = u.k.now
	if m.state != liveAlive {
		u.revive(m)
	}
}

// revive takes a member back that is heard of again, unless it answers no calls. One that was gone is trusted for nothing until its
// copies are looked at.
func (u *memberships) revive(m *member) {
	if suspect, _, _ := u.times(m); suspect <= u.k.now && m.state != liveNever {
		return
	}
	u.turn(m, liveAlive)
	suspect, _, _ := u.times(m)
	u.next = earlier(u.next, max(suspect, u.k.now)) // the others' look does not know it, and at a start there are as many revivals as members
	if m.gone {
		m.gone = false
		u.changedAt = u.k.now
		u.doubt(m)
	}
}

// beat takes a heartbeat. One that comes twice or late is a sign of life, and no more.
func (u *memberships) beat(m *member, q *eventpb.HeartbeatRequest) {
	now := u.k.now
	started := inos.Micros(q.StartedUs)
	if q.Sequence > m.sequence || started != m.started {
		if m.beaten != 0 && started == m.started {
			u.measure(m, now-m.beaten)
		}
		m.beaten, m.sequence = now, q.Sequence
		m.usage, m.version, m.load, m.records = q.Usage, clipText(q.Version), q.InFlight, q.Records
	}
	m.lost = 0
	if m.failures > 0 && m.probeAt == 0 {
		m.probeAt, u.next = now, now
	}
	u.heard(m)
	if q.Unclean && started != m.started {
		u.doubt(m)
	}
	if m.started != 0 && started != m.started {
		u.k.inspections.want(m.id()) // it may have come back without its records
	}
	m.started = started
	u.moved(m, q.Addrs)
}

func clipText(s string) string { return s[:min(len(s), labelBytesMax)] }

// measure adapts the deadline to the time between two beats.
func (u *memberships) measure(m *member, took inos.Micros) {
	if m.mean == 0 {
		m.mean, m.deviation = took, took/4
		return
	}
	off := took - m.mean
	m.mean += off / 8
	if off < 0 {
		off = -off
	}
	m.deviation += (off - m.deviation) / 4
}

// doubt begins a new epoch of a member's copies: what it holds has to be looked at before it counts.
func (u *memberships) doubt(m *member) {
	u.k.puts.distrusted(m.id())
	u.k.repairs.distrusted(m.id())
	if m.distrust {
		m.doubtful = true
		return
	}
	m.distrust, m.doubtful, m.doubtAt = true, false, 0
	u.underWay++
	u.k.send(nil, ask{owner: threadMembers, op: opDistrust, slot: u.slot(m)}, event.DistrustNode, &eventpb.DistrustNodeRequest{Node: m.row.Node})
}

// named takes that the map was told, or may have been, of a copy that was made in an epoch of the node's copies. When that is over, or ends, the
// copy may have been taken for one of the next, which nobody has looked at: another epoch begins. It says whether that is so.
func (u *memberships) named(node inos.NodeID, epoch uint64) bool {
	m := u.member(node)
	if m == nil || m.row.Epoch == epoch && !m.distrust {
		return false
	}
	if !m.doubtful {
		u.doubt(m)
	}
	return true
}

// keeps says that a copy which a node has made in an epoch of its copies counts: no other epoch has begun or is about to, and it is a member still.
func (u *memberships) keeps(node inos.NodeID, epoch uint64) bool {
	m := u.member(node)
	return m != nil && m.row.Epoch == epoch && !m.distrust
}

// slot numbers a member among all for the answer of an effect about it: members are never forgotten, but others may come between.
func (u *memberships) slot(m *member) uint64 { return hashName(levelProcess, m.row.Node) }

func (u *memberships) bySlot(slot uint64) *member {
	if order := u.sorted(); u.slots == nil {
		u.slots = make(map[uint64]inos.NodeID, len(order))
		for _, id := range order {
			u.slots[u.slot(u.table[id])] = id
		}
	}
	return u.table[u.slots[slot]]
}

// distrusted takes the new epoch. A failure is tried again.
func (u *memberships) distrusted(a *answer) {
	m := u.bySlot(a.slot)
	if m == nil {
		return
	}
	m.distrust = false
	var r eventpb.DistrustNodeReply
	if a.err != nil || event.Open(a.env, &r) != nil {
		m.doubtful, m.doubtAt = true, u.k.now+retryBackoffMax
		u.next = earlier(u.next, m.doubtAt)
		return
	}
	m.row.Epoch = max(m.row.Epoch, r.Epoch)
	u.changedAt = u.k.now
	u.k.watcher.note(event.DistrustNode, event.StateCompleted, "what node "+m.label()+" holds counts when it has been looked at")
	u.k.reconciles.want(m.id())
	u.k.repairs.scan.compared(m.id())
	if m.doubtful {
		u.doubt(m)
	}
}

// peer takes the news that a connection was made or lost.
func (u *memberships) peer(e *eventpb.Envelope) {
	var p eventpb.MeshPeer
	if event.Open(e, &p) != nil {
		return
	}
	m := u.member(inos.NodeID(p.Peer))
	if m == nil || m.id() == u.k.self() {
		return
	}
	switch {
	case p.Connected:
		if m.lost = 0; m.state == liveSuspect || m.state == liveDead {
			u.next = u.k.now // it may be heard of again
		}
	case m.lost == 0:
		m.lost = u.k.now
		u.next = earlier(u.next, m.lost+lostPatience)
	}
}

// asked counts a call to a node.
func (u *memberships) asked(node inos.NodeID) {
	if m := u.table[node]; m != nil {
		m.calls++
	}
}

// answered takes the end of a call: how long it took, and whether the node answered at all.
func (u *memberships) answered(f *flight, err *inos.Error) {
	m := u.table[f.node]
	if m == nil {
		return
	}
	m.calls -= min(m.calls, 1)
	unanswered := err != nil && (err.Code == inos.CodePeerUnreachable || err.Code == inos.CodeDeadlineExceeded)
	if unanswered && f.impatient(u.k.now) {
		u.busy(f.node)
		return
	}
	if unanswered {
		if f.started < u.k.woke {
			return // it was under way while this node slept
		}
		if m.failures++; m.failures == 1 {
			m.mute = u.k.now
		}
		m.probeAt = u.k.now + min(probeAgain<<min(m.failures, 8), u.interval())
		u.next = earlier(u.next, m.probeAt)
		return
	}
	if err == nil && f.inner == event.ContentRead {
		m.latency.add(u.k.now - f.started)
	}
	if err == nil && f.inner == event.ContentWrite {
		m.writes.add(u.k.now - f.started)
	}
	m.failures, m.probeAt = 0, 0
	if m.id() != u.k.self() && !m.removed() {
		u.heard(m)
	}
}

// probe asks a member that did not answer whether it does.
func (u *memberships) probe(m *member) {
	if m.probeAt == 0 || u.k.node.draining {
		return
	}
	if m.probeAt > u.k.now {
		u.next = earlier(u.next, m.probeAt)
		return
	}
	m.probeAt = 0 // its end brings the next, or its next beat
	if m.state == liveDead && m.seen == m.silence() {
		return
	}
	u.k.content(nil, ask{owner: threadMembers, op: opProbe}, m.id(), event.ContentUsage, &eventpb.ContentUsageRequest{}, bulk{timeout: probeDeadline})
}

// busy notes that a member has said it has too much to do.
func (u *memberships) busy(node inos.NodeID) {
	if m := u.table[node]; m != nil {
		m.busyTill = u.k.now + busyRetryAfter
	}
}

// alive says that a member answers: its copies count and it can be asked.
func (u *memberships) alive(node inos.NodeID) bool {
	m := u.table[node]
	return m != nil && !m.removed() && (m.state == liveAlive || m.state == liveSuspect) && m.failures < muteFailures
}

// dead says that a member was silent beyond its grace, or is none: its copies do not count.
func (u *memberships) dead(node inos.NodeID) bool {
	m := u.table[node]
	return m == nil || m.removed() || m.gone
}
