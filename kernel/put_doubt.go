package kernel

import (
	"bytes"
	"slices"

	"github.com/inos-mesh/inos"
)

// What a put has to know of chunks whose bytes are in doubt on a node (loss.go).

// writing says that a write of the chunk to the node is under way.
func (u *puts) writing(node inos.NodeID, id inos.ChunkID) bool {
	for _, work := range sortedKeys(u.fanouts) {
		s := u.fanouts[work]
		if s.id != id {
			continue
		}
		if x := s.copy(node); x != nil && x.state == copyAsked {
			return true
		}
	}
	return false
}

// telling says that the semantic memory is being told, or is about to be, that the node has the chunk.
func (u *puts) telling(node inos.NodeID, id inos.ChunkID) bool {
	for _, work := range sortedKeys(u.fanouts) {
		if s := u.fanouts[work]; s.id == id {
			if x := s.copy(node); x != nil && x.told {
				return true
			}
		}
	}
	isLate := func(x lateCopy) bool { return x.node == node && x.id == id }
	return slices.ContainsFunc(u.lates.adds, isLate) || slices.ContainsFunc(u.lates.adding, isLate)
}

// lost takes a node's copy off those that puts count on. A put without a quorum of other copies that it knows of fails: its sender
// has the bytes.
func (u *puts) lost(node inos.NodeID, id inos.ChunkID) {
	if !u.k.lone() {
		for _, work := range sortedKeys(u.fanouts) {
			s := u.fanouts[work]
			if x := s.copy(node); s.id == id && x != nil && x.state >= copyWritten {
				x.state = copyFailed
			}
		}
	}
	for _, p := range slices.Clone(u.active) {
		p.unbrought(node, id)
		if p.phase != putRunning || !p.relies(id) || !u.k.lone() && u.otherwise(p, node, id) {
			continue
		}
		u.fail(p, inos.Errorf(inos.CodeChunkCorrupt, p.stage(), "%s: the chunk %s went bad on disk while the file was stored: put it again", p.path, id))
	}
}

// doubtful says that a put relies on a copy in doubt: it is not committed before the doubt ends.
func (u *puts) doubtful(p *put) bool {
	return u.k.losses.any(func(node inos.NodeID, id inos.ChunkID) bool {
		return p.relies(id) && (u.k.lone() || !u.otherwise(p, node, id))
	})
}

// otherwise says that a put does not need a node's copy of a chunk: as far as it knows, a quorum of others holds it, or will.
func (u *puts) otherwise(p *put, node inos.NodeID, id inos.ChunkID) bool {
	k := u.k
	enough := func(nodes []inos.NodeID) bool {
		nodes = slices.DeleteFunc(slices.Clone(nodes), func(n inos.NodeID) bool { return n == node || k.losses.holds(n, id) })
		return k.members.distinct(nodes, p.wanted) >= p.quorum
	}
	for _, work := range sortedKeys(u.fanouts) {
		if s := u.fanouts[work]; s.put == p.work && s.id == id && !enough(s.kept()) && s.output == 0 && !s.outstanding() {
			return false
		}
	}
	for _, x := range p.chunks {
		if x.state == chunkKnown && x.found == id && x.pinned && !x.stray && !enough(x.have) {
			return false
		}
	}
	for _, key := range sortedKeys(p.twins) {
		if t := p.twins[key]; t.done && len(t.have) > 0 && t.entry.ChunkID == id && !enough(t.have) {
			return false
		}
	}
	return true
}

// relied says that a put relies on the chunk: its receipt may name whoever holds it.
func (u *puts) relied(id inos.ChunkID) bool {
	return slices.ContainsFunc(u.active, func(p *put) bool { return p.relies(id) })
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
