package sim

import (
	"bytes"
	"math/bits"
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// The checker of audits: a node that fails half of its last challenges, and not by chance, is named. The world follows what comes to the switchboard of
// the challenges themselves, and what the map says of the copies that were not proved.

// audits are what has come to the switchboard of the challenges of a node, in its present life: it counts from nothing when it starts.
type audits struct {
	failed uint64 // of the last 64, the last one lowest; 1: no proof, of a copy that the map named all the same
	count  int
	asked  map[inos.ChunkID]*asked
	due    bool // it has to be named
}

// asked is a challenge that is under way.
type asked struct {
	buffer   uint64 // of the switchboard, that the proof comes into
	unproved bool   // no proof has come, and the map is asked whether it still names the copy
	dropped  bool   // since it began the switchboard has had the map drop the copy: it names it no more, and it is lost all the same
	over     bool   // since it began the node's next epoch has: a proof counts, and that there was none does not
}

// The rule by which the audits name a node: of so many of its last challenges it has failed so many, and half.
const (
	auditsRecent = 16
	auditsFailed = 4
)

// auditsSlack is how many failures more the world waits for: one may not have counted, when the check of a proof came to no end.
const auditsSlack = 1

func (a *audits) add(failed bool) {
	a.failed <<= 1
	if failed {
		a.failed |= 1
	}
	a.count++
}

// damning says that the rule names the node.
func (a *audits) damning() bool {
	failures := bits.OnesCount64(a.failed&(1<<auditsRecent-1)) - auditsSlack
	return failures >= auditsFailed && 2*failures >= min(a.count, auditsRecent)
}

// challenge notes that the switchboard challenges a copy.
func (w *World) challenge(d *delivery) {
	if q := w.challengeIn(d); q != nil {
		a := &d.to.audits
		if a.asked == nil {
			a.asked = map[inos.ChunkID]*asked{}
		}
		a.asked[w.chunkID(q.ChunkId)] = &asked{buffer: d.q.Output}
	}
}

// challengeIn returns the challenge that a call of the switchboard is; nil: it is another call.
func (w *World) challengeIn(d *delivery) *eventpb.ContentProveRequest {
	if d.f.p != w.board || !bytes.Contains(d.q.Envelope, []byte(event.ContentProve)) {
		return nil
	}
	e, err := event.Decode(d.q.Envelope)
	if err != nil || e.EventType != event.ContentProve {
		return nil
	}
	q := &eventpb.ContentProveRequest{}
	w.open(e, q)
	return q
}

// readsRecord says that a call of the switchboard reads a commit record.
func (w *World) readsRecord(d *delivery) bool {
	if d.f.p != w.board || !bytes.Contains(d.q.Envelope, []byte(event.ContentRead)) {
		return false
	}
	e, err := event.Decode(d.q.Envelope)
	var q eventpb.ContentReadRequest
	return err == nil && e.EventType == event.ContentRead && event.Open(e, &q) == nil && q.Record
}

// challenged takes the answer to a challenge as it comes to the switchboard. What is said to be a proof counts when a worker has looked at it, and from an
// answer that says nothing of the copy nothing follows. A record that is read counts for its node: it may have been challenged for it, and then is as good
// as a proof.
func (w *World) challenged(d *delivery, answer, slice []byte) {
	if w.readsRecord(d) && slice != nil {
		d.to.audits.add(false)
		return
	}
	q := w.challengeIn(d)
	if q == nil {
		return
	}
	id, a := w.chunkID(q.ChunkId), &d.to.audits
	x := a.asked[id]
	if x == nil {
		return
	}
	e, err := event.Decode(answer)
	if err != nil {
		w.violate("%s answers a challenge with what does not decode: %v", d.to, err)
		return
	}
	switch {
	case event.StateOf(e.EventType) != event.StateFailed && slice != nil:
	case event.StateOf(e.EventType) != event.StateFailed, event.FailureOf(e).Code == inos.CodeChunkNotFound, event.FailureOf(e).Code == inos.CodeChunkCorrupt:
		x.unproved = true
	default:
		delete(a.asked, id)
	}
}

// verified notes that a worker of the switchboard has looked at what was said to be a proof.
func (w *World) verified(buffer uint64, proof bool) {
	for _, p := range w.nodes {
		for id, x := range p.audits.asked { // at most one of them has the buffer
			switch {
			case x.buffer != buffer:
			case proof:
				delete(p.audits.asked, id)
				p.audits.add(false)
			default:
				x.unproved = true
			}
		}
	}
}

// dropping notes that the switchboard has the map drop copies.
func (w *World) dropping(q *eventpb.DropCopiesRequest) {
	if p := w.byID[inos.NodeID(q.Node)]; p != nil {
		for _, id := range q.ChunkIds {
			if x := p.audits.asked[w.chunkID(id)]; x != nil {
				x.dropped = true
			}
		}
	}
}

// confirmed takes what the map tells the switchboard of one chunk, nil when it tells nothing: a copy of it that was not proved is a lost one when
// the map names it.
func (w *World) confirmed(id inos.ChunkID, s *eventpb.ChunkState) {
	for _, p := range w.nodes {
		a := &p.audits
		x := a.asked[id]
		if x == nil || !x.unproved {
			continue
		}
		delete(a.asked, id)
		named := s != nil && !s.Condemned && slices.ContainsFunc(s.Copies, func(c *eventpb.Copy) bool { return c.Node == string(p.id) && c.Trusted })
		if s == nil || x.over || !named && !x.dropped {
			continue
		}
		if a.add(true); a.damning() && !a.due {
			a.due = true
			w.awaitName(p, w.board.life)
		}
	}
}

// awaitName holds the switchboard to naming a node, when the line of history that says so must have come.
func (w *World) awaitName(p *process, life int) {
	w.at(w.now+namedWithin, func() {
		switch {
		case p.named, w.board.life != life:
		case w.board.frozen || w.board.since > w.now-namedWithin:
			w.awaitName(p, life)
		default:
			w.violate("%s has failed most of its last challenges (%b of %d) and is not named by the audits", p, p.audits.failed, p.audits.count)
		}
	})
}
