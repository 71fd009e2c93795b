package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
)

// holding is what a receipt says of a put: in which domains all of it is. It starts as nothing known, and each chunk narrows it.
type holding struct {
	counted bool
	domains []string // that hold everything counted, sorted
	least   uint32   // domains that hold the chunk that is on the fewest
}

func (x *holding) code(c *coder) {
	c.bool(&x.counted)
	list(c, &x.domains, fanoutNodesMax, text[string])
	num(c, &x.least)
}

// count narrows it down by the nodes that hold one more chunk, or the record. A chunk may have been found on a node that is being drained, or that the audits
// name: that keeps the file safe, but where the node is nothing can be promised.
func (x *holding) count(k *Kernel, nodes []inos.NodeID, wanted uint32) {
	var domains []string
	for _, node := range nodes {
		if m := k.members.table[node]; m != nil && !m.stays() {
			continue
		}
		if d := k.members.domain(node, wanted); !slices.Contains(domains, d) {
			domains = append(domains, d)
		}
	}
	live := k.members.distinct(nodes, wanted)
	if !x.counted {
		slices.Sort(domains)
		x.counted, x.domains, x.least = true, domains, live
		return
	}
	x.least = min(x.least, live)
	x.domains = slices.DeleteFunc(slices.Clone(x.domains), func(d string) bool { return !slices.Contains(domains, d) })
}

// reach returns where all of a put is by now but for one chunk, which may be nil: what is over was counted, and of what is under way the
// copies that are kept count. With coming those count too that are being written or will be tried again.
func (u *puts) reach(p *put, but *fanout, coming bool) holding {
	x := p.held
	for _, work := range sortedKeys(u.fanouts) {
		if s := u.fanouts[work]; s != but && s.put == p.work && s.reached && !s.dropped {
			nodes := s.kept()
			if coming {
				nodes = append(nodes, s.coming()...)
			}
			x.count(u.k, nodes, p.wanted)
		}
	}
	return x
}

// coming returns the nodes that may have the chunk yet, soon enough to be waited for.
func (s *fanout) coming() []inos.NodeID {
	if s.again != 0 && s.again < s.regainTill {
		return s.nodes(copyAsked, copyFailed, copyPardoned)
	}
	return s.nodes(copyAsked)
}

// scattered says that fewer domains than a quorum hold all of a put, each chunk being in enough, and that writes under way can change
// this: a quorum of each chunk may be another one, and a receipt names those that have everything. A node that drains waits for none.
func (u *puts) scattered(p *put) bool {
	if u.k.lone() || u.k.node.draining {
		return false
	}
	now := u.reach(p, nil, false)
	return len(now.domains) < int(p.quorum) && len(u.reach(p, nil, true).domains) > len(now.domains)
}

// astray returns the domains that hold all of a put but for this chunk, when they are to have it too: else fewer than a quorum would be left
// of those that hold everything. What is under way counts as held.
func (u *puts) astray(s *fanout, p *put) []string {
	domains, _ := u.lacking(s, p)
	return domains
}

// lacking is astray, and says in how many of these domains the chunk lacks a copy.
func (u *puts) lacking(s *fanout, p *put) ([]string, int) {
	rest := u.expected(p, s)
	if !rest.counted {
		return nil, 0
	}
	all := rest
	all.count(u.k, append(s.kept(), s.nodes(copyAsked)...), p.wanted)
	missing := min(int(p.quorum), len(rest.domains)) - len(all.domains)
	if missing <= 0 {
		return nil, 0
	}
	return slices.DeleteFunc(slices.Clone(rest.domains), func(d string) bool { return slices.Contains(all.domains, d) }), missing
}

// expected returns where all of a put but for one chunk is, or is to be. Of chunks that are being written for the first time none can be astray unless
// others were found.
func (u *puts) expected(p *put, but *fanout) holding {
	x := u.reach(p, but, true)
	if !p.mixed {
		return x
	}
	for _, work := range sortedKeys(u.fanouts) {
		if s := u.fanouts[work]; s != but && s.put == p.work && !s.reached && !s.dropped {
			if nodes := append(s.kept(), s.nodes(copyAsked)...); len(nodes) > 0 {
				x.count(u.k, nodes, p.wanted)
			}
		}
	}
	return x
}

// gather has a chunk written to domains that hold all else of its put, also to nodes that the put avoids. As long as every chunk goes to the nodes to
// which the first one went, there is nothing to look at.
func (u *puts) gather(s *fanout, p *put) {
	nodes := append(s.kept(), s.nodes(copyAsked)...)
	slices.Sort(nodes)
	if len(p.drawn) == 0 {
		p.drawn = nodes
	}
	if s.regainTill == 0 && !p.mixed && slices.Equal(nodes, p.drawn) {
		return
	}
	domains := u.astray(s, p)
	if len(domains) == 0 {
		return
	}
	for _, x := range u.k.members.placeWithin(domains, s.home, s.id, s.wanted, s.nodes(copyFailed), s.bytes) {
		if len(s.copies) < fanoutNodesMax || s.copy(x) != nil {
			u.writeTo(s, x)
		}
	}
}

// regain has nodes tried again that failed to take a chunk which is safe without them, since they hold all else of its put: as long as the
// chunk's bytes are at hand, for a while, and not when they do not answer or have refused it.
func (u *puts) regain(s *fanout, p *put) {
	k := u.k
	if !s.reached || p == nil || p.phase != putRunning || k.lone() || k.node.draining || s.output == 0 || s.regainTill != 0 && s.regainTill <= k.now {
		return
	}
	hopeful := func(x *fanoutCopy) bool {
		return (x.state == copyFailed || x.state == copyPardoned) && x.hopeful && k.members.alive(x.node)
	}
	if !slices.ContainsFunc(s.copies, hopeful) {
		return
	}
	domains := u.astray(s, p)
	if !slices.ContainsFunc(s.copies, func(x *fanoutCopy) bool {
		return hopeful(x) && slices.Contains(domains, k.members.domain(x.node, p.wanted))
	}) {
		return
	}
	if s.regainTill == 0 {
		s.regainTill = k.now + regainPatience
		if p.deadline != 0 {
			s.regainTill = min(s.regainTill, k.now+(p.deadline-k.now)/2)
		}
	}
	if s.again == 0 && k.now+2*regainEvery <= s.regainTill { // the last try has a moment too
		s.again = k.now + regainEvery
	}
}
