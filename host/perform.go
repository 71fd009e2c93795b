package host

import (
	"context"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/verbs"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// performer does what an effect asks and returns the payload of its completion.
type performer func(l *loop, ctx context.Context, e *eventpb.Envelope) (event.Message, error)

// performers maps each effect of the kernel to the method that performs it. Three are not here, for the loop itself does
// them in order: buffer:fill and buffer:release, which have no reply, and worker:call (callWorker). The verbs of the semantic memory are not
// either: data/verbs performs them (performSemantic).
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
	event.SecretMake:        (*loop).performSecretMake,
	event.TokenSign:         (*loop).performTokenSign,
	event.EpisodicRecord:    (*loop).performRecord,
}

func unknownEffect(_ *loop, _ context.Context, e *eventpb.Envelope) (event.Message, error) {
	return nil, inos.Errorf(inos.CodeUnknownEvent, e.EventType, "this host performs no such effect")
}

// performSemantic performs a verb of the semantic memory.
func performSemantic(l *loop, ctx context.Context, e *eventpb.Envelope) (event.Message, error) {
	return verbs.Perform(ctx, l.node.semantic, e, l.node.clock.Now())
}

// noMemory answers what only a switchboard's memory can.
func noMemory(_ *loop, _ context.Context, e *eventpb.Envelope) (event.Message, error) {
	return nil, inos.Errorf(inos.CodeNotSwitchboard, e.EventType, "this node has no semantic memory")
}
