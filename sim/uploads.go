package sim

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// uploader is a client that sends a file in pieces. Whatever ends a request, or the client itself, it goes on from what the mesh says is there.
type uploader struct {
	w         *World
	plan      *uploadPlan
	id        string // of its upload; empty: it knows of none
	run       int    // counts its lives: what a life before asked means nothing to it
	missing   []uint64
	underWay  int // chunks
	failed    bool
	resumes   int
	committed bool                    // it was told so
	held      map[uint64]inos.ChunkID // what the semantic memory has said, or the client was told, to be there
	cuts      []inos.Micros
	again     int
	over      bool
}

const (
	// resumesMax bounds how often one goes on before it gives up.
	resumesMax = 12
	// piecesMax bounds the chunks that it has on their way.
	piecesMax = 4
)

// upload begins to send a file.
func (w *World) upload(plan *uploadPlan) {
	u := &uploader{w: w, plan: plan, cuts: plan.cuts, again: plan.again, held: map[uint64]inos.ChunkID{}}
	w.uploaders = append(w.uploaders, u)
	u.live()
}

// live begins a life of the client, which may be cut short.
func (u *uploader) live() {
	if u.over {
		return
	}
	u.run++
	u.missing, u.underWay, u.failed = nil, 0, false
	if len(u.cuts) > 0 && !u.w.ending {
		after := u.cuts[0]
		u.cuts = u.cuts[1:]
		run := u.run
		u.w.at(u.w.now+after, func() {
			if u.run == run && !u.over && !u.w.ending {
				u.cut()
			}
		})
	}
	if u.id == "" {
		u.ask(opUploadOpen, 0)
		return
	}
	u.claim()
}

// cut ends the client: its connections break, and it comes back later.
func (u *uploader) cut() {
	w := u.w
	w.logf("the client of upload %s is gone", u.id)
	u.run++
	for _, id := range sortedKeys(w.clients.open) {
		r := w.clients.open[id]
		if r.op.upload != u {
			continue
		}
		r.deserted = true
		if s, b := r.stream, r.board; s != nil && !s.gone && b.up && b.life == r.life {
			s.gone = true
			b.give(b.hostEnvelope(event.RequestGone, &eventpb.RequestGone{Id: r.id}))
		}
	}
	if u.plan.fate == fateForget && u.id != "" {
		u.over = true
		return
	}
	u.later()
}

// later goes on after a while, as often as it may; then it gives the upload up.
func (u *uploader) later() {
	w := u.w
	if u.resumes++; u.resumes > resumesMax {
		u.over = true
		return
	}
	run := u.run
	w.at(w.now+100*inos.Millisecond+w.micros(10*inos.Second), func() {
		if u.run == run {
			u.live()
		}
	})
}

func (u *uploader) ask(kind int, index uint64) {
	p := u.plan
	u.w.ask(&op{
		kind: kind, who: p.who, path: p.path, body: p.body, replicas: p.wanted, sync: p.sync, expect: p.expect, tries: p.tries, length: -1,
		upload: u, uploadID: u.id, uploadRun: u.run, index: index,
	})
}

func (u *uploader) claim() {
	if u.plan.body.chunks() == 0 {
		u.whole()
		return
	}
	u.ask(opUploadClaim, 0)
}

// pieces sends what is missing, some at a time.
func (u *uploader) pieces() {
	for len(u.missing) > 0 && u.underWay < piecesMax && !u.failed {
		index := u.missing[0]
		u.missing = u.missing[1:]
		u.underWay++
		u.ask(opUploadSend, index)
	}
	if u.underWay > 0 {
		return
	}
	if u.failed {
		u.later()
		return
	}
	u.whole()
}

// whole does with an upload of which nothing is missing what it was begun for.
func (u *uploader) whole() {
	switch u.plan.fate {
	case fateCommit:
		u.ask(opUploadCommit, 0)
	case fateDrop:
		u.ask(opUploadDrop, 0)
	default:
		u.over = true
	}
}

