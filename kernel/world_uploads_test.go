package kernel

import (
	"fmt"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// fakeUploads are the open uploads of a world.
type fakeUploads struct {
	opened map[string]*eventpb.UploadInfo
	slots  map[string]map[uint64]*eventpb.UploadSlot
}

func newFakeUploads() fakeUploads {
	return fakeUploads{opened: map[string]*eventpb.UploadInfo{}, slots: map[string]map[uint64]*eventpb.UploadSlot{}}
}

// endUpload drops an upload and what it pins.
func (w *world) endUpload(id string) {
	delete(w.pins, id)
	delete(w.opened, id)
	delete(w.slots, id)
}

func (w *world) uploadOf(id string) (*eventpb.UploadInfo, *inos.Error) {
	up := w.opened[id]
	if up == nil {
		return nil, missing(inos.CodeUploadUnknown, "no upload %q", id)
	}
	up = up.CloneVT()
	up.Held = uint64(len(w.slots[id]))
	return up, nil
}

func (w *world) chunkBytes(up *eventpb.UploadInfo, index uint64) uint64 {
	return min(up.PlainBytes-index*inos.ChunkBytesMax, inos.ChunkBytesMax)
}

func (w *world) performUploads(e *eventpb.Envelope) (event.Message, *inos.Error) {
	switch e.EventType {
	case event.OpenUpload:
		var q eventpb.OpenUploadRequest
		w.open(e, &q)
		if up, err := w.uploadOf(q.Upload.Id); err == nil {
			return &eventpb.OpenUploadReply{Upload: up}, nil
		}
		open := 0
		for _, id := range sortedKeys(w.opened) {
			if w.opened[id].Subject == q.Upload.Subject {
				open++
			}
		}
		if open >= int(q.UploadsMax) || q.Upload.PlainBytes > q.PlainBytesMax {
			return nil, missing(inos.CodeQuotaExceeded, "%d are open", open)
		}
		up := q.Upload.CloneVT()
		up.Chunks = (up.PlainBytes + inos.ChunkBytesMax - 1) / inos.ChunkBytesMax
		w.opened[up.Id], w.slots[up.Id], w.pins[up.Id] = up, map[uint64]*eventpb.UploadSlot{}, map[string]bool{}
		return &eventpb.OpenUploadReply{Upload: up.CloneVT()}, nil
	case event.FindUpload:
		var q eventpb.FindUploadRequest
		w.open(e, &q)
		up, err := w.uploadOf(q.Upload)
		if err != nil && q.Key != nil && w.keys[keyOf(q.Key)] != nil {
			return &eventpb.FindUploadReply{Committed: w.keys[keyOf(q.Key)].CloneVT()}, nil
		}
		if err != nil {
			return nil, err
		}
		r := &eventpb.FindUploadReply{Upload: up}
		if s := w.slots[q.Upload][q.Index]; s != nil {
			r.Slot = s.CloneVT()
		}
		return r, nil
	case event.ListUploads:
		var q eventpb.ListUploadsRequest
		w.open(e, &q)
		r := &eventpb.ListUploadsReply{}
		for _, id := range sortedKeys(w.opened) {
			if up, _ := w.uploadOf(id); up.Subject == q.Subject && up.Owner == q.Owner {
				r.Uploads = append(r.Uploads, up)
			}
		}
		return r, nil
	case event.ExpiredUploads:
		var q eventpb.ExpiredUploadsRequest
		w.open(e, &q)
		r := &eventpb.ExpiredUploadsReply{}
		for _, id := range sortedKeys(w.opened) {
			if w.opened[id].ExpiresUs < q.BeforeUs {
				r.Uploads = append(r.Uploads, id)
			}
		}
		return r, nil
	case event.ClaimSlots:
		var q eventpb.ClaimSlotsRequest
		w.open(e, &q)
		up, err := w.uploadOf(q.Upload)
		if err != nil {
			return nil, err
		}
		r := &eventpb.ClaimSlotsReply{}
		for i, h := range q.PlainHashes {
			index := q.First + uint64(i)
			if index >= up.Chunks {
				return nil, missing(inos.CodeBadRequest, "chunk %d of %d", index, up.Chunks)
			}
			if !w.claim(up, index, string(h), q.Dedup) {
				delete(w.slots[q.Upload], index)
				r.Missing = append(r.Missing, index)
			}
		}
		w.opened[q.Upload].ExpiresUs = max(up.ExpiresUs, q.ExpiresUs)
		r.Upload, _ = w.uploadOf(q.Upload)
		return r, nil
	case event.FillSlot:
		var q eventpb.FillSlotRequest
		w.open(e, &q)
		up, err := w.uploadOf(q.Upload)
		if err != nil {
			return nil, err
		}
		entry, _ := inos.ParseEntry(q.Chunk.Entry)
		if q.Index >= up.Chunks || entry.PlainBytes != w.chunkBytes(up, q.Index) {
			return nil, missing(inos.CodeBadRequest, "chunk %d", q.Index)
		}
		if err := w.stage(q.Upload, up.Owner, []*eventpb.ChunkRow{q.Chunk}); err != nil {
			return nil, err
		}
		w.slots[q.Upload][q.Index] = &eventpb.UploadSlot{Index: q.Index, Entry: q.Chunk.Entry, Described: true}
		w.opened[q.Upload].ExpiresUs = max(up.ExpiresUs, q.ExpiresUs)
		return &eventpb.FillSlotReply{}, nil
	case event.EmptySlots:
		var q eventpb.EmptySlotsRequest
		w.open(e, &q)
		for _, index := range q.Indexes {
			delete(w.slots[q.Upload], index)
		}
		return &eventpb.EmptySlotsReply{}, nil
	case event.UploadSlots:
		var q eventpb.UploadSlotsRequest
		w.open(e, &q)
		if _, err := w.uploadOf(q.Upload); err != nil {
			return nil, err
		}
		r := &eventpb.UploadSlotsReply{}
		for _, index := range sortedKeys(w.slots[q.Upload]) {
			if index >= q.First && len(r.Slots) < int(q.Limit) {
				r.Slots = append(r.Slots, w.slots[q.Upload][index].CloneVT())
			}
		}
		return r, nil
	}
	return nil, nil
}

// claim fills a slot, with dedup with what its owner holds.
func (w *world) claim(up *eventpb.UploadInfo, index uint64, hash string, dedup bool) bool {
	if s := w.slots[up.Id][index]; s != nil && string(s.Entry[32:64]) == hash && len(w.rows[string(s.Entry[:32])].copies) > 0 {
		return true
	}
	if !dedup {
		return false
	}
	for _, id := range sortedKeys(w.rows) {
		row := w.rows[id]
		if string(row.entry.PlainHash[:]) != hash || !row.owners[up.Owner] || row.entry.Chunks != 1 || !w.referenced(id) || len(row.copies) == 0 || row.entry.PlainBytes != w.chunkBytes(up, index) {
			continue
		}
		raw := inos.AppendEntry(nil, &row.entry)
		if err := w.stage(up.Id, up.Owner, []*eventpb.ChunkRow{{Entry: raw, Known: true}}); err != nil {
			w.problem("a chunk that is referred to cannot be claimed: %v", err)
		}
		w.slots[up.Id][index] = &eventpb.UploadSlot{Index: index, Entry: raw}
		return true
	}
	return false
}

// uploads does the commands about uploads:
//
//	upload id=K path=P bytes=N [replicas=N] [owner=O]                  opens one
//	claims upload=K name=N chunks=N [first=N]                           N's chunks
//	piece upload=K name=N index=N [bytes=N] [of=N] [short] [as=N] [quality=N]   sends chunk index of body N: its plain bytes, of the chunk of that index in the body;
//	                                                                   short: the body ends early; as: under the id of that body's chunk
//	commit upload=K [expect] [id=K2]    drop upload=K    held upload=K [first=N] [limit=N]    uploads
func (s *script) uploads(verb string, args map[string]string, has func(string) bool, request func(string, event.Message)) bool {
	w := s.w
	number := func(name string, other uint64) uint64 {
		if v, ok := args[name]; ok {
			return size(v)
		}
		return other
	}
	id := args["upload"]
	if known, ok := s.named[id]; ok {
		id = known
	}
	switch verb {
	case "upload":
		request(event.UploadsOpen, &eventpb.UploadsOpenRequest{Path: args["path"], Owner: args["owner"], PlainBytes: number("bytes", 0), Replicas: uint32(number("replicas", 0))})
	case "claims":
		q := &eventpb.UploadsClaimRequest{Upload: id, FirstChunk: number("first", 0), Owner: args["owner"]}
		for i := range number("chunks", 1) {
			q.PlainHashes = append(q.PlainHashes, hashOf("plain", pieceName(args["name"], q.FirstChunk+i, number("bytes", inos.ChunkBytesMax))))
		}
		request(event.UploadsClaim, q)
	case "piece":
		bytes := number("bytes", inos.ChunkBytesMax)
		form, _ := encoded(pieceName(args["name"], number("of", number("index", 0)), bytes), uint32(bytes), 0, 0)
		named := form.id
		if has("as") {
			other, _ := encoded(pieceName(args["as"], number("index", 0), bytes), uint32(bytes), 0, 0)
			named = other.id
		}
		w.ids++
		w.streams[w.ids] = &body{name: args["name"], length: uint64(form.size), form: form}
		if has("short") {
			w.streams[w.ids].length--
		}
		piece := fmt.Sprintf("%s/%d", args["name"], number("index", 0))
		s.paths[piece] = w.ids
		request(event.UploadsSend, &eventpb.UploadsSendRequest{
			Upload: id, Index: number("index", 0), ChunkId: []byte(named), Stream: w.ids, StoredBytes: number("length", uint64(form.size)), Quality: uint32(number("quality", 5)), Owner: args["owner"],
		})
		s.asked[piece] = s.asked[args["path"]]
	case "commit":
		q := &eventpb.UploadsCommitRequest{Upload: id, Owner: args["owner"]}
		if has("expect") {
			q.FileId = hashOf("expected")
		}
		request(event.UploadsCommit, q)
	case "drop":
		request(event.UploadsDrop, &eventpb.UploadsDropRequest{Upload: id, Owner: args["owner"]})
	case "held":
		request(event.UploadsStat, &eventpb.UploadsStatRequest{Upload: id, Owner: args["owner"], FirstChunk: number("first", 0), Limit: uint32(number("limit", 0))})
	case "uploads":
		request(event.UploadsList, &eventpb.UploadsListRequest{Owner: args["owner"]})
	default:
		return false
	}
	return true
}

// pieceName is the name of a chunk's plain bytes, as a put of a body of that name reads them.
func pieceName(name string, index, bytes uint64) string {
	return fmt.Sprintf("%s/%d/%d", name, index, bytes)
}

// describeUploads writes what is asked of the semantic memory about uploads.
func describeUploads(e *eventpb.Envelope) string {
	open := func(m event.Message) bool { return event.Open(e, m) == nil }
	var (
		claim eventpb.ClaimSlotsRequest
		fill  eventpb.FillSlotRequest
		empty eventpb.EmptySlotsRequest
		slots eventpb.UploadSlotsRequest
		find  eventpb.FindUploadRequest
		made  eventpb.OpenUploadRequest
	)
	switch {
	case e.EventType == event.OpenUpload && open(&made):
		return fmt.Sprintf(" %s%s plain=%d at most %d of %d bytes", made.Upload.Owner, made.Upload.Path, made.Upload.PlainBytes, made.UploadsMax, made.PlainBytesMax)
	case e.EventType == event.FindUpload && open(&find):
		return fmt.Sprintf(" index=%d", find.Index)
	case e.EventType == event.ClaimSlots && open(&claim):
		return fmt.Sprintf(" first=%d hashes=%d dedup=%t", claim.First, len(claim.PlainHashes), claim.Dedup)
	case e.EventType == event.FillSlot && open(&fill):
		return fmt.Sprintf(" index=%d %x on %v", fill.Index, fill.Chunk.Entry[:4], fill.Chunk.Nodes)
	case e.EventType == event.EmptySlots && open(&empty):
		return fmt.Sprint(" ", empty.Indexes)
	case e.EventType == event.UploadSlots && open(&slots):
		return fmt.Sprintf(" first=%d limit=%d", slots.First, slots.Limit)
	}
	return ""
}

// describeUploadsReply writes an answer about uploads.
func describeUploadsReply(e *eventpb.Envelope, state event.State) (line string, ok bool) {
	info := func(up *eventpb.UploadInfo) string {
		return fmt.Sprintf(" %s%s %d of %d chunks", up.Owner, up.Path, up.Held, up.Chunks)
	}
	requested := event.WithState(e.EventType, event.StateRequested)
	if !strings.HasPrefix(requested, "uploads:") || state == event.StateProcessing {
		return "", false
	}
	open := func(m event.Message) bool { return event.Open(e, m) == nil }
	var (
		made   eventpb.UploadsOpenReply
		list   eventpb.UploadsListReply
		stat   eventpb.UploadsStatReply
		claim  eventpb.UploadsClaimReply
		sent   eventpb.UploadsSendReply
		commit eventpb.FilesPutReply
	)
	switch {
	case requested == event.UploadsOpen && open(&made):
		return info(made.Upload), true
	case requested == event.UploadsList && open(&list):
		for _, up := range list.Uploads {
			line += "\n " + info(up)
		}
		return line, true
	case requested == event.UploadsStat && open(&stat):
		line = info(stat.Upload) + fmt.Sprintf(" next=%d", stat.NextChunk)
		for _, c := range stat.Held {
			line += fmt.Sprintf("\n  chunk %d %x stored=%d", c.Index, c.ChunkId[:4], c.StoredBytes)
		}
		return line, true
	case requested == event.UploadsClaim && open(&claim):
		return fmt.Sprintf(" missing=%v", claim.Missing) + info(claim.Upload), true
	case requested == event.UploadsSend && open(&sent):
		return fmt.Sprintf(" chunk %d %x stored=%d existed=%t", sent.Chunk.Index, sent.Chunk.ChunkId[:4], sent.Chunk.StoredBytes, sent.Existed), true
	case requested == event.UploadsCommit && open(&commit):
		return fmt.Sprintf(" %s version=%d plain=%d stored=%d chunks=%d deduplicated=%d", commit.File.Path, commit.File.Version, commit.File.PlainBytes,
			commit.File.StoredBytes, commit.File.Chunks, commit.DeduplicatedBytes) + describeReceipt(commit.Receipt), true
	}
	return "", true
}
