package api

import (
	"bytes"
	"net/http"
	"strconv"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// chunk answers with the stored form of a chunk: GET /v1/chunks/{id}?path=&index= or ?file=&index=. Its id grants
// nothing: the client names a file that it may read, which the kernel judges, and the place in it where the chunk is.
func (x *exchange) chunk(t target) error {
	stored, _, err := x.storedChunk(t, "path", "file", "index")
	if err != nil || stored == nil {
		return err
	}
	header := x.w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Disposition", "attachment")
	header.Set("Content-Length", strconv.Itoa(len(stored)))
	header.Set("ETag", chunkTag(t))
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(stored) // a client that left has no use for the error
	}
	return nil
}

func chunkTag(t target) string { return `"` + t.chunk.String() + `"` }

// proof answers with the Bao slice of the leaf of a chunk's stored form that holds a byte of it:
// GET /v1/chunks/{id}/proof?path=&index=&offset=. It shows that leaf, so it needs the same permission as the chunk;
// who has it can check it with the chunk's id alone.
func (x *exchange) proof(t target) error {
	stored, offset, err := x.storedChunk(t, "path", "file", "index", "offset")
	if err != nil || stored == nil {
		return err
	}
	if offset >= uint64(len(stored)) {
		return inos.Errorf(inos.CodeRangeNotSatisfiable, "prove chunk", "byte %d of a stored form of %d", offset, len(stored))
	}
	slice, err := x.h.node.Prove(stored, offset/inos.LeafBytes)
	if err != nil {
		return err
	}
	header := x.w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Disposition", "attachment")
	header.Set("Content-Length", strconv.Itoa(len(slice)))
	header.Set("Inos-Leaf", strconv.FormatUint(offset/inos.LeafBytes, 10))
	header.Set("Inos-Stored-Bytes", strconv.Itoa(len(stored)))
	x.w.WriteHeader(http.StatusOK)
	_, _ = x.w.Write(slice) // a client that left has no use for the error
	return nil
}

// storedChunk reads a chunk of a file and compares it with its id; nil without an error when the answer is complete.
func (x *exchange) storedChunk(t target, known ...string) (stored []byte, offset uint64, err error) {
	const op = "read chunk"
	values, err := x.query(known...)
	if err != nil {
		return nil, 0, err
	}
	path, file := values.Get("path"), values.Get("file")
	switch {
	case (path == "") == (file == ""):
		return nil, 0, inos.Errorf(inos.CodeBadRequest, op, "a chunk is read as a part of a file: name it by path= or by file=")
	case path != "":
		if err := inos.CheckPath(inos.Path(path)); err != nil {
			return nil, 0, err
		}
		t.path = inos.Path(path)
	default:
		id, err := inos.ParseFileID(file)
		if err != nil {
			return nil, 0, err
		}
		t.fileID = &id
	}
	if values.Get("index") == "" {
		return nil, 0, inos.Errorf(inos.CodeBadRequest, op, "index= names the chunk's place in the file, from 0")
	}
	index, err := number(values, "index", 0, chunkIndexMax)
	if err != nil {
		return nil, 0, err
	}
	if offset, err = number(values, "offset", 0, inos.StoredBytesMax); err != nil {
		return nil, 0, err
	}
	q := &eventpb.FilesStatRequest{FirstChunk: index, ChunkLimit: 1}
	q.Path, q.FileId = t.fileRequest()
	var reply eventpb.FilesStatReply
	if err := x.ask(event.FilesStat, q, &reply); err != nil {
		return nil, 0, err
	}
	if len(reply.Chunks) != 1 || !bytes.Equal(reply.Chunks[0].ChunkId, t.chunk[:]) {
		return nil, 0, inos.Errorf(inos.CodeChunkNotFound, op, "the file has no chunk %s at index %d", t.chunk, index)
	}
	none, err := parseCondition("If-None-Match", x.r.Header.Values("If-None-Match"))
	if err != nil {
		return nil, 0, err
	}
	if len(known) == 3 && none != nil && none.matches(true, chunkTag(t)) {
		x.w.Header().Set("ETag", chunkTag(t))
		x.w.WriteHeader(http.StatusNotModified)
		return nil, 0, nil
	}
	w := &chunkWriter{}
	stream, release := x.h.node.Sink(w)
	g := &eventpb.FilesGetRequest{Stream: stream, Encoded: true, OffsetBytes: index * inos.ChunkBytesMax, LengthBytes: int64(reply.Chunks[0].PlainBytes)}
	g.Path, g.FileId = t.fileRequest()
	err = x.ask(event.FilesGet, g, &eventpb.FilesGetReply{})
	release()
	if err != nil {
		return nil, 0, err
	}
	if blake3.Sum256(w.stored) != [inos.HashBytes]byte(*t.chunk) { // the path has another version than a moment ago
		return nil, 0, inos.Errorf(inos.CodeChunkNotFound, op, "the file has no chunk %s at index %d any more", t.chunk, index)
	}
	return w.stored, offset, nil
}

// chunkWriter holds one stored chunk.
type chunkWriter struct{ stored []byte }

// Write implements io.Writer.
func (w *chunkWriter) Write(p []byte) (int, error) {
	if len(w.stored)+len(p) > inos.StoredBytesMax {
		return 0, inos.Errorf(inos.CodeInternal, "read chunk", "more than %d bytes came of one chunk", inos.StoredBytesMax)
	}
	w.stored = append(w.stored, p...)
	return len(p), nil
}
