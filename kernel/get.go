package kernel

import (
	"slices"
	"strconv"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects and module calls of a get. The slot is the chunk's index.
const (
	opLookup    = iota + 1 // semantic:lookup_file
	opCopies               // semantic:chunk_copies
	opPresent              // content:missing_chunks on a node, of a verification
	opReadChunk            // a fetch
	opInflate              // storage:inflate_chunk
	opSend                 // stream:write of a chunk
	opFrame                // stream:write of 6b 00 or 03
	opUseLink              // semantic:use_grant
)

// Phases of a get.
const (
	getWaiting = iota
	getRunning
	getEnding // answered; waits for what is under way
	getPhases
)

// States of a part of a get.
const (
	partReading = iota
	partInflating
	partReady // waits for its turn to be sent
	partSending
	partBad // of a verification
	partStates
)

// gets runs the gets, and the verifications of one file: look up, walk the manifest, read and inflate chunks within a
// window, send them in order.
type gets struct {
	k       *Kernel
	table   map[uint64]*get
	waiting []uint64
	active  []uint64
	buffers uint64
}

// get is one files:get, or one files:verify of a path.
type get struct {
	origin
	phase    uint8
	verify   bool
	fileID   []byte
	stream   uint64
	offset   uint64
	length   int64 // -1: to the end
	encoded  bool
	discard  bool
	underWay uint32
	file     *eventpb.FileInfo
	found    *eventpb.FileInfo // whose use by a link is being counted
	way      walk
	ahead    ahead
	parts    []*part
	sending  bool
	framed   uint8  // 1: 6b 00 was sent; 2: 03 too
	last     uint64 // plain bytes to send in all
	plain    uint64
	stored   uint64
	chunks   uint64
	bad      [][]byte
	badCount uint64
	copies   copiesVerified // of a verification
	reported inos.Micros
}

// part is one chunk of a get in work.
type part struct {
	index  uint64
	state  uint8
	entry  inos.Entry
	input  uint64 // buffer of the stored form
	output uint64 // buffer of plain bytes
}

func (g *get) walk() *walk { return &g.way }
func (g *get) asks(op uint8) (*origin, ask) {
	return &g.origin, ask{owner: threadGet, op: op, work: g.work}
}
func (g *get) count(n int32) { g.underWay = uint32(int32(g.underWay) + n) }

func (u *gets) init(k *Kernel) {
	u.k = k
	u.table = map[uint64]*get{}
}

func (u *gets) about() about {
	return about{name: "get", kind: "pipeline", hears: []string{event.FilesGet}, inFlightMax: getsMax * (chunksPerGetMax + 2)}
}

func (u *gets) code(c *coder) {
	objects(c, &u.table, getsMax+waitingMax, num[uint64], func(c *coder, g *get) { g.code(c) })
	list(c, &u.waiting, waitingMax, num[uint64])
	list(c, &u.active, getsMax, num[uint64])
	num(c, &u.buffers)
	if c.reading && c.err == nil {
		members(c, u.table, u.waiting, u.active)
	}
}

func (g *get) code(c *coder) {
	g.origin.code(c)
	num(c, &g.phase)
	if g.phase >= getPhases {
		c.fail("get phase %d", g.phase)
	}
	c.bool(&g.verify)
	c.bytes(&g.fileID)
	num(c, &g.stream)
	num(c, &g.offset)
	num(c, &g.length)
	c.bool(&g.encoded)
	c.bool(&g.discard)
	num(c, &g.underWay)
	fileInfo(c, &g.file)
	fileInfo(c, &g.found)
	g.way.code(c)
	g.ahead.code(c)
	pointers(c, &g.parts, chunksPerGetMax, func(c *coder, p *part) {
		num(c, &p.index)
		num(c, &p.state)
		if p.state >= partStates {
			c.fail("part state %d", p.state)
		}
		c.entry(&p.entry)
		num(c, &p.input)
		num(c, &p.output)
	})
	c.bool(&g.sending)
	num(c, &g.framed)
	num(c, &g.last)
	num(c, &g.plain)
	num(c, &g.stored)
	num(c, &g.chunks)
	list(c, &g.bad, badChunksMax, func(c *coder, b *[]byte) { c.bytes(b) })
	num(c, &g.badCount)
	g.copies.code(c)
	num(c, &g.reported)
}

func (u *gets) hear(in *input) {
	const op = "files:get"
	var q eventpb.FilesGetRequest
	if err := event.Open(in.env, &q); err != nil {
		u.k.fail(&in.origin, inos.Errorf(inos.CodeBadRequest, op, "%w", err))
		return
	}
	g := &get{
		origin: in.origin, stream: q.Stream, offset: q.OffsetBytes, length: q.LengthBytes,
		encoded: q.Encoded, discard: q.Discard, fileID: q.FileId,
	}
	err := fileNamed(op, q.Path, q.FileId)
	switch {
	case err != nil:
	case q.LengthBytes < -1:
		err = inos.Errorf(inos.CodeBadRequest, op, "the length of %d bytes is negative", q.LengthBytes)
	case q.Encoded && (q.OffsetBytes != 0 || q.LengthBytes != -1) &&
		(q.OffsetBytes%inos.ChunkBytesMax != 0 || q.LengthBytes < 1 || q.LengthBytes > inos.ChunkBytesMax):
		err = inos.Errorf(inos.CodeBadRequest, op, "an encoded file is read whole (offset 0, length -1), or one chunk of it from where that begins")
	case q.Stream == 0 && !q.Discard:
		err = inos.Errorf(inos.CodeBadRequest, op, "the request names no stream to write to")
	}
	if err != nil {
		u.k.fail(&in.origin, err)
		return
	}
	u.enter(g)
}

// fileNamed checks that a request names a file by a path or by an id.
func fileNamed(op, path string, id []byte) *inos.Error {
	if path == "" && len(id) == inos.HashBytes {
		return nil
	}
	if len(id) != 0 {
		return inos.Errorf(inos.CodeBadRequest, op, "a path or a file id of %d bytes is needed, not both", inos.HashBytes)
	}
	if err := inos.CheckPath(inos.Path(path)); err != nil {
		return inos.Errorf(inos.CodeBadPath, op, "%w", err)
	}
	return nil
}

// enter queues a get.
func (u *gets) enter(g *get) {
	if len(u.waiting) >= waitingMax {
		u.k.fail(&g.origin, busy(g.op(), "gets", waitingMax))
		return
	}
	u.k.watcher.began(&g.origin)
	u.table[g.work] = g
	u.waiting = append(u.waiting, g.work)
}

func (g *get) op() string { return event.Stage(g.eventType) }

// gone cancels the get, or the verification of a file, whose client went away.
func (u *gets) gone(id string) {
	for _, work := range sortedKeys(u.table) {
		if g := u.table[work]; g.id == id && !g.answered {
			u.fail(g, inos.Errorf(inos.CodeCanceled, g.op(), "the client went away after %d bytes", g.plain))
		}
	}
}

func (u *gets) act() {
	k := u.k
	for len(u.waiting) > 0 && len(u.active) < getsMax && k.ready() {
		g := u.table[u.waiting[0]]
		u.waiting = u.waiting[1:]
		u.active = append(u.active, g.work)
		g.phase = getRunning
		g.reported = k.now
		u.send(g, opLookup, 0, event.LookupFile, 0, &eventpb.LookupFileRequest{Owner: string(g.owner), Path: string(g.path), FileId: g.fileID})
	}
	for _, work := range slices.Concat(u.active, u.waiting) {
		if g := u.table[work]; g.deadline != 0 && g.deadline <= k.now && !g.answered {
			u.fail(g, inos.Errorf(inos.CodeDeadlineExceeded, g.op(), "the request's deadline passed after %d bytes", g.plain))
		}
	}
	u.read()
}

func (u *gets) wake() (at inos.Micros) {
	for _, l := range [][]uint64{u.active, u.waiting} {
		for _, work := range l {
			if g := u.table[work]; !g.answered {
				at = earlier(at, g.deadline)
			}
		}
	}
	return at
}

// read asks for the next chunks of every get that may have more in work, one each in turn.
func (u *gets) read() {
	if u.k.losses.full() {
		return
	}
	window, lone := u.window(), u.k.lone()
	for again := true; again; {
		again = false
		for i, work := range slices.Clone(u.active) {
			g := u.table[work]
			if g == nil || g.phase != getRunning || g.file == nil || len(g.parts) >= window {
				continue
			}
			index, entry, ok, err := g.way.next()
			if err != nil {
				u.fail(g, because(g.op(), err, g.name()))
				continue
			}
			if !ok {
				if g.way.at < g.way.end {
					u.k.readNode(g)
				}
				continue
			}
			var copies []*eventpb.Copy
			if !lone {
				known := false
				if copies, known = u.where(g, index); !known {
					g.way.at--
					continue
				}
			}
			if !u.k.reserve(&u.buffers, 3) {
				g.way.at--
				u.active = append(u.active[i:len(u.active):len(u.active)], u.active[:i]...)
				return
			}
			g.parts = append(g.parts, &part{index: index, entry: entry})
			g.underWay++
			u.k.fetch(&g.origin, ask{owner: threadGet, op: opReadChunk, work: g.work, slot: index}, entry.ChunkID, entry.StoredBytes, copies)
			again = true
		}
	}
}

func (u *gets) window() int {
	share := int(u.k.node.bufferBytesMax/chunkReserveBytes) * 3 / 4 / max(1, len(u.active))
	return min(max(2, share), 3*int(u.k.node.workers)+2, chunksPerGetMax)
}

func (u *gets) send(g *get, op uint8, slot uint64, effect string, bytes uint64, m event.Message) {
	g.underWay++
	u.k.send(&g.origin, ask{owner: threadGet, op: op, work: g.work, slot: slot, bytes: bytes}, effect, m)
}

// name names the file for a person.
func (g *get) name() string {
	if g.path != "" {
		return string(g.path)
	}
	return inos.FileID(g.fileID).String()
}

func (g *get) part(index uint64) *part {
	if len(g.parts) == 0 || index < g.parts[0].index || index-g.parts[0].index >= uint64(len(g.parts)) {
		panic("kernel: a get's chunk is not in work")
	}
	return g.parts[index-g.parts[0].index]
}

func (u *gets) answer(a *answer) {
	g := u.table[a.work]
	g.underWay--
	if g.phase == getEnding {
		u.settle(g, a)
		return
	}
	var err *inos.Error
	place := g.name()
	switch a.op {
	case opLookup:
		err = u.found(g, a)
		place = ""
	case opCopies:
		err = u.located(g, a)
	case opPresent:
		err = u.present(g, a)
	case opNodeRead:
		err = u.k.nodeRead(g, a)
		place += ", manifest"
	case opNodeOpen:
		err = u.k.nodeOpened(g, a)
		place += ", manifest"
	case opReadChunk:
		err = u.hasRead(g, a)
		place += ", chunk " + strconv.FormatUint(a.slot, 10)
	case opInflate:
		err = u.inflated(g, a)
		place += ", chunk " + strconv.FormatUint(a.slot, 10)
	case opSend, opFrame:
		err = u.sent(g, a)
	case opUseLink:
		err = u.counted(g, a)
	}
	if err != nil {
		u.fail(g, because(g.op(), err, place))
		return
	}
	u.advance(g)
}

// found takes the file and announces what will be sent.
func (u *gets) found(g *get, a *answer) *inos.Error {
	if a.err != nil {
		if a.err.Code == inos.CodeFileNotFound && g.path == "" {
			return noFile(&g.origin)
		}
		return a.err
	}
	var r eventpb.LookupFileReply
	if err := event.Open(a.env, &r); err != nil || r.File == nil {
		return inos.Errorf(inos.CodeInternal, "semantic:lookup_file", "the reply names no file")
	}
	if g.path == "" {
		if err := u.k.governance.mayRead(&g.origin, inos.Path(r.File.Path)); err != nil {
			return err
		}
		g.path = inos.Path(r.File.Path)
	}
	f := r.File
	u.k.describeReplicas(f)
	if g.offset > f.PlainBytes {
		return inos.Errorf(inos.CodeBadRequest, "read range", "the range begins at byte %d of %d", g.offset, f.PlainBytes)
	}
	g.last = f.PlainBytes - g.offset
	if g.length >= 0 {
		g.last = min(g.last, uint64(g.length))
	}
	first := g.offset / inos.ChunkBytesMax
	end := (g.offset + g.last + inos.ChunkBytesMax - 1) / inos.ChunkBytesMax
	if g.last == 0 {
		end = first
	}
	if err := g.way.start(f, first, end); err != nil {
		return err
	}
	if id, ok := linkOf(g.subject); ok && !g.verify {
		u.useLink(g, id, f)
		return nil
	}
	u.announce(g, f)
	return nil
}

// announce says what will be sent, and has it read.
func (u *gets) announce(g *get, f *eventpb.FileInfo) {
	g.file = f
	if !g.verify {
		u.k.progress(&g.origin, &eventpb.FilesGetHeader{File: f, OffsetBytes: g.offset, LengthBytes: g.last})
	}
}

// hasRead inflates a chunk, or sends its stored form.
func (u *gets) hasRead(g *get, a *answer) *inos.Error {
	p := g.part(a.slot)
	p.input = a.buffer
	if g.verify {
		u.badCopies(g, p.entry.ChunkID, a.bad)
	}
	if a.err != nil {
		return u.tolerate(g, p, a.err, len(a.bad))
	}
	if g.encoded && !g.discard {
		p.state = partReady
		return nil
	}
	p.state, p.output = partInflating, u.k.buffer()
	g.underWay++
	err := u.k.module(&g.origin, ask{owner: threadGet, op: opInflate, work: g.work, slot: p.index}, event.InflateChunk,
		job{input: p.input, output: p.output, bytes: p.entry.PlainBytes, key: p.entry.ChunkID}, &eventpb.InflateChunkRequest{Entry: inos.AppendEntry(nil, &p.entry)})
	if err != nil {
		g.underWay--
		p.output = 0
		return u.tolerate(g, p, err, 0)
	}
	return nil
}

func (u *gets) inflated(g *get, a *answer) *inos.Error {
	p := g.part(a.slot)
	if !a.output {
		p.output = 0
	}
	u.k.release(&p.input)
	if a.err == nil && p.output == 0 {
		a.err = inos.Errorf(inos.CodeModuleFailed, "storage:inflate_chunk", "the module returned no bytes")
	}
	if a.err != nil {
		return u.tolerate(g, p, a.err, 0)
	}
	p.state = partReady
	return nil
}

// advance sends what is ready, in order, and ends the get behind the last byte.
func (u *gets) advance(g *get) {
	for g.phase == getRunning && g.file != nil && !g.sending {
		framing := g.encoded && !g.discard && g.length < 0 // a chunk alone is its stored form
		if framing && g.framed == 0 {
			u.frame(g, 1, []byte{0x6b, 0x00}) // RFC 7932 section 9.1: WBITS 22, then an empty meta-block up to the byte's end
			return
		}
		if len(g.parts) > 0 {
			if p := g.parts[0]; p.state == partReady || p.state == partBad {
				u.deliver(g, p)
				continue
			}
			return
		}
		if g.way.at < g.way.end || g.copies.underWay > 0 {
			return
		}
		if framing && g.framed == 1 {
			u.frame(g, 2, []byte{0x03}) // RFC 7932 section 9.2: ISLAST, ISLASTEMPTY
			return
		}
		u.complete(g)
	}
}

// frame sends the bytes that make a file's chunks one br stream.
func (u *gets) frame(g *get, framed uint8, b []byte) {
	g.framed, g.sending = framed, true
	u.send(g, opFrame, 0, event.StreamWrite, uint64(len(b)), &eventpb.StreamWriteRequest{Stream: g.stream, Length: uint32(len(b)), Bytes: b})
}

// deliver sends the first part, or lets go of it when nobody wants the bytes.
func (u *gets) deliver(g *get, p *part) {
	if g.discard || p.state == partBad {
		u.pop(g, p)
		return
	}
	g.sending, p.state = true, partSending
	q := &eventpb.StreamWriteRequest{Stream: g.stream, Input: p.output, Length: uint32(p.entry.PlainBytes)}
	if g.encoded {
		q.Input, q.Length = p.input, uint32(p.entry.StoredBytes)
	} else {
		start := p.index * inos.ChunkBytesMax
		from := max(g.offset, start) - start
		to := min(g.offset+g.last-start, p.entry.PlainBytes)
		q.Offset, q.Length = uint32(from), uint32(to-from)
	}
	u.send(g, opSend, p.index, event.StreamWrite, uint64(q.Length), q)
}

// sent takes the end of a write: the client took the bytes.
func (u *gets) sent(g *get, a *answer) *inos.Error {
	g.sending = false
	if a.err != nil {
		return a.err
	}
	if a.op == opSend {
		u.pop(g, g.part(a.slot))
	}
	return nil
}

// pop counts the first part and gives its buffers back.
func (u *gets) pop(g *get, p *part) {
	g.plain += p.entry.PlainBytes
	g.stored += p.entry.StoredBytes
	g.chunks++
	u.k.release(&p.input, &p.output)
	u.k.unreserve(&u.buffers)
	g.parts[0] = nil
	g.parts = g.parts[1:]
	if g.verify && u.k.now-g.reported >= progressEvery {
		g.reported = u.k.now
		u.k.progress(&g.origin, &eventpb.FilesVerifyProgress{Chunks: g.chunks, StoredBytes: g.stored, Bad: g.badCount})
	}
}

func (u *gets) complete(g *get) {
	g.phase = getEnding
	detail := plural(g.last, "byte", "bytes") + " in " + plural(g.chunks, "chunk", "chunks")
	if g.verify {
		u.verified(g, detail)
	} else {
		u.k.complete(&g.origin, &eventpb.FilesGetReply{PlainBytes: g.last, StoredBytes: g.stored, Chunks: g.chunks}, detail)
	}
	u.remove(g)
}

// fail answers the client; the buffers come back when nothing uses them any more.
func (u *gets) fail(g *get, err *inos.Error) {
	if g.answered {
		return
	}
	u.k.fail(&g.origin, err)
	g.phase = getEnding
	u.k.fetches.void(threadGet, g.work)
	for _, j := range u.k.supervisor.cancel(threadGet, g.work) {
		g.underWay--
		if j.op == opInflate {
			g.part(j.slot).output = 0 // never filled
		}
	}
	u.clean(g)
}

// settle takes the end of an effect of a get that has been answered.
func (u *gets) settle(g *get, a *answer) {
	switch a.op {
	case opReadChunk:
		g.part(a.slot).input = a.buffer
	case opInflate:
		if !a.output {
			g.part(a.slot).output = 0
		}
	case opNodeRead:
		g.way.buffer = a.buffer
	}
	u.clean(g)
}

func (u *gets) clean(g *get) {
	if g.underWay > 0 {
		return
	}
	for _, p := range g.parts {
		u.k.release(&p.input, &p.output)
		u.k.unreserve(&u.buffers)
	}
	u.k.release(&g.way.buffer)
	u.remove(g)
}

func (u *gets) remove(g *get) {
	delete(u.table, g.work)
	u.active = slices.DeleteFunc(u.active, func(w uint64) bool { return w == g.work })
	u.waiting = slices.DeleteFunc(u.waiting, func(w uint64) bool { return w == g.work })
}
