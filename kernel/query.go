package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects of a query.
const (
	opQueryList    = iota + 1 // semantic:list_files
	opQueryStat               // semantic:lookup_file
	opQueryNodes              // semantic:chunk_copies
	opQueryUsage              // content:usage
	opQueryTotals             // semantic:totals
	opQueryRepairs            // semantic:list_repairs, for their number
)

// Kinds of a query.
const (
	queryList = iota
	queryStat
	queryStatus
	queryDrain
	queryKinds
)

// queries answers what needs a lookup or two: list, stat, node:status; and it holds the request to drain.
type queries struct {
	k       *Kernel
	table   map[uint64]*query
	waiting []uint64
	active  []uint64
}

type query struct {
	origin
	kind     uint8
	ended    bool // answered; waits for what is under way
	prefix   string
	narrow   uint8 // of a list in somebody else's namespace
	after    string
	limit    uint32
	fileID   []byte
	first    uint64
	file     *eventpb.FileInfo
	way      walk
	entries  []inos.Entry
	above    []inos.ChunkID // manifest nodes on the way to them
	underWay uint32
	usage    *eventpb.ContentUsage
	totals   *eventpb.TotalsReply
	repairs  uint64 // queued
	notices  []string
}

func (q *query) walk() *walk { return &q.way }
func (q *query) asks(op uint8) (*origin, ask) {
	return &q.origin, ask{owner: threadQuery, op: op, work: q.work}
}
func (q *query) count(n int32) { q.underWay = uint32(int32(q.underWay) + n) }

func (u *queries) init(k *Kernel) {
	u.k = k
	u.table = map[uint64]*query{}
}

func (u *queries) about() about {
	return about{
		name: "query", kind: "pipeline", inFlightMax: 2 * queriesMax,
		hears: []string{event.FilesList, event.FilesStat, event.NodeStatus, event.NodeDrain},
	}
}

func (u *queries) code(c *coder) {
	objects(c, &u.table, 2*(queriesMax+waitingMax), num[uint64], func(c *coder, q *query) { q.code(c) })
	list(c, &u.waiting, waitingMax, num[uint64])
	list(c, &u.active, 2*queriesMax, num[uint64])
	if c.reading && c.err == nil {
		members(c, u.table, u.waiting, u.active)
	}
}

func (q *query) code(c *coder) {
	q.origin.code(c)
	num(c, &q.kind)
	if q.kind >= queryKinds {
		c.fail("query kind %d", q.kind)
	}
	c.bool(&q.ended)
	text(c, &q.prefix)
	num(c, &q.narrow)
	if q.narrow > narrowBelow {
		c.fail("list state %d", q.narrow)
	}
	text(c, &q.after)
	num(c, &q.limit)
	c.bytes(&q.fileID)
	num(c, &q.first)
	fileInfo(c, &q.file)
	q.way.code(c)
	list(c, &q.entries, statChunksMax, func(c *coder, e *inos.Entry) { c.entry(e) })
	list(c, &q.above, statNodesMax, func(c *coder, id *inos.ChunkID) { c.fixed(id[:]) })
	num(c, &q.underWay)
	usageCode(c, &q.usage)
	totalsCode(c, &q.totals)
	num(c, &q.repairs)
	list(c, &q.notices, 8, text[string])
}

func usageCode(c *coder, p **eventpb.ContentUsage) {
	present := *p != nil
	c.bool(&present)
	if !present {
		return
	}
	if c.reading {
		*p = &eventpb.ContentUsage{}
	}
	num(c, &(*p).Chunks)
	num(c, &(*p).UsedBytes)
	num(c, &(*p).TrashBytes)
	num(c, &(*p).FreeBytes)
	num(c, &(*p).Records)
}

func totalsCode(c *coder, p **eventpb.TotalsReply) {
	present := *p != nil
	c.bool(&present)
	if !present {
		return
	}
	if c.reading {
		*p = &eventpb.TotalsReply{}
	}
	num(c, &(*p).Files)
	num(c, &(*p).PlainBytes)
	num(c, &(*p).Chunks)
	num(c, &(*p).StoredBytes)
	num(c, &(*p).CollectableChunks)
	num(c, &(*p).Uploads)
	num(c, &(*p).Copies)
	num(c, &(*p).PlacedBytes)
}

