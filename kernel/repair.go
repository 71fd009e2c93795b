package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// repairs keeps every chunk at its wanted number of domains.
type repairs struct {
	k *Kernel
}

func (u *repairs) init(k *Kernel) { u.k = k }

func (u *repairs) about() about { return about{name: "repair", kind: "pipeline"} }

func (u *repairs) hear(*input)       {}
func (u *repairs) answer(*answer)    {}
func (u *repairs) act()              {}
func (u *repairs) wake() inos.Micros { return 0 }
func (u *repairs) code(*coder)       {}

// gone begins the repair of what a node held that did not come back.
func (u *repairs) gone(node inos.NodeID) {}

// busy says that a copy of the chunk is being made or trimmed.
func (u *repairs) busy(id inos.ChunkID) bool { return false }

// describe says how repair goes on.
func (u *repairs) describe(*eventpb.RepairsListReply) {}
