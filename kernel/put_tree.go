package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// tree collects the entries of a file's manifest, level by level. A full level becomes a node when one more entry
// arrives, so that only the last node of a level is short and a root never has a single child.
type tree struct {
	levels [][]byte    // entries that wait, 128 bytes each; level 0 are data chunks
	nodes  []*treeNode // being built and written, in order of creation
	last   uint64      // number of the last node
	plain  uint64      // plain bytes of the chunks collected
	chunks uint64
}

// States of a manifest node in work.
const (
	nodeBuilding = iota
	nodeHeld
	nodeWriting
	nodeDone
	nodeStates
)

// treeNode is a manifest node in work.
type treeNode struct {
	number  uint64
	below   uint64 // data chunks of the file before the end of the node
	level   uint32
	root    bool
	state   uint8
	entries []byte
	output  uint64
	entry   inos.Entry
	fileID  inos.FileID
	fanout  uint64 // that writes it
	room
}

func (t *tree) code(c *coder) {
	list(c, &t.levels, levelsMax, func(c *coder, b *[]byte) { c.bytes(b) })
	pointers(c, &t.nodes, chunksPerPutMax, func(c *coder, n *treeNode) { n.code(c) })
	num(c, &t.last)
	num(c, &t.plain)
	num(c, &t.chunks)
}

func (n *treeNode) code(c *coder) {
	num(c, &n.number)
	num(c, &n.below)
	num(c, &n.level)
	c.bool(&n.root)
	num(c, &n.state)
	if n.state >= nodeStates {
		c.fail("node state %d", n.state)
	}
	c.bytes(&n.entries)
	num(c, &n.output)
	c.entry(&n.entry)
	c.fixed(n.fileID[:])
	num(c, &n.fanout)
	n.room.code(c)
}

func (t *tree) node(number uint64) *treeNode {
	for _, n := range t.nodes {
		if n.number == number {
			return n
		}
	}
	panic("kernel: a manifest node is not in work")
}

// collect moves the entries of chunks, in order, into the manifest as soon as they are known: a chunk and the node above it
// are written side by side. It lets go of chunks that are done, and finishes the manifest when the body has ended.
func (u *puts) collect(p *put) {
	t := &p.tree
	for t.chunks < p.next && p.phase == putRunning && len(t.nodes) < chunksPerPutMax/2 {
		x := p.chunk(t.chunks)
		if x.state != chunkWriting && x.state != chunkDone {
			break
		}
		t.plain += uint64(x.bytes)
		t.chunks++
		p.stored += x.entry.StoredBytes
		u.add(p, 0, &x.entry)
	}
	for p.phase == putRunning && len(p.chunks) > 0 && p.chunks[0].state == chunkDone && p.chunks[0].index < t.chunks {
		p.chunks[0] = nil
		p.chunks = p.chunks[1:]
	}
	u.collectNodes(p)
	if p.phase == putRunning && p.root == nil && p.ended && t.chunks == p.next && len(t.nodes) == 0 {
		u.finishTree(p)
	}
}

// collectNodes hands nodes that are written, in order, to the level above, once every chunk below has its row: a row may
// only refer to rows that are there. The root ends the put's own work.
func (u *puts) collectNodes(p *put) {
	t := &p.tree
	for p.phase == putRunning && len(t.nodes) > 0 && t.nodes[0].state == nodeDone && p.hasRows(t.nodes[0]) {
		n := t.nodes[0]
		t.nodes = t.nodes[1:]
		p.rows = append(p.rows, nodeRow(n))
		if n.root {
			p.root = n
			return
		}
		u.add(p, int(n.level)+1, &n.entry)
	}
}

// hasRows says that every data chunk below a node is written.
func (p *put) hasRows(n *treeNode) bool { return len(p.chunks) == 0 || p.chunks[0].index >= n.below }

