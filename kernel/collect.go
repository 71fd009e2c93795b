package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects of the collector.
const (
	opCondemn    = iota + 1 // semantic:condemn_chunks
	opHolders               // semantic:chunk_copies of what is condemned
	opTrash                 // content:trash_chunk
	opForget                // semantic:forget_chunks
	opInventory             // content:inventory
	opUnknown               // semantic:unknown_chunks
	opSwept                 // semantic:chunk_states of what another node lists
	opRehash                // content:scrub of one chunk that is to be adopted
	opAdopt                 // semantic:add_copies
	opTrashSwept            // content:trash_chunk of chunks without a row
	opEmptyTrash            // content:empty_trash
	opPrune                 // semantic:prune_replies
	opUsage                 // content:usage
	opMakeRoom              // content:empty_trash of everything, for puts that find the disk full
)

// collector gives back the space of chunks that nothing refers to: condemn, trash on every node that holds them, forget, in bounded
// rounds; it sweeps the nodes' disks for chunks that have no row (sweep.go), empties this node's trash, forgets old replies and measures the
// free space.
//
// A put may write, or find, a chunk while a round is about to trash the same chunk. Three sets keep them apart. live are
// chunks that a put relies on and whose reference is not yet durable: a round leaves them out. touched are those that
// left live, or lost a copy, while the round was finding out what to trash: the round leaves them out too. held are those that the round
// is trashing: a put does not write them until the round is over, and does not rely on a find of one.
type collector struct {
	k         *Kernel
	lives     map[string]uint32
	touched   map[string]bool
	held      map[string]bool
	open      bool // a round is finding out what to trash
	spoiled   bool // too much was touched: the round ends without trashing
	underWay  bool // an effect other than opUsage
	pending   []*eventpb.ChunkGeneration
	orders    []*trashOrder // of a round, not sent yet
	ordered   []*trashOrder // under way
	failed    bool          // this node's own disk did not trash them
	nextRound inos.Micros
	pause     inos.Micros
	emptyAt   inos.Micros
	pruneAt   inos.Micros
	rounds    uint64
	trashed   uint64

	sweep sweep

	usage      struct{ chunks, used, trash, free uint64 }
	usageKnown bool
	usageAsked bool
	usageStale bool
	usageAt    inos.Micros
	roomNeed   uint64 // bytes that puts wait for; 0: none do
}

func (u *collector) init(k *Kernel) {
	u.k = k
	u.lives, u.touched, u.held = map[string]uint32{}, map[string]bool{}, map[string]bool{}
}

func (u *collector) about() about {
	return about{name: "collect", kind: "pipeline", inFlightMax: trashOrdersMax + 1}
}

func (u *collector) hear(*input) {}

func (u *collector) code(c *coder) {
	table(c, &u.lives, 1<<20, text[string], num[uint32])
	table(c, &u.touched, touchedMax+1, text[string], (*coder).bool)
	table(c, &u.held, inventoryPage, text[string], (*coder).bool)
	c.bool(&u.open)
	c.bool(&u.spoiled)
	c.bool(&u.underWay)
	pointers(c, &u.pending, inventoryPage, func(c *coder, g *eventpb.ChunkGeneration) {
		c.bytes(&g.ChunkId)
		num(c, &g.Generation)
	})
	orders := func(l *[]*trashOrder) {
		pointers(c, l, membersMax, func(c *coder, t *trashOrder) { t.code(c) })
	}
	orders(&u.orders)
	orders(&u.ordered)
	c.bool(&u.failed)
	num(c, &u.nextRound)
	num(c, &u.pause)
	num(c, &u.emptyAt)
	num(c, &u.pruneAt)
	num(c, &u.rounds)
	num(c, &u.trashed)
	u.sweep.code(c)
	num(c, &u.usage.chunks)
	num(c, &u.usage.used)
	num(c, &u.usage.trash)
	num(c, &u.usage.free)
	c.bool(&u.usageKnown)
	c.bool(&u.usageAsked)
	c.bool(&u.usageStale)
	num(c, &u.usageAt)
	num(c, &u.roomNeed)
}

// boot plans the first rounds.
func (u *collector) boot() {
	u.pause = collectEvery
	u.nextRound = u.k.now + collectEvery
	u.emptyAt = u.k.now + inos.Minute
	u.pruneAt = u.k.now + inos.Minute
	u.usageAt = u.k.now
}

// live says that a put relies on a chunk from here on.
func (u *collector) live(id inos.ChunkID) { u.lives[string(id[:])]++ }

// unlive says that the chunk's reference is durable, or that the put relies on it no more.
func (u *collector) unlive(id inos.ChunkID) {
	key := string(id[:])
	switch n := u.lives[key]; {
	case n == 0:
		panic("kernel: a chunk is let go that no put relied on")
	case n > 1:
		u.lives[key] = n - 1
	default:
		delete(u.lives, key)
	}
	u.touch(id)
}

// touch says that the map was told something of where a chunk is: what a round or a sweep has asked of it may be from before, and so may what a repair has.
func (u *collector) touch(id inos.ChunkID) {
	if u.open && !u.spoiled {
		u.touched[string(id[:])] = true
		u.spoiled = len(u.touched) > touchedMax
	}
	u.k.repairs.touched(id)
}

// holds says that a round is trashing the chunk.
func (u *collector) holds(id inos.ChunkID) bool { return u.held[string(id[:])] }

// changed says that something may have become collectable.
func (u *collector) changed() {
	u.pause = collectEvery
	u.nextRound = min(u.nextRound, u.k.now+collectEvery)
	u.usageStale = true
}

