package verbs

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// The verbs of files that arrive in pieces.

// Upload reads an upload; CodeInternal when there is none or its file id is not one.
func Upload(u *eventpb.UploadInfo) (inos.Upload, error) {
	if u == nil {
		return inos.Upload{}, inos.Errorf(inos.CodeInternal, "read upload", "the kernel sent none")
	}
	id, err := OptionalChunkID(u.FileId)
	if err != nil {
		return inos.Upload{}, err
	}
	return inos.Upload{
		ID: inos.UploadID(u.Id), Subject: inos.Subject(u.Subject), Owner: inos.Subject(u.Owner), Path: inos.Path(u.Path), PlainBytes: u.PlainBytes,
		FileID: inos.FileID(id), ContentType: u.ContentType, Replicas: u.Replicas, Sync: u.Sync, Tier: inos.Tier(u.Tier),
		CreatedAt: inos.Micros(u.CreatedUs), ExpiresAt: inos.Micros(u.ExpiresUs), Held: u.Held,
	}, nil
}

// UploadPayload returns an upload as payloads carry it; a file id of zeros is left out.
func UploadPayload(u *inos.Upload) *eventpb.UploadInfo {
	p := &eventpb.UploadInfo{
		Id: string(u.ID), Subject: string(u.Subject), Owner: string(u.Owner), Path: string(u.Path), PlainBytes: u.PlainBytes, ContentType: u.ContentType,
		Replicas: u.Replicas, Sync: u.Sync, Tier: string(u.Tier), Chunks: u.Chunks(), Held: u.Held, CreatedUs: int64(u.CreatedAt), ExpiresUs: int64(u.ExpiresAt),
	}
	if u.FileID != (inos.FileID{}) {
		p.FileId = u.FileID[:]
	}
	return p
}

func slotPayload(s *inos.UploadSlot) *eventpb.UploadSlot {
	return &eventpb.UploadSlot{Index: s.Index, Entry: inos.AppendEntry(nil, &s.Entry), Described: s.Described}
}

func openUpload(c call, q *eventpb.OpenUploadRequest) (event.Message, error) {
	u, err := Upload(q.Upload)
	if err != nil {
		return nil, err
	}
	if u, err = c.sem.OpenUpload(c.ctx, u, int(q.UploadsMax), q.PlainBytesMax); err != nil {
		return nil, err
	}
	return &eventpb.OpenUploadReply{Upload: UploadPayload(&u)}, nil
}

func findUpload(c call, q *eventpb.FindUploadRequest) (event.Message, error) {
	f, err := c.sem.FindUpload(c.ctx, inos.UploadID(q.Upload), q.Index, requestKey(q.Key))
	if err != nil {
		return nil, err
	}
	if f.Committed != nil {
		return &eventpb.FindUploadReply{Committed: FilePayload(f.Committed)}, nil
	}
	r := &eventpb.FindUploadReply{Upload: UploadPayload(&f.Upload)}
	if f.Slot != nil {
		r.Slot = slotPayload(f.Slot)
	}
	return r, nil
}

func listUploads(c call, q *eventpb.ListUploadsRequest) (event.Message, error) {
	uploads, more, err := c.sem.ListUploads(c.ctx, inos.Subject(q.Subject), inos.Subject(q.Owner), inos.UploadID(q.After), int(q.Limit))
	if err != nil {
		return nil, err
	}
	r := &eventpb.ListUploadsReply{More: more}
	for i := range uploads {
		r.Uploads = append(r.Uploads, UploadPayload(&uploads[i]))
	}
	return r, nil
}

func expiredUploads(c call, q *eventpb.ExpiredUploadsRequest) (event.Message, error) {
	ids, err := c.sem.ExpiredUploads(c.ctx, inos.Micros(q.BeforeUs), int(q.Limit))
	if err != nil {
		return nil, err
	}
	r := &eventpb.ExpiredUploadsReply{}
	for _, id := range ids {
		r.Uploads = append(r.Uploads, string(id))
	}
	return r, nil
}

func claimSlots(c call, q *eventpb.ClaimSlotsRequest) (event.Message, error) {
	ids, err := ChunkIDs(q.PlainHashes)
	if err != nil {
		return nil, err
	}
	hashes := make([]inos.PlainHash, len(ids))
	for i, id := range ids {
		hashes[i] = inos.PlainHash(id)
	}
	missing, u, err := c.sem.ClaimSlots(c.ctx, inos.UploadID(q.Upload), q.First, hashes, q.Dedup, inos.Micros(q.ExpiresUs))
	if err != nil {
		return nil, err
	}
	return &eventpb.ClaimSlotsReply{Missing: missing, Upload: UploadPayload(&u)}, nil
}

func fillSlot(c call, q *eventpb.FillSlotRequest) (event.Message, error) {
	if q.Chunk == nil {
		return nil, inos.Errorf(inos.CodeInternal, "read chunk row", "the kernel sent none")
	}
	rows, err := chunkRows([]*eventpb.ChunkRow{q.Chunk})
	if err != nil {
		return nil, err
	}
	if err := c.sem.FillSlot(c.ctx, inos.UploadID(q.Upload), q.Index, rows[0], inos.Micros(q.ExpiresUs), c.now); err != nil {
		return nil, err
	}
	return &eventpb.FillSlotReply{}, nil
}

func emptySlots(c call, q *eventpb.EmptySlotsRequest) (event.Message, error) {
	if err := c.sem.EmptySlots(c.ctx, inos.UploadID(q.Upload), q.Indexes); err != nil {
		return nil, err
	}
	return &eventpb.EmptySlotsReply{}, nil
}

func uploadSlots(c call, q *eventpb.UploadSlotsRequest) (event.Message, error) {
	slots, err := c.sem.UploadSlots(c.ctx, inos.UploadID(q.Upload), q.First, int(q.Limit))
	if err != nil {
		return nil, err
	}
	r := &eventpb.UploadSlotsReply{}
	for i := range slots {
		r.Slots = append(r.Slots, slotPayload(&slots[i]))
	}
	return r, nil
}