// add puts an entry behind the others of its level.
func (u *puts) add(p *put, level int, e *inos.Entry) {
	t := &p.tree
	if level >= levelsMax {
		panic("kernel: a manifest of more levels than a file can have")
	}
	for len(t.levels) <= level {
		t.levels = append(t.levels, nil)
	}
	if len(t.levels[level]) == inos.ManifestEntriesMax*inos.EntryBytes {
		u.build(p, level, false)
	}
	t.levels[level] = inos.AppendEntry(t.levels[level], e)
}

// finishTree builds what is left, from the bottom up; the topmost level becomes the root.
func (u *puts) finishTree(p *put) {
	t := &p.tree
	if len(t.levels) == 0 {
		t.levels = [][]byte{nil} // an empty file: a root without entries
	}
	for level := range t.levels {
		top := level == len(t.levels)-1
		if top || len(t.levels[level]) > 0 {
			u.build(p, level, top)
			return
		}
	}
}

// build makes a node of everything a level holds.
func (u *puts) build(p *put, level int, root bool) {
	t := &p.tree
	t.last++
	n := &treeNode{number: t.last, below: t.chunks, level: uint32(level), root: root, entries: t.levels[level], output: u.k.buffer()}
	t.levels[level] = nil
	t.nodes = append(t.nodes, n)
	if n.small() {
		err := u.lay(n)
		if err == nil {
			err = u.formedNode(p, n)
		}
		if err != nil {
			u.fail(p, because(p.stage(), err, p.place(opBuild, n.number)))
		}
		return
	}
	u.module(p, opBuild, n.number, event.BuildNode, job{output: n.output, bytes: uint64(len(n.entries))},
		&eventpb.BuildNodeRequest{Level: n.level, Entries: n.entries, Root: root})
}

// built takes the stored form of a node.
func (u *puts) built(p *put, a *answer) *inos.Error {
	n := p.tree.node(a.slot)
	if !a.output {
		n.output = 0
	}
	if a.err != nil {
		return a.err
	}
	var r eventpb.BuildNodeReply
	if err := event.Open(a.env, &r); err != nil {
		return inos.Errorf(inos.CodeModuleFailed, "storage:build_node", "%w", err)
	}
	entry, err := inos.ParseEntry(r.Entry)
	if err != nil || n.output == 0 || n.root && (len(r.FileId) != inos.HashBytes || entry.PlainBytes != p.got) {
		return inos.Errorf(inos.CodeModuleFailed, "storage:build_node", "the node returned is not the one asked for")
	}
	n.entry = entry
	if n.root {
		n.fileID = inos.FileID(r.FileId)
	}
	return u.formedNode(p, n)
}

// formedNode writes a node whose stored form is at hand like any chunk, unless it is the root of another file than was wished for.
func (u *puts) formedNode(p *put, n *treeNode) *inos.Error {
	if n.root && len(p.expected) != 0 && inos.FileID(p.expected) != n.fileID {
		return inos.Errorf(inos.CodeBodyMismatch, "compare file id", "the body's is %s, %x was expected", n.fileID, p.expected)
	}
	if u.k.holds(n.entry.ChunkID) {
		n.state = nodeHeld
		return nil
	}
	u.writeNode(p, n)
	return nil
}

// writeNode sends a manifest node to the nodes that keep it.
func (u *puts) writeNode(p *put, n *treeNode) {
	n.state = nodeWriting
	s := &fanout{slot: n.number, manifest: true, id: n.entry.ChunkID, bytes: uint64(len(n.entries)), output: n.output}
	n.output = 0
	n.fanout = u.fanOut(p, s).work
}

// nodeRow returns a node's row with the chunks it refers to.
func nodeRow(n *treeNode) *row {
	r := &row{entry: n.entry, node: true, fanout: n.fanout}
	for i := 0; i < len(n.entries); i += inos.EntryBytes {
		r.children = append(r.children, n.entries[i:i+inos.HashBytes]...)
	}
	return r
}
