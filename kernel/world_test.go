package kernel

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"strings"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// stepper is a kernel, native or in WASM.
type stepper interface {
	step(now inos.Micros, e *eventpb.Envelope) ([]*eventpb.Envelope, inos.Micros)
}

type native struct{ k *Kernel }

func (n native) step(now inos.Micros, e *eventpb.Envelope) ([]*eventpb.Envelope, inos.Micros) {
	eff := n.k.Step(now, e)
	return eff.Out, eff.Wake
}

// world is a host in memory: it performs a kernel's effects faithfully, in the order and with the failures a test chooses.
// Bytes are not simulated: a buffer holds a name from which hashes follow.
type world struct {
	kernel  stepper
	now     inos.Micros
	wake    inos.Micros
	boot    *eventpb.NodeBoot
	pending []*eventpb.Envelope
	replies map[string][]*eventpb.Envelope // by request id
	out     []*eventpb.Envelope            // of the last step

	buffers map[uint64]held
	streams map[uint64]*body
	chunks  map[string]stored // on disk, by chunk id
	trash   map[string]stored
	free    uint64
	workers map[uint32]uint32 // slot -> pid
	lastPid uint32
	calls   map[uint32]map[string]bool // calls under way by worker

	rows      map[string]*fakeRow
	pins      map[string]map[string]bool
	files     map[string]*eventpb.FileInfo // owner path
	keys      map[string]*eventpb.FileInfo
	deletes   map[string]uint64
	versions  map[string]uint64
	condemned map[string]bool
	rotted    map[string]bool   // chunks that went bad on disk and nobody has written since
	told      map[string]bool   // those of them that the kernel was told of
	ever      map[string]stored // every chunk written
	audits    map[string]bool   // content:missing_chunks that are not of a put
	commits   map[string]bool   // uploads whose commit was sent
	history   []*eventpb.EventRecord
	spans     []*eventpb.SpanRecord
	bufferMax int
	ids       uint64
	problems  []string
	fakeMesh
	fakeIdentity
	fakeUploads
	early map[string]outcome // effects that are done and whose end the kernel has not heard of
	hangs map[string]bool    // names of bodies at which the module loops for ever
}

type outcome struct {
	m   event.Message
	err *inos.Error
}

type held struct {
	plain  string // name of plain bytes
	bytes  uint32
	stored *stored
}

// stored is a chunk's stored form.
type stored struct {
	id      string
	plain   string
	bytes   uint32 // plain
	size    uint32 // stored
	level   uint32
	root    bool
	node    bool
	entries []byte
	fileID  []byte
}

type fakeRow struct {
	entry      inos.Entry
	owners     map[string]bool
	node       bool
	children   []string
	generation uint64
	copies     map[string]*fakeCopy // by node
}

func hashOf(parts ...string) []byte {
	h := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return h[:]
}

func newWorld(k stepper) *world {
	return &world{
		kernel: k, now: 1_800_000_000_000_000, replies: map[string][]*eventpb.Envelope{}, buffers: map[uint64]held{},
		streams: map[uint64]*body{}, chunks: map[string]stored{}, trash: map[string]stored{}, free: 1 << 40,
		workers: map[uint32]uint32{}, calls: map[uint32]map[string]bool{}, rows: map[string]*fakeRow{}, pins: map[string]map[string]bool{},
		files: map[string]*eventpb.FileInfo{}, keys: map[string]*eventpb.FileInfo{}, deletes: map[string]uint64{},
		versions: map[string]uint64{}, condemned: map[string]bool{}, early: map[string]outcome{}, hangs: map[string]bool{},
		fakeMesh: newFakeMesh(), fakeIdentity: newFakeIdentity(), fakeUploads: newFakeUploads(),
		rotted: map[string]bool{}, told: map[string]bool{}, ever: map[string]stored{}, commits: map[string]bool{}, audits: map[string]bool{},
		boot: &eventpb.NodeBoot{
			Switchboard: true, Provider: true,
			NodeId: "node-1", Zone: "home", Host: "nas", Seed: hashOf("seed"), Workers: 2, ModuleId: hashOf("module"),
			BufferBytesMax: 64 << 20, Version: "test",
		},
	}
}

