package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// States of a copy in the making.
const (
	copyAsked    = iota // its write is under way
	copyFailed          // not to be asked again for now
	copyPardoned        // failed, and may be asked again
	copyWritten         // on stable storage; the semantic memory does not know
	copyStaging         // its row is on its way
	copyNamed           // the semantic memory knows
	copyStates
)

// fanout is a chunk, or a manifest node, on its way to the nodes that keep it. It goes to as many as are wanted at once, and is done
// for its put as soon as it is on stable storage in a quorum of domains. Copies that are late go on without the put: they hold the
// chunk's buffer until they end, and are added to its row.
type fanout struct {
	work     uint64
	put      uint64
	slot     uint64 // index of the chunk, or number of the manifest node
	manifest bool
	id       inos.ChunkID
	home     chunkKey // of the put: its chunks go to the same domains, so that each of these holds the whole file
	bytes    uint64   // stored length; of a manifest node an estimate
	output   uint64   // buffer with the stored form; 0: given back
	reserved bool     // accounted in puts.buffers
	trace    string
	meta     *eventpb.Metadata
	wanted   uint32
	quorum   uint32
	copies   []*fanoutCopy
	reached  bool // the quorum was: the put went on
	rowed    bool // the row is durable
	dropped  bool // there will be no row
	tries    uint32
	again    inos.Micros // when to look for other nodes; 0: nothing to look for

	regainTill inos.Micros // until when domains that hold all else of the put are tried again; 0: none was
}

// fanoutCopy is one node's copy.
type fanoutCopy struct {
	node    inos.NodeID
	epoch   uint64 // of the node's copies when it was asked
	state   uint8
	told    bool        // a row that names it is on its way
	unsure  bool        // a write failed and may have happened all the same
	hopeful bool        // the last write failed, and another may succeed: the node did not refuse, or was busy
	slowAt  inos.Micros // until when the write is waited for alone
	slow    bool        // and that time is over
	receipt bool        // one that was given may name it
}

func (s *fanout) code(c *coder) {
	num(c, &s.work)
	num(c, &s.put)
	num(c, &s.slot)
	c.bool(&s.manifest)
	c.fixed(s.id[:])
	num(c, &s.home.v)
	num(c, &s.bytes)
	num(c, &s.output)
	c.bool(&s.reserved)
	text(c, &s.trace)
	metadata(c, &s.meta)
	num(c, &s.wanted)
	num(c, &s.quorum)
	pointers(c, &s.copies, fanoutNodesMax, func(c *coder, x *fanoutCopy) { x.code(c) })
	c.bool(&s.reached)
	c.bool(&s.rowed)
	c.bool(&s.dropped)
	num(c, &s.tries)
	num(c, &s.again)
	num(c, &s.regainTill)
}

func (x *fanoutCopy) code(c *coder) {
	text(c, &x.node)
	num(c, &x.epoch)
	num(c, &x.state)
	c.bool(&x.told)
	c.bool(&x.unsure)
	c.bool(&x.hopeful)
	num(c, &x.slowAt)
	c.bool(&x.slow)
	c.bool(&x.receipt)
	if x.state >= copyStates {
		c.fail("copy state %d", x.state)
	}
}

// nodes returns the nodes of the copies in one of the states.
func (s *fanout) nodes(states ...uint8) (out []inos.NodeID) {
	for _, x := range s.copies {
		if slices.Contains(states, x.state) {
			out = append(out, x.node)
		}
	}
	return out
}

// kept returns the nodes that have the chunk on stable storage.
func (s *fanout) kept() []inos.NodeID { return s.nodes(copyWritten, copyStaging, copyNamed) }

func (s *fanout) any(state uint8) bool {
	return slices.ContainsFunc(s.copies, func(x *fanoutCopy) bool { return x.state == state })
}

func (s *fanout) copy(node inos.NodeID) *fanoutCopy {
	for _, x := range s.copies {
		if x.node == node {
			return x
		}
	}
	return nil
}

