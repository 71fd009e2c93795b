package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects of the repairs.
const (
	opRepairWant   = iota + 1 // semantic:want_repairs
	opRepairClaim             // semantic:claim_repairs
	opRepairStates            // semantic:chunk_states of what was claimed
	opRepairCopy              // content:copy_chunk on the target
	opRepairRead              // content:read_chunk from the source, for this node's own disk
	opRepairWrite             // content:write_chunk of it
	opRepairSettle            // semantic:settle_repair
	opRepairVoid              // semantic:chunk_states of a chunk whose claim is void
	opRepairTrash             // content:trash_chunk of a copy whose claim is void
	opScanChunks              // semantic:scan_chunks
	opScanNode                // semantic:node_chunks
	opScanStates              // semantic:chunk_states of a node's page
	opTrimStates              // semantic:chunk_states of a surplus chunk
	opTrimRetire              // semantic:retire_copy
	opTrimTrash               // content:trash_chunk of the retired copy
)

// repairEvent is under what repairs are noted in the history.
const repairEvent = "chunk:repair:v1:requested"

// repairs keeps every chunk at its wanted number of domains. Detectors put what is short into the queue of the semantic memory: puts that
// stayed short, copies found lost, a node that did not come back, and the scan of the map (repair_scan.go). From the queue, fewest live domains
// first, repairs are claimed with a lease; a chunk is copied from a source to a target that pulls it (repair_copy.go), as fast as the rate
// allows (repair_rate.go). What is surplus is trimmed, lazily (trim.go).
type repairs struct {
	k        *Kernel
	table    map[uint64]*mending // claimed
	buffers  uint64              // bytes accounted, of copies to this node's own disk
	waiting  []*eventpb.RepairWant
	wanting  []*eventpb.RepairWant // being queued
	wantAt   inos.Micros           // not before
	failures uint32
	claiming bool
	claimAt  inos.Micros // when to look into the queue; 0: not before something is queued
	lost     recent      // chunks without a source

	scan scan
	rate rate
	trim trims

	done  uint64 // copies made since this kernel started
	bytes uint64
	begun inos.Micros // when the queue was empty last and is not any more; 0: it is empty
}

func (u *repairs) init(k *Kernel) {
	u.k = k
	u.table, u.trim.unproved = map[uint64]*mending{}, map[string]bool{}
	u.lost.limit, u.scan.emptied.limit, u.scan.stuck = lostMax, membersMax, map[inos.NodeID]*stuckOn{}
}

func (u *repairs) about() about {
	return about{name: "repair", kind: "pipeline", inFlightMax: 2*mendingsMax + 8}
}

func (u *repairs) hear(*input) {}

func (u *repairs) code(c *coder) {
	objects(c, &u.table, mendingsMax, num[uint64], func(c *coder, x *mending) { x.code(c) })
	num(c, &u.buffers)
	wants := func(l *[]*eventpb.RepairWant) {
		pointers(c, l, repairWantsMax, func(c *coder, w *eventpb.RepairWant) {
			c.bytes(&w.ChunkId)
			text(c, &w.Reason)
			num(c, &w.Live)
		})
	}
	wants(&u.waiting)
	wants(&u.wanting)
	num(c, &u.wantAt)
	num(c, &u.failures)
	c.bool(&u.claiming)
	num(c, &u.claimAt)
	u.lost.code(c)
	u.scan.code(c)
	u.rate.code(c)
	u.trim.code(c)
	num(c, &u.done)
	num(c, &u.bytes)
	num(c, &u.begun)
}

// active says that this node repairs: a switchboard with others.
func (u *repairs) active() bool {
	k := u.k
	return k.node.switchboard && k.ready() && !k.lone()
}

// act begins nothing on a node that is alone; what it had begun with others, before they were removed, comes to its end.
func (u *repairs) act() {
	k := u.k
	if !k.node.switchboard || !k.ready() {
		return
	}
	u.queue()
	for _, work := range sortedKeys(u.table) {
		u.advance(u.table[work])
	}
	u.rate.act(u)
	if k.node.draining || k.lone() {
		return
	}
	if !u.claiming && len(u.table) < mendingsMax/2 && u.claimAt != 0 && u.claimAt <= k.now {
		u.claim()
	}
	u.scan.act(u)
	u.trim.act(u)
}

func (u *repairs) wake() (at inos.Micros) {
	if !u.k.node.switchboard || !u.k.ready() {
		return 0
	}
	if len(u.waiting) > 0 && len(u.wanting) == 0 {
		at = max(u.wantAt, 1)
	}
	for _, work := range sortedKeys(u.table) {
		at = earlier(at, u.table[work].wake(u))
	}
	at = earlier(at, u.rate.wake(u))
	if u.k.node.draining || u.k.lone() {
		return at
	}
	if !u.claiming && len(u.table) < mendingsMax/2 {
		at = earlier(at, u.claimAt)
	}
	return earlier(earlier(at, u.scan.wake(u)), u.trim.wake(u))
}

