package host

import (
	"context"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// performer does what an effect asks and returns the payload of its completion.
type performer func(l *loop, ctx context.Context, e *eventpb.Envelope) (event.Message, error)

// performers maps each effect of the kernel to the method that performs it. Two are not here, for the loop itself does
// them in order: buffer:release, which has no reply, and worker:call (callWorker).
var performers = map[string]performer{
	event.StreamRead:        (*loop).performStreamRead,
	event.StreamWrite:       (*loop).performStreamWrite,
	event.WorkerStart:       (*loop).performWorkerStart,
	event.WorkerStop:        (*loop).performWorkerStop,
	event.ContentWrite:      (*loop).performContentWrite,
	event.ContentRead:       (*loop).performContentRead,
	event.ContentMissing:    (*loop).performContentMissing,
	event.ContentTrash:      (*loop).performContentTrash,
	event.ContentEmptyTrash: (*loop).performContentEmptyTrash,
	event.ContentInventory:  (*loop).performContentInventory,
	event.ContentScrub:      (*loop).performContentScrub,
	event.ContentUsage:      (*loop).performContentUsage,
	event.ContentProve:      (*loop).performContentProve,
	event.MeshCall:          (*loop).performMeshCall,
	event.RecordSeal:        (*loop).performRecordSeal,
	event.RecordOpen:        (*loop).performRecordOpen,
	event.InviteSign:        (*loop).performInviteSign,
	event.FindChunks:        (*loop).performFindChunks,
	event.StageChunks:       (*loop).performStageChunks,
	event.CommitFile:        (*loop).performCommitFile,
	event.AbortUpload:       (*loop).performAbortUpload,
	event.LookupFile:        (*loop).performLookupFile,
	event.ListFiles:         (*loop).performListFiles,
	event.DeleteFile:        (*loop).performDeleteFile,
	event.CondemnChunks:     (*loop).performCondemnChunks,
	event.ForgetChunks:      (*loop).performForgetChunks,
	event.UnknownChunks:     (*loop).performUnknownChunks,
	event.ChunkCopies:       (*loop).performChunkCopies,
	event.NodeChunks:        (*loop).performNodeChunks,
	event.DropCopies:        (*loop).performDropCopies,
	event.PruneReplies:      (*loop).performPruneReplies,
	event.AdmitNode:         (*loop).performAdmitNode,
	event.ListNodes:         (*loop).performListNodes,
	event.SetNode:           (*loop).performSetNode,
	event.DistrustNode:      (*loop).performDistrustNode,
	event.AddCopies:         (*loop).performAddCopies,
	event.ConfirmCopies:     (*loop).performConfirmCopies,
	event.AuditCopies:       (*loop).performAuditCopies,
	event.RetireCopy:        (*loop).performRetireCopy,
	event.ChunkStates:       (*loop).performChunkStates,
	event.ScanChunks:        (*loop).performScanChunks,
	event.WantRepairs:       (*loop).performWantRepairs,
	event.ClaimRepairs:      (*loop).performClaimRepairs,
	event.SettleRepair:      (*loop).performSettleRepair,
	event.ListRepairs:       (*loop).performListRepairs,
	event.SetReplicas:       (*loop).performSetReplicas,
	event.PendingRecords:    (*loop).performPendingRecords,
	event.SettleRecord:      (*loop).performSettleRecord,
	event.UnsettleRecords:   (*loop).performUnsettleRecords,
	event.Sight:             (*loop).performSight,
	event.Sighted:           (*loop).performSighted,
	event.RestoreVersion:    (*loop).performRestoreVersion,
	event.EndRestore:        (*loop).performEndRestore,
	event.Totals:            (*loop).performTotals,
	event.EpisodicRecord:    (*loop).performRecord,
}

func unknownEffect(_ *loop, _ context.Context, e *eventpb.Envelope) (event.Message, error) {
	return nil, inos.Errorf(inos.CodeUnknownEvent, e.EventType, "this host performs no such effect")
}

// noMemory answers what only a switchboard's memory can.
func noMemory(_ *loop, _ context.Context, e *eventpb.Envelope) (event.Message, error) {
	return nil, inos.Errorf(inos.CodeNotSwitchboard, e.EventType, "this node has no semantic memory")
}
