package host

import (
	"runtime/debug"
	"sync"

	"github.com/inos-mesh/inos/host/mesh"
)

// Bounds of a node's memory by its role: what chunks may take of it, and the soft limit given to Go's collector. That collects when the heap has grown
// by collectorPercent: beside it the process has the kernel's memory and its compiled code, a third of what a node may take.
const (
	collectorPercent       = 50
	bufferBytesMax         = 64 << 20
	providerBufferBytesMax = 24 << 20
	nodeMemoryBytes        = 224 << 20
	providerMemoryBytes    = 96 << 20
)

// collectorLimit is the sum of the limits of the nodes that run in this process, which is one but in tests.
var collectorLimit struct {
	mu    sync.Mutex // guards bytes
	bytes int64
}

// limitMemory adds a node's soft limit, or takes it away.
func limitMemory(bytes int64) {
	collectorLimit.mu.Lock()
	defer collectorLimit.mu.Unlock()
	collectorLimit.bytes += bytes
	debug.SetGCPercent(collectorPercent)
	debug.SetMemoryLimit(max(collectorLimit.bytes, providerMemoryBytes))
}

// memoryBytes returns the soft limit of a role, and what its buffers may take.
func (c *Config) memoryBytes() (limit, buffers int64) {
	if c.mereProvider() {
		return providerMemoryBytes, providerBufferBytesMax
	}
	return nodeMemoryBytes, bufferBytesMax
}

// meshLimits returns the bounds of the node's side of the mesh: a mere provider is given less memory than package mesh takes by itself.
func (c *Config) meshLimits() mesh.Limits {
	l := c.MeshLimits
	if !c.mereProvider() {
		return l
	}
	d := mesh.Limits{ServingBytes: 16 << 20, ServingBytesPerPeer: 12 << 20, WindowBytes: 32 << 20, WindowBytesPerPeer: 12 << 20}
	for _, f := range []struct{ field, value *int }{{&l.ServingBytes, &d.ServingBytes}, {&l.ServingBytesPerPeer, &d.ServingBytesPerPeer}} {
		if *f.field == 0 {
			*f.field = *f.value
		}
	}
	for _, f := range []struct{ field, value *int64 }{{&l.WindowBytes, &d.WindowBytes}, {&l.WindowBytesPerPeer, &d.WindowBytesPerPeer}} {
		if *f.field == 0 {
			*f.field = *f.value
		}
	}
	return l
}
