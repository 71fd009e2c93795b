package host

import (
	"bufio"
	"context"
	"errors"
	"syscall"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// fullDisk refuses every byte, as a full file system does.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestLogGivesWay(t *testing.T) {
	dir := t.TempDir()
	var reported []error
	r, err := openRecorder(dir, func(err error) { reported = append(reported, err) })
	if err != nil {
		t.Fatal(err)
	}
	step := func(now inos.Micros) { r.record(now, make([]byte, 1000), 0, nil) }
	r.begin([inos.HashBytes]byte{1}, nil)
	step(1)
	r.begin([inos.HashBytes]byte{1}, []byte("snapshot"))
	step(2)
	if names, err := segmentNames(dir); err != nil || len(names) != 2 {
		t.Fatalf("segments %v, %v", names, err)
	}
	r.buffered = bufio.NewWriter(fullDisk{})
	if r.log, err = event.NewLogWriter(r.buffered, [inos.HashBytes]byte{1}, nil); err != nil {
		t.Fatal(err)
	}
	for now := range inos.Micros(20) {
		step(inos.Hour + now*recorderFlushEvery)
	}
	if len(reported) != 1 || inos.CodeOf(reported[0]) != inos.CodeDiskFull || !errors.Is(reported[0], syscall.ENOSPC) {
		t.Fatalf("reported %v", reported)
	}
	if names, err := segmentNames(dir); err != nil || len(names) != 0 {
		t.Fatalf("the log kept %v, %v", names, err)
	}
	if err := r.end(); err != nil || r.full() {
		t.Fatalf("after giving way: end %v, full %v", err, r.full())
	}
}

// TestNodeWorksWithoutItsLog takes the log away from a node at work.
func TestNodeWorksWithoutItsLog(t *testing.T) {
	n := openNode(t, t.TempDir(), nil)
	defer n.close()
	n.mustPut("/a", text(1, 1000))
	n.recorder.file.Close() //nolint:errcheck // writes fail from here
	n.mustPut("/b", text(2, 1000))
	n.mustHold("/a", text(1, 1000))
	if err := n.request(context.Background(), event.FilesDelete, &eventpb.FilesDeleteRequest{Path: "/b"}, &eventpb.FilesDeleteReply{}); err != nil {
		t.Fatal(err)
	}
}
