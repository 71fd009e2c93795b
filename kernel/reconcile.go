package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects of a reconciliation.
const (
	opReconcileList    = iota + 1 // semantic:node_chunks
	opReconcileCopies             // semantic:chunk_copies of the page
	opReconcileScrub              // content:scrub of the page's part of the disk
	opReconcileLook               // content:missing_chunks
	opReconcileConfirm            // semantic:confirm_copies
)

// reconciles has nodes that were away, or that stopped without order, earn the map's trust again: the copies that the map names for
// them and does not trust are hashed on the node, page by page; what is there is confirmed, what is not is doubted and so dropped and
// repaired (loss.go). Behind the last page the node's disk is swept (sweep.go), which trashes what has no row and settles what the
// map does not name.
//
// Where a reconciliation stands is in the map: what it has confirmed is trusted, and pages without an untrusted copy cost two
// queries. One that a stop has broken off is therefore simply begun again: after its boot a switchboard looks through all members.
// A node gets half of the time for it, the other half is for what it is there for.
type reconciles struct {
	k      *Kernel
	wanted turnLine
	table  map[string]*reconcile // by node
	looked bool                  // all members were put in line after the boot
}

// reconcile is one node being compared with the map.
type reconcile struct {
	work     uint64
	node     inos.NodeID
	epoch    uint64
	after    []byte
	ids      [][]byte // of the page: those not trusted
	to       []byte   // the page ends with this id
	from     []byte   // the next page of the scrub begins behind this id
	scrubs   uint32   // pages of it so far
	end      bool     // the page is the last
	underWay bool
	again    bool        // it is to begin again behind what is under way
	op       uint8       // what is to be asked next
	asked    inos.Micros // when it was
	at       inos.Micros // not before
	tries    uint32
	checked  uint64
	lost     uint64
}

func (x *reconcile) code(c *coder) {
	num(c, &x.work)
	text(c, &x.node)
	num(c, &x.epoch)
	c.bytes(&x.after)
	list(c, &x.ids, reconcilePage, func(c *coder, b *[]byte) { c.bytes(b) })
	c.bytes(&x.to)
	c.bytes(&x.from)
	num(c, &x.scrubs)
	c.bool(&x.end)
	c.bool(&x.underWay)
	c.bool(&x.again)
	num(c, &x.op)
	num(c, &x.asked)
	num(c, &x.at)
	num(c, &x.tries)
	num(c, &x.checked)
	num(c, &x.lost)
}

func (u *reconciles) init(k *Kernel) {
	u.k = k
	u.table = map[string]*reconcile{}
}

func (u *reconciles) about() about {
	return about{name: "reconcile", kind: "pipeline", inFlightMax: reconcilesMax}
}

func (u *reconciles) hear(*input) {}

func (u *reconciles) code(c *coder) {
	u.wanted.code(c)
	objects(c, &u.table, reconcilesMax, text[string], func(c *coder, x *reconcile) { x.code(c) })
	c.bool(&u.looked)
}

// want asks for a node to be reconciled: its copies are not trusted since a new epoch began.
func (u *reconciles) want(node inos.NodeID) {
	if x := u.table[string(node)]; x != nil {
		if x.again = x.underWay; !x.again {
			u.begin(x)
		}
		return
	}
	u.wanted.add(node)
}

// progress tells how many copies of a node were checked, for a person; busy says that it is being reconciled or waits for it.
func (u *reconciles) progress(node inos.NodeID) (checked, lost uint64, busy bool) {
	if x := u.table[string(node)]; x != nil {
		return x.checked, x.lost, true
	}
	return 0, 0, u.wanted.has(node)
}

// busy says that a node is being reconciled: nothing is trimmed on it meanwhile.
func (u *reconciles) busy(node inos.NodeID) bool { return u.table[string(node)] != nil }

// begin starts at the first page, in the node's present epoch.
func (u *reconciles) begin(x *reconcile) {
	x.epoch, x.after, x.end, x.ids, x.tries = u.k.members.epoch(x.node), nil, false, nil, 0
	x.op, x.at = opReconcileList, u.k.now
	x.checked, x.lost, x.again = 0, 0, false
}

