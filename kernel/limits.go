package kernel

import "github.com/inos-mesh/inos"

// Bounds of the kernel's state. Each holds per node; what is full answers busy or stops asking for more.
const (
	workersMax        = 256      // worker slots of a node
	sessionsMax       = 8192     // verified tokens known at a time; the one unused longest goes first
	capabilitiesMax   = 64       // of one session
	flightsMax        = 8192     // effects under way; the host's queue of results is at least as long
	putsMax           = 64       // puts under way
	getsMax           = 64       // gets under way
	queriesMax        = 256      // list, stat, delete and status requests under way
	verifiesMax       = 4        // verifications under way
	waitingMax        = 1024     // requests of one unit that wait for their turn
	chunksPerPutMax   = 64       // chunks of one put between read and written
	chunksPerGetMax   = 64       // chunks of one get between read and sent
	pendingRowsMax    = 512      // written chunks of one put whose rows wait to be staged; more stops its reading
	rowsPerStage      = 256      // rows of one semantic:stage_chunks
	findsPerCall      = 32       // hashes of one semantic:find_chunks
	twinsMax          = 1024     // plain hashes that one put remembers of itself
	quarantineMax     = 1024     // inputs that are not tried again; the one unused longest goes first
	suspectsMax       = 1024     // inputs that killed one worker
	jobsMax           = 8192     // module calls that wait for a worker
	callsPerWorkerMax = 4        // module calls under way in one worker
	collectBatch      = 256      // chunks of one round of collection
	inventoryPage     = 1024     // chunk ids of one page of recovery
	scrubPage         = 64       // chunks of one page of verification
	comparePage       = 256      // chunks of one page of those that a node is said to hold
	reconcilePage     = 1024     // chunks of one page of those that a node is said to hold and is not trusted with
	reconcilesMax     = 4        // nodes that are being reconciled
	touchedMax        = 65536    // chunks a round of collection may see written; more ends the round
	badChunksMax      = 1024     // bad chunks that one verification names
	listMax           = 1000     // files of one page
	statChunksMax     = 1024     // chunks of one page
	tracesMax         = 1024     // traces whose stages are summed
	stagesPerTrace    = 32       // stages of one trace
	stagesMax         = 64       // stages with a histogram
	recordsMax        = 8192     // events and spans that wait to be recorded; more are dropped and counted
	recordsPerCall    = 512      // events and spans of one episodic:record
	recordsInFlight   = 2        // calls of episodic:record under way
	lossesMax         = 1 << 15  // chunks whose bytes are in doubt or lost and not dropped yet
	dropsPerCall      = 256      // chunks of one semantic:drop_copies
	locatesPerCall    = 256      // chunks whose copies one fetch's lookup asks for
	triesMax          = 32       // nodes that one fetch asks
	copiesAhead       = 256      // chunks of one get whose copies are known before they are read
	shortagesMax      = 1 << 15  // chunks that lost a copy and whose repair is not asked for yet
	trashOrdersMax    = 16       // nodes that are trashing chunks of one round
	lossChecksMax     = 8        // copies in doubt that are being read
	levelsMax         = 6        // levels of a manifest: 1,024^6 chunks
	traceContextMax   = 16       // entries of a trace context
	replicasMax       = 32       // copies that may be asked for by name
	fanoutNodesMax    = 64       // nodes that one chunk's copies are tried on, replicasMax and those that fail
	fanoutsMax        = 4096     // chunks and manifest nodes on their way to their nodes
	fanoutTriesMax    = 5        // rounds of looking for other nodes
	latePerPutMax     = 32       // chunks of one put that it went on without; more stops its reading
	lateMax           = 8192     // late copies that wait to be added to their rows
	probesMax         = 1024     // nodes that one put asks at a time whether they hold what it found
	roomLeast         = 64 << 20 // bytes that are removed from the trash at least, of what there is, when the disk is full
	labelBytesMax     = 256      // of a node's label
	roomPerNode       = 4 << 20  // bytes that a node must have free to be given a copy
	muteFailures      = 3        // calls in a row that a node leaves unanswered before it counts as silent
	hedgeSamples      = 16       // reads of a node before its latency counts
	switchboardsMax   = 16       // switchboards that a provider knows
	membersMax        = 4096     // nodes of the mesh
	servingMax        = 128      // calls of other nodes being served
	servedIDBytesMax  = 64       // of the id of a call
	servedIDsMax      = 4096     // chunks that one call names, or a page of them
	ordersMax         = 16384    // writes for other nodes whose numbers are remembered
	chunkReserveBytes = 2 << 20  // buffer bytes accounted for a chunk in work: one in, one out
)

