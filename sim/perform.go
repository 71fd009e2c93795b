package sim

import (
	"encoding/binary"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/verbs"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// latency draws how long an effect takes.
func (p *process) latency(effect string) inos.Micros {
	w, r := p.w, p.w.chance(effect)
	base := inos.Micros(200)
	switch service(effect) {
	case "content":
		base = 1500
		if w.now < p.disk.slowTo {
			base = 400 * inos.Millisecond
		}
		if effect == event.ContentProve {
			base += w.proveTime
		}
	case "semantic":
		base = 800
		if w.now < w.semantic.slowTo {
			base = 900 * inos.Millisecond
		}
	case "stream":
		base = w.clientPace
	}
	// Most are near the base, a few take long.
	d := base/4 + below(r, base)
	if r.IntN(16) == 0 {
		d += below(r, 12*base)
	}
	return 1 + d
}

// service is the part of an event type before its first colon.
func service(eventType string) string {
	for i := range len(eventType) {
		if eventType[i] == ':' {
			return eventType[:i]
		}
	}
	return eventType
}

// perform does what the effect asks, once.
func (f *effect) perform() {
	f.done = true
	f.message, f.err = f.p.perform(f)
}

func (p *process) perform(f *effect) (event.Message, error) {
	w, e := p.w, f.env
	switch service(e.EventType) {
	case "content":
		return p.performContent(f)
	case "semantic":
		return w.performSemantic(p, e)
	}
	switch e.EventType {
	case event.EpisodicRecord:
		return w.performRecord(e)
	case event.StreamRead:
		var q eventpb.StreamReadRequest
		w.open(e, &q)
		s := p.streams[q.Stream]
		if s == nil || s.gone {
			return nil, inos.Errorf(inos.CodeCanceled, "stream:read", "the client went away")
		}
		return s.give(f, &q)
	case event.StreamWrite:
		var q eventpb.StreamWriteRequest
		w.open(e, &q)
		s := p.streams[q.Stream]
		if s == nil || s.gone {
			return nil, inos.Errorf(inos.CodeCanceled, "stream:write", "the client went away")
		}
		return s.take(p, &q)
	case event.RecordSeal:
		return w.seal(f)
	case event.RecordOpen:
		var q eventpb.RecordOpenRequest
		w.open(e, &q)
		return w.unseal(p.buffer(q.Input))
	case event.InviteSign:
		var q eventpb.InviteSignRequest
		w.open(e, &q)
		return &eventpb.InviteSignReply{Text: "inos-invite:" + string(event.Payload(q.Invite))}, nil
	}
	w.violate("%s asks its host for %s", p, e.EventType)
	return nil, inos.Errorf(inos.CodeUnknownEvent, e.EventType, "this host performs no such effect")
}

// performContent is the process's disk.
func (p *process) performContent(f *effect) (event.Message, error) {
	w, e, d := p.w, f.env, p.disk
	if w.now < d.errorsTo && w.random.IntN(4) == 0 {
		if e.EventType == event.ContentWrite && w.random.IntN(2) == 0 {
			_, _ = p.performDisk(f) // done, and not told
		}
		f.out, f.buffer = nil, 0
		return nil, inos.Errorf(inos.CodeIO, event.Stage(e.EventType), "the disk fails")
	}
	return p.performDisk(f)
}

func (p *process) performDisk(f *effect) (event.Message, error) {
	w, e, d := p.w, f.env, p.disk
	switch e.EventType {
	case event.ContentWrite:
		var q eventpb.ContentWriteRequest
		w.open(e, &q)
		return p.writeChunk(&q)
	case event.ContentRead:
		var q eventpb.ContentReadRequest
		w.open(e, &q)
		id := w.chunkID(q.ChunkId)
		stored, err := d.store(q.Record).Get(background, id, nil)
		if err != nil {
			return nil, err
		}
		f.out, f.buffer = stored, q.Output
		return &eventpb.ContentReadReply{StoredBytes: lengthOf(stored)}, nil
	case event.ContentMissing:
		var q eventpb.ContentMissingRequest
		w.open(e, &q)
		missing, err := d.store(q.Record).Missing(background, w.chunkIDs(q.ChunkIds))
		return &eventpb.ContentMissingReply{ChunkIds: verbs.ChunkIDBytes(missing)}, err
	case event.ContentTrash:
		var q eventpb.ContentTrashRequest
		w.open(e, &q)
		return p.trashChunks(&q)
	case event.ContentEmptyTrash:
		var q eventpb.ContentEmptyTrashRequest
		w.open(e, &q)
		n, _, err := d.chunks.EmptyTrash(background, inos.Micros(q.BeforeUs)-p.offset, int(q.Limit))
		return &eventpb.ContentEmptyTrashReply{Chunks: uint32(n), Bytes: uint64(n) * averageStoredBytes}, err
	case event.ContentInventory:
		var q eventpb.ContentInventoryRequest
		w.open(e, &q)
		after, err := verbs.OptionalChunkID(q.After)
		if err != nil {
			return nil, err
		}
		ids, end, err := d.store(q.Record).Inventory(background, after, int(q.Limit))
		return &eventpb.ContentInventoryReply{ChunkIds: verbs.ChunkIDBytes(ids), End: end}, err
	case event.ContentScrub:
		var q eventpb.ContentScrubRequest
		w.open(e, &q)
		after, err := verbs.OptionalChunkID(q.After)
		if err != nil {
			return nil, err
		}
		s, err := d.store(q.Record).Scrub(background, after, int(q.Limit))
		return &eventpb.ContentScrubReply{
			Chunks: uint32(s.Chunks), StoredBytes: uint64(s.Chunks) * averageStoredBytes, Bad: verbs.ChunkIDBytes(s.Bad), Next: s.Next[:], End: s.End,
		}, err
	case event.ContentUsage:
		used, trash := d.used()
		return &eventpb.ContentUsage{
			Chunks: uint64(d.chunks.Usage().Chunks), UsedBytes: uint64(used), TrashBytes: uint64(trash), FreeBytes: uint64(d.free(w.now)),
			Records: uint64(d.records.Usage().Chunks),
		}, nil
	case event.ContentProve:
		var q eventpb.ContentProveRequest
		w.open(e, &q)
		id := w.chunkID(q.ChunkId)
		if _, err := d.chunks.Get(background, id, nil); err != nil {
			return nil, err
		}
		p.proved[id] = true
		f.out, f.buffer = proof(id, q.Leaf), q.Output
		return &eventpb.ContentProveReply{SliceBytes: uint32(len(f.out))}, nil
	}
	w.violate("%s asks its disk for %s", p, e.EventType)
	return nil, inos.Errorf(inos.CodeUnknownEvent, e.EventType, "no such effect")
}

// writeChunk keeps a chunk. A liar says so and does not.
func (p *process) writeChunk(q *eventpb.ContentWriteRequest) (event.Message, error) {
	w, d := p.w, p.disk
	id, b := w.chunkID(q.ChunkId), p.buffer(q.Input)
	if d.free(w.now) == 0 && !q.Record {
		return nil, inos.Errorf(inos.CodeDiskFull, "content:write_chunk", "the disk is full")
	}
	if !q.Record {
		p.wrote[id] = w.now
	}
	if p.liar.drops && chunkID(b) == id && w.random.IntN(3) > 0 {
		if !d.holds(id, q.Record) {
			d.spoil(id)
		}
		return &eventpb.ContentWriteReply{StoredBytes: lengthOf(b)}, nil
	}
	existed, err := d.store(q.Record).Put(background, id, b)
	if err != nil {
		return nil, err
	}
	delete(d.spoiled, id)
	return &eventpb.ContentWriteReply{Existed: existed, StoredBytes: lengthOf(b)}, nil
}

// trashChunks moves chunks out of sight, under the eyes of the checker.
func (p *process) trashChunks(q *eventpb.ContentTrashRequest) (event.Message, error) {
	w, d := p.w, p.disk
	ids := make([]inos.ChunkID, len(q.Chunks))
	for i, c := range q.Chunks {
		ids[i] = w.chunkID(c.ChunkId)
		if !q.Record {
			w.checkTrash(p, ids[i])
		} else {
			w.checkTrashRecord(p, ids[i])
		}
	}
	chunks, _, err := d.store(q.Record).Trash(background, ids)
	return &eventpb.ContentTrashReply{Chunks: uint32(chunks), Bytes: uint64(chunks) * averageStoredBytes}, err
}

// chunkID reads an id that a kernel sent.
func (w *World) chunkID(b []byte) inos.ChunkID {
	id, err := verbs.ChunkID(b)
	if err != nil {
		w.violate("a kernel sent a chunk id of %d bytes", len(b))
	}
	return id
}

func (w *World) chunkIDs(raw [][]byte) []inos.ChunkID {
	ids := make([]inos.ChunkID, len(raw))
	for i, b := range raw {
		ids[i] = w.chunkID(b)
	}
	return ids
}

func (w *World) open(e *eventpb.Envelope, m event.Message) {
	if err := event.Open(e, m); err != nil {
		w.violate("%s does not decode: %v", e.EventType, err)
	}
}

// beginWorker starts an effect on a worker. Calls of one worker end in their order.
func (p *process) beginWorker(f *effect) {
	w, e := p.w, f.env
	switch e.EventType {
	case event.WorkerStart:
		var q eventpb.WorkerStartRequest
		w.open(e, &q)
		at := w.now + 20*inos.Millisecond + w.micros(100*inos.Millisecond)
		w.at(at, func() {
			if f.ended || p.life != f.life || int(q.Worker) >= len(p.workers) {
				return
			}
			x := &p.workers[q.Worker]
			if x.up {
				w.violate("%s starts worker %d twice", p, q.Worker)
			}
			w.pids++
			*x = worker{pid: w.pids, up: true}
			f.done, f.message = true, &eventpb.WorkerStartReply{Pid: x.pid, Module: &eventpb.ModuleInfo{Id: moduleID[:], Name: "storage", Version: "sim"}}
			f.tell()
		})
	case event.WorkerStop:
		var q eventpb.WorkerStopRequest
		w.open(e, &q)
		x := &p.workers[q.Worker]
		at := w.now + inos.Millisecond
		if !q.Kill {
			at = max(at, x.free)
		}
		w.at(at, func() {
			if f.ended || p.life != f.life {
				return
			}
			f.done, f.message = true, &eventpb.WorkerStopReply{}
			f.tell()
			p.killWorker(int(q.Worker), "stopped")
		})
	case event.WorkerCall:
		var q eventpb.WorkerCallRequest
		w.open(e, &q)
		x := &p.workers[q.Worker]
		if !x.up {
			f.done, f.err = true, inos.Errorf(inos.CodeWorkerLost, "worker:call", "worker %d is not there", q.Worker)
			w.at(w.now+10, f.end)
			return
		}
		inner, err := event.Decode(q.Envelope)
		if err != nil {
			w.violate("the module's envelope: %v", err)
			return
		}
		var in []byte
		if q.Input != 0 {
			in = p.buffer(q.Input)
		}
		x.free = max(x.free, w.now) + w.workTime/2 + w.micros(w.workTime)
		pid := x.pid
		w.at(x.free, func() {
			if f.ended || p.life != f.life || p.workers[q.Worker].pid != pid {
				return
			}
			m, out, failure := w.module(inner, in)
			if p == w.board && inner.EventType == event.VerifyProof {
				w.verified(q.Input, failure == nil)
			}
			r := &eventpb.WorkerCallReply{}
			if failure != nil {
				r.Envelope = event.Encode(nil, event.Failed(inner, p.now(), failure))
			} else {
				r.Envelope = event.Encode(nil, event.Reply(inner, event.StateCompleted, p.now(), event.Payload(m)))
				if q.Output != 0 && out != nil {
					r.OutputBytes = lengthOf(out)
					f.out, f.buffer = out, q.Output
				}
			}
			f.done, f.message = true, r
			f.tell()
		})
	}
}

// killWorker ends a worker's process: its calls fail first, in order, then its exit is told.
func (p *process) killWorker(slot int, reason string) {
	if !p.up || slot >= len(p.workers) || !p.workers[slot].up {
		return
	}
	pid := p.workers[slot].pid
	p.workers[slot] = worker{}
	var lost []*effect
	for _, f := range p.pending {
		var q eventpb.WorkerCallRequest
		if f.env.EventType == event.WorkerCall && !f.ended && event.Open(f.env, &q) == nil && int(q.Worker) == slot {
			lost = append(lost, f)
		}
	}
	sortEffects(lost)
	life := p.life
	for _, f := range lost {
		if p.up && p.life == life {
			f.done, f.err = true, inos.Errorf(inos.CodeWorkerLost, "worker:call", "worker %d ended: %s", slot, reason)
			f.tell()
		}
	}
	if p.up && p.life == life {
		p.give(p.hostEnvelope(event.WorkerExit, &eventpb.WorkerExit{Worker: uint32(slot), Pid: pid, Reason: reason}))
	}
}

// seal makes a commit record: the record, a nonce, and the mark of this mesh.
func (w *World) seal(f *effect) (event.Message, error) {
	var q eventpb.RecordSealRequest
	w.open(f.env, &q)
	if !f.p.switchboard {
		w.violate("%s seals a record and is no switchboard", f.p)
	}
	w.nonce++
	b := append([]byte{kindRecord}, meshMark...)
	b = binary.LittleEndian.AppendUint64(b, w.nonce)
	b = append(b, event.Payload(q.Record)...)
	id := chunkID(b)
	w.sealed(id, q.Record)
	f.out, f.buffer = b, q.Output
	return &eventpb.RecordSealReply{RecordId: id[:], SealedBytes: uint32(len(b))}, nil
}

// meshMark stands for the signature and the seal of this mesh.
const meshMark = "this mesh"

// unseal opens a commit record; one of another mesh, or of no mesh, is refused.
func (w *World) unseal(b []byte) (event.Message, error) {
	head := 1 + len(meshMark) + 8
	if len(b) < head || b[0] != kindRecord || string(b[1:1+len(meshMark)]) != meshMark {
		return nil, inos.Errorf(inos.CodeBadFormat, "record:open", "not a record of this mesh")
	}
	r := &eventpb.Record{}
	if err := r.UnmarshalVT(b[head:]); err != nil {
		return nil, inos.Errorf(inos.CodeBadFormat, "record:open", "%v", err)
	}
	return &eventpb.RecordOpenReply{Record: r, SignedUs: r.GetFile().GetCreatedUs()}, nil
}

// performRecord keeps history.
func (w *World) performRecord(e *eventpb.Envelope) (event.Message, error) {
	var q eventpb.RecordRequest
	w.open(e, &q)
	for _, r := range q.Events {
		w.learnHistory(r)
	}
	return &eventpb.RecordReply{}, nil
}