func (u *repairs) ask(op uint8, work uint64) ask {
	return ask{owner: threadRepair, op: op, work: work}
}

func (u *repairs) answer(a *answer) {
	switch a.op {
	case opRepairWant:
		u.queued(a)
	case opRepairClaim:
		u.claimed(a)
	case opRepairStates:
		u.stated(a)
	case opScanChunks, opScanNode, opScanStates:
		u.scan.answer(u, a)
	case opTrimStates, opTrimRetire, opTrimTrash:
		u.trim.answer(u, a)
	default:
		if x := u.table[a.work]; x != nil {
			u.copied(x, a)
		}
	}
}

// want asks for the repair of a chunk that is in so many live domains.
func (u *repairs) want(id []byte, reason string, live uint32) {
	u.wants([]*eventpb.RepairWant{{ChunkId: id, Reason: reason, Live: live}})
}

// wants asks for repairs. What does not fit is found by the next scan of the map. A repair of the same chunk that is claimed may have been
// planned before the reason for this one; the queue does not take a chunk twice, so it is wanted once more when that claim has ended.
func (u *repairs) wants(list []*eventpb.RepairWant) {
	for _, work := range sortedKeys(u.table) {
		x := u.table[work]
		x.short = x.short || slices.ContainsFunc(list, func(w *eventpb.RepairWant) bool { return string(w.ChunkId) == string(x.id[:]) })
	}
	for _, w := range list {
		if len(u.waiting) >= repairWantsMax {
			u.scan.again = true
			return
		}
		u.waiting = append(u.waiting, w)
	}
}

// rescan has the map looked through soon: somebody wants more, or fewer, replicas of what is there, or a node has died or is back.
func (u *repairs) rescan() {
	if u.scan.again {
		return
	}
	u.scan.again, u.scan.at = true, max(u.k.now+scanSettle, u.scan.whole+scanSpacing)
}

// full says that no more wants fit for now.
func (u *repairs) full() bool { return len(u.waiting) >= repairWantsMax/2 }

// soon says that something was queued: it is looked for at once.
func (u *repairs) soon() { u.claimAt = max(u.k.now, 1) }

// queue hands wants to the semantic memory, a batch at a time.
func (u *repairs) queue() {
	if len(u.wanting) > 0 || len(u.waiting) == 0 || u.wantAt > u.k.now {
		return
	}
	n := min(len(u.waiting), wantsPerCall)
	u.wanting, u.waiting = u.waiting[:n:n], append([]*eventpb.RepairWant(nil), u.waiting[n:]...)
	u.k.send(nil, u.ask(opRepairWant, 0), event.WantRepairs, &eventpb.WantRepairsRequest{Wants: u.wanting, NowUs: int64(u.k.now)})
}

func (u *repairs) queued(a *answer) {
	list := u.wanting
	u.wanting = nil
	if a.err != nil {
		if u.failures < retriesMax && len(list)+len(u.waiting) <= repairWantsMax {
			u.waiting = append(list, u.waiting...)
		} else {
			u.rescan() // the map still says it
		}
		u.wantAt = u.k.now + min(retryBackoffMin<<min(u.failures, 8), retryBackoffMax)
		u.failures++
		return
	}
	u.failures = 0
	if u.begun == 0 && len(list) > 0 {
		u.begun = u.k.now
		u.k.watcher.note(repairEvent, event.StateProcessing, "repair begins: "+list[0].Reason)
	}
	u.soon()
}

// claim leases repairs from the queue.
func (u *repairs) claim() {
	u.claiming = true
	u.k.send(nil, u.ask(opRepairClaim, 0), event.ClaimRepairs, &eventpb.ClaimRepairsRequest{
		Holder: u.k.node.id, NowUs: int64(u.k.now), UntilUs: int64(u.k.now + repairLease), Limit: uint32(mendingsMax - len(u.table)),
	})
}

// claimed takes leased repairs and asks where their chunks are.
func (u *repairs) claimed(a *answer) {
	u.claiming = false
	var r eventpb.ClaimRepairsReply
	if a.err != nil || event.Open(a.env, &r) != nil {
		u.claimAt = u.k.now + retryBackoffMax
		return
	}
	q := &eventpb.ChunkStatesRequest{}
	batch := u.k.work()
	for _, c := range r.Repairs {
		if len(c.ChunkId) != inos.HashBytes || c.Lease == 0 || len(u.table) >= mendingsMax {
			continue
		}
		x := &mending{work: u.k.work(), batch: batch, id: inos.ChunkID(c.ChunkId), reason: c.Reason, lease: c.Lease, until: inos.Micros(c.LeaseUntilUs), tries: c.Tries}
		u.table[x.work] = x
		u.k.collector.live(x.id)
		q.ChunkIds = append(q.ChunkIds, c.ChunkId)
	}
	if len(q.ChunkIds) == 0 {
		u.claimAt = u.k.now + claimIdleEvery
		if u.begun != 0 && len(u.table) == 0 && len(u.waiting) == 0 {
			u.begun = 0
			u.k.watcher.note(repairEvent, event.StateCompleted, "nothing is left to repair for now: "+plural(u.done, "copy", "copies")+" made, "+plural(u.bytes, "byte", "bytes"))
		}
		return
	}
	u.soon() // there may be more
	u.k.send(nil, u.ask(opRepairStates, batch), event.ChunkStates, q)
}