// outstanding says that a write is under way or to be tried again.
func (s *fanout) outstanding() bool { return s.again != 0 || s.any(copyAsked) }

// fanOut begins to write a chunk of a put.
func (u *puts) fanOut(p *put, s *fanout) *fanout {
	k := u.k
	s.work, s.put, s.trace, s.meta, s.wanted, s.quorum = k.work(), p.work, p.trace, p.meta, p.wanted, p.quorum
	s.home = keyOfUpload(p.home())
	k.collector.live(s.id)
	u.fanouts[s.work] = s
	p.writes = append(p.writes, s.work)
	u.extend(s, p.avoided(k.now))
	if !s.outstanding() {
		s.tries++
		s.again = k.now + retryBackoffMin
		u.pausing = append(u.pausing, s.work)
	}
	return s
}

// extend asks as many more nodes as are missing, but none of those to be avoided.
func (u *puts) extend(s *fanout, avoid []inos.NodeID) {
	k := u.k
	slow := s.slowNodes()
	have := slices.DeleteFunc(s.nodes(copyAsked, copyWritten, copyStaging, copyNamed), func(n inos.NodeID) bool { return slices.Contains(slow, n) })
	if k.lone() {
		if len(have) == 0 {
			u.writeTo(s, k.self()) // whatever it says of its room: the trash may be emptied
		}
		return
	}
	avoid = append(append(s.nodes(copyFailed), slow...), avoid...)
	if p := u.table[s.put]; p != nil && p.mixed && len(s.copies) == 0 {
		have = u.beside(s, p, avoid)
	}
	for _, x := range k.members.placeBy(s.home, s.id, s.wanted, have, avoid, s.bytes) {
		if len(s.copies) < fanoutNodesMax || s.copy(x) != nil {
			u.writeTo(s, x)
		}
	}
	if p := u.table[s.put]; p != nil && p.phase == putRunning {
		u.gather(s, p)
	}
}

func (u *puts) writeTo(s *fanout, node inos.NodeID) {
	k := u.k
	x := s.copy(node)
	if x == nil {
		x = &fanoutCopy{node: node}
		s.copies = append(s.copies, x)
	}
	x.state, x.epoch = copyAsked, k.members.epoch(node)
	u.expect(x)
	a := ask{owner: threadPut, op: opWrite, work: s.work, bytes: s.bytes}
	if s.manifest {
		a.bytes = 0
	}
	timeout := k.members.writeTimeout(node, s.tries)
	if s.regainTill > k.now {
		timeout = s.regainTill - k.now // the put waits for it, and would go on without
	}
	k.content(&origin{trace: s.trace, meta: s.meta}, a, node, event.ContentWrite,
		&eventpb.ContentWriteRequest{ChunkId: s.id[:], Input: s.output}, bulk{input: s.output, grant: k.writeGrant(s.id[:], node), timeout: timeout})
}

// wrote takes the end of a write to one node.
func (u *puts) wrote(a *answer) {
	k := u.k
	s := u.fanouts[a.work]
	node := a.node
	if node == "" {
		node = k.self()
	}
	x := s.copy(node)
	p := u.table[s.put]
	switch {
	case a.err == nil && x.epoch == k.members.epoch(node):
		x.state = copyWritten
	case a.err == nil:
		x.state, x.unsure, x.hopeful = copyFailed, true, true // it has come back meanwhile, and its copies are not trusted: it is asked as any other
	default:
		x.failed(a.err)
		if u.failedAt(s, p, node, a.err) {
			return
		}
	}
	u.proceed(s, p, a.err)
}

// failed takes the end of a write that did not succeed.
func (x *fanoutCopy) failed(err *inos.Error) {
	refusal := refused(err)
	x.state, x.unsure, x.hopeful = copyFailed, x.unsure || !refusal, !refusal || err.Code == inos.CodeBusy
}

// refused says that a write which failed has surely left nothing behind.
func refused(err *inos.Error) bool {
	switch err.Code {
	case inos.CodeChunkCorrupt, inos.CodeDiskFull, inos.CodeReadOnly, inos.CodeBusy, inos.CodePermissionDenied, inos.CodeBadRequest:
		return true
	}
	return false
}

