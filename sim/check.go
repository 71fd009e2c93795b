package sim

import (
	"bytes"
	"slices"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// The checkers of moments: what must hold when a version is committed, a client is answered or a chunk is trashed.

// checkManifest holds a committed manifest against what the client sent.
func (w *World) checkManifest(v *version) {
	if v.body == nil {
		w.violate("version %d of %s is committed and no client sent it", v.number, v.info.Path)
		return
	}
	var at uint64
	var walk func(id inos.ChunkID)
	walk = func(id inos.ChunkID) {
		n, ok := parseNode(w.ever[id])
		if !ok {
			w.violate("%s: %s is no manifest node", v.info.Path, id)
			return
		}
		n.each(func(e *inos.Entry) {
			if n.level > 0 {
				walk(e.ChunkID)
				return
			}
			want := v.body.chunk(at, min(inos.ChunkBytesMax, v.body.bytes-min(at, v.body.bytes)))
			if e.PlainHash != plainHash(want) || e.Chain != chain(want, at) || !bytes.Equal(plainOf(w.ever[e.ChunkID]), want) {
				w.violate("%s version %d: the manifest has other bytes at %d than the client sent", v.info.Path, v.number, at)
			}
			at += e.PlainBytes
		})
	}
	walk(inos.ChunkID(v.info.ManifestId))
	if id := v.body.fileID(); at != v.body.bytes || !bytes.Equal(id[:], v.info.FileId) || v.info.PlainBytes != at {
		w.violate("%s version %d is committed with %d bytes, the client sent %d; file id %x, not %s", v.info.Path, v.number, at, v.body.bytes, v.info.FileId, id)
	}
}

// domainOf names the domain of a node at a level.
func (p *process) domainOf(level string) string {
	switch level {
	case "zone":
		return p.zone
	case "host":
		return p.zone + "/" + p.host
	}
	return string(p.id)
}

// levelOf is the level at which so many copies spread: the widest one with as many domains among the members; hosts when none has and there are
// two; else processes.
func (w *World) levelOf(replicas int) string {
	for _, level := range []string{"zone", "host"} {
		if w.domainsAt(level) >= replicas {
			return level
		}
	}
	if w.domainsAt("host") > 1 {
		return "host"
	}
	return "process"
}

// domainsAt counts the domains that members offer space in. What is drained counts for no target, nor for the level.
func (w *World) domainsAt(level string) int {
	seen := map[string]bool{}
	for _, p := range w.nodes {
		if p.provider && p.member && !p.removed && !p.draining {
			seen[p.domainOf(level)] = true
		}
	}
	return len(seen)
}

// spreadOf returns in how many domains of a level a chunk lies, as far as it is up to the kernels: what the world itself took from a
// disk counts.
func (w *World) spreadOf(id inos.ChunkID, level string, without *process) int {
	seen := map[string]bool{}
	for _, p := range w.nodes {
		if p != without && p.provider && p.disk.accounts(id, false) {
			seen[p.domainOf(level)] = true
		}
	}
	return len(seen)
}

// quorum is the number of domains that have to hold a version before it is acknowledged: as many as were asked for by name, else two, or as
// many as are wanted or there were. A node that comes, or comes back from a drain, while a version is on its way raises it for the next
// one: what this one waits for was settled when it began, and its receipt says in how many domains it lies.
func (w *World) quorum(v *version) int {
	now := w.safe(int(v.info.ReplicasWanted))
	r := w.truth.ops[v.key]
	switch {
	case r == nil:
		return now
	case r.op.sync > 0:
		return int(r.op.sync)
	}
	return min(now, r.safe)
}

// safe is the number of domains that something of so many replicas has to lie in before it is acknowledged, as the mesh is now.
func (w *World) safe(replicas int) int { return min(replicas, 2, w.domainsAt(w.levelOf(replicas))) }

// checkSpread holds what lies on the disks against what has to before a version may be seen or acknowledged.
func (w *World) checkSpread(when string, v *version) {
	if !slices.Contains(w.truth.history(v.info.Owner, v.info.Path).live(), v) {
		return // a later one has been acknowledged meanwhile
	}
	level, need := v.level, w.quorum(v)
	if w.domainsAt(level) < need { // nodes were drained since it was committed: it is answered for once more, when a client repeats its commit
		level = w.levelOf(int(v.info.ReplicasWanted))
	}
	for _, id := range v.chunks {
		if n := w.spreadOf(id, level, nil); n < need {
			w.violate("%s of version %d of %s: chunk %s lies in %d domains of level %s, %d are needed", when, v.number, v.info.Path, id, n, level, need)
			return
		}
	}
}

// checkReceipt holds a receipt against the disks: every chunk and the commit record lie in each domain that it names.
func (w *World) checkReceipt(v *version, r *eventpb.Receipt) {
	if r == nil {
		w.violate("version %d of %s is acknowledged without a receipt", v.number, v.info.Path)
		return
	}
	if !slices.Contains(w.truth.history(v.info.Owner, v.info.Path).live(), v) {
		return
	}
	level := r.Level
	distinct := map[string]bool{}
	for _, name := range r.Domains {
		distinct[name] = true
		for _, id := range v.chunks {
			if w.spreadOf(id, level, nil) >= int(v.info.ReplicasWanted) {
				continue // a surplus copy may have been trimmed meanwhile
			}
			if !w.inDomain(level, name, func(p *process) bool { return p.disk.accounts(id, false) }) {
				w.violate("the receipt of version %d of %s names the %s %s, where chunk %s is not", v.number, v.info.Path, level, name, id)
				return
			}
		}
		if !w.inDomain(level, name, func(p *process) bool { return w.recorded(p, v, true) }) {
			w.violate("the receipt of version %d of %s names the %s %s, where its commit record is not", v.number, v.info.Path, level, name)
		}
	}
	if hosts := w.domainsAt("host"); level == "process" && hosts > 1 && len(distinct) >= 2 {
		on := map[string]bool{}
		for _, p := range w.nodes {
			if slices.ContainsFunc(r.Domains, func(d string) bool { return sameDomain(p, level, d) }) {
				on[p.domainOf("host")] = true
			}
		}
		if len(on) < 2 {
			w.violate("the receipt of version %d of %s counts copies on one host as several while there are %d hosts", v.number, v.info.Path, hosts)
		}
	}
}

func (w *World) inDomain(level, name string, ok func(p *process) bool) bool {
	for _, p := range w.nodes {
		if sameDomain(p, level, name) && ok(p) {
			return true
		}
	}
	return false
}

// sameDomain says that a receipt's name of a domain means the process's.
func sameDomain(p *process, level, name string) bool {
	switch level {
	case "zone":
		return name == p.zone
	case "host":
		return name == p.host || name == p.zone+"/"+p.host
	}
	return name == string(p.id) || strings.HasSuffix(name, "/"+string(p.id))
}

// recorded says that the process's disk has a commit record of the version.
func (w *World) recorded(p *process, v *version, blameless bool) bool {
	for _, id := range w.truth.recordsOf[recordKey{v.info.Owner, v.info.Path, v.number}] {
		if p.disk.holds(id, true) || blameless && p.disk.spoiled[id] {
			return true
		}
	}
	return false
}

// checkPut looks at the acknowledgement of a version with a body, which came at once or in pieces.
func (w *World) checkPut(r *request, e *eventpb.Envelope) {
	m := &eventpb.FilesPutReply{}
	w.open(e, m)
	if v := w.acked(r, m.File.GetVersion(), false); v != nil {
		v.receipt, v.told = m.Receipt, w.now
		w.checkSpread("acknowledgement", v)
		w.checkReceipt(v, m.Receipt)
	}
}

// checkDone looks at an answer that is good news.
func (w *World) checkDone(r *request, e *eventpb.Envelope) {
	switch r.op.kind {
	case opPut:
		w.checkPut(r, e)
	case opDelete:
		m := &eventpb.FilesDeleteReply{}
		w.open(e, m)
		if v := w.acked(r, m.Version, true); v != nil {
			w.checkRecorded(r, v, inos.ReplicasDefault)
		}
	case opSet:
		m := &eventpb.FilesSetReply{}
		w.open(e, m)
		if v := w.acked(r, m.File.GetVersion(), false); v != nil {
			w.checkRecorded(r, v, int(v.info.ReplicasWanted))
			if v.info.ReplicasWanted != r.op.replicas {
				w.violate("%s is set to %d replicas, not %d", r.op.path, v.info.ReplicasWanted, r.op.replicas)
			}
		}
	case opUploadOpen, opUploadClaim, opUploadSend, opUploadCommit:
		w.checkUpload(r, e)
	case opGet:
		m := &eventpb.FilesGetReply{}
		w.open(e, m)
		w.checkGot(r, m)
	}
}

// checkRecorded wants the commit record of an acknowledged version on the mesh.
func (w *World) checkRecorded(r *request, v *version, replicas int) {
	if have, need := w.recordSpread(v, replicas), min(w.safe(replicas), r.safe); have < need {
		w.violate("version %d of %s is acknowledged and its commit record lies in %d domains, not %d", v.number, v.info.Path, have, need)
	}
}

// recordSpread returns in how many domains the commit record of a version lies.
func (w *World) recordSpread(v *version, replicas int) int {
	domains := map[string]bool{}
	level := w.levelOf(replicas)
	for _, p := range w.nodes {
		if p.provider && w.recorded(p, v, true) {
			domains[p.domainOf(level)] = true
		}
	}
	return len(domains)
}

// acked marks the version that an answer names.
func (w *World) acked(r *request, number uint64, tomb bool) *version {
	w.truth.changes++
	v := w.truth.history(r.owner(), r.op.path).find(number)
	switch {
	case v == nil:
		w.violate("%s of %s is acknowledged as version %d, which never was", opNames[r.op.kind], r.op.path, number)
		return nil
	case v.key != r.key() || v.tomb != tomb:
		w.violate("%s of %s is acknowledged as version %d, which another request made", opNames[r.op.kind], r.op.path, number)
	}
	v.acked = true
	return v
}

// checkFound looks at the version that a get is about to send.
func (w *World) checkFound(r *request, f *eventpb.FileInfo) {
	v := w.truth.history(r.owner(), f.GetPath()).find(f.GetVersion())
	if v == nil || v.tomb || v.body == nil {
		w.violate("get of %s finds version %d, which is not there to be read", r.op.path, f.GetVersion())
		return
	}
	if v.number < r.version {
		w.violate("get of %s finds version %d, and %d was acknowledged before it began", r.op.path, v.number, r.version)
	}
	r.found = v
}

// checkGot looks at a get that says it has sent everything.
func (w *World) checkGot(r *request, m *eventpb.FilesGetReply) {
	if r.header == nil || r.found == nil {
		w.violate("get of %s ends without a header", r.op.path)
		return
	}
	body := r.found.body
	switch {
	case r.op.discard:
	case r.op.encoded:
		if r.framed != 2 || r.pos != body.chunks() {
			w.violate("get of %s ends after %d of %d stored chunks", r.op.path, r.pos, body.chunks())
		}
	default:
		length := body.bytes - min(r.op.offset, body.bytes)
		if r.op.length >= 0 {
			length = min(length, uint64(r.op.length))
		}
		if r.pos != length || r.header.LengthBytes != length || r.header.OffsetBytes != r.op.offset {
			w.violate("get of %s ends after %d bytes; %d from %d on were asked for and %d announced", r.op.path, r.pos, length, r.op.offset, r.header.LengthBytes)
		}
	}
}

// checkFailure looks at an answer that is bad news.
func (w *World) checkFailure(r *request, err *inos.Error) {
	h := w.truth.history(r.owner(), r.op.path)
	switch err.Code {
	case inos.CodeInternal, inos.CodeBadFormat, inos.CodeBadEnvelope, inos.CodePermissionDenied, inos.CodeUnauthenticated, inos.CodeModuleFailed:
		w.violate("%s of %s fails with %s: %v", opNames[r.op.kind], r.op.path, err.Code.Name(), err)
	case inos.CodeFileNotFound:
		// It may be gone when some delete was under way since the newest version that was acknowledged before.
		if v := h.find(r.version); v != nil && !v.tomb && r.op.kind == opGet {
			for _, later := range h.versions {
				if later.tomb && later.number > v.number {
					return
				}
			}
			w.violate("get of %s finds nothing, and version %d was acknowledged before it began", r.op.path, v.number)
		}
	case inos.CodeChunkCorrupt, inos.CodeChunkNotFound, inos.CodePeerUnreachable, inos.CodeQuorumLost, inos.CodeDeadlineExceeded:
		if r.op.kind == opGet && r.op.path != "" {
			w.checkUnreadable(r, err)
		}
	}
}

// steady is how long a node has to be well before a reader may count on it.
const steady = 2 * inos.Minute

// checkUnreadable looks at a get that failed for want of a chunk: some chunk of the version must have had no intact copy on a node
// that was well all the time.
func (w *World) checkUnreadable(r *request, err *inos.Error) {
	if r.found == nil || w.now < w.troubleTo+steady {
		return
	}
	for _, id := range r.found.chunks {
		well := slices.ContainsFunc(w.nodes, func(p *process) bool {
			return p.up && !p.frozen && p.since < r.sent-steady && p.disk.holds(id, false) && !p.liar.any() && w.listed(p, id)
		})
		if !well {
			return
		}
	}
	w.violate("get of %s version %d fails although every chunk lies intact on a node that is well: %v", r.op.path, r.found.number, err)
}

// listed says that the map has the process's copy of a chunk.
func (w *World) listed(p *process, id inos.ChunkID) bool {
	copies, err := w.semantic.ChunkCopies(background, []inos.ChunkID{id})
	return err == nil && slices.ContainsFunc(copies[0], func(c inos.Copy) bool { return c.Node == p.id })
}

// askStatus has the process's kernel say how it is, as its host may at any time.
func (p *process) askStatus() {
	if p.up && !p.frozen {
		e := p.hostEnvelope(event.NodeStatus, &eventpb.NodeStatusRequest{})
		p.asked[e.Id] = true
		p.give(e)
	}
}

// checkStatus holds a kernel to its own bounds.
func (p *process) checkStatus(e *eventpb.Envelope) {
	w := p.w
	if event.StateOf(e.EventType) == event.StateFailed {
		w.violate("%s does not say how it is: %v", p, event.FailureOf(e))
		return
	}
	var m eventpb.NodeStatusReply
	w.open(e, &m)
	underWay := uint64(0)
	for _, t := range m.Threads {
		underWay += uint64(t.InFlight)
		if t.InFlightMax > 0 && t.InFlight > t.InFlightMax {
			w.violate("%s: thread %s has %d effects under way, at most %d", p, t.Name, t.InFlight, t.InFlightMax)
		}
	}
	if m.InFlight != underWay {
		w.violate("%s waits for %d effects, its threads for %d", p, m.InFlight, underWay)
	}
	if m.BufferBytes > m.BufferBytesMax {
		w.violate("%s accounts for %d bytes of buffers, at most %d", p, m.BufferBytes, m.BufferBytesMax)
	}
}

// checkTrash looks at a chunk that is about to be trashed on a disk: a guarded one keeps as many copies as it wants, or as many as it
// had to have when it was acknowledged. A copy that the map does not name, nor has let go of since the version was made, was none of the version's: the order
// is of what was collected or trimmed before, and comes late.
func (w *World) checkTrash(p *process, id inos.ChunkID) {
	if !p.disk.holds(id, false) {
		return
	}
	v := w.truth.guard()[id]
	for v != nil && w.succeeded(v) {
		v = w.truth.guard()[id]
	}
	if v == nil {
		return
	}
	if f, err := w.semantic.LookupFile(background, inos.Subject(v.info.Owner), inos.Path(v.info.Path), inos.FileID{}); (err != nil || f.Version < v.number) && w.forsaken(v) {
		return // a rebuild could not restore it
	}
	if p.retired[id] < v.at && !w.listed(p, id) {
		return
	}
	replicas := w.promised(v)
	level := w.levelOf(replicas)
	need := w.safe(replicas)
	if left := w.spreadOf(id, level, p); left < need {
		w.violate("chunk %s of version %d of %s is trashed on %s, which leaves it in %d domains of level %s", id, v.number, v.info.Path, p, left, level)
	}
}

// succeeded says that a rebuild has brought back a version behind this one that nobody was told of, and that is safe all the same: its record lies in as
// many domains as it takes to acknowledge one. From now on it is settled.
func (w *World) succeeded(v *version) bool {
	for _, x := range w.truth.history(v.info.Owner, v.info.Path).versions {
		replicas := inos.ReplicasDefault
		if !x.tomb {
			replicas = int(x.info.ReplicasWanted)
		}
		if x.number > v.number && x.restored && !x.settled && w.recordSpread(x, replicas) >= w.safe(replicas) {
			x.settled = true
			w.truth.changes++
			return true
		}
	}
	return false
}

// promised is how many replicas of a version's chunks may be counted on. A change of the number is answered when its record is safe, and repairs
// make the copies that are missing: for a while there may be as few as before, and a surplus copy that was on its way out goes.
func (w *World) promised(v *version) int {
	replicas := int(v.info.ReplicasWanted)
	r := w.truth.ops[v.key]
	if r == nil || r.op.kind != opSet || v.at < w.now-steady {
		return replicas
	}
	for _, before := range w.truth.history(v.info.Owner, v.info.Path).versions {
		if before.number < v.number && !before.tomb && before.info.ReplicasWanted < v.info.ReplicasWanted && bytes.Equal(before.info.ManifestId, v.info.ManifestId) {
			replicas = min(replicas, int(before.info.ReplicasWanted))
		}
	}
	return replicas
}

// checkTrashRecord looks at a commit record that is about to be trashed: of the newest version that was acknowledged one has to stay.
func (w *World) checkTrashRecord(p *process, id inos.ChunkID) {
	r := w.truth.records[id]
	if r == nil || !p.disk.holds(id, true) {
		return
	}
	h := w.truth.history(r.File.GetOwner(), r.File.GetPath())
	v := h.acked()
	if v == nil || r.File.GetVersion() < v.number {
		return
	}
	for other, rec := range w.truth.records {
		if rec.File.GetPath() != h.path || rec.File.GetOwner() != h.owner || rec.File.GetVersion() < r.File.GetVersion() {
			continue
		}
		for _, q := range w.nodes {
			if (q != p || other != id) && q.provider && q.disk.accounts(other, true) {
				return
			}
		}
	}
	w.violate("the last commit record of version %d of %s is trashed on %s", r.File.GetVersion(), h.path, p)
}
