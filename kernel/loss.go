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
	opDrop              // semantic:drop_copies
	opStates            // semantic:chunk_states of what was dropped
	opWant              // semantic:want_repairs
)

// losses tells the semantic memory which copies a node holds no more, so that the same bytes put again are written again and
// not found, and that the copies are made again elsewhere. A copy that a read or a scrub finds bad, or that a failed write may
// have left without bytes, is doubted; it is read once more from its node when no write of it is under way; is it gone, then it
// is dropped when no put is about to stage it.
//
// From the doubt to the end of the drop the copy is in table: puts do not rely on it and do not write it. A node that does not
// answer is asked again a few times; the copies of a dead one count for nothing, and are compared with its disk when it returns
// (reconcile.go): its doubts are let go.
type losses struct {
	k        *Kernel
	table    map[string]bool // by copyKey
	doubted  []string        // wait to be checked
	checking []*lossCheck    // at most one of a node
	later    []*lossCheck    // of nodes that gave no answer
	last     uint64          // number of the last check
	lost     []string        // wait to be dropped
	dropping []string        // of one node
	again    inos.Micros     // when to try a failed drop again; 0: nothing to try
	failures uint32
	tries    map[string]uint32 // checks without an answer
	dropped  uint64            // copies, since the boot
	short    shortage
}

// lossCheck is a copy that is being read, or is to be read again.
type lossCheck struct {
	number uint64
	key    string
	buffer uint64
	again  inos.Micros
}

func (x *lossCheck) code(c *coder) {
	num(c, &x.number)
	text(c, &x.key)
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
	u.table, u.tries = map[string]bool{}, map[string]uint32{}
}

func (u *losses) about() about {
	return about{name: "loss", kind: "pipeline", inFlightMax: lossChecksMax + 2}
}

func (u *losses) hear(*input) {}

func (u *losses) code(c *coder) {
	table(c, &u.table, lossesMax, text[string], (*coder).bool)
	ids := func(l *[]string) {
		list(c, l, lossesMax, text[string])
		for _, key := range *l {
			u.member(c, key)
		}
	}
	checks := func(l *[]*lossCheck, limit int) {
		pointers(c, l, limit, func(c *coder, x *lossCheck) { x.code(c) })
		for _, x := range *l {
			u.member(c, x.key)
		}
	}
	ids(&u.doubted)
	checks(&u.checking, lossChecksMax)
	checks(&u.later, lossesMax)
	num(c, &u.last)
	ids(&u.lost)
	ids(&u.dropping)
	num(c, &u.again)
	num(c, &u.failures)
	table(c, &u.tries, lossesMax, text[string], num[uint32])
	num(c, &u.dropped)
	u.short.code(c)
}

func (u *losses) member(c *coder, key string) {
	if len(key) <= inos.HashBytes || !u.table[key] {
		c.fail("a lost copy %x that is not in the table", key)
	}
}

// holds says that a node's copy of the chunk is doubted or lost, and the semantic memory may still name it.
func (u *losses) holds(node inos.NodeID, id inos.ChunkID) bool {
	return len(u.table) > 0 && u.table[copyKey(node, id)]
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
		u.doubted = append(u.doubted, key)
	}
}

// gone notes a copy that the node is known to have lost: it is not read once more.
func (u *losses) gone(node inos.NodeID, id inos.ChunkID) {
	if key := copyKey(node, id); u.enter(key) {
		u.lost = append(u.lost, key)
		u.k.puts.lost(node, id)
	}
}

func (u *losses) enter(key string) bool {
	if u.table[key] {
		return false
	}
	if len(u.table) >= lossesMax {
		panic("kernel: more copies are doubted than reads and writes can be under way")
	}
	u.table[key] = true
	return true
}

