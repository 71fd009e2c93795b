package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects of the heartbeat.
const (
	opBeatUsage = iota + 1 // content:usage
	opBeat                 // node:heartbeat
	opJoin                 // node:join
)

// beats tells each switchboard of a provider that the node lives, how full it is and how busy; a switchboard whose map does not
// have the node is asked to let it in by its invite. A switchboard that is a provider too is a member of its own and does not beat.
type beats struct {
	k        *Kernel
	homes    []*home // by node id
	sequence uint64
	usage    *eventpb.ContentUsage
	measured inos.Micros
	measures bool // content:usage is under way
}

// home is a switchboard.
type home struct {
	node     inos.NodeID
	underWay bool
	next     inos.Micros // when to beat again; 0: as soon as the beat under way has ended
	join     bool        // its map does not have this node
	joined   inos.Micros // when it last let this node in; 0: never
	heard    inos.Micros // when it last answered; 0: never
	failures uint32
}

func (u *beats) init(k *Kernel) { u.k = k }

func (u *beats) about() about {
	return about{name: "beat", kind: "watcher", inFlightMax: switchboardsMax + 1}
}

func (u *beats) hear(*input) {}

func (u *beats) code(c *coder) {
	pointers(c, &u.homes, switchboardsMax, func(c *coder, h *home) {
		text(c, &h.node)
		c.bool(&h.underWay)
		num(c, &h.next)
		c.bool(&h.join)
		num(c, &h.joined)
		num(c, &h.heard)
		num(c, &h.failures)
	})
	num(c, &u.sequence)
	usageCode(c, &u.usage)
	num(c, &u.measured)
	c.bool(&u.measures)
}

// boot begins to beat to the switchboards that the node was told of.
func (u *beats) boot() {
	if u.k.node.switchboard {
		return
	}
	u.k.serving.orders.forgot = true
	for _, id := range u.k.node.switchboards {
		u.home(inos.NodeID(id))
	}
}

// home returns the switchboard with an id, which is made known if there is room for it.
func (u *beats) home(id inos.NodeID) *home {
	at, found := slices.BinarySearchFunc(u.homes, id, func(h *home, id inos.NodeID) int {
		switch {
		case h.node < id:
			return -1
		case h.node > id:
			return 1
		}
		return 0
	})
	switch {
	case found:
		return u.homes[at]
	case id == "" || len(u.homes) >= switchboardsMax:
		return nil
	}
	h := &home{node: id, next: u.k.now}
	u.homes = slices.Insert(u.homes, at, h)
	return h
}

// peer beats at once to a switchboard that has been connected.
func (u *beats) peer(e *eventpb.Envelope) {
	var p eventpb.MeshPeer
	if u.k.node.switchboard || !u.k.node.booted || event.Open(e, &p) != nil || !p.Connected || !p.Switchboard {
		return
	}
	if h := u.home(inos.NodeID(p.Peer)); h != nil {
		h.next, h.failures = 0, 0
		if !h.underWay {
			h.next = u.k.now
		}
	}
}

func (u *beats) act() {
	k := u.k
	if k.node.switchboard || k.node.draining || !k.ready() {
		return
	}
	for _, h := range u.homes {
		if h.underWay || h.next > k.now {
			continue
		}
		if u.measured != k.now { // the counters are exact and cost nothing: each beat brings those of its moment
			u.measure()
			return
		}
		u.send(h)
	}
}

func (u *beats) wake() (at inos.Micros) {
	if u.k.node.switchboard || u.k.node.draining || u.measures || !u.k.ready() {
		return 0
	}
	for _, h := range u.homes {
		if !h.underWay {
			at = earlier(at, h.next)
		}
	}
	return at
}

func (u *beats) idle() bool {
	return !u.measures && !slices.ContainsFunc(u.homes, func(h *home) bool { return h.underWay })
}

