package kernel

import (
	"slices"
	"strconv"

	"github.com/inos-mesh/inos"
)

// startUpTime is how long after its own start a switchboard waits for members that it has not heard of yet: when a whole mesh
// starts, its nodes come one after another.
const startUpTime = 15 * inos.Second

// coming says that a member has not been heard of since this kernel started, and may still be on its way.
func (u *memberships) coming(node inos.NodeID) bool {
	m := u.member(node)
	return m != nil && m.state == liveNever && u.k.now < u.k.node.started+startUpTime
}

// someComing says that there are members which may still be on their way.
func (u *memberships) someComing() bool {
	return u.startedUp() != 0 && slices.ContainsFunc(u.all(), u.coming)
}

// startedUp returns when members are not waited for any more; 0 when that is over.
func (u *memberships) startedUp() inos.Micros {
	if at := u.k.node.started + startUpTime; at > u.k.now {
		return at
	}
	return 0
}

// gathering says for a person how many members have come, while too few have to store anything safely; empty otherwise.
func (u *memberships) gathering() string {
	if !u.ready() || !u.someComing() {
		return ""
	}
	if _, err := u.k.recordQuorum(inos.ReplicasDefault); err == nil {
		return ""
	}
	all, here := u.all(), 0
	for _, node := range all {
		if u.alive(node) {
			here++
		}
	}
	return "waiting for the nodes: " + strconv.Itoa(here) + " of " + strconv.Itoa(len(all)) + " have come"
}
