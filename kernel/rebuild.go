package kernel

import (
	"slices"
	"strconv"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects of a rebuild.
const (
	opForgetSights   = iota + 1 // semantic:end_restore, before it begins
	opRebuildList               // content:inventory
	opSight                     // semantic:sight
	opRecordPage                // content:inventory of records, once more
	opRecordHolders             // semantic:sighted of a page of records
	opRecordUnread              // semantic:unknown_records of those that a node before was to give
	opRecordFetch               // content:read_chunk of a sealed record
	opRecordOpen                // record:open
	opProbeVersion              // semantic:restore_version, to see whether its content is staged or it is superseded
	opRestoreSighted            // semantic:sighted of chunks
	opRestoreStage              // semantic:stage_chunks
	opRestoreRoot               // storage:build_node of the root, for its entry
	opRestore                   // semantic:restore_version
	opRestoreAbort              // semantic:abort_upload of a version that cannot be restored
	opRecheck                   // semantic:restore_version of a version that could not be restored, at the end of a pass
	opMark                      // semantic:set_node of a member that was not read whole, or is now
	opEndSights                 // semantic:end_restore, when it is done
	opAgree                     // semantic:lookup_file of a version that is there already
)

// Phases of a rebuild.
const (
	rebuildOff     = iota // there is nothing to do
	rebuildClear          // what an earlier try has noted is forgotten
	rebuildGather         // nodes come, and say which chunks and records they hold
	rebuildRecords        // each record is opened, and its version restored
	rebuildRecheck        // versions that could not be restored are held against what was restored after them
	rebuildEnd
	rebuildDone
	rebuildPhases
)

// rebuilding makes an emptied map again from what the mesh holds. The nodes come back by their heartbeats and say what they hold; that is
// noted in the semantic memory, so that nothing grows here. Then every commit record is read from the first of the nodes that hold
// it and opened by the host, which believes none that a switchboard of the mesh has not signed; its version is restored unless a
// higher one of its path was. A version whose chunks were not all seen is named and not restored. What nodes hold
// and do not give is asked for in further passes, for a while after the last that brought something: a node that lies does not keep the mesh from coming
// back. Everything may be done twice: a rebuild that was broken off begins anew. Requests are refused until it is done.
type rebuilding struct {
	k        *Kernel
	phase    uint8
	underWay bool // an effect of a phase without a table
	again    inos.Micros
	nodes    map[inos.NodeID]*gathering
	line     turnLine               // of those that have more to say
	turns    map[uint64]inos.NodeID // of those that are being asked, by their turn
	lookAt   inos.Micros            // when to look for nodes that have come
	came     inos.Micros            // when the last node came
	chunks   uint64
	records  uint64 // of the pass under way
	refused  uint64
	versions uint64
	noted    inos.Micros

	order   []inos.NodeID // nodes of the pass under way
	at      int
	after   []byte
	last    bool // the page is the node's last
	page    []recordHeld
	later   []recordHeld // of the page: another node that was gone through before was to give them
	asked   bool
	listed  uint64      // records that the node has named
	mute    inos.Micros // since when the node has not given its page; 0: it does
	dry     inos.Micros // since when none of the records that it names could be had; 0: they could, or none was asked for
	empty   uint32      // of these, in a row
	anew    bool        // a node came during the pass: there is another
	table   map[uint64]*restoring
	bad     []*eventpb.Record // versions that could not be restored, as far as they are remembered
	badMore uint64
	check   int // of bad, in a recheck

	read  map[string]uint8       // records of the pass that brought nothing, as far as they are remembered: why (vainSilent and so on)
	left  map[inos.NodeID]bool   // nodes that died before they had said what they hold, and have not come back
	stops map[inos.NodeID]uint32 // how often nodes have done so
	over  map[inos.NodeID]bool   // nodes that were passed over; true: for good, not for the pass under way

	withheld uint64      // records that no node gave in the pass which was seen to hold them
	wanting  bool        // these, or manifest nodes: another pass may get them
	vain     inos.Micros // since when passes have left such and brought no version; 0: none has
	reached  uint64      // versions at that time
	narrow   bool        // it is done, and records of what was restored may lie on fewer nodes than they can
}

// gathering is a node that says what it holds.
type gathering struct {
	after   []byte
	records bool   // its chunks are known, its records follow
	listed  uint64 // of its chunks, or of its records
	turn    uint64 // a page is being asked for, or noted; 0: none is
	done    bool
	again   inos.Micros
	page    [][]byte // being noted
	last    bool
	silent  inos.Micros // since when it has not said what it holds; 0: it does
	failed  uint32      // records in a row that it did not answer for
}

// stuck says that a node has not said for so long what it holds that nobody waits for it. It is asked on, and met again when it does.
func (g *gathering) stuck(now inos.Micros) bool {
	return g.silent != 0 && g.silent+rebuildPatience <= now
}

// recordHeld is a sealed record and who holds it.
type recordHeld struct {
	id    []byte
	nodes []inos.NodeID
}

func (u *rebuilding) init(k *Kernel) {
	u.k = k
	u.nodes, u.table, u.read = map[inos.NodeID]*gathering{}, map[uint64]*restoring{}, map[string]uint8{}
	u.turns, u.left, u.over, u.stops = map[uint64]inos.NodeID{}, map[inos.NodeID]bool{}, map[inos.NodeID]bool{}, map[inos.NodeID]uint32{}
}

func (u *rebuilding) about() about {
	return about{name: "rebuild", kind: "pipeline", inFlightMax: nodesGathering + recordsRestoring + 1}
}

func (u *rebuilding) hear(*input) {}

// active says that the map is not whole yet.
func (u *rebuilding) active() bool { return u.phase != rebuildOff && u.phase != rebuildDone }

// busy says that the map is not whole yet: no disk is compared with it, and nothing is collected.
func (u *rebuilding) busy() bool { return u.active() }

// spread says that the pending records have been looked through and written where they can be. A version that was restored may never have been safe: its
// record lay on one node. What is below it is let go of only now, lest both are lost with that node and with the map once more.
func (u *rebuilding) spread() { u.narrow = false }

func (u *rebuilding) boot() {
	if u.k.node.rebuild && u.k.node.switchboard {
		u.phase, u.came = rebuildClear, u.k.now
	}
}

func (u *rebuilding) code(c *coder) {
	ids := func(l *[][]byte) { list(c, l, inventoryPage, func(c *coder, b *[]byte) { c.bytes(b) }) }
	num(c, &u.phase)
	if u.phase >= rebuildPhases {
		c.fail("rebuild phase %d", u.phase)
	}
	c.bool(&u.underWay)
	num(c, &u.again)
	objects(c, &u.nodes, membersMax, text[inos.NodeID], func(c *coder, g *gathering) {
		c.bytes(&g.after)
		c.bool(&g.records)
		num(c, &g.listed)
		num(c, &g.turn)
		c.bool(&g.done)
		num(c, &g.again)
		ids(&g.page)
		c.bool(&g.last)
		num(c, &g.silent)
		num(c, &g.failed)
	})
	u.line.code(c)
	table(c, &u.turns, nodesGathering, num[uint64], text[inos.NodeID])
	num(c, &u.lookAt)
	num(c, &u.came)
	num(c, &u.chunks)
	num(c, &u.records)
	num(c, &u.refused)
	num(c, &u.versions)
	num(c, &u.noted)
	list(c, &u.order, membersMax, text[inos.NodeID])
	num(c, &u.at)
	if u.at > len(u.order) {
		c.fail("node %d of %d", u.at, len(u.order))
		u.at = 0
	}
	c.bytes(&u.after)
	c.bool(&u.last)
	for _, l := range []*[]recordHeld{&u.page, &u.later} {
		list(c, l, inventoryPage, func(c *coder, h *recordHeld) {
			c.bytes(&h.id)
			list(c, &h.nodes, fanoutNodesMax, text[inos.NodeID])
		})
	}
	table(c, &u.read, recordsVainMax, text[string], func(c *coder, vain *uint8) {
		if num(c, vain); *vain == 0 || *vain >= vainCount {
			c.fail("a record that brought nothing for reason %d", *vain)
		}
	})
	table(c, &u.left, membersMax, text[inos.NodeID], (*coder).bool)
	table(c, &u.stops, membersMax, text[inos.NodeID], num[uint32])
	table(c, &u.over, membersMax, text[inos.NodeID], (*coder).bool)
	c.bool(&u.asked)
	num(c, &u.listed)
	num(c, &u.mute)
	num(c, &u.dry)
	num(c, &u.empty)
	c.bool(&u.anew)
	objects(c, &u.table, recordsRestoring, num[uint64], func(c *coder, x *restoring) { x.code(c) })
	list(c, &u.bad, unreadableMax, record)
	num(c, &u.badMore)
	num(c, &u.check)
	if u.check > len(u.bad) {
		c.fail("version %d of %d", u.check, len(u.bad))
		u.check = 0
	}
	num(c, &u.withheld)
	c.bool(&u.wanting)
	num(c, &u.vain)
	num(c, &u.reached)
	c.bool(&u.narrow)
}

func (u *rebuilding) act() {
	k := u.k
	if !u.active() || !k.recovery.done || !k.members.ready() || k.node.draining {
		return
	}
	if u.noted+rebuildNoteEvery <= k.now {
		u.note(event.StateProcessing)
	}
	if u.again > k.now {
		return
	}
	u.again = 0
	switch u.phase {
	case rebuildClear:
		u.once(opForgetSights, event.EndRestore, &eventpb.EndRestoreRequest{})
	case rebuildGather, rebuildRecords:
		look := u.lookAt <= k.now
		if look {
			u.lookAt = k.now + rebuildLook
			u.meet()
		}
		u.gather()
		switch {
		case u.phase == rebuildRecords:
			u.pass()
		case look && len(u.nodes) > 0 && u.came+rebuildSettle <= k.now && !u.more():
			u.begin() // all have said what they hold, and no other has come for a while
		}
	case rebuildRecheck:
		u.recheck()
	case rebuildEnd:
		if u.underWay {
			return
		}
		if node, state := u.unmarked(); node != "" {
			u.once(opMark, event.SetNode, &eventpb.SetNodeRequest{Node: string(node), State: uint32(state)})
			return
		}
		u.once(opEndSights, event.EndRestore, &eventpb.EndRestoreRequest{Settle: true, NowUs: int64(u.k.now)})
	}
}

// unmarked returns a member whose row does not say yet whether it was read whole, and what is to be said. What a node holds beyond that is kept from sweeps,
// which would take it for needless.
func (u *rebuilding) unmarked() (inos.NodeID, inos.MemberState) {
	for _, node := range u.k.members.all() {
		m := u.k.members.table[node]
		g := u.nodes[node]
		_, over := u.over[node]
		switch whole := g != nil && g.done && !over; {
		case m == nil || m.draining():
		case !whole && !m.unread():
			return node, inos.MemberUnread
		case whole && m.unread():
			return node, inos.MemberActive
		}
	}
	return "", 0
}

// marked takes the end of that.
func (u *rebuilding) marked(a *answer) {
	var r eventpb.SetNodeReply
	if a.err == nil && event.Open(a.env, &r) == nil && r.Member != nil {
		u.k.members.learn(r.Member)
		return
	}
	u.k.members.doubted() // it may have happened, or the node was removed meanwhile
	u.retry()
}

// once asks for the one effect of a phase.
func (u *rebuilding) once(op uint8, effect string, m event.Message) {
	if !u.underWay {
		u.underWay = true
		u.k.send(nil, ask{owner: threadRebuild, op: op}, effect, m)
	}
}

func (u *rebuilding) wake() (at inos.Micros) {
	if !u.active() || u.k.node.draining || !u.k.recovery.done || !u.k.members.ready() {
		return 0
	}
	at = u.noted + rebuildNoteEvery
	switch {
	case u.again > u.k.now:
		at = earlier(at, u.again) // nothing else is done before
	case u.phase == rebuildGather:
		at = earlier(at, max(u.lookAt, 1))
	}
	return at
}

// idle says that nothing of a rebuild is under way that a drain has to wait for.
func (u *rebuilding) idle() bool {
	return !u.underWay && !u.asked && len(u.table) == 0 && len(u.turns) == 0
}

// retry pauses after a failure of the semantic memory or the host.
func (u *rebuilding) retry() { u.again = u.k.now + retryBackoffMax }

// meet takes up nodes that have come. It goes through all members, and is not called in every step.
func (u *rebuilding) meet() {
	for _, node := range u.k.members.all() {
		if u.nodes[node] == nil && len(u.nodes) < membersMax && u.stops[node] < rebuildStopsMax && (node == u.k.self() && u.k.node.provider || u.k.members.alive(node)) {
			u.nodes[node] = &gathering{}
			u.line.add(node)
			delete(u.left, node)
			u.came, u.anew = u.k.now, true
		}
	}
}

// gather asks nodes for the next pages of what they hold.
func (u *rebuilding) gather() {
	k := u.k
	u.line.turns(k.now, func() bool { return len(u.turns) < nodesGathering }, func(node inos.NodeID) int {
		g := u.nodes[node]
		switch {
		case g == nil || g.done || g.turn != 0:
			return turnOver
		case node != k.self() && !k.members.alive(node) || g.again > k.now:
			return turnLater
		}
		g.turn = k.work()
		u.turns[g.turn] = node
		k.content(nil, ask{owner: threadRebuild, op: opRebuildList, work: g.turn}, node, event.ContentInventory,
			&eventpb.ContentInventoryRequest{After: g.after, Limit: inventoryPage, Record: g.records}, bulk{})
		return turnOver
	})
}

// more says that a node has more to say, and is waited for.
func (u *rebuilding) more() bool {
	return slices.ContainsFunc(sortedKeys(u.nodes), func(node inos.NodeID) bool {
		g := u.nodes[node]
		return !g.done && !g.stuck(u.k.now) && (g.turn != 0 || node == u.k.self() || u.k.members.alive(node))
	})
}

func (u *rebuilding) answer(a *answer) {
	switch a.op {
	case opMark:
		u.underWay = false
		u.marked(a)
	case opForgetSights, opEndSights:
		u.underWay = false
		switch {
		case a.err != nil:
			u.retry()
		case a.op == opForgetSights:
			u.phase = rebuildGather
		default:
			u.ended()
		}
	case opRebuildList, opSight:
		u.gathered(a)
	case opRecordPage:
		u.paged(a)
	case opRecordHolders:
		u.held(a)
	case opRecordUnread:
		u.unread(a)
	case opRecheck:
		u.rechecked(a)
	default:
		u.stepped(u.table[a.work], a)
	}
}

// ended ends a rebuild, unless a node has come since it was decided to: it is a member by now, and what it holds and has no row would be trashed. What
// was seen of the others is forgotten then, and everybody is asked once more.
func (u *rebuilding) ended() {
	u.anew = false
	u.meet()
	u.nodes, u.line, u.order, u.at, u.page = map[inos.NodeID]*gathering{}, turnLine{}, nil, 0, nil
	clear(u.read)
	if u.anew {
		u.phase, u.chunks = rebuildClear, 0
		return
	}
	for _, node := range sortedKeys(u.left) {
		u.overlook(node, "has stopped before it told all that it holds", false)
	}
	clear(u.left)
	clear(u.stops)
	u.phase, u.narrow = rebuildDone, true
	u.note(event.StateCompleted)
}

// gathered takes a page of what a node holds, or the end of noting it.
func (u *rebuilding) gathered(a *answer) {
	k := u.k
	node := u.turns[a.work]
	g := u.nodes[node]
	if g == nil || g.turn != a.work || u.phase >= rebuildEnd {
		delete(u.turns, a.work) // it comes too late: the node was passed over meanwhile
		return
	}
	end := func() {
		delete(u.turns, a.work)
		if g.turn = 0; !g.done {
			u.line.add(node)
		}
	}
	if a.op == opRebuildList {
		var r eventpb.ContentInventoryReply
		if a.err != nil || event.Open(a.env, &r) != nil || !ascends(g.after, r.ChunkIds, inventoryPage) || len(r.ChunkIds) < inventoryPage && !r.End {
			if g.again = k.now + retryBackoffMax; g.silent == 0 {
				g.silent = k.now
			}
			end()
			return
		}
		if g.stuck(k.now) {
			u.came, u.anew = k.now, true
		}
		g.silent = 0
		if g.page, g.last = r.ChunkIds, r.End; g.listed+uint64(len(g.page)) > u.most(node, g.records) {
			u.tooMuch(node, g.records)
			g.page, g.last = nil, true
		}
		if len(g.page) > 0 {
			k.send(nil, ask{owner: threadRebuild, op: opSight, work: a.work}, event.Sight, &eventpb.SightRequest{Node: string(node), ChunkIds: g.page})
			return
		}
	} else if a.err != nil {
		g.again = k.now + retryBackoffMax
		end()
		return
	}
	if n := len(g.page); n > 0 {
		g.after = g.page[n-1]
		g.listed += uint64(n)
		if !g.records {
			u.chunks += uint64(n)
		}
	}
	g.page = nil
	switch {
	case g.last && g.records:
		g.done = true
	case g.last:
		g.records, g.after, g.listed = true, nil, 0
	}
	end()
}

// most returns how many chunks, or records, a node can name truthfully: with room to spare, twice of what its last heartbeat said that it holds, whose
// counters are exact; and what fits into the bytes that it was granted, which records do not count against.
func (u *rebuilding) most(node inos.NodeID, records bool) uint64 {
	most := uint64(listedMax)
	m := u.k.members.member(node)
	if m == nil {
		return most
	}
	if !records && m.row.OfferedBytes > 0 {
		most = min(most, m.row.OfferedBytes/storedBytesLeast+listedSpare)
	}
	if m.usage != nil {
		says := m.usage.Chunks
		if records {
			says = max(m.usage.Records, m.records)
		}
		most = min(most, 2*min(says, listedMax)+listedSpare)
	}
	return most
}

// tooMuch passes a node over that names more than it can hold: it would come to no end.
func (u *rebuilding) tooMuch(node inos.NodeID, records bool) {
	what := "chunks"
	if records {
		what = "commit records"
	}
	u.overlook(node, "names more than "+strconv.FormatUint(u.most(node, records), 10)+" "+what+", which it cannot hold by what its heartbeat and its grant say", !records)
}

// overlook notes that a node is passed over, for good or for the pass under way, and why.
func (u *rebuilding) overlook(node inos.NodeID, why string, good bool) {
	if len(u.over) < membersMax {
		u.over[node] = u.over[node] || good
	}
	u.k.watcher.note("node:rebuild:v1:requested", event.StateFailed, "node "+string(node)+" "+why+", and is passed over")
}

// note writes how far it is into the history.
func (u *rebuilding) note(state event.State) {
	u.noted = u.k.now
	p := u.progress()
	u.k.watcher.note("node:rebuild:v1:requested", state, plural(p.Nodes, "node", "nodes")+", "+plural(p.Chunks, "copy", "copies")+", "+plural(p.Records, "record", "records")+" read, "+
		plural(p.Refused, "refused", "refused")+", "+plural(p.Versions, "version", "versions")+" restored, "+plural(p.Unreadable, "unreadable", "unreadable"))
}

// progress says how far it is; nil when there is no rebuild.
func (u *rebuilding) progress() *eventpb.RebuildProgress {
	if u.phase == rebuildOff {
		return nil
	}
	nodes := uint64(len(u.nodes))
	if u.phase == rebuildDone {
		nodes = uint64(len(u.k.members.all()))
	}
	return &eventpb.RebuildProgress{
		Nodes: nodes, Chunks: u.chunks, Records: u.records, Refused: u.refused, Versions: u.versions,
		Unreadable: uint64(len(u.bad)) + u.badMore + u.withheld, Done: u.phase == rebuildDone,
	}
}

// lacking says that versions could not be restored.
func (u *rebuilding) lacking() bool { return len(u.bad) > 0 || u.badMore > 0 }

// notices says for a person what is being done, and names what could not be restored.
func (u *rebuilding) notices() (out []string) {
	if u.active() {
		out = append(out, "the map is being made again from the mesh: requests are refused until it is done; nodes that are missing should be started now")
	}
	if u.withheld > 0 {
		out = append(out, plural(u.withheld, "commit record", "commit records")+" could not be read from any node that holds it: what only these say was not restored")
	}
	for i, node := range sortedKeys(u.over) {
		if i == unreadableNamed {
			out = append(out, "and so it is with "+plural(uint64(len(u.over)-i), "more node", "more nodes"))
			break
		}
		out = append(out, "node "+string(node)+" has not told, or given, all that it holds, and was passed over: what only it holds was not restored, and stays there")
	}
	for i, r := range u.bad {
		if i == unreadableNamed {
			out = append(out, "and "+plural(uint64(len(u.bad)-i)+u.badMore, "more file", "more files")+" could not be restored")
			break
		}
		if r.File.Owner == "" {
			out = append(out, "could not be restored, the map does not take it: "+r.File.Path)
			continue
		}
		out = append(out, "could not be restored, some of its chunks are on no node: "+r.File.Path+" of "+r.File.Owner)
	}
	return out
}
