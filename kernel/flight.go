package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// flight is an effect under way. Its reply carries its id and finds its owner here.
type flight struct {
	id       string
	effect   string // event type of what the host performs
	stage    string // what it is counted as: "storage:encode_chunk"
	owner    threadID
	op       uint8
	stalled  bool
	work     uint64
	slot     uint64
	started  inos.Micros
	deadline inos.Micros // when it counts as stalled
	trace    string      // empty: upkeep of the node's own
	bytes    uint64
	inner    string      // of a mesh:call: what the other node is asked
	node     inos.NodeID // of a mesh:call: that node
	bulk     bool        // its reply must come with bytes
}

type flights struct {
	table map[string]*flight
}

func (f *flight) code(c *coder) {
	text(c, &f.id)
	text(c, &f.effect)
	text(c, &f.stage)
	num(c, &f.owner)
	if f.owner >= threadCount {
		c.fail("thread %d", f.owner)
	}
	num(c, &f.op)
	c.bool(&f.stalled)
	num(c, &f.work)
	num(c, &f.slot)
	num(c, &f.started)
	num(c, &f.deadline)
	text(c, &f.trace)
	num(c, &f.bytes)
	text(c, &f.inner)
	text(c, &f.node)
	c.bool(&f.bulk)
}

func (f *flights) code(c *coder) {
	objects(c, &f.table, flightsMax, text[string], func(c *coder, f *flight) { f.code(c) })
}

// ask names an effect and where its end goes.
type ask struct {
	owner threadID
	op    uint8
	work  uint64
	slot  uint64
	stage string // counted as; empty: the effect's own
	bytes uint64
}

// send emits an effect on behalf of a request, or of the node itself when o is nil.
func (k *Kernel) send(o *origin, a ask, effect string, m event.Message) *flight {
	names := &k.random
	if a.owner == threadGovernance || a.owner == threadUpload && o == nil || effect == event.RaiseOrders {
		names = &k.governance.names
	}
	f := &flight{
		id: event.NewID(k.now, names.ten()), effect: effect, stage: a.stage, owner: a.owner, op: a.op,
		work: a.work, slot: a.slot, started: k.now, deadline: k.now + stallAfter(effect), bytes: a.bytes,
	}
	if f.stage == "" {
		f.stage = event.Stage(effect)
	}
	e := &eventpb.Envelope{Id: f.id, EventType: effect, Timestamp: int64(k.now)}
	if m != nil {
		e.Payload = event.Payload(m)
	}
	if o != nil {
		f.trace = o.trace
		e.Metadata = o.meta
	}
	k.flights.table[f.id] = f
	k.counters[a.owner].effects++
	k.counters[a.owner].inFlight++
	k.watcher.took(f)
	k.emit(e)
	return f
}

// land ends an effect.
func (k *Kernel) land(f *flight) {
	delete(k.flights.table, f.id)
	k.counters[f.owner].inFlight--
}

// stallAfter returns how long an effect may take before it is flagged as stalled.
func stallAfter(effect string) inos.Micros {
	switch effect {
	case event.StreamRead, event.StreamWrite:
		return streamDeadline
	case event.WorkerStart:
		return startDeadline
	case event.WorkerCall:
		return moduleDeadline
	case event.WorkerStop:
		return stopDeadline
	case event.MeshCall, event.ContentCopy:
		return callDeadline
	case event.ContentWrite, event.ContentRead, event.ContentMissing, event.ContentTrash, event.ContentEmptyTrash, event.ContentInventory, event.ContentScrub, event.ContentUsage, event.ContentProve:
		return diskDeadline
	}
	return semanticDeadline
}
