package kernel

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// fakeMesh is what a world has beside one node: the disks of others, and what the semantic memory knows of more than one.
type fakeMesh struct {
	ceiling  uint64            // of the numbers of orders
	records  map[string]stored // commit records on the node's own disk
	others   map[string]*disk  // of the other nodes
	members  map[string]*eventpb.Member
	page     uint32                         // members of one page at most; 0: as many as are asked for
	invites  map[string]string              // id -> node that used it
	pendings map[string]*eventpb.Record     // owner path -> highest version whose record is not settled in full
	settled  map[string]*eventpb.Record     // owner path -> version settled last
	prior    map[string][]*eventpb.FileInfo // owner path -> versions that stay referred to
	wants    map[string]*eventpb.RepairWant
	sighted  map[string]map[string]bool // chunk -> nodes
	refused  map[string]bool            // versions that the map does not take, by owner and path
	queue    map[string]*eventpb.RepairInfo
	leases   uint64
	beats    func(inner *eventpb.Envelope) (event.Message, *inos.Error)
	serves   uint64 // buffers of calls from other nodes
}

// disk is what a node keeps.
type disk struct {
	chunks, trash, records map[string]stored
	claims                 bool // says that it holds every record
	free                   *uint64
	invite                 *eventpb.Invite // that let it in
	down                   bool            // it does not answer
	full                   bool            // it takes no chunk
	mum                    bool            // it does not say which records it holds
	withholds              string          // it does not send its "records", or its "chunks"
	fickle                 string          // after it has listed its records once: it says that it has "none", or the "same" one over and over
	lists                  int             // how often it has begun to list them
	endless                string          // it names "chunks" or "records" without an end, or "a few chunks" at a time
	reads                  int             // of what it did not send
	rotten                 map[string]bool // chunks whose bytes went bad and nobody has looked at since
}

// behind returns ids that follow one, closely.
func behind(after []byte, n int) (ids [][]byte) {
	id := make([]byte, inos.HashBytes)
	copy(id, after)
	for range n {
		for i := len(id) - 1; i >= 0; i-- {
			if id[i]++; id[i] != 0 {
				break
			}
		}
		ids = append(ids, slices.Clone(id))
	}
	return ids
}

// aside sets a chunk aside that is found bad.
func (d *disk) aside(id string) bool {
	bad := d.rotten[id]
	if bad {
		delete(d.rotten, id)
		delete(d.chunks, id)
	}
	return bad
}

type fakeCopy struct {
	epoch   uint64
	audited int64
}

func newFakeMesh() fakeMesh {
	return fakeMesh{
		records: map[string]stored{}, others: map[string]*disk{}, members: map[string]*eventpb.Member{}, invites: map[string]string{},
		pendings: map[string]*eventpb.Record{}, settled: map[string]*eventpb.Record{}, prior: map[string][]*eventpb.FileInfo{},
		wants: map[string]*eventpb.RepairWant{}, sighted: map[string]map[string]bool{}, queue: map[string]*eventpb.RepairInfo{},
	}
}

// addDisk gives another node a disk.
func (w *world) addDisk(node string) {
	free := uint64(1) << 40
	w.others[node] = &disk{chunks: map[string]stored{}, trash: map[string]stored{}, records: map[string]stored{}, free: &free}
}

// join makes another node a member, with a disk of its own, and announces its connection.
func (w *world) join(node, zone, host, tier string, offered uint64) {
	w.addDisk(node)
	w.others[node].invite = &eventpb.Invite{Id: "invite of " + node, Operator: "ann", Zone: zone, Host: host, Tier: tier, OfferedBytes: offered}
	w.members[node] = &eventpb.Member{
		Node: node, Operator: "ann", Zone: zone, Host: host, Tier: tier, OfferedBytes: offered, State: uint32(inos.MemberActive), Epoch: 1, JoinedUs: int64(w.now),
	}
}

