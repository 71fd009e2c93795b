package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// measured takes one of the measurements of a status request and answers when all are there. A memory that does not
// answer is itself a part of the status.
func (u *queries) measured(q *query, a *answer) {
	switch a.op {
	case opQueryUsage:
		var m eventpb.ContentUsage
		if a.err == nil && event.Open(a.env, &m) == nil {
			q.usage = &m
			u.k.collector.measured(&m)
		} else {
			q.notices = append(q.notices, "the content memory does not answer: "+failure(a.err))
		}
	case opQueryTotals:
		var m eventpb.TotalsReply
		if a.err == nil && event.Open(a.env, &m) == nil {
			q.totals = &m
		} else {
			q.notices = append(q.notices, "the semantic memory does not answer: "+failure(a.err))
		}
	case opQueryRepairs:
		var m eventpb.ListRepairsReply
		if a.err == nil && event.Open(a.env, &m) == nil {
			q.repairs = m.Total
		} // a memory that does not answer is told by the totals
	}
	if q.underWay == 0 {
		u.k.finish(&q.origin)
		u.k.emit(event.Reply(q.envelope(), event.StateCompleted, u.k.now, event.Payload(u.k.status(q))))
	}
}

func failure(err *inos.Error) string {
	if err == nil {
		return "its answer does not decode"
	}
	return err.Error()
}

// status describes the node.
func (k *Kernel) status(q *query) *eventpb.NodeStatusReply {
	r := &eventpb.NodeStatusReply{
		NodeId: k.node.id, Zone: k.node.zone, Host: k.node.host, Version: k.node.version,
		StartedUs: int64(k.node.started), NowUs: int64(k.now),
		Ready:       k.ready() && (k.supervisor.readyWorkers() > 0 || !k.node.switchboard) && len(q.notices) == 0 && !k.node.draining && k.members.gathering() == "",
		Switchboard: k.node.switchboard, Provider: k.node.provider,
		Content: q.usage, Totals: q.totals,
		Puts: uint32(len(k.puts.active)), Gets: uint32(len(k.gets.active)),
		Queued:      uint32(len(k.puts.waiting) + len(k.gets.waiting) + len(k.queries.waiting) + len(k.verifies.waiting)),
		BufferBytes: k.buffers, BufferBytesMax: k.node.bufferBytesMax,
		ConcurrencyLimit: k.concurrency.limit, BrotliQuality: k.quality.chosen(),
		Steps: k.steps, InFlight: uint64(len(k.flights.table)), RecordsDropped: k.watcher.dropped,
		Refused: k.governance.refused, Quarantined: k.supervisor.total,
		HedgedReads: k.fetches.hedges, HedgedReadsWon: k.fetches.won,
	}
	if k.node.switchboard && k.members.ready() {
		k.members.summarise(r)
		r.Stored, r.ChunksShort = k.stored(q.repairs, q.totals)
		r.Repairs, r.RecordsPending, r.Rebuild = q.repairs, k.records.count(), k.rebuilding.progress()
	}
	r.Notices = append(k.notices(), q.notices...)
	if k.lone() && r.ChunksShort > 0 {
		r.Notices = append(r.Notices, r.Stored)
	}
	for i, w := range k.supervisor.workers {
		r.Workers = append(r.Workers, &eventpb.WorkerStatus{
			Worker: uint32(i), State: workerStateNames[w.state], Pid: w.pid, InFlight: uint32(len(w.calls)), Calls: w.total,
			Restarts: w.restarts, Reason: w.reason,
		})
	}
	for id, t := range k.threads {
		a, n := t.about(), k.counters[id]
		r.Threads = append(r.Threads, &eventpb.ThreadStatus{
			Name: a.name, Kind: a.kind, Envelopes: n.envelopes, Effects: n.effects, InFlight: n.inFlight, InFlightMax: a.inFlightMax,
		})
	}
	r.Stages = k.watcher.stages()
	return r
}