// failedAt notes that a node did not take a chunk. It says true when the chunk waits for room on the only disk there is.
func (u *puts) failedAt(s *fanout, p *put, node inos.NodeID, err *inos.Error) bool {
	k := u.k
	switch {
	case k.lone():
		if p != nil && p.phase == putRunning && u.waitForRoom(s, p, err) {
			return true
		}
		k.losses.doubt(node, s.id) // what was held before may have been found bad
		return false
	case err.Code == inos.CodeBusy:
		s.again = k.now + min(max(err.RetryAfter, retryBackoffMin), retryBackoffMax)
		return false
	case err.Code == inos.CodeDiskFull && node == k.self():
		k.collector.wantRoom(s.bytes)
	case (err.Code == inos.CodeIO || err.Code == inos.CodeChunkCorrupt) && !k.losses.full():
		k.losses.doubt(node, s.id)
	}
	if p != nil {
		p.avoid[string(node)] = k.now + avoidFor
	}
	return false
}

// waitForRoom gives a chunk back to its put, to be written again when the trash is emptied.
func (u *puts) waitForRoom(s *fanout, p *put, err *inos.Error) bool {
	state := func(r *room, bytes uint64) bool { return u.makeRoom(err, bytes, r) }
	if s.manifest {
		n := p.tree.node(s.slot)
		if !state(&n.room, uint64(len(n.entries))) {
			return false
		}
		n.state, n.output, n.fanout = nodeHeld, s.output, 0
	} else {
		x := p.chunk(s.slot)
		if !state(&x.room, s.bytes) {
			return false
		}
		x.state, x.output, x.fanout = chunkHeld, s.output, 0
	}
	s.output, s.reserved = 0, false
	u.forgetFanout(s, p)
	u.advance(p)
	return true
}

// proceed does what a fanout's state allows: its put goes on, other nodes are asked, late copies are added, what is over is
// forgotten.
func (u *puts) proceed(s *fanout, p *put, err *inos.Error) {
	k := u.k
	running := p != nil && p.phase == putRunning
	if running && !s.reached {
		switch {
		case k.members.distinct(s.kept(), s.wanted) >= s.quorum:
			s.reached = true
			u.fanoutDone(p, s)
		case k.lone() && !s.outstanding() && err != nil:
			u.fail(p, because(p.stage(), err, p.where(s)))
			return
		default:
			u.others(s, p, err)
		}
	} else if running && err != nil && s.output != 0 && s.tries == 0 {
		u.extend(s, p.avoided(k.now)) // its bytes are still at hand
	}
	u.settleFanout(s, p)
	if p != nil {
		if p.phase >= putFailing {
			u.clean(p)
			return
		}
		u.advance(p)
	}
}

// others looks for other nodes in the place of those that have failed; when there are none it tries again after a pause, and gives up
// after a few.
func (u *puts) others(s *fanout, p *put, err *inos.Error) {
	k := u.k
	u.extend(s, p.avoided(k.now))
	if s.outstanding() {
		return
	}
	if s.tries >= fanoutTriesMax {
		u.fail(p, u.unplaced(s, p, err))
		return
	}
	s.again = k.now + min(retryBackoffMin<<s.tries, retryBackoffMax)
	s.tries++
}

// unplaced says why a chunk is not on enough domains.
func (u *puts) unplaced(s *fanout, p *put, err *inos.Error) *inos.Error {
	k := u.k
	has := k.members.distinct(s.kept(), s.wanted)
	code := inos.CodeQuorumLost
	if space := k.members.place(s.id, s.wanted, nil, nil, 0); k.members.distinct(space, s.wanted) >= s.quorum && (err == nil || err.Code == inos.CodeDiskFull) {
		code = inos.CodeDiskFull
	}
	detail := ""
	if err != nil {
		detail = ": " + err.Error()
	}
	failure := inos.Errorf(code, p.stage(), "%s: %s of %s that keep a file safely took it%s", p.where(s), plural(uint64(has), "domain", "domains"), plural(uint64(s.quorum), "domain", "domains"), detail)
	failure.RetryAfter = busyRetryAfter
	return failure
}

