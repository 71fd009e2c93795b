package sim

import (
	"bytes"
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// network is what lies between processes. A link has a direction.
type network struct {
	base    inos.Micros // usual time of one way
	loss    int         // permille of messages
	twice   int         // permille of requests that come twice
	late    int         // permille of messages that take very long
	cut     map[link]bool
	lossTo  inos.Micros
	twiceTo inos.Micros
	lateTo  inos.Micros
}

type link struct{ from, to int }

// oneWay returns how long a message takes, or lost.
func (w *World) oneWay(from, to *process) (d inos.Micros, lost bool) {
	n := &w.network
	if n.cut[link{from.index, to.index}] {
		return 0, true
	}
	if w.now < n.lossTo && w.random.IntN(1000) < n.loss {
		return 0, true
	}
	d = n.base/2 + w.micros(n.base)
	if w.now < n.lateTo && w.random.IntN(1000) < n.late {
		d += w.micros(30 * inos.Second)
	}
	return d, false
}

// ticketSkew is what a host allows the clocks to differ when it looks at a ticket.
const ticketSkew = 5 * inos.Minute

// hostTimeout ends a call whose kernel named no bound.
const hostTimeout = 30 * inos.Second

// delivery is a mesh:call on its way: from the effect of one process to the kernel of another and back.
type delivery struct {
	f     *effect
	to    *process
	q     *eventpb.MeshCallRequest
	input []byte
	life  int // of the process that serves it
}

// beginCall sends a mesh:call.
func (w *World) beginCall(f *effect) {
	d := &delivery{f: f, q: &eventpb.MeshCallRequest{}}
	w.open(f.env, d.q)
	timeout := inos.Micros(d.q.TimeoutUs)
	if timeout <= 0 {
		timeout = hostTimeout
	}
	if d.q.Input != 0 {
		d.input = f.p.buffer(d.q.Input)
	}
	d.to = w.byID[inos.NodeID(d.q.Node)]
	if d.q.Grant != nil && !f.p.switchboard {
		w.violate("%s has a ticket signed and is no switchboard", f.p)
	}
	if d.to == nil {
		w.violate("%s calls %q, which is no node", f.p, d.q.Node)
		return
	}
	if d.to == f.p {
		w.violate("%s calls itself", f.p)
	}
	w.at(w.now+timeout, func() { w.unreachable(d, "no answer came") })
	w.challenge(d)
	if f.p == w.board && bytes.Contains(d.q.Envelope, []byte(event.ContentCopy)) {
		if e, err := event.Decode(d.q.Envelope); err == nil && e.EventType == event.ContentCopy {
			var q eventpb.ContentCopyRequest
			w.open(e, &q)
			w.checkSource(f, &q)
		}
	}
	if w.plan.parrots && bytes.Contains(d.q.Envelope, []byte(event.ContentTrash)) {
		if e, err := event.Decode(d.q.Envelope); err == nil && e.EventType == event.ContentTrash {
			var q eventpb.ContentTrashRequest
			w.open(e, &q)
			ids := make([]inos.ChunkID, len(q.Chunks))
			for i, c := range q.Chunks {
				ids[i] = w.chunkID(c.ChunkId)
			}
			w.remember(d, ids)
		}
	}
	delay, lost := w.oneWay(f.p, d.to)
	if lost {
		return
	}
	w.at(w.now+delay, func() { w.arrive(d) })
	if w.now < w.network.twiceTo && (w.random.IntN(1000) < w.network.twice || bytes.Contains(d.q.Envelope, []byte(event.ContentTrash))) {
		w.at(w.now+delay+twiceAfter(w.micros(2*inos.Second)), func() { w.arrive(d) })
	}
}

// twiceAfter is when a request comes a second time (what trashes always does): a quarter of them so late that the kernels have done other things with the chunk meanwhile.
func twiceAfter(d inos.Micros) inos.Micros {
	if d > 1500*inos.Millisecond {
		return (d - 1500*inos.Millisecond) * 60
	}
	return d
}

// unreachable ends a call without an answer.
func (w *World) unreachable(d *delivery, why string) {
	f := d.f
	if f.ended || f.p.life != f.life || !f.p.up {
		return
	}
	f.done, f.err = true, inos.Errorf(inos.CodePeerUnreachable, "mesh:call", "node %s: %s", d.to, why)
	f.tell()
}

// arrive hands a call to the kernel of the node it is for.
func (w *World) arrive(d *delivery) {
	from, to := d.f.p, d.to
	if to == w.board {
		from.heard = w.now
	}
	if !to.up {
		if back, lost := w.oneWay(to, from); !lost {
			w.at(w.now+back, func() { w.unreachable(d, "it refuses the connection") })
		}
		return
	}
	m := &eventpb.MeshServeRequest{Peer: string(from.id), Switchboard: from.switchboard, Envelope: d.q.Envelope}
	switch {
	case d.q.Grant != nil:
		m.Grant = d.q.Grant
		m.Ticket = event.Payload(d.q.Grant)
	case len(d.q.Ticket) > 0:
		g := &eventpb.Grant{}
		if err := g.UnmarshalVT(d.q.Ticket); err != nil {
			w.violate("%s shows a ticket that it was not handed", from)
			return
		}
		m.Grant, m.Ticket = g, d.q.Ticket
	}
	if g := m.Grant; g != nil {
		shown := g.Holder == string(from.id) && g.Node == string(to.id)
		if to.now() >= inos.Micros(g.ExpiresUs)+ticketSkew || !shown && g.Holder != string(to.id) {
			w.refuseTicket(d)
			return
		}
	}
	if to.switchboard && len(from.invite) > 0 && w.introduces(d.q.Envelope) {
		m.Invite = from.invite
	}
	if d.q.Input != 0 {
		to.hostBuf++
		m.Input, m.InputBytes = to.hostBuf, lengthOf(d.input)
		to.fill(m.Input, d.input)
	}
	if g := m.Grant; g != nil && len(to.parrots) > 0 && (g.Verb == "write" || g.Holder == string(to.id)) {
		w.repeat(to, w.chunkID(g.ChunkId))
	}
	e := to.hostEnvelope(event.MeshServe, m)
	to.serving[e.Id] = &delivery{f: d.f, to: to, q: d.q, life: to.life}
	to.give(e)
}

// introduces says that an envelope is one to which the host adds the node's invite.
func (w *World) introduces(envelope []byte) bool {
	e, err := event.Decode(envelope)
	if err != nil {
		w.violate("an envelope between nodes does not decode: %v", err)
		return false
	}
	return e.EventType == event.NodeJoin || e.EventType == event.NodeHeartbeat
}

// refuseTicket sends the answer of a host that does not take a ticket.
func (w *World) refuseTicket(d *delivery) {
	e, err := event.Decode(d.q.Envelope)
	if err != nil {
		return
	}
	failed := event.Failed(e, d.to.now(), inos.Errorf(inos.CodePermissionDenied, "check ticket", "the ticket does not count"))
	if back, lost := w.oneWay(d.to, d.f.p); !lost {
		w.at(w.now+back, func() {
			if f := d.f; !f.ended && f.p.life == f.life && f.p.up {
				w.hears(f, d.to)
				f.done, f.message = true, &eventpb.MeshCallReply{Envelope: event.Encode(nil, failed)}
				f.tell()
			}
		})
	}
}

// hears notes that an answer has come to the switchboard.
func (w *World) hears(f *effect, from *process) {
	if f.p == w.board {
		from.heard = w.now
	}
}

// served sends the answer of a kernel back.
func (w *World) served(p *process, d *delivery, e *eventpb.Envelope) {
	delete(p.serving, e.Id)
	if event.StateOf(e.EventType) == event.StateProcessing {
		w.violate("%s answers a call with progress", p)
		return
	}
	reply := &eventpb.MeshCallReply{}
	var bulk []byte
	var failure error
	if event.StateOf(e.EventType) == event.StateFailed {
		failure = inos.Errorf(inos.CodePeerUnreachable, "mesh:call", "node %s failed to serve: %v", p, event.FailureOf(e))
		w.violate("%s fails mesh:serve itself: %v", p, event.FailureOf(e))
	} else {
		var r eventpb.MeshServeReply
		w.open(e, &r)
		reply.Envelope = r.Envelope
		if p.switchboard {
			w.introduced(d, r.Envelope)
		}
		if r.Output != 0 {
			bulk = p.buffer(r.Output)
			if p.liar.garbles && w.random.IntN(2) == 0 {
				bulk = []byte{kindNoise, byte(w.random.IntN(256))}
			}
			reply.OutputBytes = lengthOf(bulk)
		}
	}
	back, lost := w.oneWay(p, d.f.p)
	if lost {
		return
	}
	w.at(w.now+back, func() {
		f := d.f
		if f.ended || f.p.life != f.life || !f.p.up {
			return
		}
		w.hears(f, p)
		w.copied(f, reply.Envelope)
		f.done, f.message, f.err = true, reply, failure
		if bulk != nil && d.q.Output != 0 {
			if id := chunkID(bulk); len(d.q.OutputHash) > 0 && !bytes.Equal(id[:], d.q.OutputHash) {
				f.err = inos.Errorf(inos.CodeChunkCorrupt, "mesh:call", "node %s sent other bytes than asked for", p)
			} else {
				f.out, f.buffer = bulk, d.q.Output
			}
		}
		w.challenged(d, reply.Envelope, bulk)
		f.tell()
	})
}

// dropCalls ends the calls to a process that is gone: most callers see their connection break.
func (w *World) dropCalls(p *process) {
	p.serving = nil
	for _, other := range w.nodes {
		if !other.up || other == p {
			continue
		}
		var broken []*effect
		for _, f := range other.pending {
			if f.env.EventType == event.MeshCall && !f.ended {
				broken = append(broken, f)
			}
		}
		sortEffects(broken)
		for _, f := range broken {
			q := &eventpb.MeshCallRequest{}
			w.open(f.env, q)
			if q.Node != string(p.id) || w.random.IntN(5) == 0 {
				continue
			}
			if d, lost := w.oneWay(p, other); !lost {
				w.at(w.now+d, func() { w.unreachable(&delivery{f: f, to: p}, "the connection broke") })
			}
		}
	}
}

func sortEffects(l []*effect) {
	slices.SortFunc(l, func(a, b *effect) int { return int(int64(a.seq) - int64(b.seq)) })
}

// connect brings news of connections between a node that has started and its switchboard.
func (w *World) connect(p *process) {
	pairs := []*process{w.board}
	if p == w.board {
		pairs = w.nodes
	}
	for _, other := range pairs {
		if other == p || !other.up {
			continue
		}
		if w.network.cut[link{p.index, other.index}] || w.network.cut[link{other.index, p.index}] {
			continue
		}
		w.news(p, other, true, 0)
		w.news(other, p, true, 0)
	}
}

// disconnect brings the news that a node is gone to those that see it.
func (w *World) disconnect(p *process) {
	for _, other := range w.nodes {
		if other == p || !other.up || p != w.board && other != w.board || w.random.IntN(4) == 0 {
			continue
		}
		w.news(other, p, false, 0)
	}
}

// news tells a node that its connection with another was made or lost.
func (w *World) news(to, about *process, connected bool, after inos.Micros) {
	life := to.life
	w.at(w.now+after+w.network.base+w.micros(4*w.network.base), func() {
		if to.up && to.life == life {
			m := &eventpb.MeshPeer{Peer: string(about.id), Connected: connected, Switchboard: about.switchboard && connected}
			if connected {
				m.Addrs = []string{"/sim/" + string(about.id)}
			}
			to.give(to.hostEnvelope(event.MeshPeer, m))
		}
	})
}
