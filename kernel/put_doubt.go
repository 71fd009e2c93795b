package kernel

import (
	"bytes"
	"slices"

	"github.com/inos-mesh/inos"
)

// What a put has to know of chunks whose bytes are in doubt on a node (loss.go).

// writing says that a write of the chunk to the node is under way, or has ended and its row is not sent yet.
func (u *puts) writing(node inos.NodeID, id inos.ChunkID) bool {
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

// lost fails the puts that rely on a chunk which the node held and holds no more.
func (u *puts) lost(node inos.NodeID, id inos.ChunkID) {
	for _, work := range slices.Clone(u.active) {
		if p := u.table[work]; p.phase == putRunning && p.relies(id) {
			u.fail(p, inos.Errorf(inos.CodeChunkCorrupt, "files:put", "%s: the chunk %s went bad on disk while the file was stored: put it again", p.path, id))
		}
	}
}

// doubtful says that a put relies on a chunk in doubt: it is not committed before the doubt ends.
func (u *puts) doubtful(p *put) bool {
	return u.k.losses.any(func(_ inos.NodeID, id inos.ChunkID) bool { return p.relies(id) })
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

// distrusted forgets what a node has acknowledged to puts that are under way: its copies have to be looked at first.
func (u *puts) distrusted(node inos.NodeID) {}
