package inos

import "context"

// Nouns of the mesh: its members, the copies they hold, the repairs that are due, and the records from which the map can be
// made again.

// Tier says what a node is for: hot nodes serve, cold nodes keep.
type Tier string

// The tiers.
const (
	TierHot  Tier = "hot"
	TierCold Tier = "cold"
)

// MemberState is what the operator wants of a member; whether it is alive is not written down.
type MemberState uint8

// The states of a member.
const (
	MemberActive   MemberState = iota + 1 // takes and keeps copies
	MemberDraining                        // takes none; its copies count for no target and are sources
	MemberRemoved                         // is no member any more; its copies are gone from the map
	MemberUnread                          // takes none, and nothing goes from it that the map does not know: a rebuild has not read all that it holds
)

// String names the state.
func (s MemberState) String() string {
	switch s {
	case MemberActive:
		return "active"
	case MemberDraining:
		return "draining"
	case MemberRemoved:
		return "removed"
	case MemberUnread:
		return "unread"
	}
	return "unknown"
}

// Member is a node that was let into the mesh, with what it was granted. Labels and offer change by the operator only.
type Member struct {
	ID           NodeID
	Operator     string // whose machine it is
	Zone         string
	Host         string // within its zone
	Tier         Tier
	OfferedBytes uint64
	Addrs        []string // multiaddresses it was last reached at, at most MemberAddrsMax
	JoinedAt     Micros
	State        MemberState
	// Epoch is the life of the node's copies that is trusted: those confirmed in an earlier one count for nothing.
	Epoch uint64
	// Copies and PlacedBytes count the node's copies, trusted or not, and the stored bytes of the data chunks among them: exact, kept by the verbs.
	Copies      uint64
	PlacedBytes uint64
	// Grant is the signed invite's content that let the node in; opaque here.
	Grant []byte
	// Revision counts the writes of what was granted, the state and the addresses: of two answers about a member the one with the higher is the newer,
	// in whichever order they came. What changes otherwise, the epoch and the counters, it does not count.
	Revision uint64
}

// MemberAddrsMax bounds a member's addresses.
const MemberAddrsMax = 16

// Copy is one node's copy of a chunk as the map knows it.
type Copy struct {
	Node      NodeID
	Trusted   bool   // written or confirmed in the node's present epoch
	AuditedAt Micros // last challenge passed in this epoch; 0: none
	Promised  uint32 // the fewest replicas that a put wanted whose receipt may name the node; 0: none does
}

// ChunkState is what repair has to know of a chunk.
type ChunkState struct {
	ID          ChunkID
	StoredBytes uint64 // 0 of a manifest node: the map does not know its length
	Generation  uint64
	Condemned   bool
	Manifest    bool // its bytes are a manifest node's; they may be data too
	// Wanted is the largest number of replicas that anything which reaches the chunk asks for: a live file, a version that
	// stays until a later one is settled, or an upload, which asks for ReplicasDefault; 0: nothing reaches it.
	Wanted uint32
	Copies []Copy // sorted by node, those of removed members left out
}

// RepairWant asks for a repair.
type RepairWant struct {
	ID     ChunkID
	Reason string // for a person: "dead node", "short at put"
	Live   uint32 // domains that hold it now; the fewest go first
}

// Repair is one chunk of the repair queue.
type Repair struct {
	RepairWant
	AddedAt   Micros
	NotBefore Micros
	Tries     uint32
	// Lease names the claim that holds it; 0: none has. Every claim gets another number, and they grow.
	Lease      uint64
	LeaseUntil Micros
	Holder     NodeID
}

// RecordKey names a version of a path.
type RecordKey struct {
	Owner   Subject
	Path    Path
	Version uint64
}

// Record is what a commit record says: one version of a path, a file or a tombstone; or, with an empty Owner, a fact of identity (SemanticIdentity).
type Record struct {
	File FileInfo // Owner, Path, Version and CreatedAt only when Tombstone
	// Tombstone: the path was deleted at this version.
	Tombstone bool
	// RecordID is the ChunkID of the sealed record that Nodes hold in their record stores; zero while none was written.
	RecordID ChunkID
	Nodes    []NodeID // sorted
	// Fact is what a version of a fact says, encoded by the memory and opaque to everybody else; empty of files and tombstones.
	Fact []byte
}

// SealedRecord names a sealed commit record and the nodes that hold it in their record stores, sorted.
type SealedRecord struct {
	ID    ChunkID
	Nodes []NodeID
}

// HeldRecord is a sealed commit record that a node holds, and the version that it is of.
type HeldRecord struct {
	Key RecordKey
	ID  ChunkID
}

