package api

import (
	"encoding/hex"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// The JSON bodies of the interface. Sizes are bytes, names that end in _us are microseconds (times since the Unix
// epoch), hashes are 64 hexadecimal digits.

// File is one version of one file.
type File struct {
	Path            string `json:"path"`
	Version         uint64 `json:"version"`
	FileID          string `json:"file_id"`
	ManifestID      string `json:"manifest_id"`
	PlainBytes      uint64 `json:"plain_bytes"`
	StoredBytes     uint64 `json:"stored_bytes"`
	Chunks          uint64 `json:"chunks"`
	CreatedUs       int64  `json:"created_us"`
	ContentType     string `json:"content_type"`
	ReplicasWanted  uint32 `json:"replicas_wanted"`
	ReplicasReached uint32 `json:"replicas_reached"`
	Degraded        bool   `json:"degraded"`
	DegradedReason  string `json:"degraded_reason,omitempty"`
}

// SharedFile is a file as who has a link to a folder above it sees it. Path goes behind the address of the link.
type SharedFile struct {
	Path        string `json:"path"`
	FileID      string `json:"file_id"`
	PlainBytes  uint64 `json:"plain_bytes"`
	ContentType string `json:"content_type"`
	CreatedUs   int64  `json:"created_us"`
}

// SharedListReply is a page of them by path.
type SharedListReply struct {
	Files []SharedFile `json:"files"`
	Next  string       `json:"next"`
}

// PutReply answers a put.
type PutReply struct {
	File
	DeduplicatedBytes uint64   `json:"deduplicated_bytes"` // plain bytes that were held already
	Receipt           *Receipt `json:"receipt,omitempty"`
	TraceID           string   `json:"trace_id"`
}

// Receipt says what a file survives: it stays readable while one of the domains lives.
type Receipt struct {
	Level    string   `json:"level"`    // zone, host or process: what the domains are
	Domains  []string `json:"domains"`  // each has every chunk and the commit record on stable storage
	Wanted   uint32   `json:"wanted"`   // replicas; what is missing follows as repair
	Survives string   `json:"survives"` // for a person
}

// SetReply answers a change of how a file is kept.
type SetReply struct {
	File
	TraceID string `json:"trace_id"`
}

// DeleteReply answers a delete.
type DeleteReply struct {
	Path    string `json:"path"`
	Version uint64 `json:"version"` // of the tombstone
	TraceID string `json:"trace_id"`
}

// ListReply is one page of files by path, bytewise.
type ListReply struct {
	Files []File `json:"files"`
	Next  string `json:"next,omitempty"` // pass as after; absent at the end
}

// Chunk is one chunk of a file.
type Chunk struct {
	Index       uint64 `json:"index"`
	ChunkID     string `json:"chunk_id"`
	PlainHash   string `json:"plain_hash"`
	PlainBytes  uint64 `json:"plain_bytes"`
	StoredBytes uint64 `json:"stored_bytes"`
	Codec       string `json:"codec"` // "raw" or "brotli"
	Quality     uint32 `json:"quality,omitempty"`
	Copies      []Copy `json:"copies"`
}

// Copy is one node's copy of a chunk.
type Copy struct {
	Node      string `json:"node"`
	Zone      string `json:"zone"`
	Host      string `json:"host"`
	Tier      string `json:"tier"`
	Liveness  string `json:"liveness"` // of the node: alive, suspect, dead
	Trusted   bool   `json:"trusted"`
	AuditedUs int64  `json:"audited_us"` // last challenge passed; 0: none
}

// StatReply is a file and a page of its chunks.
type StatReply struct {
	File
	Receipt   *Receipt `json:"receipt,omitempty"` // the domains that hold every chunk now
	ChunkList []Chunk  `json:"chunk_list,omitempty"`
}

// VerifyLine is one line of a verification: progress, the result, or the error that ended it.
type VerifyLine struct {
	Progress *VerifyCounts `json:"progress,omitempty"`
	Result   *VerifyResult `json:"result,omitempty"`
	Error    *problem      `json:"error,omitempty"`
}

// VerifyCounts says how far a verification is.
type VerifyCounts struct {
	Chunks      uint64 `json:"chunks"`
	StoredBytes uint64 `json:"stored_bytes"`
	Bad         uint64 `json:"bad"`
}

// VerifyResult says what a verification found.
type VerifyResult struct {
	VerifyCounts
	BadChunkIDs []string       `json:"bad_chunk_ids"`   // the first 1,024
	Nodes       []NodeVerified `json:"nodes,omitempty"` // of a verification of every stored chunk; at most 512, those first on which something is bad or unread
	NodesMore   uint64         `json:"nodes_left_out,omitempty"`
}

// NodeVerified says what a verification of every stored chunk found on one node.
type NodeVerified struct {
	Node string `json:"node"`
	VerifyCounts
	Error string `json:"error,omitempty"` // why the node was not verified to its end
}

// Event is one line of history.
type Event struct {
	Seq        uint64 `json:"seq"`
	ID         string `json:"id"`
	Type       string `json:"type"`
	AtUs       int64  `json:"at_us"`
	TraceID    string `json:"trace_id,omitempty"`
	Subject    string `json:"subject,omitempty"`
	Path       string `json:"path,omitempty"`
	Detail     string `json:"detail,omitempty"`
	DurationUs int64  `json:"duration_us,omitempty"`
}

// Span sums one stage of a trace.
type Span struct {
	Stage        string `json:"stage"`
	Calls        uint32 `json:"calls"`
	FirstStartUs int64  `json:"first_start_us"`
	LastEndUs    int64  `json:"last_end_us"`
	TotalUs      int64  `json:"total_us"` // sum over calls; more than last_end - first_start where calls overlap
	MaxUs        int64  `json:"max_us"`
	Failed       uint32 `json:"failed,omitempty"`
	Stalled      uint32 `json:"stalled,omitempty"`
	Bytes        uint64 `json:"bytes,omitempty"`
}

// Trace is what is known of one trace: its events and its stages, oldest first.
type Trace struct {
	TraceID string  `json:"trace_id"`
	Events  []Event `json:"events"`
	Spans   []Span  `json:"spans"`
}

func hash(b []byte) string { return hex.EncodeToString(b) }

func fileOf(f *eventpb.FileInfo) File {
	if f == nil {
		f = &eventpb.FileInfo{}
	}
	return File{
		Path: f.Path, Version: f.Version, FileID: hash(f.FileId), ManifestID: hash(f.ManifestId),
		PlainBytes: f.PlainBytes, StoredBytes: f.StoredBytes, Chunks: f.Chunks, CreatedUs: f.CreatedUs, ContentType: f.ContentType,
		ReplicasWanted: f.ReplicasWanted, ReplicasReached: f.ReplicasReached, Degraded: f.Degraded, DegradedReason: f.DegradedReason,
	}
}

func chunkOf(c *eventpb.ChunkInfo) Chunk {
	codec := "raw"
	if c.Codec == inos.CodecBrotli {
		codec = "brotli"
	}
	out := Chunk{
		Index: c.Index, ChunkID: hash(c.ChunkId), PlainHash: hash(c.PlainHash), PlainBytes: c.PlainBytes, StoredBytes: c.StoredBytes,
		Codec: codec, Quality: c.Quality, Copies: make([]Copy, len(c.Copies)),
	}
	for i, have := range c.Copies {
		out.Copies[i] = Copy{
			Node: have.Node, Zone: have.Zone, Host: have.Host, Tier: have.Tier, Liveness: have.Liveness, Trusted: have.Trusted, AuditedUs: have.AuditedUs,
		}
	}
	return out
}

func receiptOf(r *eventpb.Receipt) *Receipt {
	if r == nil {
		return nil
	}
	return &Receipt{Level: r.Level, Domains: append([]string{}, r.Domains...), Wanted: r.Wanted, Survives: r.Survives}
}

func eventOf(e *inos.Event) Event {
	return Event{
		Seq: e.Seq, ID: e.ID, Type: e.Type, AtUs: int64(e.At), TraceID: e.TraceID, Subject: string(e.Subject), Path: e.Path,
		Detail: e.Detail, DurationUs: int64(e.Duration),
	}
}

func spanOf(s *inos.Span) Span {
	return Span{
		Stage: s.Stage, Calls: s.Calls, FirstStartUs: int64(s.FirstStart), LastEndUs: int64(s.LastEnd), TotalUs: int64(s.Total),
		MaxUs: int64(s.Max), Failed: s.Failed, Stalled: s.Stalled, Bytes: s.Bytes,
	}
}
