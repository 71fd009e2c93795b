package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
)

// A node that does not end a write in the time in which nearly all of its writes end is not waited for alone, as with reads (fetch.go): another node
// is asked in its place while the bytes are at hand, and for a moment the put, and everybody who has a choice, prefers others. The first try of a write
// is given up after twice that time, for a node that is stopped would keep the bytes in memory; where there is no other node, the next try has all the time of a
// call. None of this counts as a failure to answer: a slow disk is slow, and its copy counts when it comes in time.

// writePatience returns how long to wait for a node's write before another is asked too.
func (u *memberships) writePatience(node inos.NodeID) inos.Micros {
	m := u.table[node]
	if m == nil || m.writes.count < hedgeSamples {
		return writeHedgeDefault
	}
	return min(max(3*m.writes.percentile(95), writeHedgeMin), writeHedgeMax)
}

// writeTimeout returns how long a write may take: on the first try not long.
func (u *memberships) writeTimeout(node inos.NodeID, tries uint32) inos.Micros {
	if tries > 0 || u.k.lone() {
		return 0 // that of any call
	}
	return 2 * u.writePatience(node)
}

// impatient says that a call was given up sooner than others are: its end says that the node is slow, not that it is silent.
func (f *flight) impatient(now inos.Micros) bool {
	return f.inner == event.ContentWrite && f.deadline-f.started < stallAfter(f.inner) && f.deadline <= now
}

// expect notes until when a write just asked for is waited for alone.
func (u *puts) expect(x *fanoutCopy) {
	if u.k.lone() {
		return
	}
	at := u.k.now + u.k.members.writePatience(x.node)
	x.slow, x.slowAt = false, at+hedgeGrid-at%hedgeGrid // few moments to look, however many chunks are on their way
	u.hedgeAt = earlier(u.hedgeAt, x.slowAt)
}

// hedge asks other nodes in the place of those that are slow, and finds when to look again.
func (u *puts) hedge() {
	k := u.k
	if u.hedgeAt == 0 || u.hedgeAt > k.now {
		return
	}
	u.hedgeAt = 0
	for _, work := range sortedKeys(u.fanouts) {
		s, late := u.fanouts[work], false
		for _, x := range s.copies {
			switch {
			case x.state != copyAsked || x.slow || x.slowAt == 0:
			case x.slowAt > k.now:
				u.hedgeAt = earlier(u.hedgeAt, x.slowAt)
			default:
				x.slow, late = true, true
				k.members.busy(x.node)
				if p := u.table[s.put]; p != nil {
					p.avoid[string(x.node)] = k.now + avoidFor
				}
			}
		}
		if p := u.table[s.put]; late && p != nil && p.phase == putRunning && s.output != 0 {
			u.extend(s, p.avoided(k.now))
			u.advance(p) // it may read on
		}
	}
}

// slowNodes returns the nodes that have had their time and whose writes are under way still.
func (s *fanout) slowNodes() (out []inos.NodeID) {
	for _, x := range s.copies {
		if x.state == copyAsked && x.slow {
			out = append(out, x.node)
		}
	}
	return out
}

// lags says that nothing but slow writes is under way.
func (s *fanout) lags() bool {
	return s.again == 0 && s.any(copyAsked) && !slices.ContainsFunc(s.copies, func(x *fanoutCopy) bool { return x.state == copyAsked && !x.slow })
}
