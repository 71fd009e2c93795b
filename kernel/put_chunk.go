package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// States of a chunk of a put.
const (
	chunkReading = iota
	chunkAsking  // its plain hash is looked up
	chunkTwin    // waits for an equal chunk of this put
	chunkKnown   // found; pinned and described side by side
	chunkEncoding
	chunkHeld // waits until its id may be written (Kernel.holds), there is room, and it is known where the put's chunks go (puts.undecided)
	chunkWriting
	chunkDone
	chunkStates
)

// rawBuffer and the number of the buffer with a chunk's plain bytes make the number of the one with its raw stored form: the host has both in
// the same memory.
const rawBuffer = 1 << 62

// chunk is one chunk of a put in work.
type chunk struct {
	index  uint64
	state  uint8
	bytes  uint32
	hash   inos.PlainHash
	input  uint64     // buffer of plain bytes
	output uint64     // buffer of the stored form
	raw    uint64     // buffer of the raw stored form, of bytes that do not compress; 0: the host made none
	offer  inos.Entry // of raw
	entry  inos.Entry
	twin   uint64        // the equal chunk that it waits for
	fanout uint64        // that writes it
	found  inos.ChunkID  // what have is of
	have   []inos.NodeID // of a known one: nodes that hold it, by what they say
	pinned bool          // of a known one
	told   bool          // of a known one: described
	miss   bool          // of a known one that turned out to be gone
	stray  bool          // of a known one: to be brought to where the rest of the put is
	room
}

func (x *chunk) code(c *coder) {
	num(c, &x.index)
	num(c, &x.state)
	if x.state >= chunkStates {
		c.fail("chunk state %d", x.state)
	}
	num(c, &x.bytes)
	c.fixed(x.hash[:])
	num(c, &x.input)
	num(c, &x.output)
	num(c, &x.raw)
	c.entry(&x.offer)
	c.entry(&x.entry)
	num(c, &x.twin)
	num(c, &x.fanout)
	c.fixed(x.found[:])
	list(c, &x.have, fanoutNodesMax, text[inos.NodeID])
	c.bool(&x.pinned)
	c.bool(&x.told)
	c.bool(&x.miss)
	c.bool(&x.stray)
	x.room.code(c)
}

// chunk returns the chunk in work with an index.
func (p *put) chunk(index uint64) *chunk {
	if len(p.chunks) == 0 || index < p.chunks[0].index || index-p.chunks[0].index >= uint64(len(p.chunks)) {
		panic("kernel: a put's chunk is not in work")
	}
	return p.chunks[index-p.chunks[0].index]
}

// hasRead takes the next bytes of the body.
func (u *puts) hasRead(p *put, a *answer) *inos.Error {
	p.reading = false
	x := p.chunk(a.slot)
	if a.err != nil {
		x.input, x.raw = 0, 0 // nothing filled them
		return a.err
	}
	var r eventpb.StreamReadReply
	if err := x.filled(a, &r); err != nil {
		return err
	}
	if p.piece {
		return u.arrived(p, x, &r)
	}
	p.got += uint64(r.Bytes)
	p.ended = r.End
	switch {
	case r.Bytes > inos.ChunkBytesMax, r.Bytes < inos.ChunkBytesMax && !r.End, r.Bytes > 0 && len(r.PlainHash) != inos.HashBytes:
		return inos.Errorf(inos.CodeInternal, "stream:read", "the host read %d bytes and a hash of %d, end %t", r.Bytes, len(r.PlainHash), r.End)
	case p.length >= 0 && p.got > uint64(p.length):
		return inos.Errorf(inos.CodeBadRequest, "read body", "the body is longer than the %d bytes announced", p.length)
	case p.quota != nil && p.quota.PlainBytes != 0 && p.got > p.quota.PlainBytes:
		return inos.Errorf(inos.CodeQuotaExceeded, "read body", "the body is longer than the owner's quota")
	case r.End && p.length >= 0 && p.got < uint64(p.length):
		return inos.Errorf(inos.CodeBodyTruncated, "read body", "the body ended after %d of %d bytes", p.got, p.length)
	case r.Bytes == 0: // the body ended on a chunk's boundary, or is empty
		u.k.release(&x.input, &x.raw)
		u.k.unreserve(&u.buffers)
		p.chunks = p.chunks[:len(p.chunks)-1]
		p.next--
		return nil
	}
	x.bytes = r.Bytes
	x.hash = inos.PlainHash(r.PlainHash)
	if err := x.offered(&r); err != nil {
		return err
	}
	if t, ok := p.twins[string(x.hash[:])]; ok {
		if !t.done {
			x.state, x.twin = chunkTwin, t.index
			return nil
		}
		p.saved += uint64(x.bytes)
		x.entry, x.have, x.pinned = t.entry, t.have, true // this put has or will have its row
		u.describe(p, x)
		return nil
	}
	if len(p.twins) < twinsMax {
		p.twins[string(x.hash[:])] = twin{index: x.index}
	}
	x.state = chunkAsking
	p.ask = append(p.ask, x.index)
	return nil
}