func (u *reconciles) act() {
	k := u.k
	if !k.ready() || !k.collector.judges() || k.node.draining {
		return
	}
	if !u.looked {
		if u.looked = true; !k.lone() {
			for _, node := range k.members.all() {
				u.want(node)
			}
		}
	}
	u.wanted.turns(k.now, u.room, func(node inos.NodeID) int {
		switch {
		case k.members.dead(node) || !k.members.has(node):
			return turnOver // its return asks again
		case !k.members.alive(node):
			return turnLater
		}
		x := &reconcile{work: k.work(), node: node}
		u.begin(x)
		u.table[string(node)] = x
		return turnOver
	})
	for _, name := range sortedKeys(u.table) {
		x := u.table[name]
		switch {
		case x.underWay:
		case k.members.dead(x.node):
			delete(u.table, name) // it counts for nothing until it returns
		case x.at <= k.now && !k.losses.full():
			u.ask(x)
		}
	}
}

func (u *reconciles) room() bool { return len(u.table) < reconcilesMax }

func (u *reconciles) wake() (at inos.Micros) {
	if !u.k.ready() || !u.k.collector.judges() || u.k.node.draining {
		return 0
	}
	if u.room() {
		at = u.wanted.wake()
	}
	for _, name := range sortedKeys(u.table) {
		if x := u.table[name]; !x.underWay {
			at = earlier(at, x.at)
		}
	}
	return at
}

func (u *reconciles) idle() bool {
	for _, name := range sortedKeys(u.table) {
		if u.table[name].underWay {
			return false
		}
	}
	return true
}

// ask asks what is next.
func (u *reconciles) ask(x *reconcile) {
	k := u.k
	x.underWay, x.asked = true, k.now
	a := ask{owner: threadReconcile, op: x.op, work: x.work}
	switch x.op {
	case opReconcileList:
		k.send(nil, a, event.NodeChunks, &eventpb.NodeChunksRequest{Node: string(x.node), After: x.after, Limit: reconcilePage})
	case opReconcileCopies:
		k.send(nil, a, event.ChunkCopies, &eventpb.ChunkCopiesRequest{ChunkIds: x.ids})
	case opReconcileScrub:
		k.content(nil, a, x.node, event.ContentScrub, &eventpb.ContentScrubRequest{After: x.from, Limit: scrubPage}, bulk{})
	case opReconcileLook:
		k.content(nil, a, x.node, event.ContentMissing, &eventpb.ContentMissingRequest{ChunkIds: x.ids}, bulk{})
	case opReconcileConfirm:
		k.send(nil, a, event.ConfirmCopies, &eventpb.ConfirmCopiesRequest{Node: string(x.node), Epoch: x.epoch, ChunkIds: x.ids})
	}
}

func (u *reconciles) answer(a *answer) {
	var x *reconcile
	for _, name := range sortedKeys(u.table) {
		if u.table[name].work == a.work {
			x = u.table[name]
		}
	}
	x.underWay = false
	if x.again {
		u.begin(x)
		return
	}
	err := a.err
	if err == nil {
		switch a.op {
		case opReconcileList:
			err = u.listed(x, a)
		case opReconcileCopies:
			err = u.located(x, a)
		case opReconcileScrub:
			err = u.scrubbed(x, a)
		case opReconcileLook:
			err = u.missed(x, a)
		case opReconcileConfirm:
			x.checked += uint64(len(x.ids))
			u.pageDone(x)
		}
	}
	switch {
	case err == nil:
		x.tries = 0
	case err.Code == inos.CodeConflict && a.op == opReconcileConfirm:
		u.begin(x) // another epoch has begun
	default:
		x.at = u.k.now + min(retryBackoffMin<<min(x.tries, 8), retryBackoffMax)
		x.tries++
	}
}

