package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Two kinds of put are about an upload (uploads.go). A piece is one chunk in its stored form: its bytes are hashed by the host as they are read,
// inflated once by a worker that believes nothing, written like any chunk, and put into the upload's slot. The commit is a put of a file whose
// chunks are there: they are gone through page by page, each as one that was found.

// home names what draws the chunks of a put to their domains: all of an upload to the same ones.
func (p *put) home() string {
	if p.into != "" {
		return p.into
	}
	return p.upload
}

// assembles says that the put makes a file of an upload.
func (p *put) assembles() bool { return p.into != "" && !p.piece }

// aborts says that what the put has pinned is to be let go of when it fails. What an upload has stays until that is over; what its commit gives to the
// collector is pinned under another name (puts.letGo).
func (p *put) aborts() bool { return p.pinned && (!p.assembles() || p.phase == putCleaning) }

// acceptPiece reads an uploads:send.
func (u *puts) acceptPiece(p *put, e *eventpb.Envelope) *inos.Error {
	const op = "uploads:send"
	var q eventpb.UploadsSendRequest
	if err := event.Open(e, &q); err != nil {
		return inos.Errorf(inos.CodeBadRequest, op, "%w", err)
	}
	switch {
	case q.Upload == "" || len(q.Upload) > inos.IDBytesMax:
		return inos.Errorf(inos.CodeBadRequest, op, "an upload's id of %d bytes", len(q.Upload))
	case q.Stream == 0:
		return inos.Errorf(inos.CodeBadRequest, op, "the request names no stream to read the chunk from")
	case len(q.ChunkId) != inos.HashBytes:
		return inos.Errorf(inos.CodeBadRequest, op, "the chunk id has %d bytes, it has %d", len(q.ChunkId), inos.HashBytes)
	case q.StoredBytes == 0 || q.StoredBytes > inos.StoredBytesMax:
		return inos.Errorf(inos.CodeBadRequest, op, "%d stored bytes, a chunk has 1 to %d", q.StoredBytes, inos.StoredBytesMax)
	}
	p.into, p.piece, p.index, p.stream = q.Upload, true, q.Index, q.Stream
	p.named, p.length, p.quality = inos.ChunkID(q.ChunkId), int64(q.StoredBytes), q.Quality
	p.upload = event.NewID(u.k.now, u.k.random.ten())
	return nil
}

// acceptUpload reads an uploads:commit.
func (u *puts) acceptUpload(p *put, e *eventpb.Envelope) *inos.Error {
	const op = "uploads:commit"
	var q eventpb.UploadsCommitRequest
	if err := event.Open(e, &q); err != nil {
		return inos.Errorf(inos.CodeBadRequest, op, "%w", err)
	}
	switch {
	case q.Upload == "" || len(q.Upload) > inos.IDBytesMax:
		return inos.Errorf(inos.CodeBadRequest, op, "an upload's id of %d bytes", len(q.Upload))
	case len(q.FileId) != 0 && len(q.FileId) != inos.HashBytes:
		return inos.Errorf(inos.CodeBadRequest, op, "the file id has %d bytes, it has %d", len(q.FileId), inos.HashBytes)
	}
	p.into, p.upload, p.expected = q.Upload, q.Upload, q.FileId
	return nil
}

// lookUpload asks what the upload is that a put is about.
func (u *puts) lookUpload(p *put) {
	u.looking = append(u.looking, p.work)
	q := &eventpb.FindUploadRequest{Upload: p.into, Index: p.index}
	if p.assembles() {
		q.Key = p.key()
	}
	u.send(p, opUpload, 0, event.FindUpload, 0, q)
}

