package kernel

import "github.com/inos-mesh/inos"

// changes deletes files and sets their replicas: changes of the namespace without a body.
type changes struct {
	k *Kernel
}

func (u *changes) init(k *Kernel) { u.k = k }

func (u *changes) about() about { return about{name: "change", kind: "pipeline"} }

func (u *changes) hear(*input)       {}
func (u *changes) answer(*answer)    {}
func (u *changes) act()              {}
func (u *changes) wake() inos.Micros { return 0 }
func (u *changes) code(*coder)       {}
