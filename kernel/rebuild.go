package kernel

import "github.com/inos-mesh/inos"

// rebuilding makes an emptied map again from what the mesh holds.
type rebuilding struct {
	k *Kernel
}

func (u *rebuilding) init(k *Kernel) { u.k = k }

func (u *rebuilding) about() about { return about{name: "rebuild", kind: "pipeline"} }

func (u *rebuilding) hear(*input)       {}
func (u *rebuilding) answer(*answer)    {}
func (u *rebuilding) act()              {}
func (u *rebuilding) wake() inos.Micros { return 0 }
func (u *rebuilding) code(*coder)       {}

// busy says that the map is not whole yet: no disk is compared with it, and nothing is collected.
func (u *rebuilding) busy() bool { return u.k.node.rebuild }
