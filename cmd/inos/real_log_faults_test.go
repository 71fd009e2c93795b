//go:build linux

package main

import (
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// The follower of logs tells a copy that is needed from one that is not: by their number, by who lives, and by the map.
func TestMapLogFindsFaults(t *testing.T) {
	id := inos.ChunkID{1}
	retire := func(l *mapLog) {
		l.does(t, event.RetireCopy, &eventpb.RetireCopyRequest{ChunkId: id[:], Node: "a", Keep: []string{"b"}}, &eventpb.RetireCopyReply{})
	}
	trash := func(l *mapLog, node string) {
		inner := &eventpb.Envelope{Id: "inner", EventType: event.ContentTrash, Payload: event.Payload(&eventpb.ContentTrashRequest{Chunks: []*eventpb.ChunkGeneration{{ChunkId: id[:]}}})}
		l.does(t, event.MeshCall, &eventpb.MeshCallRequest{Node: node, Envelope: event.Encode(nil, inner)}, &eventpb.MeshCallReply{})
	}
	for _, c := range []struct {
		name  string
		nodes []string // hold the chunk
		do    func(*mapLog)
		wrong int
	}{
		{"one of four", []string{"a", "b", "c", "d"}, retire, 0},
		{"one of three", []string{"a", "b", "c"}, retire, 1},
		{"one of four, one of which is silent", []string{"a", "b", "c", "d"}, func(l *mapLog) {
			l.now += logSilence + 1
			l.sign("b")
			l.sign("c")
			retire(l)
		}, 1},
		{"one of four, one of which is not trusted", []string{"a", "b", "c", "d"}, func(l *mapLog) {
			l.does(t, event.DistrustNode, &eventpb.DistrustNodeRequest{Node: "d"}, &eventpb.DistrustNodeReply{Epoch: 2})
			retire(l)
		}, 1},
		{"the trash of a retired copy", []string{"a", "b", "c", "d"}, func(l *mapLog) {
			retire(l)
			trash(l, "a")
		}, 0},
		{"the trash of a listed copy", []string{"a", "b", "c", "d"}, func(l *mapLog) { trash(l, "b") }, 1},
		{"the trash of a condemned chunk", []string{"a", "b", "c"}, func(l *mapLog) {
			l.does(t, event.CondemnChunks, &eventpb.CondemnChunksRequest{}, &eventpb.CondemnChunksReply{Chunks: []*eventpb.ChunkGeneration{{ChunkId: id[:]}}})
			trash(l, "b")
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newMapLog()
			l.now = inos.Second
			for _, node := range c.nodes {
				l.epochs[node] = 1
				l.sign(node)
			}
			entry := make([]byte, 128)
			copy(entry, id[:])
			l.does(t, event.StageChunks, &eventpb.StageChunksRequest{Chunks: []*eventpb.ChunkRow{{Entry: entry, Nodes: c.nodes}}}, &eventpb.StageChunksReply{})
			if c.do(l); len(l.wrong) != c.wrong {
				t.Errorf("%d faults are found, want %d: %q", len(l.wrong), c.wrong, l.wrong)
			}
		})
	}
}

// does has the log show an effect and its end.
func (l *mapLog) does(t *testing.T, eventType string, q, r event.Message) {
	t.Helper()
	e := &eventpb.Envelope{Id: eventType, EventType: eventType, Payload: event.Payload(q)}
	if err := l.made(event.Encode(nil, e)); err != nil {
		t.Fatal(err)
	}
	e.EventType, e.Payload = event.WithState(eventType, event.StateCompleted), event.Payload(r)
	if err := l.took(event.Encode(nil, e)); err != nil {
		t.Fatal(err)
	}
}
