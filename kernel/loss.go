package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects of the losses.
const (
	opCheck  = iota + 1 // content:read_chunk, to see whether the copy is really gone
	opLook              // content:missing_chunks, to see which of many are
	opDrop              // semantic:drop_copies
	opStates            // semantic:chunk_states of what was dropped
)

// losses tells the semantic memory which copies a node holds no more, so that the same bytes put again are written again and
// not found, and that the copies are made again elsewhere. A copy that a read or a scrub finds bad, or that a failed write may
// have left without bytes, is doubted; it is read once more from its node when no write of it is under way, of many on another node those that
// it does not say to be missing; is it gone, then it is dropped when no put is about to stage it.
//
// From the doubt to the end of the drop the copy is in table: puts do not rely on it and do not write it. A node that does not
// answer is asked again a few times; the copies of a dead one count for nothing, and are compared with its disk when it returns
// (reconcile.go): its doubts are let go.
type losses struct {
	k        *Kernel
	table    map[string]uint8 // by copyKey
	doubted  []string         // wait to be checked
	checking []*lossCheck     // at most one of a node
	later    []*lossCheck     // of nodes that gave no answer
	due      inos.Micros      // when the first of them is to be asked again
	fresh    bool             // a check may have become possible
	last     uint64           // number of the last check
	lost     []string         // wait to be dropped
	dropping []string         // of one node
	again    inos.Micros      // when to try a failed drop again; 0: nothing to try
	failures uint32
	tries    map[string]uint32 // checks without an answer
	dropped  uint64            // copies, since the boot
	short    shortage
	relapses relapses
}

// What is known of a copy in the table.
const (
	lossDoubted = 1 << iota
	lossListed  // its node says that it holds it: it has to be read
	lossJudged  // an audit has counted it
)

// lossCheck is a copy that is being read, or copies of one node that are looked for; or they are to be again.
type lossCheck struct {
	number uint64
	keys   []string
	buffer uint64 // 0: they are looked for
	again  inos.Micros
}

func (x *lossCheck) code(c *coder) {
	num(c, &x.number)
	list(c, &x.keys, dropsPerCall, text[string])
	num(c, &x.buffer)
	num(c, &x.again)
}

// copyKey names a node's copy of a chunk; keys sort by chunk.
func copyKey(node inos.NodeID, id inos.ChunkID) string { return string(id[:]) + string(node) }

func copyOf(key string) (inos.NodeID, inos.ChunkID) {
	return inos.NodeID(key[inos.HashBytes:]), inos.ChunkID([]byte(key[:inos.HashBytes]))
}

func (u *losses) init(k *Kernel) {
	u.k = k
	u.table, u.tries = map[string]uint8{}, map[string]uint32{}
	u.relapses.times = map[string]uint8{}
}

func (u *losses) about() about {
	return about{name: "loss", kind: "pipeline", inFlightMax: lossChecksMax + 2}
}

func (u *losses) hear(*input) {}

func (u *losses) code(c *coder) {
	table(c, &u.table, lossesMax, text[string], num[uint8])
	ids := func(l *[]string) {
		list(c, l, lossesMax, text[string])
		for _, key := range *l {
			u.member(c, key)
		}
	}
	checks := func(l *[]*lossCheck, limit int) {
		pointers(c, l, limit, func(c *coder, x *lossCheck) { x.code(c) })
		for _, x := range *l {
			if len(x.keys) == 0 {
				c.fail("a check of no copy")
			}
			for _, key := range x.keys {
				u.member(c, key)
			}
		}
	}
	ids(&u.doubted)
	checks(&u.checking, lossChecksMax)
	checks(&u.later, lossesMax)
	num(c, &u.due)
	c.bool(&u.fresh)
	num(c, &u.last)
	ids(&u.lost)
	ids(&u.dropping)
	num(c, &u.again)
	num(c, &u.failures)
	table(c, &u.tries, lossesMax, text[string], num[uint32])
	num(c, &u.dropped)
	u.short.code(c)
	u.relapses.code(c)
}

