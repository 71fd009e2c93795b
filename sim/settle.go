package sim

import (
	"fmt"
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// settleWithin is how long after the faults have stopped everything has to be whole and quiet.
const settleWithin = 40 * inos.Minute

// quarantineFor is how long a kernel does not try an input that killed two workers.
const quarantineFor = 15 * inos.Minute

// settle waits until everything is whole and quiet, and reads everything back; then, in some worlds, it does the same with a map that has been
// made again.
func (w *World) settle() {
	w.quieten()
	w.readAll()
	w.putOne()
	if w.plan.rebuild && !w.over {
		w.people()
		w.quieten()
		facts, kept := w.facts(), w.factsKept()
		w.remake()
		w.run(w.now + inos.Minute)
		w.quieten()
		w.compare()
		if kept {
			w.compareFacts(facts)
		}
		w.writeAll()
		w.quieten()
		w.readAll()
	}
	w.stopAll()
}

// stopWithin is how long a process that is stopped in order may take to end what is under way.
const stopWithin = 2 * inos.Minute

// stopAll stops the processes in order, the switchboard first: one that has nothing left to do must know it. What a kernel has forgotten to let go of
// shows here, before it is so much that something stops.
func (w *World) stopAll() {
	for _, p := range w.nodes {
		if w.over || !p.up || p.frozen {
			continue
		}
		e := p.hostEnvelope(event.NodeDrain, &eventpb.NodeStatusRequest{})
		p.asked[e.Id] = true
		p.give(e)
		for limit := w.now + stopWithin; w.now < limit && !w.over && p.asked[e.Id]; {
			w.run(w.now + inos.Second)
		}
		if !w.over && p.asked[e.Id] {
			w.violate("%s was stopped in order and has not come to rest after %d minutes", p, stopWithin/inos.Minute)
		}
	}
}

// quieten waits until everything is whole and quiet.
func (w *World) quieten() {
	limit := w.now + settleWithin
	for w.now < limit && !w.over && w.unsettled() != "" {
		w.forget()
		w.giveUp()
		w.run(w.now + 5*inos.Second)
	}
	if w.over {
		return
	}
	if what := w.unsettled(); what != "" {
		w.violate("%d minutes after the faults have stopped: %s", settleWithin/inos.Minute, what)
	}
}

// forsaken says that a version lost a chunk through the world's own doing: it had to be on one domain only, and that one lied or went bad after
// its copy had been proved, before somebody wanted more replicas too.
func (w *World) forsaken(v *version) bool {
	return (v.late || w.quorum(v) < 2) && slices.ContainsFunc(v.chunks, w.spoilt)
}

// spoilt says that no disk has a chunk, and that one had it until the world took it. A copy that the map has let go of, and that is there because
// the order was lost, is none.
func (w *World) spoilt(id inos.ChunkID) bool {
	held := slices.ContainsFunc(w.nodes, func(p *process) bool {
		return !p.liar.any() && p.disk.holds(id, false) && (p.retired[id] == 0 || w.listed(p, id))
	})
	return !held && slices.ContainsFunc(w.nodes, func(p *process) bool { return p.disk.accounts(id, false) })
}

// unsettled says what is not whole or quiet yet.
func (w *World) unsettled() string {
	if n := len(w.clients.open); n > 0 {
		for _, k := range sortedKeys(w.clients.open) {
			r := w.clients.open[k]
			return fmt.Sprintf("%d requests are not answered, %s of %s among them", n, opNames[r.op.kind], r.op.path)
		}
	}
	t, err := w.semantic.Totals(background)
	if err != nil {
		w.violate("totals: %v", err)
	}
	switch {
	case t.Uploads > 0:
		return fmt.Sprintf("%d uploads keep their pins", t.Uploads)
	case t.Collectable > 0:
		return fmt.Sprintf("%d chunks that nothing refers to are not collected", t.Collectable)
	}
	pending, err := w.semantic.PendingRecords(background, inos.RecordKey{}, 0)
	if err != nil {
		w.violate("pending records: %v", err)
	}
	for _, r := range pending {
		wanted := int(r.File.ReplicasWanted)
		if r.Tombstone || r.File.Owner == "" {
			wanted = inos.ReplicasDefault
		}
		if can := w.possible(wanted); can >= wanted || r.File.Owner == "" && can >= 2 && len(r.Nodes) < can {
			return fmt.Sprintf("the record of version %d of %s is pending", r.File.Version, r.File.Path)
		}
	}
	repairs, total, err := w.semantic.ListRepairs(background, 0)
	if err != nil {
		w.violate("repairs: %v", err)
	}
	for _, r := range repairs {
		if w.repairable(r.ID) {
			return fmt.Sprintf("%d repairs are queued, of chunk %s (%s) among them", total, r.ID, r.Reason)
		}
	}
	for _, p := range w.nodes {
		if p.up && len(p.buffers) > 0 {
			return fmt.Sprintf("%s keeps %d buffers", p, len(p.buffers))
		}
	}
	if p := w.unlooked(); p != nil {
		return fmt.Sprintf("%s has come back from a crash, and what it holds was trusted all the while", p)
	}
	if s := w.short(); s != "" {
		return s
	}
	if s := w.unrecorded(); s != "" {
		return s
	}
	if s := w.orphans(); s != "" {
		return s
	}
	return w.stray()
}

// stray names a chunk that has a row although no live version reaches it.
func (w *World) stray() string {
	live := map[inos.ChunkID]bool{}
	for _, h := range w.truth.sorted() {
		from := 0
		for i, v := range h.versions {
			if v.settled {
				from = i // what is before may be let go of, what is after it waits for its record
			}
		}
		for _, v := range h.versions[from:] {
			for _, id := range v.chunks {
				live[id] = true
			}
		}
	}
	for after, end := (inos.ChunkID{}), false; !end; {
		var states []inos.ChunkState
		var err error
		if states, end, err = w.semantic.ScanChunks(background, after, 0); err != nil {
			w.violate("scan: %v", err)
			return ""
		}
		for i := range states {
			if after = states[i].ID; !live[after] {
				return fmt.Sprintf("chunk %s has a row and no live version reaches it", after)
			}
		}
	}
	return ""
}

// repairable says that the mesh has the domains that a chunk of a live file wants: its repair need not wait.
func (w *World) repairable(id inos.ChunkID) bool {
	v := w.truth.guard()[id]
	if v != nil && w.forsaken(v) {
		return false
	}
	return v == nil || w.possible(int(v.info.ReplicasWanted)) == int(v.info.ReplicasWanted)
}

// possible is how many of so many wanted copies can be made now. A liar cannot be made to hold one, and is given none once it is named.
func (w *World) possible(replicas int) int {
	level := w.levelOf(replicas)
	usable := map[string]bool{}
	for _, p := range w.nodes {
		if w.usable(p) && !p.liar.any() {
			usable[p.domainOf(level)] = true
		}
	}
	return min(replicas, len(usable))
}

// short names a live version that has fewer copies than it wants and could have.
func (w *World) short() string {
	for _, h := range w.truth.sorted() {
		v := h.last()
		if v == nil || v.tomb || w.forsaken(v) {
			continue
		}
		for _, id := range v.chunks {
			// A chunk that several files share spreads as the one does that wants most.
			wanted := int(v.info.ReplicasWanted)
			if most := w.truth.guard()[id]; most != nil {
				wanted = max(wanted, int(most.info.ReplicasWanted))
			}
			level, need := w.levelOf(wanted), w.possible(wanted)
			have := map[string]bool{}
			for _, p := range w.nodes {
				if w.usable(p) && p.disk.holds(id, false) {
					have[p.domainOf(level)] = true
				}
			}
			if len(have) < need {
				return fmt.Sprintf("chunk %s of %s version %d lies in %d domains of level %s, %d are wanted and possible", id, h.path, v.number, len(have), level, need)
			}
		}
	}
	return ""
}

// unrecorded names a version whose commit record lies on fewer nodes than it wants and could, or a record that lies on a disk for nothing. Records
// stay where they are when the mesh gets wider domains, and none is trashed while the map has a version of which it knows no record on a node that is
// alive, nor behind a rebuild that could not restore everything: with more nodes another one might.
func (w *World) unrecorded() string {
	for _, h := range w.truth.sorted() {
		v := h.last()
		if v == nil || !v.tomb && w.forsaken(v) {
			continue
		}
		wanted := inos.ReplicasDefault
		if !v.tomb {
			wanted = int(v.info.ReplicasWanted)
		}
		have, need := 0, w.possible(wanted)
		if !v.acked && !v.settled && need < w.safe(wanted) {
			continue // nobody was told of it, and it cannot be made safe any more: fewer domains are left than that takes
		}
		for _, p := range w.nodes {
			if w.usable(p) && w.recorded(p, v, false) {
				have++
			}
		}
		if have < need {
			return fmt.Sprintf("the record of version %d of %s lies on %d nodes, %d are wanted and possible", v.number, h.path, have, need)
		}
	}
	if w.bare() || w.lacking() {
		return ""
	}
	for _, p := range w.nodes {
		if !p.up || !p.member || p.removed || p.liar.any() {
			continue
		}
		ids := p.disk.list(true)
		unknown, err := w.semantic.UnknownRecords(background, ids)
		if err != nil {
			w.violate("unknown records: %v", err)
		}
		if len(unknown) > 0 {
			return fmt.Sprintf("%d records of no version that stays lie on %s, %s among them", len(unknown), p, unknown[0])
		}
	}
	return ""
}

// lacking says that a rebuild could not restore a version, by the world's doing.
func (w *World) lacking() bool {
	for _, h := range w.truth.sorted() {
		if v := h.last(); w.rebuilding && v != nil && !v.tomb && !v.restored && w.forsaken(v) {
			return true
		}
	}
	return w.lacked
}

// bare says that the map has a version of which it knows no record on a node that is alive.
func (w *World) bare() bool {
	var after inos.RecordKey
	for {
		page, err := w.semantic.PendingRecords(background, after, 0)
		if err != nil {
			w.violate("pending records: %v", err)
		}
		if len(page) == 0 {
			return false
		}
		for i := range page {
			r := &page[i]
			if r.RecordID == (inos.ChunkID{}) || !slices.ContainsFunc(w.nodes, func(p *process) bool { return p.up && slices.Contains(r.Nodes, p.id) }) {
				return true
			}
			after = inos.RecordKey{Owner: r.File.Owner, Path: r.File.Path, Version: r.File.Version}
		}
	}
}

// usable says that a node's copies count when everything is well.
func (w *World) usable(p *process) bool {
	return p.provider && p.member && !p.lost && !p.removed && !p.draining && p.up && !p.frozen
}

// orphans names a chunk that lies on a disk for nothing.
func (w *World) orphans() string {
	for _, p := range w.nodes {
		if !p.up || p.removed || p.liar.any() {
			continue
		}
		ids := p.disk.list(false)
		unknown, err := w.semantic.UnknownChunks(background, ids)
		if err != nil {
			w.violate("unknown chunks: %v", err)
		}
		if len(unknown) > 0 {
			return fmt.Sprintf("%d chunks without a row lie on %s, %s among them", len(unknown), p, unknown[0])
		}
	}
	return ""
}

// writeAll puts every path once more: versions go on where they were before the rebuild, those of deleted paths too.
func (w *World) writeAll() {
	if w.over {
		return
	}
	for _, h := range w.truth.sorted() {
		if h.last() == nil {
			continue
		}
		who := 0
		if h.owner == sessions[1].Subject {
			who = 1
		}
		w.ask(&op{kind: opPut, who: who, path: h.path, body: body{name: 7, bytes: 1000}, tries: 100})
	}
	w.run(w.now + inos.Minute)
}

// putOne holds a mesh that is whole and quiet to taking a file: one that refuses everything has nothing to lose.
func (w *World) putOne() {
	if safe := w.safe(inos.ReplicasDefault); w.over || safe == 0 || w.possible(inos.ReplicasDefault) < safe {
		return // every provider was drained, or too few are left
	}
	w.ask(&op{kind: opPut, path: "/alive", body: body{name: 7, bytes: 2_000_000}, tries: 20})
	r := w.clients.latest
	for limit := w.now + 2*inos.Minute; !r.done && w.now < limit && !w.over; {
		w.run(w.now + inos.Second)
	}
	if !w.over && (!r.done || r.outcome != nil) {
		w.violate("a mesh that is whole and quiet takes no file: %v", r.outcome)
	}
	w.quieten()
}

// readAll reads every path as a client does and compares.
func (w *World) readAll() {
	if w.over {
		return
	}
	var wait []*request
	for _, h := range w.truth.sorted() {
		if h.last() == nil {
			continue
		}
		who := 0
		if h.owner == sessions[1].Subject {
			who = 1
		}
		o := &op{kind: opGet, who: who, path: h.path, length: -1, tries: 1}
		w.ask(o)
		wait = append(wait, w.clients.latest)
	}
	limit := w.now + 2*inos.Minute
	for w.plan.brisk && w.now+briskCalm < limit && !w.over && len(w.clients.open) > 0 {
		w.run(w.now + inos.Second)
	}
	if w.plan.brisk {
		limit = w.now + briskCalm
	}
	w.run(limit)
	if !w.over && slices.ContainsFunc(wait, func(r *request) bool { return r.outcome != nil && r.outcome.Code == inos.CodeInputQuarantined }) {
		w.run(w.now + quarantineFor) // two workers were killed by the world while they had the same chunk
		w.readAll()
		return
	}
	for _, r := range wait {
		h := w.truth.history(r.owner(), r.op.path)
		last := h.last()
		switch {
		case w.over:
			return
		case !r.done:
			w.violate("the last get of %s is not answered", h.path)
		case last.tomb && (r.outcome == nil || r.outcome.Code != inos.CodeFileNotFound):
			w.violate("%s was deleted by version %d and is there at the end", h.path, last.number)
		case !last.tomb && r.outcome != nil && w.forsaken(last):
		case !last.tomb && r.outcome != nil:
			w.violate("%s version %d (acknowledged: %t) cannot be read at the end: %v", h.path, last.number, last.acked, r.outcome)
		case !last.tomb && (r.found == nil || r.found.number != last.number):
			w.violate("%s is read in another version than %d at the end", h.path, last.number)
		}
	}
}
