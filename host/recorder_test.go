package host

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strconv"
	"syscall"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/episodic"
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

// TestLogOfALargeSnapshot: a kernel whose snapshot is as large as a segment is not snapshot again at every step.
func TestLogOfALargeSnapshot(t *testing.T) {
	r, err := openRecorder(t.TempDir(), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer r.finish()
	for _, size := range []int{0, segmentBytesMax / 2, segmentBytesMax, 2 * segmentBytesMax} {
		r.begin([inos.HashBytes]byte{1}, make([]byte, size))
		steps, envelope := 0, make([]byte, 1<<20)
		for ; !r.full(); steps++ {
			r.record(1, envelope, 0, nil)
		}
		if steps < (segmentBytesMax/2)>>20 || r.written > int64(max(segmentBytesMax, 2*size)+2<<20) {
			t.Errorf("a segment with a snapshot of %d bytes has %d steps and %d bytes", size, steps, r.written)
		}
	}
}

// untrimmed is a history that cannot be trimmed for a while.
type untrimmed struct {
	inos.Episodic
	failures, trims int
}

func (u *untrimmed) Trim(ctx context.Context, now inos.Micros) (int, error) {
	if u.trims++; u.failures > 0 {
		u.failures--
		return 0, inos.Errorf(inos.CodeIO, "episodic:trim", "no")
	}
	return u.Episodic.Trim(ctx, now)
}

// TestHistoryNotTrimmed: lines that are recorded count as recorded, though the history could not be trimmed behind them; it is tried again with the next ones.
func TestHistoryNotTrimmed(t *testing.T) {
	trims := &untrimmed{Episodic: episodic.NewMemory(episodic.Options{}), failures: 2}
	l := &loop{node: &Node{episodic: trims, clock: newClock(), config: Config{Stderr: io.Discard}}}
	for i := range episodicTrimEvery + 4 {
		e := &eventpb.Envelope{EventType: event.EpisodicRecord, Payload: event.Payload(&eventpb.RecordRequest{Events: []*eventpb.EventRecord{
			{Id: strconv.Itoa(i), EventType: "a:b:v1:completed", TimestampUs: int64(i + 1)},
		}})}
		if _, err := l.performRecord(context.Background(), e); err != nil {
			t.Fatalf("batch %d: %v", i, err)
		}
	}
	if trims.trims != 3 {
		t.Errorf("%d tries to trim, not 2 that failed and one more", trims.trims)
	}
}
