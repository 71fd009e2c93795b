package kernel

import (
	"bytes"
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects of an audit, beside those of the thread that runs it.
const (
	opAuditList    = iota + 16 // semantic:node_chunks
	opAuditLook                // content:missing_chunks
	opAuditConfirm             // semantic:node_chunks, the same page once more
)

// audit pages through the chunks that the semantic memory says this node holds and finds those that its disk has lost. A
// chunk that is collected meanwhile is gone from the disk too: only what the memory still lists afterwards counts.
type audit struct {
	after []byte
	to    []byte // the page under way ends with this id
	end   bool   // and is the last
	gone  [][]byte
}

func (u *audit) code(c *coder) {
	c.bytes(&u.after)
	c.bytes(&u.to)
	c.bool(&u.end)
	list(c, &u.gone, auditPage, func(c *coder, b *[]byte) { c.bytes(b) })
}

// page asks for the next page; a is the asker, without the op.
func (u *audit) page(k *Kernel, o *origin, a ask) { u.list(k, o, a, opAuditList) }

func (u *audit) list(k *Kernel, o *origin, a ask, op uint8) {
	a.op = op
	k.send(o, a, event.NodeChunks, &eventpb.NodeChunksRequest{Node: k.node.id, After: u.after, Limit: auditPage})
}

// answer takes the end of an effect. At the end of a page, done is true, u.end says whether it was the last, and lost are
// the chunks of it that the disk has lost.
func (u *audit) answer(k *Kernel, o *origin, a ask, r *answer) (lost [][]byte, done bool, err *inos.Error) {
	if r.err != nil {
		return nil, false, r.err
	}
	if r.op == opAuditLook {
		var m eventpb.ContentMissingReply
		if err := event.Open(r.env, &m); err != nil || len(m.ChunkIds) > auditPage {
			return nil, false, inos.Errorf(inos.CodeInternal, "content:missing_chunks", "the reply names %d chunks of %d or does not decode: %v", len(m.ChunkIds), auditPage, err)
		}
		if u.gone = m.ChunkIds; len(u.gone) == 0 {
			u.after = u.to
			return nil, true, nil
		}
		u.list(k, o, a, opAuditConfirm)
		return nil, false, nil
	}
	var m eventpb.NodeChunksReply
	if err := event.Open(r.env, &m); err != nil || len(m.ChunkIds) > auditPage || len(m.ChunkIds) == 0 && !m.End {
		return nil, false, inos.Errorf(inos.CodeInternal, "semantic:node_chunks", "the reply names %d chunks of %d, end %t, or does not decode: %v", len(m.ChunkIds), auditPage, m.End, err)
	}
	u.end, u.to = m.End, u.after
	if n := len(m.ChunkIds); n > 0 {
		if u.to = m.ChunkIds[n-1]; bytes.Compare(u.to, u.after) <= 0 {
			return nil, false, inos.Errorf(inos.CodeInternal, "semantic:node_chunks", "the page ends where it began")
		}
	}
	if r.op == opAuditList && len(m.ChunkIds) > 0 {
		a.op = opAuditLook
		k.send(o, a, event.ContentMissing, &eventpb.ContentMissingRequest{ChunkIds: m.ChunkIds})
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
