package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// trashOrder is what one node is to trash in a round.
type trashOrder struct {
	number uint64
	node   inos.NodeID
	chunks []*eventpb.ChunkGeneration
}

func (t *trashOrder) code(c *coder) {
	num(c, &t.number)
	text(c, &t.node)
	generations(c, &t.chunks)
}

// generations codes chunks of a round or of a page.
func generations(c *coder, l *[]*eventpb.ChunkGeneration) {
	pointers(c, l, inventoryPage, func(c *coder, g *eventpb.ChunkGeneration) {
		c.bytes(&g.ChunkId)
		num(c, &g.Generation)
	})
}

// condemned takes a page of chunks that nothing refers to. A lone node holds them itself; in a mesh the map says who does.
func (u *collector) condemned(a *answer) {
	var r eventpb.CondemnChunksReply
	if a.err != nil || event.Open(a.env, &r) != nil || len(r.Chunks) > collectBatch {
		u.rest(false)
		return
	}
	u.rounds++
	u.pending = u.choose(r.Chunks)
	if len(u.pending) == 0 {
		u.rest(false)
		return
	}
	if u.k.lone() {
		u.orders = []*trashOrder{{node: u.k.self(), chunks: u.pending}}
		u.order()
		return
	}
	q := &eventpb.ChunkCopiesRequest{}
	for _, g := range u.pending {
		q.ChunkIds = append(q.ChunkIds, g.ChunkId)
	}
	u.send(opHolders, event.ChunkCopies, q)
}

// holders orders every node that answers to trash what it holds. The copies of one that does not are found when it is swept.
func (u *collector) holders(a *answer) {
	var r eventpb.ChunkCopiesReply
	if a.err != nil || event.Open(a.env, &r) != nil || len(r.Chunks) != len(u.pending) {
		u.rest(false)
		return
	}
	orders := map[string]*trashOrder{}
	for i, list := range r.Chunks {
		for _, held := range list.Copies {
			if orders[held.Node] == nil {
				orders[held.Node] = &trashOrder{node: inos.NodeID(held.Node)}
			}
			orders[held.Node].chunks = append(orders[held.Node].chunks, u.pending[i])
		}
	}
	for _, name := range sortedKeys(orders) {
		if t := orders[name]; u.k.members.alive(t.node) {
			u.orders = append(u.orders, t)
		} else {
			u.sweepNode(t.node)
		}
	}
	u.order()
}

// order sends the next orders, or forgets the chunks when all have ended.
func (u *collector) order() {
	for len(u.orders) > 0 && len(u.ordered) < trashOrdersMax {
		t := u.orders[0]
		u.orders = u.orders[1:]
		t.number = u.k.work()
		u.ordered = append(u.ordered, t)
		u.underWay = true
		u.k.content(nil, ask{owner: threadCollector, op: opTrash, work: t.number}, t.node, event.ContentTrash,
			&eventpb.ContentTrashRequest{Chunks: t.chunks}, bulk{timeout: trashTimeout})
	}
	switch {
	case len(u.ordered) > 0:
		u.underWay = true
	case u.failed:
		u.rest(false)
	default:
		u.usageStale = true
		u.send(opForget, event.ForgetChunks, &eventpb.ForgetChunksRequest{Chunks: u.pending})
	}
}

// inTrash takes the end of an order. A node that did not carry it out is swept later; when it is this one, the round is given up.
func (u *collector) inTrash(a *answer) {
	i := slices.IndexFunc(u.ordered, func(t *trashOrder) bool { return t.number == a.work })
	t := u.ordered[i]
	u.ordered = slices.Delete(u.ordered, i, i+1)
	var r eventpb.ContentTrashReply
	switch {
	case a.err != nil && t.node == u.k.self():
		u.failed = true
	case a.err != nil:
		u.sweepNode(t.node)
	case event.Open(a.env, &r) == nil:
		u.trashed += uint64(r.Chunks)
		where := ""
		if t.node != u.k.self() {
			where = " on node " + string(t.node)
		}
		u.k.watcher.note(event.ContentTrash, event.StateCompleted, plural(uint64(r.Chunks), "chunk", "chunks")+" that nothing refers to"+where+", "+plural(r.Bytes, "byte", "bytes"))
	}
	u.order()
}

// forgotten ends a round. Forgetting a manifest node makes what is below collectable: the next round follows at once.
func (u *collector) forgotten(a *answer) { u.rest(a.err == nil) }

// rest plans the next round.
func (u *collector) rest(more bool) {
	u.letGo()
	if more {
		u.pause = collectEvery
		u.nextRound = u.k.now
		return
	}
	u.nextRound = u.k.now + u.pause
	u.pause = min(2*u.pause, collectIdleMax)
}