func (u *queries) hear(in *input) {
	q := &query{origin: in.origin}
	if err := u.accept(q, in.env); err != nil {
		u.k.fail(&q.origin, err)
		return
	}
	if q.kind == queryStatus {
		u.table[q.work] = q
		u.active = append(u.active, q.work)
		u.start(q)
		return
	}
	if q.kind == queryDrain {
		u.table[q.work] = q
		u.k.node.draining = true
		return
	}
	u.k.watcher.began(&q.origin)
	u.table[q.work] = q
	u.waiting = append(u.waiting, q.work)
}

func (u *queries) accept(q *query, e *eventpb.Envelope) *inos.Error {
	op := event.Stage(e.EventType)
	undecodable := func(err error) *inos.Error { return inos.Errorf(inos.CodeBadRequest, op, "%w", err) }
	if len(u.waiting) >= waitingMax || e.EventType == event.NodeStatus && len(u.active) >= 2*queriesMax {
		return busy(op, "requests", waitingMax)
	}
	switch e.EventType {
	case event.FilesList:
		var m eventpb.FilesListRequest
		if err := event.Open(e, &m); err != nil {
			return undecodable(err)
		}
		if m.Prefix != "" && m.Prefix[0] != '/' {
			return inos.Errorf(inos.CodeBadPath, op, "the prefix %.200q does not begin with /", m.Prefix)
		}
		if m.Limit > listMax || len(m.Prefix) > inos.PathBytesMax || len(m.After) > inos.PathBytesMax {
			return inos.Errorf(inos.CodeBadRequest, op, "limit %d, prefix of %d bytes, after of %d bytes; at most %d, %d, %d",
				m.Limit, len(m.Prefix), len(m.After), listMax, inos.PathBytesMax, inos.PathBytesMax)
		}
		q.kind, q.prefix, q.after, q.limit = queryList, m.Prefix, m.After, m.Limit
		if q.limit == 0 {
			q.limit = listMax
		}
		if n := len(q.prefix); q.owner != q.subject && n > 0 && q.prefix[n-1] != '/' {
			q.narrow = narrowFirst
		}
	case event.FilesStat:
		var m eventpb.FilesStatRequest
		if err := event.Open(e, &m); err != nil {
			return undecodable(err)
		}
		if err := fileNamed(op, m.Path, m.FileId); err != nil {
			return err
		}
		if m.ChunkLimit > statChunksMax {
			return inos.Errorf(inos.CodeBadRequest, op, "a page of %d chunks, at most %d", m.ChunkLimit, statChunksMax)
		}
		q.kind, q.fileID, q.first, q.limit = queryStat, m.FileId, m.FirstChunk, m.ChunkLimit
	case event.NodeStatus:
		q.kind = queryStatus
	case event.NodeDrain:
		q.kind = queryDrain
	}
	return nil
}

// act starts what waits, and answers the request to drain when nothing is left.
func (u *queries) act() {
	k := u.k
	for len(u.waiting) > 0 && len(u.active) < queriesMax && k.ready() {
		q := u.table[u.waiting[0]]
		u.waiting = u.waiting[1:]
		u.active = append(u.active, q.work)
		u.start(q)
	}
	for _, work := range slices.Concat(u.active, u.waiting) {
		q := u.table[work]
		if q == nil {
			continue
		}
		if q.deadline != 0 && q.deadline <= k.now && !q.answered {
			u.fail(q, inos.Errorf(inos.CodeDeadlineExceeded, event.Stage(q.eventType), "the request's deadline passed"))
			continue
		}
	}
	if k.node.draining && k.drained() {
		for _, work := range sortedKeys(u.table) {
			if q := u.table[work]; q.kind == queryDrain {
				k.finish(&q.origin)
				k.emit(event.Reply(q.envelope(), event.StateCompleted, k.now, nil))
				delete(u.table, work)
			}
		}
	}
}

