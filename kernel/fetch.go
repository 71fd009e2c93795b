package kernel

import (
	"slices"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects of a fetch. The slot of a read is the number of the try.
const (
	opFetch  = iota + 1 // content:read_chunk
	opLocate            // semantic:chunk_copies
)

// fetches reads chunks for the other threads, each from the best of its copies. A node that has not answered after the time that
// members.hedge gives is not waited for alone: the next one is asked too, and the first verified bytes win. A node that fails
// is followed by the next one. When none is left the copies are looked up once more, for repair may have moved them, and only
// then the fetch fails. Bytes are verified by the host against the chunk's id; a node that the map names and that has no good
// copy is doubted.
//
// A fetch ends once, in its asker's answer, with the buffer that the bytes are in. A call that is still under way then keeps the
// fetch in the table until it ends too and its buffer is given back.
type fetches struct {
	k        *Kernel
	table    map[uint64]*fetch
	last     uint64
	locate   []uint64 // fetches whose copies are to be looked up
	locating []uint64
	buffers  uint64      // bytes accounted for second calls
	hedgeAt  inos.Micros // no second node is to be asked before; 0: none is
	again    inos.Micros // no fetch looks once more before; 0: none does
	hedges   uint64      // second calls made, and of these won
	won      uint64
}

// fetch is one chunk being read.
type fetch struct {
	id      uint64
	owner   threadID
	op      uint8
	work    uint64
	slot    uint64
	trace   string
	meta    *eventpb.Metadata
	chunk   inos.ChunkID
	bytes   uint64
	left    []inos.NodeID // to be asked, best first
	tries   []*fetchTry
	looks   uint8 // how often the copies were looked up
	hedgeAt inos.Micros
	again   inos.Micros // when to look once more for nodes that have not come yet; 0: it does not wait for any
	hedged  bool        // a second buffer is accounted
	ended   bool        // its asker has the answer; a call is under way
	void    bool        // nobody waits for the bytes: no other node is asked
}

// fetchTry is one node asked for the bytes.
type fetchTry struct {
	node     inos.NodeID
	buffer   uint64
	underWay bool
	second   bool      // asked while another was under way
	code     inos.Code // why it failed
}

// bad says that the node has no good copy.
func (t *fetchTry) bad() bool {
	return t.code == inos.CodeChunkNotFound || t.code == inos.CodeChunkCorrupt
}

// looksMax bounds how often the copies of a chunk are looked up for one fetch.
const looksMax = 2

func (u *fetches) init(k *Kernel) {
	u.k = k
	u.table = map[uint64]*fetch{}
}

func (u *fetches) about() about {
	return about{name: "fetch", kind: "pipeline", inFlightMax: 2*getsMax*chunksPerGetMax + 1}
}

func (u *fetches) hear(*input) {}

func (u *fetches) code(c *coder) {
	objects(c, &u.table, flightsMax, num[uint64], func(c *coder, f *fetch) { f.code(c) })
	num(c, &u.last)
	for _, l := range []*[]uint64{&u.locate, &u.locating} {
		list(c, l, flightsMax, num[uint64])
		if c.reading && c.err == nil {
			members(c, u.table, *l)
		}
	}
	num(c, &u.buffers)
	num(c, &u.hedgeAt)
	num(c, &u.again)
	num(c, &u.hedges)
	num(c, &u.won)
}

func (f *fetch) code(c *coder) {
	num(c, &f.id)
	num(c, &f.owner)
	if f.owner >= threadCount {
		c.fail("thread %d", f.owner)
	}
	num(c, &f.op)
	num(c, &f.work)
	num(c, &f.slot)
	text(c, &f.trace)
	metadata(c, &f.meta)
	c.fixed(f.chunk[:])
	num(c, &f.bytes)
	list(c, &f.left, membersMax, text[inos.NodeID])
	pointers(c, &f.tries, triesMax, func(c *coder, t *fetchTry) {
		text(c, &t.node)
		num(c, &t.buffer)
		c.bool(&t.underWay)
		c.bool(&t.second)
		num(c, &t.code)
	})
	num(c, &f.looks)
	num(c, &f.hedgeAt)
	num(c, &f.again)
	c.bool(&f.hedged)
	c.bool(&f.ended)
	c.bool(&f.void)
}

// fetch reads a chunk on behalf of a request, or of the node itself when o is nil, from one of the copies; without any, they are
// looked up first. The end comes to the asker's answer, always in a later step: with answer.buffer, which is the asker's to
// release, or with the error of the last node.
func (k *Kernel) fetch(o *origin, a ask, id inos.ChunkID, bytes uint64, copies []*eventpb.Copy) {
	u := &k.fetches
	u.last++
	f := &fetch{id: u.last, owner: a.owner, op: a.op, work: a.work, slot: a.slot, chunk: id, bytes: bytes}
	if o != nil {
		f.trace, f.meta = o.trace, o.meta
	}
	u.table[f.id] = f
	switch {
	case k.lone():
		f.left, f.looks = []inos.NodeID{k.self()}, looksMax
	case len(copies) > 0:
		f.left, f.looks = k.members.rank(copies), 1
	default:
		u.locate = append(u.locate, f.id)
		return
	}
	u.ask(f)
}

// void says that nobody waits for the bytes of one unit of work any more: its fetches end with what is under way.
func (u *fetches) void(owner threadID, work uint64) {
	for _, id := range sortedKeys(u.table) {
		if f := u.table[id]; f.owner == owner && f.work == work {
			f.void = true
			if f.again != 0 {
				f.again, u.again = u.k.now, u.k.now // act ends it
			}
		}
	}
}

// act looks up copies, as many at once as wait, and asks a second node where the first takes long.
func (u *fetches) act() {
	if u.again != 0 && u.again <= u.k.now {
		u.resume()
	}
	if len(u.locate) > 0 && len(u.locating) == 0 {
		n := min(len(u.locate), locatesPerCall)
		u.locating, u.locate = slices.Clone(u.locate[:n]), slices.Clone(u.locate[n:])
		q := &eventpb.ChunkCopiesRequest{}
		for _, id := range u.locating {
			q.ChunkIds = append(q.ChunkIds, slices.Clone(u.table[id].chunk[:]))
		}
		first := u.table[u.locating[0]]
		u.k.send(&origin{trace: first.trace, meta: first.meta}, ask{owner: threadFetch, op: opLocate}, event.ChunkCopies, q)
	}
	if u.hedgeAt == 0 || u.hedgeAt > u.k.now {
		return
	}
	u.hedgeAt = 0
	for _, id := range sortedKeys(u.table) {
		f := u.table[id]
		switch {
		case !f.waits():
		case f.hedgeAt <= u.k.now:
			u.hedge(f)
		default:
			u.hedgeAt = earlier(u.hedgeAt, f.hedgeAt)
		}
	}
}

func (u *fetches) wake() inos.Micros { return earlier(u.hedgeAt, u.again) }

// resume looks once more for the nodes that fetches wait for.
func (u *fetches) resume() {
	u.again = 0
	for _, id := range sortedKeys(u.table) {
		f := u.table[id]
		switch {
		case f.again == 0:
		case f.void:
			f.again = 0
			u.end(f, &answer{err: inos.Errorf(inos.CodeCanceled, "content:read_chunk", "nobody waits for the chunk %s", f.chunk)})
		case f.again <= u.k.now:
			f.again = 0
			u.locate = append(u.locate, f.id)
		default:
			u.again = earlier(u.again, f.again)
		}
	}
}

// waitFor puts a fetch aside while a node that did not answer it has not come yet after a start.
func (u *fetches) waitFor(f *fetch) bool {
	if !slices.ContainsFunc(f.tries, func(t *fetchTry) bool { return !t.bad() && u.k.members.coming(t.node) }) {
		return false
	}
	f.tries = slices.DeleteFunc(f.tries, func(t *fetchTry) bool { return !t.bad() })
	f.again = u.k.now + lookAgain
	u.again = earlier(u.again, f.again)
	return true
}

// waits says that a second node is to be asked when the time has come.
func (f *fetch) waits() bool {
	return f.hedgeAt != 0 && !f.ended && !f.void && !f.hedged && len(f.left) > 0 && f.running() == 1
}

// running counts the calls under way.
func (f *fetch) running() (n int) {
	for _, t := range f.tries {
		if t.underWay {
			n++
		}
	}
	return n
}

// hedge asks the next node while another has not answered, if there is room for a second buffer.
func (u *fetches) hedge(f *fetch) {
	if !u.k.reserve(&u.buffers, 1) {
		f.hedgeAt = u.k.now + hedgeAgain
		u.hedgeAt = earlier(u.hedgeAt, f.hedgeAt)
		return
	}
	f.hedged = true
	u.hedges++
	u.ask(f)
}

// ask asks the best node that is left.
func (u *fetches) ask(f *fetch) {
	t := &fetchTry{node: f.left[0], buffer: u.k.buffer(), underWay: true, second: f.hedged}
	f.left = f.left[1:]
	f.tries = append(f.tries, t)
	f.hedgeAt = 0
	if len(f.left) > 0 && !f.hedged {
		f.hedgeAt = u.k.now + u.k.members.hedge(t.node)
		u.hedgeAt = earlier(u.hedgeAt, f.hedgeAt)
	}
	id := slices.Clone(f.chunk[:])
	u.k.content(&origin{trace: f.trace, meta: f.meta}, ask{owner: threadFetch, op: opFetch, work: f.id, slot: uint64(len(f.tries) - 1), bytes: f.bytes},
		t.node, event.ContentRead, &eventpb.ContentReadRequest{ChunkId: id, Output: t.buffer}, bulk{output: t.buffer, hash: id, grant: u.k.readGrant(id, t.node)})
}

func (u *fetches) answer(a *answer) {
	if a.op == opLocate {
		u.located(a)
		return
	}
	f := u.table[a.work]
	t := f.tries[a.slot]
	t.underWay = false
	if a.err != nil {
		a.unfilled(u.k, &t.buffer)
		t.code = a.err.Code
		u.blame(f, t)
	}
	if f.hedged && (a.err != nil || f.ended) {
		f.hedged = false
		u.k.unreserve(&u.buffers)
	}
	switch {
	case f.ended:
		u.k.release(&t.buffer)
		delete(u.table, f.id)
	case a.err == nil:
		if t.second {
			u.won++
		}
		u.end(f, &answer{buffer: t.buffer, node: t.node})
	default:
		u.next(f, a.err)
	}
}

// blame doubts the copy of a node that the map names and that has none.
func (u *fetches) blame(f *fetch, t *fetchTry) {
	if !t.bad() {
		return
	}
	u.k.losses.doubt(t.node, f.chunk)
	if t.node != u.k.self() {
		u.k.members.complain(t.node, f.chunk)
	}
}

// next goes on after a node has failed: with the call that is under way, with the next node, or with another look at the map.
func (u *fetches) next(f *fetch, err *inos.Error) {
	switch {
	case f.running() > 0:
		if len(f.left) > 0 {
			f.hedgeAt, u.hedgeAt = u.k.now, u.k.now // the slow one has had its time
		}
	case f.void:
		u.end(f, &answer{err: err})
	case len(f.left) > 0 && len(f.tries) < triesMax:
		u.ask(f)
	case f.looks < looksMax:
		u.locate = append(u.locate, f.id)
	case u.waitFor(f):
	default:
		u.end(f, &answer{err: u.failed(f, err)})
	}
}

// located takes the copies of the chunks that were looked up. A node that has failed is asked again only when another answer may be
// had from it.
func (u *fetches) located(a *answer) {
	ids := u.locating
	u.locating = nil
	var r eventpb.ChunkCopiesReply
	err := a.err
	if err == nil {
		if openErr := event.Open(a.env, &r); openErr != nil || len(r.Chunks) != len(ids) {
			err = inos.Errorf(inos.CodeInternal, "semantic:chunk_copies", "%d answers to %d questions: %v", len(r.Chunks), len(ids), openErr)
		}
	}
	for i, id := range ids {
		f := u.table[id]
		switch {
		case err != nil:
			u.end(f, &answer{err: err})
			continue
		case f.void:
			u.end(f, &answer{err: inos.Errorf(inos.CodeCanceled, "content:read_chunk", "nobody waits for the chunk %s", f.chunk)})
			continue
		}
		f.looks = min(f.looks+1, looksMax)
		f.left = slices.DeleteFunc(u.k.members.rank(r.Chunks[i].Copies), func(node inos.NodeID) bool {
			return slices.ContainsFunc(f.tries, func(t *fetchTry) bool {
				return t.node == node && t.bad()
			})
		})
		if len(f.left) > 0 {
			u.ask(f)
			continue
		}
		u.next(f, nil)
	}
}

// failed returns the error of a chunk that no node gave, with what each of them said. One that does not answer may come
// back with it.
func (u *fetches) failed(f *fetch, err *inos.Error) *inos.Error {
	if u.k.lone() {
		return err
	}
	const op = "content:read_chunk"
	if len(f.tries) == 0 {
		return inos.Errorf(inos.CodeChunkNotFound, op, "no node holds the chunk %s", f.chunk)
	}
	var code inos.Code
	var said []string
	for i, t := range f.tries {
		if slices.ContainsFunc(f.tries[i+1:], func(later *fetchTry) bool { return later.node == t.node }) {
			continue
		}
		if code == 0 || t.code != inos.CodeChunkNotFound && (code == inos.CodeChunkNotFound || code == inos.CodeChunkCorrupt) {
			code = t.code
		}
		said = append(said, "node "+string(t.node)+": "+t.code.Name())
	}
	if code == inos.CodePermissionDenied {
		code = inos.CodePeerUnreachable // a node that refuses a switchboard's ticket, by its clock say, judges nobody's right to the file
	}
	return inos.Errorf(code, op, "no node gave the chunk %s: %s", f.chunk, strings.Join(said, ", "))
}

// end answers the asker. A call that is under way ends by itself.
func (u *fetches) end(f *fetch, a *answer) {
	f.ended = true
	if f.running() == 0 {
		delete(u.table, f.id)
	}
	a.op, a.work, a.slot = f.op, f.work, f.slot
	for _, t := range f.tries {
		if t.bad() {
			a.bad = append(a.bad, t.node)
		}
	}
	u.k.counters[f.owner].envelopes++
	u.k.threads[f.owner].answer(a)
}

// locations codes the copies of chunks.
func locations(c *coder, l *[]*eventpb.CopyList, limit int) {
	pointers(c, l, limit, func(c *coder, m *eventpb.CopyList) {
		pointers(c, &m.Copies, membersMax, func(c *coder, x *eventpb.Copy) {
			text(c, &x.Node)
			c.bool(&x.Trusted)
			num(c, &x.AuditedUs)
		})
	})
}
