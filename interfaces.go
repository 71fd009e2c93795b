package inos

import "context"

// Content keeps chunks on one node's disk, addressed by the BLAKE3 of their stored bytes.
//
// Calls may come from many goroutines at once. Errors carry a Code: CodeChunkNotFound, CodeChunkCorrupt, CodeDiskFull,
// CodeReadOnly, CodeIO; CodeBadRequest for a limit below 1 or a chunk above StoredBytesMax, CodeShuttingDown after Close,
// CodeCanceled and CodeDeadlineExceeded with ctx. Put is idempotent. Close waits for the calls under way.
type Content interface {
	// Put stores a chunk and returns when it is on stable storage: file and directory entry fsynced. Bytes that do
	// not hash to id are refused with CodeChunkCorrupt. existed says that the chunk was there, or came back from
	// the trash. Concurrent Puts share their flushes.
	Put(ctx context.Context, id ChunkID, stored []byte) (existed bool, err error)
	// Get appends the chunk's stored bytes to dst after verifying them against id. A chunk that fails is set aside
	// as corrupt, is no longer held, and CodeChunkCorrupt is returned.
	Get(ctx context.Context, id ChunkID, dst []byte) ([]byte, error)
	// Missing returns those ids that are not held, in the order asked. It looks for each and reads none: a chunk that it
	// leaves out may still be corrupt.
	Missing(ctx context.Context, ids []ChunkID) ([]ChunkID, error)
	// Trash moves chunks out of sight; they can come back by Put until EmptyTrash. An unknown id is no error.
	Trash(ctx context.Context, ids []ChunkID) (chunks int, bytes int64, err error)
	// EmptyTrash removes at most limit chunks that were trashed before the time.
	EmptyTrash(ctx context.Context, before Micros, limit int) (chunks int, bytes int64, err error)
	// Inventory lists at most limit held ids above after, in order. end says that none follows.
	Inventory(ctx context.Context, after ChunkID, limit int) (ids []ChunkID, end bool, err error)
	// Scrub re-hashes at most limit chunks above after, sets the bad ones aside and names them.
	Scrub(ctx context.Context, after ChunkID, limit int) (Scrubbed, error)
	// Usage returns exact counters; it never walks the disk.
	Usage() Usage
	Close() error
}

// Scrubbed is the result of one page of Scrub.
type Scrubbed struct {
	Chunks int
	Bytes  int64
	Bad    []ChunkID
	Next   ChunkID // pass as after
	End    bool
}

// Usage counts what a content store holds. Used and trash bytes are sums of stored lengths.
type Usage struct {
	Chunks     int64
	UsedBytes  int64
	TrashBytes int64
	FreeBytes  int64 // of the file system, less the store's reserve
	Unclean    bool  // the store was opened after a crash and its counters were recovered
}

// FileInfo is one version of one file. Units: bytes, microseconds.
type FileInfo struct {
	Owner           Subject
	Path            Path
	Version         uint64
	FileID          FileID
	ManifestID      ChunkID
	PlainBytes      uint64
	StoredBytes     uint64
	Chunks          uint64
	CreatedAt       Micros
	ContentType     string
	ReplicasWanted  uint32
	ReplicasReached uint32
	Pledged         int64 // micro-credits in escrow for replicas above the default
}

// ChunkRow is a chunk as the map knows it.
type ChunkRow struct {
	Entry    Entry
	Nodes    []NodeID
	Manifest bool      // a manifest node, not data
	Children []ChunkID // what a manifest node refers to
	Known    bool      // the caller found it by FindChunks and wrote no bytes for it
	Promised uint32    // replicas that the put wants whose receipt may name the chunk's nodes, those that the memory knows already too; 0: none
}

// ChunkGeneration names a chunk at one generation: a new reference raises the generation, so an order to delete that
// names an older one is void.
type ChunkGeneration struct {
	ID         ChunkID
	Generation uint64
}

// RequestKey makes a request idempotent: its reply is remembered under the key for RequestKeyLife.
type RequestKey struct {
	Subject   Subject
	ID        string // UUIDv7 of the request
	EventType string
}

// RequestKeyLife is how long a reply is remembered; an older request id is refused.
const RequestKeyLife = 24 * Hour

