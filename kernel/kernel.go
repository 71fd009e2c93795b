package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects is what one Step wants of the host.
type Effects struct {
	// Out are envelopes in the order in which they were decided: effects to perform (state requested) and replies to
	// clients (processing, completed, failed). They share memory with the kernel: read them before the next Step.
	Out []*eventpb.Envelope
	// Wake is the time of the next wanted node:tick; 0 when none is wanted.
	Wake inos.Micros
}

// Kernel is the state of every decision of one node. It is not for concurrent use.
type Kernel struct {
	node      node
	now       inos.Micros // time of the step under way; never goes back
	wanted    inos.Micros // the tick that the last step asked for; 0: none
	woke      inos.Micros // when it was last woken much later than it wanted; 0: never
	steps     uint64
	random    rng
	lastWork  uint64    // numbers of units of work: requests and rounds of upkeep
	lastBuf   uint64    // numbers of host buffers
	numbering numbering // of what is sent about the chunks of other nodes
	buffers   uint64    // bytes accounted for chunks in work
	flights   flights
	open      map[string]uint64 // key of a request under way -> its work

	governance  governance
	supervisor  supervisor
	puts        puts
	uploads     uploads
	gets        gets
	queries     queries
	verifies    verifies
	fetches     fetches
	losses      losses
	reconciles  reconciles
	collector   collector
	recovery    recovery
	concurrency concurrency
	quality     quality
	members     memberships
	serving     serving
	beats       beats
	records     records
	inspections inspections
	changes     changes
	repairs     repairs
	challenges  challenges
	rebuilding  rebuilding
	operations  operations
	identities  identities
	watcher     watcher

	threads  [threadCount]thread
	counters [threadCount]counters
	routes   map[string]threadID

	out      []*eventpb.Envelope
	released []uint64
}

// node is what the boot said.
type node struct {
	booted         bool
	id             string
	zone           string
	host           string
	version        string
	started        inos.Micros
	workers        uint32
	moduleID       []byte
	bufferBytesMax uint64
	unclean        bool
	qualityFixed   uint32
	moduleDeadline inos.Micros
	draining       bool
	switchboard    bool
	provider       bool
	operator       string
	tier           string
	offered        uint64
	addrs          []string
	invite         []byte   // of a provider that is no switchboard
	switchboards   []string // node ids
	heartbeat      inos.Micros
	graceCold      inos.Micros
	graceHot       inos.Micros
	repairRate     uint64 // bytes per second; 0: adjusted
	rebuild        bool
}

// thread is one intelligent thread: a unit of decisions with state of its own. In each step the threads are called in
// the order of their numbers; hear and answer come before act.
type thread interface {
	about() about
	// hear takes an admitted envelope that the thread subscribes to.
	hear(in *input)
	// answer takes the end of an effect or module call that the thread asked for.
	answer(a *answer)
	// act does what has become possible or due.
	act()
	// wake returns when act wants to be called at the latest; 0 when there is nothing to wait for.
	wake() inos.Micros
	// code writes or reads the thread's state.
	code(c *coder)
}

// about describes a thread.
type about struct {
	name        string
	kind        string   // governance, supervisor, pipeline, adjuster, watcher
	hears       []string // event types
	inFlightMax uint32
}

type counters struct {
	envelopes uint64
	effects   uint64
	inFlight  uint32
}

type threadID uint8

// The threads, in the order in which a step calls them.
const (
	threadGovernance threadID = iota
	threadSupervisor
	threadRecovery
	threadPut
	threadUpload
	threadGet
	threadQuery
	threadVerify
	threadFetch
	threadLoss
	threadReconcile
	threadCollector
	threadMembers
	threadServe
	threadBeat
	threadRecords
	threadInspect
	threadChange
	threadRepair
	threadChallenge
	threadRebuild
	threadOperate
	threadIdentity
	threadConcurrency
	threadQuality
	threadWatcher
	threadCount
)

// input is an envelope that governance admitted.
type input struct {
	env    *eventpb.Envelope
	stage  string
	origin origin         // of a request
	quota  *eventpb.Quota // of the owner, for a put; nil: no bound
}

