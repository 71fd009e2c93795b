package kernel

import (
	"slices"
	"strconv"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// degradedReason says what one node's copy is worth.
const degradedReason = "this mesh has one node: the file survives a crash of the node, not the loss of its disk"

// stage hands written rows to the semantic memory in batches, one at a time. The last ones go with the commit, which waits for copies
// that are late: a moment, and as long as they are under way when no quorum of domains has everything without them.
func (u *puts) stage(p *put) {
	switch {
	case len(p.staging) > 0:
	case p.root != nil && len(p.rows) <= rowsPerStage:
		if p.patience == 0 {
			p.patience = u.k.now + commitPatience
		}
		if len(p.writes) > 0 && (p.patience > u.k.now || u.scattered(p)) || u.doubtful(p) || !u.solid(p, p.rows) {
			return
		}
		u.sendCommit(p)
	case len(p.rows) >= rowsPerStage:
		if u.solid(p, p.rows[:rowsPerStage]) {
			u.sendStage(p)
		}
	}
}

func (u *puts) sendStage(p *put) {
	n := min(len(p.rows), rowsPerStage)
	p.staging, p.rows = slices.Clone(p.rows[:n]), slices.Clone(p.rows[n:])
	q := &eventpb.StageChunksRequest{Upload: p.upload, Owner: string(p.owner)}
	for _, r := range p.staging {
		q.Chunks = append(q.Chunks, u.chunkRow(p, r))
	}
	u.send(p, opStage, 0, event.StageChunks, 0, q)
}

// staged takes the end of a batch.
func (u *puts) staged(p *put, a *answer) *inos.Error {
	if a.err != nil {
		u.unstaged(p)
		if u.membersChanged(p, a.err) {
			return nil
		}
		p.pinned = true // it may have happened all the same
		return a.err
	}
	u.stagedRows(p)
	return nil
}

// membersChanged has a step tried again that named a node which has been removed from the mesh: its copies are forgotten.
func (u *puts) membersChanged(p *put, err *inos.Error) bool {
	if err.Code != inos.CodeNodeUnknown || p.retries >= retriesMax {
		return false
	}
	p.again = u.k.now + u.backoff(p)
	return true
}

// unstaged takes back the rows of a batch that failed.
func (u *puts) unstaged(p *put) {
	u.unrowed(p.staging)
	p.rows, p.staging = append(p.staging, p.rows...), nil
}

// stagedRows lets go of rows that the semantic memory has.
func (u *puts) stagedRows(p *put) {
	p.pinned = true
	rows := p.staging
	p.staging = nil
	u.rowed(p, rows)
}

// sendCommit makes the file visible, with the rows that are left.
func (u *puts) sendCommit(p *put) {
	p.phase = putCommitted
	p.staging, p.rows = p.rows, nil
	root := p.root
	q := &eventpb.CommitFileRequest{Upload: p.upload, Quota: p.quota, Pledge: pledgeOf(p.wanted, p.stored)}
	for _, r := range p.staging {
		q.Chunks = append(q.Chunks, u.chunkRow(p, r))
	}
	q.Key = p.key()
	q.File = &eventpb.FileInfo{
		Owner: string(p.owner), Path: string(p.path), FileId: root.fileID[:], ManifestId: root.entry.ChunkID[:],
		PlainBytes: p.got, StoredBytes: p.stored, Chunks: p.tree.chunks, ContentType: p.contentType,
		ReplicasWanted: p.wanted, ReplicasReached: min(p.wanted, u.reach(p, nil, false).least), CreatedUs: int64(u.k.now),
	}
	u.send(p, opCommit, 0, event.CommitFile, 0, q)
}

// committed answers the client. A commit whose outcome is not known is repeated: the verb is idempotent.
func (u *puts) committed(p *put, a *answer) {
	if a.err != nil {
		if a.err.Code == inos.CodeIO && p.retries < retriesMax {
			p.again = u.k.now + u.backoff(p)
			return
		}
		u.unstaged(p)
		if u.membersChanged(p, a.err) {
			p.phase = putRunning // whether its chunks are still safe is looked at again
			return
		}
		u.fail(p, because(p.stage(), a.err, string(p.path)))
		return
	}
	var r eventpb.CommitFileReply
	if err := event.Open(a.env, &r); err != nil || r.File == nil {
		u.unstaged(p)
		u.fail(p, inos.Errorf(inos.CodeInternal, p.stage(), "%s: the commit's reply names no file", p.path))
		return
	}
	p.phase, p.retries, p.file, p.repeated = putRecording, 0, r.File, r.Repeated
	u.k.collector.changed()
	if p.quota != nil {
		u.k.governance.access.spent(p.owner, p.subject)
	}
	var prefer, within []inos.NodeID
	if s := u.fanouts[p.root.fanout]; s != nil {
		prefer = s.kept()
	}
	if !u.k.lone() && !r.Repeated { // of a repetition it is not known any more where the earlier request's chunks are
		everything := u.reach(p, nil, false).domains
		within = slices.DeleteFunc(slices.Clone(prefer), func(n inos.NodeID) bool { return !slices.Contains(everything, u.k.members.domain(n, p.wanted)) })
	}
	if r.Repeated {
		// What this put wrote is referred to by nobody: it goes to the collector when the request has its answer.
		u.unstaged(p)
	} else {
		u.stagedRows(p)
		u.wantShorts(p)
	}
	if p.pinned && p.tree.chunks >= pinsAtOnce && len(u.pins) < pinsMax {
		u.pins = append(u.pins, p.upload) // more than go with the commit's own transaction
		u.pinsAt = u.k.now + unpinEvery
	}
	p.shorts = nil
	u.k.records.write(&p.origin, threadPut, &eventpb.Record{File: r.File}, p.quorum, prefer, within)
}

// recorded answers the client when the commit record is safe, on nodes; err says that this takes too long.
func (u *puts) recorded(work uint64, nodes []inos.NodeID, err *inos.Error) {
	p := u.table[work]
	k := u.k
	if err != nil {
		k.fail(&p.origin, because(p.stage(), err, string(p.path)))
	} else {
		held := u.reach(p, nil, false)
		held.count(k, nodes, p.wanted)
		if p.repeated {
			held = holding{least: p.quorum} // where the earlier request's are is not known any more
		}
		u.receiptGiven(p)
		k.describeReplicas(p.file)
		detail := plural(p.file.PlainBytes, "byte", "bytes") + ", stored in " + strconv.FormatUint(p.file.StoredBytes, 10)
		if all, _ := k.members.domains(p.wanted); p.saved > 0 && held.least < min(p.wanted, all) {
			k.repairs.rescan() // chunks that were found have the copies that another file wanted
		}
		if p.saved > 0 {
			detail += ", " + strconv.FormatUint(p.saved, 10) + " held already"
		}
		k.complete(&p.origin, &eventpb.FilesPutReply{File: p.file, DeduplicatedBytes: p.saved, Receipt: k.receipt(p.wanted, held.least, held.domains)}, detail)
	}
	if p.repeated {
		p.phase = putFailing
		u.clean(p)
		return
	}
	u.remove(p)
}

// receiptGiven marks the copies that count for a put's receipt and are in no row yet.
func (u *puts) receiptGiven(p *put) {
	for _, work := range sortedKeys(u.fanouts) {
		if s := u.fanouts[work]; s.put == p.work {
			for _, x := range s.copies {
				x.receipt = x.state == copyWritten || x.state == copyStaging || x.state == copyNamed
			}
		}
	}
}

// receipt says what a file survives whose chunks are each in so many domains, and all of them in those named.
func (k *Kernel) receipt(wanted, least uint32, domains []string) *eventpb.Receipt {
	return &eventpb.Receipt{Level: k.members.level(wanted), Domains: domains, Wanted: wanted, Survives: k.members.survives(least, wanted)}
}

// describeReplicas says whether a file has the replicas it wants.
func (k *Kernel) describeReplicas(f *eventpb.FileInfo) {
	f.Degraded = f.ReplicasReached < f.ReplicasWanted
	f.DegradedReason = ""
	switch {
	case f.Degraded && k.lone():
		f.DegradedReason = degradedReason
	case f.Degraded:
		f.DegradedReason = "stored in " + plural(uint64(f.ReplicasReached), "domain", "domains") + " of " + strconv.FormatUint(uint64(f.ReplicasWanted), 10) + " wanted: the rest follows as repair when the mesh has them"
	}
}

// fail answers the client and starts to take back what the put has done: nothing new is asked, what is under way is
// awaited (it uses the buffers), then what was written is given to the collector.
func (u *puts) fail(p *put, err *inos.Error) {
	if p.phase >= putFailing {
		return
	}
	u.k.fail(&p.origin, err)
	if p.phase == putWaiting {
		u.remove(p)
		return
	}
	p.phase, p.retries, p.again = putFailing, 0, 0
	for _, j := range u.k.supervisor.cancel(threadPut, p.work) {
		p.underWay--
		u.unfilled(p, j.op, j.slot)
	}
	u.k.fetches.void(threadPut, p.work)
	u.unliveFound(p, p.check)
	u.unliveFound(p, p.pin)
	p.check, p.pin = nil, nil
	for _, work := range p.writes {
		u.fanouts[work].again = 0
	}
	u.clean(p)
}

// settle takes the end of an effect of a put that has failed already.
func (u *puts) settle(p *put, a *answer) {
	switch a.op {
	case opRead:
		x := p.chunk(a.slot)
		if a.err != nil {
			x.input, x.raw = 0, 0
		} else if x.filled(a, &eventpb.StreamReadReply{}) != nil {
			x.raw = 0 // a number that nothing fills
		}
	case opEncode, opBuild:
		if !a.output {
			u.unfilled(p, a.op, a.slot)
		}
	case opMissing, opFoundCopies:
		u.unliveFound(p, p.checking)
		p.checking = nil // of several questions the first end lets go
	case opReread, opBring:
		u.k.release(&a.buffer)
	case opFill:
		if a.err != nil {
			u.unstaged(p)
			break
		}
		rows := p.staging
		p.staging = nil
		u.rowed(p, rows)
	case opPin:
		u.unliveFound(p, p.pinning)
		p.pinning = nil
		p.pinned = true
	case opStage:
		switch {
		case a.err == nil:
			p.retries = 0
			u.stagedRows(p)
		default:
			u.unstaged(p)
			if p.phase == putCleaning {
				u.later(p)
				return
			}
		}
	case opAbort:
		if a.err != nil {
			u.later(p)
			return
		}
		u.k.collector.changed()
		u.remove(p)
		return
	}
	u.clean(p)
}

// clean gives a failed put's chunks to the collector: their rows are staged, so that the semantic memory knows them,
// and the upload's pin is dropped, so that nothing refers to them. They are not trashed here: another put may have
// written the same chunk meanwhile, and only references tell.
func (u *puts) clean(p *put) {
	if p.underWay > 0 || slices.ContainsFunc(p.writes, func(work uint64) bool { return u.fanouts[work].outstanding() }) {
		return
	}
	if p.phase == putFailing {
		u.letGo(p)
	}
	switch {
	case len(p.rows) > 0:
		u.sendStage(p)
	case p.aborts():
		u.send(p, opAbort, 0, event.AbortUpload, 0, &eventpb.AbortUploadRequest{Upload: p.upload})
	default:
		u.remove(p)
	}
}

// letGo gives back what a failed put holds, when nothing of it is under way.
func (u *puts) letGo(p *put) {
	p.phase = putCleaning
	if p.assembles() {
		p.upload, p.pinned = event.NewID(u.k.now, u.k.random.ten()), false // its upload may be ended at any time
	}
	for ; p.asked > 0; p.asked-- {
		u.k.unreserve(&u.buffers)
	}
	for _, work := range slices.Clone(p.writes) {
		u.leftover(p, u.fanouts[work])
	}
	for _, x := range p.chunks {
		if x.state < chunkWriting {
			u.k.release(&x.input, &x.output, &x.raw)
			u.k.unreserve(&u.buffers)
		}
	}
	for _, n := range p.tree.nodes {
		u.k.release(&n.output)
		if s := u.fanouts[n.fanout]; n.state == nodeDone && s != nil {
			u.leftover(p, s)
			u.settleFanout(s, p)
			if u.k.lone() {
				u.k.collector.sweepWanted()
			}
		}
	}
	for _, work := range slices.Clone(p.writes) {
		u.settleFanout(u.fanouts[work], p)
	}
	p.writes = nil
	p.chunks, p.ask, p.asking, p.twins, p.tree, p.root = nil, nil, nil, nil, tree{}, nil
}

// later tries a step again after a pause, a bounded number of times. What then is left is found by a sweep of the disks; a pin is
// tried to be dropped now and then.
func (u *puts) later(p *put) {
	if p.retries < retriesMax {
		p.again = u.k.now + u.backoff(p)
		return
	}
	u.drop(p, p.rows)
	u.k.collector.sweepWanted()
	if p.aborts() && len(u.pins) < pinsMax {
		u.pins = append(u.pins, p.upload)
		u.pinsAt = u.k.now + unpinEvery
	}
	u.remove(p)
}

// unpin tries once more to drop the pin of an upload that could not be dropped when its put ended.
func (u *puts) unpin() {
	if len(u.pins) > 0 && !u.unpinning && u.pinsAt <= u.k.now && !u.k.node.draining {
		u.unpinning = true
		u.k.send(nil, ask{owner: threadPut, op: opUnpin}, event.AbortUpload, &eventpb.AbortUploadRequest{Upload: u.pins[0]})
	}
}

func (u *puts) unpinned(a *answer) {
	u.unpinning = false
	u.pinsAt = u.k.now + unpinEvery
	if a.err == nil {
		u.pins, u.pinsAt = u.pins[1:], u.k.now
		u.k.collector.changed()
	}
}

// backoff returns the next pause.
func (u *puts) backoff(p *put) inos.Micros {
	p.retries++
	return min(retryBackoffMin<<(p.retries-1), retryBackoffMax)
}

// retry does the step again that failed.
func (u *puts) retry(p *put) {
	switch p.phase {
	case putRunning:
		u.advance(p)
	case putCommitted:
		u.unstaged(p)
		u.sendCommit(p)
	default:
		u.clean(p)
	}
}