// beat has another node tell that it lives, with the invite that let it in.
func (w *world) beat(node string) {
	d := w.others[node]
	m := &eventpb.HeartbeatRequest{
		Sequence: w.ids, Usage: &eventpb.ContentUsage{Chunks: uint64(len(d.chunks)), FreeBytes: *d.free, Records: uint64(len(d.records))}, StartedUs: 1, Version: "test",
	}
	inner := &eventpb.Envelope{Id: w.newID(), EventType: event.NodeHeartbeat, Timestamp: int64(w.now), Payload: event.Payload(m)}
	q := &eventpb.MeshServeRequest{Peer: node, Envelope: event.Encode(nil, inner)}
	if d.invite != nil {
		q.Invite = event.Payload(d.invite)
	}
	w.give(w.host(event.MeshServe, q))
}

// serve hands the kernel a call of another node; it returns the id of its mesh:serve.
func (w *world) serve(peer string, switchboard bool, effect string, m event.Message, in *stored, grant *eventpb.Grant) string {
	inner := &eventpb.Envelope{Id: w.newID(), EventType: effect, Timestamp: int64(w.now), Payload: event.Payload(m)}
	q := &eventpb.MeshServeRequest{Peer: peer, Switchboard: switchboard, Envelope: event.Encode(nil, inner), Grant: grant}
	if grant != nil {
		q.Ticket = []byte("ticket")
	}
	if in != nil {
		w.serves++
		q.Input, q.InputBytes = 1<<63+w.serves, in.size
		w.fill(q.Input, held{stored: in})
	}
	e := w.host(event.MeshServe, q)
	w.give(e)
	return e.Id
}

// own is the node's own disk.
func (w *world) own() *disk {
	return &disk{chunks: w.chunks, trash: w.trash, records: w.records, free: &w.free}
}

func (w *world) diskOf(node string) *disk {
	if node == w.boot.NodeId {
		return w.own()
	}
	return w.others[node]
}

// meshCall performs what another node is asked, on its disk.
func (w *world) meshCall(e *eventpb.Envelope) (event.Message, *inos.Error) {
	var q eventpb.MeshCallRequest
	w.open(e, &q)
	inner, err := event.Decode(q.Envelope)
	if err != nil {
		w.problem("mesh:call: %v", err)
		return nil, missing(inos.CodeInternal, "%v", err)
	}
	d := w.others[q.Node]
	if d == nil && w.beats == nil || d != nil && d.down {
		return nil, missing(inos.CodePeerUnreachable, "node %s does not answer", q.Node)
	}
	var (
		m       event.Message
		out     *stored
		failure *inos.Error
	)
	switch {
	case inner.EventType == event.NodeHeartbeat || inner.EventType == event.NodeJoin:
		m, failure = w.beats(inner)
	case d == nil:
		return nil, missing(inos.CodePeerUnreachable, "node %s does not answer", q.Node)
	case inner.EventType == event.ContentCopy:
		m, failure = w.copyChunk(&q, d, inner)
	default:
		w.ticketed(&q, inner)
		m, out, failure = w.performContent(d, w.remapped(&q, inner))
	}
	if failure != nil {
		return &eventpb.MeshCallReply{Envelope: event.Encode(nil, event.Failed(inner, w.now, failure))}, nil
	}
	r := &eventpb.MeshCallReply{Envelope: event.Encode(nil, event.Reply(inner, event.StateCompleted, w.now, event.Payload(m)))}
	if out != nil && q.Output != 0 {
		if len(q.OutputHash) > 0 && string(q.OutputHash) != out.id {
			return nil, missing(inos.CodeChunkCorrupt, "node %s sent other bytes", q.Node)
		}
		w.fill(q.Output, held{stored: out})
		r.OutputBytes = out.size
	}
	return r, nil
}

