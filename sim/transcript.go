package sim

import (
	"fmt"
	"strings"

	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// traceStep writes what a kernel is stepped with.
func (w *World) traceStep(p *process, e *eventpb.Envelope) {
	if e.EventType != event.NodeTick {
		fmt.Fprintf(w.trace, "%s %s <- %s\n", clock(w.now), p, describe(e))
	}
}

// traceEffect writes what a kernel asks for or answers.
func (w *World) traceEffect(p *process, e *eventpb.Envelope) {
	if e.EventType != event.BufferRelease {
		fmt.Fprintf(w.trace, "%s %s    -> %s\n", clock(w.now), p, describe(e))
	}
}

// describe says an envelope in one line.
func describe(e *eventpb.Envelope) string {
	s := strings.Replace(e.EventType, ":v1:", " ", 1) + " " + tail(e.Id)
	if event.StateOf(e.EventType) == event.StateFailed {
		return s + " " + event.FailureOf(e).Error()
	}
	switch e.EventType {
	case event.MeshCall:
		q := &eventpb.MeshCallRequest{}
		if event.Open(e, q) == nil {
			s += " to " + q.Node + inner(q.Envelope)
		}
	case event.MeshServe:
		q := &eventpb.MeshServeRequest{}
		if event.Open(e, q) == nil {
			s += " from " + q.Peer + inner(q.Envelope)
		}
	case event.WithState(event.MeshServe, event.StateCompleted):
		q := &eventpb.MeshServeReply{}
		if event.Open(e, q) == nil {
			s += inner(q.Envelope)
		}
	case event.WithState(event.MeshCall, event.StateCompleted):
		q := &eventpb.MeshCallReply{}
		if event.Open(e, q) == nil {
			s += inner(q.Envelope)
		}
	case event.WorkerCall:
		q := &eventpb.WorkerCallRequest{}
		if event.Open(e, q) == nil {
			s += inner(q.Envelope)
		}
	case event.ContentWrite, event.ContentRead:
		q := &eventpb.ContentWriteRequest{}
		if event.Open(e, q) == nil {
			s += short(q.ChunkId)
			if q.Record {
				s += " record"
			}
		}
	case event.ContentProve:
		q := &eventpb.ContentProveRequest{}
		if event.Open(e, q) == nil {
			s += short(q.ChunkId) + fmt.Sprintf(" leaf %d", q.Leaf)
		}
	case event.ContentTrash, event.ForgetChunks:
		q := &eventpb.ContentTrashRequest{}
		if event.Open(e, q) == nil {
			for _, c := range q.Chunks {
				s += short(c.ChunkId) + fmt.Sprintf("@%d", c.Generation)
			}
		}
	case event.StageChunks:
		q := &eventpb.StageChunksRequest{}
		if event.Open(e, q) == nil {
			s += rows(q.Chunks)
		}
	case event.CommitFile:
		q := &eventpb.CommitFileRequest{}
		if event.Open(e, q) == nil {
			s += " " + q.File.GetPath() + rows(q.Chunks)
		}
	case event.AddCopies, event.ConfirmCopies:
		q := &eventpb.AddCopiesRequest{}
		if event.Open(e, q) == nil {
			s += " " + q.Node + fmt.Sprintf(" epoch %d", q.Epoch) + shorts(q.ChunkIds)
			if q.Promised > 0 {
				s += fmt.Sprintf(" promised %d", q.Promised)
			}
		}
	case event.DropCopies:
		q := &eventpb.DropCopiesRequest{}
		if event.Open(e, q) == nil {
			s += " " + q.Node + shorts(q.ChunkIds)
		}
	case event.RetireCopy:
		q := &eventpb.RetireCopyRequest{}
		if event.Open(e, q) == nil {
			s += short(q.ChunkId) + " of " + q.Node + " keep " + strings.Join(q.Keep, " ")
		}
	case event.SettleRepair:
		q := &eventpb.SettleRepairRequest{}
		if event.Open(e, q) == nil {
			s += short(q.ChunkId) + fmt.Sprintf(" lease %d added %v retry %d", q.Lease, q.Added, q.RetryUs)
		}
	case event.WantRepairs:
		q := &eventpb.WantRepairsRequest{}
		if event.Open(e, q) == nil {
			for _, x := range q.Wants {
				s += short(x.ChunkId) + fmt.Sprintf(" (%s, %d live)", x.Reason, x.Live)
			}
		}
	case event.SettleRecord:
		q := &eventpb.SettleRecordRequest{}
		if event.Open(e, q) == nil {
			s += " " + q.Key.GetPath() + fmt.Sprintf(" version %d", q.Key.GetVersion()) + short(q.RecordId) + fmt.Sprintf(" %v full %t", q.Nodes, q.Full)
		}
	case event.SetNode, event.DistrustNode, event.NodeChunks, event.UnsettleRecords:
		q := &eventpb.DistrustNodeRequest{}
		if event.Open(e, q) == nil {
			s += " " + q.Node
		}
	}
	return s
}

func inner(b []byte) string {
	e, err := event.Decode(b)
	if err != nil {
		return " ?"
	}
	return " [" + describe(e) + "]"
}

func rows(l []*eventpb.ChunkRow) (s string) {
	for _, r := range l {
		s += short(r.Entry)
		if r.Known {
			s += " known"
		}
		if r.Node {
			s += " node"
		}
		s += fmt.Sprint(r.Nodes)
	}
	return s
}

func tail(id string) string {
	if len(id) < 8 {
		return id
	}
	return id[len(id)-8:]
}

func short(id []byte) string {
	if len(id) < 4 {
		return " -"
	}
	return fmt.Sprintf(" %x", id[:4])
}

func shorts(ids [][]byte) (s string) {
	for _, id := range ids {
		s += short(id)
	}
	return s
}

// describeOp says what an op asks for.
func describeOp(o *op) string {
	switch o.kind {
	case opPut:
		return fmt.Sprintf("name %d, %d bytes, replicas %d, sync %d", o.body.name, o.body.bytes, o.replicas, o.sync)
	case opGet:
		return fmt.Sprintf("from %d, %d bytes, encoded %t, discard %t", o.offset, o.length, o.encoded, o.discard)
	case opSet:
		return fmt.Sprintf("%d replicas", o.replicas)
	case opUploadOpen:
		return fmt.Sprintf("name %d, %d bytes, replicas %d", o.body.name, o.body.bytes, o.replicas)
	case opUploadSend:
		return fmt.Sprintf("chunk %d of upload %s", o.index, o.uploadID)
	case opUploadClaim, opUploadCommit, opUploadDrop:
		return "upload " + o.uploadID
	case opNodeSet:
		return fmt.Sprintf("node %d %s", o.node, o.state)
	}
	return ""
}
