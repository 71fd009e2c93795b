package kernel

import (
	"bytes"
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// sweep goes through what one node's disk holds and trashes what has no row and no put has under way. In a mesh it also
// settles copies that the map does not name for the node: where enough others are trusted they are surplus and trashed; where they
// are short they are hashed again on the node and adopted. One node is swept at a time; sweep_turn.go says when which.
//
// A sweep may have been too early: what it cannot decide yet somebody else is about to, and behind a time in which the node was silent
// what was on its way to it lands, a late write above all. Then another one follows.
type sweep struct {
	node    inos.NodeID // that is being swept; empty: none is
	wanted  nodeLine    // wait for their turn
	from    []byte      // the page begins behind this id
	to      []byte      // and ends with this one
	trashed uint64
	adopted uint64
	at      inos.Micros
	tries   uint32
	pages   uint32
	worked  inos.Micros // the time that its pages have taken
	took    inos.Micros // that those of the last one took
	began   inos.Micros // when the page was asked for
	epoch   uint64      // of the node's copies then
	adopt   [][]byte    // chunks of the page to be hashed again, then adopted
	good    [][]byte    // of them those that are there
	again   bool        // the node is to be swept once more behind this
	last    inos.NodeID // swept last in the turn that all nodes have
	turnAt  inos.Micros // when the next one has its turn; 0: not planned
}

func (s *sweep) code(c *coder) {
	text(c, &s.node)
	s.wanted.code(c)
	c.bytes(&s.from)
	c.bytes(&s.to)
	num(c, &s.trashed)
	num(c, &s.adopted)
	num(c, &s.at)
	num(c, &s.tries)
	num(c, &s.pages)
	num(c, &s.worked)
	num(c, &s.took)
	num(c, &s.began)
	num(c, &s.epoch)
	ids := func(c *coder, b *[]byte) { c.bytes(b) }
	list(c, &s.adopt, inventoryPage, ids)
	list(c, &s.good, inventoryPage, ids)
	c.bool(&s.again)
	text(c, &s.last)
	num(c, &s.turnAt)
}

// ask sends a node one question of a sweep.
func (u *collector) ask(op uint8, effect string, m event.Message) {
	u.underWay = true
	u.k.content(nil, ask{owner: threadCollector, op: op}, u.sweep.node, effect, m, bulk{timeout: trashTimeout})
}

// inventory asks for the next page of a sweep.
func (u *collector) inventory() {
	u.begin()
	u.sweep.began, u.sweep.epoch = u.k.now, u.k.members.epoch(u.sweep.node)
	u.ask(opInventory, event.ContentInventory, &eventpb.ContentInventoryRequest{After: u.sweep.from, Limit: inventoryPage})
}

// listed takes a page of what the node holds.
func (u *collector) listed(a *answer) {
	s := &u.sweep
	var r eventpb.ContentInventoryReply
	if a.err != nil || event.Open(a.env, &r) != nil || !ascends(s.from, r.ChunkIds, inventoryPage) {
		u.sweepLater()
		return
	}
	if s.pages++; len(r.ChunkIds) == 0 || s.pages > sweepPagesMax {
		u.sweepDone()
		return
	}
	s.to = r.ChunkIds[len(r.ChunkIds)-1]
	if u.k.lone() {
		u.send(opUnknown, event.UnknownChunks, &eventpb.UnknownChunksRequest{ChunkIds: r.ChunkIds})
		return
	}
	u.send(opSwept, event.ChunkStates, &eventpb.ChunkStatesRequest{ChunkIds: r.ChunkIds})
}

// ascends says that a page of at most limit ids is in order and behind an id.
func ascends(after []byte, ids [][]byte, limit int) bool {
	if len(ids) > limit {
		return false
	}
	for _, id := range ids {
		if len(id) != inos.HashBytes || bytes.Compare(id, after) <= 0 {
			return false
		}
		after = id
	}
	return true
}

func (u *collector) unknown(a *answer) {
	var r eventpb.UnknownChunksReply
	if a.err != nil || event.Open(a.env, &r) != nil || len(r.ChunkIds) > inventoryPage {
		u.sweepLater()
		return
	}
	var all []*eventpb.ChunkGeneration
	for _, id := range r.ChunkIds {
		all = append(all, &eventpb.ChunkGeneration{ChunkId: id})
	}
	u.trashSwept(all)
}

// told takes what the map says of the chunks of a page.
func (u *collector) told(a *answer) {
	s := &u.sweep
	var r eventpb.ChunkStatesReply
	if a.err != nil || event.Open(a.env, &r) != nil || len(r.States) > inventoryPage {
		u.sweepLater()
		return
	}
	var trash []*eventpb.ChunkGeneration
	s.adopt, s.good = nil, nil
	for _, c := range r.States {
		switch u.unlisted(c) {
		case copyTrash:
			trash = append(trash, &eventpb.ChunkGeneration{ChunkId: c.ChunkId, Generation: c.Generation})
		case copyAdopt:
			s.adopt = append(s.adopt, c.ChunkId)
		case copyLater:
			s.again = true
		}
	}
	u.trashSwept(trash)
}

// What is to be done with a chunk on a node's disk.
const (
	copyKeep = iota
	copyTrash
	copyAdopt
	copyLater // and a sweep that follows decides
)

// unlisted decides about a chunk that the node being swept holds.
func (u *collector) unlisted(c *eventpb.ChunkState) int {
	if c.Generation == 0 {
		return copyTrash // no row
	}
	if slices.ContainsFunc(c.Copies, func(held *eventpb.Copy) bool { return held.Node == string(u.sweep.node) }) {
		return copyKeep
	}
	switch {
	case len(c.ChunkId) == inos.HashBytes && u.k.repairs.busy(inos.ChunkID(c.ChunkId)):
		return copyLater // it may be about to be named
	case c.Condemned:
		return copyTrash
	case c.Wanted == 0:
		return copyLater // it is collectable: a round comes for its row
	case u.k.sureDomains(c) >= c.Wanted:
		return copyTrash
	case u.k.liveDomains(c) >= c.Wanted:
		return copyKeep // some of the others are silent, or not sure of theirs: when they have come back, or are given up, a later sweep decides
	}
	return copyAdopt
}

// trashSwept has the node trash what the sweep chose, as far as no put relies on it.
func (u *collector) trashSwept(all []*eventpb.ChunkGeneration) {
	if u.spoiled {
		u.sweepLater()
		return
	}
	u.pending = u.choose(all)
	if u.sweep.again = u.sweep.again || len(u.pending) < len(all); len(u.pending) == 0 {
		u.adoptNext()
		return
	}
	u.ask(opTrashSwept, event.ContentTrash, &eventpb.ContentTrashRequest{Chunks: u.pending})
}

func (u *collector) sweptAway(a *answer) {
	var r eventpb.ContentTrashReply
	if a.err != nil {
		u.sweepLater()
		return
	}
	if event.Open(a.env, &r) == nil {
		u.sweep.trashed += uint64(r.Chunks)
	}
	u.usageStale = true
	u.adoptNext()
}

// adoptNext has the node hash the next chunk that is to be adopted; when none is left, their copies are entered.
func (u *collector) adoptNext() {
	s := &u.sweep
	u.letGo()
	switch {
	case len(s.adopt) > 0:
		u.ask(opRehash, event.ContentScrub, &eventpb.ContentScrubRequest{After: before(s.adopt[0]), Limit: 1, Adopt: s.adopt[0]})
	case len(s.good) > 0:
		u.send(opAdopt, event.AddCopies, &eventpb.AddCopiesRequest{Node: string(s.node), Epoch: s.epoch, ChunkIds: s.good})
	default:
		u.pageDone()
	}
}

// adopts says that a node's copy of a chunk is about to be entered into the map: it must not go to the trash meanwhile, nor be taken off the map before.
func (u *collector) adopts(node inos.NodeID, id inos.ChunkID) bool {
	s := &u.sweep
	is := func(b []byte) bool { return string(b) == string(id[:]) }
	return s.node == node && (slices.ContainsFunc(s.adopt, is) || slices.ContainsFunc(s.good, is))
}

// before returns the id that a page has to begin behind for its first chunk to be this one, if it is there.
func before(id []byte) []byte {
	b := slices.Clone(id)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]--; b[i] != 0xff {
			return b
		}
	}
	return nil // of the least id
}

