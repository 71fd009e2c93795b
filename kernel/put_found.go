package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// A chunk that was found is relied on only when a quorum of domains says that it holds it: the semantic memory does not see a file
// that somebody removed, nor a node that has lost its disk.

// probe is a node that is asked whether it holds chunks that were found.
type probe struct {
	node    inos.NodeID
	indexes []uint64 // of the chunks
	ended   bool
}

func (x *probe) code(c *coder) {
	text(c, &x.node)
	list(c, &x.indexes, chunksPerPutMax, num[uint64])
	c.bool(&x.ended)
}

// checkFound asks who holds the chunks that were found. On a mesh of one node there is nobody but itself to be asked.
func (u *puts) checkFound(p *put) {
	if len(p.check) == 0 || len(p.checking) > 0 {
		return
	}
	p.checking, p.check = p.check, nil
	var ids [][]byte
	for _, index := range p.checking {
		x := p.chunk(index)
		x.found = x.entry.ChunkID
		ids = append(ids, x.found[:])
	}
	if !u.k.lone() {
		u.send(p, opFoundCopies, 0, event.ChunkCopies, 0, &eventpb.ChunkCopiesRequest{ChunkIds: ids})
		return
	}
	for _, index := range p.checking {
		p.chunk(index).have = []inos.NodeID{u.k.self()}
	}
	u.ask(p, u.k.self(), p.checking)
}

// ask asks a node which of the chunks it does not hold.
func (u *puts) ask(p *put, node inos.NodeID, indexes []uint64) {
	q := &eventpb.ContentMissingRequest{}
	for _, index := range indexes {
		id := p.chunk(index).found
		q.ChunkIds = append(q.ChunkIds, id[:])
	}
	p.probes = append(p.probes, probe{node: node, indexes: indexes})
	p.underWay++
	u.k.content(&p.origin, ask{owner: threadPut, op: opMissing, work: p.work, slot: uint64(len(p.probes) - 1)}, node, event.ContentMissing, q, bulk{timeout: probeDeadline})
}

// located takes the copies that the semantic memory knows: each node that is alive and trusted is asked.
func (u *puts) located(p *put, a *answer) *inos.Error {
	k := u.k
	var r eventpb.ChunkCopiesReply
	err := a.err
	if err == nil {
		if openErr := event.Open(a.env, &r); openErr != nil || len(r.Chunks) != len(p.checking) {
			err = inos.Errorf(inos.CodeInternal, "semantic:chunk_copies", "%d answers to %d questions", len(r.Chunks), len(p.checking))
		}
	}
	if err != nil {
		u.unliveFound(p, p.checking)
		p.checking = nil
		return err
	}
	by := map[string][]uint64{}
	for i, index := range p.checking {
		x := p.chunk(index)
		for _, c := range r.Chunks[i].Copies {
			node := inos.NodeID(c.Node)
			if c.Trusted && k.members.alive(node) && !k.losses.holds(node, x.found) && len(x.have) < fanoutNodesMax {
				x.have = append(x.have, node)
			}
		}
		if k.members.distinct(x.have, p.wanted) < p.quorum {
			continue // not worth a question
		}
		for _, node := range x.have {
			by[string(node)] = append(by[string(node)], index)
		}
	}
	for _, node := range sortedKeys(by) {
		if len(p.probes) < probesMax {
			u.ask(p, inos.NodeID(node), by[node])
		}
	}
	return u.probed(p)
}

// checked takes what a node does not hold: its copy is doubted. One that does not answer does not count.
func (u *puts) checked(p *put, a *answer) *inos.Error {
	k := u.k
	x := &p.probes[a.slot]
	x.ended = true
	var r eventpb.ContentMissingReply
	err := a.err
	if err == nil {
		if openErr := event.Open(a.env, &r); openErr != nil {
			err = inos.Errorf(inos.CodeInternal, "content:missing_chunks", "%w", openErr)
		}
	}
	if err != nil && k.lone() {
		u.unliveFound(p, p.checking)
		p.checking, p.probes = nil, nil
		return err
	}
	for _, index := range x.indexes {
		y := p.chunk(index)
		gone := slices.ContainsFunc(r.ChunkIds, func(id []byte) bool { return string(id) == string(y.found[:]) })
		if err == nil && !gone {
			continue
		}
		y.have = slices.DeleteFunc(y.have, func(node inos.NodeID) bool { return node == x.node })
		if gone && !k.losses.full() {
			k.losses.doubt(x.node, y.found)
		}
	}
	return u.probed(p)
}

// probed goes on when every node has answered: chunks that a quorum holds are pinned, the others are encoded and written again.
func (u *puts) probed(p *put) *inos.Error {
	if slices.ContainsFunc(p.probes, func(x probe) bool { return !x.ended }) {
		return nil
	}
	checking := p.checking
	p.checking, p.probes = nil, nil
	if p.assembles() && u.lack(p, checking) {
		return nil
	}
	for i, index := range checking {
		x := p.chunk(index)
		if u.k.members.distinct(x.have, p.wanted) >= p.quorum {
			p.pin = append(p.pin, index)
			continue
		}
		u.k.collector.unlive(x.found)
		u.missed(p, x)
		if p.phase != putRunning { // a module call was refused; what is in pin was let go with it
			u.unliveFound(p, checking[i+1:])
			return nil
		}
	}
	return nil
}

// sure says that a quorum still holds a chunk that was found: none of its copies that count is in doubt.
func (u *puts) sure(p *put, x *chunk) bool {
	sound := slices.DeleteFunc(slices.Clone(x.have), func(node inos.NodeID) bool { return u.k.losses.holds(node, x.found) })
	return u.k.members.distinct(sound, p.wanted) >= p.quorum
}
