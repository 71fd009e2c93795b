package kernel

import (
	"bytes"
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects of the losses.
const (
	opCheck = iota + 1 // content:read_chunk, to see whether the chunk is really gone
	opDrop             // semantic:drop_copies
)

// losses tells the semantic memory which chunks this node holds no more, so that the same bytes put again are written
// again and not found. What a read or a scrub finds bad, or a failed write may have left without bytes, is doubted; it is
// read once more when no write of it is under way; is it gone, then it is dropped when no put is about to stage it.
//
// From the doubt to the end of the drop the chunk is in table: puts do not rely on a find of it and do not write it.
type losses struct {
	k        *Kernel
	table    map[string]bool // by chunk id
	doubted  []string        // wait to be checked
	checking string          // is being read; empty: none
	buffer   uint64          // of that read
	lost     []string        // wait to be dropped
	dropping []string
	again    inos.Micros // when to try a failed drop again; 0: nothing to try
	failures uint32
}

func (u *losses) init(k *Kernel) {
	u.k = k
	u.table = map[string]bool{}
}

func (u *losses) about() about {
	return about{name: "loss", kind: "pipeline", inFlightMax: 2}
}

func (u *losses) hear(*input) {}

func (u *losses) code(c *coder) {
	table(c, &u.table, lossesMax, text[string], (*coder).bool)
	ids := func(l *[]string) {
		list(c, l, lossesMax, text[string])
		for _, id := range *l {
			u.member(c, id)
		}
	}
	ids(&u.doubted)
	text(c, &u.checking)
	if u.checking != "" {
		u.member(c, u.checking)
	}
	num(c, &u.buffer)
	ids(&u.lost)
	ids(&u.dropping)
	num(c, &u.again)
	num(c, &u.failures)
}

func (u *losses) member(c *coder, id string) {
	if len(id) != inos.HashBytes || !u.table[id] {
		c.fail("a lost chunk %x that is not in the table", id)
	}
}

// holds says that the chunk is doubted or lost, and the semantic memory may still name this node for it.
func (u *losses) holds(id inos.ChunkID) bool { return u.table[string(id[:])] }

// full says that nothing may be begun that can bring more doubts: what is under way then still fits.
func (u *losses) full() bool { return len(u.table) >= lossesMax/2 }

// read takes the end of a content:read_chunk of any thread.
func (u *losses) read(id inos.ChunkID, err *inos.Error) {
	if err != nil && (err.Code == inos.CodeChunkCorrupt || err.Code == inos.CodeChunkNotFound) {
		u.doubt(id)
	}
}

// doubt notes a chunk whose bytes this node may have lost.
func (u *losses) doubt(id inos.ChunkID) {
	key := string(id[:])
	if u.table[key] {
		return
	}
	if len(u.table) >= lossesMax {
		panic("kernel: more chunks are doubted than reads and writes can be under way")
	}
	u.table[key] = true
	u.doubted = append(u.doubted, key)
}

func (u *losses) act() {
	if !u.k.ready() {
		return
	}
	if u.checking == "" && len(u.doubted) > 0 && !u.k.puts.writing(inos.ChunkID([]byte(u.doubted[0]))) {
		u.check()
	}
	if u.again != 0 && u.again <= u.k.now {
		u.again = 0
	}
	if len(u.dropping) == 0 && u.again == 0 {
		u.drop()
	}
}

func (u *losses) wake() inos.Micros { return u.again }

// check reads the first chunk in doubt: a put may have written it since.
func (u *losses) check() {
	u.checking, u.doubted = u.doubted[0], u.doubted[1:]
	u.buffer = u.k.buffer()
	u.k.send(nil, ask{owner: threadLoss, op: opCheck}, event.ContentRead, &eventpb.ContentReadRequest{ChunkId: []byte(u.checking), Output: u.buffer})
}

// drop asks for the next batch, of chunks that no put has written or found and not staged yet: its row would name the
// node again.
func (u *losses) drop() {
	q := &eventpb.DropCopiesRequest{Node: u.k.node.id}
	u.lost = slices.DeleteFunc(u.lost, func(id string) bool {
		if len(u.dropping) >= dropsPerCall || u.k.collector.lives[id] > 0 {
			return false
		}
		u.dropping = append(u.dropping, id)
		q.ChunkIds = append(q.ChunkIds, []byte(id))
		return true
	})
	if len(u.dropping) > 0 {
		u.k.send(nil, ask{owner: threadLoss, op: opDrop}, event.DropCopies, q)
	}
}

func (u *losses) answer(a *answer) {
	if a.op == opCheck {
		u.checked(a)
		return
	}
	if a.err != nil {
		u.lost, u.dropping = append(u.dropping, u.lost...), nil
		u.again = u.k.now + min(retryBackoffMin<<min(u.failures, 8), retryBackoffMax)
		u.failures++
		return
	}
	u.failures = 0
	var r eventpb.DropCopiesReply
	if event.Open(a.env, &r) == nil && r.Dropped > 0 {
		u.k.watcher.note(event.DropCopies, event.StateCompleted, plural(uint64(r.Dropped), "chunk", "chunks")+" lost by this node: put again, they are written again")
	}
	ids := u.dropping
	u.dropping = nil
	u.forget(ids...)
}

// checked takes the end of a read: a chunk that is there is believed again. Any error counts as gone, which costs no more
// than writing the chunk again. A put that relies on what is gone fails: its sender has the bytes.
func (u *losses) checked(a *answer) {
	id := u.checking
	u.checking = ""
	if a.err == nil {
		u.k.release(&u.buffer)
		u.forget(id)
		return
	}
	u.buffer = 0
	u.lost = append(u.lost, id)
	u.k.puts.lost(inos.ChunkID([]byte(id)))
}

// forget ends the doubts: puts that waited go on.
func (u *losses) forget(ids ...string) {
	for _, id := range ids {
		delete(u.table, id)
	}
	u.k.puts.unheld()
	for _, work := range slices.Clone(u.k.puts.active) {
		if p := u.k.puts.table[work]; p.phase == putRunning && p.root != nil {
			u.k.puts.advance(p)
		}
	}
}

// idle says that nothing is left to tell, or that the semantic memory does not take it.
func (u *losses) idle() bool {
	return u.checking == "" && len(u.dropping) == 0 && (len(u.table) == 0 || u.failures >= retriesMax)
}

// writing says that a write of the chunk is under way.
func (u *puts) writing(id inos.ChunkID) bool {
	for _, work := range u.active {
		p := u.table[work]
		for _, x := range p.chunks {
			if x.state == chunkWriting && x.entry.ChunkID == id {
				return true
			}
		}
		for _, n := range p.tree.nodes {
			if n.state == nodeWriting && n.entry.ChunkID == id {
				return true
			}
		}
	}
	return false
}

// lost fails the puts that rely on a chunk which this node held and holds no more.
func (u *puts) lost(id inos.ChunkID) {
	for _, work := range slices.Clone(u.active) {
		if p := u.table[work]; p.phase == putRunning && p.relies(id) {
			u.fail(p, inos.Errorf(inos.CodeChunkCorrupt, "files:put", "%s: the chunk %s went bad on disk while the file was stored: put it again", p.path, id))
		}
	}
}

// doubtful says that a put relies on a chunk in doubt: it is not committed before the doubt ends.
func (u *puts) doubtful(p *put) bool {
	for _, id := range sortedKeys(u.k.losses.table) {
		if p.relies(inos.ChunkID([]byte(id))) {
			return true
		}
	}
	return false
}

// relies says that a put has staged the chunk, is about to, or names it in a part of the manifest that is in work.
func (p *put) relies(id inos.ChunkID) bool {
	for _, x := range p.chunks {
		if x.entry.ChunkID == id && (x.state == chunkDone || x.state == chunkKnown && x.pinned) {
			return true
		}
	}
	for _, key := range sortedKeys(p.twins) {
		if t := p.twins[key]; t.done && t.entry.ChunkID == id {
			return true
		}
	}
	named := func(entries []byte) bool {
		for e := range slices.Chunk(entries, inos.EntryBytes) {
			if bytes.Equal(e[:inos.HashBytes], id[:]) {
				return true
			}
		}
		return false
	}
	for _, n := range p.tree.nodes {
		if n.state == nodeDone && n.entry.ChunkID == id || named(n.entries) {
			return true
		}
	}
	isRow := func(r *row) bool {
		if r.entry.ChunkID == id {
			return true
		}
		for child := range slices.Chunk(r.children, inos.HashBytes) {
			if bytes.Equal(child, id[:]) {
				return true
			}
		}
		return false
	}
	return slices.ContainsFunc(p.tree.levels, named) || slices.ContainsFunc(p.rows, isRow) || slices.ContainsFunc(p.staging, isRow)
}