func (u *losses) member(c *coder, key string) {
	if len(key) <= inos.HashBytes || u.table[key] == 0 {
		c.fail("a lost copy %x that is not in the table", key)
	}
}

// holds says that a node's copy of the chunk is doubted or lost, and the semantic memory may still name it.
func (u *losses) holds(node inos.NodeID, id inos.ChunkID) bool {
	return len(u.table) > 0 && u.table[copyKey(node, id)] != 0
}

func (u *losses) listed(key string) bool { return u.table[key]&lossListed != 0 }

// judge doubts a copy that its node could not prove. Until the doubt is over it counts once.
func (u *losses) judge(node inos.NodeID, id inos.ChunkID) {
	u.doubt(node, id)
	u.table[copyKey(node, id)] |= lossJudged
}

// judged says that an audit has counted the copy, which is doubted since.
func (u *losses) judged(node inos.NodeID, id inos.ChunkID) bool {
	return u.table[copyKey(node, id)]&lossJudged != 0
}

// any says that the test holds for a copy that is doubted or lost.
func (u *losses) any(test func(inos.NodeID, inos.ChunkID) bool) bool {
	for _, key := range sortedKeys(u.table) {
		if test(copyOf(key)) {
			return true
		}
	}
	return false
}

// full says that nothing may be begun that can bring more doubts: what is under way then still fits.
func (u *losses) full() bool { return len(u.table) >= lossesMax/2 }

// read takes the end of a content:read_chunk of any thread.
func (u *losses) read(node inos.NodeID, id inos.ChunkID, err *inos.Error) {
	if lostCopy(err) {
		u.doubt(node, id)
	}
}

// lostCopy says that an error of a read means that the node has no good copy.
func lostCopy(err *inos.Error) bool {
	return err != nil && (err.Code == inos.CodeChunkCorrupt || err.Code == inos.CodeChunkNotFound)
}

// doubt notes a copy whose bytes the node may have lost.
func (u *losses) doubt(node inos.NodeID, id inos.ChunkID) {
	if key := copyKey(node, id); u.enter(key) {
		u.doubted, u.fresh = append(u.doubted, key), true
	}
}

func (u *losses) enter(key string) bool {
	if u.table[key] != 0 {
		return false
	}
	if len(u.table) >= lossesMax {
		panic("kernel: more copies are doubted than reads and writes can be under way")
	}
	u.table[key] = lossDoubted
	return true
}

func (u *losses) act() {
	if !u.k.started() {
		return
	}
	if u.fresh || len(u.checking) == 0 && len(u.doubted) > 0 || u.due != 0 && u.due <= u.k.now {
		u.check()
	}
	if u.again != 0 && u.again <= u.k.now {
		u.again = 0
	}
	if len(u.dropping) == 0 && u.again == 0 {
		u.drop()
	}
	u.short.act(u.k)
}

func (u *losses) wake() inos.Micros {
	return earlier(earlier(u.again, u.short.again), u.due)
}

// check asks nodes for copies in doubt, each for one to read or for many to look for: a put may have written them since.
func (u *losses) check() {
	u.fresh, u.due = false, 0
	u.later = slices.DeleteFunc(u.later, func(x *lossCheck) bool {
		if x.again > u.k.now {
			u.due = earlier(u.due, x.again)
			return false
		}
		u.doubted = append(u.doubted, x.keys...)
		return true
	})
	busy := map[inos.NodeID]bool{}
	for _, x := range u.checking {
		node, _ := copyOf(x.keys[0])
		busy[node] = true
	}
	next := map[string]*lossCheck{}
	var moot []string
	u.doubted = slices.DeleteFunc(u.doubted, func(key string) bool {
		node, id := copyOf(key)
		x := next[string(node)]
		switch {
		case node != u.k.self() && u.k.members.dead(node):
			moot = append(moot, key)
			return true
		case busy[node], u.k.puts.writing(node, id):
			return false
		case x == nil && len(u.checking)+len(next) < lossChecksMax:
			next[string(node)] = &lossCheck{keys: []string{key}}
			return true
		case x == nil || node == u.k.self() || len(x.keys) >= dropsPerCall || u.listed(key) || u.listed(x.keys[0]):
			return false
		}
		x.keys = append(x.keys, key)
		return true
	})
	for _, node := range sortedKeys(next) {
		u.send(inos.NodeID(node), next[node])
	}
	if len(moot) > 0 {
		u.forget(moot...)
	}
}

