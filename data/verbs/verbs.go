// Package verbs performs the events of the semantic memory on any inos.Semantic: it opens an event's payload, calls the verb it
// names, and returns the payload of the event's completion. It decides nothing. Hosts and simulations share it, so that both mean
// the same by an event.
package verbs

import (
	"context"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// call is one verb being performed.
type call struct {
	ctx context.Context
	sem inos.Semantic
	now inos.Micros
}

// performer does what an event asks and returns the payload of its completion.
type performer func(c call, e *eventpb.Envelope) (event.Message, error)

// opened makes a performer of a function that takes the event's payload.
func opened[Q any, P interface {
	*Q
	event.Message
}](do func(c call, q P) (event.Message, error)) performer {
	return func(c call, e *eventpb.Envelope) (event.Message, error) {
		q := P(new(Q))
		if err := event.Open(e, q); err != nil {
			return nil, err
		}
		return do(c, q)
	}
}

var performers = map[string]performer{
	event.FindChunks:    opened(findChunks),
	event.StageChunks:   opened(stageChunks),
	event.CommitFile:    opened(commitFile),
	event.AbortUpload:   opened(abortUpload),
	event.LookupFile:    opened(lookupFile),
	event.ListFiles:     opened(listFiles),
	event.DeleteFile:    opened(deleteFile),
	event.CondemnChunks: opened(condemnChunks),
	event.ForgetChunks:  opened(forgetChunks),
	event.UnknownChunks: opened(unknownChunks),
	event.ChunkCopies:   opened(chunkCopies),
	event.NodeChunks:    opened(nodeChunks),
	event.DropCopies:    opened(dropCopies),
	event.PruneReplies:  opened(pruneReplies),
	event.Totals:        opened(totals),

	event.AdmitNode:       opened(admitNode),
	event.ListNodes:       opened(listNodes),
	event.SetNode:         opened(setNode),
	event.DistrustNode:    opened(distrustNode),
	event.RaiseOrders:     opened(raiseOrders),
	event.AddCopies:       opened(addCopies),
	event.ConfirmCopies:   opened(confirmCopies),
	event.AuditCopies:     opened(auditCopies),
	event.RetireCopy:      opened(retireCopy),
	event.ChunkStates:     opened(chunkStates),
	event.ScanChunks:      opened(scanChunks),
	event.WantRepairs:     opened(wantRepairs),
	event.ClaimRepairs:    opened(claimRepairs),
	event.SettleRepair:    opened(settleRepair),
	event.ListRepairs:     opened(listRepairs),
	event.SetReplicas:     opened(setReplicas),
	event.PendingRecords:  opened(pendingRecords),
	event.SettleRecord:    opened(settleRecord),
	event.UnsettleRecords: opened(unsettleRecords),
	event.UnknownRecords:  opened(unknownRecords),
	event.NodeRecords:     opened(nodeRecords),
	event.Sight:           opened(sight),
	event.Sighted:         opened(sighted),
	event.RestoreVersion:  opened(restoreVersion),
	event.EndRestore:      opened(endRestore),

	event.OpenUpload:     opened(openUpload),
	event.FindUpload:     opened(findUpload),
	event.ListUploads:    opened(listUploads),
	event.ExpiredUploads: opened(expiredUploads),
	event.ClaimSlots:     opened(claimSlots),
	event.FillSlot:       opened(fillSlot),
	event.EmptySlots:     opened(emptySlots),
	event.UploadSlots:    opened(uploadSlots),

	event.PutUser:        opened(putUser),
	event.ListUsers:      opened(listUsers),
	event.FindUser:       opened(findUser),
	event.PutEnrolment:   opened(putEnrolment),
	event.ListDevices:    opened(listDevices),
	event.RevokeDevice:   opened(revokeDevice),
	event.PutGroup:       opened(putGroup),
	event.ListGroups:     opened(listGroups),
	event.OpenSession:    opened(openSession),
	event.RefreshSession: opened(refreshSession),
	event.ListSessions:   opened(listSessions),
	event.RevokeSessions: opened(revokeSessions),
	event.PruneSessions:  opened(pruneSessions),
	event.PutGrant:       opened(putGrant),
	event.ListGrants:     opened(listGrants),
	event.RemoveGrant:    opened(removeGrant),
	event.UseGrant:       opened(useGrant),
	event.ReadAccess:     opened(readAccess),
	event.Transfer:       opened(transfer),
	event.FoldEntries:    opened(foldEntries),
	event.ListEntries:    opened(listEntries),
}

// Known says that an event type, in the state requested, is a verb of the semantic memory.
func Known(eventType string) bool { return performers[eventType] != nil }

// Perform does the verb that an event names and returns the payload of its completion. Errors are the memory's own, or CodeBadRequest
// and CodeBadFormat of a payload that does not decode, and CodeUnknownEvent of an event that is no verb. Now is the time of
// verbs whose event carries none.
func Perform(ctx context.Context, sem inos.Semantic, e *eventpb.Envelope, now inos.Micros) (event.Message, error) {
	do := performers[e.EventType]
	if do == nil {
		return nil, inos.Errorf(inos.CodeUnknownEvent, e.EventType, "the semantic memory has no such verb")
	}
	return do(call{ctx, sem, now}, e)
}
