package kernel

import (
	"slices"
	"strconv"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects and module calls of a put. The slot is the chunk's index, or the number of the manifest node.
const (
	opRead        = iota + 1 // stream:read
	opFind                   // semantic:find_chunks
	opMissing                // content:missing_chunks of chunks found
	opPin                    // semantic:stage_chunks of chunks found
	opEncode                 // storage:encode_chunk
	opDescribe               // storage:describe_chunk
	opWrite                  // content:write_chunk of a chunk or a manifest node to one node; the work is the fanout's
	opBuild                  // storage:build_node
	opWriteNode              // a manifest node on its way to its nodes
	opStage                  // semantic:stage_chunks of chunks written
	opCommit                 // semantic:commit_file
	opAbort                  // semantic:abort_upload
	opFoundCopies            // semantic:chunk_copies of chunks found
	opAddCopies              // semantic:add_copies of late copies
	opUnpin                  // semantic:abort_upload of a put that has long ended
	opUpload                 // semantic:find_upload, of the upload that is meant
	opAdmitPiece             // storage:admit_chunk of a chunk that was sent
	opFill                   // semantic:fill_slot with it
	opSlots                  // semantic:upload_slots of an upload that becomes a file
	opReread                 // a chunk that the upload has for another offset is fetched
	opChain                  // storage:admit_chunk of such a chunk
	opEmptySlots             // semantic:empty_slots of chunks that turned out to be gone
	opBring                  // a chunk that was found elsewhere than the rest of its put is fetched
)

// Phases of a put.
const (
	putWaiting   = iota // for its turn
	putRunning          // reads, encodes, writes, builds the manifest
	putCommitted        // commit_file is under way
	putRecording        // its commit record is being written
	putFailing          // answered; waits for what is under way
	putCleaning         // gives written chunks and pins to the collector
	putPhases
)

// puts runs the puts: read a body chunk by chunk, find or encode and write each chunk, build the manifest, commit.
type puts struct {
	k         *Kernel
	table     map[uint64]*put
	looking   []uint64 // until it is known which upload they are about
	waiting   []uint64
	active    []*put // in the order in which they get their turn
	buffers   uint64 // bytes accounted
	fanouts   map[uint64]*fanout
	pausing   []uint64 // fanouts that look for other nodes after a pause
	lates     late
	hedgeAt   inos.Micros // when the first write under way has had its time; 0: none is waited for
	pins      []string    // uploads whose pins could not be dropped
	pinsAt    inos.Micros
	unpinning bool
}

// put is one files:put; or one chunk of an upload, which is a put that ends with a slot filled; or the commit of an upload, which is a put whose
// chunks were written before (upload_put.go).
type put struct {
	origin
	phase       uint8
	stream      uint64
	length      int64 // -1: not known
	contentType string
	wanted      uint32
	sync        uint32 // domains to wait for, asked for by name; 0: the default
	quorum      uint32 // domains that have to hold every chunk
	expected    []byte
	quota       *eventpb.Quota // of the owner, a precondition of the commit; nil: no bound
	upload      string
	into        string       // the upload that it is about; empty: a files:put
	piece       bool         // one chunk of it
	index       uint64       // of a piece
	named       inos.ChunkID // that a piece has to hash to
	plain       uint32       // plain bytes of a piece
	quality     uint32       // that the sender of a piece says
	total       uint64       // chunks of an upload that becomes a file
	asked       uint32       // of these, slots that are read: room is reserved for each
	underWay    uint32       // effects and module calls
	room

	reading  bool
	ended    bool
	got      uint64 // plain bytes read
	next     uint64 // index of the next chunk
	chunks   []*chunk
	ask      []uint64 // chunks whose plain hash is to be looked up
	asking   []uint64
	check    []uint64 // chunks found, to be looked for on the disk
	checking []uint64
	probes   []probe  // nodes that are asked whether they hold them
	pin      []uint64 // chunks found and there, to be pinned
	pinning  []uint64
	twins    map[string]twin
	tree     tree
	root     *treeNode // finished: what is left is to commit
	rows     []*row    // written, to be staged
	staging  []*row
	shorts   []lateShort            // chunks on fewer domains than wanted
	file     *eventpb.FileInfo      // committed
	repeated bool                   // by an earlier request with this id
	writes   []uint64               // fanouts with something under way
	avoid    map[string]inos.Micros // nodes that failed lately -> until when
	drawn    []inos.NodeID          // to which the first chunk went, sorted
	mixed    bool                   // some chunks were found, and may be elsewhere than those that are written
	patience inos.Micros            // until when the commit waits for late copies; 0: not yet
	held     holding                // of the chunks whose copies are all decided
	pinned   bool                   // the upload exists in the semantic memory
	stored   uint64
	saved    uint64 // plain bytes found
	progress struct {
		at    inos.Micros
		bytes uint64
	}

	retries uint32
	again   inos.Micros // when to try the failed step again; 0: nothing to try
}

// twin is a chunk of this put that a later one may equal.
type twin struct {
	index uint64
	done  bool
	entry inos.Entry
	have  []inos.NodeID // of a chunk that was found: the nodes that said they hold it
}

// row is a chunk on stable storage whose row the semantic memory does not have yet.
type row struct {
	entry    inos.Entry
	known    bool
	node     bool
	children []byte // chunk ids, 32 bytes each
	fanout   uint64 // that wrote it
}

func (r *row) code(c *coder) {
	c.entry(&r.entry)
	c.bool(&r.known)
	c.bool(&r.node)
	c.bytes(&r.children)
	num(c, &r.fanout)
}

func (u *puts) init(k *Kernel) {
	u.k = k
	u.table, u.fanouts = map[uint64]*put{}, map[uint64]*fanout{}
}

func (u *puts) about() about {
	return about{name: "put", kind: "pipeline", hears: []string{event.FilesPut, event.UploadsSend, event.UploadsCommit}, inFlightMax: putsMax*5 + fanoutsMax*fanoutNodesMax}
}

func (u *puts) code(c *coder) {
	objects(c, &u.table, putsMax+waitingMax, num[uint64], func(c *coder, p *put) { p.code(c) })
	list(c, &u.looking, waitingMax, num[uint64])
	list(c, &u.waiting, waitingMax, num[uint64])
	list(c, &u.active, putsMax, u.activeCode)
	num(c, &u.buffers)
	objects(c, &u.fanouts, fanoutsMax, num[uint64], func(c *coder, s *fanout) { s.code(c) })
	list(c, &u.pausing, fanoutsMax, num[uint64])
	num(c, &u.hedgeAt)
	u.lates.code(c)
	list(c, &u.pins, pinsMax, text[string])
	num(c, &u.pinsAt)
	c.bool(&u.unpinning)
	if c.reading && c.err == nil {
		members(c, u.table, u.looking, u.waiting)
		for _, work := range sortedKeys(u.table) {
			members(c, u.fanouts, u.table[work].writes)
		}
	}
}

func (p *put) code(c *coder) {
	p.origin.code(c)
	num(c, &p.phase)
	if p.phase >= putPhases {
		c.fail("put phase %d", p.phase)
	}
	num(c, &p.stream)
	num(c, &p.length)
	text(c, &p.contentType)
	num(c, &p.wanted)
	num(c, &p.sync)
	num(c, &p.quorum)
	c.bytes(&p.expected)
	message(c, &p.quota)
	text(c, &p.upload)
	text(c, &p.into)
	c.bool(&p.piece)
	num(c, &p.index)
	c.fixed(p.named[:])
	num(c, &p.plain)
	num(c, &p.quality)
	num(c, &p.total)
	num(c, &p.asked)
	num(c, &p.underWay)
	p.room.code(c)
	c.bool(&p.reading)
	c.bool(&p.ended)
	num(c, &p.got)
	num(c, &p.next)
	pointers(c, &p.chunks, chunksPerPutMax, func(c *coder, x *chunk) { x.code(c) })
	indexes := func(s *[]uint64) { list(c, s, chunksPerPutMax, num[uint64]) }
	indexes(&p.ask)
	indexes(&p.asking)
	indexes(&p.check)
	indexes(&p.checking)
	list(c, &p.probes, probesMax, func(c *coder, x *probe) { x.code(c) })
	indexes(&p.pin)
	indexes(&p.pinning)
	table(c, &p.twins, twinsMax, text[string], func(c *coder, t *twin) {
		num(c, &t.index)
		c.bool(&t.done)
		c.entry(&t.entry)
		list(c, &t.have, fanoutNodesMax, text[inos.NodeID])
	})
	p.tree.code(c)
	rooted := p.root != nil
	c.bool(&rooted)
	if rooted {
		if c.reading {
			p.root = &treeNode{}
		}
		p.root.code(c)
	}
	pointers(c, &p.rows, 2*pendingRowsMax, func(c *coder, r *row) { r.code(c) })
	pointers(c, &p.staging, 2*pendingRowsMax, func(c *coder, r *row) { r.code(c) })
	list(c, &p.shorts, shortsPerPut, func(c *coder, x *lateShort) { x.code(c) })
	fileInfo(c, &p.file)
	c.bool(&p.repeated)
	list(c, &p.writes, fanoutsMax, num[uint64])
	table(c, &p.avoid, membersMax, text[string], num[inos.Micros])
	list(c, &p.drawn, fanoutNodesMax, text[inos.NodeID])
	c.bool(&p.mixed)
	num(c, &p.patience)
	p.held.code(c)
	c.bool(&p.pinned)
	num(c, &p.stored)
	num(c, &p.saved)
	num(c, &p.progress.at)
	num(c, &p.progress.bytes)
	num(c, &p.retries)
	num(c, &p.again)
}

// hear takes a files:put, or what is asked about an upload.
func (u *puts) hear(in *input) {
	p := &put{origin: in.origin, quota: in.quota, twins: map[string]twin{}, avoid: map[string]inos.Micros{}}
	accept := u.accept
	switch in.env.EventType {
	case event.UploadsSend:
		accept = u.acceptPiece
	case event.UploadsCommit:
		accept = u.acceptUpload
	}
	var err *inos.Error
	if len(u.waiting)+len(u.looking) >= waitingMax {
		err = busy(event.Stage(p.eventType), "puts", waitingMax)
	} else {
		err = accept(p, in.env)
	}
	if err != nil {
		u.k.fail(&p.origin, err)
		return
	}
	if !p.piece { // of the chunks of an upload history has those that fail
		u.k.watcher.began(&p.origin)
	}
	u.table[p.work] = p
	if p.into != "" {
		u.lookUpload(p)
		return
	}
	u.waiting = append(u.waiting, p.work)
}

// accept reads the request and refuses what cannot succeed.
func (u *puts) accept(p *put, e *eventpb.Envelope) *inos.Error {
	const op = "files:put"
	var q eventpb.FilesPutRequest
	if err := event.Open(e, &q); err != nil {
		return inos.Errorf(inos.CodeBadRequest, op, "%w", err)
	}
	if err := inos.CheckPath(inos.Path(q.Path)); err != nil {
		return inos.Errorf(inos.CodeBadPath, op, "%w", err)
	}
	k := u.k
	switch {
	case q.Stream == 0:
		return inos.Errorf(inos.CodeBadRequest, op, "the request names no stream to read the body from")
	case q.LengthBytes < -1:
		return inos.Errorf(inos.CodeBadRequest, op, "the length of %d bytes is negative", q.LengthBytes)
	case len(q.ExpectedFileId) != 0 && len(q.ExpectedFileId) != inos.HashBytes:
		return inos.Errorf(inos.CodeBadRequest, op, "the expected file id has %d bytes, a file id has %d", len(q.ExpectedFileId), inos.HashBytes)
	case q.Tier != "" && q.Tier != "hot" && q.Tier != "cold":
		return inos.Errorf(inos.CodeBadRequest, op, "the tier %.20q is not hot or cold", q.Tier)
	case len(q.ContentType) > inos.ContentTypeBytesMax:
		return inos.Errorf(inos.CodeBadRequest, op, "the content type has %d bytes, at most %d", len(q.ContentType), inos.ContentTypeBytesMax)
	case q.Replicas > replicasMax || q.Sync > replicasMax:
		return inos.Errorf(inos.CodeBadRequest, op, "%d replicas and sync %d, at most %d", q.Replicas, q.Sync, replicasMax)
	}
	p.stream, p.length, p.contentType, p.expected = q.Stream, q.LengthBytes, q.ContentType, q.ExpectedFileId
	if err := u.crowded(p); err != nil {
		return err
	}
	p.wanted, p.sync = q.Replicas, q.Sync
	p.upload = event.NewID(k.now, k.random.ten())
	return nil
}

// safe says in how many domains each chunk of a put has to be before it is acknowledged, or why that cannot be.
func (u *puts) safe(p *put) *inos.Error {
	op := p.stage()
	k := u.k
	if p.wanted > 0 {
		if err := k.members.reachable(p.wanted); err != nil {
			return because(op, err, string(p.path))
		}
	} else {
		p.wanted = inos.ReplicasDefault
	}
	quorum, err := k.safeQuorum(p.wanted, p.sync)
	if err != nil {
		return because(op, err, string(p.path))
	}
	p.quorum, p.wanted = quorum, max(p.wanted, quorum)
	return nil
}

// gone cancels the put whose client went away.
func (u *puts) gone(id string) {
	for _, work := range sortedKeys(u.table) {
		if p := u.table[work]; p.id == id && p.phase < putCommitted && !(p.piece && p.ended) { // what has arrived of an upload stays
			u.fail(p, inos.Errorf(inos.CodeCanceled, p.stage(), "the client went away after %d bytes", p.got))
		}
	}
}

// act starts waiting puts and lets the active ones read, in turn.
func (u *puts) act() {
	k := u.k
	for len(u.waiting) > 0 && len(u.active) < putsMax && k.ready() {
		p := u.table[u.waiting[0]]
		if p.roomless {
			break // the others wait too: they need room as well
		}
		if p.emptied {
			if err := u.crowded(p); err != nil {
				u.fail(p, err)
				continue
			}
		}
		if err := u.safe(p); err != nil {
			if err.Code == inos.CodeQuorumLost && k.members.someComing() {
				break // the mesh is starting
			}
			u.fail(p, err)
			continue
		}
		u.waiting = u.waiting[1:]
		p.phase = putRunning
		p.progress.at = k.now
		u.active = append(u.active, p)
		switch {
		case p.file != nil:
			u.committedBefore(p)
		case p.assembles() && p.ended: // an empty file waits for no chunk
			u.advance(p)
		}
	}
	for _, p := range slices.Clone(u.active) {
		if p.deadline != 0 && p.deadline <= k.now && p.phase == putRunning {
			u.fail(p, inos.Errorf(inos.CodeDeadlineExceeded, p.stage(), "the request's deadline passed after %d bytes", p.got))
		}
		if p.again != 0 && p.again <= k.now {
			p.again = 0
			u.retry(p)
		}
		if p.patience != 0 && p.patience <= k.now && p.phase == putRunning {
			u.advance(p)
		}
	}
	for _, work := range slices.Concat(u.looking, u.waiting) {
		if p := u.table[work]; p.deadline != 0 && p.deadline <= k.now {
			u.fail(p, inos.Errorf(inos.CodeDeadlineExceeded, p.stage(), "the request's deadline passed before its turn came"))
		}
	}
	u.hedge()
	if len(u.pausing) > 0 {
		u.tryAgain()
	}
	u.tellLate()
	u.unpin()
	u.read()
}

func (u *puts) wake() (at inos.Micros) {
	for _, p := range u.active {
		at = earlier(at, p.again)
		if p.phase == putRunning {
			at = earlier(at, p.deadline)
			if p.patience > u.k.now {
				at = earlier(at, p.patience)
			}
		}
	}
	for _, work := range slices.Concat(u.looking, u.waiting) {
		at = earlier(at, u.table[work].deadline)
	}
	if len(u.waiting) > 0 {
		at = earlier(at, u.k.members.startedUp())
	}
	for _, work := range u.pausing {
		if s := u.fanouts[work]; s != nil {
			at = earlier(at, s.again)
		}
	}
	if len(u.pins) > 0 && !u.unpinning && !u.k.node.draining {
		at = earlier(at, u.pinsAt)
	}
	return earlier(earlier(at, u.hedgeAt), u.wakeLate())
}

// earlier returns the earlier of two times, of which 0 is none.
func earlier(a, b inos.Micros) inos.Micros {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// send emits an effect of a put.
func (u *puts) send(p *put, op uint8, slot uint64, effect string, bytes uint64, m event.Message) {
	p.underWay++
	u.k.send(&p.origin, ask{owner: threadPut, op: op, work: p.work, slot: slot, bytes: bytes}, effect, m)
}

// module asks for a module call of a put.
func (u *puts) module(p *put, op uint8, slot uint64, call string, j job, m event.Message) {
	p.underWay++
	if err := u.k.module(&p.origin, ask{owner: threadPut, op: op, work: p.work, slot: slot}, call, j, m); err != nil {
		p.underWay--
		u.unfilled(p, op, slot)
		u.fail(p, because(p.stage(), err, p.place(op, slot)))
	}
}

// unfilled forgets the output buffer of a module call that did not fill it.
func (u *puts) unfilled(p *put, op uint8, slot uint64) {
	switch op {
	case opEncode:
		p.chunk(slot).output = 0
	case opBuild:
		p.tree.node(slot).output = 0
	}
}

// stage names the request for its errors.
func (p *put) stage() string { return event.Stage(p.eventType) }

// place names a chunk or node of a put for a person.
func (p *put) place(op uint8, slot uint64) string {
	switch op {
	case opBuild, opWriteNode:
		return string(p.path) + ", manifest"
	case opRead, opEncode, opDescribe, opWrite, opAdmitPiece, opFill, opReread, opChain, opBring:
		return string(p.path) + ", chunk " + strconv.FormatUint(slot, 10)
	}
	return string(p.path)
}

// answer takes the end of an effect or module call of a put.
func (u *puts) answer(a *answer) {
	switch a.op {
	case opWrite:
		u.wrote(a)
		return
	case opAddCopies:
		u.toldLate(a)
		return
	case opUnpin:
		u.unpinned(a)
		return
	case opEmptySlots:
		return // what stays in its slot is found to be gone once more
	}
	p := u.table[a.work]
	if p == nil && a.op == opUpload {
		return // answered meanwhile
	}
	p.underWay--
	if p.phase >= putFailing {
		u.settle(p, a)
		return
	}
	var err *inos.Error
	switch a.op {
	case opRead:
		err = u.hasRead(p, a)
	case opFind:
		err = u.found(p, a)
	case opMissing:
		err = u.checked(p, a)
	case opPin:
		err = u.hasPinned(p, a)
	case opEncode:
		err = u.encoded(p, a)
	case opDescribe:
		err = u.described(p, a)
	case opFoundCopies:
		err = u.located(p, a)
	case opBuild:
		err = u.built(p, a)
	case opStage:
		err = u.staged(p, a)
	case opUpload:
		err = u.foundUpload(p, a)
	case opAdmitPiece:
		err = u.admitted(p, a)
	case opFill:
		err = u.filled(p, a)
	case opSlots:
		err = u.hasSlots(p, a)
	case opReread:
		err = u.reread(p, a)
	case opChain:
		err = u.chained(p, a)
	case opBring:
		u.brought(p, a)
	case opCommit:
		u.committed(p, a)
		return
	}
	if err != nil {
		u.fail(p, because(p.stage(), err, p.place(a.op, a.slot)))
		return
	}
	u.advance(p)
}

// advance does what the state of a running put allows: lookups, checks, pins, manifest, staging, commit.
func (u *puts) advance(p *put) {
	if p.phase != putRunning {
		return
	}
	if p.piece {
		u.fill(p)
		return
	}
	u.look(p)
	u.checkFound(p)
	u.pinFound(p)
	u.writeHeld(p)
	u.collect(p)
	if p.phase == putRunning {
		u.stage(p)
	}
	u.report(p)
}

// remove forgets a put.
func (u *puts) remove(p *put) {
	delete(u.table, p.work)
	u.active = slices.DeleteFunc(u.active, func(x *put) bool { return x == p })
	u.waiting = slices.DeleteFunc(u.waiting, func(w uint64) bool { return w == p.work })
	u.looking = slices.DeleteFunc(u.looking, func(w uint64) bool { return w == p.work })
}

// members checks that lists of work name members of a table.
func members[T any](c *coder, table map[uint64]*T, lists ...[]uint64) {
	for _, l := range lists {
		for _, work := range l {
			if _, ok := table[work]; !ok {
				c.fail("work %d is in a list and not in its table", work)
			}
		}
	}
}
