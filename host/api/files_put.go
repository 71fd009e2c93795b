package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// put stores a body: PUT /v1/files/{path}. It answers when the file is committed, 201 for the first version of a path
// and 200 for a later one. A client that sends Expect: 100-continue is asked for the body when the node begins to read
// it. The same Inos-Request-Id within 24 hours has one effect.
//
// Preconditions are judged when the request begins; of two puts that are under way at once both may pass.
func (x *exchange) put(t target) error {
	q, err := x.putRequest(t)
	if err != nil {
		return err
	}
	id, err := x.requestID()
	if err != nil {
		return err
	}
	if err := x.precondition(t); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(x.r.Context()))
	defer cancel()
	b := x.body
	b.cancel = cancel
	checked, err := checkDigests(x.r, b)
	if err != nil {
		return err
	}
	defer context.AfterFunc(x.r.Context(), b.leave)()
	stream, release := x.h.node.Source(checked)
	q.Stream = stream
	var reply eventpb.FilesPutReply
	err = x.send(ctx, x.envelope(id, event.FilesPut, q), &reply, nil)
	if err != nil {
		b.stop()
	}
	release()
	if err != nil {
		return err
	}
	x.writePut(&reply)
	return nil
}

// writePut answers with a file that was committed: 201 for the first version of a path.
func (x *exchange) writePut(reply *eventpb.FilesPutReply) {
	status := http.StatusOK
	if reply.File.GetVersion() == 1 {
		status = http.StatusCreated
	}
	out := PutReply{
		File: fileOf(reply.File), DeduplicatedBytes: reply.DeduplicatedBytes, Receipt: receiptOf(reply.Receipt), TraceID: x.trace.id(),
	}
	x.w.Header().Set("ETag", plainTag(&out.File))
	x.writeJSON(status, out)
}

// putRequest reads the headers of a put.
func (x *exchange) putRequest(t target) (*eventpb.FilesPutRequest, error) {
	const op = "files:put"
	header := x.r.Header
	if e := header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return nil, inos.Errorf(inos.CodeBadRequest, op, "Content-Encoding %.40q is not taken: send the plain bytes", e)
	}
	if header.Get("Content-Range") != "" {
		return nil, inos.Errorf(inos.CodeBadRequest, op, "Content-Range: a part of a file cannot be put")
	}
	contentType, err := checkContentType(header.Get("Content-Type"))
	if err != nil {
		return nil, err
	}
	q := &eventpb.FilesPutRequest{Path: string(t.path), LengthBytes: x.r.ContentLength, ContentType: contentType}
	if q.Replicas, err = x.small("Inos-Replicas"); err != nil {
		return nil, err
	}
	if q.Sync, err = x.small("Inos-Sync"); err != nil {
		return nil, err
	}
	switch q.Tier = header.Get("Inos-Tier"); q.Tier {
	case "", "hot", "cold":
	default:
		return nil, inos.Errorf(inos.CodeBadRequest, "parse Inos-Tier", "%.40q is neither hot nor cold", q.Tier)
	}
	if s := header.Get("Inos-File-Id"); s != "" {
		id, err := inos.ParseFileID(s)
		if err != nil {
			return nil, err
		}
		q.ExpectedFileId = id[:]
	}
	return q, nil
}

// precondition judges If-Match and If-None-Match of a request that changes a path.
func (x *exchange) precondition(t target) error {
	match, err := parseCondition("If-Match", x.r.Header.Values("If-Match"))
	if err != nil {
		return err
	}
	none, err := parseCondition("If-None-Match", x.r.Header.Values("If-None-Match"))
	if err != nil || match == nil && none == nil {
		return err
	}
	var current []string
	f, err := x.lookup(t)
	switch {
	case err == nil:
		current = []string{plainTag(f), encodedTag(f)}
	case inos.CodeOf(err) != inos.CodeFileNotFound:
		return err
	}
	if match != nil && !match.matches(false, current...) || none != nil && none.matches(true, current...) {
		return inos.Errorf(inos.CodePreconditionFailed, "judge precondition", "%s: the current entity tags are %v", t.path, current)
	}
	return nil
}

// lookup returns the file of a path or FileID.
func (x *exchange) lookup(t target) (*File, error) {
	q := &eventpb.FilesStatRequest{}
	q.Path, q.FileId = t.fileRequest()
	var reply eventpb.FilesStatReply
	if err := x.ask(event.FilesStat, q, &reply); err != nil {
		return nil, err
	}
	f := fileOf(reply.File)
	return &f, nil
}

// remove deletes a file: DELETE /v1/files/{path}. The same Inos-Request-Id within 24 hours has one effect.
func (x *exchange) remove(t target) error {
	id, err := x.requestID()
	if err != nil {
		return err
	}
	if err := x.precondition(t); err != nil {
		return err
	}
	var reply eventpb.FilesDeleteReply
	if err := x.send(x.r.Context(), x.envelope(id, event.FilesDelete, &eventpb.FilesDeleteRequest{Path: string(t.path)}), &reply, nil); err != nil {
		return err
	}
	x.writeJSON(http.StatusOK, DeleteReply{Path: string(t.path), Version: reply.Version, TraceID: x.trace.id()})
	return nil
}
