package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// copiesVerified is what the verification of a file has found of its copies beyond the one of each chunk that it reads: every node
// is asked which of its chunks it does not hold.
type copiesVerified struct {
	underWay uint32
	calls    []*copiesCall // under way, by number
	last     uint64
	nodes    map[string]*nodeVerified
	bad      map[string]bool // by copyKey, at most badCopiesMax
}

// copiesCall is one node being asked.
type copiesCall struct {
	number uint64
	node   inos.NodeID
}

// nodeVerified counts what was found on one node.
type nodeVerified struct {
	chunks uint64
	stored uint64
	bad    uint64
	err    string
}

func (n *nodeVerified) code(c *coder) {
	num(c, &n.chunks)
	num(c, &n.stored)
	num(c, &n.bad)
	text(c, &n.err)
}

// badCopiesMax bounds the bad copies that the verification of one file tells from each other.
const badCopiesMax = 4096

func (v *copiesVerified) code(c *coder) {
	num(c, &v.underWay)
	pointers(c, &v.calls, flightsMax, func(c *coder, x *copiesCall) {
		num(c, &x.number)
		text(c, &x.node)
	})
	num(c, &v.last)
	objects(c, &v.nodes, membersMax, text[string], func(c *coder, n *nodeVerified) { n.code(c) })
	table(c, &v.bad, badCopiesMax, text[string], (*coder).bool)
}

func (v *copiesVerified) node(id inos.NodeID) *nodeVerified {
	if v.nodes == nil {
		v.nodes = map[string]*nodeVerified{}
	}
	n := v.nodes[string(id)]
	if n == nil {
		n = &nodeVerified{}
		v.nodes[string(id)] = n
	}
	return n
}

// lookOn asks every node that the map names for some chunks which of them it does not hold.
func (u *gets) lookOn(g *get, first uint64, chunks []*eventpb.CopyList) {
	v := &g.copies
	asks := map[string]*eventpb.ContentMissingRequest{}
	for i, list := range chunks {
		e, ok := g.way.peek(first + uint64(i))
		if !ok {
			continue
		}
		for _, held := range list.Copies {
			n := v.node(inos.NodeID(held.Node))
			n.chunks++
			n.stored += e.StoredBytes
			if asks[held.Node] == nil {
				asks[held.Node] = &eventpb.ContentMissingRequest{}
			}
			asks[held.Node].ChunkIds = append(asks[held.Node].ChunkIds, e.ChunkID[:])
		}
	}
	for _, name := range sortedKeys(asks) {
		node := inos.NodeID(name)
		if !u.k.members.alive(node) {
			v.node(node).err = "the node does not answer"
			continue
		}
		v.last++
		v.calls = append(v.calls, &copiesCall{number: v.last, node: node})
		v.underWay++
		g.underWay++
		u.k.content(&g.origin, ask{owner: threadGet, op: opPresent, work: g.work, slot: v.last}, node, event.ContentMissing, asks[name], bulk{})
	}
}

// present takes what a node does not hold.
func (u *gets) present(g *get, a *answer) *inos.Error {
	v := &g.copies
	i := slices.IndexFunc(v.calls, func(x *copiesCall) bool { return x.number == a.slot })
	node := v.calls[i].node
	v.calls = slices.Delete(v.calls, i, i+1)
	v.underWay--
	var r eventpb.ContentMissingReply
	err := a.err
	if err == nil {
		if openErr := event.Open(a.env, &r); openErr != nil || len(r.ChunkIds) > copiesAhead {
			err = inos.Errorf(inos.CodeBadFormat, "content:missing_chunks", "the answer names %d chunks or does not decode: %v", len(r.ChunkIds), openErr)
		}
	}
	if err != nil {
		v.node(node).err = err.Message
		return nil
	}
	for _, id := range r.ChunkIds {
		if len(id) == inos.HashBytes && !u.k.collector.holds(inos.ChunkID(id)) && !u.k.losses.full() {
			u.k.losses.doubt(node, inos.ChunkID(id))
			u.badCopies(g, inos.ChunkID(id), []inos.NodeID{node})
		}
	}
	return nil
}

// badCopies counts the nodes whose copy of a chunk is bad, each once.
func (u *gets) badCopies(g *get, id inos.ChunkID, nodes []inos.NodeID) {
	if u.k.lone() {
		return // the chunk itself is bad: tolerate counts it
	}
	v := &g.copies
	for _, node := range nodes {
		key := copyKey(node, id)
		if v.bad[key] || len(v.bad) >= badCopiesMax {
			continue
		}
		if v.bad == nil {
			v.bad = map[string]bool{}
		}
		v.bad[key] = true
		v.node(node).bad++
		g.isBad(id)
	}
}

// isBad counts a bad copy, or a chunk that no node gave.
func (g *get) isBad(id inos.ChunkID) {
	if g.badCount++; len(g.bad) < badChunksMax {
		g.bad = append(g.bad, slices.Clone(id[:]))
	}
}

// tolerate lets a verification go on behind a bad chunk; anything else fails. The copies of it that were found bad are counted
// already.
func (u *gets) tolerate(g *get, p *part, err *inos.Error, copies int) *inos.Error {
	if !g.verify || err.Code == inos.CodeWorkerLost || err.Code == inos.CodeIO {
		return err
	}
	p.state = partBad
	if copies == 0 || u.k.lone() {
		g.isBad(p.entry.ChunkID)
	}
	return nil
}

// verified answers a verification.
func (u *gets) verified(g *get, detail string) {
	if g.badCount > 0 {
		detail += ", " + plural(g.badCount, "chunk is bad", "chunks are bad")
	}
	r := &eventpb.FilesVerifyReply{Chunks: g.chunks, StoredBytes: g.stored, BadChunkIds: g.bad, Bad: g.badCount}
	var nodes []*eventpb.NodeVerified
	for _, name := range sortedKeys(g.copies.nodes) {
		n := g.copies.nodes[name]
		nodes = append(nodes, &eventpb.NodeVerified{Node: name, Chunks: n.chunks, StoredBytes: n.stored, Bad: n.bad, Error: n.err})
	}
	nameVerified(r, nodes)
	u.k.complete(&g.origin, r, detail)
}