// foundUpload takes the upload that a put is about, and lets the put wait for its turn.
func (u *puts) foundUpload(p *put, a *answer) *inos.Error {
	var r eventpb.FindUploadReply
	switch {
	case a.err != nil && a.err.Code == inos.CodeUploadUnknown:
		return u.k.uploads.mayUse(&p.origin, nil, p.into) // what is not there and what is not his read alike
	case a.err != nil:
		return a.err
	}
	if err := event.Open(a.env, &r); err != nil {
		return inos.Errorf(inos.CodeInternal, "semantic:find_upload", "%w", err)
	}
	if r.Committed != nil {
		if err := u.mayRepeat(p, r.Committed); err != nil {
			return err
		}
		p.file, p.path = r.Committed, inos.Path(r.Committed.Path)
	} else if err := u.joins(p, &r); err != nil || p.answered {
		return err
	}
	for i, work := range u.looking {
		if work == p.work {
			u.looking = append(u.looking[:i:i], u.looking[i+1:]...)
			break
		}
	}
	u.waiting = append(u.waiting, p.work)
	return nil
}

// key names the request for what is done once only. An upload becomes a file once, whichever request says so: who has lost the answer to its commit
// asks again, with another id, and gets the same version for as long as replies are remembered.
func (p *put) key() *eventpb.RequestKey {
	k := &eventpb.RequestKey{Subject: string(p.subject), Id: p.id, EventType: p.eventType}
	if p.assembles() {
		k.Id = p.into
	}
	return k
}

// mayRepeat says that the sender of a commit may have the answer to the one before it.
func (u *puts) mayRepeat(p *put, f *eventpb.FileInfo) *inos.Error {
	switch {
	case f.Owner != string(p.owner):
		return u.k.uploads.mayUse(&p.origin, nil, p.into)
	case u.assembling(p.into, p.work):
		return again(inos.Errorf(inos.CodeBusy, p.stage(), "the commit record of the upload %s is being written", p.into))
	case len(p.expected) != 0 && string(p.expected) != string(f.FileId):
		return inos.Errorf(inos.CodeBodyMismatch, p.stage(), "the upload has become the file %x, not %x", f.FileId, p.expected)
	}
	return u.k.governance.mayWrite(&p.origin, inos.Path(f.Path))
}

// joins takes what a put has to know of its upload. A chunk that is there is answered at once.
func (u *puts) joins(p *put, r *eventpb.FindUploadReply) *inos.Error {
	k, up := u.k, r.Upload
	if err := k.uploads.mayUse(&p.origin, up, p.into); err != nil {
		return err
	}
	p.path, p.contentType, p.wanted, p.sync = inos.Path(up.Path), up.ContentType, up.Replicas, up.Sync
	if p.piece {
		if p.index >= up.Chunks {
			return inos.Errorf(inos.CodeBadRequest, p.stage(), "chunk %d of a file of %d", p.index, up.Chunks)
		}
		if s := r.Slot; s != nil && len(s.Entry) == inos.EntryBytes && inos.ChunkID(s.Entry[:inos.HashBytes]) == p.named {
			entry, err := inos.ParseEntry(s.Entry)
			if err != nil {
				return inos.Errorf(inos.CodeInternal, "semantic:find_upload", "%w", err)
			}
			k.complete(&p.origin, &eventpb.UploadsSendReply{Existed: true, Chunk: uploadChunk(p.index, &entry)}, "")
			u.remove(p)
			return nil
		}
		p.plain, p.next = uint32(min(up.PlainBytes-p.index*inos.ChunkBytesMax, inos.ChunkBytesMax)), p.index
		return u.crowded(p)
	}
	switch {
	case k.uploads.ending(p.into):
		return k.uploads.mayUse(&p.origin, nil, p.into)
	case u.assembling(p.into, p.work):
		return inos.Errorf(inos.CodeConflict, p.stage(), "the upload %s is being committed", p.into)
	case u.entering(p.into):
		return again(inos.Errorf(inos.CodeBusy, p.stage(), "a commit of the upload %s that has failed is being taken back", p.into))
	case up.Held < up.Chunks:
		return inos.Errorf(inos.CodeUploadIncomplete, p.stage(), "%s of %d are missing", plural(up.Chunks-up.Held, "chunk", "chunks"), up.Chunks)
	case len(up.FileId) != 0 && len(p.expected) != 0 && string(up.FileId) != string(p.expected):
		return inos.Errorf(inos.CodeBodyMismatch, p.stage(), "the upload was opened for the file %x, not %x", up.FileId, p.expected)
	case len(p.expected) == 0:
		p.expected = up.FileId
	}
	p.total, p.length, p.ended = up.Chunks, int64(up.PlainBytes), up.Chunks == 0
	return nil
}

