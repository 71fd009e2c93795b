//go:build wasip1

// Command wasm is the kernel as a wasip1 reactor: kernel.wasm. A host calls _initialize once, then the exports below, one
// at a time; nothing runs between calls. After a trap the instance must be thrown away.
//
// Memory: the host writes into what inos_alloc returned and gives it back with inos_free, after the call that read it. What
// an export returns as ptr<<32|len belongs to the kernel and is valid until the next call of any export.
package main

import (
	"encoding/binary"
	"runtime/debug"
	"unsafe"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/kernel"
)

const abiVersion = 1

// Results of inos_restore.
const (
	restoreOK       = 0
	restoreTooLarge = 1
	restoreInvalid  = 2
)

// snapshotBytesMax bounds a snapshot that is handed in.
const snapshotBytesMax = 256 << 20

var (
	brain       = kernel.New()
	out         []byte
	allocations = map[uintptr][]byte{} // keeps what the host writes to from being collected
	snapshot    []byte                 // what is left to hand out
	taking      bool
	restoring   []byte
	undecodable uint64 // steps given bytes that are no envelope: the host sends none
	wake        inos.Micros
)

// A collection costs the same whether there is much or little to collect, and far more here than natively: it is put off until
// tens of MiB have been allocated, within a limit below the memory that the engine grants.
func init() {
	debug.SetGCPercent(1000)
	debug.SetMemoryLimit(heapBytesSoft)
}

// heapBytesSoft is where the collector stops putting off.
const heapBytesSoft = 80 << 20

func main() {}

//go:wasmexport inos_abi
func abi() uint32 { return abiVersion }

// alloc returns n bytes for the host to write to.
//
//go:wasmexport inos_alloc
func alloc(n uint32) uint32 {
	b := make([]byte, max(n, 1))
	p := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	allocations[p] = b
	return uint32(p)
}

//go:wasmexport inos_free
func free(ptr, _ uint32) { delete(allocations, uintptr(ptr)) }

func input(ptr, n uint32) []byte {
	b, ok := allocations[uintptr(ptr)]
	if !ok || uint32(len(b)) < n {
		panic("kernel: the host passed memory that inos_alloc did not return")
	}
	return b[:n]
}

func result(b []byte) uint64 {
	if len(b) == 0 {
		return 0
	}
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))<<32 | uint64(len(b))
}

// step takes one encoded envelope, which the host has held to the standard (event.Check), and returns the time of the next wanted
// tick (8 bytes) and the effects, each behind its length (4 bytes); integers are little-endian. Bytes that are no envelope have no
// effects and do not change the wanted time.
//
//go:wasmexport inos_step
func step(now int64, ptr, n uint32) uint64 {
	e := &eventpb.Envelope{}
	if e.UnmarshalVT(input(ptr, n)) != nil {
		undecodable++
		out = binary.LittleEndian.AppendUint64(out[:0], uint64(wake))
		return result(out)
	}
	effects := brain.Step(inos.Micros(now), e)
	wake = effects.Wake
	out = binary.LittleEndian.AppendUint64(out[:0], uint64(wake))
	for _, e := range effects.Out {
		at := len(out)
		out = append(out, 0, 0, 0, 0)
		out = event.Encode(out, e)
		binary.LittleEndian.PutUint32(out[at:], uint32(len(out)-at-4))
	}
	return result(out)
}

// takeSnapshot returns the snapshot's next piece of at most limit bytes; the first call takes it, an empty piece ends it.
//
//go:wasmexport inos_snapshot
func takeSnapshot(limit uint32) uint64 {
	if !taking {
		snapshot, taking = brain.Snapshot(), true
	}
	n := min(len(snapshot), int(limit))
	piece := snapshot[:n]
	if snapshot = snapshot[n:]; n == 0 {
		snapshot, taking = nil, false
	}
	return result(piece)
}

// restore takes a snapshot's next piece and with the last one replaces the kernel's state.
//
//go:wasmexport inos_restore
func restore(ptr, n, last uint32) int32 {
	if len(restoring)+int(n) > snapshotBytesMax {
		restoring = nil
		return restoreTooLarge
	}
	restoring = append(restoring, input(ptr, n)...)
	if last == 0 {
		return restoreOK
	}
	b := restoring
	restoring = nil
	if brain.Restore(b) != nil {
		return restoreInvalid
	}
	return restoreOK
}
