package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// numbering numbers the orders of a switchboard. The numbers never go back, not over restarts nor with the clock: they stay below a ceiling that is in the
// semantic memory before one is used, and a kernel that begins starts at the ceiling that it finds. They are times as far as that allows, so that those
// of several switchboards on one memory are of one kind.
//
// A map that is made again has lost the ceiling. Then the nodes say which numbers they have seen, and it is begun well above; a node that says a
// wrong number can raise them, but not bring them to an end. Until it is done nothing is ordered, and no node is told what is old.
type numbering struct {
	last    uint64
	ceiling uint64 // stored: what is used is below it; 0: not known yet
	raising uint64 // semantic:raise_orders is under way, to this; 0: no
	wanted  bool   // the clock comes near the ceiling
	again   inos.Micros
	pause   inos.Micros
}

func (n *numbering) code(c *coder) {
	num(c, &n.last)
	num(c, &n.ceiling)
	num(c, &n.raising)
	c.bool(&n.wanted)
	num(c, &n.again)
	num(c, &n.pause)
}

// open says that there are numbers to use, and enough of them.
func (n *numbering) open() bool { return n.last+uint64(ordersSpare/2) < n.ceiling }

// next returns the next number. When the clock has come too near the ceiling, or is behind, numbers follow the last one by one: there are more of those spare than
// orders can be sent while the semantic memory does not answer.
func (n *numbering) next(now inos.Micros) uint64 {
	at := uint64(now)
	n.wanted = n.wanted || max(at, n.last)+uint64(ordersAhead/2) > n.ceiling
	if at+uint64(ordersSpare) >= n.ceiling {
		at = 0
	}
	n.last = max(n.last+1, at)
	if n.last >= n.ceiling {
		panic("kernel: an order was numbered beyond what the semantic memory knows of")
	}
	return n.last
}

// seen takes the highest number that a node has seen, while the map is made again. Some of before may not have been seen yet.
func (n *numbering) seen(order uint64) {
	if order = min(order, inos.OrdersMax/2); order > n.last {
		n.last, n.wanted = order+uint64(ordersUnseen), true
	}
}

// raise has the ceiling raised when it is time.
func (n *numbering) raise(k *Kernel) {
	if n.raising != 0 || n.again > k.now || k.node.draining || !n.wanted && n.ceiling != 0 {
		return
	}
	n.raising, n.wanted, n.again = max(uint64(max(k.now, 1)), n.last)+uint64(ordersAhead), false, 0
	k.members.send(opRaiseOrders, event.RaiseOrders, &eventpb.RaiseOrdersRequest{Ceiling: n.raising})
}

// wake returns when a raise that failed is tried again.
func (n *numbering) wake(k *Kernel) inos.Micros {
	if n.raising != 0 || k.node.draining {
		return 0
	}
	return n.again
}

// raised takes the end of a raise. One that failed may have been done all the same: the next one finds it.
func (n *numbering) raised(k *Kernel, a *answer) {
	asked := n.raising
	n.raising = 0
	var r eventpb.RaiseOrdersReply
	if a.err != nil || event.Open(a.env, &r) != nil {
		n.pause = min(max(2*n.pause, retryBackoffMin), retryBackoffMax)
		n.again, n.wanted = k.now+n.pause, true
		return
	}
	n.pause = 0
	if n.ceiling == 0 {
		n.last = max(n.last, r.Before)
	}
	n.ceiling = max(asked, r.Before)
	n.wanted = n.wanted || !n.open()
}