// where names what a fanout writes, for a person.
func (p *put) where(s *fanout) string {
	if s.manifest {
		return p.place(opWriteNode, s.slot)
	}
	return p.place(opWrite, s.slot)
}

// tryAgain looks for nodes once more for the fanouts whose pause is over.
func (u *puts) tryAgain() {
	for _, work := range slices.Clone(u.pausing) {
		s := u.fanouts[work]
		if s == nil || s.again == 0 || s.again > u.k.now {
			continue
		}
		s.again = 0
		for _, x := range s.copies {
			if x.state == copyFailed {
				x.state = copyPardoned
			}
		}
		p := u.table[s.put]
		if s.output != 0 && (p == nil || p.phase < putFailing) {
			u.extend(s, nil)
		}
		u.proceed(s, p, nil)
	}
	u.pausing = slices.DeleteFunc(u.pausing, func(work uint64) bool { return u.fanouts[work] == nil || u.fanouts[work].again == 0 })
}

// settleFanout gives back what a fanout holds when nothing of it is under way, and forgets it when its copies have their rows.
func (u *puts) settleFanout(s *fanout, p *put) {
	k := u.k
	if u.fanouts[s.work] != s {
		return
	}
	u.regain(s, p)
	if s.again != 0 && !slices.Contains(u.pausing, s.work) {
		u.pausing = append(u.pausing, s.work)
	}
	if s.outstanding() {
		return
	}
	over := p == nil || p.phase >= putFailing
	if s.reached || over {
		k.release(&s.output)
		if s.reserved {
			s.reserved = false
			k.unreserve(&u.buffers)
		}
		if p != nil && s.reached {
			p.writes = slices.DeleteFunc(p.writes, func(w uint64) bool { return w == s.work })
		}
	}
	if s.rowed && s.any(copyWritten) {
		u.lateCopies(s)
	}
	if s.dropped || s.rowed && !s.any(copyStaging) {
		if s.rowed && !over || s.rowed && p == nil {
			u.wantMore(p, s.id, s.kept(), s.wanted)
		}
		u.forgetFanout(s, p)
	}
}

// forgetFanout ends a fanout: its chunk is relied on no more, and what a node may have of it without a row is looked for.
func (u *puts) forgetFanout(s *fanout, p *put) {
	u.k.collector.unlive(s.id)
	for _, x := range s.copies {
		if x.unsure && x.state < copyWritten {
			u.k.collector.sweepLate(x.node)
		}
	}
	delete(u.fanouts, s.work)
	if p != nil {
		if s.reached {
			p.held.count(u.k, s.kept(), p.wanted)
		}
		p.writes = slices.DeleteFunc(p.writes, func(w uint64) bool { return w == s.work })
	}
}

// avoided returns the nodes that failed this put lately.
func (p *put) avoided(now inos.Micros) (out []inos.NodeID) {
	for _, node := range sortedKeys(p.avoid) {
		if p.avoid[node] <= now {
			delete(p.avoid, node)
			continue
		}
		out = append(out, inos.NodeID(node))
	}
	return out
}

// late counts the chunks of a put that it went on without. Those of which only slow writes are under way hold their buffers, and no more of
// them come: the put avoids their nodes.
func (u *puts) late(p *put) (n int) {
	for _, work := range p.writes {
		if s := u.fanouts[work]; s.reached && !s.lags() {
			n++
		}
	}
	return n
}

// fanoutDone lets a put go on without a chunk's late copies.
func (u *puts) fanoutDone(p *put, s *fanout) {
	if s.manifest {
		n := p.tree.node(s.slot)
		n.state, n.output = nodeDone, 0
		return
	}
	x := p.chunk(s.slot)
	x.output = 0
	p.rows = append(p.rows, &row{entry: x.entry, fanout: s.work})
	u.done(p, x)
}