func (w *world) problem(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

func (w *world) newID() string {
	w.ids++
	var r [10]byte
	copy(r[:], hashOf("id", fmt.Sprint(w.ids)))
	return event.NewID(w.now, r)
}

// give steps the kernel and sorts what comes out.
func (w *world) give(e *eventpb.Envelope) {
	if debug {
		fmt.Println("->", e.EventType, e.Id[24:], failureText(e))
	}
	stageOfInput := event.Stage(e.EventType)
	out, wake := w.kernel.step(w.now, e)
	w.out, w.wake = out, wake
	if wake != 0 && wake <= w.now {
		w.problem("wake-up %d is not after now %d", wake, w.now)
	}
	for _, e := range out {
		if debug {
			fmt.Println("   ", e.EventType, e.Id[24:], failureText(e), chunkText(e))
		}
		if event.StateOf(e.EventType) != event.StateRequested {
			w.replies[e.Id] = append(w.replies[e.Id], e)
			w.acknowledged(e)
			continue
		}
		switch e.EventType {
		case event.BufferFill:
			var q eventpb.BufferFill
			w.open(e, &q)
			w.fill(q.Buffer, held{stored: w.root(q.Bytes)})
		case event.BufferRelease:
			var q eventpb.BufferRelease
			w.open(e, &q)
			for _, b := range q.Buffers {
				if _, ok := w.buffers[b]; !ok {
					w.problem("buffer %d is released and does not exist", b)
				}
				delete(w.buffers, b)
			}
		case event.IdentityForget:
			var q eventpb.Forget
			w.open(e, &q)
			for _, t := range q.TokenIds {
				w.forgotten[t] = true
			}
		case event.WorkerCall:
			var q eventpb.WorkerCallRequest
			w.open(e, &q)
			if w.calls[q.Worker] == nil {
				w.calls[q.Worker] = map[string]bool{}
			}
			w.calls[q.Worker][e.Id] = true
			if n := len(w.calls[q.Worker]); n > callsPerWorkerMax {
				w.problem("%d calls in worker %d", n, q.Worker)
			}
			w.pending = append(w.pending, e)
		case event.CommitFile:
			var q eventpb.CommitFileRequest
			w.open(e, &q)
			if !w.commits[q.Upload] {
				w.commits[q.Upload] = true
				w.honest(q.File.Path, string(q.File.ManifestId))
				w.chained(q.File.Path, string(q.File.ManifestId))
			}
			w.pending = append(w.pending, e)
		case event.ContentMissing:
			// An audit looks for what the semantic memory has just listed, and asks once more before it believes.
			w.audits[e.Id] = stageOfInput == event.Stage(event.NodeChunks)
			w.pending = append(w.pending, e)
		default:
			w.pending = append(w.pending, e)
		}
	}
	for i := 0; i < len(w.pending) && !w.slowAccess; i++ {
		if w.pending[i].EventType == event.ReadAccess {
			w.finish(i)
			i = -1
		}
	}
}

// honest checks that a commit relies on no chunk whose loss the kernel was told of.
func (w *world) honest(path, id string) {
	if w.told[id] {
		w.problem("%s is committed and relies on chunk %x, which is known to be lost", path, id[:4])
	}
	for e := range slices.Chunk(w.ever[id].entries, inos.EntryBytes) {
		w.honest(path, string(e[:inos.HashBytes]))
	}
}

// rot makes a chunk's bytes bad.
func (w *world) rot(id string) {
	delete(w.chunks, id)
	w.rotted[id] = true
}

func (w *world) open(e *eventpb.Envelope, m event.Message) {
	if err := event.Open(e, m); err != nil {
		w.problem("%s: %v", e.EventType, err)
	}
}

func (w *world) host(typ string, m event.Message) *eventpb.Envelope {
	e := &eventpb.Envelope{Id: w.newID(), EventType: typ, Timestamp: int64(w.now), Metadata: &eventpb.Metadata{SecurityToken: hostToken}}
	if m != nil {
		e.Payload = event.Payload(m)
	}
	return e
}

func (w *world) request(token, typ string, m event.Message) *eventpb.Envelope {
	e := w.host(typ, m)
	e.Metadata.SecurityToken = token
	return e
}

func (w *world) start() {
	w.give(w.host(event.NodeBoot, w.boot))
	w.give(w.host(event.IdentitySession, &eventpb.Session{TokenId: "t", Subject: "ann", Device: "laptop", Capabilities: []string{"files:*:*", "node:*:*"}}))
}

// finish performs the pending effect at an index and gives its end to the kernel.
func (w *world) finish(i int) {
	e := w.pending[i]
	w.pending = slices.Delete(w.pending, i, i+1)
	if o, ok := w.early[e.Id]; ok {
		delete(w.early, e.Id)
		w.end(e, o.m, o.err)
		return
	}
	m, err := w.perform(e)
	w.end(e, m, err)
}

// act performs the pending effect at an index now; its end is given later.
func (w *world) act(i int) {
	e := w.pending[i]
	if _, ok := w.early[e.Id]; ok || e.EventType == event.WorkerStop || e.EventType == event.WorkerStart || e.EventType == event.WorkerCall {
		return
	}
	m, err := w.perform(e)
	w.early[e.Id] = outcome{m, err}
}

func (w *world) end(e *eventpb.Envelope, m event.Message, err *inos.Error) {
	var reply *eventpb.Envelope
	if err != nil {
		reply = event.Failed(e, w.now, err)
	} else {
		reply = event.Reply(e, event.StateCompleted, w.now, event.Payload(m))
	}
	if reply.Metadata == nil {
		reply.Metadata = &eventpb.Metadata{}
	}
	reply.Metadata.SecurityToken = hostToken
	if e.EventType == event.ContentRead && err != nil {
		var q eventpb.ContentReadRequest
		w.open(e, &q)
		if id := string(q.ChunkId); w.rotted[id] {
			w.told[id] = true
		}
	}
	if e.EventType == event.ContentMissing && err == nil && !w.audits[e.Id] {
		for _, id := range m.(*eventpb.ContentMissingReply).ChunkIds {
			if w.rotted[string(id)] {
				w.told[string(id)] = true
			}
		}
	}
	if e.EventType == event.WorkerCall {
		for _, c := range w.calls {
			delete(c, e.Id)
		}
	}
	w.give(reply)
	if m, ok := m.(*eventpb.WorkerStopReply); ok && m != nil {
		var q eventpb.WorkerStopRequest
		w.open(e, &q)
		w.killWorker(q.Worker, "stopped")
	}
}

// fail ends the pending effect at an index with an error.
func (w *world) fail(i int, code inos.Code) {
	e := w.pending[i]
	w.pending = slices.Delete(w.pending, i, i+1)
	w.end(e, nil, inos.Errorf(code, event.Stage(e.EventType), "as the test wants"))
}

// killWorker ends a worker's process: its calls fail first, then its exit is told.
func (w *world) killWorker(slot uint32, reason string) {
	pid, ok := w.workers[slot]
	if !ok {
		return
	}
	delete(w.workers, slot)
	for i := 0; i < len(w.pending); {
		var q eventpb.WorkerCallRequest
		if e := w.pending[i]; e.EventType == event.WorkerCall && event.Open(e, &q) == nil && q.Worker == slot {
			w.fail(i, inos.CodeWorkerLost)
			i = 0
			continue
		}
		i++
	}
	w.give(w.host(event.WorkerExit, &eventpb.WorkerExit{Worker: slot, Pid: pid, Reason: reason}))
}

// run performs effects in order until none can end, for at most a number of steps.
func (w *world) run(limit int) bool {
	for range limit {
		i := slices.IndexFunc(w.pending, w.canEnd)
		if i < 0 {
			return true
		}
		w.now += 100
		w.finish(i)
	}
	return false
}

// canEnd says that an effect does not wait for a module that loops for ever: a worker takes its calls one by one.
func (w *world) canEnd(e *eventpb.Envelope) bool {
	if len(w.hangs) == 0 || e.EventType != event.WorkerCall {
		return true
	}
	var q eventpb.WorkerCallRequest
	w.open(e, &q)
	for _, other := range w.pending {
		if other.EventType != event.WorkerCall {
			continue
		}
		var before eventpb.WorkerCallRequest
		if w.open(other, &before); before.Worker == q.Worker && w.hung(&before) {
			return false
		}
		if other == e {
			return true
		}
	}
	return true
}

// hung says that the module does not come back from a call.
func (w *world) hung(q *eventpb.WorkerCallRequest) bool {
	name, _, _ := strings.Cut(strings.TrimPrefix(w.buffers[q.Input].plain, "/"), "/")
	return q.Input != 0 && w.hangs["/"+name]
}

func (w *world) tick(to inos.Micros) {
	w.now = max(w.now, to)
	w.give(w.host(event.NodeTick, nil))
}

// last returns the last reply to a request and how many ends it had.
func (w *world) last(id string) (e *eventpb.Envelope, ends int) {
	for _, r := range w.replies[id] {
		if event.StateOf(r.EventType) != event.StateProcessing {
			e = r
			ends++
		}
	}
	return e, ends
}

func (w *world) fill(buffer uint64, h held) {
	if _, ok := w.buffers[buffer]; ok {
		w.problem("buffer %d is filled twice", buffer)
	}
	w.buffers[buffer] = h
	w.bufferMax = max(w.bufferMax, len(w.buffers))
}

// root returns the stored form of a small root, which the kernel makes itself.
func (w *world) root(b []byte) *stored {
	id := blake3.Sum256(b)
	s := &stored{node: true, root: true, id: string(id[:]), size: uint32(len(b))}
	plain := len(b) - inos.RawHeadBytes
	if plain < inos.NodeHeadBytes || !bytes.Equal(b[:inos.RawHeadBytes], inos.AppendRawHead(nil, plain)) {
		w.problem("a buffer is filled with %x, which is no raw meta-block of a node", b)
		return s
	}
	s.entries = b[inos.RawHeadBytes+inos.NodeHeadBytes:]
	empty := blake3.Sum256(nil)
	s.fileID = empty[:]
	if len(s.entries) > 0 {
		entry, err := inos.ParseEntry(s.entries)
		if err != nil || len(s.entries) != inos.EntryBytes {
			w.problem("a small root has %d bytes of entries: %v", len(s.entries), err)
		}
		s.fileID = entry.PlainHash[:]
	}
	return s
}

func (w *world) buffer(number uint64) held {
	h, ok := w.buffers[number]
	if !ok {
		w.problem("buffer %d is read and does not exist", number)
	}
	return h
}

func missing(code inos.Code, format string, args ...any) *inos.Error {
	return inos.Errorf(code, "world", format, args...)
}

// perform does what an effect asks.
func (w *world) perform(e *eventpb.Envelope) (event.Message, *inos.Error) {
	switch e.EventType {
	case event.StreamRead:
		var q eventpb.StreamReadRequest
		w.open(e, &q)
		b := w.streams[q.Stream]
		if b == nil || b.gone {
			return nil, missing(inos.CodeCanceled, "stream %d is closed", q.Stream)
		}
		n := min(uint64(q.MaxBytes), b.length-b.read)
		index := b.read / inos.ChunkBytesMax
		if b.same {
			index = 0
		}
		of := b.name
		if index < uint64(len(b.of)) {
			of, index = b.of[index], 0
		}
		name := fmt.Sprintf("%s/%d/%d", of, index, n)
		b.read += n
		if b.form != nil {
			w.fill(q.Output, held{stored: b.form})
			return &eventpb.StreamReadReply{Bytes: uint32(n), End: b.read == b.length, PlainHash: []byte(b.form.id)}, nil
		}
		w.fill(q.Output, held{plain: name, bytes: uint32(n)})
		r := &eventpb.StreamReadReply{Bytes: uint32(n), End: b.read == b.length, PlainHash: hashOf("plain", name)}
		if s, entry := encoded(name, uint32(n), q.OffsetBytes, 0); n > 0 && q.RawOutput != 0 && entry.Codec == inos.CodecRaw {
			w.fill(q.RawOutput, held{stored: s})
			r.RawEntry = inos.AppendEntry(nil, &entry)
		}
		return r, nil
	case event.StreamWrite:
		var q eventpb.StreamWriteRequest
		w.open(e, &q)
		b := w.streams[q.Stream]
		if b == nil || b.gone {
			return nil, missing(inos.CodeCanceled, "stream %d is closed", q.Stream)
		}
		if q.Input == 0 {
			b.parts = append(b.parts, fmt.Sprintf("%x", q.Bytes))
		} else {
			h := w.buffer(q.Input)
			name, size := h.plain, h.bytes
			if h.stored != nil {
				name, size = "stored:"+h.stored.plain, h.stored.size
			}
			if q.Offset+q.Length > size {
				w.problem("a write of bytes %d+%d of %d", q.Offset, q.Length, size)
			}
			b.parts = append(b.parts, fmt.Sprintf("%s[%d:%d]", name, q.Offset, q.Offset+q.Length))
		}
		b.wrote += uint64(q.Length)
		return &eventpb.StreamWriteReply{}, nil
	case event.WorkerStart:
		var q eventpb.WorkerStartRequest
		w.open(e, &q)
		if _, ok := w.workers[q.Worker]; ok {
			w.problem("worker %d is started twice", q.Worker)
		}
		w.lastPid++
		w.workers[q.Worker] = w.lastPid
		return &eventpb.WorkerStartReply{Pid: w.lastPid, Module: &eventpb.ModuleInfo{Name: "storage"}}, nil
	case event.WorkerStop:
		return &eventpb.WorkerStopReply{}, nil
	case event.WorkerCall:
		var q eventpb.WorkerCallRequest
		w.open(e, &q)
		if _, ok := w.workers[q.Worker]; !ok {
			return nil, missing(inos.CodeWorkerLost, "worker %d is not there", q.Worker)
		}
		inner, err := event.Decode(q.Envelope)
		if err != nil {
			w.problem("the module's envelope: %v", err)
		}
		m, out, failure := w.module(inner, &q)
		if failure != nil {
			reply := event.Encode(nil, event.Failed(inner, w.now, failure))
			return &eventpb.WorkerCallReply{Envelope: reply}, nil
		}
		reply := event.Encode(nil, event.Reply(inner, event.StateCompleted, w.now, event.Payload(m)))
		if out == nil || q.Output == 0 {
			return &eventpb.WorkerCallReply{Envelope: reply}, nil
		}
		w.fill(q.Output, *out)
		return &eventpb.WorkerCallReply{Envelope: reply, OutputBytes: 1}, nil
	case event.MeshCall:
		return w.meshCall(e)
	case event.RecordSeal, event.RecordOpen:
		return w.performRecord(e)
	}
	return w.performMemory(e)
}

// encoded returns the stored form of a chunk and its entry. Of bodies whose name begins with "raw" it is the raw one.
func encoded(plain string, bytes uint32, offset uint64, quality uint8) (*stored, inos.Entry) {
	s := &stored{id: string(hashOf("stored", plain)), plain: plain, bytes: bytes, size: bytes/2 + 1}
	codec := uint8(inos.CodecBrotli)
	if strings.HasPrefix(plain, "raw") {
		s.size, codec, quality = bytes+3, inos.CodecRaw, 0
	}
	return s, inos.Entry{
		ChunkID: inos.ChunkID([]byte(s.id)), PlainHash: inos.PlainHash(hashOf("plain", plain)), Chain: [32]byte(hashOf("chain", plain, fmt.Sprint(offset))),
		PlainBytes: uint64(bytes), StoredBytes: uint64(s.size), Codec: codec, Quality: quality, Chunks: 1,
	}
}

// module is the storage module.
func (w *world) module(e *eventpb.Envelope, q *eventpb.WorkerCallRequest) (event.Message, *held, *inos.Error) {
	switch e.EventType {
	case event.EncodeChunk:
		var m eventpb.EncodeChunkRequest
		w.open(e, &m)
		in := w.buffer(q.Input)
		s, entry := encoded(in.plain, in.bytes, m.OffsetBytes, uint8(m.Quality))
		return &eventpb.EncodeChunkReply{Entry: inos.AppendEntry(nil, &entry)}, &held{stored: s}, nil
	case event.AdmitChunk:
		var m eventpb.AdmitChunkRequest
		w.open(e, &m)
		in := w.buffer(q.Input)
		if in.stored == nil || in.stored.id != string(m.ChunkId) || in.stored.bytes != m.PlainBytes || strings.HasPrefix(in.stored.plain, "/false") {
			return nil, nil, missing(inos.CodeChunkCorrupt, "it cannot stand behind other chunks")
		}
		_, entry := encoded(in.stored.plain, in.stored.bytes, m.OffsetBytes, uint8(m.Quality))
		return &eventpb.AdmitChunkReply{Entry: inos.AppendEntry(nil, &entry)}, nil, nil
	case event.DescribeChunk:
		var m eventpb.DescribeChunkRequest
		w.open(e, &m)
		in := w.buffer(q.Input)
		entry, err := inos.ParseEntry(m.Entry)
		if err != nil || string(entry.PlainHash[:]) != string(hashOf("plain", in.plain)) {
			w.problem("describe of another chunk")
		}
		entry.Chain = [32]byte(hashOf("chain", in.plain, fmt.Sprint(m.OffsetBytes)))
		return &eventpb.DescribeChunkReply{Entry: inos.AppendEntry(nil, &entry)}, nil, nil
	case event.VerifyProof:
		var m eventpb.VerifyProofRequest
		w.open(e, &m)
		in := w.buffer(q.Input)
		if in.stored == nil || in.stored.id != "slice of "+string(m.ChunkId) {
			return nil, nil, missing(inos.CodeChunkCorrupt, "no proof of this chunk")
		}
		return &eventpb.VerifyProofReply{}, nil, nil
	case event.InflateChunk:
		var m eventpb.InflateChunkRequest
		w.open(e, &m)
		in := w.buffer(q.Input)
		entry, _ := inos.ParseEntry(m.Entry)
		if in.stored == nil || in.stored.id != string(entry.ChunkID[:]) {
			return nil, nil, missing(inos.CodeChunkCorrupt, "another chunk")
		}
		return &eventpb.InflateChunkReply{}, &held{plain: in.stored.plain, bytes: in.stored.bytes}, nil
	case event.BuildNode:
		var m eventpb.BuildNodeRequest
		w.open(e, &m)
		s := &stored{node: true, level: m.Level, root: m.Root, entries: m.Entries, size: uint32(len(m.Entries) + 40)}
		s.id = string(hashOf("node", fmt.Sprint(m.Level, m.Root), string(m.Entries)))
		entry := inos.Entry{ChunkID: inos.ChunkID([]byte(s.id)), PlainHash: inos.PlainHash(hashOf("node plain", s.id))}
		sum := sha256.New()
		for i := 0; i < len(m.Entries); i += inos.EntryBytes {
			child, err := inos.ParseEntry(m.Entries[i:])
			if err != nil {
				w.problem("build of a bad entry: %v", err)
			}
			sum.Write(child.Chain[:])
			entry.PlainBytes += child.PlainBytes
			entry.StoredBytes += child.StoredBytes
			entry.Chunks += child.Chunks
		}
		s.fileID = sum.Sum(nil)
		entry.Chain = [32]byte(s.fileID)
		r := &eventpb.BuildNodeReply{Entry: inos.AppendEntry(nil, &entry)}
		if m.Root {
			r.FileId = s.fileID
		}
		return r, &held{stored: s}, nil
	case event.OpenNode:
		in := w.buffer(q.Input)
		if in.stored == nil || !in.stored.node {
			return nil, nil, missing(inos.CodeBadFormat, "not a node")
		}
		return &eventpb.OpenNodeReply{Level: in.stored.level, Entries: in.stored.entries, Root: in.stored.root, FileId: in.stored.fileID}, nil, nil
	}
	w.problem("the module is asked %s", e.EventType)
	return nil, nil, missing(inos.CodeUnknownEvent, "%s", e.EventType)
}

// performMemory is the content, semantic and episodic memory.
func (w *world) performMemory(e *eventpb.Envelope) (event.Message, *inos.Error) {
	if strings.HasPrefix(e.EventType, "content:") {
		m, out, err := w.performContent(w.own(), e)
		if out != nil {
			var q eventpb.ContentReadRequest // prove has its output elsewhere
			w.open(e, &q)
			number := q.Output
			if e.EventType == event.ContentProve {
				var p eventpb.ContentProveRequest
				w.open(e, &p)
				number = p.Output
			}
			w.fill(number, held{stored: out})
		}
		return m, err
	}
	switch e.EventType {
	case event.EpisodicRecord:
		var q eventpb.RecordRequest
		w.open(e, &q)
		w.history = append(w.history, q.Events...)
		w.spans = append(w.spans, q.Spans...)
		return &eventpb.RecordReply{}, nil
	}
	return w.performSemantic(e)
}

// referenced says that a pin, a file or a manifest node refers to a chunk.
func (w *world) referenced(id string) bool {
	for _, p := range sortedKeys(w.pins) {
		if w.pins[p][id] {
			return true
		}
	}
	for _, f := range sortedKeys(w.files) {
		if string(w.files[f].ManifestId) == id {
			return true
		}
	}
	for _, r := range sortedKeys(w.rows) {
		if slices.Contains(w.rows[r].children, id) {
			return true
		}
	}
	return false
}

func (w *world) stage(upload, owner string, chunks []*eventpb.ChunkRow) *inos.Error {
	fresh := map[string]bool{}
	for _, c := range chunks {
		id := string(c.Entry[:32])
		_, ok := w.rows[id]
		if c.Known && (!ok && !fresh[id] || w.condemned[id] || ok && len(w.rows[id].copies) == 0) {
			return missing(inos.CodeConflict, "chunk %x is not known any more", id[:4])
		}
		for _, child := range c.Children {
			if w.rows[string(child)] == nil && !fresh[string(child)] {
				return missing(inos.CodeConflict, "child %x has no row", child[:4])
			}
		}
		fresh[id] = true
	}
	if w.pins[upload] == nil {
		w.pins[upload] = map[string]bool{}
	}
	for _, c := range chunks {
		id := string(c.Entry[:32])
		entry, err := inos.ParseEntry(c.Entry)
		if err != nil {
			w.problem("a staged entry: %v", err)
		}
		r := w.rows[id]
		if r == nil {
			r = &fakeRow{entry: entry, owners: map[string]bool{}, node: c.Node, copies: map[string]*fakeCopy{}}
			w.rows[id] = r
			for _, child := range c.Children {
				r.children = append(r.children, string(child))
			}
		}
		delete(w.condemned, id)
		r.generation++
		r.owners[owner] = true
		for _, n := range c.Nodes {
			if !c.Known {
				r.copies[n] = &fakeCopy{epoch: w.epochOf(n)}
			}
		}
		w.pins[upload][id] = true
	}
	return nil
}

func (w *world) performSemantic(e *eventpb.Envelope) (event.Message, *inos.Error) {
	switch e.EventType {
	case event.FindChunks:
		var q eventpb.FindChunksRequest
		w.open(e, &q)
		r := &eventpb.FindChunksReply{}
		for _, h := range q.PlainHashes {
			var found []byte
			for _, id := range sortedKeys(w.rows) {
				row := w.rows[id]
				if bytes.Equal(row.entry.PlainHash[:], h) && row.owners[q.Owner] && row.entry.Chunks == 1 && w.referenced(id) && !w.condemned[id] && len(row.copies) > 0 {
					found = inos.AppendEntry(nil, &row.entry)
				}
			}
			r.Entries = append(r.Entries, found)
		}
		return r, nil
	case event.StageChunks:
		var q eventpb.StageChunksRequest
		w.open(e, &q)
		if err := w.stage(q.Upload, q.Owner, q.Chunks); err != nil {
			return nil, err
		}
		return &eventpb.StageChunksReply{}, nil
	case event.CommitFile:
		var q eventpb.CommitFileRequest
		w.open(e, &q)
		key := keyOf(q.Key)
		if f, ok := w.keys[key]; ok {
			return &eventpb.CommitFileReply{File: f.CloneVT(), Repeated: true}, nil
		}
		if err := w.holds(&q); err != nil {
			return nil, err
		}
		if err := w.stage(q.Upload, q.File.Owner, q.Chunks); err != nil {
			return nil, err
		}
		if w.rows[string(q.File.ManifestId)] == nil {
			return nil, missing(inos.CodeConflict, "the root has no row")
		}
		f := q.File.CloneVT()
		at := f.Owner + f.Path
		if err := w.escrow(f.Owner, at, q.Pledge, q.Key.Id); err != nil {
			return nil, err
		}
		f.Pledged = q.Pledge
		w.versions[at]++
		f.Version = w.versions[at]
		w.files[at] = f
		w.keys[key] = f
		w.pendRecord(f, false)
		w.endUpload(q.Upload)
		return &eventpb.CommitFileReply{File: f.CloneVT()}, nil
	case event.AbortUpload:
		var q eventpb.AbortUploadRequest
		w.open(e, &q)
		n := len(w.pins)
		for _, id := range sortedKeys(w.pins) {
			if id == q.Upload || q.Upload == "" && w.opened[id] == nil {
				w.endUpload(id)
			}
		}
		return &eventpb.AbortUploadReply{Uploads: uint32(n - len(w.pins))}, nil
	case event.LookupFile:
		var q eventpb.LookupFileRequest
		w.open(e, &q)
		for _, at := range sortedKeys(w.files) {
			if f := w.files[at]; f.Owner == q.Owner && (q.Path != "" && f.Path == q.Path || q.Path == "" && bytes.Equal(f.FileId, q.FileId)) {
				return &eventpb.LookupFileReply{File: f.CloneVT()}, nil
			}
		}
		return nil, missing(inos.CodeFileNotFound, "no file %q", q.Path)
	case event.ListFiles:
		var q eventpb.ListFilesRequest
		w.open(e, &q)
		r := &eventpb.ListFilesReply{}
		for _, at := range sortedKeys(w.files) {
			f := w.files[at]
			if f.Owner != q.Owner || !strings.HasPrefix(f.Path, q.Prefix) || f.Path <= q.After {
				continue
			}
			if len(r.Files) == int(q.Limit) {
				r.More = true
				break
			}
			r.Files = append(r.Files, f.CloneVT())
		}
		return r, nil
	case event.DeleteFile:
		var q eventpb.DeleteFileRequest
		w.open(e, &q)
		at := q.Owner + q.Path
		if v, ok := w.deletes[keyOf(q.Key)]; ok {
			return &eventpb.DeleteFileReply{Version: v, Repeated: true}, nil
		}
		if w.files[at] == nil {
			return nil, missing(inos.CodeFileNotFound, "no file %q", q.Path)
		}
		if err := w.escrow(q.Owner, at, 0, q.Key.Id); err != nil {
			return nil, err
		}
		delete(w.files, at)
		w.versions[at]++
		w.deletes[keyOf(q.Key)] = w.versions[at]
		w.pendRecord(&eventpb.FileInfo{Owner: q.Owner, Path: q.Path, Version: w.versions[at], CreatedUs: q.NowUs}, true)
		return &eventpb.DeleteFileReply{Version: w.versions[at]}, nil
	case event.CondemnChunks:
		var q eventpb.CondemnChunksRequest
		w.open(e, &q)
		r := &eventpb.CondemnChunksReply{}
		for _, id := range sortedKeys(w.rows) {
			if len(r.Chunks) < int(q.Limit) && !w.referenced(id) {
				w.condemned[id] = true
				r.Chunks = append(r.Chunks, &eventpb.ChunkGeneration{ChunkId: []byte(id), Generation: w.rows[id].generation})
			}
		}
		return r, nil
	case event.ForgetChunks:
		var q eventpb.ForgetChunksRequest
		w.open(e, &q)
		r := &eventpb.ForgetChunksReply{}
		for _, g := range q.Chunks {
			if row := w.rows[string(g.ChunkId)]; row != nil && row.generation == g.Generation && !w.referenced(string(g.ChunkId)) {
				delete(w.rows, string(g.ChunkId))
				delete(w.condemned, string(g.ChunkId))
				r.Forgotten++
			}
		}
		return r, nil
	case event.UnknownChunks:
		var q eventpb.UnknownChunksRequest
		w.open(e, &q)
		r := &eventpb.UnknownChunksReply{}
		for _, id := range q.ChunkIds {
			if w.rows[string(id)] == nil {
				r.ChunkIds = append(r.ChunkIds, id)
			}
		}
		return r, nil
	case event.ChunkCopies:
		var q eventpb.ChunkCopiesRequest
		w.open(e, &q)
		r := &eventpb.ChunkCopiesReply{}
		for _, id := range q.ChunkIds {
			list := &eventpb.CopyList{}
			if row := w.rows[string(id)]; row != nil {
				list.Copies = w.copiesOf(row)
			}
			r.Chunks = append(r.Chunks, list)
		}
		return r, nil
	case event.NodeChunks:
		var q eventpb.NodeChunksRequest
		w.open(e, &q)
		r := &eventpb.NodeChunksReply{End: true}
		for _, id := range sortedKeys(w.rows) {
			if w.rows[id].copies[q.Node] == nil || w.condemned[id] || id <= string(q.After) {
				continue
			}
			if r.End = len(r.ChunkIds) < int(q.Limit); !r.End {
				break
			}
			r.ChunkIds = append(r.ChunkIds, []byte(id))
		}
		return r, nil
	case event.DropCopies:
		var q eventpb.DropCopiesRequest
		w.open(e, &q)
		r := &eventpb.DropCopiesReply{}
		for _, id := range q.ChunkIds {
			if row := w.rows[string(id)]; row != nil && row.copies[q.Node] != nil {
				delete(row.copies, q.Node)
				r.Dropped++
			}
		}
		return r, nil
	case event.OpenUpload, event.FindUpload, event.ListUploads, event.ExpiredUploads, event.ClaimSlots, event.FillSlot, event.EmptySlots, event.UploadSlots:
		return w.performUploads(e)
	case event.PruneReplies:
		return &eventpb.PruneRepliesReply{}, nil
	case event.Totals:
		r := &eventpb.TotalsReply{Files: uint64(len(w.files)), Chunks: uint64(len(w.rows))}
		for id, row := range w.rows {
			if r.Copies += uint64(len(row.copies)); w.wantedOf(id) == 0 {
				r.CollectableChunks++
			}
		}
		return r, nil
	}
	return w.performMesh(e)
}

// sound checks what must hold when nothing is under way: files readable, buffers released.
func (w *world) sound() {
	for _, id := range sortedKeys(w.told) {
		if row := w.rows[id]; row != nil && row.copies[w.boot.NodeId] != nil && !w.condemned[id] {
			w.problem("chunk %x is lost and the semantic memory was not told", id[:4])
		}
	}
	for _, at := range sortedKeys(w.files) {
		w.soundChunk(at, string(w.files[at].ManifestId))
	}
}

func (w *world) soundChunk(at, id string) {
	s, ok := w.chunks[id]
	if at := w.where(id); !ok && len(at) > 0 {
		s, ok = w.diskOf(at[0]).chunks[id]
	}
	if !ok && w.rotted[id] {
		return
	}
	if !ok {
		_, trashed := w.trash[id]
		w.problem("%s: chunk %x is not on disk (in the trash: %t)", at, id[:4], trashed)
		return
	}
	if w.rows[id] == nil {
		w.problem("%s: chunk %x has no row", at, id[:4])
	}
	if !s.node {
		return
	}
	for i := 0; i < len(s.entries); i += inos.EntryBytes {
		w.soundChunk(at, string(s.entries[i:i+32]))
	}
}

func keyOf(k *eventpb.RequestKey) string { return k.Subject + "\x00" + k.Id + "\x00" + k.EventType }

var debug = os.Getenv("KERNEL_DEBUG") != ""

func failureText(e *eventpb.Envelope) string {
	if event.StateOf(e.EventType) == event.StateFailed {
		return event.FailureOf(e).Error()
	}
	return ""
}

// chunkText names the chunks that an effect is about.
func chunkText(e *eventpb.Envelope) (s string) {
	switch e.EventType {
	case event.ContentWrite:
		var q eventpb.ContentWriteRequest
		_ = event.Open(e, &q)
		s = fmt.Sprintf("%x", q.ChunkId[:4])
	case event.ContentTrash, event.ForgetChunks:
		var q eventpb.ContentTrashRequest
		_ = event.Open(e, &q)
		for _, c := range q.Chunks {
			s += fmt.Sprintf(" %x@%d", c.ChunkId[:4], c.Generation)
		}
	case event.StageChunks, event.CommitFile:
		var q eventpb.StageChunksRequest
		var c eventpb.CommitFileRequest
		_ = event.Open(e, &q)
		rows := q.Chunks
		s = q.Upload
		if e.EventType == event.CommitFile {
			_ = event.Open(e, &c)
			rows = c.Chunks
			s = c.Upload
		}
		for _, r := range rows {
			s += fmt.Sprintf(" %x", r.Entry[:4])
		}
	}
	return s
}