// lose performs a call whose answer is lost: no buffer is filled.
func (w *world) lose(e *eventpb.Envelope) {
	var q eventpb.MeshCallRequest
	w.open(e, &q)
	q.Output = 0
	_, _ = w.meshCall(&eventpb.Envelope{Id: e.Id, EventType: e.EventType, Payload: event.Payload(&q)})
}

// remapped puts the buffers of a call into what is asked.
func (w *world) remapped(q *eventpb.MeshCallRequest, inner *eventpb.Envelope) *eventpb.Envelope {
	if inner.EventType != event.ContentWrite {
		return inner
	}
	var m eventpb.ContentWriteRequest
	w.open(inner, &m)
	m.Input = q.Input
	return &eventpb.Envelope{Id: inner.Id, EventType: inner.EventType, Payload: event.Payload(&m)}
}

// ticketed checks that reads and writes carry a grant of this node for the chunk at that node.
func (w *world) ticketed(q *eventpb.MeshCallRequest, inner *eventpb.Envelope) {
	var chunk eventpb.ContentReadRequest
	verb, holder := "", w.boot.NodeId
	switch inner.EventType {
	case event.ContentRead:
		verb = verbRead
	case event.ContentWrite:
		verb = verbWrite
	default:
		return
	}
	if len(q.Ticket) > 0 {
		return // handed on; its signer is not this node
	}
	if inner.EventType == event.ContentRead {
		w.open(inner, &chunk)
	} else {
		var m eventpb.ContentWriteRequest
		w.open(inner, &m)
		chunk.ChunkId = m.ChunkId
	}
	g := q.Grant
	if g == nil || g.Verb != verb || g.Holder != holder || g.Node != q.Node || !bytes.Equal(g.ChunkId, chunk.ChunkId) || g.ExpiresUs <= int64(w.now) {
		w.problem("%s of %x at %s without a grant for it: %v", inner.EventType, chunk.ChunkId[:min(4, len(chunk.ChunkId))], q.Node, g)
	}
}

