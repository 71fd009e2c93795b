package kernel

import (
	"bytes"
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

const opScrub = 1 // content:scrub

// verifies runs the verifications of all stored chunks, node by node and page by page: first of what a disk holds, then of what it
// should. One of a single file is a get whose bytes are let go: it is handed to the gets.
type verifies struct {
	k       *Kernel
	table   map[uint64]*verify
	waiting []uint64
	active  []uint64
}

type verify struct {
	origin
	underWay bool
	nodes    []*nodeScrub
	at       uint32 // the node of them that is being verified
	after    []byte
	scrubbed bool // the disk is read; what follows is the comparison
	compared comparison
	chunks   uint64
	stored   uint64
	bad      [][]byte
	here     [][]byte // of the node that is being verified
	badCount uint64
	reported inos.Micros
}

// nodeScrub is what the verification found on one node.
type nodeScrub struct {
	node  inos.NodeID
	pages uint32
	nodeVerified
}

// current returns the node that is being verified; nil behind the last one.
func (v *verify) current() *nodeScrub {
	if int(v.at) >= len(v.nodes) {
		return nil
	}
	return v.nodes[v.at]
}

func (u *verifies) init(k *Kernel) {
	u.k = k
	u.table = map[uint64]*verify{}
}

func (u *verifies) about() about {
	return about{name: "verify", kind: "pipeline", hears: []string{event.FilesVerify}, inFlightMax: verifiesMax}
}

func (u *verifies) code(c *coder) {
	objects(c, &u.table, verifiesMax+waitingMax, num[uint64], func(c *coder, v *verify) {
		v.origin.code(c)
		c.bool(&v.underWay)
		pointers(c, &v.nodes, membersMax, func(c *coder, n *nodeScrub) {
			text(c, &n.node)
			num(c, &n.pages)
			n.nodeVerified.code(c)
		})
		num(c, &v.at)
		c.bytes(&v.after)
		c.bool(&v.scrubbed)
		v.compared.code(c)
		num(c, &v.chunks)
		num(c, &v.stored)
		list(c, &v.bad, badChunksMax, func(c *coder, b *[]byte) { c.bytes(b) })
		list(c, &v.here, badChunksMax, func(c *coder, b *[]byte) { c.bytes(b) })
		num(c, &v.badCount)
		num(c, &v.reported)
	})
	list(c, &u.waiting, waitingMax, num[uint64])
	list(c, &u.active, verifiesMax, num[uint64])
	if c.reading && c.err == nil {
		members(c, u.table, u.waiting, u.active)
	}
}

func (u *verifies) hear(in *input) {
	const op = "files:verify"
	var q eventpb.FilesVerifyRequest
	if err := event.Open(in.env, &q); err != nil {
		u.k.fail(&in.origin, inos.Errorf(inos.CodeBadRequest, op, "%w", err))
		return
	}
	if q.Path != "" {
		if err := inos.CheckPath(inos.Path(q.Path)); err != nil {
			u.k.fail(&in.origin, inos.Errorf(inos.CodeBadPath, op, "%w", err))
			return
		}
		u.k.gets.enter(&get{origin: in.origin, verify: true, discard: true, length: -1})
		return
	}
	if len(u.waiting) >= waitingMax {
		u.k.fail(&in.origin, busy(op, "verifications", waitingMax))
		return
	}
	u.k.watcher.began(&in.origin)
	u.table[in.origin.work] = &verify{origin: in.origin}
	u.waiting = append(u.waiting, in.origin.work)
}

// gone ends the verification whose client went away: it would keep a place from others for as long as it takes to read every disk.
func (u *verifies) gone(id string) {
	for _, work := range sortedKeys(u.table) {
		if v := u.table[work]; v.id == id && !v.answered {
			u.k.fail(&v.origin, inos.Errorf(inos.CodeCanceled, "files:verify", "the client went away after %d chunks", v.chunks))
			u.clean(v)
		}
	}
}

func (u *verifies) act() {
	for len(u.waiting) > 0 && len(u.active) < verifiesMax && u.k.ready() {
		v := u.table[u.waiting[0]]
		u.waiting = u.waiting[1:]
		u.active = append(u.active, v.work)
		v.reported = u.k.now
		for _, node := range u.k.members.all() {
			v.nodes = append(v.nodes, &nodeScrub{node: node})
		}
		u.next(v)
	}
	for _, work := range slices.Clone(u.active) {
		if v := u.table[work]; !v.underWay && !v.answered {
			u.page(v)
		}
	}
	for _, work := range slices.Concat(u.active, u.waiting) {
		if v := u.table[work]; !v.answered && (v.deadline != 0 && v.deadline <= u.k.now || u.k.node.draining) {
			err := inos.Errorf(inos.CodeDeadlineExceeded, "files:verify", "the request's deadline passed after %d chunks", v.chunks)
			if u.k.node.draining {
				err = inos.Errorf(inos.CodeShuttingDown, "files:verify", "the node is stopping; %d chunks were verified", v.chunks)
			}
			u.k.fail(&v.origin, err)
			u.clean(v)
		}
	}
}

func (u *verifies) wake() (at inos.Micros) {
	for _, l := range [][]uint64{u.active, u.waiting} {
		for _, work := range l {
			if v := u.table[work]; !v.answered {
				at = earlier(at, v.deadline)
			}
		}
	}
	return at
}

// page asks for the next page, unless there is no room for what it may find: then act does later.
func (u *verifies) page(v *verify) {
	if u.k.losses.full() {
		return
	}
	v.underWay = true
	if v.scrubbed {
		v.compared.page(u.k, &v.origin, v.ask())
		return
	}
	u.k.content(&v.origin, ask{owner: threadVerify, op: opScrub, work: v.work}, v.current().node, event.ContentScrub,
		&eventpb.ContentScrubRequest{After: v.after, Limit: scrubPage}, bulk{})
}

func (u *verifies) answer(a *answer) {
	v := u.table[a.work]
	v.underWay = false
	if v.answered {
		u.clean(v)
		return
	}
	if a.op != opScrub {
		u.compare(v, a)
		return
	}
	var r eventpb.ContentScrubReply
	err := a.err
	if err == nil {
		if openErr := event.Open(a.env, &r); openErr != nil {
			err = inos.Errorf(inos.CodeInternal, "content:scrub", "%w", openErr)
		} else if !r.End && slices.Compare(r.Next, v.after) <= 0 || len(r.Bad) > scrubPage {
			err = inos.Errorf(inos.CodeInternal, "content:scrub", "the page ends where it began, or names %d bad chunks of %d", len(r.Bad), scrubPage)
		}
	}
	if err != nil {
		u.broken(v, err)
		return
	}
	v.after = r.Next
	n := v.current()
	n.chunks += uint64(r.Chunks)
	n.stored += r.StoredBytes
	v.chunks += uint64(r.Chunks)
	v.stored += r.StoredBytes
	for _, id := range r.Bad {
		u.isBad(v, id)
	}
	n.pages++
	v.scrubbed = r.End || n.pages >= sweepPagesMax
	u.next(v)
}

// broken ends the verification of a node that gave no answer: the others are verified all the same. A lone node has no others.
func (u *verifies) broken(v *verify, err *inos.Error) {
	if u.k.lone() {
		u.k.fail(&v.origin, because("files:verify", err, ""))
		u.clean(v)
		return
	}
	v.current().err = err.Message
	v.scrubbed, v.compared.end = true, true
	u.next(v)
}

// isBad counts a chunk that the node holds no more.
func (u *verifies) isBad(v *verify, id []byte) {
	n := v.current()
	if len(id) == inos.HashBytes {
		u.k.losses.doubt(n.node, inos.ChunkID(id))
	}
	n.bad++
	v.badCount++
	if len(v.bad) < badChunksMax {
		v.bad = append(v.bad, id)
	}
	if len(v.here) < badChunksMax {
		v.here = append(v.here, id)
	}
}

func (v *verify) ask() ask { return ask{owner: threadVerify, work: v.work} }

// compare takes the end of an effect of the comparison. What the scrub set aside may still be listed.
func (u *verifies) compare(v *verify, a *answer) {
	lost, done, err := v.compared.answer(u.k, &v.origin, v.ask(), a)
	switch {
	case err != nil:
		u.broken(v, err)
		return
	case !done:
		v.underWay = true
		return
	}
	n := v.current()
	for _, id := range lost {
		named := slices.ContainsFunc(v.here, func(b []byte) bool { return bytes.Equal(b, id) })
		if !named && (n.bad < badChunksMax || !u.k.losses.holds(n.node, inos.ChunkID(id))) {
			u.isBad(v, id)
		}
	}
	u.next(v)
}

// next goes on with the next page or the next node, or answers.
func (u *verifies) next(v *verify) {
	if v.scrubbed && v.compared.end {
		v.at++
		v.scrubbed, v.after, v.here, v.compared = false, nil, nil, comparison{}
	}
	for n := v.current(); n != nil && n.node != u.k.self() && !u.k.members.alive(n.node); n = v.current() {
		if n.err == "" {
			n.err = "the node does not answer"
		}
		v.at++
	}
	if n := v.current(); n != nil {
		if u.k.now-v.reported >= progressEvery {
			v.reported = u.k.now
			u.k.progress(&v.origin, &eventpb.FilesVerifyProgress{Chunks: v.chunks, StoredBytes: v.stored, Bad: v.badCount})
		}
		v.compared.node = n.node
		u.page(v)
		return
	}
	detail := plural(v.chunks, "chunk", "chunks")
	if v.badCount > 0 {
		detail += ", " + plural(v.badCount, "is bad", "are bad")
	}
	r := &eventpb.FilesVerifyReply{Chunks: v.chunks, StoredBytes: v.stored, BadChunkIds: v.bad, Bad: v.badCount}
	var nodes []*eventpb.NodeVerified
	for _, n := range v.nodes {
		nodes = append(nodes, &eventpb.NodeVerified{Node: string(n.node), Chunks: n.chunks, StoredBytes: n.stored, Bad: n.bad, Error: n.err})
	}
	nameVerified(r, nodes)
	u.k.complete(&v.origin, r, detail)
	u.clean(v)
}

// nameVerified puts what was found on each node into a reply. Of more nodes than it takes, those come first of which a person should know.
func nameVerified(r *eventpb.FilesVerifyReply, nodes []*eventpb.NodeVerified) {
	if len(nodes) > nodesVerifiedMax {
		fine := func(n *eventpb.NodeVerified) int {
			if n.Bad > 0 || n.Error != "" {
				return 0
			}
			return 1
		}
		slices.SortStableFunc(nodes, func(a, b *eventpb.NodeVerified) int { return fine(a) - fine(b) })
		r.NodesLeftOut = uint64(len(nodes) - nodesVerifiedMax)
		nodes = nodes[:nodesVerifiedMax]
	}
	r.Nodes = nodes
}

func (u *verifies) clean(v *verify) {
	if v.underWay {
		return
	}
	delete(u.table, v.work)
	u.active = slices.DeleteFunc(u.active, func(w uint64) bool { return w == v.work })
	u.waiting = slices.DeleteFunc(u.waiting, func(w uint64) bool { return w == v.work })
}
