package engine

import (
	"time"

	"github.com/inos-mesh/inos/event"
)

// Bounds of the engine. Sizes are bytes.
const (
	// KernelMemoryBytesMax bounds the linear memory of the kernel. A small mesh takes some tens of MiB; inos.MembersMax members whose calls were all measured
	// take about 180, and a snapshot of them as much again while it is made.
	KernelMemoryBytesMax = 512 << 20
	// WorkerMemoryBytesMax bounds the linear memory of a module, whatever its manifest or the caller asks for. With the
	// process around it a worker stays below 150 MiB.
	WorkerMemoryBytesMax = 96 << 20
	// SnapshotBytesMax bounds a snapshot of the kernel.
	SnapshotBytesMax = 64 << 20
	// CallsPerWorkerMax bounds the calls a worker's process has taken: one computes while the next is written.
	CallsPerWorkerMax = 2
	// CallsQueuedMax bounds the calls of one slot, those waiting for their turn included.
	CallsQueuedMax = 64
	// SlotsMax bounds the slots of a pool.
	SlotsMax = 256
	// ServicesMax bounds the services that a module declares.
	ServicesMax = 256

	frameBytesMax       = event.GuestBytesMax // of a frame, without its length
	snapshotPieceBytes  = 1 << 20             // asked of the kernel, and given to it, at once
	inputBytesMin       = 64 << 10            // first size of a guest's input buffer
	logBytesMax         = 8 << 10             // kept of what a guest or a worker writes to its standard error
	kernelSleepMax      = time.Second         // a guest may ask to sleep this long in one step; time jumps, nothing waits
	workerHeapBytesSoft = 40 << 20            // Go's own heap in a worker
	pipeBytes           = 1 << 20             // of a pipe to or from a worker
	stopGrace           = 5 * time.Second     // from the end of a worker's input to its kill
	lastReplyGrace      = 5 * time.Second     // to read what an ended worker left in its pipe
)