// leftover ends a fanout of a put that has failed: a chunk that is on a disk gets a row, so that the collector finds it.
func (u *puts) leftover(p *put, s *fanout) {
	if s.reached && !s.manifest {
		return // it has its row, or it is about to be staged
	}
	kept := s.any(copyWritten)
	if kept && !s.manifest {
		s.reached = true
		p.rows = append(p.rows, &row{entry: p.chunk(s.slot).entry, fanout: s.work})
		return
	}
	// A manifest node may be on a disk and a chunk below it not: it can have no row, and a sweep finds it.
	s.dropped = true
	for _, node := range s.nodes(copyWritten) {
		u.k.collector.sweepNode(node)
	}
}

// distrusted forgets copies of a node that the semantic memory does not know: the node has come back, and what it holds is to be
// looked at first. Puts that rely on them wait for others.
func (u *puts) distrusted(node inos.NodeID) {
	for _, work := range sortedKeys(u.fanouts) {
		if x := u.fanouts[work].copy(node); x != nil && x.state == copyWritten {
			x.state, x.unsure, x.hopeful = copyFailed, true, true
		}
	}
}

// solid says that the chunks of rows are still on enough domains; it looks for other nodes for those that are not, as long as
// their bytes are at hand.
func (u *puts) solid(p *put, rows []*row) bool {
	k := u.k
	for _, r := range rows {
		s := u.fanouts[r.fanout]
		if s == nil || p.phase >= putFailing || k.members.distinct(s.kept(), s.wanted) >= s.quorum {
			continue
		}
		switch {
		case s.outstanding():
		case s.output != 0:
			u.others(s, p, nil)
			u.settleFanout(s, p)
		default:
			u.fail(p, u.unplaced(s, p, nil))
		}
		return false
	}
	return true
}

// chunkRow returns a row as the semantic memory takes it, with the nodes that have the chunk by now.
func (u *puts) chunkRow(p *put, r *row) *eventpb.ChunkRow {
	out := &eventpb.ChunkRow{Entry: inos.AppendEntry(nil, &r.entry), Known: r.known, Node: r.node, Promised: p.wanted}
	if s := u.fanouts[r.fanout]; s != nil {
		for _, x := range s.copies {
			if x.state == copyWritten {
				x.state = copyStaging
			}
			if x.told = x.state == copyStaging; x.told {
				out.Nodes = append(out.Nodes, string(x.node))
			}
		}
	}
	for i := 0; i+inos.HashBytes <= len(r.children); i += inos.HashBytes {
		out.Children = append(out.Children, r.children[i:i+inos.HashBytes])
	}
	return out
}

// rowed notes that the rows are durable: copies that have come since are added to them.
func (u *puts) rowed(p *put, rows []*row) {
	for _, r := range rows {
		s := u.fanouts[r.fanout]
		if s == nil {
			continue
		}
		s.rowed = true
		for _, x := range s.copies {
			x.told = false
			if x.state == copyStaging {
				x.state = copyNamed
				u.k.members.named(x.node, x.epoch)
			}
		}
		u.settleFanout(s, p)
	}
}

// unrowed takes rows back whose staging failed. Nodes that were removed from the mesh meanwhile are in none.
func (u *puts) unrowed(rows []*row) {
	for _, r := range rows {
		s := u.fanouts[r.fanout]
		if s == nil || s.rowed {
			continue
		}
		for _, x := range s.copies {
			x.told = false
			if x.state == copyStaging {
				if x.state = copyWritten; u.k.members.member(x.node) == nil || u.k.members.named(x.node, x.epoch) {
					x.state, x.unsure = copyFailed, true
				}
			}
		}
	}
}

// drop forgets rows that will never be staged.
func (u *puts) drop(p *put, rows []*row) {
	for _, r := range rows {
		if s := u.fanouts[r.fanout]; s != nil && !s.rowed {
			s.dropped = true
			u.settleFanout(s, p)
		}
	}
}