// filled opens the reply to a read, which says whether the host filled both buffers.
func (x *chunk) filled(a *answer, r *eventpb.StreamReadReply) *inos.Error {
	if err := event.Open(a.env, r); err != nil {
		return inos.Errorf(inos.CodeInternal, "stream:read", "%w", err)
	}
	if len(r.RawEntry) == 0 {
		x.raw = 0
	}
	return nil
}

// offered takes the entry of the raw stored form, when the host has made it.
func (x *chunk) offered(r *eventpb.StreamReadReply) *inos.Error {
	if x.raw == 0 {
		return nil
	}
	entry, err := inos.ParseEntry(r.RawEntry)
	if err != nil || entry.PlainHash != x.hash || entry.PlainBytes != uint64(x.bytes) || entry.Chunks != 1 || entry.Codec != inos.CodecRaw ||
		entry.StoredBytes <= entry.PlainBytes || entry.StoredBytes > inos.StoredBytesMax {
		return inos.Errorf(inos.CodeInternal, "stream:read", "the raw form of %d bytes has the entry of another chunk", x.bytes)
	}
	x.offer = entry
	return nil
}

// look asks for what the owner holds already: one call at a time, so that the calls of a fast body grow.
func (u *puts) look(p *put) {
	if len(p.ask) == 0 || len(p.asking) > 0 {
		return
	}
	n := min(len(p.ask), findsPerCall)
	p.asking, p.ask = slices.Clone(p.ask[:n]), slices.Clone(p.ask[n:])
	q := &eventpb.FindChunksRequest{Owner: string(p.owner)}
	for _, index := range p.asking {
		q.PlainHashes = append(q.PlainHashes, p.chunk(index).hash[:])
	}
	u.send(p, opFind, 0, event.FindChunks, 0, q)
}

// found takes what the owner holds: known chunks are pinned and described, the others are encoded.
func (u *puts) found(p *put, a *answer) *inos.Error {
	asked := p.asking
	p.asking = nil
	if a.err != nil {
		return a.err
	}
	var r eventpb.FindChunksReply
	if err := event.Open(a.env, &r); err != nil {
		return inos.Errorf(inos.CodeInternal, "semantic:find_chunks", "%w", err)
	}
	if len(r.Entries) != len(asked) {
		return inos.Errorf(inos.CodeInternal, "semantic:find_chunks", "%d answers to %d questions", len(r.Entries), len(asked))
	}
	for i, index := range asked {
		if p.phase != putRunning {
			return nil // a module call was refused and the put has failed
		}
		x := p.chunk(index)
		if len(r.Entries[i]) == 0 {
			u.encode(p, x)
			continue
		}
		entry, err := inos.ParseEntry(r.Entries[i])
		if err != nil || entry.PlainHash != x.hash || entry.PlainBytes != uint64(x.bytes) {
			return inos.Errorf(inos.CodeInternal, "semantic:find_chunks", "the entry found for %x is of another chunk", x.hash[:8])
		}
		if u.k.holds(entry.ChunkID) {
			u.encode(p, x)
			continue
		}
		u.k.collector.live(entry.ChunkID)
		x.entry = entry
		p.check = append(p.check, x.index)
		u.describe(p, x)
	}
	return nil
}