// performContent is the content memory of a node; out is the bulk of the reply.
func (w *world) performContent(d *disk, e *eventpb.Envelope) (m event.Message, out *stored, failure *inos.Error) {
	store := func(record bool) map[string]stored {
		if record {
			return d.records
		}
		return d.chunks
	}
	switch e.EventType {
	case event.ContentWrite:
		var q eventpb.ContentWriteRequest
		w.open(e, &q)
		s := w.buffer(q.Input).stored
		if s == nil || s.id != string(q.ChunkId) {
			return nil, nil, missing(inos.CodeChunkCorrupt, "the buffer holds another chunk")
		}
		if d.full {
			return nil, nil, missing(inos.CodeDiskFull, "the disk is full")
		}
		_, existed := store(q.Record)[s.id]
		store(q.Record)[s.id] = *s
		if !q.Record {
			delete(d.rotten, s.id)
			delete(d.trash, s.id)
			w.ever[s.id] = *s
			delete(w.rotted, s.id)
			delete(w.told, s.id)
		}
		return &eventpb.ContentWriteReply{Existed: existed, StoredBytes: s.size}, nil, nil
	case event.ContentRead:
		var q eventpb.ContentReadRequest
		w.open(e, &q)
		s, ok := store(q.Record)[string(q.ChunkId)]
		if !ok {
			return nil, nil, missing(inos.CodeChunkNotFound, "chunk %x is not held", q.ChunkId[:4])
		}
		if q.Record && d.withholds == "records" || !q.Record && d.withholds == "chunks" {
			d.reads++
			return nil, nil, missing(inos.CodeIO, "it does not send it")
		}
		if !q.Record && d.aside(s.id) {
			return nil, nil, missing(inos.CodeChunkCorrupt, "chunk %x does not hash to its id", q.ChunkId[:4])
		}
		return &eventpb.ContentReadReply{StoredBytes: s.size}, &s, nil
	case event.ContentMissing:
		var q eventpb.ContentMissingRequest
		w.open(e, &q)
		r := &eventpb.ContentMissingReply{}
		for _, id := range q.ChunkIds {
			if _, ok := store(q.Record)[string(id)]; !ok && !(q.Record && d.claims) {
				r.ChunkIds = append(r.ChunkIds, id)
			}
		}
		return r, nil, nil
	case event.ContentTrash:
		var q eventpb.ContentTrashRequest
		w.open(e, &q)
		r := &eventpb.ContentTrashReply{}
		for _, g := range q.Chunks {
			if s, ok := store(q.Record)[string(g.ChunkId)]; ok {
				delete(store(q.Record), s.id)
				if !q.Record {
					d.trash[s.id] = s
				}
				r.Chunks++
				r.Bytes += uint64(s.size)
			}
		}
		return r, nil, nil
	case event.ContentEmptyTrash:
		var q eventpb.ContentEmptyTrashRequest
		w.open(e, &q)
		r := &eventpb.ContentEmptyTrashReply{}
		if w.now-inos.Micros(q.BeforeUs) >= trashLife {
			return r, nil, nil // a world does not last that long
		}
		for _, id := range sortedKeys(d.trash) {
			if r.Chunks < q.Limit {
				r.Chunks++
				r.Bytes += uint64(d.trash[id].size)
				delete(d.trash, id)
			}
		}
		*d.free += r.Bytes
		return r, nil, nil
	case event.ContentInventory, event.ContentScrub:
		var q eventpb.ContentInventoryRequest
		w.open(e, &q)
		if d.mum && q.Record {
			return nil, nil, missing(inos.CodeIO, "it does not say")
		}
		held := store(q.Record)
		ids := slices.DeleteFunc(sortedKeys(held), func(id string) bool { return id <= string(q.After) })
		end := len(ids) <= int(q.Limit)
		ids = ids[:min(len(ids), int(q.Limit))]
		if e.EventType == event.ContentScrub {
			r := &eventpb.ContentScrubReply{Chunks: uint32(len(ids)), End: end}
			for _, id := range ids {
				r.Next = []byte(id)
				r.StoredBytes += uint64(held[id].size)
				if d.aside(id) || d.rotten[id] && q.Record {
					delete(held, id)
					r.Bad = append(r.Bad, []byte(id))
				}
			}
			return r, nil, nil
		}
		if q.Record && len(q.After) == 0 {
			d.lists++
		}
		if q.Record && d.lists > 1 {
			switch held := sortedKeys(held); d.fickle {
			case "none":
				ids, end = nil, true
			case "same":
				ids, end = held[:1], false
			}
		}
		r := &eventpb.ContentInventoryReply{End: end}
		for _, id := range ids {
			r.ChunkIds = append(r.ChunkIds, []byte(id))
		}
		if d.endless == "chunks" && !q.Record || d.endless == "records" && q.Record {
			r.ChunkIds, r.End = behind(q.After, int(q.Limit)), false
		}
		if d.endless == "a few chunks" && !q.Record {
			r.ChunkIds, r.End = behind(q.After, 1), false
		}
		return r, nil, nil
	case event.ContentUsage:
		r := &eventpb.ContentUsage{Chunks: uint64(len(d.chunks)), FreeBytes: *d.free, Records: uint64(len(d.records))}
		for _, s := range d.trash {
			r.TrashBytes += uint64(s.size)
		}
		return r, nil, nil
	case event.ContentProve:
		var q eventpb.ContentProveRequest
		w.open(e, &q)
		s, ok := d.chunks[string(q.ChunkId)]
		if !ok {
			return nil, nil, missing(inos.CodeChunkNotFound, "chunk %x is not held", q.ChunkId[:4])
		}
		return &eventpb.ContentProveReply{SliceBytes: 1700}, &stored{id: "slice of " + s.id, size: 1700}, nil
	}
	w.problem("a disk is asked %s", e.EventType)
	return nil, nil, missing(inos.CodeUnknownEvent, "%s", e.EventType)
}

