package kernel

import (
	"bytes"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects of a call that is served.
const (
	opServe     = iota + 1 // what was asked, on this node's disk
	opServePull            // mesh:call that reads a chunk to be copied from its source
	opServeKeep            // content:write_chunk of what was pulled
)

// Verbs of a ticket.
const (
	verbRead  = "read"
	verbWrite = "write"
)

// serving does on this node's disk what other nodes ask, as far as they may: chunks and commit records are read and written under a
// ticket, everything else is for switchboards. On a switchboard it hands heartbeats and newcomers to the members.
type serving struct {
	k       *Kernel
	table   map[uint64]*served
	buffers uint64 // bytes accounted
	orders  orders
}

// served is one call of another node.
type served struct {
	call   string // id of the mesh:serve
	inner  string // id of what is asked
	effect string // event type of what is asked
	peer   inos.NodeID
	trace  string
	meta   *eventpb.Metadata
	bulk   bool   // accounted in buffers
	input  uint64 // buffer that came with the call; 0: none
	output uint64 // buffer of the reply's bulk
	chunk  []byte // written, read or copied
	record bool
	trash  []byte // ids of the chunks that are being trashed, 32 bytes each
	bytes  uint64 // of the chunk, as the peer says
	source string // of a copy
	room
}

func (u *serving) init(k *Kernel) {
	u.k = k
	u.table = map[uint64]*served{}
	u.orders.latest = map[string]uint64{}
}

func (u *serving) about() about {
	return about{name: "serve", kind: "pipeline", hears: []string{event.MeshServe}, inFlightMax: servingMax}
}

func (u *serving) act()              {}
func (u *serving) wake() inos.Micros { return 0 }
func (u *serving) idle() bool        { return len(u.table) == 0 }

func (u *serving) code(c *coder) {
	objects(c, &u.table, servingMax, num[uint64], func(c *coder, x *served) {
		text(c, &x.call)
		text(c, &x.inner)
		text(c, &x.effect)
		if _, err := event.ParseType(x.effect); c.reading && c.err == nil && err != nil {
			c.fail("%v", err)
		}
		text(c, &x.peer)
		text(c, &x.trace)
		metadata(c, &x.meta)
		c.bool(&x.bulk)
		num(c, &x.input)
		num(c, &x.output)
		c.bytes(&x.chunk)
		if n := len(x.chunk); n != 0 && n != inos.HashBytes {
			c.fail("a chunk id of %d bytes", n)
		}
		c.bool(&x.record)
		c.bytes(&x.trash)
		num(c, &x.bytes)
		text(c, &x.source)
		x.room.code(c)
	})
	num(c, &u.buffers)
	u.orders.code(c)
}

// hear takes a call. What is no envelope is told to the host; everything else is answered to the peer.
func (u *serving) hear(in *input) {
	k := u.k
	var q eventpb.MeshServeRequest
	err := event.Open(in.env, &q)
	var inner *eventpb.Envelope
	if err == nil {
		inner, err = event.Decode(q.Envelope)
	}
	if err == nil && len(inner.Id) > servedIDBytesMax {
		err = inos.Errorf(inos.CodeBadEnvelope, "mesh:serve", "the id has %d bytes, at most %d", len(inner.Id), servedIDBytesMax)
	}
	if err != nil {
		k.emit(event.Failed(&eventpb.Envelope{Id: in.env.Id, EventType: in.env.EventType}, k.now, inos.Errorf(inos.CodeBadEnvelope, "mesh:serve", "%w", err)))
		k.release(&q.Input)
		return
	}
	x := &served{call: in.env.Id, inner: inner.Id, effect: inner.EventType, peer: inos.NodeID(q.Peer), input: q.Input, meta: &eventpb.Metadata{}}
	if m := inner.Metadata; m != nil && len(m.TraceContext) <= traceContextMax {
		x.meta.TraceContext = m.TraceContext
		x.trace = event.TraceID(inner)
	}
	if failure := u.take(x, inner, &q); failure != nil {
		u.fail(x, failure)
	}
}

// take does what is asked, or says why not.
func (u *serving) take(x *served, inner *eventpb.Envelope, q *eventpb.MeshServeRequest) *inos.Error {
	k := u.k
	stage := event.Stage(inner.EventType)
	typ, err := event.ParseType(inner.EventType)
	if err != nil || typ.State != event.StateRequested || typ.Version != 1 {
		return inos.Errorf(inos.CodeUnknownEvent, stage, "nobody answers %.128q", inner.EventType)
	}
	if len(u.table) >= servingMax {
		return busy(stage, "calls", servingMax)
	}
	if k.node.draining {
		return inos.Errorf(inos.CodeShuttingDown, stage, "node %s is stopping", k.node.id)
	}
	if inner.EventType == event.NodeHeartbeat || inner.EventType == event.NodeJoin {
		return u.member(x, inner, q)
	}
	if !k.node.provider {
		return inos.Errorf(inos.CodeUnknownEvent, stage, "node %s holds no chunks", k.node.id)
	}
	if !k.recovery.done {
		return again(inos.Errorf(inos.CodeBusy, stage, "node %s is starting", k.node.id))
	}
	m, failure := u.local(x, inner, q)
	if failure != nil {
		return failure
	}
	if inner.EventType == event.ContentTrash && u.orders.forgot {
		return again(inos.Errorf(inos.CodeBusy, stage, "node %s has begun and was told by no switchboard yet which orders are old", k.node.id))
	}
	if scrub, ok := m.(*eventpb.ContentScrubRequest); x.writes() && u.trashing(x.chunk, x.record) || ok && len(scrub.Adopt) > 0 && u.trashing(scrub.Adopt, false) {
		return again(inos.Errorf(inos.CodeBusy, stage, "the chunk is being trashed"))
	}
	if x.bulk = x.chunk != nil || x.output != 0; x.bulk {
		share := uint64(4)
		if k.node.switchboard {
			share = 2 // the rest is for its clients
		}
		if !k.reserve(&u.buffers, share) {
			x.bulk, x.output = false, 0
			return busy(stage, "calls with chunks", len(u.table))
		}
	}
	work := k.work()
	u.table[work] = x
	switch p := m.(type) {
	case *eventpb.ContentCopyRequest:
		u.orders.wrote(x.chunk, false, p.Order)
		u.pull(work, x, p.SourceAddrs, q.Ticket)
		return nil
	case *eventpb.ContentWriteRequest:
		u.orders.wrote(x.chunk, x.record, p.Order)
	case *eventpb.ContentScrubRequest:
		if len(p.Adopt) > 0 {
			u.orders.wrote(p.Adopt, false, p.Order)
		}
	case *eventpb.ContentTrashRequest:
		p = u.standing(p)
		for _, g := range p.Chunks {
			x.trash = append(x.trash, g.ChunkId...)
		}
		x.record, m = p.Record, p
	}
	u.send(work, x, opServe, x.effect, m)
	return nil
}

// again says when a refusal may be tried once more.
func again(err *inos.Error) *inos.Error {
	err.RetryAfter = busyRetryAfter
	return err
}

// local returns what this node's disk is asked: the peer's message, checked, with buffers of this host.
func (u *serving) local(x *served, inner *eventpb.Envelope, q *eventpb.MeshServeRequest) (event.Message, *inos.Error) {
	stage := event.Stage(inner.EventType)
	var (
		m     event.Message
		named func() (ids [][]byte, limit uint32, after []byte)
	)
	switch inner.EventType {
	case event.ContentWrite, event.ContentRead, event.ContentProve, event.ContentCopy:
		return u.chunk(x, inner, q)
	case event.ContentMissing:
		p := &eventpb.ContentMissingRequest{}
		m, named = p, func() ([][]byte, uint32, []byte) { return p.ChunkIds, 0, nil }
	case event.ContentTrash:
		p := &eventpb.ContentTrashRequest{}
		m, named = p, func() (ids [][]byte, _ uint32, _ []byte) {
			for _, g := range p.Chunks {
				ids = append(ids, g.ChunkId)
			}
			return ids, 0, nil
		}
	case event.ContentEmptyTrash:
		p := &eventpb.ContentEmptyTrashRequest{}
		m, named = p, func() ([][]byte, uint32, []byte) {
			p.BeforeUs = min(p.BeforeUs, int64(u.k.now-trashLife)) // whoever orders it
			return nil, p.Limit, nil
		}
	case event.ContentInventory:
		p := &eventpb.ContentInventoryRequest{}
		m, named = p, func() ([][]byte, uint32, []byte) { return nil, p.Limit, p.After }
	case event.ContentScrub:
		p := &eventpb.ContentScrubRequest{}
		m, named = p, func() (ids [][]byte, limit uint32, after []byte) {
			if len(p.Adopt) > 0 {
				ids = [][]byte{p.Adopt}
			}
			return ids, p.Limit, p.After
		}
	case event.ContentUsage:
		m, named = &eventpb.ContentUsageRequest{}, func() ([][]byte, uint32, []byte) { return nil, 0, nil }
	default:
		return nil, inos.Errorf(inos.CodeUnknownEvent, stage, "nobody answers %.128q", inner.EventType)
	}
	if !q.Switchboard {
		return nil, inos.Errorf(inos.CodePermissionDenied, stage, "node %s has shown no certificate of a switchboard", x.peer)
	}
	if err := event.Open(inner, m); err != nil {
		return nil, inos.Errorf(inos.CodeBadRequest, stage, "%w", err)
	}
	ids, limit, after := named()
	if len(ids) > servedIDsMax || limit > servedIDsMax {
		return nil, inos.Errorf(inos.CodeBadRequest, stage, "%d chunks and a page of %d, at most %d", len(ids), limit, servedIDsMax)
	}
	if len(after) != 0 {
		ids = append(ids, after)
	}
	for _, id := range ids {
		if len(id) != inos.HashBytes {
			return nil, inos.Errorf(inos.CodeBadRequest, stage, "a chunk id of %d bytes", len(id))
		}
	}
	return m, nil
}

// chunk returns what this node's disk is asked of one chunk. Reading and writing need a ticket of the peer for this chunk and
// this node. For a copy a switchboard hands on the ticket by which this node may read the chunk from its source.
func (u *serving) chunk(x *served, inner *eventpb.Envelope, q *eventpb.MeshServeRequest) (m event.Message, failure *inos.Error) {
	k := u.k
	stage := event.Stage(inner.EventType)
	var err error
	switch inner.EventType {
	case event.ContentWrite:
		p := &eventpb.ContentWriteRequest{}
		err = event.Open(inner, p)
		x.chunk, x.record, x.bytes = p.ChunkId, p.Record, uint64(q.InputBytes)
		p.Input, m = q.Input, p
		if failure = k.ticket(stage, q.Grant, verbWrite, x.chunk, q.Peer, k.node.id); failure == nil && (q.Input == 0 || q.InputBytes == 0 || q.InputBytes > inos.StoredBytesMax) {
			failure = inos.Errorf(inos.CodeBadRequest, stage, "%d bytes came with the call, a chunk has 1 to %d", q.InputBytes, inos.StoredBytesMax)
		}
	case event.ContentRead:
		p := &eventpb.ContentReadRequest{}
		err = event.Open(inner, p)
		x.chunk, x.record = p.ChunkId, p.Record
		x.output = k.buffer()
		p.Output, m = x.output, p
		failure = k.ticket(stage, q.Grant, verbRead, x.chunk, q.Peer, k.node.id)
	case event.ContentProve:
		p := &eventpb.ContentProveRequest{}
		err = event.Open(inner, p)
		x.chunk = p.ChunkId
		x.output = k.buffer()
		p.Output, m = x.output, p
		switch {
		case !q.Switchboard:
			failure = inos.Errorf(inos.CodePermissionDenied, stage, "node %s has shown no certificate of a switchboard", x.peer)
		case !k.beats.told(x.peer):
			failure = again(inos.Errorf(inos.CodeBusy, stage, "this node has not said yet that it stopped without an end: what it holds is to be compared first"))
		}
	case event.ContentCopy:
		p := &eventpb.ContentCopyRequest{}
		err = event.Open(inner, p)
		x.chunk, x.source, x.bytes, m = p.ChunkId, p.Source, uint64(p.StoredBytes), p
		switch {
		case !q.Switchboard:
			failure = inos.Errorf(inos.CodePermissionDenied, stage, "node %s has shown no certificate of a switchboard", x.peer)
		case p.Source == "" || p.Source == k.node.id:
			failure = inos.Errorf(inos.CodeBadRequest, stage, "a copy from %q to %q", p.Source, k.node.id)
		case len(p.SourceAddrs) > inos.MemberAddrsMax:
			failure = inos.Errorf(inos.CodeBadRequest, stage, "%d addresses, at most %d", len(p.SourceAddrs), inos.MemberAddrsMax)
		default:
			failure = k.ticket(stage, q.Grant, verbRead, x.chunk, k.node.id, p.Source)
		}
	}
	switch {
	case err != nil:
		failure = inos.Errorf(inos.CodeBadRequest, stage, "%w", err)
	case len(x.chunk) != inos.HashBytes:
		failure = inos.Errorf(inos.CodeBadRequest, stage, "a chunk id of %d bytes", len(x.chunk))
	}
	if failure != nil {
		x.chunk, x.output = nil, 0 // nothing fills it
	}
	return m, failure
}

// ticket says whether a grant allows a verb on a chunk to its holder at a node. The host has checked who signed it. Clocks of nodes differ.
func (k *Kernel) ticket(stage string, g *eventpb.Grant, verb string, id []byte, holder, node string) *inos.Error {
	denied := func(format string, args ...any) *inos.Error {
		return inos.Errorf(inos.CodePermissionDenied, stage, format, args...)
	}
	switch {
	case g == nil:
		return denied("the call shows no ticket")
	case g.Verb != verb || !bytes.Equal(g.ChunkId, id):
		return denied("the ticket is not for this verb and chunk")
	case g.Holder != holder || g.Node != node:
		return denied("the ticket is for another holder or node")
	case inos.Micros(g.ExpiresUs) <= k.now-ticketSkew:
		return denied("the ticket has expired %s ago", seconds(k.now-inos.Micros(g.ExpiresUs)))
	}
	return nil
}

// member hands heartbeats and newcomers to the members.
func (u *serving) member(x *served, inner *eventpb.Envelope, q *eventpb.MeshServeRequest) *inos.Error {
	k := u.k
	stage := event.Stage(inner.EventType)
	if !k.node.switchboard {
		return inos.Errorf(inos.CodeNotSwitchboard, stage, "node %s decides nothing", k.node.id)
	}
	var invite *eventpb.Invite
	if len(q.Invite) > 0 {
		invite = &eventpb.Invite{}
		if err := invite.UnmarshalVT(q.Invite); err != nil {
			return inos.Errorf(inos.CodeBadRequest, stage, "the invite does not decode: %w", err)
		}
	}
	work := k.work()
	u.table[work] = x
	reply, failure := k.members.served(work, x.peer, invite, inner)
	if reply != nil || failure != nil {
		u.replied(work, reply, failure)
	}
	return nil
}

// pull reads a chunk that is to be copied from its source, under the ticket that came with the call.
func (u *serving) pull(work uint64, x *served, addrs []string, ticket []byte) {
	x.output = u.k.buffer()
	o := origin{trace: x.trace, meta: x.meta}
	u.k.content(&o, ask{owner: threadServe, op: opServePull, work: work, bytes: x.bytes}, inos.NodeID(x.source), event.ContentRead,
		&eventpb.ContentReadRequest{ChunkId: x.chunk, Output: x.output}, bulk{output: x.output, hash: x.chunk, ticket: ticket, addrs: addrs, timeout: pullDeadline})
}

func (u *serving) send(work uint64, x *served, op uint8, effect string, m event.Message) {
	o := origin{trace: x.trace, meta: x.meta}
	u.k.send(&o, ask{owner: threadServe, op: op, work: work, bytes: x.bytes}, effect, m)
}

// answer takes the end of what was asked.
func (u *serving) answer(a *answer) {
	x := u.table[a.work]
	if a.err != nil {
		if a.op != opServeKeep {
			x.output = 0 // nothing filled it
		}
		if u.makeRoom(x, a) {
			return
		}
		if a.op == opServe && x.effect == event.ContentRead && !x.record && u.k.node.switchboard {
			u.k.losses.read(u.k.self(), inos.ChunkID(x.chunk), a.err)
		}
		if x.effect == event.ContentCopy {
			where := "read from node " + x.source
			if a.op == opServeKeep {
				where = "write"
			}
			a.err = because(event.Stage(x.effect), a.err, where)
		}
		u.replied(a.work, nil, a.err)
		return
	}
	switch a.op {
	case opServePull:
		u.send(a.work, x, opServeKeep, event.ContentWrite, &eventpb.ContentWriteRequest{ChunkId: x.chunk, Input: x.output})
	case opServeKeep:
		var r eventpb.ContentWriteReply
		_ = event.Open(a.env, &r)
		u.k.release(&x.output)
		u.replied(a.work, &eventpb.ContentCopyReply{Existed: r.Existed, StoredBytes: r.StoredBytes}, nil)
	default:
		if x.effect == event.ContentTrash {
			u.k.collector.usageStale = true
		}
		u.end(a.work, x, event.StateCompleted, a.env.Payload)
	}
}

// makeRoom has the trash emptied for a write that found the disk full, which is then tried once more.
func (u *serving) makeRoom(x *served, a *answer) bool {
	if a.err.Code != inos.CodeDiskFull || x.emptied || x.effect != event.ContentWrite && a.op != opServeKeep || !u.k.collector.wantRoom(x.bytes) {
		return false
	}
	x.roomless, x.emptied = true, true
	return true
}

// roomy goes on with what waited for room.
func (u *serving) roomy() {
	for _, work := range sortedKeys(u.table) {
		x := u.table[work]
		if !x.roomless {
			continue
		}
		x.roomless = false
		if x.effect == event.ContentCopy {
			u.send(work, x, opServeKeep, event.ContentWrite, &eventpb.ContentWriteRequest{ChunkId: x.chunk, Input: x.output})
			continue
		}
		u.send(work, x, opServe, event.ContentWrite, &eventpb.ContentWriteRequest{ChunkId: x.chunk, Input: x.input, Record: x.record})
	}
}

// replied ends a call whose answer another thread has brought.
func (u *serving) replied(work uint64, m event.Message, err *inos.Error) {
	x, ok := u.table[work]
	switch {
	case !ok:
		panic("kernel: a call is answered twice")
	case err != nil:
		u.k.release(&x.output)
		u.end(work, x, event.StateFailed, event.Payload(event.ErrorPayload(err)))
	default:
		u.end(work, x, event.StateCompleted, event.Payload(m))
	}
}

// fail answers a call that is not taken.
func (u *serving) fail(x *served, err *inos.Error) {
	u.k.governance.refused++
	u.reply(x, event.StateFailed, event.Payload(event.ErrorPayload(err)))
}

// end answers a call and forgets it.
func (u *serving) end(work uint64, x *served, state event.State, payload []byte) {
	delete(u.table, work)
	if x.bulk {
		u.k.unreserve(&u.buffers)
	}
	u.reply(x, state, payload)
}

// reply gives the host what goes back to the peer. The host takes the output when it comes to the reply: it is released in
// the same step, like the input.
func (u *serving) reply(x *served, state event.State, payload []byte) {
	inner := event.Reply(&eventpb.Envelope{Id: x.inner, EventType: x.effect, Metadata: x.meta}, state, u.k.now, payload)
	u.k.emit(event.Reply(&eventpb.Envelope{Id: x.call, EventType: event.MeshServe}, event.StateCompleted, u.k.now,
		event.Payload(&eventpb.MeshServeReply{Envelope: event.Encode(nil, inner), Output: x.output})))
	u.k.release(&x.input, &x.output)
}
