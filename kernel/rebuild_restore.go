package kernel

import (
	"slices"
	"strconv"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// restoring is one commit record on its way back into the map: read, opened, its manifest walked from the bottom up and staged
// with the nodes that were seen to hold its chunks, then its version written.
type restoring struct {
	origin // without a request; carries the turn of its module calls
	held   recordHeld
	at     int           // its node's place in the order of the pass
	try    int           // of the nodes that hold the record
	rounds int           // in which they were all tried
	wrong  bool          // in this round one of them sent other bytes
	silent []inos.NodeID // of them those that did not answer; then those that are asked for a node of the manifest
	buffer uint64
	record *eventpb.Record
	upload string
	way    []*restoreStep // from the root to the open node
	want   inos.Entry     // of the node that is being read
	known  bool           // want is an entry of a parent
	staged bool           // the upload exists
}

// restoreStep is an open node of the manifest.
type restoreStep struct {
	entry   inos.Entry
	level   uint32
	entries []byte
	done    int // entries below that are staged
}

func (x *restoring) code(c *coder) {
	x.origin.code(c)
	c.bytes(&x.held.id)
	list(c, &x.held.nodes, fanoutNodesMax, text[inos.NodeID])
	num(c, &x.at)
	num(c, &x.try)
	num(c, &x.rounds)
	c.bool(&x.wrong)
	list(c, &x.silent, fanoutNodesMax, text[inos.NodeID])
	num(c, &x.buffer)
	present := x.record != nil
	c.bool(&present)
	if present {
		record(c, &x.record)
	}
	text(c, &x.upload)
	pointers(c, &x.way, levelsMax, func(c *coder, s *restoreStep) {
		c.entry(&s.entry)
		num(c, &s.level)
		c.bytes(&s.entries)
		num(c, &s.done)
		if len(s.entries)%inos.EntryBytes != 0 || s.done < 0 || s.done > len(s.entries)/inos.EntryBytes+1 || s.level >= levelsMax {
			c.fail("a manifest node of level %d with %d bytes of entries, %d done", s.level, len(s.entries), s.done)
		}
	})
	c.entry(&x.want)
	c.bool(&x.known)
	c.bool(&x.staged)
}

// restore begins with a record.
func (u *rebuilding) restore(h recordHeld) {
	// A node that answers for no record is asked last: it must not hold up those that others have too.
	slices.SortStableFunc(h.nodes, func(a, b inos.NodeID) int { return u.failing(a) - u.failing(b) })
	x := &restoring{held: h, at: u.at}
	x.work, x.eventType = u.k.work(), event.FilesPut
	x.upload = event.NewID(u.k.now, u.k.random.ten())
	u.table[x.work] = x
	u.readRecord(x)
}

// failing is 1 for a node that has not answered for the last records that were asked of it, and 0 for the others.
func (u *rebuilding) failing(node inos.NodeID) int {
	if g := u.nodes[node]; g != nil && g.failed >= recordsFailedMax {
		return 1
	}
	return 0
}

func (u *rebuilding) ask(x *restoring, op uint8) ask {
	return ask{owner: threadRebuild, op: op, work: x.work}
}

// readRecord reads the sealed record from the next node that holds it. When one does not answer, it is read in other passes, for a while. When all have
// answered and none has sent it, it is lost: a node that lies, which other passes would find no better, must not keep the map from being made.
func (u *rebuilding) readRecord(x *restoring) {
	k := u.k
	if x.try >= len(x.held.nodes) && x.wrong && x.rounds < recordReadsMax-1 {
		x.try, x.wrong = 0, false
		x.rounds++
	}
	if x.try >= len(x.held.nodes) {
		switch {
		case len(x.silent) > 0 && u.brought(x, vainSilent):
			u.withheld++
		case len(x.silent) == 0 && u.brought(x, vainRefused):
			u.refused++
		}
		u.wanting = u.wanting || len(x.silent) > 0
		u.withhold(x)
		u.hollow(x)
		u.drop(x)
		return
	}
	node := x.held.nodes[x.try]
	x.try++
	x.buffer = k.buffer()
	k.content(nil, u.ask(x, opRecordFetch), node, event.ContentRead, &eventpb.ContentReadRequest{ChunkId: x.held.id, Output: x.buffer, Record: true},
		bulk{output: x.buffer, hash: x.held.id, grant: k.readGrant(x.held.id, node)})
}

// stepped takes the end of an effect of one record.
func (u *rebuilding) stepped(x *restoring, a *answer) {
	k := u.k
	switch a.op {
	case opRecordFetch:
		node := x.held.nodes[x.try-1]
		g := u.nodes[node]
		if g == nil {
			g = &gathering{} // it was passed over meanwhile
		}
		if a.err != nil {
			x.buffer = 0
			switch a.err.Code {
			case inos.CodeChunkCorrupt:
				x.wrong = true
			case inos.CodeChunkNotFound:
			default:
				if g.failed++; !slices.Contains(x.silent, node) {
					x.silent = append(x.silent, node)
				}
			}
			u.readRecord(x)
			return
		}
		u.records++
		g.failed = 0
		u.given(x)
		k.send(nil, u.ask(x, opRecordOpen), event.RecordOpen, &eventpb.RecordOpenRequest{Input: x.buffer})
	case opRecordOpen:
		k.release(&x.buffer)
		u.opened(x, a)
	case opProbeVersion:
		u.probed(x, a)
	case opNodeRead:
		u.nodeRead(x, a)
	case opNodeOpen:
		u.nodeOpened(x, a)
	case opRestoreRoot:
		u.rooted(x, a)
	case opRestoreSighted:
		u.sighted(x, a)
	case opRestoreStage:
		x.staged = true // it may be so all the same
		if a.err != nil {
			u.unreadable(x, a.err)
			return
		}
		u.advance(x)
	case opRestore:
		u.restored(x, a)
	case opRestoreAbort:
		if a.err != nil && len(k.puts.pins) < pinsMax {
			k.puts.pins = append(k.puts.pins, x.upload)
		}
		u.drop(x)
	case opAgree:
		u.agrees(x, a)
	}
}

// opened believes a record that the host has opened: it was signed by a switchboard of the mesh.
func (u *rebuilding) opened(x *restoring, a *answer) {
	var r eventpb.RecordOpenReply
	if a.err != nil && a.err.Code != inos.CodeBadFormat {
		u.anew = true
		u.drop(x)
		return
	}
	if a.err != nil || event.Open(a.env, &r) != nil || r.Record == nil || r.Record.File == nil || r.Record.File.Version == 0 ||
		inos.CheckPath(inos.Path(r.Record.File.Path)) != nil || !r.Record.Tombstone && !whole(r.Record) {
		if u.brought(x, vainRead) {
			u.refused++
		}
		u.hollow(x)
		u.drop(x)
		return
	}
	u.filled(x.at)
	x.record = r.Record
	x.record.RecordId, x.record.Nodes = x.held.id, names(x.held.nodes)
	u.send(x, opProbeVersion)
}

// whole says that a record of a version has what the version is restored from: a file's manifest, or a fact.
func whole(r *eventpb.Record) bool {
	if r.File.Owner == "" {
		return len(r.Fact) > 0
	}
	return len(r.File.ManifestId) == inos.HashBytes
}

// send asks the semantic memory to write the version. At first only to see whether a higher one is there, or its content already is.
func (u *rebuilding) send(x *restoring, op uint8) {
	q := &eventpb.RestoreVersionRequest{Record: x.record, NowUs: int64(u.k.now)}
	if op == opRestore {
		q.Upload = x.upload
	}
	u.k.send(nil, u.ask(x, op), event.RestoreVersion, q)
}

func (u *rebuilding) probed(x *restoring, a *answer) {
	var r eventpb.RestoreVersionReply
	switch {
	case a.err != nil && a.err.Code == inos.CodeConflict && !x.record.Tombstone && x.record.File.Owner != "":
		u.open(x, inos.Entry{ChunkID: inos.ChunkID(x.record.File.ManifestId)}, false)
	case a.err != nil:
		u.unreadable(x, a.err)
	case event.Open(a.env, &r) == nil && r.Restored:
		u.versions++
		u.drop(x)
	case x.record.Tombstone || x.record.File.Owner == "":
		u.brought(x, vainRead)
		u.drop(x)
	default: // superseded, or there already
		f := x.record.File
		u.k.send(nil, u.ask(x, opAgree), event.LookupFile, &eventpb.LookupFileRequest{Owner: f.Owner, Path: f.Path})
	}
}

// agrees holds a record against the version that is there already. Of two that differ the semantic memory keeps the one that was made later
// (inos.SemanticMesh.RestoreVersion); this is the other.
func (u *rebuilding) agrees(x *restoring, a *answer) {
	var r eventpb.LookupFileReply
	f := x.record.File
	u.brought(x, vainRead)
	if a.err == nil && event.Open(a.env, &r) == nil && r.File != nil && r.File.Version == f.Version && string(r.File.ManifestId) != string(f.ManifestId) {
		u.refused++
		u.k.watcher.note("node:rebuild:v1:requested", event.StateFailed, "two records of version "+strconv.FormatUint(f.Version, 10)+" of "+f.Path+" differ; the one that was made later counts")
	}
	u.drop(x)
}

// open reads a manifest node from a node that was seen to hold it.
func (u *rebuilding) open(x *restoring, e inos.Entry, known bool) {
	x.want, x.known = e, known
	u.k.send(nil, u.ask(x, opRestoreSighted), event.Sighted, &eventpb.SightedRequest{ChunkIds: [][]byte{e.ChunkID[:]}})
}

func (u *rebuilding) nodeRead(x *restoring, a *answer) {
	k := u.k
	x.buffer = a.buffer
	if a.err != nil {
		x.buffer, u.wanting = 0, true
		if a.err.Code != inos.CodeChunkNotFound && a.err.Code != inos.CodeChunkCorrupt {
			u.withhold(x)
		}
		u.unreadable(x, nil) // whatever the nodes say: they decide nothing about how long this takes
		return
	}
	id := x.want.ChunkID
	if err := k.module(&x.origin, u.ask(x, opNodeOpen), event.OpenNode, job{input: x.buffer, key: id}, &eventpb.OpenNodeRequest{ChunkId: id[:]}); err != nil {
		u.unreadable(x, err)
	}
}

// nodeOpened takes a manifest node. What a root says has to be what the record says.
func (u *rebuilding) nodeOpened(x *restoring, a *answer) {
	k := u.k
	k.release(&x.buffer)
	if a.err != nil {
		u.unreadable(x, a.err)
		return
	}
	bad := func(what string) {
		u.unreadable(x, inos.Errorf(inos.CodeBadFormat, "read manifest", "node %s: %s", x.want.ChunkID, what))
	}
	var r eventpb.OpenNodeReply
	if event.Open(a.env, &r) != nil || len(r.Entries)%inos.EntryBytes != 0 || len(r.Entries) > inos.ManifestEntriesMax*inos.EntryBytes || r.Level >= levelsMax || len(x.way) >= levelsMax {
		bad("it does not decode")
		return
	}
	if x.known && x.way[len(x.way)-1].done > len(x.way[len(x.way)-1].entries)/inos.EntryBytes {
		panic("kernel: a manifest node below one that is staged")
	}
	s := &restoreStep{entry: x.want, level: r.Level, entries: r.Entries}
	x.way = append(x.way, s)
	if x.known {
		if parent := x.way[len(x.way)-2]; r.Level+1 != parent.level || r.Root {
			bad("it is not of the level below its parent")
			return
		}
		u.advance(x)
		return
	}
	if !r.Root || string(r.FileId) != string(x.record.File.FileId) {
		bad("it is the root of another file")
		return
	}
	x.buffer = k.buffer()
	if err := k.module(&x.origin, u.ask(x, opRestoreRoot), event.BuildNode, job{output: x.buffer, bytes: uint64(len(r.Entries))},
		&eventpb.BuildNodeRequest{Level: r.Level, Entries: r.Entries, Root: true}); err != nil {
		x.buffer = 0
		u.unreadable(x, err)
	}
}

// rooted takes the root's own entry, which no parent has.
func (u *rebuilding) rooted(x *restoring, a *answer) {
	if !a.output {
		x.buffer = 0
	}
	u.k.release(&x.buffer)
	var r eventpb.BuildNodeReply
	if a.err == nil && event.Open(a.env, &r) != nil {
		a.err = inos.Errorf(inos.CodeModuleFailed, "storage:build_node", "the reply does not decode")
	}
	if a.err != nil {
		u.unreadable(x, a.err)
		return
	}
	e, err := inos.ParseEntry(r.Entry)
	f := x.record.File
	if err != nil || e.PlainBytes != f.PlainBytes || uint64(e.Chunks) != f.Chunks {
		u.unreadable(x, inos.Errorf(inos.CodeBadFormat, "read manifest", "%s has %d bytes in %d chunks, its record says %d in %d", f.Path, e.PlainBytes, e.Chunks, f.PlainBytes, f.Chunks))
		return
	}
	e.ChunkID = inos.ChunkID(f.ManifestId) // an encoder may have changed; the node's bytes are those that were read
	x.way[0].entry = e
	u.advance(x)
}

// advance stages the manifest from the bottom up: the chunks below a node, then the node.
func (u *rebuilding) advance(x *restoring) {
	for len(x.way) > 0 {
		s := x.way[len(x.way)-1]
		count := len(s.entries) / inos.EntryBytes
		if s.level > 0 && s.done < count {
			e, err := inos.ParseEntry(s.entries[s.done*inos.EntryBytes:])
			if err != nil {
				u.unreadable(x, inos.Errorf(inos.CodeBadFormat, "read manifest", "%w", err))
				return
			}
			u.open(x, e, true)
			return
		}
		if s.done <= count {
			u.look(x, s, count)
			return
		}
		if x.way = x.way[:len(x.way)-1]; len(x.way) > 0 {
			x.way[len(x.way)-1].done++
		}
	}
	u.send(x, opRestore)
}

// look asks who was seen to hold the next chunks of a leaf, or, behind the last, the node itself.
func (u *rebuilding) look(x *restoring, s *restoreStep, count int) {
	q := &eventpb.SightedRequest{}
	for i := s.done; s.level == 0 && i < min(count, s.done+rowsPerStage); i++ {
		q.ChunkIds = append(q.ChunkIds, s.entries[i*inos.EntryBytes:i*inos.EntryBytes+inos.HashBytes])
	}
	if len(q.ChunkIds) == 0 {
		q.ChunkIds = [][]byte{s.entry.ChunkID[:]}
	}
	x.want = inos.Entry{}
	u.k.send(nil, u.ask(x, opRestoreSighted), event.Sighted, q)
}

// sighted takes who holds what was asked for: a manifest node that is to be read, or chunks that are to be staged.
func (u *rebuilding) sighted(x *restoring, a *answer) {
	k := u.k
	var r eventpb.SightedReply
	if a.err != nil || event.Open(a.env, &r) != nil || len(r.Chunks) == 0 || len(r.Chunks) > rowsPerStage {
		u.unreadable(x, a.err)
		return
	}
	if x.want.ChunkID != (inos.ChunkID{}) {
		var copies []*eventpb.Copy
		x.silent = known(u, r.Chunks[0].Nodes)
		for _, node := range x.silent {
			copies = append(copies, &eventpb.Copy{Node: string(node), Trusted: true})
		}
		if len(copies) == 0 {
			u.unreadable(x, nil)
			return
		}
		k.fetch(nil, u.ask(x, opNodeRead), x.want.ChunkID, 0, copies)
		return
	}
	s := x.way[len(x.way)-1]
	count := len(s.entries) / inos.EntryBytes
	q := &eventpb.StageChunksRequest{Upload: x.upload, Owner: x.record.File.Owner}
	for i, held := range r.Chunks {
		row := &eventpb.ChunkRow{Promised: x.record.File.ReplicasWanted}
		if s.done < count {
			at := (s.done + i) * inos.EntryBytes
			if at >= len(s.entries) {
				break
			}
			row.Entry = s.entries[at : at+inos.EntryBytes]
		} else {
			row.Entry, row.Node = inos.AppendEntry(nil, &s.entry), true
			for e := range slices.Chunk(s.entries, inos.EntryBytes) {
				row.Children = append(row.Children, e[:inos.HashBytes])
			}
		}
		row.Nodes = slices.DeleteFunc(held.Nodes, func(node string) bool { return !k.members.has(inos.NodeID(node)) })
		if len(row.Nodes) == 0 {
			u.unreadable(x, nil)
			return
		}
		q.Chunks = append(q.Chunks, row)
	}
	if s.done < count {
		s.done += len(q.Chunks)
	} else {
		s.done++
	}
	k.send(nil, u.ask(x, opRestoreStage), event.StageChunks, q)
}

func (u *rebuilding) restored(x *restoring, a *answer) {
	if a.err != nil {
		u.unreadable(x, a.err)
		return
	}
	var r eventpb.RestoreVersionReply
	if event.Open(a.env, &r) == nil && r.Restored {
		u.versions++
	}
	u.drop(x)
}

// passing says that an error may be none the next time.
func passing(err *inos.Error) bool {
	switch err.Code {
	case inos.CodeIO, inos.CodeDiskFull, inos.CodeReadOnly, inos.CodeBusy, inos.CodeDeadlineExceeded, inos.CodeCanceled, inos.CodeShuttingDown, inos.CodeWorkerLost:
		return true
	}
	return false
}

// unreadable gives a version up for this pass: its manifest or a chunk is nowhere, or the memory does not take it. A fault that may pass has
// another pass follow.
func (u *rebuilding) unreadable(x *restoring, err *inos.Error) {
	k := u.k
	if err != nil && (passing(err) || err.Code == inos.CodeNodeUnknown) {
		u.anew = true
	} else if first := u.brought(x, vainRead); first && len(u.bad) < unreadableMax {
		u.bad = append(u.bad, x.record)
	} else if first {
		u.badMore++
	}
	if x.staged {
		k.send(nil, u.ask(x, opRestoreAbort), event.AbortUpload, &eventpb.AbortUploadRequest{Upload: x.upload})
		return
	}
	u.drop(x)
}

// withhold notes that nodes do not answer for what nobody else gives: if that is so in the last pass, they are not read whole.
func (u *rebuilding) withhold(x *restoring) {
	for _, node := range x.silent {
		if _, over := u.over[node]; !over {
			u.overlook(node, "does not give a commit record, or a part of a manifest, that it was seen to hold", false)
		}
	}
}

func (u *rebuilding) drop(x *restoring) {
	u.k.release(&x.buffer)
	delete(u.table, x.work)
}