// performRecord seals and opens commit records. A sealed record's id follows from its content.
func (w *world) performRecord(e *eventpb.Envelope) (event.Message, *inos.Error) {
	if e.EventType == event.RecordSeal {
		var q eventpb.RecordSealRequest
		w.open(e, &q)
		sealed := event.Payload(q.Record)
		id := hashOf("record", string(sealed))
		w.fill(q.Output, held{stored: &stored{id: string(id), plain: "record", entries: sealed, size: uint32(len(sealed))}})
		return &eventpb.RecordSealReply{RecordId: id, SealedBytes: uint32(len(sealed))}, nil
	}
	var q eventpb.RecordOpenRequest
	w.open(e, &q)
	s := w.buffer(q.Input).stored
	if s == nil || s.plain != "record" {
		return nil, missing(inos.CodeBadFormat, "not a record of this mesh")
	}
	r := &eventpb.RecordOpenReply{Record: &eventpb.Record{}, SignedUs: int64(w.now)}
	if err := r.Record.UnmarshalVT(s.entries); err != nil {
		w.problem("a sealed record: %v", err)
	}
	return r, nil
}

func (w *world) epochOf(node string) uint64 {
	if m := w.members[node]; m != nil {
		return m.Epoch
	}
	return 0
}

// copiesOf returns a row's copies as the semantic memory has them.
func (w *world) copiesOf(r *fakeRow) (out []*eventpb.Copy) {
	for _, node := range sortedKeys(r.copies) {
		if m := w.members[node]; m == nil || m.State != uint32(inos.MemberRemoved) {
			c := r.copies[node]
			out = append(out, &eventpb.Copy{Node: node, Trusted: c.epoch == w.epochOf(node), AuditedUs: c.audited})
		}
	}
	return out
}

// pendRecord makes a version's commit record pending.
func (w *world) pendRecord(f *eventpb.FileInfo, tombstone bool) {
	w.pendings[f.Owner+f.Path] = &eventpb.Record{File: f.CloneVT(), Tombstone: tombstone}
}

// pendFact makes the next version of a fact's record pending; nil: its tombstone.
func (w *world) pendFact(path string, fact []byte) {
	w.versions[path]++
	w.pendings[path] = &eventpb.Record{File: &eventpb.FileInfo{Path: path, Version: w.versions[path], CreatedUs: int64(w.now)}, Tombstone: fact == nil, Fact: fact}
}