// answer is the end of an effect.
type answer struct {
	op     uint8
	work   uint64
	slot   uint64
	env    *eventpb.Envelope // the reply; of a module call, the module's
	err    *inos.Error       // nil when it completed
	output bool              // a module call, or a call to another node, filled its output buffer
	node   inos.NodeID       // that answered; empty: this one
	buffer uint64            // of a fetch: that the bytes are in
	bad    []inos.NodeID     // of a fetch: that had no good copy
}

// New returns a kernel that waits for node:boot.
func New() *Kernel {
	k := &Kernel{open: map[string]uint64{}, routes: map[string]threadID{}}
	k.flights.table = map[string]*flight{}
	k.governance.init(k)
	k.supervisor.init(k)
	k.recovery.init(k)
	k.puts.init(k)
	k.uploads.init(k)
	k.gets.init(k)
	k.queries.init(k)
	k.verifies.init(k)
	k.fetches.init(k)
	k.losses.init(k)
	k.reconciles.init(k)
	k.collector.init(k)
	k.members.init(k)
	k.serving.init(k)
	k.beats.init(k)
	k.records.init(k)
	k.inspections.init(k)
	k.changes.init(k)
	k.repairs.init(k)
	k.challenges.init(k)
	k.rebuilding.init(k)
	k.operations.init(k)
	k.identities.init(k)
	k.concurrency.init(k)
	k.quality.init(k)
	k.watcher.init(k)
	k.wire()
	for id, t := range k.threads {
		for _, stage := range t.about().hears {
			if _, taken := k.routes[stage]; taken {
				panic("kernel: two threads hear " + stage)
			}
			k.routes[stage] = threadID(id)
		}
	}
	return k
}

// wire puts the threads in the order in which a step calls them.
func (k *Kernel) wire() {
	k.threads = [threadCount]thread{
		threadGovernance: &k.governance, threadSupervisor: &k.supervisor, threadRecovery: &k.recovery, threadPut: &k.puts, threadUpload: &k.uploads,
		threadGet: &k.gets, threadQuery: &k.queries, threadVerify: &k.verifies, threadFetch: &k.fetches, threadLoss: &k.losses, threadReconcile: &k.reconciles,
		threadCollector: &k.collector, threadMembers: &k.members, threadServe: &k.serving, threadBeat: &k.beats, threadRecords: &k.records, threadInspect: &k.inspections,
		threadChange: &k.changes, threadRepair: &k.repairs,
		threadChallenge: &k.challenges, threadRebuild: &k.rebuilding, threadOperate: &k.operations, threadIdentity: &k.identities,
		threadConcurrency: &k.concurrency, threadQuality: &k.quality, threadWatcher: &k.watcher,
	}
}

// Step takes one envelope at a time and returns what follows from it. The envelope belongs to the kernel from here on.
// Time may stand still between steps; a time before the last step's counts as the last step's.
func (k *Kernel) Step(now inos.Micros, e *eventpb.Envelope) Effects {
	late := k.slept(now)
	k.now = max(k.now, now)
	k.steps++
	k.out, k.released = nil, k.released[:0]
	if late > 0 {
		k.woken(late)
	}
	k.take(e)
	for _, t := range k.threads {
		t.act()
	}
	if len(k.released) > 0 {
		released := append([]uint64(nil), k.released...)
		k.emit(&eventpb.Envelope{
			Id: event.NewID(k.now, k.random.ten()), EventType: event.BufferRelease, Timestamp: int64(k.now),
			Payload: event.Payload(&eventpb.BufferRelease{Buffers: released}),
		})
	}
	k.wanted = k.nextWake()
	return Effects{Out: k.out, Wake: k.wanted}
}

// take hands an envelope to the thread it is for.
func (k *Kernel) take(e *eventpb.Envelope) {
	k.counters[threadGovernance].envelopes++
	if state := event.StateOf(e.EventType); state != event.StateRequested {
		k.takeReply(e, state)
		return
	}
	typ, err := event.ParseType(e.EventType)
	if err != nil {
		k.governance.refused++
		return // the host decodes with the grammar: nobody waits for an answer to this
	}
	in := &input{env: e, stage: event.Stage(e.EventType)}
	if !k.governance.admit(in, typ) {
		return
	}
	id := k.routes[e.EventType]
	k.counters[id].envelopes++
	k.threads[id].hear(in)
}