// held says what chunks of a file, and manifest nodes above them, survive now: the domains that hold every one of them, on nodes that are alive. The file is told how
// many replicas they have reached.
func (k *Kernel) held(f *eventpb.FileInfo, chunks []*eventpb.CopyList) *eventpb.Receipt {
	wanted := f.ReplicasWanted
	least := wanted
	counts := map[string]int{}
	for _, chunk := range chunks {
		var nodes []inos.NodeID
		names := map[string]int{}
		for _, c := range chunk.Copies {
			if node := inos.NodeID(c.Node); c.Trusted && (node == k.self() || k.members.alive(node)) {
				nodes = append(nodes, node)
				names[k.members.domain(node, wanted)] = 1
			}
		}
		least = min(least, k.members.distinct(nodes, wanted))
		for _, name := range sortedKeys(names) {
			counts[name]++
		}
	}
	var domains []string
	for _, name := range sortedKeys(counts) {
		if counts[name] == len(chunks) {
			domains = append(domains, name)
		}
	}
	f.ReplicasReached = least
	k.describeReplicas(f)
	return k.receipt(wanted, least, domains)
}

// notices says what a person should know.
func (k *Kernel) notices() (out []string) {
	if !k.node.switchboard {
		for _, name := range k.beats.lost() {
			out = append(out, "the switchboard "+name+" does not answer: this node serves what it is asked and is told of nothing new")
		}
		if k.node.draining {
			out = append(out, "draining: nothing new is taken")
		}
		return out
	}
	if s := &k.members.strangers; s.node != "" && k.members.member(s.node) == nil {
		out = append(out, "node "+shortID(string(s.node))+" "+strangerText(s.held))
	}
	if k.members.ready() {
		if degraded := k.members.degraded(inos.ReplicasDefault); degraded != "" {
			out = append(out, degraded)
		}
	}
	if !k.recovery.done {
		out = append(out, "recovering: requests wait until it is done")
	}
	if k.recovery.done && !k.recovery.swept && k.collector.clears() {
		out = append(out, "recovering: the disk is searched for chunks that an unclean stop left without a row")
	}
	if waiting := k.members.gathering(); waiting != "" {
		out = append(out, waiting)
	}
	out = append(out, k.rebuilding.notices()...)
	if n := k.members.unread; n > 0 && !k.rebuilding.active() {
		out = append(out, "what is deleted gives no space back: a rebuild has not read "+plural(uint64(n), "node", "nodes")+" whole; see the nodes for which, and what to do")
	}
	if k.node.draining {
		out = append(out, "draining: nothing new is taken")
	}
	if n := len(k.repairs.lost.added); n > 0 {
		out = append(out, plural(uint64(n), "chunk", "chunks")+" of files cannot be read from any node: see the repairs")
	}
	if k.supervisor.hopeless() {
		out = append(out, "no worker is left: "+k.supervisor.reason())
	}
	return out
}

// idle says that no request and no upkeep is under way.
func (k *Kernel) idle() bool {
	return k.governance.idle() && k.identities.idle() && len(k.puts.table) == 0 && k.uploads.idle() && len(k.puts.fanouts) == 0 && k.puts.lates.idle() && k.records.idle() && k.inspections.idle() && k.changes.idle() && k.rebuilding.idle() && len(k.gets.table) == 0 && len(k.verifies.table) == 0 && !k.queries.busy() &&
		k.serving.idle() && k.beats.idle() && k.collector.idle() && k.losses.idle() && k.reconciles.idle() && k.operations.idle() && k.repairs.idle() && k.challenges.idle() && k.members.idle() && (k.recovery.done || k.recovery.underWay == 0) && !k.recovery.compareOut && len(k.supervisor.jobs) == 0
}

// busy says that a client's query is under way.
func (u *queries) busy() bool {
	for _, l := range [][]uint64{u.active, u.waiting} {
		for _, work := range l {
			if u.table[work].kind != queryStatus {
				return true
			}
		}
	}
	return false
}

// drained says that a drain is over: no work, no worker, nothing left to record.
func (k *Kernel) drained() bool {
	if !k.idle() || !k.watcher.idle() {
		return false
	}
	for _, w := range k.supervisor.workers {
		if w.state != workerIdle {
			return false
		}
	}
	return true
}
