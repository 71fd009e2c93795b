package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// sealing is one version's record on its way to its nodes.
type sealing struct {
	work     uint64
	record   *eventpb.Record
	waiter   threadID // who is told when a quorum has it; threadRecords: nobody
	waits    uint64
	trace    string
	meta     *eventpb.Metadata
	until    inos.Micros // when the waiter is told that it takes too long
	id       []byte      // of the sealed record
	output   uint64
	bytes    uint32
	wanted   uint32
	quorum   uint32
	prefer   []inos.NodeID // hold the file's root
	within   []inos.NodeID // of these, those in domains that hold all of the file
	held     []inos.NodeID // held this sealed record before
	copies   []*fanoutCopy
	busy     bool // a seal or a read is under way
	told     bool // the waiter
	needless bool // another record of the version has been noted
	tries    uint32
	again    inos.Micros // when to try the step again that failed; 0: none failed
	failed   string      // the last failure, for a person

	withinTill inos.Micros // until when a quorum within is waited for; 0: it is not
}

func (x *sealing) code(c *coder) {
	num(c, &x.work)
	record(c, &x.record)
	num(c, &x.waiter)
	num(c, &x.waits)
	text(c, &x.trace)
	metadata(c, &x.meta)
	num(c, &x.until)
	c.bytes(&x.id)
	if n := len(x.id); n != 0 && n != inos.HashBytes {
		c.fail("a record id of %d bytes", n)
	}
	num(c, &x.output)
	num(c, &x.bytes)
	num(c, &x.wanted)
	num(c, &x.quorum)
	list(c, &x.prefer, fanoutNodesMax, text[inos.NodeID])
	list(c, &x.within, fanoutNodesMax, text[inos.NodeID])
	num(c, &x.withinTill)
	list(c, &x.held, fanoutNodesMax, text[inos.NodeID])
	pointers(c, &x.copies, fanoutNodesMax, func(c *coder, y *fanoutCopy) { y.code(c) })
	c.bool(&x.busy)
	c.bool(&x.told)
	c.bool(&x.needless)
	num(c, &x.tries)
	num(c, &x.again)
	text(c, &x.failed)
}

func (x *sealing) origin() *origin { return &origin{trace: x.trace, meta: x.meta} }

func (x *sealing) nodes(states ...uint8) (out []inos.NodeID) {
	for _, y := range x.copies {
		if slices.Contains(states, y.state) {
			out = append(out, y.node)
		}
	}
	return out
}

// kept returns the nodes that have the sealed record on stable storage.
func (x *sealing) kept() []inos.NodeID {
	return append(x.nodes(copyWritten), x.held...)
}

func (x *sealing) outstanding() bool { return x.busy || len(x.nodes(copyAsked)) > 0 }

// slowAt returns when the first write that nobody else was asked for has had its time, while a waiter waits for it; 0: none is waited for.
func (x *sealing) slowAt() (at inos.Micros) {
	if x.told || x.waiter == threadRecords {
		return 0
	}
	for _, y := range x.copies {
		if y.state == copyAsked && !y.slow {
			at = earlier(at, y.slowAt)
		}
	}
	return at
}

// wake returns when due wants to be called.
func (x *sealing) wake() inos.Micros {
	if x.told || x.waiter == threadRecords {
		return x.again
	}
	return earlier(earlier(earlier(x.again, x.until), x.slowAt()), x.withinTill)
}

// write has a version's record written for a request that waits for it; its thread is told by recorded. It goes first to the nodes that are
// preferred, and a quorum is to lie within those named, which hold all of the file: the waiter is told without them only after a while.
func (u *records) write(o *origin, waiter threadID, r *eventpb.Record, quorum uint32, prefer, within []inos.NodeID) {
	x := &sealing{record: r, waiter: waiter, waits: o.work, trace: o.trace, meta: o.meta, wanted: max(replicasOf(r), quorum), quorum: quorum, prefer: prefer, within: within}
	if x.until = u.k.now + recordPatience; o.deadline != 0 {
		x.until = min(x.until, max(o.deadline, u.k.now+1))
	}
	x.withinTill = u.k.now + min(regainPatience, (x.until-u.k.now)/2)
	u.start(x, false)
}

