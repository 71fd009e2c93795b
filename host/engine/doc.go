// Package engine runs WebAssembly for a node. It has two halves that share nothing but the way a module is loaded:
//
//   - Kernel runs kernel.wasm inside the node's own process: one instance, one goroutine, steps of microseconds.
//   - Pool runs modules in child processes, one per slot, each of them RunWorker: a guest call cannot be interrupted
//     from within its process, so work that may hang or eat memory lives where it can be killed.
//
// # Who owns which memory
//
// Kernel.Step copies its envelope into the guest before it runs and keeps no reference. The effects it returns are
// views of guest memory: they are read-only and end with the next call of any method of the kernel.
//
// Pool.Call reads the envelope and the bulk, and fills out, at any time until it returns, and at no time after. What
// it returns belongs to the caller; bulkOut shares memory with out when it fits there.
//
// A worker reads a frame from its pipe straight into guest memory and writes the answer straight from it. The input
// buffer is the guest's, reused from call to call; an answer lives until the next call of the guest.
//
// # What this package leaves out
//
// It knows no event but module:manifest. It decides nothing: which slot gets a call, when a worker is killed and when
// it starts again are decisions of the kernel's supervisor. It has no deadline of its own but those named in limits.go.
package engine