// Semantic is the memory of facts: files, references, chunk locations, identity, idempotence keys.
//
// Each verb is one transaction with its preconditions stated here, idempotent, and without policy; AbortUpload,
// ForgetChunks, DropCopies and PruneReplies may be several, each of a bounded number of rows, so that nobody waits long behind them;
// what such a verb did before an error stays done.
// Verbs may be called from many goroutines; concurrent ones share their flushes, and one that is refused undoes only
// itself. When a verb returns without error its effect is durable and seen by every verb that begins after.
//
// Errors carry a Code: CodeFileNotFound, CodeConflict, CodeBadRequest and CodeBadPath are refusals that changed nothing;
// so are CodeCanceled and CodeDeadlineExceeded, CodeDiskFull, CodeReadOnly, and CodeShuttingDown after Close. CodeIO leaves the outcome
// unknown; calling again with the same arguments settles it.
//
// A chunk is referred to by the edges of manifest nodes, by live files (their root), by the versions before them that
// stay until a later one's commit record is settled (SettleRecord), and by the pins of uploads. One without a reference is collectable: CondemnChunks, then the caller trashes its bytes, then ForgetChunks. A condemned
// chunk is on its way out: it cannot gain a reference except by being staged anew by somebody who has written its bytes.
type Semantic interface {
	SemanticMesh
	SemanticIdentity
	SemanticUploads
	// FindChunks returns for each hash the entry of a data chunk that owner holds with that plain hash, or nil; of
	// several the one with the least id. A chunk without a reference, or that no node holds, is not returned. The entry's
	// chaining value is that of the offset the chunk was first stored for. At most 65,536 hashes.
	FindChunks(ctx context.Context, owner Subject, hashes []PlainHash) ([]*Entry, error)
	// StageChunks inserts chunk rows, their edges and locations under the pin of an upload, which it creates when
	// needed and which belongs to owner (CodeConflict). At most 4,096 rows. In order, for each row:
	//   - A row that is Known must exist, be on at least one node, not be condemned and, if it is data, be held by owner;
	//     else CodeConflict, and the caller writes the bytes and stages the row without Known.
	//   - Any other row is inserted, or renewed: its generation is raised and it is no longer condemned; of one that was, the
	//     copies known before are forgotten, for their bytes were ordered to the trash. The caller has
	//     written its bytes before, and not trashed them since. The first entry stays; one with another plain hash or
	//     other lengths is CodeConflict.
	//   - Nodes are added to those that hold the chunk, trusted, unless the row is Known: its caller wrote nothing. Each is a
	//     member that is not removed, else CodeNodeUnknown.
	//   - Every child of a manifest node must have a row that is not condemned, or come earlier in the same call; else
	//     CodeConflict. The edge replaces the upload's pin on the child: what an upload pins, and so what a commit
	//     or an abort has to release, are the chunks without a parent yet.
	StageChunks(ctx context.Context, upload UploadID, owner Subject, chunks []ChunkRow, now Micros) error
	// CommitFile stages the given chunks (as StageChunks, without a pin), writes the next version of file.Path with
	// file.ManifestID as its root (whose row must exist and not be condemned, CodeConflict), moves the reference of the
	// version before to the pending record of this one (PendingRecords), drops the upload and its pins and remembers the result under key. It sets Version and
	// CreatedAt. The upload need not exist. A key seen before, for the same owner, path and FileID, changes nothing but drops
	// the upload, and returns the file committed then, repeated true; with another of them it is CodeConflict, and so is a
	// key that DeleteFile used. quota is a precondition: a version that makes the owner's files or plain bytes more than they are and more than it allows is
	// CodeQuotaExceeded. file.Pledged, 0 or more, is held in the owner's escrow in place of what the version before pledged, taken from or given back to the owner's
	// account by entries of the key's request; CodeCreditsShort when the account would fall below zero.
	CommitFile(ctx context.Context, upload UploadID, file FileInfo, chunks []ChunkRow, quota Quota, key RequestKey, now Micros) (f FileInfo, repeated bool, err error)
	// AbortUpload drops one upload and its pins, or every upload that is not open (OpenUpload) when id is empty. An unknown one is no error.
	AbortUpload(ctx context.Context, upload UploadID) (uploads int, err error)
	// LookupFile returns the live file at a path, or (path empty) the live file of owner with that FileID whose path
	// is least; CodeFileNotFound.
	LookupFile(ctx context.Context, owner Subject, path Path, id FileID) (FileInfo, error)
	// ListFiles pages through live files by path, bytewise: those above after that begin with prefix. A limit of 0 or
	// above 1,000 is 1,000.
	ListFiles(ctx context.Context, owner Subject, prefix, after string, limit int) (files []FileInfo, more bool, err error)
	// DeleteFile writes a tombstone as the path's next version, pending as CommitFile does, and remembers it under key; what the file pledged goes back
	// to the owner's account. CodeFileNotFound without a live file, CodeConflict for a key that CommitFile used, or that was used for another owner or path.
	DeleteFile(ctx context.Context, owner Subject, path Path, key RequestKey, now Micros) (version uint64, repeated bool, err error)
	// CondemnChunks marks at most limit chunks without a reference (0 or above 4,096: 4,096), those with the least ids,
	// and names them; chunks condemned before and neither forgotten nor renewed are named again. The caller trashes their
	// bytes, then calls ForgetChunks. It leaves out of both a chunk that it has written for an upload and not staged yet.
	CondemnChunks(ctx context.Context, limit int) ([]ChunkGeneration, error)
	// ForgetChunks removes the rows, edges and locations of those chunks that are still condemned at that generation;
	// their children may become collectable. The others are passed over. At most 65,536 chunks.
	ForgetChunks(ctx context.Context, chunks []ChunkGeneration) (forgotten int, err error)
	// UnknownChunks returns those ids that have no row, in the order asked. At most 65,536 ids.
	UnknownChunks(ctx context.Context, ids []ChunkID) ([]ChunkID, error)
	// ChunkCopies returns for each id its copies as ChunkState.Copies has them; an unknown id gets none. At most 65,536 ids.
	ChunkCopies(ctx context.Context, ids []ChunkID) ([][]Copy, error)
	// NodeChunks lists at most limit chunks (0 or above 4,096: 4,096) that a node holds, with ids above after, in order,
	// without those that are condemned. end says that none follows.
	NodeChunks(ctx context.Context, node NodeID, after ChunkID, limit int) (ids []ChunkID, end bool, err error)
	// DropCopies removes a node from those that hold each of the chunks, because it has lost their bytes; the chunks keep
	// their rows, references and other nodes. Staging a chunk with the node brings the node back. It returns how many pairs
	// of chunk and node were removed; an id or a node that is unknown is none. At most 65,536 ids.
	DropCopies(ctx context.Context, node NodeID, ids []ChunkID) (dropped int, err error)
	// PruneReplies forgets request keys remembered before a time.
	PruneReplies(ctx context.Context, before Micros) (pruned int, err error)
	// Totals returns counters kept by the verbs, exact at every moment; it never scans.
	Totals(ctx context.Context) (Totals, error)
	// PutToken stores a session under the hash of its secret, replacing one with the same token id; CodeConflict when the
	// hash is another token's.
	PutToken(ctx context.Context, hash [HashBytes]byte, s Session) error
	// FindToken returns the session of a secret's hash, or CodeUnauthenticated. Whether it has expired is for the caller to say.
	FindToken(ctx context.Context, hash [HashBytes]byte) (Session, error)
	// Close lets the verbs under way finish; later ones fail with CodeShuttingDown.
	Close() error
}

