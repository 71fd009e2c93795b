package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// A call that its sender has given up may still be on its way. What a switchboard sends about the chunks of other nodes is
// numbered, so that a node can tell a trash order that comes behind a later write, or behind the adoption of the copy, and pass it over. What it has
// written is forgotten with its kernel, while calls of before may wait in its host: a kernel that begins carries out no trash order until a switchboard
// has answered a heartbeat of its own, with a number above those of all that was sent before; what is older is void.

// ordered numbers what is sent to another node.
func (k *Kernel) ordered(m event.Message) {
	switch q := m.(type) {
	case *eventpb.ContentWriteRequest:
		q.Order = k.numbering.next(k.now)
	case *eventpb.ContentCopyRequest:
		q.Order = k.numbering.next(k.now)
	case *eventpb.ContentTrashRequest:
		q.Order = k.numbering.next(k.now)
	case *eventpb.ContentScrubRequest:
		if len(q.Adopt) > 0 {
			q.Order = k.numbering.next(k.now)
		}
	}
}

// orders remembers of the chunks written or adopted last for other nodes the highest number of a write or an adoption.
type orders struct {
	latest map[string]uint64 // by orderKey
	queue  []orderedKey      // in the order in which they were served; of a key that is there again the last one counts
	floor  uint64            // of those that are forgotten
	top    uint64            // the highest number of all that was seen
	forgot bool              // the kernel has begun, or a switchboard makes its map again, and none has said yet from which number on orders are of its time
}

type orderedKey struct {
	key   string
	order uint64
}

// orderKey names a chunk or a commit record.
func orderKey(id []byte, record bool) string {
	if record {
		return "record" + string(id)
	}
	return string(id)
}

func (o *orders) code(c *coder) {
	list(c, &o.queue, ordersMax, func(c *coder, e *orderedKey) {
		text(c, &e.key)
		num(c, &e.order)
	})
	num(c, &o.floor)
	num(c, &o.top)
	c.bool(&o.forgot)
	if c.reading {
		o.latest = map[string]uint64{}
		for _, e := range o.queue {
			o.latest[e.key] = e.order
		}
	}
}

// resume takes a switchboard's number: writes that the kernel before may have served have lower ones. One that has none yet makes its map again from what
// the nodes hold, and may come to rely on any copy: what was ordered before it has one is void too.
func (o *orders) resume(order uint64) {
	o.saw(order)
	switch {
	case order == 0:
		o.forgot = true
	case o.forgot:
		o.forgot, o.floor = false, max(o.floor, order)
	}
}

// saw takes the number of an order.
func (o *orders) saw(order uint64) { o.top = max(o.top, order) }

// wrote notes a write, or that a copy is adopted.
func (o *orders) wrote(id []byte, record bool, order uint64) {
	key := orderKey(id, record)
	o.saw(order)
	if old, ok := o.latest[key]; ok && old >= order {
		return
	}
	if len(o.queue) >= ordersMax {
		first := o.queue[0]
		o.queue = o.queue[1:]
		if o.latest[first.key] == first.order {
			delete(o.latest, first.key)
			o.floor = max(o.floor, first.order)
		}
	}
	o.latest[key] = order
	o.queue = append(o.queue, orderedKey{key, order})
}

// void says that a trash order was sent before the chunk was written or adopted last. What is remembered of the chunk may be a write of before that came
// late, and the last one among those that are forgotten: up to their numbers every order is void.
func (o *orders) void(id []byte, record bool, order uint64) bool {
	return order <= o.floor || order < o.latest[orderKey(id, record)]
}

// standing returns the part of a trash order that is not void: without what was written or adopted since, or is being written.
func (u *serving) standing(q *eventpb.ContentTrashRequest) *eventpb.ContentTrashRequest {
	writing := map[string]bool{}
	for _, work := range sortedKeys(u.table) {
		if x := u.table[work]; x.writes() {
			writing[orderKey(x.chunk, x.record)] = true
		}
	}
	out := &eventpb.ContentTrashRequest{Record: q.Record, Order: q.Order}
	u.orders.saw(q.Order)
	for _, g := range q.Chunks {
		if !u.orders.void(g.ChunkId, q.Record, q.Order) && !writing[orderKey(g.ChunkId, q.Record)] {
			out.Chunks = append(out.Chunks, g)
		}
	}
	return out
}

// writes says that a call writes its chunk.
func (x *served) writes() bool {
	return x.effect == event.ContentWrite || x.effect == event.ContentCopy
}

// trashing says that a trash order which names the chunk is in work.
func (u *serving) trashing(id []byte, record bool) bool {
	for _, work := range sortedKeys(u.table) {
		x := u.table[work]
		for i := 0; x.record == record && i+inos.HashBytes <= len(x.trash); i += inos.HashBytes {
			if string(x.trash[i:i+inos.HashBytes]) == string(id) {
				return true
			}
		}
	}
	return false
}
