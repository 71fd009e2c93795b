package sim

import (
	"slices"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// The checkers of trust: what the kernels may count on, and whom the audits name.

// claim is what the map named when a repair was claimed, and how many replicas the chunk had to have then.
type claim struct {
	at      inos.Micros
	trusted []inos.NodeID
	hoped   []inos.NodeID // had a copy that was to be compared
	wanted  uint32
	members uint64        // of World.memberChanges
	bad     []inos.NodeID // sent the repair other bytes than the chunk's, or none
}

// copying is a copy that the switchboard has asked for.
type copying struct {
	source inos.NodeID
	claim  *claim
}

// trusted returns the nodes whose copies of a chunk the map trusts.
func (w *World) trusted(id inos.ChunkID) []inos.NodeID {
	nodes, _ := w.judged(id)
	return nodes
}

// judged returns the nodes whose copies of a chunk the map trusts, and those whose copies are to be looked at.
func (w *World) judged(id inos.ChunkID) (trusted, hoped []inos.NodeID) {
	for _, c := range w.named(id) {
		if c.Trusted {
			trusted = append(trusted, c.Node)
		} else {
			hoped = append(hoped, c.Node)
		}
	}
	return trusted, hoped
}

// named returns the copies of a chunk that the map names.
func (w *World) named(id inos.ChunkID) []inos.Copy {
	copies, err := w.semantic.ChunkCopies(background, []inos.ChunkID{id})
	if err != nil {
		w.violate("chunk copies: %v", err)
		return nil
	}
	return copies[0]
}

// checkRetired looks at a surplus copy that the map has let go of: what is kept for it was proved since its node was last trusted, and no receipt names
// it, as far as the node has not lost it meanwhile.
func (w *World) checkRetired(q *eventpb.RetireCopyRequest) {
	id := w.chunkID(q.ChunkId)
	for _, node := range q.Keep {
		if p := w.byID[inos.NodeID(node)]; p != nil && !p.proved[id] {
			w.violate("a copy of chunk %s on %s goes for the one on %s, which nobody has proved since that node was last trusted", id, q.Node, node)
		}
	}
	p := w.byID[inos.NodeID(q.Node)]
	if p == nil || p.draining || p.removed || p.liar.any() || p.disk.hurt || !p.disk.holds(id, false) || !p.looked[id] {
		return // its copy did not count, or the audits may have named it
	}
	trusted := w.trusted(id)
	for _, h := range w.truth.sorted() {
		v := h.last()
		if v == nil || v.tomb || v.receipt == nil || v.at < w.rebuilt || p.wrote[id] > v.told || !slices.Contains(v.chunks, id) {
			continue
		}
		if slices.ContainsFunc(v.receipt.Domains, func(d string) bool {
			return sameDomain(p, v.receipt.Level, d) && !w.inDomain(v.receipt.Level, d, func(q *process) bool {
				// It is in the domain all the same, where it may wait to be looked at; or the receipt may mean a copy in it that the world, or an operator, has taken since.
				return slices.Contains(trusted, q.id) ||
					q != p && (q.disk.holds(id, false) && w.listed(q, id) || q.disk.spoiled[id] || (q.draining || q.removed) && q.leaves >= v.told)
			})
		}) {
			w.violate("the copy of chunk %s on %s goes, which the receipt of version %d of %s names", id, q.Node, v.number, h.path)
		}
	}
}

// checkRepaired looks at a repair that ends although nothing was copied: the copies that the map trusted all the while are enough, together with
// those of nodes that may still be compared, or no more could be made. Those of a node that the switchboard itself had given up when the repair was
// claimed, and not heard of since, are not among them. When more replicas have come to be wanted since the claim, or a copy that was to be compared has
// turned out to be none, the repair could not know: the chunk has to be in the queue again soon.
func (w *World) checkRepaired(q *eventpb.SettleRepairRequest) {
	id := w.chunkID(q.ChunkId)
	c := w.claims[id]
	if q.RetryUs != 0 || len(q.Added) > 0 || c == nil || !w.lacks(id, c) {
		return
	}
	v := w.truth.guard()[id]
	if v.info.ReplicasWanted <= c.wanted && !w.disappointed(id, c) {
		w.violate("the repair of chunk %s of version %d of %s ends with too few copies that may count, %d are wanted and more nodes could have one", id, v.number, v.info.Path, v.info.ReplicasWanted)
		return
	}
	w.onceAwake(wantedWithin, func() {
		if w.board.since < w.now-wantedWithin && w.lacks(id, c) && !w.queued(id) {
			w.violate("chunk %s of version %d of %s has too few copies, and %s after its repair ended for what was known before nobody asks for another",
				id, v.number, v.info.Path, clock(epoch+wantedWithin))
		}
	})
}

// disappointed says that the map has let go of a copy that was still to be compared when a repair was claimed.
func (w *World) disappointed(id inos.ChunkID, c *claim) bool {
	named := w.named(id)
	return slices.ContainsFunc(c.hoped, func(node inos.NodeID) bool {
		return !slices.ContainsFunc(named, func(c inos.Copy) bool { return c.Node == node })
	})
}

// namedWithin is for how long the line of history may be on its way that tells the world that a node is named.
const namedWithin = 10 * inos.Second

// wantedWithin is for how long a repair may be on its way to the queue.
const wantedWithin = 30 * inos.Second

// queued says that a repair of the chunk waits or is under way.
func (w *World) queued(id inos.ChunkID) bool {
	repairs, _, err := w.semantic.ListRepairs(background, 0)
	if err != nil {
		w.violate("repairs: %v", err)
	}
	return slices.ContainsFunc(repairs, func(r inos.Repair) bool { return r.ID == id })
}

// lacks says that a chunk lacks copies which nodes could have that are well, if what the map and the switchboard know is what they knew when
// its repair was claimed.
func (w *World) lacks(id inos.ChunkID, before *claim) bool {
	v := w.truth.guard()[id]
	if v == nil || w.partial || before.members != w.memberChanges || w.memberDoubt > 0 && w.now < w.memberDoubt+wantedWithin {
		return false
	}
	if w.now < max(w.network.lossTo, w.network.lateTo)+steady {
		return false // nodes may seem to be gone
	}
	now := w.trusted(id)
	if !slices.Equal(now, before.trusted) {
		return false // what has changed meanwhile is looked at again
	}
	level, have, could := w.levelOf(int(v.info.ReplicasWanted)), map[string]bool{}, map[string]bool{}
	unread := w.unread()
	for _, p := range w.nodes {
		switch {
		case !p.provider || !p.member || p.removed || p.draining:
		case p.gone > p.heard && p.gone < before.at:
		case slices.Contains(now, p.id), !w.away(p) && slices.ContainsFunc(w.named(id), func(c inos.Copy) bool { return c.Node == p.id }):
			have[p.domainOf(level)] = true
		case p.up && !p.frozen && max(p.since, p.apart) < w.now-steady && p.distrusted < w.now-namedWithin && !p.named && !p.liar.any() && !slices.Contains(unread, p.id):
			could[p.domainOf(level)] = true
		}
	}
	for d := range have {
		delete(could, d)
	}
	return len(have) < int(v.info.ReplicasWanted) && len(could) > 0
}

// rows looks at what a put tells the map.
func (w *World) rows(rows []*eventpb.ChunkRow) {
	for _, r := range rows {
		e, err := inos.ParseEntry(r.Entry)
		for _, node := range r.Nodes {
			if err == nil {
				w.checkNamed(e.ChunkID, node)
			}
		}
	}
}

// looked notes copies that the map trusts because somebody has looked.
func (w *World) looked(node string, ids [][]byte) {
	if p := w.byID[inos.NodeID(node)]; p != nil {
		for _, id := range ids {
			p.looked[w.chunkID(id)] = true
		}
	}
}

// checkNamed looks at a copy that the map is told of. One that was written before its node came back from a crash must not count for long when
// nobody has looked at it since: what is told may come behind the return.
func (w *World) checkNamed(id inos.ChunkID, node string) {
	p := w.byID[inos.NodeID(node)]
	if p == nil || w.rebuilding || p.wrote[id] == 0 || p.wrote[id] >= p.crashed || p.crashed >= p.distrusted || p.looked[id] {
		return
	}
	began := p.distrusted
	w.onceAwake(wantedWithin, func() {
		if w.board.since < w.now-wantedWithin && p.distrusted == began && !p.looked[id] && slices.Contains(w.trusted(id), p.id) {
			w.violate("the copy of chunk %s on %s counts, which was written before that node came back from a crash and which nobody has looked at since", id, p)
		}
	})
}

// checkSource looks at the source of a repair: none that the switchboard itself had called dead when the repair was claimed, and not heard of
// since, and none that has sent the same repair what is not the chunk.
func (w *World) checkSource(f *effect, q *eventpb.ContentCopyRequest) {
	p, c := w.byID[inos.NodeID(q.Source)], w.claims[w.chunkID(q.ChunkId)]
	switch {
	case p == nil:
		w.violate("chunk %x is to be copied from %q, which is no node", q.ChunkId, q.Source)
		return
	case c != nil && p.dead > p.heard && p.dead < c.at:
		w.violate("chunk %x is to be copied from %s, which was dead by the switchboard's own word when the repair was claimed, and not heard of since", q.ChunkId, p)
	case c != nil && slices.Contains(c.bad, p.id):
		w.violate("chunk %x is to be copied from %s again, which had other bytes or none for the same repair", q.ChunkId, p)
	}
	f.copying = copying{p.id, c}
}

// copied takes the answer to a copy that the switchboard has asked for.
func (w *World) copied(f *effect, answer []byte) {
	c := f.copying.claim
	if c == nil {
		return
	}
	e, err := event.Decode(answer)
	if err != nil || event.StateOf(e.EventType) != event.StateFailed {
		return
	}
	if code := event.FailureOf(e).Code; code == inos.CodeChunkCorrupt || code == inos.CodeChunkNotFound {
		c.bad = append(c.bad, f.copying.source)
	}
}

// away says that a node has been down for so long that a switchboard that was up all the while knows.
func (w *World) away(p *process) bool {
	long := 12*w.heartbeat + steady
	return !p.up && p.since < w.now-long && w.board.since < w.now-long
}

// learnHistory takes a line of the history: whom the switchboard calls dead or gives up, and whom the audits name.
func (w *World) learnHistory(r *eventpb.EventRecord) {
	named := strings.Contains(r.Detail, " is named by the audits")
	gone := strings.Contains(r.Detail, " did not come back: ")
	if !named && !gone && !strings.Contains(r.Detail, " is dead: ") {
		return
	}
	for _, p := range w.nodes {
		switch {
		case !strings.HasPrefix(r.Detail, "node "+string(p.id)+" "):
			continue
		case named:
			w.learnNamed(p)
		case gone:
			p.gone = inos.Micros(r.TimestampUs) - w.board.offset
		default:
			p.dead = inos.Micros(r.TimestampUs) - w.board.offset
		}
		return
	}
	w.violate("the history tells of a node that is none: %s", r.Detail)
}

// learnNamed takes whom the audits name: it has lied, or has lost chunks by the world's doing.
func (w *World) learnNamed(p *process) {
	p.named = true
	if !p.liar.any() && !p.disk.hurt {
		w.violate("%s is named by the audits, and it has neither lied nor lost anything", p)
	}
}

// unlooked returns a node that came back from a crash and whose copies the map went on trusting.
func (w *World) unlooked() *process {
	for _, p := range w.nodes {
		if w.usable(p) && !p.switchboard && p.crashed > p.distrusted {
			return p
		}
	}
	return nil
}
