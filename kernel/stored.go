package kernel

import (
	"strconv"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// stuckNodesMax bounds the nodes that a notice names; of more it tells how many there are.
const stuckNodesMax = 3

// stored says for a person what the files that are stored survive now, which is what their weakest chunk does, and how many chunks lack a
// copy. Queued are the repairs in the queue, which may know of chunks that the last look did not see; a lone node has neither, and knows it from the totals.
func (k *Kernel) stored(queued uint64, totals *eventpb.TotalsReply) (text string, short uint64) {
	s, u := &k.repairs.scan, &k.members
	switch {
	case k.lone() && (totals == nil || !k.ready()):
		return "not known yet", 0
	case k.lone():
		if short = lost(totals); short == 0 {
			return "every chunk is on this one node", 0
		}
		return plural(short, "chunk is lost: files that have it", "chunks are lost: files that have one") + " cannot be read until they are put again under their paths; 'inos verify PATH' tells which", short
	case s.whole == 0, u.someComing(), k.now < k.node.started+startUpTime+scanSpacing && (s.again || s.running && s.of == ""):
		return "not known yet: the map is being looked through", queued
	}
	if short = max(s.worth.short, queued); short == 0 {
		return "every chunk has the replicas that its file wants", 0
	}
	text = plural(short, "chunk lacks", "chunks lack") + " a copy"
	if s.worth.short == 0 {
		return text, short
	}
	text += "; the weakest is in " + strconv.FormatUint(uint64(s.worth.live), 10) + " of " + k.members.counted(s.worth.wanted, s.worth.wanted) + " wanted"
	if s.worth.live == 0 {
		return text + " and cannot be read now", short
	}
	return text + " and " + k.members.survives(s.worth.live, s.worth.wanted), short
}

// lost counts the chunks of a lone node's files of which it holds no good copy any more. What is to be collected may be among those that it lacks,
// and is nobody's loss.
func lost(t *eventpb.TotalsReply) uint64 {
	return t.Chunks - min(t.Chunks, t.Copies+t.CollectableChunks)
}

// stuck says for a person why the drain of a node does not end, and what would end it; empty while it goes on.
func (u *memberships) stuck(m *member) string {
	t := u.k.repairs.scan.stuck[m.id()]
	if t == nil {
		return ""
	}
	text := "; no other node takes " + plural(t.chunks, "chunk", "chunks") + ": "
	if all, _ := u.domains(t.wanted); all < t.wanted {
		return text + strconv.FormatUint(uint64(t.wanted), 10) + " replicas are wanted and the other nodes are " + u.counted(all, t.wanted) +
			": let another node in (inos invite), or ask for fewer (inos set PATH --replicas " + strconv.FormatUint(uint64(max(all, 1)), 10) + ")"
	}
	var why []string
	more := 0
	for _, id := range u.all() {
		o := u.table[id]
		reason := ""
		switch {
		case o == m || o.row.State != uint32(inos.MemberActive):
			continue
		case o.state != liveAlive || o.failures >= muteFailures:
			reason = "does not answer"
		case o.avoided:
			reason = "failed its audits"
		case u.room(o) < roomPerNode:
			reason = "is full"
		default:
			continue
		}
		if len(why) == stuckNodesMax {
			more++
			continue
		}
		why = append(why, o.label()+" "+reason)
	}
	if len(why) == 0 {
		return ""
	}
	if more > 0 {
		why = append(why, "and "+strconv.Itoa(more)+" more")
	}
	return text + strings.Join(why, ", ") + ": bring such a node back, make room, or let another in (inos invite)"
}
