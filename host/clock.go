package host

import (
	"time"

	"github.com/inos-mesh/inos"
)

// clock gives the node's time. It never goes backwards, whatever is done to the machine's clock: the kernel's deadlines
// and identifiers rely on that.
type clock struct {
	base time.Time
	ask  func() inos.Micros // instead; nil: none
}

func newClock() clock { return clock{base: time.Now()} }

// Now returns microseconds since the Unix epoch: the wall time at start plus the monotonic time since.
func (c clock) Now() inos.Micros {
	if c.ask != nil {
		return c.ask()
	}
	return inos.Micros(c.base.Add(time.Since(c.base)).UnixMicro())
}
