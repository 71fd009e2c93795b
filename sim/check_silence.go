package sim

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// The checker of silence: what a node held is made again when the switchboard has heard nothing of it for its grace, and has been awake all the
// while. The time in which the switchboard is stopped, or over which its clock leaps, is nobody's silence.

// silence is what a node has let the switchboard hear, by the time in which that was awake.
type silence struct {
	heard   inos.Micros // when it last beat or answered
	failed  int         // calls in a row that it did not answer
	muteAt  inos.Micros // when the first of them ended
	forLong bool        // it was once silent for its grace
}

// awake is the time of the world without that in which the switchboard was stopped. What is left of a stop is what a kernel cannot tell from being late.
func (w *World) awake() inos.Micros {
	t := w.now - w.board.slept
	if w.board.frozen {
		t -= w.sleepOf(w.now - w.board.since)
	}
	return t
}

func (w *World) sleepOf(stop inos.Micros) inos.Micros { return max(0, stop-w.heartbeat/2*3) }

// onceAwake does something when the switchboard has been awake for so long, if it is still in the same life then.
func (w *World) onceAwake(long inos.Micros, do func()) {
	life, until := w.board.life, w.awake()+long
	var look func()
	look = func() {
		switch left := until - w.awake(); {
		case w.board.life != life:
		case left > 0:
			w.at(w.now+max(left, inos.Second), look)
		default:
			do()
		}
	}
	w.at(w.now+long, look)
}

// hear notes that the switchboard is sent a sign of life.
func (w *World) hear(p *process) {
	p.silence.forLong = w.silentForLong(p)
	p.silence.heard, p.silence.failed = w.awake(), 0
}

// beats notes a heartbeat: a node that answers no calls stays mute.
func (w *World) beats(p *process) {
	failed := p.silence.failed
	w.hear(p)
	p.silence.failed = failed
}

// called notes how a call of the switchboard to a node ended.
func (w *World) called(f *effect) {
	var q eventpb.MeshCallRequest
	w.open(f.env, &q)
	p := w.byID[inos.NodeID(q.Node)]
	if p == nil {
		return
	}
	if code := inos.CodeOf(f.err); f.err == nil || code != inos.CodePeerUnreachable && code != inos.CodeDeadlineExceeded {
		w.hear(p)
		return
	}
	if p.silence.failed++; p.silence.failed == 1 {
		p.silence.muteAt = w.awake()
	}
}

// silentForLong says that a node was silent for its grace at some time.
func (w *World) silentForLong(p *process) bool {
	s := &p.silence
	since := s.heard
	if s.failed > 0 {
		since = min(since, s.muteAt)
	}
	grace := w.graceCold
	if p.tier == inos.TierHot {
		grace = w.graceHot
	}
	return s.forLong || w.awake()-since >= grace+4*w.heartbeat // twice its patience, which is two heartbeats at least, it is not dead
}

// bereaved says that one of the nodes that hold a chunk was silent for its grace.
func (w *World) bereaved(id inos.ChunkID) bool {
	return slices.ContainsFunc(w.named(id), func(c inos.Copy) bool {
		p := w.byID[c.Node]
		return p == nil || w.silentForLong(p)
	})
}

// deadNode is the reason of a repair because of a node that was given up.
const deadNode = "dead node"

// checkWanted looks at repairs that are asked for, when they are: the memory may be slow or fail, and the chunk be let go of meanwhile.
func (w *World) checkWanted(q *eventpb.WantRepairsRequest) {
	for _, x := range q.Wants {
		if id := w.chunkID(x.ChunkId); x.Reason == deadNode && w.bereaved(id) {
			w.bereft[id] = true
		}
	}
}

// checkClaimed looks at a repair that is claimed.
func (w *World) checkClaimed(c *eventpb.RepairInfo) {
	if id := w.chunkID(c.ChunkId); c.Reason == deadNode && !w.bereft[id] && !w.bereaved(id) {
		w.violate("the repair of chunk %s is claimed for a dead node, and none that holds it was silent for its grace while the switchboard was awake", id)
	}
}

// checkDistrusted looks at a node whose copies the map trusts no more: it came back from a crash, or from a silence of its grace.
func (w *World) checkDistrusted(p *process) {
	if p.crashed == 0 && !p.liar.any() && !p.disk.hurt && !w.silentForLong(p) {
		w.violate("%s is distrusted, and it neither crashed nor was silent for its grace while the switchboard was awake", p)
	}
}

// introduced notes who has spoken to the switchboard. One that was told that it is starting has not been heard.
func (w *World) introduced(d *delivery, answer []byte) {
	a, err := event.Decode(answer)
	if err != nil || event.StateOf(a.EventType) == event.StateFailed {
		return
	}
	if e, err := event.Decode(d.q.Envelope); err == nil && (e.EventType == event.NodeHeartbeat || e.EventType == event.NodeJoin) {
		w.beats(d.f.p)
	}
}
