package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// ahead is what a get knows of the copies of the chunks that it reads next: they are looked up in batches, before the window
// comes to them. What has changed since is looked up again by the fetch that finds it out.
type ahead struct {
	from  uint64              // index of the first chunk known
	lists []*eventpb.CopyList // of the chunks from there on
	asked uint32              // chunks behind them that are being looked up
}

func (x *ahead) code(c *coder) {
	num(c, &x.from)
	locations(c, &x.lists, copiesAhead)
	num(c, &x.asked)
}

// where returns the copies of a get's next chunk, and has those of the following ones looked up.
func (u *gets) where(g *get, index uint64) (copies []*eventpb.Copy, known bool) {
	x := &g.ahead
	if gone := min(index-min(index, x.from), uint64(len(x.lists))); gone > 0 {
		x.from, x.lists = x.from+gone, x.lists[gone:]
	}
	if len(x.lists) == 0 && x.asked == 0 {
		x.from = index
	}
	if known = len(x.lists) > 0; known {
		copies = x.lists[0].Copies
	}
	if x.asked == 0 && len(x.lists) <= copiesAhead/2 {
		u.look(g)
	}
	return copies, known
}

// look asks for the copies of the next chunks in the open leaf.
func (u *gets) look(g *get) {
	x := &g.ahead
	q := &eventpb.ChunkCopiesRequest{}
	for next := x.from + uint64(len(x.lists)); len(x.lists)+len(q.ChunkIds) < copiesAhead; next++ {
		e, ok := g.way.peek(next)
		if !ok {
			break
		}
		q.ChunkIds = append(q.ChunkIds, e.ChunkID[:])
	}
	if x.asked = uint32(len(q.ChunkIds)); x.asked > 0 {
		u.send(g, opCopies, 0, event.ChunkCopies, 0, q)
	}
}

// located takes the copies that were looked up.
func (u *gets) located(g *get, a *answer) *inos.Error {
	asked := g.ahead.asked
	g.ahead.asked = 0
	if a.err != nil {
		return a.err
	}
	var r eventpb.ChunkCopiesReply
	if err := event.Open(a.env, &r); err != nil || len(r.Chunks) != int(asked) {
		return inos.Errorf(inos.CodeInternal, "semantic:chunk_copies", "%d answers to %d questions: %v", len(r.Chunks), asked, err)
	}
	first := g.ahead.from + uint64(len(g.ahead.lists))
	g.ahead.lists = append(g.ahead.lists, r.Chunks...)
	if g.verify {
		u.lookOn(g, first, r.Chunks)
	}
	return nil
}