// start seals a record, or reads the sealed one from a node that holds it.
func (u *records) start(x *sealing, sealed bool) {
	x.work = u.k.work()
	if x.waits == 0 {
		x.waiter = threadRecords
	}
	u.table[x.work] = x
	u.dueAt = earlier(u.dueAt, x.wake())
	if sealed {
		x.id = x.record.RecordId
		u.fetch(x)
		return
	}
	u.seal(x)
}

func (u *records) seal(x *sealing) {
	r := &eventpb.Record{File: x.record.File.CloneVT(), Tombstone: x.record.Tombstone, Fact: x.record.Fact}
	r.File.Degraded, r.File.DegradedReason = false, ""
	x.id, x.held, x.copies, x.busy = nil, nil, nil, true
	x.output = u.k.buffer()
	u.k.send(x.origin(), ask{owner: threadRecords, op: opSeal, work: x.work}, event.RecordSeal, &eventpb.RecordSealRequest{Record: r, Output: x.output})
}

func (u *records) sealed(x *sealing, a *answer) {
	x.busy = false
	var r eventpb.RecordSealReply
	err := a.err
	if err == nil && (event.Open(a.env, &r) != nil || len(r.RecordId) != inos.HashBytes) {
		err = inos.Errorf(inos.CodeInternal, "record:seal", "the reply names no record")
	}
	if err != nil {
		x.output = 0
		u.pause(x, err)
		return
	}
	x.id, x.bytes = r.RecordId, r.SealedBytes
	u.extend(x)
	u.proceed(x, nil)
}

// fetch reads a sealed record from one of the nodes that hold it; when none gives it, it is sealed anew.
func (u *records) fetch(x *sealing) {
	k := u.k
	i := slices.IndexFunc(x.held, func(n inos.NodeID) bool { return n == k.self() || k.members.alive(n) })
	if i < 0 {
		u.seal(x)
		return
	}
	node := x.held[i]
	x.busy, x.output = true, k.buffer()
	k.content(x.origin(), ask{owner: threadRecords, op: opRecordRead, work: x.work}, node, event.ContentRead,
		&eventpb.ContentReadRequest{ChunkId: x.id, Output: x.output, Record: true}, bulk{output: x.output, hash: x.id, grant: k.readGrant(x.id, node)})
}

func (u *records) read(x *sealing, a *answer) {
	k := u.k
	x.busy = false
	if a.err != nil {
		node := a.node
		if node == "" {
			node = k.self()
		}
		x.output = 0
		x.held = slices.DeleteFunc(x.held, func(n inos.NodeID) bool { return n == node })
		u.fetch(x)
		return
	}
	var r eventpb.ContentReadReply
	_ = event.Open(a.env, &r)
	x.bytes = r.StoredBytes
	u.extend(x)
	u.proceed(x, nil)
}

// extend asks as many more nodes as are missing: first those that hold the file's root.
func (u *records) extend(x *sealing) {
	k := u.k
	have := slices.Clone(x.held)
	avoid := x.nodes(copyFailed)
	for _, y := range x.copies {
		switch {
		case y.state == copyAsked && y.slow:
			avoid = append(avoid, y.node) // it has had its time
		case y.state == copyAsked || y.state == copyWritten:
			have = append(have, y.node)
		}
	}
	ask := func(nodes, beside []inos.NodeID) []inos.NodeID {
		for _, node := range nodes {
			if !slices.Contains(beside, node) && !slices.Contains(avoid, node) && (node == k.self() || k.members.alive(node)) &&
				k.members.distinct(beside, x.wanted) < min(x.wanted, k.members.distinct(append(slices.Clone(beside), node), x.wanted)) {
				u.writeTo(x, node)
				beside = append(beside, node)
			}
		}
		return beside
	}
	if u.astray(x) {
		inside := slices.DeleteFunc(slices.Clone(have), func(n inos.NodeID) bool { return !slices.Contains(x.within, n) })
		for _, node := range ask(x.within, inside) {
			if !slices.Contains(have, node) {
				have = append(have, node)
			}
		}
	}
	have = ask(x.prefer, have)
	if k.lone() {
		if len(have) == 0 {
			u.writeTo(x, k.self())
		}
		return
	}
	for _, node := range k.members.placeRecord(inos.ChunkID(x.id), x.wanted, have, avoid) {
		u.writeTo(x, node)
	}
}