func (u *losses) send(node inos.NodeID, x *lossCheck) {
	u.last++
	x.number = u.last
	u.checking = append(u.checking, x)
	if len(x.keys) > 1 {
		q := &eventpb.ContentMissingRequest{}
		for _, key := range x.keys {
			q.ChunkIds = append(q.ChunkIds, []byte(key[:inos.HashBytes]))
		}
		u.k.content(nil, ask{owner: threadLoss, op: opLook, work: x.number}, node, event.ContentMissing, q, bulk{})
		return
	}
	x.buffer = u.k.buffer()
	id := []byte(x.keys[0][:inos.HashBytes])
	u.k.content(nil, ask{owner: threadLoss, op: opCheck, work: x.number}, node, event.ContentRead,
		&eventpb.ContentReadRequest{ChunkId: id, Output: x.buffer}, bulk{output: x.buffer, hash: id, grant: u.k.readGrant(id, node)})
}

// drop asks for the next batch of one node's copies.
func (u *losses) drop() {
	if len(u.lost) == 0 {
		return
	}
	var q eventpb.DropCopiesRequest
	u.lost = slices.DeleteFunc(u.lost, func(key string) bool {
		node, id := copyOf(key)
		if len(u.dropping) >= dropsPerCall || q.Node != "" && q.Node != string(node) || u.awaited(node, id) {
			return false
		}
		q.Node = string(node)
		u.dropping = append(u.dropping, key)
		q.ChunkIds = append(q.ChunkIds, id[:])
		return true
	})
	if len(u.dropping) > 0 {
		u.k.send(nil, ask{owner: threadLoss, op: opDrop}, event.DropCopies, &q)
	}
}

// named says that the semantic memory is about to be told that the node has the chunk: a copy that was dropped before would be there again, and
// nobody would doubt it. A lone node is in every row that a put stages.
func (u *losses) named(node inos.NodeID, id inos.ChunkID) bool {
	if u.k.lone() {
		return u.k.collector.lives[string(id[:])] > 0
	}
	return u.k.puts.writing(node, id) || u.k.puts.telling(node, id) || u.k.repairs.telling(node, id) || u.k.collector.adopts(node, id)
}

// awaited says that a copy is not to be dropped yet: the semantic memory is about to be told of it, or an audit of it is under way, which
// could not count it any more.
func (u *losses) awaited(node inos.NodeID, id inos.ChunkID) bool {
	return u.named(node, id) || u.k.challenges.challenged(heldCopy{node: node, chunk: id})
}

