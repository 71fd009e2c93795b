package kernel

import (
	"slices"

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
	came     inos.Micros // when the last node came
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
	mute    inos.Micros // since when the node has not given its page; 0: it does
	anew    bool        // a node came during the pass: there is another
	table   map[uint64]*restoring
	bad     []*eventpb.Record // versions that could not be restored, as far as they are remembered
	badMore uint64
	check   int // of bad, in a recheck

	read map[string]uint8 // records of the pass that brought nothing, as far as they are remembered: why (vainSilent and so on)
	left []inos.NodeID    // nodes that died before they had said what they hold, and have not come back

	withheld uint64      // records that no node gave in the pass which was seen to hold them
	wanting  bool        // these, or manifest nodes: another pass may get them
	vain     inos.Micros // since when passes have left such and brought no version; 0: none has
	reached  uint64      // versions at that time
	narrow   bool        // it is done, and records of what was restored may lie on fewer nodes than they can
}

// gathering is a node that says what it holds.
type gathering struct {
	after    []byte
	records  bool // its chunks are known, its records follow
	underWay bool
	done     bool
	again    inos.Micros
	page     [][]byte // being noted
	last     bool
	silent   inos.Micros // since when it has not said what it holds; 0: it does
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
		c.bool(&g.underWay)
		c.bool(&g.done)
		num(c, &g.again)
		ids(&g.page)
		c.bool(&g.last)
		num(c, &g.silent)
	})
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
	list(c, &u.left, membersMax, text[inos.NodeID])
	c.bool(&u.asked)
	num(c, &u.mute)
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
	case rebuildGather:
		u.meet()
		u.gather()
	case rebuildRecords:
		u.meet()
		u.gather()
		u.pass()
	case rebuildRecheck:
		u.recheck()
	case rebuildEnd:
		u.once(opEndSights, event.EndRestore, &eventpb.EndRestoreRequest{Settle: true, NowUs: int64(u.k.now)})
	}
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
	if u.again > u.k.now {
		at = earlier(at, u.again)
	}
	if u.phase == rebuildGather {
		at = earlier(at, u.k.now+rebuildLook)
	}
	return at
}

// idle says that nothing of a rebuild is under way that a drain has to wait for.
func (u *rebuilding) idle() bool {
	return !u.underWay && !u.asked && len(u.table) == 0 && !slices.ContainsFunc(sortedKeys(u.nodes), func(n inos.NodeID) bool { return u.nodes[n].underWay })
}

// retry pauses after a failure of the semantic memory or the host.
func (u *rebuilding) retry() { u.again = u.k.now + retryBackoffMax }

// meet takes up nodes that have come.
func (u *rebuilding) meet() {
	for _, node := range u.k.members.all() {
		if u.nodes[node] == nil && len(u.nodes) < membersMax && (node == u.k.self() && u.k.node.provider || u.k.members.alive(node)) {
			u.nodes[node] = &gathering{}
			u.left = slices.DeleteFunc(u.left, func(n inos.NodeID) bool { return n == node })
			u.came, u.anew = u.k.now, true
		}
	}
}

// gather asks nodes for the next pages of what they hold. When all have said it and no other has come for a while, the records are read.
func (u *rebuilding) gather() {
	k := u.k
	busy, open := 0, false
	for _, node := range sortedKeys(u.nodes) {
		g := u.nodes[node]
		if g.underWay {
			busy++
			open = open || !g.stuck(k.now)
			continue
		}
		if g.done || node != k.self() && !k.members.alive(node) {
			continue
		}
		open = open || !g.stuck(k.now)
		if busy < nodesGathering && g.again <= k.now {
			busy++
			g.underWay = true
			k.content(nil, u.of(opRebuildList, node), node, event.ContentInventory, &eventpb.ContentInventoryRequest{After: g.after, Limit: inventoryPage, Record: g.records}, bulk{})
		}
	}
	if u.phase == rebuildGather && !open && len(u.nodes) > 0 && u.came+rebuildSettle <= k.now {
		u.begin()
	}
}

// of names a node's effect.
func (u *rebuilding) of(op uint8, node inos.NodeID) ask {
	return ask{owner: threadRebuild, op: op, slot: hashName(levelProcess, string(node))}
}

func (u *rebuilding) bySlot(slot uint64) (inos.NodeID, *gathering) {
	for _, node := range sortedKeys(u.nodes) {
		if hashName(levelProcess, string(node)) == slot {
			return node, u.nodes[node]
		}
	}
	return "", nil // it was passed over meanwhile
}

func (u *rebuilding) answer(a *answer) {
	switch a.op {
	case opForgetSights, opEndSights:
		u.underWay = false
		switch {
		case a.err != nil:
			u.retry()
		case a.op == opForgetSights:
			u.phase = rebuildGather
		default:
			u.phase, u.nodes, u.order, u.at, u.page, u.left = rebuildDone, map[inos.NodeID]*gathering{}, nil, 0, nil, nil
			clear(u.read)
			u.narrow = true
			u.note(event.StateCompleted)
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

// gathered takes a page of what a node holds, or the end of noting it.
func (u *rebuilding) gathered(a *answer) {
	k := u.k
	node, g := u.bySlot(a.slot)
	if g == nil {
		return
	}
	if u.phase >= rebuildEnd {
		g.underWay = false // it comes too late
		return
	}
	if a.op == opRebuildList {
		var r eventpb.ContentInventoryReply
		if a.err != nil || event.Open(a.env, &r) != nil || !ascends(g.after, r.ChunkIds, inventoryPage) || len(r.ChunkIds) == 0 && !r.End {
			g.underWay, g.again = false, k.now+retryBackoffMax
			if g.silent == 0 {
				g.silent = k.now
			}
			return
		}
		if g.stuck(k.now) {
			u.came, u.anew = k.now, true
		}
		g.silent = 0
		g.page, g.last = r.ChunkIds, r.End
		if len(g.page) > 0 {
			k.send(nil, u.of(opSight, node), event.Sight, &eventpb.SightRequest{Node: string(node), ChunkIds: g.page})
			return
		}
	} else if a.err != nil {
		g.underWay, g.again = false, k.now+retryBackoffMax
		return
	}
	g.underWay = false
	if n := len(g.page); n > 0 {
		g.after = g.page[n-1]
		if !g.records {
			u.chunks += uint64(n)
		}
	}
	g.page = nil
	switch {
	case g.last && g.records:
		g.done = true
	case g.last:
		g.records, g.after = true, nil
	}
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
