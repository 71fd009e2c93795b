package host

import (
	"time"

	"github.com/inos-mesh/inos"
)

// clock gives the node's time. It never goes backwards, whatever is done to the machine's clock: the kernel's deadlines
// and identifiers rely on that.
type clock struct{ base time.Time }

func newClock() clock { return clock{time.Now()} }

// Now returns microseconds since the Unix epoch: the wall time at start plus the monotonic time since.
func (c clock) Now() inos.Micros {
	return inos.Micros(c.base.Add(time.Since(c.base)).UnixMicro())
}