func (u *queries) wake() (at inos.Micros) {
	for _, l := range [][]uint64{u.active, u.waiting} {
		for _, work := range l {
			if q := u.table[work]; !q.answered {
				at = earlier(at, q.deadline)
			}
		}
	}
	return at
}

// start asks for what a query needs first.
func (u *queries) start(q *query) {
	switch q.kind {
	case queryList:
		u.list(q)
	case queryStat:
		u.send(q, opQueryStat, event.LookupFile, &eventpb.LookupFileRequest{Owner: string(q.owner), Path: string(q.path), FileId: q.fileID})
	case queryStatus:
		u.send(q, opQueryUsage, event.ContentUsage, &eventpb.ContentUsageRequest{})
		if u.k.node.switchboard {
			u.send(q, opQueryTotals, event.Totals, &eventpb.TotalsRequest{})
			if u.k.members.ready() && !u.k.lone() {
				u.send(q, opQueryRepairs, event.ListRepairs, &eventpb.ListRepairsRequest{Limit: 1})
			}
		}
	}
}

// States of a list in somebody else's namespace whose prefix is no folder's: a grant covers the file of that name and the folder, never what only
// begins like them.
const (
	narrowNot   = iota
	narrowFirst // the file is asked for
	narrowBelow // what is in the folder
)

// list asks for a page.
func (u *queries) list(q *query) {
	m := &eventpb.ListFilesRequest{Owner: string(q.owner), Prefix: q.prefix, After: q.after, Limit: q.limit}
	switch {
	case q.narrow == narrowFirst && q.after < q.prefix:
		m.Limit = 1
	case q.narrow != narrowNot:
		q.narrow = narrowBelow
		m.Prefix += "/"
	}
	u.send(q, opQueryList, event.ListFiles, m)
}

func (u *queries) send(q *query, op uint8, effect string, m event.Message) {
	q.underWay++
	u.k.send(&q.origin, ask{owner: threadQuery, op: op, work: q.work}, effect, m)
}

func (u *queries) answer(a *answer) {
	q := u.table[a.work]
	q.underWay--
	if q.answered {
		if a.op == opNodeRead {
			q.way.buffer = a.buffer
		}
		u.clean(q)
		return
	}
	var err *inos.Error
	switch a.op {
	case opQueryList:
		err = u.listed(q, a)
	case opQueryStat:
		err = u.found(q, a)
	case opNodeRead:
		err = u.k.nodeRead(q, a)
	case opNodeOpen:
		if err = u.k.nodeOpened(q, a); err == nil {
			if len(q.above) < statNodesMax {
				q.above = append(q.above, q.way.want)
			}
			err = u.page(q)
		}
	case opQueryNodes:
		err = u.located(q, a)
	case opQueryUsage, opQueryTotals, opQueryRepairs:
		u.measured(q, a)
	}
	if err != nil {
		u.fail(q, because(event.Stage(q.eventType), err, string(q.path)))
		return
	}
	if q.answered {
		u.clean(q)
	}
}

func (u *queries) fail(q *query, err *inos.Error) {
	u.k.fail(&q.origin, err)
	q.underWay -= uint32(len(u.k.supervisor.cancel(threadQuery, q.work)))
	u.k.fetches.void(threadQuery, q.work)
	u.clean(q)
}

// clean forgets an answered query when nothing of it is under way.
func (u *queries) clean(q *query) {
	if q.underWay > 0 {
		return
	}
	u.k.release(&q.way.buffer)
	delete(u.table, q.work)
	u.active = slices.DeleteFunc(u.active, func(w uint64) bool { return w == q.work })
	u.waiting = slices.DeleteFunc(u.waiting, func(w uint64) bool { return w == q.work })
}