// SemanticMesh are the verbs of the semantic memory that concern more than one node. They obey what Semantic says of all
// verbs.
type SemanticMesh interface {
	// AdmitNode makes a node a member, as m says but for State (active), Epoch, JoinedAt and the counters. The invite may be
	// used once (CodeConflict for another node); the same node may come again, which changes its Addrs only, if m has any, and returns
	// the member as it is. An empty invite is for the node that calls. A removed node is not let in again: CodeConflict. A member of a
	// map from before there were members has no tier, and takes the labels and the offer of m.
	AdmitNode(ctx context.Context, m Member, invite string, now Micros) (Member, error)
	// ListNodes pages through the members, removed ones too, by id: at most limit (0 or above 128: 128) above after, without their Grant. more
	// says that others follow. A member is never forgotten and keeps its id: whoever walks the pages meets each that was there when it began once.
	ListNodes(ctx context.Context, after NodeID, limit int) (members []Member, more bool, err error)
	// SetNode sets a member's state, 0 leaves it, and its addresses when addrs is not nil; CodeNodeUnknown; CodeConflict to bring a
	// removed one back. Removing a node drops its copies as
	// DropCopies does, in bounded transactions, before the state is set.
	SetNode(ctx context.Context, id NodeID, state MemberState, addrs []string) (Member, error)
	// DistrustNode begins the node's next epoch, in one row: none of its copies is trusted before it is confirmed.
	DistrustNode(ctx context.Context, id NodeID) (epoch uint64, err error)
	// RaiseOrders raises the ceiling of the numbers of orders, which is between 1 and OrdersMax, and returns the one before, 0 at first. One that is as high
	// already stays. A switchboard gives its orders numbers below a ceiling that is stored, and begins above the one that it finds.
	RaiseOrders(ctx context.Context, ceiling uint64) (before uint64, err error)

	// AddCopies adds a node to those that hold the chunks, trusted, in the epoch named (CodeConflict when it is over). A chunk
	// without a row or condemned is passed over; the ones taken are returned in the order given. A copy that is there already is
	// confirmed. At most 4,096 ids.
	AddCopies(ctx context.Context, node NodeID, epoch uint64, ids []ChunkID, promised uint32) (taken []ChunkID, err error)
	// ConfirmCopies trusts those of the copies that the map lists for the node, in the epoch named (CodeConflict when it is over), and
	// returns the ids it does not list. At most 4,096 ids.
	ConfirmCopies(ctx context.Context, node NodeID, epoch uint64, ids []ChunkID) (unlisted []ChunkID, err error)
	// AuditCopies notes that a node has proved the copies, in the epoch named; copies that are not of that epoch are passed over. At most 4,096 ids.
	AuditCopies(ctx context.Context, node NodeID, epoch uint64, ids []ChunkID, now Micros) error
	// RetireCopy takes a node off those that hold a chunk, for a surplus to be trashed: only while every node of keep holds a trusted
	// copy of it that it has proved in this epoch, and the chunk is at the generation named; else CodeConflict. keep names one node at
	// least, and not this one.
	RetireCopy(ctx context.Context, id ChunkID, generation uint64, node NodeID, keep []NodeID) error
	// ChunkStates returns the state of each id, in the order asked; of an unknown id only the ID. At most 4,096 ids.
	ChunkStates(ctx context.Context, ids []ChunkID) ([]ChunkState, error)
	// ScanChunks pages through all chunks by id: at most limit (0 or above 4,096: 4,096) above after. end says that none follows.
	ScanChunks(ctx context.Context, after ChunkID, limit int) (states []ChunkState, end bool, err error)

	// WantRepairs queues chunks for repair. One that is queued already keeps its lease and tries, and gets the new reason, Live and
	// NotBefore if fewer are live than before. Ids without a row are passed over. At most 4,096.
	WantRepairs(ctx context.Context, wants []RepairWant, now Micros) (added int, err error)
	// ClaimRepairs leases at most limit (0 or above 1,024: 1,024) repairs whose lease is none or over and whose NotBefore has come, until
	// the time given: fewest Live first, then the oldest, then by id. Each gets a new lease.
	ClaimRepairs(ctx context.Context, holder NodeID, now, until Micros, limit int) ([]Repair, error)
	// SettleRepair ends a claim: the node of each added copy is made to hold the chunk as AddCopies does, and the repair leaves the queue, or, retry
	// not 0, stays with one more try until then. CodeConflict, and nothing changed, when lease is not the one that holds it now,
	// or it is over at now.
	SettleRepair(ctx context.Context, id ChunkID, lease uint64, added []NodeID, retry, now Micros) error
	// ListRepairs returns the first limit (0 or above 1,000: 1,000) of the queue in the order of ClaimRepairs, leased ones too, and the length of the queue.
	ListRepairs(ctx context.Context, limit int) (repairs []Repair, total uint64, err error)

	// SetReplicas writes the path's next version with the same content and another number of wanted replicas, at least 1, and remembers it
	// under key as CommitFile does; it pledges as CommitFile does, and CodeCreditsShort. CodeFileNotFound without a live file,
	// and CodeConflict when its version is not the one given; 0: any.
	SetReplicas(ctx context.Context, owner Subject, path Path, replicas uint32, version uint64, pledge int64, key RequestKey, now Micros) (f FileInfo, repeated bool, err error)
	// PendingRecords returns at most limit (0 or above 256: 256) versions whose record is not settled in full or was unsettled, by owner
	// and path above after: of each path the highest version. CommitFile, SetReplicas and DeleteFile make the version they write
	// pending. The content of each version before stays referred to, and wanted, until a later one is settled: such a version may have
	// been acknowledged, and its record may be on the mesh although nobody has settled it yet.
	PendingRecords(ctx context.Context, after RecordKey, limit int) ([]Record, error)
	// SettleRecord notes that nodes, members all (CodeNodeUnknown), hold the sealed record of a version, beside those noted for the
	// same id before, and lets go of the content of the versions below it. full says that as many nodes as wanted hold it: the
	// version is pending no more. It returns the sealed records that this makes needless, for the caller to trash: those of the versions
	// below, an earlier seal of the version itself, and the one named when a later version is settled already. At most 1,024 versions
	// are let go of at once; while more are left, the path stays pending. CodeConflict when the path never had the version.
	SettleRecord(ctx context.Context, key RecordKey, id ChunkID, nodes []NodeID, full bool) (needless []SealedRecord, err error)
	// UnsettleRecords makes at most limit (0 or above 4,096: 4,096) versions pending whose record the node holds, and takes the node off those that hold it: it is dead,
	// removed or has lost its records. With ids, at most 4,096, only those whose record is one of these: it has lost them.
	UnsettleRecords(ctx context.Context, node NodeID, ids []ChunkID, limit int) (unsettled int, err error)
	// NodeRecords returns at most limit (0 or above 4,096: 4,096) of the records that a node holds as the map says, of the highest version of
	// their paths, by owner and path above after; none: there are no more.
	NodeRecords(ctx context.Context, node NodeID, after RecordKey, limit int) ([]HeldRecord, error)
	// UnknownRecords returns those ids that are the sealed record of no version that stays, in the order asked: on a node they are to be
	// trashed, but for those that the caller has written and not settled yet. At most 4,096 ids.
	UnknownRecords(ctx context.Context, ids []ChunkID) ([]ChunkID, error)

	// Sight notes that a node holds chunks, for a map that is made again from the mesh. At most 4,096 ids.
	Sight(ctx context.Context, node NodeID, ids []ChunkID) error
	// Sighted returns for each id the nodes that were seen to hold it, sorted. At most 4,096 ids.
	Sighted(ctx context.Context, ids []ChunkID) ([][]NodeID, error)
	// RestoreVersion writes a version from its commit record, unless the path has a higher one, or that version already (restored false). Maps that
	// were made again may have given one number twice: of two such versions, in whatever order they come, the one with the later CreatedAt counts; of one
	// time a file before a tombstone, then the file whose ManifestID, or the fact whose Fact, is greater. The other is let go of, and its record is unknown. For a file,
	// upload has staged everything below File.ManifestID, whose row must exist and not be condemned (CodeConflict), and is dropped either
	// way. The record is settled with its RecordID and Nodes, not in full: PendingRecords names it, so that it comes to as many nodes as wanted. What
	// the version pledges is in its owner's escrow again, taken from the owner's account whatever that holds. A fact needs no upload, and nothing that it names has to be there.
	RestoreVersion(ctx context.Context, upload UploadID, r Record, now Micros) (restored bool, err error)
	// EndRestore forgets what was sighted. With settle, users' accounts that are below zero are brought to zero from AccountGrant: the ledger does not come back, and
	// restored pledges were paid once.
	EndRestore(ctx context.Context, settle bool, now Micros) error
}

// MembersMax bounds the members of a mesh, removed ones included.
const MembersMax = 65536

// OrdersMax bounds the numbers of orders: microseconds, or what nodes said while a map was made again.
const OrdersMax = 1 << 62
