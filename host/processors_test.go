package host

import (
	"runtime"
	"testing"
)

// A node that does everything widens the process, and leaves alone what the environment says.
func TestWideProcessors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	t.Setenv("GOMAXPROCS", "2")
	if wideProcessors(); runtime.GOMAXPROCS(0) != 2 {
		t.Errorf("%d processors where the environment says 2", runtime.GOMAXPROCS(0))
	}
	t.Setenv("GOMAXPROCS", "")
	if wideProcessors(); runtime.GOMAXPROCS(0) != processorsMin {
		t.Errorf("%d processors, not %d", runtime.GOMAXPROCS(0), processorsMin)
	}
}
