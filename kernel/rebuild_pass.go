package kernel

import (
	"maps"
	"slices"
	"strconv"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// begin starts a pass over the records of all nodes.
func (u *rebuilding) begin() {
	u.phase, u.anew = rebuildRecords, false
	u.order = sortedKeys(u.nodes)
	u.at, u.after, u.last, u.page, u.asked = 0, nil, false, nil, false
	u.records, u.refused, u.bad, u.badMore, u.check = 0, 0, nil, 0, 0
	u.withheld, u.wanting, u.later = 0, false, nil
	u.listed, u.mute, u.dry, u.empty = 0, 0, 0, 0
	clear(u.read)
	maps.DeleteFunc(u.over, func(_ inos.NodeID, good bool) bool { return !good })
}

// pass reads the records of one node after another, a page at a time. A record that several nodes hold is read with the first of them, and with another one
// when the map has no version of it then: the first may not have named it any more.
func (u *rebuilding) pass() {
	k := u.k
	if u.asked {
		return
	}
	if !u.last && u.at < len(u.order) && (u.empty >= recordsEmptyMax || u.dry != 0 && u.dry+rebuildPatience <= k.now) {
		u.passOver(u.order[u.at], "names commit records that are not to be had")
	}
	for len(u.page) > 0 && len(u.table) < recordsRestoring && !k.losses.full() {
		h := u.page[0]
		u.page = u.page[1:]
		u.restore(h)
	}
	if len(u.page) > 0 {
		return
	}
	for u.at < len(u.order) {
		node := u.order[u.at]
		g := u.nodes[node]
		switch {
		case u.last:
		case node != k.self() && !k.members.alive(node):
			delete(u.nodes, node) // it is met again when it is back
			if u.stops[node]++; u.stops[node] < rebuildStopsMax {
				u.left[node] = true
			} else {
				u.overlook(node, "has stopped "+strconv.FormatUint(rebuildStopsMax, 10)+" times when it was to give its commit records", true)
			}
		case g != nil && g.stuck(k.now):
			u.passOver(node, "does not say what it holds")
		default:
			u.asked = true
			k.content(nil, ask{owner: threadRebuild, op: opRecordPage}, node, event.ContentInventory,
				&eventpb.ContentInventoryRequest{After: u.after, Limit: recordPage, Record: true}, bulk{})
			return
		}
		u.at, u.after, u.last = u.at+1, nil, false
		u.listed, u.mute, u.dry, u.empty = 0, 0, 0, 0
	}
	if len(u.table) == 0 {
		u.phase, u.check = rebuildRecheck, 0
	}
}

// passOver goes on with the next node.
func (u *rebuilding) passOver(node inos.NodeID, why string) {
	u.last, u.page, u.again = true, nil, u.k.now
	u.overlook(node, why, false)
}

// hollow notes that a record which a node names brought nothing. Of honest nodes such are few: what one names without an end, and does not have, is asked
// for only so often in a row, or for so long.
func (u *rebuilding) hollow(x *restoring) {
	if x.at != u.at {
		return
	}
	if u.empty++; u.dry == 0 {
		u.dry = u.k.now
	}
}

// filled notes that a record was had which the node at a place names, or that the map has it.
func (u *rebuilding) filled(at int) {
	if at == u.at {
		u.dry, u.empty = 0, 0
	}
}

// paged takes a page of a node's records, and asks who else holds them.
func (u *rebuilding) paged(a *answer) {
	k := u.k
	var r eventpb.ContentInventoryReply
	if a.err != nil || event.Open(a.env, &r) != nil || !ascends(u.after, r.ChunkIds, recordPage) || len(r.ChunkIds) < recordPage && !r.End {
		u.asked = false
		u.again = k.now + rebuildLook // another try, or the node is passed over when it is dead
		if u.mute == 0 {
			u.mute = k.now
		}
		if u.mute+rebuildPatience <= k.now {
			u.wanting = true
			u.passOver(u.order[u.at], "does not say what it holds") // or when it has not answered for so long
		}
		return
	}
	u.last, u.mute = r.End, 0
	u.page = nil
	for _, id := range r.ChunkIds {
		u.page = append(u.page, recordHeld{id: id})
	}
	if u.listed += uint64(len(u.page)); u.listed > u.most(u.order[u.at], true) {
		u.asked, u.page, u.last = false, nil, true
		u.tooMuch(u.order[u.at], true)
		return
	}
	if len(u.page) == 0 {
		u.asked, u.last = false, true
		return
	}
	u.after = r.ChunkIds[len(r.ChunkIds)-1]
	u.holders()
}

func (u *rebuilding) holders() {
	q := &eventpb.SightedRequest{}
	for i := range u.page {
		q.ChunkIds = append(q.ChunkIds, u.page[i].id)
	}
	u.k.send(nil, ask{owner: threadRebuild, op: opRecordHolders}, event.Sighted, q)
}

// held keeps of the page the records that are read with this node. Who was seen to hold one may have lost it since, or have lied: of those that a node
// before was to give the map is asked whether it has them.
func (u *rebuilding) held(a *answer) {
	k := u.k
	var r eventpb.SightedReply
	if a.err != nil || event.Open(a.env, &r) != nil || len(r.Chunks) != len(u.page) {
		u.reread()
		return
	}
	node, page := u.order[u.at], u.page
	u.page, u.later = nil, nil
	for i, h := range page {
		vain := u.read[string(h.id)]
		if vain == vainRead {
			u.filled(u.at)
			continue
		}
		if h.nodes = known(u, r.Chunks[i].Nodes); vain == vainRefused {
			h.nodes = nil // it may be that this node was silent then, and not asked
		}
		if !slices.Contains(h.nodes, node) && (node == k.self() || k.members.alive(node)) {
			h.nodes = append([]inos.NodeID{node}, h.nodes[:min(len(h.nodes), fanoutNodesMax-1)]...)
		}
		switch {
		case len(h.nodes) == 0:
		case h.nodes[0] == node:
			u.page = append(u.page, h)
		default:
			u.later = append(u.later, h)
		}
	}
	if len(u.later) == 0 {
		u.asked = false
		return
	}
	q := &eventpb.UnknownRecordsRequest{}
	for i := range u.later {
		q.RecordIds = append(q.RecordIds, u.later[i].id)
	}
	k.send(nil, ask{owner: threadRebuild, op: opRecordUnread}, event.UnknownRecords, q)
}

// unread keeps those that the map has not.
func (u *rebuilding) unread(a *answer) {
	var r eventpb.UnknownRecordsReply
	if a.err != nil || event.Open(a.env, &r) != nil {
		u.reread()
		return
	}
	if u.asked = false; len(r.RecordIds) < len(u.later) {
		u.filled(u.at)
	}
	for _, h := range u.later {
		if slices.ContainsFunc(r.RecordIds, func(id []byte) bool { return string(id) == string(h.id) }) {
			u.page = append(u.page, h)
		}
	}
	u.later = nil
}

// reread has the node gone through from its beginning: restoring twice does no harm.
func (u *rebuilding) reread() {
	u.asked, u.page, u.later, u.last, u.after, u.listed = false, nil, nil, false, nil, 0
	u.retry()
}

// What is remembered of a record that brought nothing.
const (
	vainSilent  = iota + 1 // some of the nodes did not answer
	vainRefused            // none of those that were asked has it
	vainRead               // it was read, and is not read again
	vainCount
)

// brought notes that a record brought nothing, and says that this is the first time: other nodes hold it too.
func (u *rebuilding) brought(x *restoring, vain uint8) (first bool) {
	key := string(x.held.id)
	_, known := u.read[key]
	if known && vain == vainRead || !known && len(u.read) < recordsVainMax {
		u.read[key] = vain
	}
	return !known
}

// given takes back what was counted of a record that another node gives after all.
func (u *rebuilding) given(x *restoring) {
	key := string(x.held.id)
	switch u.read[key] {
	case vainSilent:
		u.withheld--
	case vainRefused:
		u.refused--
	default:
		return
	}
	delete(u.read, key)
}

// known returns those of the nodes that are members and answer, or are this node.
func known(u *rebuilding, names []string) (out []inos.NodeID) {
	for _, name := range names {
		node := inos.NodeID(name)
		if u.nodes[node] != nil && (node == u.k.self() || u.k.members.alive(node)) && len(out) < fanoutNodesMax {
			out = append(out, node)
		}
	}
	return out
}

// recheck holds versions that could not be restored against those that were restored after them: one that a higher one has
// superseded is no loss. When some are left, nodes that are missing are waited for.
func (u *rebuilding) recheck() {
	k := u.k
	if u.underWay {
		return
	}
	if u.check < len(u.bad) {
		u.once(opRecheck, event.RestoreVersion, &eventpb.RestoreVersionRequest{Record: u.bad[u.check], NowUs: int64(k.now)})
		return
	}
	u.meet() // what only a node holds that has come just now is lost with it behind the end
	switch {
	case u.anew:
		u.phase = rebuildGather
		u.again = k.now + rebuildLook
	case u.wanting && u.hopes():
		u.phase = rebuildGather
		u.again = k.now + rebuildAgain
	case len(u.bad) > 0 && u.came+rebuildPatience > k.now, u.missed() && u.hopes():
		u.again = k.now + rebuildLook
	default:
		u.phase = rebuildEnd
	}
}

// missed says that a node which was there has not said all that it holds.
func (u *rebuilding) missed() bool {
	maps.DeleteFunc(u.left, func(node inos.NodeID, _ bool) bool { return !u.k.members.has(node) })
	return len(u.left) > 0
}

// hopes says that it is not long since a pass brought a version, or a node came: what a node does not give now it may give in a moment.
func (u *rebuilding) hopes() bool {
	if u.vain == 0 || u.versions > u.reached || u.came > u.vain {
		u.vain, u.reached = u.k.now, u.versions
	}
	return u.vain+rebuildPatience > u.k.now
}

func (u *rebuilding) rechecked(a *answer) {
	u.underWay = false
	var r eventpb.RestoreVersionReply
	switch {
	case a.err != nil && a.err.Code == inos.CodeNodeUnknown:
		u.anew = true // a node that holds its record was removed meanwhile: another pass leaves it out
		u.check++
	case a.err != nil && passing(a.err):
		u.retry()
	case a.err != nil:
		u.check++ // whatever the reason: asked again, the map would say the same
	default:
		if event.Open(a.env, &r) == nil && r.Restored {
			u.versions++ // another file brought its content
		}
		u.bad = slices.Delete(u.bad, u.check, u.check+1)
	}
}