// ended goes on when a request has.
func (u *uploader) ended(r *request, err *inos.Error) {
	if u.run != r.op.uploadRun || u.over || r.deserted {
		return
	}
	switch r.op.kind {
	case opUploadSend:
		u.underWay--
		u.failed = u.failed || err != nil
		if err != nil && err.Code == inos.CodeReplicasUnreachable {
			u.over = true // the mesh does not become larger for it
			return
		}
		u.pieces()
	case opUploadCommit:
		if err == nil {
			u.committed = true
			if u.again--; u.again >= 0 {
				u.ask(opUploadCommit, 0) // as if the answer had been lost
				return
			}
			u.over = true
			return
		}
		u.uncommitted(err)
	case opUploadDrop:
		u.over = err == nil || err.Code == inos.CodeUploadUnknown
		if !u.over {
			u.later()
		}
	case opUploadOpen, opUploadClaim:
		switch {
		case err == nil && r.op.kind == opUploadOpen:
			u.claim()
		case err == nil:
			u.pieces()
		case err.Code == inos.CodeUploadUnknown && u.w.truth.byKey[u.id] != nil:
			u.ask(opUploadCommit, 0) // it was committed, and the answer is not known
		default:
			u.later()
		}
	}
}

// uncommitted goes on after a commit that was refused.
func (u *uploader) uncommitted(err *inos.Error) {
	if err.Code == inos.CodeUploadUnknown {
		if v := u.w.truth.byKey[u.id]; v != nil {
			u.w.violate("upload %s was committed as version %d of %s, and a commit that asks again is told that there is none", u.id, v.number, u.plan.path)
		}
		u.w.violate("upload %s of %s is gone, and nobody committed or dropped it", u.id, u.plan.path)
	}
	u.later()
}

// forget drops the uploads that nobody goes on with: they would be kept for a day.
func (w *World) forget() {
	for who, s := range sessions {
		open, _, err := w.semantic.ListUploads(background, inos.Subject(s.Subject), inos.Subject(s.Subject), "", 0)
		if err != nil {
			w.violate("list uploads: %v", err)
		}
		for i := range open {
			id := string(open[i].ID)
			used := slices.ContainsFunc(w.uploaders, func(u *uploader) bool { return u.id == id && !u.over })
			asked := slices.ContainsFunc(sortedKeys(w.clients.open), func(k string) bool { return w.clients.open[k].op.uploadID == id })
			if !used && !asked {
				w.ask(&op{kind: opUploadDrop, who: who, path: string(open[i].Path), length: -1, tries: 8, uploadID: id})
			}
		}
	}
}

// uploadMessage is the request of an op about an upload.
func (r *request) uploadMessage() (string, event.Message) {
	o := r.op
	switch o.kind {
	case opUploadOpen:
		q := &eventpb.UploadsOpenRequest{Path: o.path, PlainBytes: o.body.bytes, Replicas: o.replicas, Sync: o.sync, ContentType: "text/plain"}
		if o.expect {
			id := o.body.fileID()
			q.FileId = id[:]
		}
		return event.UploadsOpen, q
	case opUploadClaim:
		q := &eventpb.UploadsClaimRequest{Upload: o.uploadID}
		for i := range o.body.chunks() {
			h := plainHash(o.body.piece(i))
			q.PlainHashes = append(q.PlainHashes, h[:])
		}
		return event.UploadsClaim, q
	case opUploadSend:
		entry, _ := r.w.encode(o.body.piece(o.index), o.index*inos.ChunkBytesMax, uploadQuality)
		return event.UploadsSend, &eventpb.UploadsSendRequest{
			Upload: o.uploadID, Index: o.index, ChunkId: entry.ChunkID[:], Stream: r.number, StoredBytes: entry.StoredBytes, Quality: uint32(entry.Quality),
		}
	case opUploadCommit:
		q := &eventpb.UploadsCommitRequest{Upload: o.uploadID}
		if o.expect {
			id := o.body.fileID()
			q.FileId = id[:]
		}
		return event.UploadsCommit, q
	}
	return event.UploadsDrop, &eventpb.UploadsDropRequest{Upload: o.uploadID}
}

// uploadQuality is another one than the node's own: the same plain bytes have two stored forms.
const uploadQuality = 5

// piece returns the descriptor of a chunk's bytes.
func (c body) piece(index uint64) []byte {
	at := index * inos.ChunkBytesMax
	return c.chunk(at, min(inos.ChunkBytesMax, c.bytes-at))
}