func (u *losses) act() {
	if !u.k.ready() {
		return
	}
	if len(u.doubted) > 0 || len(u.later) > 0 {
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

func (u *losses) wake() (at inos.Micros) {
	at = earlier(u.again, u.short.again)
	for _, x := range u.later {
		at = earlier(at, x.again)
	}
	return at
}

// check reads copies in doubt, one of a node at a time: a put may have written them since.
func (u *losses) check() {
	u.later = slices.DeleteFunc(u.later, func(x *lossCheck) bool {
		due := x.again <= u.k.now
		if due {
			u.doubted = append(u.doubted, x.key)
		}
		return due
	})
	busy := map[inos.NodeID]bool{}
	for _, x := range u.checking {
		node, _ := copyOf(x.key)
		busy[node] = true
	}
	var moot []string
	u.doubted = slices.DeleteFunc(u.doubted, func(key string) bool {
		node, id := copyOf(key)
		switch {
		case node != u.k.self() && u.k.members.dead(node):
			moot = append(moot, key)
		case len(u.checking) >= lossChecksMax || busy[node]:
			return false
		default:
			busy[node] = true // the first of a node goes first
			if u.k.puts.writing(node, id) {
				return false
			}
			u.last++
			x := &lossCheck{number: u.last, key: key, buffer: u.k.buffer()}
			u.checking = append(u.checking, x)
			u.k.content(nil, ask{owner: threadLoss, op: opCheck, work: x.number}, node, event.ContentRead,
				&eventpb.ContentReadRequest{ChunkId: id[:], Output: x.buffer}, bulk{output: x.buffer, hash: id[:], grant: u.k.readGrant(id[:], node)})
		}
		return true
	})
	if len(moot) > 0 {
		u.forget(moot...)
	}
}

// drop asks for the next batch, of one node's copies of chunks that no put has written or found and not staged yet: a row would
// name the node again.
func (u *losses) drop() {
	var q eventpb.DropCopiesRequest
	u.lost = slices.DeleteFunc(u.lost, func(key string) bool {
		node, id := copyOf(key)
		if len(u.dropping) >= dropsPerCall || u.k.collector.lives[string(id[:])] > 0 || q.Node != "" && q.Node != string(node) {
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

func (u *losses) answer(a *answer) {
	switch a.op {
	case opCheck:
		u.checked(a)
		return
	case opStates, opWant:
		u.short.answer(u.k, a)
		return
	}
	if a.err != nil {
		u.lost, u.dropping = append(u.dropping, u.lost...), nil
		u.again = u.k.now + min(retryBackoffMin<<min(u.failures, 8), retryBackoffMax)
		u.failures++
		return
	}
	u.failures = 0
	keys := u.dropping
	u.dropping = nil
	node, _ := copyOf(keys[0])
	var r eventpb.DropCopiesReply
	if event.Open(a.env, &r) == nil && r.Dropped > 0 {
		u.dropped += uint64(r.Dropped)
		if u.k.lone() {
			u.k.watcher.note(event.DropCopies, event.StateCompleted, plural(uint64(r.Dropped), "chunk", "chunks")+" lost by this node: put again, they are written again")
		} else {
			u.k.watcher.note(event.DropCopies, event.StateCompleted, plural(uint64(r.Dropped), "copy", "copies")+" lost by node "+string(node)+": they are made again from others")
			u.short.add(keys)
		}
	}
	u.forget(keys...)
}

// checked takes the end of a read: a copy that is there is believed again. On this node any error counts as gone, which costs no
// more than writing the chunk again; another node is asked again unless it says that it has no good copy. A put that relies
// on what is gone fails: its sender has the bytes.
func (u *losses) checked(a *answer) {
	i := slices.IndexFunc(u.checking, func(x *lossCheck) bool { return x.number == a.work })
	x := u.checking[i]
	u.checking = slices.Delete(u.checking, i, i+1)
	node, id := copyOf(x.key)
	a.unfilled(u.k, &x.buffer)
	switch {
	case a.err == nil:
		u.k.release(&x.buffer)
		u.forget(x.key)
	case node == u.k.self() || lostCopy(a.err) || a.err.Code == inos.CodeIO && u.tries[x.key] >= retriesMax:
		delete(u.tries, x.key)
		u.lost = append(u.lost, x.key)
		u.k.puts.lost(node, id)
	case u.tries[x.key] >= retriesMax:
		u.forget(x.key) // a reader or an audit will doubt it again
	default:
		x.again = u.k.now + min(retryBackoffMin<<u.tries[x.key], retryBackoffMax)
		u.tries[x.key]++
		u.later = append(u.later, x)
	}
}

// forget ends the doubts: puts that waited go on.
func (u *losses) forget(keys ...string) {
	for _, key := range keys {
		delete(u.table, key)
		delete(u.tries, key)
	}
	u.k.puts.unheld()
	for _, work := range slices.Clone(u.k.puts.active) {
		if p := u.k.puts.table[work]; p.phase == putRunning && p.root != nil {
			u.k.puts.advance(p)
		}
	}
}

// idle says that nothing is left to tell, or that the semantic memory does not take it, or that a node does not answer.
func (u *losses) idle() bool {
	return len(u.checking) == 0 && len(u.dropping) == 0 && !u.short.underWay && (len(u.table) == len(u.later) || u.failures >= retriesMax)
}
