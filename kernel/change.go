package kernel

import (
	"slices"
	"strconv"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects of a change.
const (
	opChangeDelete = iota + 1 // semantic:delete_file
	opChangeSet               // semantic:set_replicas
	opChangeLook              // semantic:lookup_file, for what a set will pledge
)

// changes deletes files and sets their replicas: changes of the namespace without a body. Like a put's commit each is one transaction, and is
// acknowledged when its commit record is safe.
type changes struct {
	k       *Kernel
	table   map[uint64]*change
	waiting []uint64
	active  []uint64
}

// change is one files:delete or files:set.
type change struct {
	origin
	replicas uint32 // 0: of a delete
	version  uint64 // that a set pledges for; 0: not known yet
	pledge   int64
	quorum   uint32
	file     *eventpb.FileInfo // of the version written; owner, path and version only when deleted
	retries  uint32
	again    inos.Micros
}

func (u *changes) init(k *Kernel) {
	u.k = k
	u.table = map[uint64]*change{}
}

func (u *changes) about() about {
	return about{name: "change", kind: "pipeline", hears: []string{event.FilesDelete, event.FilesSet}, inFlightMax: changesMax}
}

func (u *changes) code(c *coder) {
	objects(c, &u.table, changesMax+waitingMax, num[uint64], func(c *coder, p *change) {
		p.origin.code(c)
		num(c, &p.replicas)
		num(c, &p.version)
		num(c, &p.pledge)
		num(c, &p.quorum)
		fileInfo(c, &p.file)
		num(c, &p.retries)
		num(c, &p.again)
	})
	list(c, &u.waiting, waitingMax, num[uint64])
	list(c, &u.active, changesMax, num[uint64])
	if c.reading && c.err == nil {
		members(c, u.table, u.waiting, u.active)
	}
}

func (u *changes) idle() bool { return len(u.table) == 0 }

func (u *changes) hear(in *input) {
	p := &change{origin: in.origin}
	if err := u.accept(p, in.env); err != nil {
		u.k.fail(&p.origin, err)
		return
	}
	u.k.watcher.began(&p.origin)
	u.table[p.work] = p
	u.waiting = append(u.waiting, p.work)
}

func (u *changes) accept(p *change, e *eventpb.Envelope) *inos.Error {
	op := event.Stage(e.EventType)
	if len(u.waiting) >= waitingMax {
		return busy(op, "requests", waitingMax)
	}
	var path string
	if e.EventType == event.FilesDelete {
		var m eventpb.FilesDeleteRequest
		if err := event.Open(e, &m); err != nil {
			return inos.Errorf(inos.CodeBadRequest, op, "%w", err)
		}
		path = m.Path
	} else {
		var m eventpb.FilesSetRequest
		if err := event.Open(e, &m); err != nil {
			return inos.Errorf(inos.CodeBadRequest, op, "%w", err)
		}
		if path, p.replicas = m.Path, m.Replicas; m.Replicas == 0 || m.Replicas > replicasMax {
			return inos.Errorf(inos.CodeBadRequest, op, "%d replicas, from 1 to %d can be asked for", m.Replicas, replicasMax)
		}
	}
	if err := inos.CheckPath(inos.Path(path)); err != nil {
		return inos.Errorf(inos.CodeBadPath, op, "%w", err)
	}
	return nil
}

func (u *changes) act() {
	k := u.k
	for len(u.waiting) > 0 && len(u.active) < changesMax && k.ready() {
		p := u.table[u.waiting[0]]
		if err := u.safe(p); err != nil {
			if err.Code == inos.CodeQuorumLost && k.members.someComing() {
				break // the mesh is starting
			}
			u.end(p, because(event.Stage(p.eventType), err, string(p.path)))
			continue
		}
		u.waiting = u.waiting[1:]
		u.active = append(u.active, p.work)
		u.send(p)
	}
	for _, work := range slices.Clone(u.waiting) {
		if p := u.table[work]; p.deadline != 0 && p.deadline <= k.now {
			u.end(p, inos.Errorf(inos.CodeDeadlineExceeded, event.Stage(p.eventType), "the request's deadline passed before its turn came"))
		}
	}
	for _, work := range slices.Clone(u.active) {
		if p := u.table[work]; p.again != 0 && p.again <= k.now {
			p.again = 0
			u.send(p)
		}
	}
}

func (u *changes) wake() (at inos.Micros) {
	for _, work := range u.waiting {
		at = earlier(at, u.table[work].deadline)
	}
	if len(u.waiting) > 0 {
		at = earlier(at, u.k.members.startedUp())
	}
	for _, work := range u.active {
		at = earlier(at, u.table[work].again)
	}
	return at
}

// safe refuses what could not be acknowledged, before anything is changed.
func (u *changes) safe(p *change) (err *inos.Error) {
	k := u.k
	wanted := uint32(inos.ReplicasDefault)
	if p.replicas > 0 {
		wanted = p.replicas
		if err := k.members.reachable(wanted); err != nil {
			return err
		}
	}
	p.quorum, err = k.recordQuorum(wanted)
	return err
}

func (u *changes) send(p *change) {
	key := &eventpb.RequestKey{Subject: string(p.subject), Id: p.id, EventType: p.eventType}
	a := ask{owner: threadChange, op: opChangeDelete, work: p.work}
	if p.replicas == 0 {
		u.k.send(&p.origin, a, event.DeleteFile, &eventpb.DeleteFileRequest{Owner: string(p.owner), Path: string(p.path), NowUs: int64(u.k.now), Key: key})
		return
	}
	if p.version == 0 && p.replicas > inos.ReplicasDefault {
		a.op = opChangeLook
		u.k.send(&p.origin, a, event.LookupFile, &eventpb.LookupFileRequest{Owner: string(p.owner), Path: string(p.path)})
		return
	}
	a.op = opChangeSet
	u.k.send(&p.origin, a, event.SetReplicas, &eventpb.SetReplicasRequest{
		Owner: string(p.owner), Path: string(p.path), Replicas: p.replicas, NowUs: int64(u.k.now), Key: key, Pledge: p.pledge, Version: p.version,
	})
}

// looked takes the version that a set changes, for what its replicas pledge.
func (u *changes) looked(p *change, a *answer) {
	var r eventpb.LookupFileReply
	if event.Open(a.env, &r) != nil || r.File == nil {
		u.end(p, inos.Errorf(inos.CodeInternal, "semantic:lookup_file", "the reply names no file"))
		return
	}
	p.version, p.pledge = r.File.Version, pledgeOf(p.replicas, r.File.StoredBytes)
	u.send(p)
}

// answer takes the version that was written, and has its record written. A change whose outcome is not known is repeated: the verbs are
// idempotent.
func (u *changes) answer(a *answer) {
	p := u.table[a.work]
	if a.err != nil {
		if a.err.Code == inos.CodeConflict && a.op == opChangeSet && p.version != 0 && p.retries < retriesMax {
			p.retries++
			p.version = 0 // there is another version meanwhile
			u.send(p)
			return
		}
		if a.err.Code == inos.CodeIO && p.retries < retriesMax {
			p.retries++
			p.again = u.k.now + min(retryBackoffMin<<(p.retries-1), retryBackoffMax)
			return
		}
		u.end(p, because(event.Stage(p.eventType), a.err, string(p.path)))
		return
	}
	if a.op == opChangeLook {
		u.looked(p, a)
		return
	}
	record := &eventpb.Record{Tombstone: p.replicas == 0}
	if p.replicas == 0 {
		var r eventpb.DeleteFileReply
		if event.Open(a.env, &r) != nil {
			u.end(p, inos.Errorf(inos.CodeInternal, "semantic:delete_file", "the reply does not decode"))
			return
		}
		record.File = &eventpb.FileInfo{Owner: string(p.owner), Path: string(p.path), Version: r.Version, CreatedUs: int64(u.k.now)}
	} else {
		var r eventpb.SetReplicasReply
		if event.Open(a.env, &r) != nil || r.File == nil {
			u.end(p, inos.Errorf(inos.CodeInternal, "semantic:set_replicas", "the reply names no file"))
			return
		}
		record.File = r.File
	}
	p.file = record.File
	u.k.records.write(&p.origin, threadChange, record, p.quorum, nil, nil)
}

// recorded answers when the record is safe.
func (u *changes) recorded(work uint64, _ []inos.NodeID, err *inos.Error) {
	p := u.table[work]
	if p.replicas > 0 {
		u.k.repairs.rescan() // they are set, though the record may have to follow
	}
	if err != nil {
		u.end(p, because(event.Stage(p.eventType), err, string(p.path)))
		return
	}
	k := u.k
	version := "version " + strconv.FormatUint(p.file.Version, 10)
	if p.replicas == 0 {
		k.complete(&p.origin, &eventpb.FilesDeleteReply{Version: p.file.Version}, version)
	} else {
		k.describeReplicas(p.file)
		k.complete(&p.origin, &eventpb.FilesSetReply{File: p.file}, version+", "+plural(uint64(p.replicas), "replica", "replicas")+" wanted")
	}
	k.collector.changed()
	u.end(p, nil)
}

// end forgets a change, and answers it when it has failed.
func (u *changes) end(p *change, err *inos.Error) {
	if err != nil {
		u.k.fail(&p.origin, err)
	}
	delete(u.table, p.work)
	u.active = slices.DeleteFunc(u.active, func(w uint64) bool { return w == p.work })
	u.waiting = slices.DeleteFunc(u.waiting, func(w uint64) bool { return w == p.work })
}
