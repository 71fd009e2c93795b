package kernel

import (
	"slices"
	"strconv"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects of what is asked about uploads.
const (
	opTransferFind = iota + 1 // semantic:find_upload
	opTransferDo              // the verb that does what is asked
	opExpired                 // semantic:expired_uploads
	opExpire                  // semantic:abort_upload of one of them
)

// uploads opens, describes, claims for and ends uploads; the chunks that are sent, and the commit, are puts (upload_put.go). An upload is a file
// that arrives in pieces: what of it is here is in the semantic memory, pinned, and outlives this kernel. It is its subject's alone. One that
// gets no chunk for uploadLife is ended, and what nothing else refers to is collected.
type uploads struct {
	k        *Kernel
	table    map[uint64]*transfer
	waiting  []uint64    // claims that wait for chunks that are coming
	expireAt inos.Micros // 0: not planned yet
	expired  []string    // to be ended
	expiring bool        // an effect of that is under way
}

// transfer is one request about an upload.
type transfer struct {
	origin
	payload []byte
	info    *eventpb.UploadInfo
	upload  string
	first   uint64
	count   uint64
	since   inos.Micros // of a claim that waits
	ends    bool        // the upload is being ended
}

func (u *uploads) init(k *Kernel) {
	u.k = k
	u.table = map[uint64]*transfer{}
}

func (u *uploads) about() about {
	return about{
		name: "upload", kind: "pipeline", inFlightMax: transfersMax + 1,
		hears: []string{event.UploadsOpen, event.UploadsList, event.UploadsStat, event.UploadsClaim, event.UploadsDrop},
	}
}

func (u *uploads) code(c *coder) {
	objects(c, &u.table, transfersMax, num[uint64], func(c *coder, t *transfer) {
		t.origin.code(c)
		c.bytes(&t.payload)
		message(c, &t.info)
		text(c, &t.upload)
		num(c, &t.first)
		num(c, &t.count)
		num(c, &t.since)
		c.bool(&t.ends)
	})
	list(c, &u.waiting, transfersMax, num[uint64])
	num(c, &u.expireAt)
	list(c, &u.expired, expirePage, text[string])
	c.bool(&u.expiring)
	if c.reading && c.err == nil {
		members(c, u.table, u.waiting)
	}
}

func (u *uploads) idle() bool { return len(u.table) == 0 && !u.expiring }

func (u *uploads) send(t *transfer, op uint8, effect string, m event.Message) {
	u.k.send(&t.origin, ask{owner: threadUpload, op: op, work: t.work}, effect, m)
}

func (u *uploads) end(t *transfer) {
	delete(u.table, t.work)
	u.waiting = slices.DeleteFunc(u.waiting, func(w uint64) bool { return w == t.work })
}

func (u *uploads) fail(t *transfer, err *inos.Error) {
	u.k.fail(&t.origin, because(event.Stage(t.eventType), err, ""))
	u.end(t)
}

// hear begins a request.
func (u *uploads) hear(in *input) {
	t := &transfer{origin: in.origin}
	op := event.Stage(t.eventType)
	refuse := func(err *inos.Error) { u.k.fail(&t.origin, err) }
	if len(u.table) >= transfersMax {
		refuse(busy(op, "requests about uploads", transfersMax))
		return
	}
	open := func(m event.Message) bool {
		if err := event.Open(in.env, m); err != nil {
			refuse(inos.Errorf(inos.CodeBadRequest, op, "%w", err))
			return false
		}
		return true
	}
	switch t.eventType {
	case event.UploadsOpen:
		var q eventpb.UploadsOpenRequest
		if !open(&q) {
			return
		}
		if err := u.mayOpen(op, &q); err != nil {
			refuse(err)
			return
		}
		u.begin(t)
		u.send(t, opTransferDo, event.OpenUpload, u.opening(t, &q, in.quota))
		return
	case event.UploadsList:
		var q eventpb.UploadsListRequest
		if !open(&q) {
			return
		}
		u.begin(t)
		u.send(t, opTransferDo, event.ListUploads, &eventpb.ListUploadsRequest{Subject: string(t.subject), Owner: string(t.owner), After: q.After, Limit: min(q.Limit, listMax)})
		return
	case event.UploadsStat:
		var q eventpb.UploadsStatRequest
		if !open(&q) {
			return
		}
		t.upload, t.first, t.count = q.Upload, q.FirstChunk, uint64(q.Limit)
		if t.count == 0 || t.count > claimsMax {
			t.count = claimsMax
		}
	case event.UploadsClaim:
		var q eventpb.UploadsClaimRequest
		if !open(&q) {
			return
		}
		t.upload, t.first, t.count = q.Upload, q.FirstChunk, uint64(len(q.PlainHashes))
		if t.count > claimsMax || slices.ContainsFunc(q.PlainHashes, func(h []byte) bool { return len(h) != inos.HashBytes }) {
			refuse(inos.Errorf(inos.CodeBadRequest, op, "%d plain hashes, at most %d of %d bytes each", t.count, claimsMax, inos.HashBytes))
			return
		}
		t.payload = in.env.Payload
	default:
		var q eventpb.UploadsDropRequest
		if !open(&q) {
			return
		}
		t.upload = q.Upload
	}
	if t.upload == "" || len(t.upload) > inos.IDBytesMax {
		refuse(inos.Errorf(inos.CodeBadRequest, op, "an upload's id of %d bytes", len(t.upload)))
		return
	}
	u.begin(t)
	u.send(t, opTransferFind, event.FindUpload, &eventpb.FindUploadRequest{Upload: t.upload})
}

func (u *uploads) begin(t *transfer) {
	u.k.watcher.began(&t.origin)
	u.table[t.work] = t
}

// mayOpen refuses an upload that could not become a file.
func (u *uploads) mayOpen(op string, q *eventpb.UploadsOpenRequest) *inos.Error {
	if err := inos.CheckPath(inos.Path(q.Path)); err != nil {
		return inos.Errorf(inos.CodeBadPath, op, "%w", err)
	}
	switch {
	case q.PlainBytes > uploadBytesMax:
		return inos.Errorf(inos.CodeBadRequest, op, "the file has %d bytes, an upload has at most %d", q.PlainBytes, uint64(uploadBytesMax))
	case len(q.FileId) != 0 && len(q.FileId) != inos.HashBytes:
		return inos.Errorf(inos.CodeBadRequest, op, "the file id has %d bytes, it has %d", len(q.FileId), inos.HashBytes)
	case q.Tier != "" && q.Tier != "hot" && q.Tier != "cold":
		return inos.Errorf(inos.CodeBadRequest, op, "the tier %.20q is not hot or cold", q.Tier)
	case len(q.ContentType) > inos.ContentTypeBytesMax:
		return inos.Errorf(inos.CodeBadRequest, op, "the content type has %d bytes, at most %d", len(q.ContentType), inos.ContentTypeBytesMax)
	case q.Replicas > replicasMax || q.Sync > replicasMax:
		return inos.Errorf(inos.CodeBadRequest, op, "%d replicas and sync %d, at most %d", q.Replicas, q.Sync, replicasMax)
	}
	if c := &u.k.collector; u.k.lone() && c.usageKnown && q.PlainBytes > c.usage.free+c.usage.trash {
		return inos.Errorf(inos.CodeDiskFull, op, "the file has %d bytes, %d are free", q.PlainBytes, c.usage.free)
	}
	return nil
}

// opening makes the request for the semantic memory. An owner's quota bounds what is open too.
func (u *uploads) opening(t *transfer, q *eventpb.UploadsOpenRequest, quota *eventpb.Quota) *eventpb.OpenUploadRequest {
	most := uint64(uploadBytesMax)
	if quota != nil && quota.PlainBytes != 0 {
		most = min(most, quota.PlainBytes)
	}
	return &eventpb.OpenUploadRequest{UploadsMax: uploadsMax, PlainBytesMax: most, Upload: &eventpb.UploadInfo{
		Id: t.id, Subject: string(t.subject), Owner: string(t.owner), Path: q.Path, PlainBytes: q.PlainBytes, FileId: q.FileId, ContentType: q.ContentType,
		Replicas: q.Replicas, Sync: q.Sync, Tier: q.Tier, CreatedUs: int64(u.k.now), ExpiresUs: int64(u.k.now + uploadLife),
	}}
}

// mayUse says that a request's sender may use an upload. To all others there is none.
func (u *uploads) mayUse(o *origin, up *eventpb.UploadInfo, id string) *inos.Error {
	if up == nil || up.Subject != string(o.subject) || up.Owner != string(o.owner) || up.ExpiresUs <= int64(u.k.now) {
		return inos.Errorf(inos.CodeUploadUnknown, event.Stage(o.eventType), "no upload %q is open", id)
	}
	return u.k.governance.mayWrite(o, inos.Path(up.Path))
}

func (u *uploads) answer(a *answer) {
	switch a.op {
	case opExpired:
		u.expiring = false
		var r eventpb.ExpiredUploadsReply
		u.expireAt = u.k.now + expireEvery
		if a.err == nil && event.Open(a.env, &r) == nil && len(r.Uploads) <= expirePage {
			u.expired = r.Uploads
		}
		return
	case opExpire:
		u.expiring = false
		u.expired = u.expired[1:]
		u.k.collector.changed()
		if a.err == nil {
			u.k.watcher.note(event.AbortUpload, event.StateCompleted, "an upload that nobody went on with for a day")
		}
		return
	}
	t := u.table[a.work]
	if a.err != nil {
		if a.err.Code == inos.CodeUploadUnknown {
			a.err = u.mayUse(&t.origin, nil, t.upload) // what is not there and what is not his read alike
		}
		u.fail(t, a.err)
		return
	}
	if a.op == opTransferFind {
		u.found(t, a)
		return
	}
	u.done(t, a)
}

// found goes on when the upload is known.
func (u *uploads) found(t *transfer, a *answer) {
	var r eventpb.FindUploadReply
	if err := event.Open(a.env, &r); err != nil {
		u.fail(t, inos.Errorf(inos.CodeInternal, "semantic:find_upload", "%w", err))
		return
	}
	if err := u.mayUse(&t.origin, r.Upload, t.upload); err != nil {
		u.fail(t, err)
		return
	}
	t.info, t.path = r.Upload, inos.Path(r.Upload.Path)
	switch t.eventType {
	case event.UploadsStat:
		if t.first > t.info.Chunks {
			u.fail(t, inos.Errorf(inos.CodeBadRequest, "uploads:stat", "chunk %d of a file of %d", t.first, t.info.Chunks))
			return
		}
		u.send(t, opTransferDo, event.UploadSlots, &eventpb.UploadSlotsRequest{Upload: t.upload, First: t.first, Limit: uint32(t.count)})
	case event.UploadsClaim:
		t.since = u.k.now
		u.waiting = append(u.waiting, t.work) // act looks whether it may go on
	default:
		if u.k.puts.assembling(t.upload, 0) || u.k.puts.entering(t.upload) {
			u.fail(t, inos.Errorf(inos.CodeConflict, "uploads:drop", "the upload %s is being committed", t.upload))
			return
		}
		t.ends = true
		u.send(t, opTransferDo, event.AbortUpload, &eventpb.AbortUploadRequest{Upload: t.upload})
	}
}

// ending says that an upload is being ended: no commit of it begins, which would pin its chunks anew.
func (u *uploads) ending(upload string) bool {
	if u.expiring && len(u.expired) > 0 && u.expired[0] == upload {
		return true
	}
	return slices.ContainsFunc(sortedKeys(u.table), func(work uint64) bool { return u.table[work].ends && u.table[work].upload == upload })
}

// done answers a request.
func (u *uploads) done(t *transfer, a *answer) {
	var reply event.Message
	detail, failure := "", error(nil)
	switch t.eventType {
	case event.UploadsOpen:
		var r eventpb.OpenUploadReply
		failure = event.Open(a.env, &r)
		reply, detail = &eventpb.UploadsOpenReply{Upload: r.Upload}, plural(r.Upload.GetPlainBytes(), "byte", "bytes")
	case event.UploadsList:
		var r eventpb.ListUploadsReply
		failure = event.Open(a.env, &r)
		reply = u.listed(t, &r)
	case event.UploadsStat:
		var r eventpb.UploadSlotsReply
		failure = event.Open(a.env, &r)
		reply = t.described(&r)
	case event.UploadsClaim:
		var r eventpb.ClaimSlotsReply
		failure = event.Open(a.env, &r)
		reply = &eventpb.UploadsClaimReply{Missing: r.Missing, Upload: r.Upload}
		detail = strconv.Itoa(len(r.Missing)) + " of " + plural(t.count, "chunk", "chunks") + " to be sent"
	default:
		reply, detail = &eventpb.UploadsDropReply{}, plural(t.info.Held, "chunk", "chunks")+" let go of"
		u.k.collector.changed()
	}
	if failure != nil {
		u.fail(t, inos.Errorf(inos.CodeInternal, event.Stage(t.eventType), "%w", failure))
		return
	}
	u.k.complete(&t.origin, reply, detail)
	u.end(t)
}

// listed leaves out uploads that the sender's token does not cover.
func (u *uploads) listed(t *transfer, r *eventpb.ListUploadsReply) *eventpb.UploadsListReply {
	out := &eventpb.UploadsListReply{}
	for _, up := range r.Uploads {
		if u.mayUse(&t.origin, up, up.Id) == nil {
			out.Uploads = append(out.Uploads, up)
		}
	}
	if n := len(r.Uploads); r.More && n > 0 {
		out.Next = r.Uploads[n-1].Id
	}
	return out
}

// described makes a page of what an upload has.
func (t *transfer) described(r *eventpb.UploadSlotsReply) *eventpb.UploadsStatReply {
	out := &eventpb.UploadsStatReply{Upload: t.info, NextChunk: t.info.Chunks}
	for _, s := range r.Slots {
		if entry, err := inos.ParseEntry(s.Entry); err == nil {
			out.Held = append(out.Held, uploadChunk(s.Index, &entry))
		}
	}
	if n := len(r.Slots); n > 0 && uint64(n) >= t.count {
		out.NextChunk = r.Slots[n-1].Index + 1
	}
	return out
}

// act lets claims go on whose chunks have come, and ends uploads that have expired.
func (u *uploads) act() {
	k := u.k
	for _, work := range slices.Clone(u.waiting) {
		t := u.table[work]
		if k.puts.coming(t.upload, t.first, t.count, k.now < t.since+claimPatience) {
			continue
		}
		u.waiting = slices.DeleteFunc(u.waiting, func(w uint64) bool { return w == work })
		var q eventpb.UploadsClaimRequest
		_ = q.UnmarshalVT(t.payload) // it did when the request came
		u.send(t, opTransferDo, event.ClaimSlots, &eventpb.ClaimSlotsRequest{
			Upload: t.upload, First: t.first, PlainHashes: q.PlainHashes, ExpiresUs: int64(k.now + uploadLife), Dedup: k.governance.readsAll(&t.origin),
		})
	}
	if !k.node.switchboard || !k.ready() || k.node.draining || u.expiring {
		return
	}
	if u.expireAt == 0 {
		u.expireAt = k.now + inos.Minute
	}
	switch {
	case len(u.expired) > 0 && k.puts.coming(u.expired[0], 0, 1<<63, true), len(u.expired) > 0 && (k.puts.assembling(u.expired[0], 0) || k.puts.entering(u.expired[0])):
		u.expired = u.expired[1:] // somebody goes on with it after all
	case len(u.expired) > 0:
		u.expiring = true
		k.send(nil, ask{owner: threadUpload, op: opExpire}, event.AbortUpload, &eventpb.AbortUploadRequest{Upload: u.expired[0]})
	case u.expireAt <= k.now:
		u.expiring = true
		k.send(nil, ask{owner: threadUpload, op: opExpired}, event.ExpiredUploads, &eventpb.ExpiredUploadsRequest{BeforeUs: int64(k.now), Limit: expirePage})
	}
}

func (u *uploads) wake() (at inos.Micros) {
	for _, work := range u.waiting {
		if t := u.table[work]; u.k.now < t.since+claimPatience {
			at = earlier(at, t.since+claimPatience)
		}
	}
	if u.k.node.switchboard && u.k.ready() && !u.k.node.draining && !u.expiring {
		at = earlier(at, u.expireAt)
	}
	return at
}