// missed encodes a known chunk that turned out to be gone, once it is described.
func (u *puts) missed(p *put, x *chunk) {
	if p.assembles() {
		u.fail(p, p.lacking(x.index, 1))
		return
	}
	x.miss = true
	if x.told {
		x.told = false
		u.encode(p, x)
	}
}

// unliveFound lets go of chunks that were found and not pinned.
func (u *puts) unliveFound(p *put, indexes []uint64) {
	for _, index := range indexes {
		u.k.collector.unlive(p.chunk(index).entry.ChunkID)
	}
}

// describe asks for the entry of a known chunk at its offset in this file, unless the host has said all that it takes.
func (u *puts) describe(p *put, x *chunk) {
	x.state = chunkKnown
	if x.raw != 0 {
		x.entry.Chain, x.told = x.offer.Chain, true
		u.known(p, x)
		return
	}
	u.module(p, opDescribe, x.index, event.DescribeChunk, job{input: x.input, bytes: uint64(x.bytes), key: x.hash},
		&eventpb.DescribeChunkRequest{OffsetBytes: x.index * inos.ChunkBytesMax, Entry: inos.AppendEntry(nil, &x.entry)})
}

// pinFound pins chunks that were found, before anything relies on them: the collector may have taken them since.
func (u *puts) pinFound(p *put) {
	if len(p.pin) == 0 || len(p.pinning) > 0 {
		return
	}
	p.pinning, p.pin = p.pin, nil
	q := &eventpb.StageChunksRequest{Upload: p.upload, Owner: string(p.owner)}
	for _, index := range p.pinning {
		q.Chunks = append(q.Chunks, u.chunkRow(p, &row{entry: p.chunk(index).entry, known: true}))
	}
	u.send(p, opPin, 0, event.StageChunks, 0, q)
}

// hasPinned takes the end of a pin. A conflict says that one of the chunks was collected or lost; all of them are then encoded
// and written again, which costs time and nothing else. So is one that came into doubt meanwhile.
func (u *puts) hasPinned(p *put, a *answer) *inos.Error {
	pinned := p.pinning
	p.pinning = nil
	u.unliveFound(p, pinned)
	if a.err != nil && a.err.Code != inos.CodeConflict {
		p.pinned = true // it may have happened all the same
		return a.err
	}
	p.pinned = p.pinned || a.err == nil
	for _, index := range pinned {
		if p.phase != putRunning {
			return nil
		}
		x := p.chunk(index)
		if a.err != nil || !u.sure(p, x) {
			u.missed(p, x)
			continue
		}
		x.pinned, p.mixed = true, true
		if x.stray = u.lacksIt(p, u.carrier(p, x)) > 0; !x.stray {
			u.stays(p, x)
		}
		if !p.assembles() {
			p.saved += uint64(x.bytes)
		}
		u.known(p, x)
	}
	return nil
}

// described takes a known chunk's entry.
func (u *puts) described(p *put, a *answer) *inos.Error {
	if a.err != nil {
		return a.err
	}
	x := p.chunk(a.slot)
	var r eventpb.DescribeChunkReply
	if err := event.Open(a.env, &r); err != nil {
		return inos.Errorf(inos.CodeModuleFailed, "storage:describe_chunk", "%w", err)
	}
	entry, err := inos.ParseEntry(r.Entry)
	if err != nil || entry.ChunkID != x.entry.ChunkID || entry.PlainHash != x.hash || entry.PlainBytes != uint64(x.bytes) {
		return inos.Errorf(inos.CodeModuleFailed, "storage:describe_chunk", "the entry returned is of another chunk")
	}
	if x.miss {
		u.encode(p, x)
		return nil
	}
	x.entry, x.told = entry, true
	u.known(p, x)
	return nil
}

