package kernel

import "github.com/inos-mesh/inos"

// records writes the commit record of every version to the nodes that keep it.
type records struct {
	k *Kernel
}

func (u *records) init(k *Kernel) { u.k = k }

func (u *records) about() about { return about{name: "records", kind: "pipeline"} }

func (u *records) hear(*input)       {}
func (u *records) answer(*answer)    {}
func (u *records) act()              {}
func (u *records) wake() inos.Micros { return 0 }
func (u *records) code(*coder)       {}

// nodeGone makes the records that a node held pending again.
func (u *records) nodeGone(node inos.NodeID) {}
