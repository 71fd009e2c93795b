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

// count narrows it down by the nodes that hold one more chunk, or the record.
func (x *holding) count(k *Kernel, nodes []inos.NodeID, wanted uint32) {
	var domains []string
	for _, node := range nodes {
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

// reach returns where a put is by now: what is over was counted, and of what is under way the copies in one of the states count.
func (u *puts) reach(p *put, states ...uint8) holding {
	x := p.held
	for _, work := range sortedKeys(u.fanouts) {
		if s := u.fanouts[work]; s.put == p.work && s.reached && !s.dropped {
			x.count(u.k, s.nodes(states...), p.wanted)
		}
	}
	return x
}

// scattered says that fewer domains than a quorum hold all of a put, each chunk being in enough, and that writes under way can change
// this: a quorum of each chunk may be another one, and a receipt names those that have everything.
func (u *puts) scattered(p *put) bool {
	if u.k.lone() {
		return false
	}
	now := u.reach(p, copyWritten, copyStaging, copyNamed)
	return len(now.domains) < int(p.quorum) && len(u.reach(p, copyAsked, copyWritten, copyStaging, copyNamed).domains) > len(now.domains)
}
