package kernel

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// serve hands the kernel another node's call.
func (s *script) serve(args map[string]string, has func(string) bool) {
	w := s.w
	chunk := &stored{id: string(hashOf("served", args["chunk"])), plain: args["chunk"], size: 100}
	ids := []byte(chunk.id)
	grant := &eventpb.Grant{ChunkId: ids, Verb: verbRead, Holder: args["peer"], Node: w.boot.NodeId, ExpiresUs: int64(w.now + ticketLife)}
	order, _ := strconv.ParseUint(args["order"], 10, 64)
	var m event.Message
	var in *stored
	typ := args["type"] + ":v1:requested"
	switch typ {
	case event.ContentWrite:
		grant.Verb = verbWrite
		in = chunk
		m = &eventpb.ContentWriteRequest{ChunkId: ids, Input: 7, Record: has("record"), Order: order}
	case event.ContentRead:
		m = &eventpb.ContentReadRequest{ChunkId: ids, Output: 7, Record: has("record")}
	case event.ContentCopy:
		grant.Holder, grant.Node = w.boot.NodeId, args["source"]
		m = &eventpb.ContentCopyRequest{ChunkId: ids, Source: args["source"], StoredBytes: 100, Order: order}
	case event.ContentProve:
		m = &eventpb.ContentProveRequest{ChunkId: ids, Output: 7}
	case event.ContentMissing:
		m = &eventpb.ContentMissingRequest{ChunkIds: [][]byte{ids}, Record: has("record")}
	case event.ContentTrash:
		m = &eventpb.ContentTrashRequest{Chunks: []*eventpb.ChunkGeneration{{ChunkId: ids}}, Record: has("record"), Order: order}
	case event.ContentScrub:
		m = &eventpb.ContentScrubRequest{After: before(ids), Limit: 1, Adopt: ids, Order: order}
	case event.ContentInventory:
		m = &eventpb.ContentInventoryRequest{Limit: 10}
	default:
		m = &eventpb.ContentUsageRequest{}
	}
	for name, field := range map[string]*string{"holder": &grant.Holder, "at": &grant.Node, "verb": &grant.Verb} {
		if has(name) {
			*field = args[name]
		}
	}
	if has("expired") {
		grant.ExpiresUs = int64(w.now - ticketSkew)
	}
	if has("free") {
		grant = nil
	}
	s.capture(func() { w.serve(args["peer"], has("sb"), typ, m, in, grant) })
}

// switchboard answers what a provider asks of its switchboards.
func (s *script) switchboard(inner *eventpb.Envelope) (event.Message, *inos.Error) {
	if inner.EventType == event.NodeJoin {
		s.w.members[s.w.boot.NodeId] = &eventpb.Member{Node: s.w.boot.NodeId}
		return &eventpb.NodeJoinReply{Member: s.w.members[s.w.boot.NodeId]}, nil
	}
	return &eventpb.HeartbeatReply{IntervalUs: int64(4 * inos.Second), Order: 1, Unknown: s.w.members[s.w.boot.NodeId] == nil}, nil
}

// describeServed writes what goes back to another node.
func describeServed(e *eventpb.Envelope) string {
	var r eventpb.MeshServeReply
	if event.Open(e, &r) != nil {
		return " undecodable"
	}
	inner, err := event.Decode(r.Envelope)
	if err != nil {
		return " " + err.Error()
	}
	line := " " + event.Stage(inner.EventType) + " " + string(event.StateOf(inner.EventType)) + describeReply(inner, event.StateOf(inner.EventType))
	var trash eventpb.ContentTrashReply
	if inner.EventType == event.WithState(event.ContentTrash, event.StateCompleted) && event.Open(inner, &trash) == nil {
		line += fmt.Sprintf(" chunks=%d", trash.Chunks)
	}
	if r.Output != 0 {
		line += fmt.Sprintf(" out=%d", r.Output)
	}
	return line
}

// describeMesh writes what an effect that concerns more than one node asks.
func describeMesh(e *eventpb.Envelope) string {
	open := func(m event.Message) bool { return event.Open(e, m) == nil }
	var (
		copies  eventpb.AddCopiesRequest
		wants   eventpb.WantRepairsRequest
		seal    eventpb.RecordSealRequest
		settle  eventpb.SettleRecordRequest
		pending eventpb.PendingRecordsRequest
		beat    eventpb.HeartbeatRequest
		set     eventpb.SetReplicasRequest
		gone    eventpb.UnsettleRecordsRequest
		copying eventpb.ContentCopyRequest
		admit   eventpb.AdmitNodeRequest
		nodes   eventpb.ListNodesRequest
	)
	switch e.EventType {
	case event.AddCopies, event.ConfirmCopies, event.AuditCopies:
		if open(&copies) {
			return fmt.Sprintf(" node=%s epoch=%d chunks=%d", copies.Node, copies.Epoch, len(copies.ChunkIds))
		}
	case event.WantRepairs:
		if open(&wants) {
			line := ""
			for _, r := range wants.Wants {
				line += fmt.Sprintf("\n  %x live=%d %s", r.ChunkId[:4], r.Live, r.Reason)
			}
			return line
		}
	case event.RecordSeal:
		if open(&seal) {
			return fmt.Sprintf(" %s version=%d tombstone=%t out=%d", seal.Record.File.Path, seal.Record.File.Version, seal.Record.Tombstone, seal.Output)
		}
	case event.SettleRecord:
		if open(&settle) {
			return fmt.Sprintf(" %s version=%d %x nodes=%s full=%t", settle.Key.Path, settle.Key.Version, settle.RecordId[:4], strings.Join(settle.Nodes, ","), settle.Full)
		}
	case event.PendingRecords:
		if open(&pending) {
			return fmt.Sprintf(" after=%s limit=%d", pending.After.GetPath(), pending.Limit)
		}
	case event.SetReplicas:
		if open(&set) {
			return fmt.Sprintf(" %s replicas=%d", set.Path, set.Replicas)
		}
	case event.UnsettleRecords:
		if open(&gone) {
			return fmt.Sprintf(" node=%s ids=%d", gone.Node, len(gone.RecordIds))
		}
	case event.NodeHeartbeat:
		if open(&beat) {
			return fmt.Sprintf(" sequence=%d chunks=%d in_flight=%d", beat.Sequence, beat.Usage.GetChunks(), beat.InFlight)
		}
	case event.ContentCopy:
		if open(&copying) {
			return fmt.Sprintf(" %x source=%s", copying.ChunkId[:4], copying.Source)
		}
	case event.ListNodes:
		if open(&nodes) && nodes.After != "" {
			return " after=" + nodes.After
		}
	case event.AdmitNode:
		if open(&admit) {
			return fmt.Sprintf(" %s %s/%s %s", admit.Member.Node, admit.Member.Zone, admit.Member.Host, admit.Member.Tier)
		}
	}
	return ""
}

// describeReceipt writes what a put promises, on a mesh.
func describeReceipt(r *eventpb.Receipt) string {
	if r == nil || len(r.Domains) == 1 && r.Level == "process" {
		return ""
	}
	return fmt.Sprintf(" %s=%s, %s", r.Level, strings.Join(r.Domains, ","), r.Survives)
}
