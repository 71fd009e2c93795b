package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Chunks that were found are where an earlier file has them. What is new of a put goes there too, as far as that is known when its first chunk is
// written. A chunk that was found elsewhere than the rest is brought there: it is read once more, and written to as many domains as a quorum
// lacks of those that have everything. So the receipt names a quorum whatever the chunks were before. The copies that this makes beyond those wanted
// are surplus like any other.

// undecided says that the first chunk of a put waits: another may be found yet, and then it goes to where that one is.
func (u *puts) undecided(p *put) bool {
	return len(p.drawn) == 0 && !p.mixed && !p.piece && !u.k.lone() && len(p.ask)+len(p.asking)+len(p.check)+len(p.checking)+len(p.pin)+len(p.pinning) > 0
}

// beside has a chunk that is new written first of all to domains that hold what was found, and returns the nodes.
func (u *puts) beside(s *fanout, p *put, avoid []inos.NodeID) []inos.NodeID {
	rest := u.expected(p, s)
	if len(rest.domains) == 0 {
		return nil
	}
	nodes := u.k.members.placeWithin(rest.domains, s.home, s.id, s.wanted, avoid, s.bytes)
	for _, node := range nodes {
		u.writeTo(s, node)
	}
	return nodes
}

// carrier is what writes a chunk that was found to further nodes. It is durable where it is, and its row as well.
func (u *puts) carrier(p *put, x *chunk) *fanout {
	s := &fanout{
		slot: x.index, put: p.work, id: x.found, home: keyOfUpload(p.home()), bytes: x.entry.StoredBytes, trace: p.trace, meta: p.meta,
		wanted: p.wanted, quorum: p.quorum, reached: true, rowed: true,
	}
	for _, node := range x.have {
		s.copies = append(s.copies, &fanoutCopy{node: node, state: copyNamed})
	}
	return s
}

// lacksIt returns in how many domains that hold all else of a put a chunk that was found is to be brought.
func (u *puts) lacksIt(p *put, s *fanout) int {
	if u.k.lone() || u.k.node.draining || len(u.fanouts) >= fanoutsMax/2 {
		return 0
	}
	domains, missing := u.lacking(s, p)
	return min(missing, len(u.targets(p, s, domains)))
}

func (u *puts) targets(p *put, s *fanout, domains []string) []inos.NodeID {
	if len(domains) == 0 {
		return nil
	}
	return u.k.members.placeWithin(domains, s.home, s.id, s.wanted, s.nodes(copyNamed), s.bytes)
}

// stays has a chunk that was found count where it is.
func (u *puts) stays(p *put, x *chunk) {
	p.held.count(u.k, x.have, p.wanted)
	u.wantMore(p, x.found, x.have, p.wanted)
}

// bring fetches a chunk that is to be written elsewhere too. Its plain bytes stay until it is seen that a quorum holds it.
func (u *puts) bring(p *put, x *chunk) {
	var copies []*eventpb.Copy
	for _, node := range x.have {
		copies = append(copies, &eventpb.Copy{Node: string(node), Trusted: true})
	}
	p.underWay++
	u.k.fetch(&p.origin, ask{owner: threadPut, op: opBring, work: p.work, slot: x.index}, x.found, x.entry.StoredBytes, copies)
}

// brought writes it. Where it cannot be read now the put goes on without: the chunk is safe where it was found. Copies that the read found bad count no
// more; is it on too few nodes without them, then it is written as a new one.
func (u *puts) brought(p *put, a *answer) {
	x := p.chunk(a.slot)
	x.stray = false
	x.have = slices.DeleteFunc(slices.Clone(x.have), func(node inos.NodeID) bool { return slices.Contains(a.bad, node) || u.k.losses.holds(node, x.found) })
	if u.k.members.distinct(x.have, p.wanted) < p.quorum {
		u.renew(p, x, a)
		return
	}
	u.k.release(&x.input, &x.raw)
	s := u.carrier(p, x)
	domains, missing := u.lacking(s, p)
	targets := u.targets(p, s, domains)
	if a.err != nil || missing == 0 || len(targets) == 0 || u.k.holds(x.found) {
		u.k.release(&a.buffer)
		u.stays(p, x)
		u.done(p, x)
		return
	}
	s.work, s.output, s.reserved = u.k.work(), a.buffer, true
	u.k.collector.live(s.id)
	u.fanouts[s.work] = s
	p.writes = append(p.writes, s.work)
	x.fanout, x.state = s.work, chunkWriting
	for _, node := range targets[:min(missing, len(targets))] {
		u.writeTo(s, node)
	}
	u.done(p, x)
}

// renew writes a chunk that was found and is on too few nodes, or encodes it once more when nobody gave it.
func (u *puts) renew(p *put, x *chunk, a *answer) {
	if !p.assembles() {
		p.saved -= uint64(x.bytes)
	}
	if a.err != nil {
		u.missed(p, x)
		return
	}
	u.k.release(&x.input, &x.raw)
	x.output = a.buffer
	u.formed(p, x)
}

// unbrought takes a lost copy off a chunk that is still to be brought: whether enough of it is left is looked at when it is (brought).
func (p *put) unbrought(node inos.NodeID, id inos.ChunkID) {
	for _, x := range p.chunks {
		if x.stray && x.found == id {
			x.have = slices.DeleteFunc(slices.Clone(x.have), func(n inos.NodeID) bool { return n == node })
		}
	}
}
