package kernel

import (
	"slices"

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
	u.withheld, u.wanting, u.mute = 0, false, 0
}

// pass reads the records of one node after another, a page at a time. A record that several nodes hold is read with the first of them.
func (u *rebuilding) pass() {
	k := u.k
	if u.asked {
		return
	}
	for len(u.page) > 0 && len(u.table) < recordsRestoring && !k.losses.full() {
		h := u.page[0]
		u.page = u.page[1:]
		u.restore(h)
	}
	if len(u.page) > 0 {
		return
	}
	if u.last {
		u.at, u.after, u.last = u.at+1, nil, false
	}
	for u.at < len(u.order) && u.order[u.at] != k.self() && !k.members.alive(u.order[u.at]) {
		delete(u.nodes, u.order[u.at]) // it is met again when it is back
		u.at, u.after = u.at+1, nil
	}
	if u.at < len(u.order) {
		node := u.order[u.at]
		if g := u.nodes[node]; g != nil && g.stuck(k.now) {
			u.passOver(node)
			u.pass()
			return
		}
		u.asked = true
		k.content(nil, u.of(opRecordPage, node), node, event.ContentInventory, &eventpb.ContentInventoryRequest{After: u.after, Limit: recordPage, Record: true}, bulk{})
		return
	}
	if len(u.table) == 0 {
		u.phase, u.check = rebuildRecheck, 0
	}
}

// passOver goes on with the next node.
func (u *rebuilding) passOver(node inos.NodeID) {
	u.last, u.mute, u.again = true, 0, u.k.now
	u.k.watcher.note("node:rebuild:v1:requested", event.StateFailed, "node "+string(node)+" does not say what it holds, and is passed over")
}

// paged takes a page of a node's records, and asks who else holds them.
func (u *rebuilding) paged(a *answer) {
	k := u.k
	var r eventpb.ContentInventoryReply
	if a.err != nil || event.Open(a.env, &r) != nil || len(r.ChunkIds) > recordPage || len(r.ChunkIds) == 0 && !r.End {
		u.asked = false
		u.again = k.now + rebuildLook // another try, or the node is passed over when it is dead
		if u.mute == 0 {
			u.mute = k.now
		}
		if u.mute+rebuildPatience <= k.now {
			u.wanting = true
			u.passOver(u.order[u.at]) // or when it has not answered for so long
		}
		return
	}
	u.last, u.mute = r.End, 0
	u.page = nil
	for _, id := range r.ChunkIds {
		if len(id) == inos.HashBytes {
			u.page = append(u.page, recordHeld{id: id})
		}
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

// held keeps of the page the records that are read with this node.
func (u *rebuilding) held(a *answer) {
	var r eventpb.SightedReply
	if a.err != nil || event.Open(a.env, &r) != nil || len(r.Chunks) != len(u.page) {
		u.asked, u.page = false, nil
		u.last = false
		if len(u.after) > 0 {
			u.after = nil // the node is read from its beginning: restoring twice does no harm
		}
		u.later()
		return
	}
	u.asked = false
	page := u.page
	u.page = nil
	for i, h := range page {
		h.nodes = known(u, r.Chunks[i].Nodes)
		if len(h.nodes) > 0 && h.nodes[0] == u.order[u.at] {
			u.page = append(u.page, h)
		}
	}
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
	switch {
	case u.anew:
		u.phase = rebuildGather
		u.again = k.now + rebuildLook
	case u.wanting && u.hopes():
		u.phase = rebuildGather
		u.again = k.now + rebuildAgain
	case len(u.bad) > 0 && u.came+rebuildPatience > k.now:
		u.meet()
		if u.anew {
			u.phase = rebuildGather
			return
		}
		u.again = k.now + rebuildLook
	default:
		u.phase = rebuildEnd
	}
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
	case a.err != nil && a.err.Code == inos.CodeConflict:
		u.check++
	case a.err != nil:
		u.later()
	default:
		if event.Open(a.env, &r) == nil && r.Restored {
			u.versions++ // another file brought its content
		}
		u.bad = slices.Delete(u.bad, u.check, u.check+1)
	}
}
