package api

import (
	"encoding/json"
	"net/http"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// list answers with a page of files: GET /v1/files?prefix=&after=&limit=.
func (x *exchange) list(target) error {
	values, err := x.query("prefix", "after", "limit")
	if err != nil {
		return err
	}
	limit, err := number(values, "limit", listLimitMax, listLimitMax)
	if err != nil {
		return err
	}
	q := &eventpb.FilesListRequest{Prefix: values.Get("prefix"), After: values.Get("after"), Limit: uint32(limit)}
	if err := checkPrefix(q.Prefix); err != nil {
		return err
	}
	if len(q.After) > inos.PathBytesMax {
		return inos.Errorf(inos.CodeBadPath, "files:list", "after has at most %d bytes", inos.PathBytesMax)
	}
	var reply eventpb.FilesListReply
	if err := x.ask(event.FilesList, q, &reply); err != nil {
		return err
	}
	out := ListReply{Files: make([]File, len(reply.Files)), Next: reply.Next}
	for i, f := range reply.Files {
		out.Files[i] = fileOf(f)
	}
	x.writeJSON(http.StatusOK, out)
	return nil
}

// stat answers with what is known of a file and a page of its chunks: GET /v1/stat/{path}?first=&limit=, or
// GET /v1/stat?id={fileid}. Without limit there are no chunks.
func (x *exchange) stat(t target) error {
	values, err := x.query("id", "first", "limit")
	if err != nil {
		return err
	}
	switch s := values.Get("id"); {
	case s == "" && t.path == "":
		return inos.Errorf(inos.CodeBadRequest, "files:stat", "no file is named: write /v1/stat/{path} or /v1/stat?id={file id}")
	case s != "" && t.path != "":
		return inos.Errorf(inos.CodeBadRequest, "files:stat", "a file is named by its path or by id=, not by both")
	case s != "":
		id, err := inos.ParseFileID(s)
		if err != nil {
			return err
		}
		t.fileID = &id
	}
	first, err := number(values, "first", 0, 1<<62)
	if err != nil {
		return err
	}
	limit, err := number(values, "limit", 0, chunkLimitMax)
	if err != nil {
		return err
	}
	q := &eventpb.FilesStatRequest{FirstChunk: first, ChunkLimit: uint32(limit)}
	q.Path, q.FileId = t.fileRequest()
	var reply eventpb.FilesStatReply
	if err := x.ask(event.FilesStat, q, &reply); err != nil {
		return err
	}
	out := StatReply{File: fileOf(reply.File), Receipt: receiptOf(reply.Receipt)}
	for _, c := range reply.Chunks {
		out.ChunkList = append(out.ChunkList, chunkOf(c))
	}
	x.writeJSON(http.StatusOK, out)
	return nil
}

// verify re-reads what is stored: POST /v1/verify?path=; without a path every chunk of every node. The answer is lines
// of JSON (VerifyLine): progress, then the result or an error.
func (x *exchange) verify(target) error {
	values, err := x.query("path")
	if err != nil {
		return err
	}
	q := &eventpb.FilesVerifyRequest{Path: values.Get("path")}
	if q.Path != "" {
		if err := inos.CheckPath(inos.Path(q.Path)); err != nil {
			return err
		}
	}
	line := func(v VerifyLine) {
		if x.w.status == 0 {
			x.w.Header().Set("Content-Type", "application/x-ndjson")
			x.w.WriteHeader(http.StatusOK)
		}
		b, err := json.Marshal(v)
		if err != nil {
			panic("api: encode a line: " + err.Error()) // no input can cause it
		}
		_, _ = x.w.Write(append(b, '\n')) // a client that left ends the request by its context
		_ = x.w.flush()
	}
	progress := func(e *eventpb.Envelope) {
		var p eventpb.FilesVerifyProgress
		if event.Open(e, &p) == nil {
			line(VerifyLine{Progress: &VerifyCounts{Chunks: p.Chunks, StoredBytes: p.StoredBytes, Bad: p.Bad}})
		}
	}
	var reply eventpb.FilesVerifyReply
	err = x.send(x.r.Context(), x.envelope(newID(x.h.now()), event.FilesVerify, q), &reply, progress)
	if err != nil {
		if x.w.status == 0 {
			return err
		}
		p := problemOf(err, x.trace.id())
		line(VerifyLine{Error: &p})
		return nil
	}
	result := &VerifyResult{
		VerifyCounts: VerifyCounts{Chunks: reply.Chunks, StoredBytes: reply.StoredBytes, Bad: reply.Bad},
		BadChunkIDs:  make([]string, len(reply.BadChunkIds)),
		NodesMore:    reply.NodesLeftOut,
	}
	for i, id := range reply.BadChunkIds {
		result.BadChunkIDs[i] = hash(id)
	}
	for _, n := range reply.Nodes {
		result.Nodes = append(result.Nodes, NodeVerified{
			Node: n.Node, VerifyCounts: VerifyCounts{Chunks: n.Chunks, StoredBytes: n.StoredBytes, Bad: n.Bad}, Error: n.Error,
		})
	}
	line(VerifyLine{Result: result})
	return nil
}