func (u *beats) measure() {
	if !u.measures {
		u.measures = true
		u.k.send(nil, ask{owner: threadBeat, op: opBeatUsage}, event.ContentUsage, &eventpb.ContentUsageRequest{})
	}
}

// send beats, or asks to be let in.
func (u *beats) send(h *home) {
	k := u.k
	a := ask{owner: threadBeat, op: opBeat}
	h.underWay = true
	if h.join && len(k.node.invite) > 0 {
		a.op = opJoin
		k.content(nil, a, h.node, event.NodeJoin, &eventpb.NodeJoinRequest{Invite: k.node.invite, Addrs: k.node.addrs, Held: u.usage.GetChunks() + u.usage.GetRecords()}, bulk{})
		return
	}
	u.sequence++
	m := &eventpb.HeartbeatRequest{
		Sequence: u.sequence, Usage: u.usage, InFlight: uint32(len(k.serving.table)), Grant: k.node.invite, Addrs: k.node.addrs,
		Version: k.node.version, StartedUs: int64(k.node.started), Unclean: k.node.unclean, Order: k.serving.orders.top,
	}
	if u.usage != nil {
		m.Records = u.usage.Records
	}
	k.content(nil, a, h.node, event.NodeHeartbeat, m, bulk{})
}

// answer takes the end of a beat. A switchboard that does not answer is beaten to again, more seldom the longer it is away.
func (u *beats) answer(a *answer) {
	k := u.k
	if a.op == opBeatUsage {
		u.measures = false
		var m eventpb.ContentUsage
		if u.usage = nil; a.err == nil && event.Open(a.env, &m) == nil {
			u.usage = &m
			k.collector.measured(&m)
		}
		u.measured = k.now
		return
	}
	h := u.home(a.node)
	if h == nil {
		panic("kernel: a switchboard that nobody beat to has answered")
	}
	h.underWay = false
	interval := k.node.heartbeat
	if interval == 0 {
		interval = heartbeatEvery
	}
	switch {
	case a.err != nil:
		h.failures++
		interval = min(heartbeatAgain<<min(h.failures-1, 8), interval)
	case a.op == opJoin:
		h.join, h.joined, h.heard, h.failures, interval = false, k.now, k.now, 0, 0
		k.watcher.note(event.NodeJoin, event.StateCompleted, "let in by "+string(h.node))
	default:
		var r eventpb.HeartbeatReply
		h.heard, h.failures = k.now, 0
		if event.Open(a.env, &r) == nil {
			k.serving.orders.resume(r.Order)
			if r.IntervalUs > 0 {
				interval = inos.Micros(r.IntervalUs)
			}
		}
		if h.join = r.Unknown && len(k.node.invite) > 0; h.join && (h.joined == 0 || h.joined+interval <= k.now) {
			interval = 0
		}
	}
	if h.next == 0 || interval == 0 {
		h.next = k.now // it was connected anew meanwhile, or there is more to say
		return
	}
	h.next = k.now + u.jitter(min(max(interval, heartbeatMin), heartbeatMax))
}

// told says that a switchboard has heard what this node has come back from. Of one that may have lost chunks without knowing, it would otherwise
// think that it lies about them.
func (u *beats) told(node inos.NodeID) bool {
	if !u.k.node.unclean || u.k.node.switchboard {
		return true
	}
	return slices.ContainsFunc(u.homes, func(h *home) bool { return h.node == node && h.heard != 0 })
}

// jitter spreads an interval by an eighth either way: nodes that start together do not beat together.
func (u *beats) jitter(interval inos.Micros) inos.Micros {
	return interval - interval/8 + inos.Micros(u.k.random.next()%uint64(interval/4+1))
}

// lost names for a person the switchboards that do not answer.
func (u *beats) lost() (names []string) {
	for _, h := range u.homes {
		if h.failures > 0 || h.heard == 0 {
			names = append(names, string(h.node))
		}
	}
	return names
}
