package kernel

import "github.com/inos-mesh/inos"

// challenges audits: it has nodes prove that they hold what the map says.
type challenges struct {
	k *Kernel
}

func (u *challenges) init(k *Kernel) { u.k = k }

func (u *challenges) about() about { return about{name: "challenge", kind: "watcher"} }

func (u *challenges) hear(*input)       {}
func (u *challenges) answer(*answer)    {}
func (u *challenges) act()              {}
func (u *challenges) wake() inos.Micros { return 0 }
func (u *challenges) code(*coder)       {}

// complained asks for the audit of a copy whose bytes did not verify for a reader.
func (u *challenges) complained(node inos.NodeID, id inos.ChunkID) {}

// want asks for the audit of a copy that others are to be trimmed for.
func (u *challenges) want(node inos.NodeID, id inos.ChunkID) {}
