package api

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// UploadHashesMax bounds the hashes of one claim, and the chunks of a page of an upload.
const UploadHashesMax = 512

// UploadQuestion opens an upload.
type UploadQuestion struct {
	Path        string `json:"path"`
	PlainBytes  uint64 `json:"plain_bytes"`
	FileID      string `json:"file_id,omitempty"` // that the file has to have
	ContentType string `json:"content_type,omitempty"`
	Replicas    uint32 `json:"replicas,omitempty"`
	Sync        uint32 `json:"sync,omitempty"`
	Tier        string `json:"tier,omitempty"`
}

// Upload is an upload that is open.
type Upload struct {
	ID             string `json:"id"`
	Path           string `json:"path"`
	PlainBytes     uint64 `json:"plain_bytes"`
	FileID         string `json:"file_id,omitempty"`
	ContentType    string `json:"content_type"`
	Replicas       uint32 `json:"replicas,omitempty"`
	Sync           uint32 `json:"sync,omitempty"`
	Tier           string `json:"tier,omitempty"`
	Chunks         uint64 `json:"chunks"` // of the whole file
	Held           uint64 `json:"held"`   // of them, that need not be sent
	CreatedUs      int64  `json:"created_us"`
	ExpiresUs      int64  `json:"expires_us"`       // a day after the last chunk
	ChunkBytes     uint64 `json:"chunk_bytes"`      // plain bytes of every chunk but the last
	StoredBytesMax uint64 `json:"stored_bytes_max"` // of a chunk's stored form
	PlainHashesMax uint64 `json:"plain_hashes_max"` // of one claim
}

// UploadsReply is one page of open uploads.
type UploadsReply struct {
	Uploads []Upload `json:"uploads"`
	Next    string   `json:"next,omitempty"`
}

// UploadPage is an upload with a page of what is there of it.
type UploadPage struct {
	Upload
	Have    []UploadChunk `json:"have"`
	Missing []ChunkRange  `json:"missing"`
	Next    uint64        `json:"next,omitempty"` // pass as first; absent at the end
}

// UploadChunk is one chunk that is there.
type UploadChunk struct {
	Index       uint64 `json:"index"`
	ChunkID     string `json:"chunk_id"`
	PlainHash   string `json:"plain_hash"`
	StoredBytes uint64 `json:"stored_bytes"`
}

// ChunkRange is a run of chunks that are missing.
type ChunkRange struct {
	First uint64 `json:"first"`
	Count uint64 `json:"count"`
}

// ClaimQuestion names the plain hashes of chunks, one after the other.
type ClaimQuestion struct {
	FirstChunk  uint64   `json:"first_chunk"`
	PlainHashes []string `json:"plain_hashes"`
}

// ClaimReply says which of them have to be sent.
type ClaimReply struct {
	Missing   []uint64 `json:"missing"` // indexes
	Held      uint64   `json:"held"`    // of the whole upload
	Chunks    uint64   `json:"chunks"`
	ExpiresUs int64    `json:"expires_us"`
}

// SentReply answers a chunk.
type SentReply struct {
	UploadChunk
	Existed bool `json:"existed"` // it was there already
}

// CommitQuestion makes a file of an upload.
type CommitQuestion struct {
	FileID string `json:"file_id,omitempty"` // as the sender knows it
}

func uploadOf(u *eventpb.UploadInfo) Upload {
	if u == nil {
		u = &eventpb.UploadInfo{}
	}
	return Upload{
		ID: u.Id, Path: u.Path, PlainBytes: u.PlainBytes, FileID: hash(u.FileId), ContentType: u.ContentType, Replicas: u.Replicas, Sync: u.Sync, Tier: u.Tier,
		Chunks: u.Chunks, Held: u.Held, CreatedUs: u.CreatedUs, ExpiresUs: u.ExpiresUs, ChunkBytes: inos.ChunkBytesMax, StoredBytesMax: inos.StoredBytesMax,
		PlainHashesMax: UploadHashesMax,
	}
}

func uploadChunkOf(c *eventpb.UploadChunk) UploadChunk {
	return UploadChunk{Index: c.GetIndex(), ChunkID: hash(c.GetChunkId()), PlainHash: hash(c.GetPlainHash()), StoredBytes: c.GetStoredBytes()}
}

// uploadPageOf describes a page that begins with a chunk; what lies between those that are there is missing.
func uploadPageOf(r *eventpb.UploadsStatReply, first uint64) UploadPage {
	out := UploadPage{Upload: uploadOf(r.Upload), Have: []UploadChunk{}, Missing: []ChunkRange{}}
	gap := func(to uint64) {
		if to > first {
			out.Missing = append(out.Missing, ChunkRange{first, to - first})
		}
	}
	for _, c := range r.Held {
		gap(c.Index)
		out.Have = append(out.Have, uploadChunkOf(c))
		first = c.Index + 1
	}
	gap(r.NextChunk)
	if r.NextChunk < out.Chunks {
		out.Next = r.NextChunk
	}
	return out
}