// assembling says that another commit of an upload has begun.
func (u *puts) assembling(upload string, work uint64) bool {
	for _, w := range sortedKeys(u.table) {
		if p := u.table[w]; w != work && p.assembles() && p.into == upload && (p.total > 0 || p.ended) && p.phase < putFailing {
			return true
		}
	}
	return false
}

// entering says that a commit of the upload which has failed is about to pin something still: were the upload ended before, it would be there again, and
// nobody would end it.
func (u *puts) entering(upload string) bool {
	for _, work := range sortedKeys(u.table) {
		if p := u.table[work]; p.assembles() && p.into == upload && p.phase == putFailing && len(p.pinning)+len(p.staging) > 0 {
			return true
		}
	}
	return false
}

// coming says that a chunk of an upload from first on, one of count, has arrived and is being stored, or (also those that are on their way)
// is being read, or waits for its turn: what its sender has sent is with the host then, whole or not.
func (u *puts) coming(upload string, first, count uint64, reading bool) bool {
	awaited := func(p *put) bool { return p.piece && p.into == upload && p.index >= first && p.index-first < count }
	for _, p := range u.active {
		if awaited(p) && p.phase == putRunning && (p.ended || reading) {
			return true
		}
	}
	return reading && slices.ContainsFunc(slices.Concat(u.looking, u.waiting), func(work uint64) bool { return awaited(u.table[work]) })
}

// arrived takes the bytes of a piece.
func (u *puts) arrived(p *put, x *chunk, r *eventpb.StreamReadReply) *inos.Error {
	switch {
	case uint64(r.Bytes) < uint64(p.length):
		return inos.Errorf(inos.CodeBodyTruncated, "read chunk", "the body ended after %d of %d bytes", r.Bytes, p.length)
	case uint64(r.Bytes) > uint64(p.length) || len(r.PlainHash) != inos.HashBytes:
		return inos.Errorf(inos.CodeInternal, "stream:read", "the host read %d bytes and a hash of %d", r.Bytes, len(r.PlainHash))
	case string(r.PlainHash) != string(p.named[:]):
		return inos.Errorf(inos.CodeBodyMismatch, "read chunk", "%d bytes hash to %x, not to the id %s", r.Bytes, r.PlainHash, p.named)
	}
	p.ended = true
	x.state, x.bytes = chunkEncoding, p.plain
	u.module(p, opAdmitPiece, x.index, event.AdmitChunk, job{input: x.input, bytes: uint64(p.plain), key: p.named},
		&eventpb.AdmitChunkRequest{OffsetBytes: p.index * inos.ChunkBytesMax, ChunkId: p.named[:], PlainBytes: p.plain, Quality: p.quality})
	return nil
}

// admission reads what a worker says of a chunk.
func admissionOf(a *answer) (entry inos.Entry, failure *inos.Error) {
	if a.err != nil {
		return entry, a.err
	}
	var r eventpb.AdmitChunkReply
	if err := event.Open(a.env, &r); err != nil {
		return entry, inos.Errorf(inos.CodeModuleFailed, "storage:admit_chunk", "%w", err)
	}
	entry, err := inos.ParseEntry(r.Entry)
	if err != nil {
		return entry, inos.Errorf(inos.CodeModuleFailed, "storage:admit_chunk", "%w", err)
	}
	return entry, nil
}