// performMesh are the verbs of the semantic memory that concern more than one node.
func (w *world) performMesh(e *eventpb.Envelope) (event.Message, *inos.Error) {
	switch e.EventType {
	case event.AdmitNode:
		var q eventpb.AdmitNodeRequest
		w.open(e, &q)
		m := w.members[q.Member.Node]
		if m == nil {
			if by, used := w.invites[q.Invite]; used && q.Invite != "" && by != q.Member.Node {
				return nil, missing(inos.CodeConflict, "the invite was used by %s", by)
			}
			w.invites[q.Invite] = q.Member.Node
			m = q.Member.CloneVT()
			m.State, m.Epoch, m.JoinedUs = uint32(inos.MemberActive), 1, int64(w.now)
			w.members[m.Node] = m
			for _, id := range sortedKeys(w.rows) { // of a map from before there were members
				if c := w.rows[id].copies[m.Node]; c != nil {
					c.epoch = 1
				}
			}
		}
		return &eventpb.AdmitNodeReply{Member: m.CloneVT()}, nil
	case event.ListNodes:
		var q eventpb.ListNodesRequest
		w.open(e, &q)
		if w.page != 0 {
			q.Limit = min(q.Limit, w.page)
		}
		r := &eventpb.ListNodesReply{}
		for _, id := range sortedKeys(w.members) {
			if id <= q.After {
				continue
			}
			if len(r.Members) == int(q.Limit) {
				r.More = true
				break
			}
			m := w.members[id].CloneVT()
			m.Grant, m.Copies, m.PlacedBytes = nil, 0, 0
			for _, chunk := range sortedKeys(w.rows) {
				if w.rows[chunk].copies[id] != nil {
					m.Copies, m.PlacedBytes = m.Copies+1, m.PlacedBytes+w.rows[chunk].entry.StoredBytes
				}
			}
			r.Members = append(r.Members, m)
		}
		return r, nil
	case event.SetNode:
		var q eventpb.SetNodeRequest
		w.open(e, &q)
		m := w.members[q.Node]
		if m == nil {
			return nil, missing(inos.CodeNodeUnknown, "no node %s", q.Node)
		}
		m.Revision++
		if q.State != 0 {
			m.State = q.State
		}
		if q.SetAddrs {
			m.Addrs = q.Addrs
		}
		if m.State == uint32(inos.MemberRemoved) {
			for _, id := range sortedKeys(w.rows) {
				delete(w.rows[id].copies, q.Node)
			}
		}
		return &eventpb.SetNodeReply{Member: m.CloneVT()}, nil
	case event.DistrustNode:
		var q eventpb.DistrustNodeRequest
		w.open(e, &q)
		m := w.members[q.Node]
		if m == nil {
			return nil, missing(inos.CodeNodeUnknown, "no node %s", q.Node)
		}
		m.Epoch++
		return &eventpb.DistrustNodeReply{Epoch: m.Epoch}, nil
	case event.RaiseOrders:
		var q eventpb.RaiseOrdersRequest
		w.open(e, &q)
		before := w.ceiling
		w.ceiling = max(before, q.Ceiling)
		return &eventpb.RaiseOrdersReply{Before: before}, nil
	case event.AddCopies, event.ConfirmCopies, event.AuditCopies:
		return w.performCopies(e)
	case event.ChunkStates, event.WantRepairs:
		return w.performStates(e)
	case event.ScanChunks, event.ClaimRepairs, event.SettleRepair, event.ListRepairs, event.RetireCopy:
		return w.performRepairs(e)
	case event.Sight, event.Sighted, event.RestoreVersion, event.EndRestore:
		return w.performRestore(e)
	case event.SetReplicas, event.PendingRecords, event.SettleRecord, event.UnsettleRecords, event.UnknownRecords, event.NodeRecords:
		return w.performRecords(e)
	}
	if m, err, ok := w.performIdentity(e); ok {
		return m, err
	}
	w.problem("the host is asked %s", e.EventType)
	return nil, missing(inos.CodeUnknownEvent, "%s", e.EventType)
}

// performCopies adds, confirms and audits copies of one node.
func (w *world) performCopies(e *eventpb.Envelope) (event.Message, *inos.Error) {
	var q eventpb.AuditCopiesRequest // the others have the same fields
	w.open(e, &q)
	if q.Epoch != w.epochOf(q.Node) {
		return nil, missing(inos.CodeConflict, "epoch %d of %s is over", q.Epoch, q.Node)
	}
	var listed, unlisted [][]byte
	for _, id := range q.ChunkIds {
		row := w.rows[string(id)]
		switch {
		case row == nil || w.condemned[string(id)]:
			unlisted = append(unlisted, id)
			continue
		case row.copies[q.Node] == nil && e.EventType != event.AddCopies:
			unlisted = append(unlisted, id)
			continue
		case row.copies[q.Node] == nil:
			row.copies[q.Node] = &fakeCopy{}
		}
		c := row.copies[q.Node]
		if e.EventType == event.AuditCopies {
			if c.epoch == q.Epoch {
				c.audited = q.NowUs
			}
			continue
		}
		c.epoch = q.Epoch
		listed = append(listed, id)
	}
	switch e.EventType {
	case event.AddCopies:
		return &eventpb.AddCopiesReply{Taken: listed}, nil
	case event.ConfirmCopies:
		return &eventpb.ConfirmCopiesReply{Unlisted: unlisted}, nil
	}
	return &eventpb.AuditCopiesReply{}, nil
}