// stated takes where the chunks of a claim are.
func (u *repairs) stated(a *answer) {
	var r eventpb.ChunkStatesReply
	err := a.err
	if err == nil && event.Open(a.env, &r) != nil {
		err = inos.Errorf(inos.CodeInternal, "semantic:chunk_states", "the reply does not decode")
	}
	states := map[string]*eventpb.ChunkState{}
	for _, s := range r.States {
		states[string(s.ChunkId)] = s
	}
	for _, work := range sortedKeys(u.table) {
		x := u.table[work]
		if x.batch != a.work || x.step != mendStates {
			continue
		}
		s := states[string(x.id[:])]
		if err != nil || s == nil {
			u.settle(x, u.k.now+retryBackoffMax)
			continue
		}
		u.plan(x, s)
	}
}

// gone begins the repair of what a node held that did not come back.
func (u *repairs) gone(node inos.NodeID) { u.scan.node(node) }

// busy says that a copy of the chunk is being made or trimmed.
func (u *repairs) busy(id inos.ChunkID) bool {
	if u.trim.trims(id) {
		return true
	}
	for _, work := range sortedKeys(u.table) {
		if u.table[work].id == id {
			return true
		}
	}
	return false
}

// distrusted forgets the copies that a node has made and that are not in the map yet: it may have lost them. The map may be told of them right
// now, and take them for copies of the node's next epoch: another one begins when the claim has ended. A claim that was to end with such a copy leaves its
// chunk in the queue.
func (u *repairs) distrusted(node inos.NodeID) {
	for _, work := range sortedKeys(u.table) {
		x := u.table[work]
		if (x.step == mendSettle || x.step == mendPause) && slices.Contains(x.added, node) && !slices.Contains(x.overdue, node) {
			x.overdue, x.short = append(x.overdue, node), true
		}
		x.forget(node)
	}
}

// dropped takes a node off those that hold a chunk whose repair is under way: what is being settled was planned with its copy, and the
// queue does not take the same chunk twice.
func (u *repairs) dropped(node inos.NodeID, id inos.ChunkID) {
	for _, work := range sortedKeys(u.table) {
		if x := u.table[work]; x.id == id {
			x.forget(node)
			x.short = x.short || x.step == mendStates || x.step == mendSettle || x.step == mendPause // else it goes on without
		}
	}
}

// telling says that the semantic memory is being told that a repair has given the node a copy of the chunk.
func (u *repairs) telling(node inos.NodeID, id inos.ChunkID) bool {
	for _, work := range sortedKeys(u.table) {
		if x := u.table[work]; x.id == id && (x.step == mendSettle || x.step == mendPause) && (slices.Contains(x.added, node) || slices.Contains(x.overdue, node)) {
			return true
		}
	}
	return false
}

// touched notes that what is being asked of a chunk whose claim is void may be from before a copy was named.
func (u *repairs) touched(id inos.ChunkID) {
	for _, work := range sortedKeys(u.table) {
		if x := u.table[work]; x.id == id && x.step == mendVoid {
			x.short = true
		}
	}
}

// trashes says that a copy of the chunk whose claim is void is on its way to the trash.
func (u *repairs) trashes(id inos.ChunkID) bool {
	for _, work := range sortedKeys(u.table) {
		if x := u.table[work]; x.id == id && x.step == mendTrash {
			return true
		}
	}
	return false
}

// idle says that no copy is under way.
func (u *repairs) idle() bool {
	return len(u.table) == 0 && !u.claiming && len(u.wanting) == 0 && !u.scan.underWay && !u.trim.underWay
}

// describe says how repair goes on.
func (u *repairs) describe(r *eventpb.RepairsListReply) {
	r.Done, r.Bytes, r.Trimmed = u.done, u.bytes, u.trim.count
	r.BytesPerSecondMax, r.Scanning = u.rate.allowed(u), u.scan.running
	if u.rate.window != 0 {
		r.BytesPerSecond = u.rate.recent
	}
	if speed := r.BytesPerSecond; speed > 0 && u.done > 0 {
		left := r.Total * (u.bytes / u.done) // in microseconds it may be more than a number holds
		r.EtaUs = int64(min(left/speed, 1<<33)*uint64(inos.Second) + left%speed*uint64(inos.Second)/speed)
	}
}
