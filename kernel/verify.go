package kernel

import (
	"bytes"
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

const opScrub = 1 // content:scrub

// verifies runs the verifications of all stored chunks, page by page: first of what the disk holds, then of what it should. One of a single file is a get whose bytes are let
// go: it is handed to the gets.
type verifies struct {
	k       *Kernel
	table   map[uint64]*verify
	waiting []uint64
	active  []uint64
}

type verify struct {
	origin
	underWay bool
	after    []byte
	scrubbed bool // the disk is read; what follows is the audit
	audit    audit
	chunks   uint64
	stored   uint64
	bad      [][]byte
	badCount uint64
	reported inos.Micros
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
		c.bytes(&v.after)
		c.bool(&v.scrubbed)
		v.audit.code(c)
		num(c, &v.chunks)
		num(c, &v.stored)
		list(c, &v.bad, badChunksMax, func(c *coder, b *[]byte) { c.bytes(b) })
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

func (u *verifies) act() {
	for len(u.waiting) > 0 && len(u.active) < verifiesMax && u.k.ready() {
		v := u.table[u.waiting[0]]
		u.waiting = u.waiting[1:]
		u.active = append(u.active, v.work)
		v.reported = u.k.now
		u.page(v)
	}
	for _, work := range u.active {
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
		v.audit.page(u.k, &v.origin, v.ask())
		return
	}
	u.k.send(&v.origin, ask{owner: threadVerify, op: opScrub, work: v.work}, event.ContentScrub, &eventpb.ContentScrubRequest{After: v.after, Limit: scrubPage})
}

func (u *verifies) answer(a *answer) {
	v := u.table[a.work]
	v.underWay = false
	if v.answered {
		u.clean(v)
		return
	}
	if a.op != opScrub {
		u.audited(v, a)
		return
	}
	var r eventpb.ContentScrubReply
	err := a.err
	if err == nil {
		if openErr := event.Open(a.env, &r); openErr != nil {
			err = inos.Errorf(inos.CodeInternal, "content:scrub", "%w", openErr)
		} else if !r.End && slices.Compare(r.Next, v.after) <= 0 {
			err = inos.Errorf(inos.CodeInternal, "content:scrub", "the page ends where it began")
		}
	}
	if err != nil {
		u.k.fail(&v.origin, because("files:verify", err, ""))
		u.clean(v)
		return
	}
	v.after = r.Next
	v.chunks += uint64(r.Chunks)
	v.stored += r.StoredBytes
	for _, id := range r.Bad {
		u.isBad(v, id)
	}
	v.scrubbed = r.End
	u.next(v)
}

// isBad counts a chunk that the disk holds no more.
func (u *verifies) isBad(v *verify, id []byte) {
	if len(id) == inos.HashBytes {
		u.k.losses.doubt(u.k.self(), inos.ChunkID(id))
	}
	v.badCount++
	if len(v.bad) < badChunksMax {
		v.bad = append(v.bad, id)
	}
}

func (v *verify) ask() ask { return ask{owner: threadVerify, work: v.work} }

// audited takes the end of an effect of the audit. What the scrub set aside may still be listed.
func (u *verifies) audited(v *verify, a *answer) {
	lost, done, err := v.audit.answer(u.k, &v.origin, v.ask(), a)
	switch {
	case err != nil:
		u.k.fail(&v.origin, because("files:verify", err, ""))
		u.clean(v)
		return
	case !done:
		v.underWay = true
		return
	}
	for _, id := range lost {
		named := slices.ContainsFunc(v.bad, func(b []byte) bool { return bytes.Equal(b, id) })
		if !named && (v.badCount < badChunksMax || !u.k.losses.holds(u.k.self(), inos.ChunkID(id))) {
			u.isBad(v, id)
		}
	}
	u.next(v)
}

// next goes on with the next page, or answers.
func (u *verifies) next(v *verify) {
	if !v.scrubbed || !v.audit.end {
		if u.k.now-v.reported >= progressEvery {
			v.reported = u.k.now
			u.k.progress(&v.origin, &eventpb.FilesVerifyProgress{Chunks: v.chunks, StoredBytes: v.stored, Bad: v.badCount})
		}
		u.page(v)
		return
	}
	detail := plural(v.chunks, "chunk", "chunks")
	if v.badCount > 0 {
		detail += ", " + plural(v.badCount, "is bad", "are bad")
	}
	u.k.complete(&v.origin, &eventpb.FilesVerifyReply{Chunks: v.chunks, StoredBytes: v.stored, BadChunkIds: v.bad, Bad: v.badCount}, detail)
	u.clean(v)
}

func (u *verifies) clean(v *verify) {
	if v.underWay {
		return
	}
	delete(u.table, v.work)
	u.active = slices.DeleteFunc(u.active, func(w uint64) bool { return w == v.work })
	u.waiting = slices.DeleteFunc(u.waiting, func(w uint64) bool { return w == v.work })
}
