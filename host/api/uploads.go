package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// An upload is a file that arrives as stored chunks: over many requests, side by side and in any order, and whatever is cut between. The node believes
// nothing of a chunk but its bytes.

// openUpload begins an upload: POST /v1/uploads. Its id is the request's, so the same Inos-Request-Id opens nothing anew.
func (x *exchange) openUpload(target) error {
	if _, err := x.query(); err != nil {
		return err
	}
	id, err := x.requestID()
	if err != nil {
		return err
	}
	var q UploadQuestion
	if err := x.readJSON(&q); err != nil {
		return err
	}
	if err := inos.CheckPath(inos.Path(q.Path)); err != nil {
		return err
	}
	contentType, err := checkContentType(q.ContentType)
	if err != nil {
		return err
	}
	m := &eventpb.UploadsOpenRequest{Path: q.Path, PlainBytes: q.PlainBytes, ContentType: contentType, Replicas: q.Replicas, Sync: q.Sync, Tier: q.Tier}
	if m.FileId, err = optionalFileID(q.FileID); err != nil {
		return err
	}
	var reply eventpb.UploadsOpenReply
	if err := x.send(x.r.Context(), x.envelope(id, event.UploadsOpen, m), &reply, nil); err != nil {
		return err
	}
	out := uploadOf(reply.Upload)
	x.w.Header().Set("Location", "/v1/uploads/"+out.ID)
	x.writeJSON(http.StatusCreated, out)
	return nil
}

func optionalFileID(s string) ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	id, err := inos.ParseFileID(s)
	return id[:], err
}

// uploads answers with a page of one's own open uploads: GET /v1/uploads?after=&limit=.
func (x *exchange) uploads(target) error {
	_, after, limit, err := x.page()
	if err != nil {
		return err
	}
	var reply eventpb.UploadsListReply
	if err := x.ask(event.UploadsList, &eventpb.UploadsListRequest{After: after, Limit: limit}, &reply); err != nil {
		return err
	}
	out := UploadsReply{Uploads: make([]Upload, len(reply.Uploads)), Next: reply.Next}
	for i, u := range reply.Uploads {
		out.Uploads[i] = uploadOf(u)
	}
	x.writeJSON(http.StatusOK, out)
	return nil
}

// statUpload says what of an upload is there and what is missing, by pages: GET /v1/uploads/{id}?first=&limit=.
func (x *exchange) statUpload(t target) error {
	values, err := x.query("first", "limit")
	if err != nil {
		return err
	}
	first, err := number(values, "first", 0, chunkIndexMax)
	if err != nil {
		return err
	}
	limit, err := number(values, "limit", 0, UploadHashesMax)
	if err != nil {
		return err
	}
	reply, err := x.findUpload(t.name, first, uint32(limit))
	if err != nil {
		return err
	}
	x.writeJSON(http.StatusOK, uploadPageOf(reply, first))
	return nil
}

func (x *exchange) findUpload(id string, first uint64, limit uint32) (*eventpb.UploadsStatReply, error) {
	var reply eventpb.UploadsStatReply
	return &reply, x.ask(event.UploadsStat, &eventpb.UploadsStatRequest{Upload: id, FirstChunk: first, Limit: limit}, &reply)
}

// claimChunks says which of the client's chunks have to be sent: POST /v1/uploads/{id}/missing. The others are in the upload already, or in the
// namespace, if it is the client's and its token may read all of it; a chunk that is anybody else's has to be sent as well.
func (x *exchange) claimChunks(t target) error {
	if _, err := x.query(); err != nil {
		return err
	}
	var q ClaimQuestion
	if err := x.readJSON(&q); err != nil {
		return err
	}
	if len(q.PlainHashes) > UploadHashesMax || q.FirstChunk > chunkIndexMax {
		return inos.Errorf(inos.CodeBadRequest, "uploads:claim", "%d hashes from chunk %d on, at most %d in one call", len(q.PlainHashes), q.FirstChunk, UploadHashesMax)
	}
	m := &eventpb.UploadsClaimRequest{Upload: t.name, FirstChunk: q.FirstChunk}
	for _, s := range q.PlainHashes {
		h, err := inos.ParsePlainHash(s)
		if err != nil {
			return err
		}
		m.PlainHashes = append(m.PlainHashes, h[:])
	}
	var reply eventpb.UploadsClaimReply
	if err := x.ask(event.UploadsClaim, m, &reply); err != nil {
		return err
	}
	out := ClaimReply{Missing: reply.Missing, Held: reply.Upload.GetHeld(), Chunks: reply.Upload.GetChunks(), ExpiresUs: reply.Upload.GetExpiresUs()}
	if out.Missing == nil {
		out.Missing = []uint64{}
	}
	x.writeJSON(http.StatusOK, out)
	return nil
}

