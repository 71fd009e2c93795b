package kernel

import "github.com/inos-mesh/inos"

// startUpTime is how long after its own start a switchboard waits for members that it has not heard of yet: when a whole mesh
// starts, its nodes come one after another.
const startUpTime = 15 * inos.Second

// coming says that a member has not been heard of since this kernel started, and may still be on its way.
func (u *memberships) coming(node inos.NodeID) bool {
	m := u.member(node)
	return m != nil && m.state == liveNever && u.k.now < u.k.node.started+startUpTime
}
