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

// awaited says how many members have come since this switchboard started, of how many, while too few have for a file of the default number of
// replicas to be stored and others may still come.
func (u *memberships) awaited() (come, all int, waiting bool) {
	domains, open := u.domains(inos.ReplicasDefault)
	waiting = open < min(2, domains)
	any := false
	for _, id := range u.all() {
		all++
		if u.coming(id) {
			any = true
		} else if u.table[id].state != liveNever {
			come++
		}
	}
	return come, all, waiting && any
}