// known ends a chunk that is pinned and described.
func (u *puts) known(p *put, x *chunk) {
	switch {
	case !x.pinned || !x.told:
	case x.stray:
		u.bring(p, x)
	default:
		u.done(p, x)
	}
}

// encode asks for the stored form of a chunk, unless the host has made it: of bytes that do not compress.
func (u *puts) encode(p *put, x *chunk) {
	x.state, x.miss = chunkEncoding, false
	if x.raw != 0 {
		x.entry, x.output, x.raw = x.offer, x.raw, 0
		u.formed(p, x)
		return
	}
	x.output = u.k.buffer()
	u.module(p, opEncode, x.index, event.EncodeChunk, job{
		input: x.input, output: x.output, bytes: uint64(x.bytes), offset: x.index * inos.ChunkBytesMax, key: x.hash,
	}, nil)
}

// encoded takes the stored form of a chunk and writes it.
func (u *puts) encoded(p *put, a *answer) *inos.Error {
	x := p.chunk(a.slot)
	if !a.output {
		x.output = 0
	}
	if a.err != nil {
		return a.err
	}
	var r eventpb.EncodeChunkReply
	if err := event.Open(a.env, &r); err != nil {
		return inos.Errorf(inos.CodeModuleFailed, "storage:encode_chunk", "%w", err)
	}
	entry, err := inos.ParseEntry(r.Entry)
	if err != nil || entry.PlainHash != x.hash || entry.PlainBytes != uint64(x.bytes) || entry.Chunks != 1 ||
		entry.StoredBytes == 0 || entry.StoredBytes > inos.StoredBytesMax || x.output == 0 {
		return inos.Errorf(inos.CodeModuleFailed, "storage:encode_chunk", "the entry returned is of another chunk")
	}
	u.k.quality.sized(entry.StoredBytes)
	x.entry = entry
	u.formed(p, x)
	return nil
}

// formed writes a chunk whose stored form is at hand, as soon as its id may be written.
func (u *puts) formed(p *put, x *chunk) {
	u.k.release(&x.input)
	if u.k.holds(x.entry.ChunkID) || u.undecided(p) {
		x.state = chunkHeld
		return
	}
	u.write(p, x)
}

// write sends a chunk to the nodes that keep it.
func (u *puts) write(p *put, x *chunk) {
	x.state = chunkWriting
	s := &fanout{slot: x.index, id: x.entry.ChunkID, bytes: x.entry.StoredBytes, output: x.output, reserved: true}
	x.output, x.have = 0, nil
	x.fanout = u.fanOut(p, s).work
}

// unheld writes what waited for the collector or for a loss to be told.
func (u *puts) unheld() {
	for _, p := range u.active {
		u.writeHeld(p)
		for _, n := range p.tree.nodes {
			if p.phase == putRunning && n.state == nodeHeld && !n.roomless && !u.k.holds(n.entry.ChunkID) {
				u.writeNode(p, n)
			}
		}
	}
}

// writeHeld writes the chunks of a put that nothing keeps waiting any more.
func (u *puts) writeHeld(p *put) {
	if p.phase != putRunning || u.undecided(p) {
		return
	}
	for _, x := range p.chunks {
		if p.phase == putRunning && x.state == chunkHeld && !x.roomless && !u.k.holds(x.entry.ChunkID) {
			u.write(p, x)
		}
	}
}

// done gives back the buffers that a chunk still has, and wakes its twins.
func (u *puts) done(p *put, x *chunk) {
	u.k.release(&x.input, &x.output, &x.raw)
	if x.state != chunkWriting { // else its fanout has it
		u.k.unreserve(&u.buffers)
	}
	x.state = chunkDone
	if t, ok := p.twins[string(x.hash[:])]; ok && t.index == x.index {
		p.twins[string(x.hash[:])] = twin{index: x.index, done: true, entry: x.entry, have: x.have}
	}
	for _, y := range p.chunks {
		if p.phase == putRunning && y.state == chunkTwin && y.twin == x.index {
			p.saved += uint64(y.bytes)
			y.entry, y.have, y.pinned = x.entry, x.have, true
			u.describe(p, y)
		}
	}
}