// sendChunk takes a chunk's stored form: PUT /v1/uploads/{id}/chunks/{chunk_id}?index=&quality=. It answers when the chunk is safe; one that is there
// already is not read.
func (x *exchange) sendChunk(t target) error {
	const op = "uploads:send"
	values, err := x.query("index", "quality")
	if err != nil {
		return err
	}
	if values.Get("index") == "" {
		return inos.Errorf(inos.CodeBadRequest, op, "say which chunk of the file it is: ?index=")
	}
	index, err := number(values, "index", 0, chunkIndexMax)
	if err != nil {
		return err
	}
	quality, err := number(values, "quality", 0, 11)
	if err != nil {
		return err
	}
	if e := x.r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return inos.Errorf(inos.CodeBadRequest, op, "Content-Encoding %.40q is not taken: the body is the stored form as it is", e)
	}
	if x.r.ContentLength <= 0 || x.r.ContentLength > inos.StoredBytesMax {
		return inos.Errorf(inos.CodeBadRequest, op, "a body of %d bytes: a chunk's stored form has 1 to %d, and its length is announced", x.r.ContentLength, inos.StoredBytesMax)
	}
	// A client that leaves while it sends is seen by the body; one that leaves behind it has sent a chunk, which is stored.
	ctx := context.WithoutCancel(x.r.Context())
	checked, err := checkDigests(x.r, x.body)
	if err != nil {
		return err
	}
	stream, release := x.h.node.Source(checked)
	var reply eventpb.UploadsSendReply
	err = x.send(ctx, x.envelope(newID(x.h.now()), event.UploadsSend, &eventpb.UploadsSendRequest{
		Upload: t.name, Index: index, ChunkId: t.chunk[:], Stream: stream, StoredBytes: uint64(x.r.ContentLength), Quality: uint32(quality),
	}), &reply, nil)
	if err != nil || reply.Existed {
		x.body.stop()
	}
	release()
	if err != nil {
		return err
	}
	status := http.StatusCreated
	if reply.Existed {
		status = http.StatusOK
	}
	x.writeJSON(status, SentReply{UploadChunk: uploadChunkOf(reply.Chunk), Existed: reply.Existed})
	return nil
}

// commitUpload makes the file visible: POST /v1/uploads/{id}/commit. Preconditions are those of the path, judged when the request begins. An
// upload becomes a file once: a commit of one that was committed within 24 hours gets that version again.
func (x *exchange) commitUpload(t target) error {
	if _, err := x.query(); err != nil {
		return err
	}
	id, err := x.requestID()
	if err != nil {
		return err
	}
	var q CommitQuestion
	if err := x.readJSON(&q); err != nil {
		return err
	}
	m := &eventpb.UploadsCommitRequest{Upload: t.name}
	if m.FileId, err = optionalFileID(q.FileID); err != nil {
		return err
	}
	if x.r.Header.Get("If-Match") != "" || x.r.Header.Get("If-None-Match") != "" {
		found, err := x.findUpload(t.name, 0, 1)
		if err == nil {
			err = x.precondition(target{route: routeFile, path: inos.Path(found.Upload.GetPath())})
		}
		if err != nil && inos.CodeOf(err) != inos.CodeUploadUnknown { // of one that was committed the kernel repeats the answer
			return err
		}
	}
	var reply eventpb.FilesPutReply
	if err := x.send(x.r.Context(), x.envelope(id, event.UploadsCommit, m), &reply, nil); err != nil {
		return err
	}
	x.writePut(&reply)
	return nil
}

// dropUpload gives an upload up: DELETE /v1/uploads/{id}.
func (x *exchange) dropUpload(t target) error {
	if _, err := x.query(); err != nil {
		return err
	}
	if err := x.ask(event.UploadsDrop, &eventpb.UploadsDropRequest{Upload: t.name}, &eventpb.UploadsDropReply{}); err != nil {
		return err
	}
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

// parseUpload reads the address of an upload, or of what is below one.
func parseUpload(rest string) (target, error) {
	name, below, further := strings.Cut(rest, "/")
	t := target{route: routeUpload, name: name}
	err := checkID(name)
	if !further || err != nil {
		return t, err
	}
	switch chunk, ok := strings.CutPrefix(below, "chunks/"); {
	case ok:
		t.route = routeUploadChunk
		id, err := inos.ParseChunkID(chunk)
		t.chunk = &id
		return t, err
	case below == "missing":
		t.route = routeUploadMissing
	case below == "commit":
		t.route = routeUploadCommit
	default:
		return target{}, inos.Errorf(inos.CodeRouteNotFound, "find route", "/v1/uploads/%.200q", rest)
	}
	return t, nil
}