// admitted takes the entry of a piece, and writes it.
func (u *puts) admitted(p *put, a *answer) *inos.Error {
	entry, err := admissionOf(a)
	if err != nil {
		if err.Code == inos.CodeChunkCorrupt || err.Code == inos.CodeBadFormat {
			return inos.Errorf(inos.CodeBodyMismatch, "admit chunk", "%s", err.Message) // its sender's fault
		}
		return err
	}
	x := p.chunk(a.slot)
	if entry.ChunkID != p.named || entry.PlainBytes != uint64(p.plain) || entry.StoredBytes != uint64(p.length) || entry.Chunks != 1 {
		return inos.Errorf(inos.CodeModuleFailed, "storage:admit_chunk", "the entry returned is of another chunk")
	}
	x.entry, x.hash, x.output, x.input = entry, entry.PlainHash, x.input, 0
	u.formed(p, x)
	return nil
}

// fill puts a piece that is written into its slot.
func (u *puts) fill(p *put) {
	if len(p.rows) == 0 || len(p.staging) > 0 || !u.solid(p, p.rows) {
		return
	}
	p.staging, p.rows = p.rows, nil
	u.send(p, opFill, p.index, event.FillSlot, 0, &eventpb.FillSlotRequest{
		Upload: p.into, Index: p.index, Chunk: u.chunkRow(p, p.staging[0]), ExpiresUs: int64(u.k.now + uploadLife),
	})
}

// filled answers the sender of a piece.
func (u *puts) filled(p *put, a *answer) *inos.Error {
	if a.err != nil {
		u.unstaged(p)
		if u.membersChanged(p, a.err) {
			return nil
		}
		return a.err
	}
	rows := p.staging
	p.staging = nil
	u.rowed(p, rows)
	u.wantShorts(p)
	u.k.complete(&p.origin, &eventpb.UploadsSendReply{Chunk: uploadChunk(p.index, &rows[0].entry)}, "")
	u.remove(p)
	return nil
}

// committedBefore goes on with a commit that has happened already: its record may not be written yet.
func (u *puts) committedBefore(p *put) {
	p.phase, p.repeated = putRecording, true
	u.k.records.write(&p.origin, threadPut, &eventpb.Record{File: p.file}, p.quorum, nil, nil)
}

// readSlots asks for the next page of an upload's chunks; false when there is no room for any of them.
func (u *puts) readSlots(p *put, window int) bool {
	if p.phase != putRunning || p.reading || p.ended || len(p.chunks) >= window || len(p.rows)+len(p.staging) >= pendingRowsMax || u.k.members.someComing() {
		return true // who has not come yet after a start may be one that holds them
	}
	for p.asked < uint32(min(uint64(window-len(p.chunks)), p.total-p.next)) && u.k.reserve(&u.buffers, 3) {
		p.asked++
	}
	if p.asked == 0 {
		return false
	}
	p.reading = true
	u.send(p, opSlots, 0, event.UploadSlots, 0, &eventpb.UploadSlotsRequest{Upload: p.into, First: p.next, Limit: p.asked})
	return true
}

// hasSlots takes a page of chunks: each is looked for on its nodes, and described anew if that was for another offset.
func (u *puts) hasSlots(p *put, a *answer) *inos.Error {
	k := u.k
	p.reading = false
	var r eventpb.UploadSlotsReply
	switch {
	case a.err != nil && a.err.Code == inos.CodeUploadUnknown: // it was open when it was looked for: another commit has ended since, or it was dropped
		return again(inos.Errorf(inos.CodeBusy, p.stage(), "the upload %s has ended a moment ago: asked again, it is known how", p.into))
	case a.err != nil:
		return a.err
	}
	if err := event.Open(a.env, &r); err != nil || len(r.Slots) > int(p.asked) {
		return inos.Errorf(inos.CodeInternal, "semantic:upload_slots", "%d slots of %d asked", len(r.Slots), p.asked)
	}
	for _, s := range r.Slots {
		entry, err := inos.ParseEntry(s.Entry)
		want := min(uint64(p.length)-p.next*inos.ChunkBytesMax, inos.ChunkBytesMax)
		switch {
		case s.Index != p.next:
			return p.lacking(p.next, s.Index-p.next)
		case err != nil || entry.PlainBytes != want || entry.Chunks != 1:
			return inos.Errorf(inos.CodeInternal, "semantic:upload_slots", "the entry of chunk %d is not one of this file", s.Index)
		case k.holds(entry.ChunkID):
			return p.lacking(p.next, 1)
		}
		x := &chunk{index: p.next, state: chunkKnown, bytes: uint32(entry.PlainBytes), hash: entry.PlainHash, entry: entry, told: s.Described}
		p.asked--
		p.got += entry.PlainBytes
		p.next++
		p.chunks = append(p.chunks, x)
		k.collector.live(entry.ChunkID)
		p.check = append(p.check, x.index)
		if !x.told {
			p.underWay++
			k.fetch(&p.origin, ask{owner: threadPut, op: opReread, work: p.work, slot: x.index}, entry.ChunkID, entry.StoredBytes, nil)
		}
	}
	if p.asked > 0 {
		return p.lacking(p.next, uint64(p.asked))
	}
	p.ended = p.next == p.total
	return nil
}

