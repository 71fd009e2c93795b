package event_test

import (
	"fmt"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

func ExampleParseType() {
	t, err := event.ParseType("storage:fetch_chunk:v1:requested")
	fmt.Println(t.Service, t.Action, t.Version, t.State, err)
	_, err = event.ParseType("storage:fetchChunk:v1:requested")
	fmt.Println(err)
	// Output:
	// storage fetch_chunk 1 requested <nil>
	// parse event type: the action of "storage:fetchChunk:v1:requested" is not [a-z][a-z0-9_]*
}

func ExampleReply() {
	now := inos.Micros(1763856000000000)
	request := &eventpb.Envelope{
		Id: event.NewID(now, [10]byte{}), EventType: event.FilesDelete, Timestamp: int64(now),
		Payload: event.Payload(&eventpb.FilesDeleteRequest{Path: "/photos/cat.jpg"}),
	}
	reply := event.Reply(request, event.StateCompleted, now+250, event.Payload(&eventpb.FilesDeleteReply{Version: 2}))
	onTheWire := event.Encode(nil, reply)

	got, err := event.Decode(onTheWire)
	var payload eventpb.FilesDeleteReply
	if err == nil {
		err = event.Open(got, &payload)
	}
	fmt.Println(got.Id == request.Id, got.EventType, payload.Version, err)
	// Output: true files:delete:v1:completed 2 <nil>
}

func ExampleFailureOf() {
	request := &eventpb.Envelope{EventType: event.FilesGet}
	failed := event.Failed(request, 0, inos.Errorf(inos.CodeFileNotFound, "files:get", "/cat.jpg: no such file"))
	err := event.FailureOf(failed)
	fmt.Println(failed.EventType)
	fmt.Println(err)
	fmt.Println(err.HintText())
	// Output:
	// files:get:v1:failed
	// files:get: /cat.jpg: no such file
	// List what there is with 'inos ls'.
}