// performRecords keeps who holds which commit record.
func (w *world) performRecords(e *eventpb.Envelope) (event.Message, *inos.Error) {
	switch e.EventType {
	case event.SetReplicas:
		var q eventpb.SetReplicasRequest
		w.open(e, &q)
		if f, ok := w.keys[keyOf(q.Key)]; ok {
			return &eventpb.SetReplicasReply{File: f.CloneVT(), Repeated: true}, nil
		}
		f := w.files[q.Owner+q.Path]
		if f == nil {
			return nil, missing(inos.CodeFileNotFound, "no file %q", q.Path)
		}
		if q.Version != 0 && q.Version != f.Version {
			return nil, missing(inos.CodeConflict, "there is version %d", f.Version)
		}
		if err := w.escrow(q.Owner, q.Owner+q.Path, q.Pledge, q.Key.Id); err != nil {
			return nil, err
		}
		f = f.CloneVT()
		f.Pledged = q.Pledge
		w.versions[q.Owner+q.Path]++
		f.Version, f.ReplicasWanted = w.versions[q.Owner+q.Path], q.Replicas
		w.files[q.Owner+q.Path] = f
		w.keys[keyOf(q.Key)] = f
		w.pendRecord(f, false)
		return &eventpb.SetReplicasReply{File: f.CloneVT()}, nil
	case event.PendingRecords:
		var q eventpb.PendingRecordsRequest
		w.open(e, &q)
		r := &eventpb.PendingRecordsReply{}
		for _, at := range sortedKeys(w.pendings) {
			if p := w.pendings[at]; (q.After == nil || at > q.After.Owner+q.After.Path) && len(r.Records) < int(q.Limit) {
				r.Records = append(r.Records, p.CloneVT())
			}
		}
		return r, nil
	case event.SettleRecord:
		var q eventpb.SettleRecordRequest
		w.open(e, &q)
		return w.settleRecord(&q)
	case event.UnknownRecords:
		var q eventpb.UnknownRecordsRequest
		w.open(e, &q)
		r := &eventpb.UnknownRecordsReply{}
		for _, id := range q.RecordIds {
			if !slices.ContainsFunc(sortedKeys(w.settled), func(at string) bool { return bytes.Equal(w.settled[at].RecordId, id) }) {
				r.RecordIds = append(r.RecordIds, id)
			}
		}
		return r, nil
	case event.NodeRecords:
		var q eventpb.NodeRecordsRequest
		w.open(e, &q)
		r := &eventpb.NodeRecordsReply{}
		for _, at := range sortedKeys(w.settled) {
			s := w.settled[at]
			if at > q.After.GetOwner()+q.After.GetPath() && slices.Contains(s.Nodes, q.Node) && (w.pendings[at] == nil || w.pendings[at] == s) && len(r.Records) < int(q.Limit) {
				r.Records = append(r.Records, &eventpb.HeldRecord{Key: keyOfRecord(s), RecordId: s.RecordId})
			}
		}
		return r, nil
	}
	var q eventpb.UnsettleRecordsRequest
	w.open(e, &q)
	r := &eventpb.UnsettleRecordsReply{}
	for _, at := range sortedKeys(w.settled) {
		s := w.settled[at]
		named := len(q.RecordIds) == 0 || slices.ContainsFunc(q.RecordIds, func(id []byte) bool { return bytes.Equal(id, s.RecordId) })
		if i := slices.Index(s.Nodes, q.Node); i >= 0 && named && (q.Limit == 0 || r.Unsettled < q.Limit) {
			s.Nodes = slices.Delete(s.Nodes, i, i+1)
			if w.pendings[at] == nil {
				w.pendings[at] = s
			}
			r.Unsettled++
		}
	}
	return r, nil
}

