package kernel

import (
	"slices"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Steps of a repair.
const (
	mendStates = iota // where the chunk is, is being asked
	mendReady         // the next copy waits for the rate
	mendCopy          // is being made by its target
	mendRead          // is being read, for this node's own disk
	mendWrite         // is being written to it
	mendSettle        // the claim is being ended
	mendPause         // the claim's end failed and is tried again
	mendVoid          // the claim is void: whether a copy that was made is in the map, is being asked
	mendTrash         // it is not, and enough others are: it is being trashed
	mendSteps
)

// mending is a claimed repair: the chunk is copied to one target after another until it is in as many domains as are wanted. A result is
// entered under the lease; when that is over, somebody else may have claimed the repair, and the copies made are trashed unless the map names
// them or lacks some.
type mending struct {
	work   uint64
	batch  uint64 // claimed together
	id     inos.ChunkID
	reason string
	lease  uint64
	until  inos.Micros
	tries  uint32 // claims that ended without the chunk being whole
	step   uint8

	generation uint64
	bytes      uint64
	wanted     uint32
	good       []inos.NodeID // hold a copy that counts, or is likely to
	sources    []inos.NodeID // may be read from, those not tried
	trusted    int           // the first of them hold trusted copies
	avoid      []inos.NodeID // were tried as targets and failed
	added      []inos.NodeID
	overdue    []inos.NodeID // were told to the map as having a copy, when their copies were about to count for nothing
	source     inos.NodeID
	target     inos.NodeID
	epoch      uint64 // of the target's copies when it was asked
	buffer     uint64
	held       bool        // a chunk is accounted in repairs.buffers
	short      bool        // it lost a copy, or was wanted anew, since it was claimed: it is wanted again behind that. Of a void claim: it was touched
	paid       bool        // the rate has let the next copy through
	tried      uint32      // copies that failed
	retry      inos.Micros // for which the claim is settled; 0: it is done
	again      inos.Micros // when to try its end once more
	started    inos.Micros // of the copy
}

func (x *mending) code(c *coder) {
	num(c, &x.work)
	num(c, &x.batch)
	c.fixed(x.id[:])
	text(c, &x.reason)
	num(c, &x.lease)
	num(c, &x.until)
	num(c, &x.tries)
	num(c, &x.step)
	if x.step >= mendSteps {
		c.fail("step %d of a repair", x.step)
	}
	num(c, &x.generation)
	num(c, &x.bytes)
	num(c, &x.wanted)
	for _, l := range []*[]inos.NodeID{&x.good, &x.sources, &x.avoid, &x.added, &x.overdue} {
		list(c, l, membersMax, text[inos.NodeID])
	}
	num(c, &x.trusted)
	text(c, &x.source)
	text(c, &x.target)
	num(c, &x.epoch)
	num(c, &x.buffer)
	c.bool(&x.held)
	c.bool(&x.short)
	c.bool(&x.paid)
	num(c, &x.tried)
	num(c, &x.retry)
	num(c, &x.again)
	num(c, &x.started)
}

func (x *mending) wake(u *repairs) inos.Micros {
	switch x.step {
	case mendPause:
		return x.again
	case mendReady:
		if x.again > u.k.now {
			return x.again
		}
	}
	return 0
}

// forget drops a copy that was made on a node.
func (x *mending) forget(node inos.NodeID) {
	x.added = slices.DeleteFunc(x.added, func(n inos.NodeID) bool { return n == node })
	x.good = slices.DeleteFunc(x.good, func(n inos.NodeID) bool { return n == node })
}

// standing sorts a chunk's copies: good are those that count, on nodes that keep them; hoped are those of nodes that are being compared
// with the map and are likely to count again; sources can be read from, trusted ones first.
func (k *Kernel) standing(s *eventpb.ChunkState) (good, hoped, sources []inos.NodeID, trusted int) {
	var rest []*eventpb.Copy
	var first []*eventpb.Copy
	for _, held := range s.Copies {
		node := inos.NodeID(held.Node)
		m := k.members.member(node)
		if m == nil {
			continue
		}
		_, _, comparing := k.reconciles.progress(node)
		switch {
		case m.draining() || m.gone:
		case held.Trusted:
			good, hoped = append(good, node), append(hoped, node)
		case comparing || m.distrust:
			hoped = append(hoped, node)
		}
		if !k.members.alive(node) || k.losses.holds(node, inos.ChunkID(s.ChunkId)) {
			continue
		}
		if held.Trusted {
			first = append(first, held)
		} else {
			rest = append(rest, held)
		}
	}
	return good, hoped, append(k.members.rank(first), k.members.rank(rest)...), len(first)
}

// plan decides what a claimed chunk needs.
func (u *repairs) plan(x *mending, s *eventpb.ChunkState) {
	if s.Condemned || s.Wanted == 0 || len(s.ChunkId) != inos.HashBytes {
		u.settle(x, 0)
		return
	}
	x.generation, x.bytes, x.wanted = s.Generation, s.StoredBytes, s.Wanted
	_, x.good, x.sources, x.trusted = u.k.standing(s)
	if u.k.members.lacking(x.good, x.wanted) == 0 {
		u.settle(x, 0)
		return
	}
	x.step = mendReady
	u.advance(x)
}

// advance starts the next copy, or ends the claim.
func (u *repairs) advance(x *mending) {
	k := u.k
	switch {
	case x.step == mendPause && x.again <= k.now:
		if x.short && x.retry == 0 {
			x.retry = k.now + claimAgain
		}
		u.settle(x, x.retry)
		return
	case x.step != mendReady || x.again > k.now:
		return
	case x.until-k.now < repairMargin || k.node.draining:
		u.settle(x, k.now+claimAgain) // what was made is entered; the rest is claimed anew
		return
	case x.tried >= copyTriesMax:
		u.settle(x, k.now+u.backoff(x))
		return
	}
	if k.members.lacking(x.good, x.wanted) == 0 {
		u.settle(x, 0)
		return
	}
	if len(x.sources) == 0 {
		u.sourceless(x)
		return
	}
	targets := k.members.place(x.id, x.wanted, x.good, append(slices.Clone(x.avoid), x.added...), x.bytes)
	if len(targets) == 0 {
		if k.members.possible(x.good, x.wanted) {
			u.settle(x, k.now+u.backoff(x)) // nobody else can take it now
		} else {
			u.settle(x, 0) // nor ever, until the members change and the map is looked through
		}
		return
	}
	x.target, x.source = targets[0], x.sources[0]
	if x.source == x.target { // it holds an untrusted copy, and another source is to be had or none
		if len(x.sources) > 1 {
			x.source = x.sources[1]
		} else {
			x.avoid = append(x.avoid, x.target)
			u.advance(x)
			return
		}
	}
	if !x.paid {
		wait := u.rate.take(u, x.bytes)
		if wait > 0 {
			x.again = k.now + wait
			return
		}
		x.paid = true
	}
	u.copy(x)
}

// copy has the target pull the chunk from the source; for this node's own disk it is read and written here.
func (u *repairs) copy(x *mending) {
	k := u.k
	x.started, x.again, x.epoch = k.now, 0, k.members.epoch(x.target)
	if x.target != k.self() {
		x.step = mendCopy
		addrs := k.members.addrs(x.source)
		if x.source == k.self() {
			addrs = k.node.addrs
		}
		k.content(nil, ask{owner: threadRepair, op: opRepairCopy, work: x.work, bytes: x.bytes}, x.target, event.ContentCopy, &eventpb.ContentCopyRequest{
			ChunkId: x.id[:], Source: string(x.source), SourceAddrs: addrs, StoredBytes: uint32(x.bytes),
		}, bulk{grant: k.grant(verbRead, x.id[:], x.target, x.source)})
		return
	}
	if !x.held {
		if !k.reserve(&u.buffers, 1) {
			x.again = k.now + retryBackoffMin
			return
		}
		x.held = true
	}
	x.step, x.buffer = mendRead, k.buffer()
	k.content(nil, ask{owner: threadRepair, op: opRepairRead, work: x.work, bytes: x.bytes}, x.source, event.ContentRead,
		&eventpb.ContentReadRequest{ChunkId: x.id[:], Output: x.buffer}, bulk{output: x.buffer, hash: x.id[:], grant: k.readGrant(x.id[:], x.source)})
}

// copied takes the end of an effect of one repair.
func (u *repairs) copied(x *mending, a *answer) {
	k := u.k
	switch a.op {
	case opRepairRead:
		if a.err != nil {
			x.buffer = 0
			u.drop(x)
			u.failed(x, a.err, true)
			break
		}
		x.step = mendWrite
		k.send(nil, ask{owner: threadRepair, op: opRepairWrite, work: x.work, bytes: x.bytes}, event.ContentWrite, &eventpb.ContentWriteRequest{ChunkId: x.id[:], Input: x.buffer})
		return
	case opRepairCopy, opRepairWrite:
		u.drop(x)
		if a.err != nil {
			u.failed(x, a.err, a.op == opRepairCopy && strings.HasPrefix(a.err.Message, "read from node"))
			break
		}
		x.paid = false
		if !k.members.keeps(x.target, x.epoch) { // the answer comes late: the copy may be lost, and its node is compared, or gone
			x.tried++
			x.avoid = append(x.avoid, x.target)
			k.collector.sweepNode(x.target)
			break
		}
		x.added, x.good = append(x.added, x.target), append(x.good, x.target)
		u.done++
		u.bytes += x.bytes
		u.rate.made(u, x.bytes, k.now-x.started)
	case opRepairSettle:
		u.settled(x, a.err)
		return
	case opRepairVoid:
		u.voided(x, a)
		return
	case opRepairTrash:
		if x.forget(x.target); a.err != nil { // it may have been forgotten since
			k.collector.sweepNode(x.target)
		}
		u.trashVoid(x)
		return
	}
	x.step = mendReady
	u.advance(x)
}

// drop gives the buffer of a copy to this node's own disk back.
func (u *repairs) drop(x *mending) {
	u.k.release(&x.buffer)
	if x.held {
		x.held = false
		u.k.unreserve(&u.buffers)
	}
}

// failed leaves out the node that a copy failed on. A source whose bytes are not the chunk's is doubted.
func (u *repairs) failed(x *mending, err *inos.Error, source bool) {
	x.tried++
	if err.Code == inos.CodeChunkCorrupt || err.Code == inos.CodeChunkNotFound {
		source = true
		u.k.losses.doubt(x.source, x.id)
	}
	if err.Code == inos.CodeBusy {
		u.k.members.busy(x.target)
	}
	if !source {
		x.avoid = append(x.avoid, x.target)
		return
	}
	if i := slices.Index(x.sources, x.source); i >= 0 {
		x.sources = slices.Delete(x.sources, i, i+1)
		if i < x.trusted {
			x.trusted--
		}
	}
}

// sourceless ends a claim for which nothing can be read now. When no node holds the chunk that the map knows, a person has to know; and all disks
// are looked through, for one may have a copy that the map does not name.
func (u *repairs) sourceless(x *mending) {
	key := string(x.id[:])
	if len(x.good) == 0 && !u.lost.has(key, u.k.now) {
		u.lost.add(key, u.k.now)
		u.k.watcher.note(repairEvent, event.StateFailed, "no copy of chunk "+x.id.String()[:16]+" can be read: "+x.reason)
		u.k.collector.sweepWanted()
	}
	u.settle(x, u.k.now+u.backoff(x))
}

// backoff returns how long a repair that did not succeed waits in the queue.
func (u *repairs) backoff(x *mending) inos.Micros {
	return min(repairAgain<<min(x.tries, 8), repairAgainMax)
}

// settle ends the claim: the copies made are entered, and the repair leaves the queue or waits until retry.
func (u *repairs) settle(x *mending, retry inos.Micros) {
	x.step, x.retry, x.again = mendSettle, retry, 0
	q := &eventpb.SettleRepairRequest{ChunkId: x.id[:], Lease: x.lease, RetryUs: int64(retry), NowUs: int64(u.k.now)}
	for _, node := range x.added {
		q.Added = append(q.Added, string(node))
	}
	u.k.send(nil, u.ask(opRepairSettle, x.work), event.SettleRepair, q)
}

// settled takes the end of a claim. One whose outcome is not known is settled again: the verb is idempotent while the lease lasts.
func (u *repairs) settled(x *mending, err *inos.Error) {
	for _, node := range x.overdue {
		if m := u.k.members.member(node); m != nil && !m.doubtful {
			u.k.members.doubt(m)
		}
	}
	x.overdue = nil
	if err != nil && err.Code == inos.CodeConflict && x.short { // it may have ended at the first try, and what was wanted since with it
		u.wantMore(x)
	}
	switch {
	case err == nil:
		if x.retry == 0 {
			delete(u.lost.added, string(x.id[:]))
			if w := &u.scan.worth; len(x.added) > 0 && !x.short && w.short > 0 {
				w.short--
			}
			if x.short {
				u.wantMore(x)
			}
		} else {
			u.claimAt = earlier(u.claimAt, x.retry)
		}
		u.end(x)
	case err.Code != inos.CodeConflict:
		x.step, x.again = mendPause, u.k.now+retryBackoffMin
	case len(x.added) == 0:
		u.end(x)
	default:
		x.step, x.short = mendVoid, false
		u.k.send(nil, u.ask(opRepairVoid, x.work), event.ChunkStates, &eventpb.ChunkStatesRequest{ChunkIds: [][]byte{x.id[:]}})
	}
}

// wantMore wants a chunk once more whose repair ends with fewer copies than it was planned with.
func (u *repairs) wantMore(x *mending) {
	u.want(x.id[:], x.reason, u.k.members.distinct(x.good, max(x.wanted, 1)))
}

// voided takes where the chunk of a void claim is: copies that the map does not name are of no use where there are enough others. Where they are short, one
// of these may be the last before long, and a sweep adopts them.
func (u *repairs) voided(x *mending, a *answer) {
	var r eventpb.ChunkStatesReply
	if a.err != nil || event.Open(a.env, &r) != nil || len(r.States) != 1 {
		for _, node := range x.added {
			u.k.collector.sweepNode(node)
		}
		u.end(x)
		return
	}
	s := r.States[0]
	for _, held := range s.Copies {
		x.forget(inos.NodeID(held.Node))
	}
	good, _, _, _ := u.k.standing(s)
	short := !s.Condemned && s.Wanted > 0 && u.k.members.lacking(good, s.Wanted) > 0
	if short || x.short || u.k.collector.lives[string(x.id[:])] > 1 { // or it is claimed again, or a put has written it there: a sweep sees what is left
		for _, node := range x.added {
			u.k.collector.sweepNode(node)
		}
		x.added = nil
	}
	u.trashVoid(x)
}

// trashVoid trashes the next copy of a void claim. One that a sweep is about to enter into the map stays: the map would name a copy that is gone.
func (u *repairs) trashVoid(x *mending) {
	for _, node := range slices.Clone(x.added) {
		if u.k.collector.adopts(node, x.id) {
			x.forget(node)
			u.k.collector.sweepNode(node)
		}
	}
	if len(x.added) == 0 {
		u.end(x)
		return
	}
	x.step, x.target = mendTrash, x.added[0]
	u.k.content(nil, u.ask(opRepairTrash, x.work), x.target, event.ContentTrash,
		&eventpb.ContentTrashRequest{Chunks: []*eventpb.ChunkGeneration{{ChunkId: x.id[:], Generation: x.generation}}}, bulk{})
}

// end forgets a repair.
func (u *repairs) end(x *mending) {
	u.k.collector.unlive(x.id)
	delete(u.table, x.work)
	if x.step == mendTrash {
		u.k.puts.unheld()
	}
}
