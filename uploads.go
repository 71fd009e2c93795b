package inos

import "context"

// Nouns of uploads: files that arrive as stored chunks, in any order, and whose arrival survives a cut.

// Upload is a file that is arriving. Its chunks have ChunkBytesMax plain bytes each but the last.
type Upload struct {
	ID          UploadID
	Subject     Subject // who opened it
	Owner       Subject
	Path        Path
	PlainBytes  uint64
	FileID      FileID // that the file has to have; zeros: not known beforehand
	ContentType string
	Replicas    uint32 // asked for; 0: the default
	Sync        uint32
	Tier        Tier
	CreatedAt   Micros
	ExpiresAt   Micros
	Held        uint64 // chunks that have a slot; set by the memory
}

// Chunks returns how many chunks the file has.
func (u *Upload) Chunks() uint64 { return (u.PlainBytes + ChunkBytesMax - 1) / ChunkBytesMax }

// ChunkBytes returns the plain length of the chunk at an index below Chunks.
func (u *Upload) ChunkBytes(index uint64) uint64 {
	return min(u.PlainBytes-index*ChunkBytesMax, ChunkBytesMax)
}

// UploadSlot is a chunk of an upload that is here.
type UploadSlot struct {
	Index     uint64
	Entry     Entry
	Described bool // the entry's chaining value is that of the index; else it is that of the offset the chunk was first stored for
}

// FoundUpload is what FindUpload returns.
type FoundUpload struct {
	Upload    Upload
	Slot      *UploadSlot // nil: nothing is there
	Committed *FileInfo   // by a request with the key; the rest is empty then
}

// SemanticUploads keeps uploads that are open. Each pins the chunks in its slots, as StageChunks does, until CommitFile or AbortUpload ends it;
// AbortUpload of every upload leaves open ones alone. A verb that names an upload that is not open is refused with CodeUploadUnknown.
type SemanticUploads interface {
	// OpenUpload opens an upload under its id; one that is open under it, of the same subject, owner, path and length, is returned as it is, another one, or
	// a put's, is CodeConflict. CodeQuotaExceeded when the subject has uploadsMax open, or when the plain bytes of all it has open would be more
	// than bytesMax.
	OpenUpload(ctx context.Context, u Upload, uploadsMax int, bytesMax uint64) (Upload, error)
	// FindUpload returns an upload with the slot at an index. When key was remembered by CommitFile it returns the file committed then.
	FindUpload(ctx context.Context, id UploadID, index uint64, key RequestKey) (FoundUpload, error)
	// ListUploads pages through the uploads of subject into the namespace of owner, by id: those above after. A limit of 0 or above 1,000 is 1,000.
	ListUploads(ctx context.Context, subject, owner Subject, after UploadID, limit int) (uploads []Upload, more bool, err error)
	// ExpiredUploads returns at most limit ids (0 or above 1,000: 1,000) of uploads that expired before a time, those first that did first.
	ExpiredUploads(ctx context.Context, before Micros, limit int) ([]UploadID, error)
	// ClaimSlots fills the slots from first on, with dedup, with chunks that the owner holds (as FindChunks finds them) and that have the plain hash given
	// for each and the length of its index; without it, who knows a hash gets nothing by it. A slot that has this hash, and whose chunk some node holds, stays as it is; one that has another hash is emptied first. It
	// returns the indexes whose slots are empty after that. The upload expires at the later of its time and expires. Indexes beyond the upload's
	// chunks are CodeBadRequest. At most 4,096 hashes.
	ClaimSlots(ctx context.Context, id UploadID, first uint64, hashes []PlainHash, dedup bool, expires Micros) (missing []uint64, u Upload, err error)
	// FillSlot stages a data chunk, as StageChunks does, and puts it into the slot at an index, described, in place of what is there. Its plain length has to be that
	// of the index, else CodeBadRequest. The upload expires at the later of its time and expires.
	FillSlot(ctx context.Context, id UploadID, index uint64, chunk ChunkRow, expires Micros, now Micros) error
	// EmptySlots empties slots; those that are empty stay so. At most 4,096.
	EmptySlots(ctx context.Context, id UploadID, indexes []uint64) error
	// UploadSlots returns at most limit slots (0 or above 4,096: 4,096) from an index on, in order.
	UploadSlots(ctx context.Context, id UploadID, first uint64, limit int) ([]UploadSlot, error)
}
