package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
)

// serving does on this node's disk what other nodes ask, as far as they may.
type serving struct {
	k *Kernel
}

func (u *serving) init(k *Kernel) { u.k = k }

func (u *serving) about() about { return about{name: "serve", kind: "pipeline"} }

func (u *serving) hear(*input)       {}
func (u *serving) answer(*answer)    {}
func (u *serving) act()              {}
func (u *serving) wake() inos.Micros { return 0 }
func (u *serving) code(*coder)       {}

// replied ends a call whose answer members brought late.
func (u *serving) replied(work uint64, m event.Message, err *inos.Error) {}