func (u *losses) answer(a *answer) {
	switch a.op {
	case opCheck, opLook:
		u.checked(a)
		return
	case opStates:
		u.short.answer(u.k, a)
		return
	}
	if a.err != nil {
		u.lost, u.dropping = append(u.dropping, u.lost...), nil
		u.again = u.k.now + min(retryBackoffMin<<min(u.failures, 8), retryBackoffMax)
		u.failures++
		return
	}
	keys, unknown := u.dropping, u.failures > 0
	u.dropping, u.failures = nil, 0
	node, _ := copyOf(keys[0])
	for _, key := range keys {
		_, id := copyOf(key)
		u.k.repairs.dropped(node, id)
		if !u.k.lone() { // which trashes what has no row, and that has not changed
			u.k.collector.touch(id)
		}
		u.relapses.lost(key)
	}
	var r eventpb.DropCopiesReply
	dropped := event.Open(a.env, &r) == nil && r.Dropped > 0
	if dropped {
		u.dropped += uint64(r.Dropped)
		if u.k.lone() {
			u.k.watcher.note(event.DropCopies, event.StateCompleted, plural(uint64(r.Dropped), "chunk", "chunks")+" lost by this node: put again, they are written again")
		} else {
			u.k.watcher.note(event.DropCopies, event.StateCompleted, plural(uint64(r.Dropped), "copy", "copies")+" lost by node "+string(node)+": they are made again from others")
		}
	}
	if !u.k.lone() && (dropped || unknown) { // a try that failed may have dropped them all the same
		u.short.add(u.k, keys)
	}
	u.forget(keys...)
}

// checked takes the end of a check: a copy that is there is believed again. On this node any error counts as gone, which costs no
// more than writing the chunk again; another node is asked again unless it says that it has no good copy.
func (u *losses) checked(a *answer) {
	i := slices.IndexFunc(u.checking, func(x *lossCheck) bool { return x.number == a.work })
	x := u.checking[i]
	u.checking = slices.Delete(u.checking, i, i+1)
	node, _ := copyOf(x.keys[0])
	a.unfilled(u.k, &x.buffer)
	u.fresh = true
	tries := u.tries[x.keys[0]]
	switch {
	case a.err == nil && a.op == opLook:
		u.looked(x, a)
	case a.err == nil:
		u.k.release(&x.buffer)
		u.forget(x.keys...)
	case a.op == opCheck && (node == u.k.self() || lostCopy(a.err) || a.err.Code == inos.CodeIO && tries >= retriesMax):
		u.lose(x.keys[0])
		if !lostCopy(a.err) {
			u.k.collector.sweepNode(node) // it may be there after all, and then nothing else would find it
		}
	case tries >= retriesMax:
		u.forget(x.keys...) // a reader or an audit will doubt them again
	default:
		x.again = u.k.now + min(retryBackoffMin<<tries, retryBackoffMax)
		u.tries[x.keys[0]]++
		u.later = append(u.later, x)
		u.due = earlier(u.due, x.again)
	}
}

// looked takes which of many copies a node does not hold. The others have to be read: it may hold them and their bytes be bad.
func (u *losses) looked(x *lossCheck, a *answer) {
	var r eventpb.ContentMissingReply
	if event.Open(a.env, &r) != nil {
		r.ChunkIds = nil
	}
	gone := map[string]bool{}
	for _, id := range r.ChunkIds {
		gone[string(id)] = true
	}
	for _, key := range x.keys {
		if gone[key[:inos.HashBytes]] {
			u.lose(key)
			continue
		}
		u.table[key] |= lossListed
		u.doubted = append(u.doubted, key)
	}
}

// lose has a copy dropped. A put that relies on what is gone fails: its sender has the bytes.
func (u *losses) lose(key string) {
	delete(u.tries, key)
	u.lost = append(u.lost, key)
	u.k.puts.lost(copyOf(key))
}

// forget ends the doubts: puts that waited go on.
func (u *losses) forget(keys ...string) {
	for _, key := range keys {
		delete(u.table, key)
		delete(u.tries, key)
	}
	u.k.puts.unheld()
	for _, p := range slices.Clone(u.k.puts.active) {
		if p.phase == putRunning && p.root != nil {
			u.k.puts.advance(p)
		}
	}
}

// idle says that nothing is left to tell, or that the semantic memory does not take it, or that a node does not answer.
func (u *losses) idle() bool {
	waiting := 0
	for _, x := range u.later {
		waiting += len(x.keys)
	}
	return len(u.checking) == 0 && len(u.dropping) == 0 && !u.short.underWay && (len(u.table) == waiting || u.failures >= retriesMax)
}