func (u *queries) listed(q *query, a *answer) *inos.Error {
	if a.err != nil {
		return a.err
	}
	var r eventpb.ListFilesReply
	if err := event.Open(a.env, &r); err != nil {
		return inos.Errorf(inos.CodeInternal, "semantic:list_files", "%w", err)
	}
	if q.narrow == narrowFirst {
		if q.narrow = narrowBelow; len(r.Files) > 0 && r.Files[0].Path == q.prefix {
			q.file = r.Files[0]
			q.limit--
		}
		if q.limit > 0 {
			u.list(q)
			return nil
		}
		r.Files, r.More = nil, true
	}
	if q.file != nil {
		r.Files = append([]*eventpb.FileInfo{q.file}, r.Files...)
	}
	reply := &eventpb.FilesListReply{Files: r.Files}
	for _, f := range r.Files {
		u.k.describeReplicas(f)
	}
	if r.More && len(r.Files) > 0 {
		reply.Next = r.Files[len(r.Files)-1].Path
	}
	u.k.complete(&q.origin, reply, plural(uint64(len(r.Files)), "file", "files"))
	return nil
}

func (u *queries) found(q *query, a *answer) *inos.Error {
	if a.err != nil {
		if a.err.Code == inos.CodeFileNotFound && q.path == "" {
			return noFile(&q.origin)
		}
		return a.err
	}
	var r eventpb.LookupFileReply
	if err := event.Open(a.env, &r); err != nil || r.File == nil {
		return inos.Errorf(inos.CodeInternal, "semantic:lookup_file", "the reply names no file")
	}
	if q.path == "" {
		if err := u.k.governance.mayRead(&q.origin, inos.Path(r.File.Path)); err != nil {
			return err
		}
		q.path = inos.Path(r.File.Path)
	}
	q.file = r.File
	u.k.describeReplicas(q.file)
	first := min(q.first, r.File.Chunks)
	if err := q.way.start(r.File, first, min(first+uint64(q.limit), r.File.Chunks)); err != nil {
		return err
	}
	return u.page(q)
}

// page collects the entries of the chunks asked for.
func (u *queries) page(q *query) *inos.Error {
	for {
		_, entry, ok, err := q.way.next()
		if err != nil {
			return err
		}
		if ok {
			q.entries = append(q.entries, entry)
			continue
		}
		if q.way.at < q.way.end {
			u.k.readNode(q)
			return nil
		}
		break
	}
	if len(q.entries) == 0 {
		u.k.complete(&q.origin, &eventpb.FilesStatReply{File: q.file}, "")
		return nil
	}
	m := &eventpb.ChunkCopiesRequest{}
	for i := range q.entries {
		m.ChunkIds = append(m.ChunkIds, q.entries[i].ChunkID[:])
	}
	for i := range q.above { // who has not got these has not got the file
		m.ChunkIds = append(m.ChunkIds, q.above[i][:])
	}
	u.send(q, opQueryNodes, event.ChunkCopies, m)
	return nil
}

func (u *queries) located(q *query, a *answer) *inos.Error {
	if a.err != nil {
		return a.err
	}
	var r eventpb.ChunkCopiesReply
	if err := event.Open(a.env, &r); err != nil || len(r.Chunks) != len(q.entries)+len(q.above) {
		return inos.Errorf(inos.CodeInternal, "semantic:chunk_copies", "%d answers to %d questions", len(r.Chunks), len(q.entries)+len(q.above))
	}
	reply := &eventpb.FilesStatReply{File: q.file}
	first := q.way.end - uint64(len(q.entries))
	for i, e := range q.entries {
		info := &eventpb.ChunkInfo{
			Index: first + uint64(i), ChunkId: e.ChunkID[:], PlainHash: e.PlainHash[:], PlainBytes: e.PlainBytes, StoredBytes: e.StoredBytes,
			Codec: uint32(e.Codec), Quality: uint32(e.Quality),
		}
		for _, held := range r.Chunks[i].Copies {
			info.Copies = append(info.Copies, u.k.members.copyInfo(held))
		}
		reply.Chunks = append(reply.Chunks, info)
	}
	reply.Receipt = u.k.held(q.file, r.Chunks)
	u.k.complete(&q.origin, reply, plural(uint64(len(q.entries)), "chunk", "chunks"))
	return nil
}
