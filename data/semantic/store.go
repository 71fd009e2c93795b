package semantic

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/internal/sqlite"
)

// Bounds of one verb. A call beyond them is refused with CodeBadRequest unless it says otherwise.
const (
	StageRowsMax    = 4096    // chunk rows of one StageChunks or CommitFile
	IDsMax          = 65536   // ids or hashes of one query
	ListMax         = 1000    // files of one page; a larger limit is lowered
	CondemnMax      = 4096    // chunks of one CondemnChunks; a larger limit is lowered
	NodeChunksMax   = 4096    // ids of one page of NodeChunks
	SweepRowsMax    = 2048    // rows after which ForgetChunks, AbortUpload, DropCopies and PruneReplies begin another transaction
	NodesMax        = 64      // nodes of one chunk row, repair or record in a call
	BatchIDsMax     = 4096    // ids of one verb on copies, repairs or sightings
	ScanMax         = 4096    // chunks of one page of ScanChunks
	ClaimMax        = 1024    // repairs of one ClaimRepairs
	PendingMax      = 256     // versions of one PendingRecords
	SettleMax       = 1024    // versions that one SettleRecord lets go of
	UnsettleMax     = 4096    // versions of one UnsettleRecords
	WalkMax         = 65536   // chunks looked at above one; beyond, ReplicasDefault at least is wanted of it
	TextBytesMax    = 1024    // subjects, upload, request and token ids, event and content types
	FileBytesMax    = 1 << 56 // plain or stored bytes of one file
	GrantBytesMax   = 64 << 10
	tokenBytesMax   = 64 << 10
	OfferedBytesMax = 1 << 60
	numberMax       = 1 << 62 // epochs and versions; a number in SQL has 63 bits
	PledgeMax       = 1 << 53 // micro-credits of one pledge or entry
	BalanceMax      = 1 << 62 // of one account, either way
	// AccountEntriesMax bounds the entries of one account within inos.LedgerEntryLife: none that takes from it is written beyond, but for what gives
	// back what was pledged. Older ones can be folded (FoldEntries).
	AccountEntriesMax = 1 << 17
	NodesPageMax      = 128 // members of one page of ListNodes: with the longest texts they still fit into a reply
	GroupsPageMax     = 32  // groups of one page of ListGroups
	SessionsPageMax   = 256 // sessions of one page of ListSessions
	GrantsPageMax     = 256 // grants of one page of ListGrants
	FactBytesMax      = 60 << 10
	firstEpoch        = 1
	chunkFileBytes    = inos.StoredBytesMax
)

// Store is the semantic memory on SQLite.
type Store struct {
	db    *sqlite.DB
	stmts [statements]*sql.Stmt // of the writer's connection
	reads [statements]*sql.Stmt // of the readers; only those in readStatements

	queue   chan *verb
	stop    chan struct{}
	stopped chan struct{}
	once    sync.Once
	closing error
}

var _ inos.Semantic = (*Store)(nil)

var readStatements = []statement{
	selectTotals, findHolding, selectFile, selectFileByID, listFiles, existsChunk, selectChunk, selectCopies, selectNodeChunks, selectToken,
	listMembers, selectAbove, scanChunks, selectPending, selectRecordCopies, listRepairs, countRepairs, selectSightings, existsSealed, selectNodeRecords,
	selectUser, listUsers, existsUser, selectDevice, listDevices, listGroups, selectMembersOf, selectGroupsOf, selectSession, listSessions,
	selectGrant, selectLink, listGrantsOf, listGrantsTo, readAccess, selectBalance, listEntries, selectChanged, selectOpen, selectSlot, listOpen, expiredOpen, listSlots, selectReply,
}

// Open opens or creates the database at path. Errors: CodeReadOnly, CodeDiskFull, CodeIO, CodeBusy, and CodeBadFormat
// for what is not a semantic memory or was written by a later version.
func Open(path string) (*Store, error) {
	db, err := sqlite.Open(sqlite.Config{Path: path, Memory: "semantic", Synchronous: "FULL", Migrations: migrations, Steps: steps})
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, queue: make(chan *verb, QueueVerbsMax), stop: make(chan struct{}), stopped: make(chan struct{})}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(sqlite.Wrap("open semantic memory", path, err), db.Close())
	}
	go s.writer()
	return s, nil
}

func (s *Store) prepare() (err error) {
	ctx := context.Background()
	for i, t := range text {
		if s.stmts[i], err = s.db.Writer.PrepareContext(ctx, t); err != nil {
			return err
		}
	}
	for _, i := range readStatements {
		if s.reads[i], err = s.db.Reader.PrepareContext(ctx, text[i]); err != nil {
			return err
		}
	}
	return nil
}

// Close lets the verbs that wait finish, refuses later ones with CodeShuttingDown, and closes the database.
func (s *Store) Close() error {
	s.once.Do(func() {
		close(s.stop)
		<-s.stopped
		s.closing = sqlite.Wrap("close semantic memory", s.db.Path, s.db.Close())
	})
	return s.closing
}
