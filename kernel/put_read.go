package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// How fast puts read, and how they tell of it.

// activeCode codes an active put by its number.
func (u *puts) activeCode(c *coder, p **put) {
	var work uint64
	if !c.reading {
		work = (*p).work
	}
	if num(c, &work); c.reading {
		if *p = u.table[work]; *p == nil {
			c.fail("put %d is active and not in its table", work)
		}
	}
}

// read asks for the next chunk of every put that may have one more in work. Each round starts one behind the last.
func (u *puts) read() {
	if len(u.active) == 0 || u.k.losses.full() || len(u.fanouts) >= fanoutsMax/2 {
		return
	}
	window := u.window()
	first := len(u.active)
	for i, p := range u.active {
		if p.assembles() {
			if !u.readSlots(p, window) {
				first = i
				break
			}
			continue
		}
		if p.phase != putRunning || p.reading || p.ended || len(p.chunks) >= window || len(p.rows)+len(p.staging) >= pendingRowsMax || u.late(p) >= latePerPutMax {
			continue
		}
		if !u.k.reserve(&u.buffers, 3) {
			first = i // the next room is for this one
			break
		}
		x := &chunk{index: p.next, state: chunkReading, input: u.k.buffer()}
		q := &eventpb.StreamReadRequest{Stream: p.stream, Output: x.input, MaxBytes: inos.ChunkBytesMax, OffsetBytes: x.index * inos.ChunkBytesMax}
		if p.piece {
			q.MaxBytes, q.OffsetBytes = uint32(p.length), 0
		} else {
			x.raw = x.input | rawBuffer
			q.RawOutput = x.raw
		}
		p.next++
		p.reading = true
		p.chunks = append(p.chunks, x)
		u.send(p, opRead, x.index, event.StreamRead, 0, q)
	}
	if first < len(u.active) {
		u.active = append(u.active[first:len(u.active):len(u.active)], u.active[:first]...)
	}
}

// window returns how many chunks each active put may have in work: enough to keep every worker busy and the next chunks
// read when there is one put, a fair share when there are many.
func (u *puts) window() int {
	running := 0
	for _, p := range u.active {
		if p.phase == putRunning {
			running++
		}
	}
	lone := 4*int(u.k.node.workers) + 4
	share := int(u.k.node.bufferBytesMax/chunkReserveBytes) * 3 / 4 / max(1, running)
	return min(max(2, share), lone, chunksPerPutMax)
}

// report sends progress, not too often.
func (u *puts) report(p *put) {
	if p.phase != putRunning || p.tree.plain == p.progress.bytes {
		return
	}
	if u.k.now-p.progress.at < progressEvery && p.tree.plain-p.progress.bytes < progressBytes {
		return
	}
	p.progress.at, p.progress.bytes = u.k.now, p.tree.plain
	u.k.progress(&p.origin, &eventpb.FilesPutProgress{PlainBytes: p.tree.plain, StoredBytes: p.stored, Chunks: p.tree.chunks})
}
