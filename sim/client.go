package sim

import (
	"bytes"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// What clients do.
const (
	opPut = iota
	opGet
	opDelete
	opSet
	opVerify
	opList
	opStat
	opStatus
	opNodes
	opRepairs
	opNodeSet
	opUserPut
	opGroupPut
	opUploadOpen
	opUploadClaim
	opUploadSend
	opUploadCommit
	opUploadDrop
	opKinds
)

var opNames = [opKinds]string{"put", "get", "delete", "set", "verify", "list", "stat", "status", "nodes", "repairs", "node set", "user put", "group put", "upload open", "upload claim", "upload send", "upload commit", "upload drop"}

// op is one thing that a client will ask, once and, when it gets no answer, again.
type op struct {
	At        inos.Micros
	kind      int
	who       int // of sessions
	path      string
	body      body
	unknown   bool // the length of the body is not announced
	replicas  uint32
	sync      uint32
	expect    bool // the client names the file's id
	tries     int
	offset    uint64
	length    int64
	encoded   bool
	discard   bool
	node      int
	state     inos.MemberState
	name      string    // of a user or a group
	create    bool      // the user; otherwise it is disabled
	members   []string  // of the group; none: it is removed
	upload    *uploader // that asks
	uploadID  string
	uploadRun int         // in which of its lives
	index     uint64      // of a chunk
	leave     inos.Micros // the client goes away so long after it has asked; 0: it stays
}

// request is an op under way.
type request struct {
	w       *World
	op      *op
	id      string
	typ     string
	asked   inos.Micros // first
	safe    int         // the fewest domains that what it writes had to lie in, in any moment since
	sent    inos.Micros // last
	tries   int
	board   *process
	life    int
	stream  *stream
	number  uint64
	done    bool
	outcome *inos.Error // of a request that failed
	version uint64      // the highest that was acknowledged when a get was asked
	header  *eventpb.FilesGetHeader
	found   *version // what a get reads
	pos     uint64   // plain bytes or chunks that have come
	framed  int
	early   []*eventpb.StreamWriteRequest

	deserted bool // its client is gone for good
}

// stream is a body that a client sends or takes.
type stream struct {
	r    *request
	gone bool
	read uint64
}

// clients is what all clients have under way.
type clients struct {
	open     map[string]*request
	latest   *request // the one asked last
	answered [opKinds]int
	failed   [opKinds]int
	lost     int
	codes    map[inos.Code]int
}

// ask begins an op.
func (w *World) ask(o *op) {
	if o.kind == opNodeSet && o.state == inos.MemberRemoved && !w.removable(w.nodes[o.node]) {
		drain := *o
		o = &drain
		o.state = inos.MemberDraining
	}
	r := &request{w: w, op: o, asked: w.now, id: w.newID(w.now - w.micros(inos.Minute))}
	if o.kind == opPut || o.kind == opDelete || o.kind == opSet {
		w.truth.ops[r.id] = r
		r.safe = w.safe(r.replicas())
	}
	if o.kind == opUploadCommit {
		r.safe = w.safe(r.replicas())
		if before := w.truth.ops[r.key()]; before != nil {
			r.safe = min(r.safe, before.safe)
		}
		w.truth.ops[r.key()] = r
	}
	if v := w.truth.history(r.owner(), o.path).acked(); v != nil && o.path != "" {
		r.version = v.number
	}
	w.clients.open[r.id] = r
	w.clients.latest = r
	w.send(r)
}

// removable says that an operator who knows what he does takes the node out: it is gone for good, or drained.
func (w *World) removable(p *process) bool {
	ids, _, err := w.semantic.NodeChunks(background, p.id, inos.ChunkID{}, 1)
	return p.lost || p.draining && err == nil && len(ids) == 0
}

// replicas is how many copies are wanted of what the request writes.
func (r *request) replicas() int {
	if r.op.replicas > 0 {
		return int(r.op.replicas)
	}
	return inos.ReplicasDefault
}

func (r *request) owner() string { return sessions[r.op.who].Subject }

// send hands a request to the switchboard, or tries later when that is down.
func (w *World) send(r *request) {
	b := w.board
	if r.deserted {
		w.close(r, inos.Errorf(inos.CodeCanceled, "client", "it is gone"))
		return
	}
	if !b.up {
		if w.ending || r.tries < 40 {
			r.tries++
			w.at(w.now+200*inos.Millisecond+w.micros(2*inos.Second), func() { w.send(r) })
			return
		}
		w.close(r, inos.Errorf(inos.CodePeerUnreachable, "client", "no switchboard"))
		return
	}
	if b.requests[r.id] != nil {
		w.violate("request %s is asked twice at once", r.id)
		return
	}
	r.tries++
	r.board, r.life, r.sent = b, b.life, w.now
	r.header, r.found, r.pos, r.framed, r.early = nil, nil, 0, 0, nil
	if r.op.kind == opPut || r.op.kind == opUploadSend || r.op.kind == opGet && !r.op.discard {
		r.stream = &stream{r: r}
		b.stream++
		r.number = b.stream
		b.streams[r.number] = r.stream
	}
	typ, m := r.message()
	r.typ = typ
	e := &eventpb.Envelope{
		Id: r.id, EventType: typ, Timestamp: int64(w.now), Payload: event.Payload(m),
		Metadata: &eventpb.Metadata{SecurityToken: sessions[r.op.who].TokenId},
	}
	b.requests[r.id] = r
	w.logf("client asks %s %s %s id %s", opNames[r.op.kind], r.op.path, describeOp(r.op), r.id)
	b.give(e)
	if r.op.leave > 0 && r.stream != nil {
		s := r.stream
		w.at(w.now+r.op.leave, func() {
			if !s.gone && b.up && b.life == r.life && b.streams[r.number] == s {
				s.gone = true
				b.give(b.hostEnvelope(event.RequestGone, &eventpb.RequestGone{Id: r.id}))
			}
		})
	}
}

func (r *request) message() (string, event.Message) {
	o := r.op
	switch o.kind {
	case opPut:
		q := &eventpb.FilesPutRequest{Path: o.path, Stream: r.number, LengthBytes: int64(o.body.bytes), Replicas: o.replicas, Sync: o.sync, ContentType: "text/plain"}
		if o.unknown {
			q.LengthBytes = -1
		}
		if o.expect {
			id := o.body.fileID()
			q.ExpectedFileId = id[:]
		}
		return event.FilesPut, q
	case opGet:
		return event.FilesGet, &eventpb.FilesGetRequest{
			Path: o.path, Stream: r.number, OffsetBytes: o.offset, LengthBytes: o.length, Encoded: o.encoded, Discard: o.discard,
		}
	case opDelete:
		return event.FilesDelete, &eventpb.FilesDeleteRequest{Path: o.path}
	case opSet:
		return event.FilesSet, &eventpb.FilesSetRequest{Path: o.path, Replicas: o.replicas}
	case opVerify:
		return event.FilesVerify, &eventpb.FilesVerifyRequest{Path: o.path}
	case opList:
		return event.FilesList, &eventpb.FilesListRequest{Prefix: "/"}
	case opStat:
		return event.FilesStat, &eventpb.FilesStatRequest{Path: o.path, ChunkLimit: 8}
	case opNodes:
		return event.NodesList, &eventpb.NodesListRequest{}
	case opRepairs:
		return event.RepairsList, &eventpb.RepairsListRequest{}
	case opNodeSet:
		return event.NodesSet, &eventpb.NodesSetRequest{Node: string(r.w.nodes[o.node].id), State: uint32(o.state)}
	case opUserPut:
		return event.UsersPut, &eventpb.UsersPutRequest{User: &eventpb.User{Name: o.name, Disabled: !o.create}, Create: o.create}
	case opGroupPut:
		return event.GroupsPut, &eventpb.GroupsPutRequest{Group: &eventpb.Group{Name: o.name, Members: o.members}}
	case opUploadOpen, opUploadClaim, opUploadSend, opUploadCommit, opUploadDrop:
		return r.uploadMessage()
	}
	return event.NodeStatus, &eventpb.NodeStatusRequest{}
}

// give is stream:read of a body.
func (s *stream) give(f *effect, q *eventpb.StreamReadRequest) (event.Message, error) {
	if s.r.op.kind == opUploadSend {
		return s.givePiece(f, q)
	}
	body := s.r.op.body
	n := min(uint64(q.MaxBytes), body.bytes-s.read)
	b := body.chunk(s.read, n)
	s.read += n
	f.out, f.buffer = b, q.Output
	h := plainHash(b)
	reply := &eventpb.StreamReadReply{Bytes: uint32(n), End: s.read == body.bytes, PlainHash: h[:]}
	if n > 0 && q.RawOutput != 0 {
		if entry, stored := s.r.w.encode(b, q.OffsetBytes, 2); entry.Codec == inos.CodecRaw {
			reply.RawEntry = inos.AppendEntry(nil, &entry)
			f.raw, f.rawIn = stored, q.RawOutput
		}
	}
	return reply, nil
}

// take is stream:write of what a client asked for: it knows what has to come.
func (s *stream) take(p *process, q *eventpb.StreamWriteRequest) (event.Message, error) {
	r, w := s.r, s.r.w
	if r.header == nil || r.found == nil {
		w.violate("bytes come before the header of get %s", r.id)
		return &eventpb.StreamWriteReply{}, nil
	}
	body := r.found.body
	if r.op.encoded {
		return s.takeEncoded(p, q)
	}
	if q.Input == 0 {
		w.violate("plain bytes of %s come without a buffer", r.op.path)
		return &eventpb.StreamWriteReply{}, nil
	}
	at := r.header.OffsetBytes + r.pos
	first := at / inos.ChunkBytesMax * inos.ChunkBytesMax
	want := body.chunk(first, min(inos.ChunkBytesMax, body.bytes-min(first, body.bytes)))
	if got := p.buffer(q.Input); !bytes.Equal(got, want) || uint64(q.Offset) != at-first || q.Offset+q.Length > lengthOf(want) {
		w.violate("wrong bytes of %s version %d at %d: %x [%d+%d], not %x", r.op.path, r.found.number, at, got, q.Offset, q.Length, want)
	}
	if r.pos += uint64(q.Length); r.pos > r.header.LengthBytes {
		w.violate("%d bytes of %s come, %d were announced", r.pos, r.op.path, r.header.LengthBytes)
	}
	return &eventpb.StreamWriteReply{}, nil
}

// takeEncoded takes one Brotli stream: the head, the chunks as they are stored, the end.
func (s *stream) takeEncoded(p *process, q *eventpb.StreamWriteRequest) (event.Message, error) {
	r, w := s.r, s.r.w
	body := r.found.body
	if q.Input == 0 {
		switch {
		case r.framed == 0 && bytes.Equal(q.Bytes, []byte{0x6b, 0}):
			r.framed = 1
		case r.framed == 1 && bytes.Equal(q.Bytes, []byte{3}) && r.pos == body.chunks():
			r.framed = 2
		default:
			w.violate("the encoded %s is framed by %x after %d chunks", r.op.path, q.Bytes, r.pos)
		}
		return &eventpb.StreamWriteReply{}, nil
	}
	at := r.pos * inos.ChunkBytesMax
	want := body.chunk(at, min(inos.ChunkBytesMax, body.bytes-min(at, body.bytes)))
	got := p.buffer(q.Input)
	if r.framed != 1 || !bytes.Equal(plainOf(got), want) || q.Offset != 0 || q.Length != lengthOf(got) {
		w.violate("wrong stored bytes of %s version %d, chunk %d: %x", r.op.path, r.found.number, r.pos, got)
	}
	r.pos++
	return &eventpb.StreamWriteReply{}, nil
}

// answered takes an answer of the switchboard.
func (w *World) answered(r *request, e *eventpb.Envelope) {
	if e.EventType != event.WithState(r.typ, event.StateOf(e.EventType)) {
		w.violate("request %s of type %s is answered by %s", r.id, r.typ, e.EventType)
		return
	}
	if event.StateOf(e.EventType) == event.StateProcessing {
		if r.op.kind == opGet && r.header == nil {
			h := &eventpb.FilesGetHeader{}
			w.open(e, h)
			r.header = h
			w.checkFound(r, h.File)
		}
		return
	}
	r.leave()
	if event.StateOf(e.EventType) == event.StateFailed {
		err := event.FailureOf(e)
		w.logf("client %s %s id %s fails: %v", opNames[r.op.kind], r.op.path, r.id, err)
		if w.checkFailure(r, err); again(err.Code) && r.tries < r.op.tries && !r.deserted {
			w.at(w.now+w.micros(3*inos.Second)+err.RetryAfter, func() { w.send(r) })
			return
		}
		w.close(r, err)
		return
	}
	w.logf("client %s %s id %s is done", opNames[r.op.kind], r.op.path, r.id)
	w.checkDone(r, e)
	w.close(r, nil)
}

// again says that a client tries once more after such an error.
func again(c inos.Code) bool {
	switch c {
	case inos.CodeBusy, inos.CodePeerUnreachable, inos.CodeIO, inos.CodeQuorumLost, inos.CodeShuttingDown, inos.CodeDiskFull, inos.CodeChunkNotFound, inos.CodeWorkerLost, inos.CodeConflict:
		return true
	}
	return false
}

// leave ends the request's use of the switchboard.
func (r *request) leave() {
	if b := r.board; b.up && b.life == r.life {
		delete(b.requests, r.id)
		if r.stream != nil {
			r.stream.gone = true
			delete(b.streams, r.number)
		}
	}
}

// hungUp takes the news that the switchboard has died with a request under way.
func (w *World) hungUp(r *request) {
	if r.stream != nil {
		r.stream.gone = true
	}
	if r.tries < r.op.tries && !r.deserted {
		w.at(w.now+w.micros(3*inos.Second), func() { w.send(r) })
		return
	}
	w.clients.lost++
	w.logf("client %s %s id %s never learns what became of it", opNames[r.op.kind], r.op.path, r.id)
	w.close(r, inos.Errorf(inos.CodePeerUnreachable, "client", "the connection broke"))
}

func (w *World) close(r *request, err *inos.Error) {
	r.done, r.outcome = true, err
	delete(w.clients.open, r.id)
	if err != nil {
		w.clients.failed[r.op.kind]++
		w.clients.codes[err.Code]++
	} else {
		w.clients.answered[r.op.kind]++
	}
	if r.op.upload != nil {
		r.op.upload.ended(r, err)
	}
}