// Totals counts what the semantic memory knows.
type Totals struct {
	Files       uint64 // live
	PlainBytes  uint64 // of live files
	Chunks      uint64 // rows, manifest nodes included
	StoredBytes uint64 // of the data chunks among them, each counted once however many nodes hold it; manifest nodes are not counted
	Collectable uint64 // chunks without a reference
	Uploads     uint64 // pins
	Copies      uint64 // of chunks, on all nodes; on a lone node one of each chunk that it has not lost
	PlacedBytes uint64 // of these copies
}

// Event is one line of history.
type Event struct {
	ID       string
	Type     string
	At       Micros
	TraceID  string
	Subject  Subject
	Path     string
	Detail   string
	Duration Micros
	Seq      uint64 // set by the memory: grows with each event recorded
}

// Span sums one stage of one trace.
type Span struct {
	TraceID    string
	Stage      string
	Calls      uint32
	FirstStart Micros
	LastEnd    Micros
	Total      Micros
	Max        Micros
	Failed     uint32
	Stalled    uint32
	Bytes      uint64
}

// EventFilter selects events; zero fields select all.
type EventFilter struct {
	TypePrefix string
	TraceID    string
	Subject    Subject
	AfterSeq   uint64
	After      Micros // events later than this
	Limit      int    // 0: 1,000; at most 10,000
	Last       bool   // the newest Limit events, still returned oldest first
}

// Episodic is the memory of what happened. It is written in batches and bounded: the oldest go first. No decision reads
// it, and a power cut may lose its last batches. Calls may come from many goroutines. Errors carry a Code: CodeBadRequest,
// CodeDiskFull, CodeReadOnly, CodeIO, and CodeShuttingDown after Close.
type Episodic interface {
	// Record appends at most 16,384 events and spans in one transaction. Of events with the same id and type the first is
	// kept (a reply carries its request's id); one without an id is always new. A span replaces the one of its trace and stage. Rows
	// beyond the memory's bound are removed with it, events by Seq, spans by last end. Texts longer than 1,024 bytes, and
	// details longer than 4,096, are cut.
	Record(ctx context.Context, events []Event, spans []Span) error
	// Events returns matching events by ascending Seq.
	Events(ctx context.Context, f EventFilter) ([]Event, error)
	// Spans returns the stages of one trace by first start, at most 1,000.
	Spans(ctx context.Context, traceID string) ([]Span, error)
	// Trim removes what exceeds the memory's bounds (age, rows) and returns how many rows went.
	Trim(ctx context.Context, now Micros) (removed int, err error)
	Close() error
}