func (u *records) writeTo(x *sealing, node inos.NodeID) {
	k := u.k
	i := slices.IndexFunc(x.copies, func(y *fanoutCopy) bool { return y.node == node })
	if i < 0 {
		if i = len(x.copies); i >= fanoutNodesMax {
			return
		}
		x.copies = append(x.copies, &fanoutCopy{node: node})
	}
	y := x.copies[i]
	y.state, y.epoch, y.slow, y.slowAt = copyAsked, k.members.epoch(node), false, 0
	if !k.lone() {
		y.slowAt = k.now + k.members.writePatience(node)
	}
	u.dueAt = earlier(u.dueAt, x.slowAt())
	k.content(x.origin(), ask{owner: threadRecords, op: opRecordWrite, work: x.work}, node, event.ContentWrite,
		&eventpb.ContentWriteRequest{ChunkId: x.id, Input: x.output, Record: true}, bulk{input: x.output, grant: k.writeGrant(x.id, node), timeout: k.members.writeTimeout(node, x.tries)})
}

func (u *records) wrote(x *sealing, a *answer) {
	k := u.k
	node := a.node
	if node == "" {
		node = k.self()
	}
	i := slices.IndexFunc(x.copies, func(y *fanoutCopy) bool { return y.node == node })
	if x.copies[i].state = copyWritten; a.err != nil {
		x.copies[i].failed(a.err)
		if a.err.Code == inos.CodeDiskFull && node == k.self() {
			k.collector.wantRoom(roomLeast)
		}
	}
	u.proceed(x, a.err)
}

// proceed tells who waits when a quorum has the record, asks other nodes in the place of those that failed, and ends when as many as are
// wanted have it, or no more are to be had.
func (u *records) proceed(x *sealing, err *inos.Error) {
	k := u.k
	if err != nil {
		x.failed = err.Error()
	}
	safe := u.safe(x)
	if safe && !x.told && !u.astray(x) {
		x.told = true
		u.tell(x, nil)
	}
	if err != nil {
		u.extend(x)
	}
	if x.outstanding() {
		return
	}
	if safe && u.astray(x) {
		x.again = k.now + regainEvery
		u.dueAt = earlier(u.dueAt, x.again)
		return
	}
	if safe {
		u.end(x)
		return
	}
	u.pause(x, err)
}

func (u *records) safe(x *sealing) bool { return u.k.members.distinct(x.kept(), x.wanted) >= x.quorum }

// astray says that fewer domains than a quorum hold all of the file and its record too, and that this is worth waiting for still: nodes within those
// domains that have not taken the record are alive and have not refused it.
func (u *records) astray(x *sealing) bool {
	k := u.k
	if x.told || len(x.within) == 0 || x.withinTill <= k.now || k.lone() || k.node.draining {
		return false
	}
	kept := x.kept()
	outside := func(n inos.NodeID) bool { return !slices.Contains(x.within, n) }
	if k.members.distinct(slices.DeleteFunc(slices.Clone(kept), outside), x.wanted) >= min(x.quorum, k.members.distinct(x.within, x.wanted)) {
		return false
	}
	return slices.ContainsFunc(x.within, func(n inos.NodeID) bool {
		i := slices.IndexFunc(x.copies, func(y *fanoutCopy) bool { return y.node == n })
		return !slices.Contains(kept, n) && (n == k.self() || k.members.alive(n)) && (i < 0 || x.copies[i].state == copyAsked || x.copies[i].hopeful)
	})
}

