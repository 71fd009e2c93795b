package host

import (
	"os"
	"runtime"
)

// processorsMin is how many of the runtime's processors a node has at least that decides and holds in one process. A call that waits for the disk keeps
// its processor until the runtime notices, tens of microseconds to ten milliseconds later; with two of them, two flushes at a time keep the kernel waiting.
const processorsMin = 8

// wideProcessors gives the process that many, unless the environment says how many. The processes of a mesh on one machine are better off without:
// while one waits the others compute, and the more threads there are the more they get in each other's way.
func wideProcessors() {
	if os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) < processorsMin {
		runtime.GOMAXPROCS(processorsMin)
	}
}
