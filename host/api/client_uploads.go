package api

import (
	"bytes"
	"context"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/inos-mesh/inos"
)

// OpenUpload opens an upload. The same request id opens nothing anew; empty: a new one.
func (c *Client) OpenUpload(ctx context.Context, q UploadQuestion, requestID string) (u Upload, err error) {
	return u, c.askJSON(ctx, "POST", "/v1/uploads", requestID, q, &u)
}

// Uploads walks through one's own open uploads.
func (c *Client) Uploads(ctx context.Context) iter.Seq2[Upload, error] {
	return pages(func(after string) ([]Upload, string, error) {
		var r UploadsReply
		err := c.callJSON(ctx, "GET", "/v1/uploads?"+url.Values{"after": {after}}.Encode(), &r)
		return r.Uploads, r.Next, err
	})
}

// StatUpload returns an upload with a page of its chunks from first on.
func (c *Client) StatUpload(ctx context.Context, id string, first uint64) (p UploadPage, err error) {
	return p, c.callJSON(ctx, "GET", "/v1/uploads/"+id+"?first="+strconv.FormatUint(first, 10), &p)
}

// ClaimChunks names the plain hashes of at most UploadHashesMax chunks, from first on, and returns which have to be sent.
func (c *Client) ClaimChunks(ctx context.Context, id string, first uint64, hashes []inos.PlainHash) (r ClaimReply, err error) {
	q := ClaimQuestion{FirstChunk: first, PlainHashes: make([]string, len(hashes))}
	for i, h := range hashes {
		q.PlainHashes[i] = h.String()
	}
	return r, c.askJSON(ctx, "POST", "/v1/uploads/"+id+"/missing", "", q, &r)
}

// SendChunk sends a chunk's stored form, and again while the node is too busy. It is safe when SendChunk returns without error.
func (c *Client) SendChunk(ctx context.Context, id string, index uint64, chunk inos.ChunkID, stored []byte, quality uint8) (sent SentReply, err error) {
	address := "/v1/uploads/" + id + "/chunks/" + chunk.String() + "?index=" + strconv.FormatUint(index, 10)
	if quality > 0 {
		address += "&quality=" + strconv.Itoa(int(quality))
	}
	for try := 1; ; try++ {
		sent, err = c.sendChunk(ctx, address, stored)
		if err == nil || inos.CodeOf(err) != inos.CodeBusy || try == busyTriesMax {
			return sent, err
		}
		if err := pause(ctx, err, try); err != nil {
			return sent, err
		}
	}
}

func (c *Client) sendChunk(ctx context.Context, address string, stored []byte) (sent SentReply, err error) {
	r, err := c.newRequest(ctx, "PUT", address, bytes.NewReader(stored))
	if err != nil {
		return sent, err
	}
	r.Header.Set("Content-Type", "application/octet-stream")
	response, err := c.do(r)
	if err != nil {
		return sent, err
	}
	return sent, c.readJSON(ctx, response, &sent)
}

// CommitUpload makes the file visible. FileID is what its sender computed; zeros: the node is not to compare. With ifAbsent it is refused when the path
// exists.
func (c *Client) CommitUpload(ctx context.Context, id string, file inos.FileID, ifAbsent bool, requestID string) (reply PutReply, err error) {
	q := `{"file_id":"` + file.String() + `"}`
	if file == (inos.FileID{}) {
		q = `{}`
	}
	r, err := c.newRequest(ctx, "POST", "/v1/uploads/"+id+"/commit", bytes.NewReader([]byte(q)))
	if err != nil {
		return reply, err
	}
	r.Header.Set("Content-Type", "application/json")
	if ifAbsent {
		r.Header.Set("If-None-Match", "*")
	}
	if requestID != "" {
		r.Header.Set("Inos-Request-Id", requestID)
	}
	response, err := c.do(r)
	if err != nil {
		return reply, err
	}
	return reply, c.readJSON(ctx, response, &reply)
}

// DropUpload gives an upload up.
func (c *Client) DropUpload(ctx context.Context, id string) error {
	r, err := c.newRequest(ctx, http.MethodDelete, "/v1/uploads/"+id, nil)
	if err != nil {
		return err
	}
	response, err := c.do(r)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, response.Body) // it has none
	return response.Body.Close()
}