// pause tries again later what did not succeed. What nobody waits for is left to the next scan.
func (u *records) pause(x *sealing, err *inos.Error) {
	k := u.k
	if err != nil {
		x.failed = err.Error()
	}
	if k.node.draining && (x.told || x.waiter == threadRecords) || x.tries >= recordTriesMax || x.waiter == threadRecords && x.tries > 0 {
		u.giveUp(x)
		return
	}
	x.again = k.now + min(retryBackoffMin<<min(x.tries, 8), retryBackoffMax)
	u.dueAt = earlier(u.dueAt, x.again)
	x.tries++
}

// due tries again, and tells who has waited long enough.
func (u *records) due(x *sealing) {
	k := u.k
	if x.withinTill != 0 && x.withinTill <= k.now {
		x.withinTill = 0
		if !x.told && x.waiter != threadRecords && u.safe(x) {
			x.told = true
			u.tell(x, nil)
		}
	}
	if !x.told && x.waiter != threadRecords && x.until <= k.now {
		u.late(x)
	}
	if at := x.slowAt(); at != 0 && at <= k.now {
		for _, y := range x.copies {
			if y.state == copyAsked && y.slowAt <= k.now {
				y.slow = true
				k.members.busy(y.node)
			}
		}
		u.extend(x)
	}
	if x.again == 0 || x.again > k.now {
		return
	}
	x.again = 0
	if x.output == 0 {
		u.seal(x)
		return
	}
	for _, y := range x.copies {
		if y.state == copyFailed {
			y.state = copyPardoned
		}
	}
	u.extend(x)
	u.proceed(x, nil)
}

// late tells who waits that the record is not safe yet. It is written all the same.
func (u *records) late(x *sealing) {
	k := u.k
	has := k.members.distinct(x.kept(), x.wanted)
	detail := ""
	if x.failed != "" {
		detail = ": " + x.failed
	}
	err := again(inos.Errorf(inos.CodeQuorumLost, event.Stage(event.RecordSeal), "version %d is committed, its record is in %d of %s%s", x.record.File.Version, has,
		plural(uint64(x.quorum), "domain", "domains"), detail))
	err.Hint = "Ask again with the same request id: the record follows as soon as enough nodes are back ('inos nodes' names the missing)."
	if k.lone() {
		err.Hint = "Make room on this node's disk: the record follows by itself, and the same request id asks again."
	}
	x.told = true
	u.tell(x, err)
	x.waiter = threadRecords
	u.upkeep++
}

// tell hands the outcome to the thread that waits.
func (u *records) tell(x *sealing, err *inos.Error) {
	switch x.waiter {
	case threadPut:
		u.k.puts.recorded(x.waits, x.kept(), err)
	case threadChange:
		u.k.changes.recorded(x.waits, x.kept(), err)
	}
}

// end has it noted who holds the record.
func (u *records) end(x *sealing) {
	if x.needless {
		u.short = true
		u.forget(x)
		return
	}
	kept := x.kept()
	live := u.k.members.distinct(kept, x.wanted)
	if all, _ := u.k.members.domains(x.wanted); live < min(x.wanted, all) {
		u.short = true
	}
	u.note(settling{key: keyOfRecord(x.record), id: x.id, nodes: names(kept), full: live >= x.wanted})
	u.forget(x)
}

// giveUp leaves a record to the next scan.
func (u *records) giveUp(x *sealing) {
	if !x.told && x.waiter != threadRecords {
		u.late(x)
	}
	u.short = true
	u.forget(x)
}

func (u *records) forget(x *sealing) {
	if x.waiter == threadRecords {
		u.upkeep--
		u.rested()
	}
	u.k.release(&x.output)
	delete(u.table, x.work)
	if u.short && !u.scanning {
		u.scanAt = max(1, min(u.scanAt, u.k.now+recordsEvery))
	}
}