func (u *collector) rehashed(a *answer) {
	s := &u.sweep
	var r eventpb.ContentScrubReply
	if a.err != nil || event.Open(a.env, &r) != nil {
		u.sweepLater()
		return
	}
	if bytes.Equal(r.Next, s.adopt[0]) && len(r.Bad) == 0 {
		s.good = append(s.good, s.adopt[0])
	}
	s.adopt = s.adopt[1:]
	u.adoptNext()
}

func (u *collector) adopted(a *answer) {
	s := &u.sweep
	var r eventpb.AddCopiesReply
	if a.err != nil || event.Open(a.env, &r) != nil {
		u.sweepLater()
		return
	}
	for _, id := range s.good {
		u.touch(inos.ChunkID(id))
	}
	s.good = nil
	s.adopted += uint64(len(r.Taken))
	u.pageDone()
}

// pageDone goes on with the next page; in a mesh after a pause as long as this one took, for the map has other things to answer.
func (u *collector) pageDone() {
	s := &u.sweep
	u.letGo()
	s.from, s.tries = s.to, 0
	took := max(0, u.k.now-s.began)
	s.worked += took
	s.again = s.again || took > sweepSettle
	if !u.k.lone() {
		s.at = u.k.now + took
	}
}

// sweepLater tries the page again after a pause. A node of the mesh that does not answer is left for the others' sake, and tried again after its rest.
func (u *collector) sweepLater() {
	s := &u.sweep
	u.letGo()
	s.adopt, s.good, s.again = nil, nil, true
	s.at = u.k.now + collectEvery
	if s.tries++; s.node != u.k.self() && (s.tries > retriesMax || u.gone(s.node)) {
		u.leave()
	}
}

func (u *collector) sweepDone() {
	s := &u.sweep
	u.letGo()
	detail := plural(s.trashed, "chunk", "chunks") + " without a row moved to the trash"
	if s.node == u.k.self() {
		u.k.recovery.swept = true
	} else {
		detail = "node " + string(s.node) + ": " + detail
	}
	if s.adopted > 0 {
		detail += ", " + plural(s.adopted, "copy", "copies") + " that the map did not name"
	}
	s.took = s.worked
	u.leave()
	if s.trashed+s.adopted > 0 || u.k.lone() {
		u.k.watcher.note("node:recover:v1:requested", event.StateCompleted, detail)
	}
}
