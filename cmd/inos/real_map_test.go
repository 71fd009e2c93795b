//go:build linux

package main

import (
	"bytes"
	"errors"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// untrusted stands for the epoch of a copy that is not trusted.
const untrusted = ^uint64(0)

// ended takes the end of an effect that was completed: what it changed of the map.
func (l *mapLog) ended(a *logAsk, e *eventpb.Envelope) error {
	switch a.e.EventType {
	case event.StageChunks:
		var q eventpb.StageChunksRequest
		if err := event.Open(a.e, &q); err != nil {
			return err
		}
		l.stage(q.Chunks)
	case event.CommitFile:
		var q eventpb.CommitFileRequest
		if err := event.Open(a.e, &q); err != nil {
			return err
		}
		l.stage(q.Chunks)
	case event.AddCopies:
		return l.added(a, e)
	case event.ConfirmCopies:
		return l.confirmed(a, e)
	case event.SettleRepair:
		var q eventpb.SettleRepairRequest
		if err := event.Open(a.e, &q); err != nil {
			return err
		}
		for _, node := range q.Added {
			l.hold(inos.ChunkID(q.ChunkId), node, l.epochs[node])
		}
	case event.RetireCopy:
		var q eventpb.RetireCopyRequest
		if err := event.Open(a.e, &q); err != nil {
			return err
		}
		l.figures.retired++
		l.gone[q.Node+" "+inos.ChunkID(q.ChunkId).String()] = true
		if a.risk != "" {
			l.fault("at %d a copy is retired: %s", l.now, a.risk)
		}
		l.drop(inos.ChunkID(q.ChunkId), q.Node)
	case event.DropCopies:
		var q eventpb.DropCopiesRequest
		if err := event.Open(a.e, &q); err != nil {
			return err
		}
		for _, id := range q.ChunkIds {
			l.figures.dropped++
			l.gone[q.Node+" "+inos.ChunkID(id).String()] = true
			l.drop(inos.ChunkID(id), q.Node)
		}
	case event.DistrustNode, event.AdmitNode, event.ListNodes, event.SetNode:
		return l.members(a, e)
	case event.CondemnChunks, event.ForgetChunks:
		return l.collected(a, e)
	case event.ChunkStates, event.ScanChunks:
		return l.learned(a, e)
	}
	return nil
}

// stage takes rows that were staged: new ones, and more copies of those that are there.
func (l *mapLog) stage(rows []*eventpb.ChunkRow) {
	for _, row := range rows {
		if row.Known || len(row.Entry) < inos.HashBytes {
			continue
		}
		id := inos.ChunkID(row.Entry[:inos.HashBytes]) // an entry begins with it
		c := l.chunks[id]
		if c == nil {
			c = &logChunk{copies: map[string]uint64{}}
			l.chunks[id] = c
		}
		c.condemned = false
		for _, node := range row.Nodes {
			l.hold(id, node, l.epochs[node])
		}
	}
}

// hold notes a trusted copy.
func (l *mapLog) hold(id inos.ChunkID, node string, epoch uint64) {
	if c := l.chunks[id]; c != nil {
		l.figures.copies++
		c.copies[node] = epoch
	}
}

// drop notes that a node holds a chunk no more.
func (l *mapLog) drop(id inos.ChunkID, node string) {
	if c := l.chunks[id]; c != nil {
		delete(c.copies, node)
	}
}

func (l *mapLog) added(a *logAsk, e *eventpb.Envelope) error {
	var q eventpb.AddCopiesRequest
	var r eventpb.AddCopiesReply
	if err := errors.Join(event.Open(a.e, &q), event.Open(e, &r)); err != nil {
		return err
	}
	for _, id := range r.Taken {
		l.hold(inos.ChunkID(id), q.Node, q.Epoch)
	}
	return nil
}

func (l *mapLog) confirmed(a *logAsk, e *eventpb.Envelope) error {
	var q eventpb.ConfirmCopiesRequest
	var r eventpb.ConfirmCopiesReply
	if err := errors.Join(event.Open(a.e, &q), event.Open(e, &r)); err != nil {
		return err
	}
	unlisted := map[string]bool{}
	for _, id := range r.Unlisted {
		unlisted[string(id)] = true
	}
	for _, id := range q.ChunkIds {
		if c := l.chunks[inos.ChunkID(id)]; c != nil && !unlisted[string(id)] {
			l.figures.confirmed++
			c.copies[q.Node] = q.Epoch
		}
	}
	return nil
}

// members takes what the map says of members: their epochs, and who is none any more.
func (l *mapLog) members(a *logAsk, e *eventpb.Envelope) error {
	var list []*eventpb.Member
	switch a.e.EventType {
	case event.DistrustNode:
		var q eventpb.DistrustNodeRequest
		var r eventpb.DistrustNodeReply
		if err := errors.Join(event.Open(a.e, &q), event.Open(e, &r)); err != nil {
			return err
		}
		l.figures.distrusts++
		l.epochs[q.Node] = r.Epoch
	case event.AdmitNode:
		var r eventpb.AdmitNodeReply
		if err := event.Open(e, &r); err != nil {
			return err
		}
		list = []*eventpb.Member{r.Member}
	case event.SetNode:
		var r eventpb.SetNodeReply
		if err := event.Open(e, &r); err != nil {
			return err
		}
		list = []*eventpb.Member{r.Member}
	case event.ListNodes:
		var r eventpb.ListNodesReply
		if err := event.Open(e, &r); err != nil {
			return err
		}
		list = r.Members
	}
	for _, m := range list {
		if m == nil {
			continue
		}
		l.epochs[m.Node] = max(l.epochs[m.Node], m.Epoch)
		if m.State == uint32(inos.MemberRemoved) {
			for _, c := range l.chunks {
				delete(c.copies, m.Node)
			}
		}
	}
	return nil
}

// collected takes what was condemned and forgotten.
func (l *mapLog) collected(a *logAsk, e *eventpb.Envelope) error {
	if a.e.EventType == event.ForgetChunks {
		var q eventpb.ForgetChunksRequest
		if err := event.Open(a.e, &q); err != nil {
			return err
		}
		for _, g := range q.Chunks {
			if c := l.chunks[inos.ChunkID(g.ChunkId)]; c != nil && c.condemned {
				delete(l.chunks, inos.ChunkID(g.ChunkId))
			}
		}
		return nil
	}
	var r eventpb.CondemnChunksReply
	if err := event.Open(e, &r); err != nil {
		return err
	}
	for _, g := range r.Chunks {
		if c := l.chunks[inos.ChunkID(g.ChunkId)]; c != nil {
			c.condemned = true
		}
	}
	return nil
}

// learned takes what the map says of chunks: all of it of one that is not known, else what is wanted and the copies whose adding is
// under way.
func (l *mapLog) learned(a *logAsk, e *eventpb.Envelope) error {
	var states []*eventpb.ChunkState
	if a.e.EventType == event.ChunkStates {
		var r eventpb.ChunkStatesReply
		if err := event.Open(e, &r); err != nil {
			return err
		}
		states = r.States
	} else {
		var r eventpb.ScanChunksReply
		if err := event.Open(e, &r); err != nil {
			return err
		}
		states = r.States
	}
	for _, s := range states {
		if s.Generation == 0 { // it has no row
			continue
		}
		id := inos.ChunkID(s.ChunkId)
		c := l.chunks[id]
		unknown := c == nil
		if unknown {
			c = &logChunk{copies: map[string]uint64{}, condemned: s.Condemned}
			l.chunks[id] = c
		}
		c.wanted = s.Wanted
		for _, held := range s.Copies {
			_, listed := c.copies[held.Node]
			switch {
			case held.Trusted && (unknown || l.adding(id, held.Node)):
				c.copies[held.Node] = l.epochs[held.Node]
			case unknown && !listed:
				c.copies[held.Node] = untrusted
			}
		}
	}
	return nil
}

// adding says that a copy is being noted: an answer of the map may have it before the end of that.
func (l *mapLog) adding(id inos.ChunkID, node string) bool {
	for _, a := range l.asked {
		switch a.e.EventType {
		case event.AddCopies, event.SettleRepair, event.StageChunks, event.CommitFile, event.ConfirmCopies:
			if bytes.Contains(a.e.Payload, id[:]) && bytes.Contains(a.e.Payload, []byte(node)) {
				return true
			}
		}
	}
	return false
}