// reread takes the bytes of a chunk that was stored for another offset. They are verified; what is to be learned of them is their chaining value.
func (u *puts) reread(p *put, a *answer) *inos.Error {
	x := p.chunk(a.slot)
	if a.err != nil {
		if a.err.Code == inos.CodeChunkNotFound || a.err.Code == inos.CodeChunkCorrupt {
			u.empty(p, []uint64{x.index})
			return p.lacking(x.index, 1)
		}
		return a.err
	}
	x.input = a.buffer
	u.module(p, opChain, x.index, event.AdmitChunk, job{input: x.input, bytes: uint64(x.bytes), key: x.entry.ChunkID}, &eventpb.AdmitChunkRequest{
		OffsetBytes: x.index * inos.ChunkBytesMax, ChunkId: x.entry.ChunkID[:], PlainBytes: x.bytes, Quality: uint32(x.entry.Quality),
	})
	return nil
}

// chained takes the chaining value of such a chunk.
func (u *puts) chained(p *put, a *answer) *inos.Error {
	entry, err := admissionOf(a)
	if err != nil {
		return err
	}
	x := p.chunk(a.slot)
	if entry.ChunkID != x.entry.ChunkID || entry.PlainHash != x.hash || entry.PlainBytes != x.entry.PlainBytes {
		return inos.Errorf(inos.CodeModuleFailed, "storage:admit_chunk", "the entry returned is of another chunk")
	}
	u.k.release(&x.input)
	x.entry.Chain, x.told = entry.Chain, true
	p.saved += uint64(x.bytes)
	u.known(p, x)
	return nil
}

// lack fails the commit of an upload when some of its chunks are on too few nodes; they have to be sent again.
func (u *puts) lack(p *put, checked []uint64) bool {
	var gone []uint64
	for _, index := range checked {
		if u.k.members.distinct(p.chunk(index).have, p.wanted) < p.quorum {
			gone = append(gone, index)
		}
	}
	if len(gone) == 0 {
		return false
	}
	u.unliveFound(p, checked)
	u.empty(p, gone)
	u.fail(p, p.lacking(gone[0], uint64(len(gone))))
	return true
}

func (u *puts) empty(p *put, indexes []uint64) {
	u.k.send(nil, ask{owner: threadPut, op: opEmptySlots}, event.EmptySlots, &eventpb.EmptySlotsRequest{Upload: p.into, Indexes: indexes})
}

// lacking is the refusal of an upload that is not whole.
func (p *put) lacking(index, count uint64) *inos.Error {
	if count > 1 {
		return inos.Errorf(inos.CodeUploadIncomplete, p.stage(), "%d chunks are not held, the first of them is chunk %d of %d", count, index, p.total)
	}
	return inos.Errorf(inos.CodeUploadIncomplete, p.stage(), "chunk %d of %d is not held", index, p.total)
}

// uploadChunk describes a chunk of an upload to its sender.
func uploadChunk(index uint64, e *inos.Entry) *eventpb.UploadChunk {
	return &eventpb.UploadChunk{Index: index, ChunkId: e.ChunkID[:], PlainHash: e.PlainHash[:], StoredBytes: e.StoredBytes}
}