// takeReply hands the end of an effect to its owner. Three replies come unasked: request:gone, mesh:peer and worker:exit.
func (k *Kernel) takeReply(e *eventpb.Envelope, state event.State) {
	if tokenOf(e) != hostToken {
		k.governance.refused++
		return
	}
	switch e.EventType {
	case event.RequestGone:
		k.requestGone(e)
		return
	case event.MeshPeer:
		k.counters[threadMembers].envelopes++
		k.members.peer(e)
		k.beats.peer(e)
		return
	case event.WorkerExit:
		k.counters[threadSupervisor].envelopes++
		k.supervisor.exited(e)
		return
	}
	f, ok := k.flights.table[e.Id]
	if !ok || state != event.StateCompleted && state != event.StateFailed || f.effect[:len(f.effect)-len(event.StateRequested)] != e.EventType[:len(e.EventType)-len(state)] {
		k.governance.strays++
		return
	}
	k.land(f)
	a := &answer{op: f.op, work: f.work, slot: f.slot, env: e, node: f.node, output: f.bulk}
	if state == event.StateFailed {
		a.err, a.output = event.FailureOf(e), false
	}
	if f.inner != "" {
		k.unwrap(f, a)
	}
	k.watcher.landed(f, a.err)
	if factVerbs[f.effect] {
		k.records.factChanged() // also when it failed: it may have happened
	}
	k.counters[f.owner].envelopes++
	k.threads[f.owner].answer(a)
}

func (k *Kernel) nextWake() (wake inos.Micros) {
	for _, t := range k.threads {
		if w := t.wake(); w != 0 && (wake == 0 || w < wake) {
			wake = w
		}
	}
	if wake != 0 {
		wake = max(wake, k.now+1)
	}
	return wake
}

func (k *Kernel) emit(e *eventpb.Envelope) { k.out = append(k.out, e) }

// release gives host buffers back at the end of the step.
func (k *Kernel) release(buffers ...*uint64) {
	for _, b := range buffers {
		if *b != 0 {
			k.released = append(k.released, *b)
			*b = 0
		}
	}
}

// buffer picks the number of a new host buffer.
func (k *Kernel) buffer() uint64 {
	k.lastBuf++
	return k.lastBuf
}

// work picks the number of a new unit of work.
func (k *Kernel) work() uint64 {
	k.lastWork++
	return k.lastWork
}

// reserve accounts the buffers of one more chunk, if the node's bound allows it; share is the part of the bound that
// its asker may fill, in quarters.
func (k *Kernel) reserve(held *uint64, share uint64) bool {
	if k.buffers+chunkReserveBytes > k.node.bufferBytesMax || *held+chunkReserveBytes > k.node.bufferBytesMax/4*share {
		return false
	}
	k.buffers += chunkReserveBytes
	*held += chunkReserveBytes
	return true
}

func (k *Kernel) unreserve(held *uint64) {
	if *held < chunkReserveBytes || k.buffers < chunkReserveBytes {
		panic("kernel: more buffers given back than were taken")
	}
	k.buffers -= chunkReserveBytes
	*held -= chunkReserveBytes
}

// holds says that no put may write the chunk now, or rely on a find of it: it is on its way to the trash, or its only copy
// is in doubt.
func (k *Kernel) holds(id inos.ChunkID) bool {
	return k.collector.holds(id) || k.repairs.trim.trims(id) || k.repairs.trashes(id) || k.lone() && k.losses.holds(k.self(), id)
}

// self returns this node's id.
func (k *Kernel) self() inos.NodeID { return inos.NodeID(k.node.id) }

// lone says that this node is the mesh's only member: whatever there is, it holds. Where all others are drained it is not, for they hold
// copies until they are removed. Nor is it before it knows all of its members: placement is not prepared for each page of them.
func (k *Kernel) lone() bool {
	return !k.node.switchboard || k.members.loaded && k.members.now().alone
}

// started says that recovery is done: nodes are let in, and an operator is answered.
func (k *Kernel) started() bool { return k.node.booted && k.recovery.done }

// ready says that the map is whole, that a switchboard has numbers for its orders, and that work can start.
func (k *Kernel) ready() bool {
	return k.started() && !k.rebuilding.active() && (k.numbering.open() || !k.node.switchboard)
}