func (w *world) settleRecord(q *eventpb.SettleRecordRequest) (event.Message, *inos.Error) {
	at := q.Key.Owner + q.Key.Path
	if q.Key.Version > w.versions[at] {
		return nil, missing(inos.CodeConflict, "%s has no version %d", at, q.Key.Version)
	}
	r := &eventpb.SettleRecordReply{}
	old := w.settled[at]
	if old != nil && old.File.Version > q.Key.Version {
		r.Needless = append(r.Needless, &eventpb.SealedRecord{RecordId: q.RecordId, Nodes: q.Nodes})
		return r, nil
	}
	now := w.pendings[at]
	if now == nil || now.File.Version != q.Key.Version {
		if old == nil || old.File.Version != q.Key.Version {
			old = &eventpb.Record{File: &eventpb.FileInfo{Owner: q.Key.Owner, Path: q.Key.Path, Version: q.Key.Version}}
		}
		now = old
	}
	nodes := slices.Clone(q.Nodes)
	if prior := w.settled[at]; prior != nil && len(prior.RecordId) > 0 {
		if bytes.Equal(prior.RecordId, q.RecordId) {
			nodes = append(nodes, prior.Nodes...)
		} else {
			r.Needless = append(r.Needless, &eventpb.SealedRecord{RecordId: prior.RecordId, Nodes: prior.Nodes})
		}
	}
	slices.Sort(nodes)
	now.RecordId, now.Nodes = q.RecordId, slices.Compact(nodes)
	w.settled[at] = now
	if q.Full && w.pendings[at] == now {
		delete(w.pendings, at)
	}
	return r, nil
}

// acknowledged checks that what a put's answer promises holds: every chunk is on two machines, where there are two. Of a version that a later one
// has replaced before it was answered nothing has to be left.
func (w *world) acknowledged(e *eventpb.Envelope) {
	var r eventpb.FilesPutReply
	put := event.WithState(event.FilesPut, event.StateCompleted)
	if e.EventType != put && e.EventType != event.WithState(event.UploadsCommit, event.StateCompleted) || len(w.others) == 0 || event.Open(e, &r) != nil || r.File == nil {
		return
	}
	if f := w.files[r.File.Owner+r.File.Path]; f == nil || f.Version > r.File.Version {
		return
	}
	w.safe(r.File.Path, string(r.File.ManifestId))
}

func (w *world) safe(path, id string) {
	hosts := map[string]bool{}
	for _, node := range w.where(id) {
		if row := w.rows[id]; row != nil && row.copies[node] != nil {
			hosts[w.members[node].Host] = true
		}
	}
	if len(hosts) < 2 {
		w.problem("%s is acknowledged and chunk %x is on %v", path, id[:4], w.where(id))
	}
	for e := range slices.Chunk(w.ever[id].entries, inos.EntryBytes) {
		w.safe(path, string(e[:inos.HashBytes]))
	}
}

// where names the nodes whose disks hold a chunk.
func (w *world) where(id string) (nodes []string) {
	if _, ok := w.chunks[id]; ok {
		nodes = append(nodes, w.boot.NodeId)
	}
	for _, node := range sortedKeys(w.others) {
		if _, ok := w.others[node].chunks[id]; ok {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// describeCall writes a call to another node.
func describeCall(e *eventpb.Envelope) string {
	var q eventpb.MeshCallRequest
	if event.Open(e, &q) != nil {
		return " undecodable"
	}
	inner, err := event.Decode(q.Envelope)
	if err != nil {
		return " " + err.Error()
	}
	line := fmt.Sprintf(" node=%s %s", q.Node, describe(inner))
	if q.Input != 0 {
		line += fmt.Sprintf(" in=%d", q.Input)
	}
	if q.Output != 0 {
		line += fmt.Sprintf(" out=%d", q.Output)
	}
	if len(q.Ticket) > 0 {
		line += " ticket"
	}
	return line
}