// Times of the kernel, in microseconds.
const (
	idPastMax         = inos.RequestKeyLife
	idFutureMax       = 5 * inos.Minute
	busyRetryAfter    = inos.Second
	progressEvery     = 250 * inos.Millisecond
	progressBytes     = 64 << 20
	moduleDeadline    = 20 * inos.Second // of a module that names none
	moduleDeadlineMax = 10 * inos.Minute
	startDeadline     = 2 * inos.Minute // a worker compiles its module on the first start
	stopDeadline      = 30 * inos.Second
	diskDeadline      = 30 * inos.Second
	semanticDeadline  = 30 * inos.Second
	callDeadline      = 20 * inos.Second // of a call to another node
	hedgeAgain        = inos.Second      // when there was no room for a second buffer
	trashTimeout      = 10 * inos.Second // of orders to trash, and of what a sweep asks
	sweepEvery        = inos.Day         // in which every node of a mesh is swept
	inviteLife        = inos.Day         // of an invite that names no end
	inviteLifeMax     = 365 * inos.Day
	ticketLife        = 2 * inos.Minute
	ticketSkew        = 5 * inos.Minute  // by which the clock that a ticket was signed by may be behind
	membersEvery      = 10 * inos.Second // the members' counters are read again, and later in a large mesh
	graceColdDefault  = 15 * inos.Minute // from the death of a node to the repair of what it held
	graceHotDefault   = 5 * inos.Minute
	lostPatience      = inos.Second      // for which a node may be without a connection
	neverPatience     = 30 * inos.Second // for which a switchboard that has started waits for its nodes
	probeAgain        = 250 * inos.Millisecond
	probeDeadline     = 5 * inos.Second
	rampFounders      = inos.Hour // nodes that join so long after the mesh's first are no newcomers
	hedgeDefault      = 500 * inos.Millisecond
	hedgeMin          = 50 * inos.Millisecond
	hedgeMax          = 2 * inos.Second
	heartbeatEvery    = 5 * inos.Second        // until a switchboard says otherwise
	avoidFor          = 5 * inos.Second        // a put sends nothing more to a node that failed it
	lateEvery         = 100 * inos.Millisecond // late copies wait to be told together
	commitPatience    = 100 * inos.Millisecond // a commit waits for late copies
	heartbeatMin      = 100 * inos.Millisecond
	heartbeatMax      = 10 * inos.Minute
	heartbeatAgain    = inos.Second     // after one that nobody answered, doubling
	streamDeadline    = 2 * inos.Minute // the host cuts a stalled client off before
	restartBackoffMin = 100 * inos.Millisecond
	restartBackoffMax = 10 * inos.Second
	restartWindow     = inos.Minute
	restartsPerWindow = 8
	restartCooldown   = inos.Minute
	usageEvery        = 3 * inos.Second
	usageIdleEvery    = 30 * inos.Second
	collectEvery      = 2 * inos.Second // while there is work
	collectIdleMax    = 10 * inos.Minute
	pruneEvery        = inos.Hour
	emptyTrashEvery   = inos.Day
	emptyTrashAgain   = inos.Second // while pages come back full
	trashLife         = 7 * inos.Day
	retryBackoffMin   = 200 * inos.Millisecond
	retryBackoffMax   = 10 * inos.Second
	retriesMax        = 6
	recordEvery       = 200 * inos.Millisecond
	adjustEvery       = 500 * inos.Millisecond
	emptyTrashPage    = 1024
	qualityMin        = 2
	qualityMax        = 9
)

// bufferBytesLimit bounds what a boot may ask for: with it the effects under way stay below flightsMax.
const bufferBytesLimit = 4 << 30