// listed takes a page of what the map says the node holds.
func (u *reconciles) listed(x *reconcile, a *answer) *inos.Error {
	var r eventpb.NodeChunksReply
	if err := event.Open(a.env, &r); err != nil || !ascends(x.after, r.ChunkIds, reconcilePage) || len(r.ChunkIds) == 0 && !r.End {
		return inos.Errorf(inos.CodeInternal, "semantic:node_chunks", "the page of %d chunks is not in order, or does not decode: %v", len(r.ChunkIds), err)
	}
	x.ids, x.end, x.to, x.op = r.ChunkIds, r.End, x.after, opReconcileCopies
	if len(x.ids) == 0 {
		u.pageDone(x)
		return nil
	}
	x.to = x.ids[len(x.ids)-1]
	return nil
}

// located keeps those of the page that the map does not trust the node with.
func (u *reconciles) located(x *reconcile, a *answer) *inos.Error {
	var r eventpb.ChunkCopiesReply
	if err := event.Open(a.env, &r); err != nil || len(r.Chunks) != len(x.ids) {
		return inos.Errorf(inos.CodeInternal, "semantic:chunk_copies", "%d answers to %d questions: %v", len(r.Chunks), len(x.ids), err)
	}
	var ids [][]byte
	for i, list := range r.Chunks {
		if slices.ContainsFunc(list.Copies, func(held *eventpb.Copy) bool { return held.Node == string(x.node) && !held.Trusted }) {
			ids = append(ids, x.ids[i])
		}
	}
	if x.ids = ids; len(ids) == 0 {
		u.pageDone(x)
		return nil
	}
	x.from, x.scrubs, x.op = before(ids[0]), 0, opReconcileScrub
	return nil
}

// scrubbed takes the end of a page of the scrub, which sets aside what does not hash to its id. The next one has to wait as long as
// this one took.
func (u *reconciles) scrubbed(x *reconcile, a *answer) *inos.Error {
	var r eventpb.ContentScrubReply
	if err := event.Open(a.env, &r); err != nil || !r.End && slices.Compare(r.Next, x.from) <= 0 {
		return inos.Errorf(inos.CodeBadFormat, "content:scrub", "node %s: the page ends where it began, or does not decode: %v", x.node, err)
	}
	x.at = u.k.now + (u.k.now - x.asked)
	x.scrubs++
	if x.from = r.Next; r.End || x.scrubs >= scrubsMax || slices.Compare(r.Next, x.ids[len(x.ids)-1]) >= 0 {
		x.op = opReconcileLook
	}
	return nil
}

// missed takes what the node does not hold, the bad ones among it.
func (u *reconciles) missed(x *reconcile, a *answer) *inos.Error {
	var r eventpb.ContentMissingReply
	if err := event.Open(a.env, &r); err != nil || len(r.ChunkIds) > len(x.ids) {
		return inos.Errorf(inos.CodeBadFormat, "content:missing_chunks", "node %s: %d chunks of %d, or it does not decode: %v", x.node, len(r.ChunkIds), len(x.ids), err)
	}
	gone := map[string]bool{}
	for _, id := range r.ChunkIds {
		gone[string(id)] = true
	}
	var good [][]byte
	for _, id := range x.ids {
		switch {
		case !gone[string(id)]:
			good = append(good, id)
		case !u.k.collector.holds(inos.ChunkID(id)):
			u.k.losses.doubt(x.node, inos.ChunkID(id))
			x.lost++
		}
	}
	if x.ids, x.op = good, opReconcileConfirm; len(good) == 0 {
		u.pageDone(x)
	}
	return nil
}

// pageDone goes on with the next page. Behind the last one the node's disk is swept.
func (u *reconciles) pageDone(x *reconcile) {
	x.after, x.ids, x.op = x.to, nil, opReconcileList
	if !x.end {
		return
	}
	delete(u.table, string(x.node))
	u.k.collector.sweepNode(x.node)
	if x.checked+x.lost == 0 {
		return
	}
	detail := "node " + string(x.node) + ": " + plural(x.checked, "copy is", "copies are") + " there and trusted again"
	if x.lost > 0 {
		detail += ", " + plural(x.lost, "is", "are") + " not"
	}
	u.k.watcher.note(event.ConfirmCopies, event.StateCompleted, detail)
}
