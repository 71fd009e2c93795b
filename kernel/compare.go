package kernel

import (
	"bytes"
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects of a comparison, beside those of the thread that runs it.
const (
	opCompareList    = iota + 16 // semantic:node_chunks
	opCompareLook                // content:missing_chunks
	opCompareConfirm             // semantic:node_chunks, the same page once more
)

// comparison pages through the chunks that the semantic memory says a node holds and finds those that its disk has lost. A
// chunk that is collected meanwhile is gone from the disk too: only what the memory still lists afterwards counts.
type comparison struct {
	node  inos.NodeID
	after []byte
	to    []byte // the page under way ends with this id
	end   bool   // and is the last
	gone  [][]byte
}

func (u *comparison) code(c *coder) {
	text(c, &u.node)
	c.bytes(&u.after)
	c.bytes(&u.to)
	c.bool(&u.end)
	list(c, &u.gone, comparePage, func(c *coder, b *[]byte) { c.bytes(b) })
}

// page asks for the next page; a is the asker, without the op.
func (u *comparison) page(k *Kernel, o *origin, a ask) { u.list(k, o, a, opCompareList) }

func (u *comparison) list(k *Kernel, o *origin, a ask, op uint8) {
	a.op = op
	k.send(o, a, event.NodeChunks, &eventpb.NodeChunksRequest{Node: string(u.node), After: u.after, Limit: comparePage})
}

// answer takes the end of an effect. At the end of a page, done is true, u.end says whether it was the last, and lost are
// the chunks of it that the disk has lost.
func (u *comparison) answer(k *Kernel, o *origin, a ask, r *answer) (lost [][]byte, done bool, err *inos.Error) {
	if r.err != nil {
		return nil, false, r.err
	}
	if r.op == opCompareLook {
		var m eventpb.ContentMissingReply
		if err := event.Open(r.env, &m); err != nil || len(m.ChunkIds) > comparePage {
			return nil, false, inos.Errorf(inos.CodeInternal, "content:missing_chunks", "the reply names %d chunks of %d or does not decode: %v", len(m.ChunkIds), comparePage, err)
		}
		if u.gone = m.ChunkIds; len(u.gone) == 0 {
			u.after = u.to
			return nil, true, nil
		}
		u.list(k, o, a, opCompareConfirm)
		return nil, false, nil
	}
	var m eventpb.NodeChunksReply
	if err := event.Open(r.env, &m); err != nil || len(m.ChunkIds) > comparePage || len(m.ChunkIds) == 0 && !m.End {
		return nil, false, inos.Errorf(inos.CodeInternal, "semantic:node_chunks", "the reply names %d chunks of %d, end %t, or does not decode: %v", len(m.ChunkIds), comparePage, m.End, err)
	}
	u.end, u.to = m.End, u.after
	if n := len(m.ChunkIds); n > 0 {
		if u.to = m.ChunkIds[n-1]; bytes.Compare(u.to, u.after) <= 0 {
			return nil, false, inos.Errorf(inos.CodeInternal, "semantic:node_chunks", "the page ends where it began")
		}
	}
	if r.op == opCompareList && len(m.ChunkIds) > 0 {
		a.op = opCompareLook
		k.content(o, a, u.node, event.ContentMissing, &eventpb.ContentMissingRequest{ChunkIds: m.ChunkIds}, bulk{})
		return nil, false, nil
	}
	for _, id := range u.gone {
		listed := func(other []byte) bool { return bytes.Equal(id, other) }
		if len(id) == inos.HashBytes && slices.ContainsFunc(m.ChunkIds, listed) && !k.collector.holds(inos.ChunkID(id)) {
			lost = append(lost, id)
		}
	}
	u.after, u.gone = u.to, nil
	return lost, true, nil
}
