package verbs_test

import (
	"context"
	"os"
	"reflect"
	"regexp"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/verbs"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Every event of the service semantic is a verb: one that is declared and not performed would fail in a running node only.
func TestEveryVerbIsPerformed(t *testing.T) {
	names, err := os.ReadFile("../../event/names.go")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`"(semantic:[^"]+)"`).FindAllStringSubmatch(string(names), -1)
	if len(found) < 30 {
		t.Fatalf("%d verbs are declared", len(found))
	}
	for _, m := range found {
		if !verbs.Known(m[1]) {
			t.Errorf("%s is not performed", m[1])
		}
	}
	if verbs.Known(event.ContentRead) {
		t.Error("an effect on a disk is taken for a verb")
	}
	if _, err := verbs.Perform(context.Background(), nil, &eventpb.Envelope{EventType: event.ContentRead}, 0); inos.CodeOf(err) != inos.CodeUnknownEvent {
		t.Errorf("an effect on a disk is refused with %v", err)
	}
}

func TestRecordsComeBack(t *testing.T) {
	file := inos.FileInfo{
		Owner: "ann", Path: "/a", Version: 7, FileID: inos.FileID{1}, ManifestID: inos.ChunkID{2}, PlainBytes: 3, StoredBytes: 4, Chunks: 5,
		CreatedAt: 6, ContentType: "text/plain", ReplicasWanted: 3, ReplicasReached: 2,
	}
	for name, r := range map[string]inos.Record{
		"file":      {File: file, RecordID: inos.ChunkID{9}, Nodes: []inos.NodeID{"n1", "n2"}},
		"tombstone": {File: inos.FileInfo{Owner: "ann", Path: "/a", Version: 8, CreatedAt: 9}, Tombstone: true, Nodes: []inos.NodeID{}},
	} {
		back, err := verbs.Record(verbs.RecordPayload(&r))
		if err != nil || !reflect.DeepEqual(back, r) {
			t.Errorf("%s: %v, %v; want %v", name, back, err, r)
		}
	}
	if _, err := verbs.Record(nil); inos.CodeOf(err) != inos.CodeInternal {
		t.Errorf("no record: %v", err)
	}
}

func TestIDsHaveOneLength(t *testing.T) {
	for _, n := range []int{1, 31, 33} {
		if _, err := verbs.OptionalChunkID(make([]byte, n)); inos.CodeOf(err) != inos.CodeInternal {
			t.Errorf("an id of %d bytes: %v", n, err)
		}
	}
	if id, err := verbs.OptionalChunkID(nil); err != nil || id != (inos.ChunkID{}) {
		t.Errorf("no id: %v", err)
	}
}