// judges says that this node knows what is referred to: its map is whole.
func (u *collector) judges() bool { return u.k.node.switchboard && !u.k.rebuilding.busy() }

// safe says that the map is whole, and that what it was made from is as safe as can be.
func (u *collector) safe() bool { return u.judges() && !u.k.rebuilding.narrow }

// clears says that what nothing refers to may go. While a member is not read whole nothing does, on no node: it may be of a file whose record, or some of
// whose chunks, only that member has.
func (u *collector) clears() bool { return u.safe() && u.k.members.unread == 0 }

func (u *collector) idle() bool { return !u.underWay && !u.usageAsked }

func (u *collector) act() {
	k := u.k
	if u.roomNeed > 0 && !u.underWay && k.ready() {
		u.makeRoom() // while draining too: the puts under way are awaited
	}
	if !k.ready() || k.node.draining {
		return
	}
	if !u.usageAsked && u.usageAt <= k.now && k.node.switchboard && k.node.provider { // a provider alone measures for its heartbeats
		u.usageAsked = true
		k.send(nil, ask{owner: threadCollector, op: opUsage}, event.ContentUsage, &eventpb.ContentUsageRequest{})
	}
	if u.underWay {
		return
	}
	switch {
	case u.nextRound <= k.now && u.clears():
		u.begin()
		u.send(opCondemn, event.CondemnChunks, &eventpb.CondemnChunksRequest{Limit: collectBatch})
	case u.sweepDue():
		u.inventory()
	case u.emptyAt <= k.now && k.node.provider:
		u.send(opEmptyTrash, event.ContentEmptyTrash, &eventpb.ContentEmptyTrashRequest{BeforeUs: int64(k.now - trashLife), Limit: emptyTrashPage})
	case u.pruneAt <= k.now && k.node.switchboard:
		u.send(opPrune, event.PruneReplies, &eventpb.PruneRepliesRequest{BeforeUs: int64(k.now - inos.RequestKeyLife)})
	}
}

func (u *collector) wake() (at inos.Micros) {
	if !u.k.ready() || u.k.node.draining {
		return 0
	}
	if !u.usageAsked && u.k.node.switchboard && u.k.node.provider {
		at = u.usageAt
	}
	if !u.underWay {
		if u.k.node.provider {
			at = earlier(at, u.emptyAt)
		}
		if u.clears() {
			at = earlier(at, u.nextRound)
		}
		if u.k.node.switchboard {
			at = earlier(at, u.pruneAt)
		}
		at = earlier(at, u.sweepWake())
	}
	return at
}

func (u *collector) send(op uint8, effect string, m event.Message) {
	u.underWay = true
	u.k.send(nil, ask{owner: threadCollector, op: op}, effect, m)
}

// begin opens a round: from here on what puts let go of is remembered.
func (u *collector) begin() {
	u.open, u.spoiled = true, false
	clear(u.touched)
}

// choose closes the round's first part: it returns what may be trashed and holds it.
func (u *collector) choose(all []*eventpb.ChunkGeneration) (chosen []*eventpb.ChunkGeneration) {
	if !u.spoiled {
		for _, g := range all {
			id := string(g.ChunkId)
			if len(id) == inos.HashBytes && u.lives[id] == 0 && !u.touched[id] {
				chosen = append(chosen, g)
				u.held[id] = true
			}
		}
	}
	u.open = false
	clear(u.touched)
	return chosen
}

// letGo ends a round or a page: puts that waited for one of its chunks go on.
func (u *collector) letGo() {
	u.open, u.pending, u.orders, u.failed = false, nil, nil, false
	clear(u.touched)
	clear(u.held)
	u.k.puts.unheld()
}

func (u *collector) answer(a *answer) {
	if a.op == opUsage {
		u.usageAsked = false
		var m eventpb.ContentUsage
		if a.err == nil && event.Open(a.env, &m) == nil {
			u.measured(&m)
		} else {
			u.usageAt = u.k.now + usageEvery
		}
		return
	}
	u.underWay = false
	switch a.op {
	case opCondemn:
		u.condemned(a)
	case opHolders:
		u.holders(a)
	case opTrash:
		u.inTrash(a)
	case opForget:
		u.forgotten(a)
	case opInventory:
		u.listed(a)
	case opUnknown:
		u.unknown(a)
	case opSwept:
		u.told(a)
	case opRehash:
		u.rehashed(a)
	case opAdopt:
		u.adopted(a)
	case opTrashSwept:
		u.sweptAway(a)
	case opEmptyTrash:
		u.emptyAt = u.k.now + emptyTrashEvery
		var r eventpb.ContentEmptyTrashReply
		switch {
		case a.err != nil:
			u.emptyAt = u.k.now + inos.Minute
		case event.Open(a.env, &r) == nil && r.Chunks >= emptyTrashPage:
			u.emptyAt = u.k.now + emptyTrashAgain
		}
	case opMakeRoom:
		u.roomMade(a)
	case opPrune:
		u.pruneAt = u.k.now + pruneEvery
	}
}

// measured keeps the latest usage.
func (u *collector) measured(m *eventpb.ContentUsage) {
	u.usage.chunks, u.usage.used, u.usage.trash, u.usage.free = m.Chunks, m.UsedBytes, m.TrashBytes, m.FreeBytes
	u.usageKnown = true
	u.usageAt = u.k.now + usageEvery
	if !u.usageStale && len(u.k.puts.active) == 0 {
		u.usageAt = u.k.now + usageIdleEvery
	}
	u.usageStale = false
}