// givePiece is stream:read of a chunk in its stored form.
func (s *stream) givePiece(f *effect, q *eventpb.StreamReadRequest) (event.Message, error) {
	o := s.r.op
	entry, stored := s.r.w.encode(o.body.piece(o.index), o.index*inos.ChunkBytesMax, uploadQuality)
	if uint64(q.MaxBytes) < entry.StoredBytes {
		s.r.w.violate("%d bytes are read of a chunk of %d", q.MaxBytes, entry.StoredBytes)
	}
	f.out, f.buffer = stored, q.Output
	return &eventpb.StreamReadReply{Bytes: uint32(entry.StoredBytes), End: true, PlainHash: entry.ChunkID[:]}, nil
}

// checkUpload looks at a good answer about an upload.
func (w *World) checkUpload(r *request, e *eventpb.Envelope) {
	u := r.op.upload
	switch r.op.kind {
	case opUploadOpen:
		m := &eventpb.UploadsOpenReply{}
		w.open(e, m)
		if m.Upload.GetId() != r.id || m.Upload.GetPath() != r.op.path || m.Upload.GetChunks() != r.op.body.chunks() {
			w.violate("upload %s of %s is opened as %v", r.id, r.op.path, m.Upload)
		}
		if !r.deserted {
			u.id = m.Upload.GetId()
		}
	case opUploadClaim:
		m := &eventpb.UploadsClaimReply{}
		w.open(e, m)
		if u.run == r.op.uploadRun {
			u.missing = m.Missing
		}
	case opUploadSend:
		m := &eventpb.UploadsSendReply{}
		w.open(e, m)
		if m.Chunk.GetIndex() != r.op.index {
			w.violate("chunk %d of upload %s is taken for chunk %d", r.op.index, r.op.uploadID, m.Chunk.GetIndex())
		}
		u.held[r.op.index] = w.chunkID(m.Chunk.GetChunkId())
	case opUploadCommit:
		w.checkPut(r, e)
	}
}

// uploaderOf returns who has opened an upload, or nil.
func (w *World) uploaderOf(id string) *uploader {
	for _, u := range w.uploaders {
		if u.id == id {
			return u
		}
	}
	return nil
}

// checkClaimedSlots looks at what a claim says is missing: nothing that was there, and that the map knows a copy of still.
func (w *World) checkClaimedSlots(q *eventpb.ClaimSlotsRequest, r *eventpb.ClaimSlotsReply) {
	u := w.uploaderOf(q.Upload)
	if u == nil {
		return
	}
	for _, index := range r.Missing {
		id, was := u.held[index]
		if copies, err := w.semantic.ChunkCopies(background, []inos.ChunkID{id}); was && (err != nil || len(copies[0]) > 0) {
			w.violate("chunk %d of upload %s is there as %s, and is to be sent once more", index, q.Upload, id)
		}
		delete(u.held, index)
	}
	slots, err := w.semantic.UploadSlots(background, inos.UploadID(q.Upload), q.First, len(q.PlainHashes))
	if err != nil {
		w.violate("slots of %s: %v", q.Upload, err)
	}
	for _, s := range slots {
		u.held[s.Index] = s.Entry.ChunkID
	}
}

// key names what a request makes, as the semantic memory does.
func (r *request) key() string {
	if r.op.kind == opUploadCommit {
		return r.op.uploadID
	}
	return r.id
}

// makes says that the request makes a version of its body.
func (r *request) makes() bool { return r.op.kind == opPut || r.op.kind == opUploadCommit }

// admitChunk is the module's look at a chunk that a client sent.
func (w *World) admitChunk(e *eventpb.Envelope, in []byte) (event.Message, []byte, error) {
	var q eventpb.AdmitChunkRequest
	if err := event.Open(e, &q); err != nil {
		return nil, nil, err
	}
	plain := plainOf(in)
	if id := chunkID(in); plain == nil || string(id[:]) != string(q.ChunkId) || lengthOf(plain) != q.PlainBytes {
		return nil, nil, inos.Errorf(inos.CodeChunkCorrupt, "storage:admit_chunk", "the stored bytes are not the chunk's")
	}
	entry, _ := w.encode(plain, q.OffsetBytes, in[1])
	return &eventpb.AdmitChunkReply{Entry: inos.AppendEntry(nil, &entry)}, nil, nil
}
