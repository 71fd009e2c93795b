package host

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
)

const (
	// segmentBytesMax is the size at which a segment of the replay log ends and the next begins with a snapshot. One whose snapshot is more than half of that
	// ends at twice the snapshot's size, or each step would be a segment.
	segmentBytesMax = 32 << 20
	// segmentsMax is how many segments are kept; the oldest goes when one more begins.
	segmentsMax = 16
	// recorderFlushEvery bounds how long a record stays in the process's memory.
	recorderFlushEvery = 200 * inos.Millisecond
)

// recorder writes the kernel's replay log: every envelope the kernel was stepped with and a digest of what it did.
// Only the loop uses it. A nil recorder records nothing.
//
// The log gives way: when it cannot be written, because the disk is full or broken, the recorder removes what it has, so
// that the memories have room, reports why, and records nothing until the node starts again. A node without a log works.
type recorder struct {
	dir       string
	report    func(error) // told once why recording ended
	number    uint64      // of the current segment
	file      *os.File
	buffered  *bufio.Writer
	log       *event.LogWriter
	written   int64 // bytes of the current segment
	ends      int64 // bytes at which it ends
	lastFlush inos.Micros
	stopped   bool // it gave way
}

// openRecorder prepares recording into dir; the first segment begins with the first record.
func openRecorder(dir string, report func(error)) (*recorder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, diskError("create log folder", err)
	}
	names, err := segmentNames(dir)
	if err != nil {
		return nil, err
	}
	r := &recorder{dir: dir, report: report}
	if len(names) > 0 {
		if _, err := fmt.Sscanf(filepath.Base(names[len(names)-1]), segmentPattern, &r.number); err != nil {
			return nil, inos.Errorf(inos.CodeBadFormat, "open log folder", "%s: %w", names[len(names)-1], err)
		}
	}
	return r, nil
}

const segmentPattern = "kernel-%012d.log"

// segmentNames lists the segments of a folder, oldest first.
func segmentNames(dir string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "kernel-*.log"))
	if err != nil {
		return nil, diskError("list log segments", err)
	}
	slices.Sort(names)
	return names, nil
}

// begin ends the current segment and starts one with the kernel's snapshot before the step to be recorded. A kernel
// that has taken no step has an empty snapshot.
func (r *recorder) begin(kernelID [inos.HashBytes]byte, snapshot []byte) {
	if r == nil || r.stopped {
		return
	}
	if err := r.next(kernelID, snapshot); err != nil {
		r.giveWay(err)
	}
}

func (r *recorder) next(kernelID [inos.HashBytes]byte, snapshot []byte) error {
	if err := r.end(); err != nil {
		return err
	}
	r.number++
	path := filepath.Join(r.dir, fmt.Sprintf(segmentPattern, r.number))
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return diskError("create log segment", err)
	}
	r.file, r.buffered, r.written = file, bufio.NewWriterSize(file, 256<<10), int64(len(snapshot))
	r.ends = max(segmentBytesMax, 2*r.written)
	if r.log, err = event.NewLogWriter(r.buffered, kernelID, snapshot); err != nil {
		return diskError("write log segment", err)
	}
	return r.keep(segmentsMax)
}

// keep removes the oldest segments until at most count are left.
func (r *recorder) keep(count int) error {
	names, err := segmentNames(r.dir)
	if err != nil {
		return err
	}
	for ; len(names) > count; names = names[1:] {
		if err := os.Remove(names[0]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return diskError("remove old log segment", err)
		}
	}
	return nil
}

// giveWay ends the recording and makes room.
func (r *recorder) giveWay(err error) {
	r.stopped = true
	if r.file != nil {
		_ = r.file.Close() // what could not be written is not missed: the segment goes
		r.file = nil
	}
	r.report(errors.Join(err, r.keep(0)))
}

// record appends one step.
func (r *recorder) record(now inos.Micros, envelope []byte, wake inos.Micros, effects [][]byte) {
	if r == nil || r.stopped {
		return
	}
	if err := r.append(now, envelope, wake, effects); err != nil {
		r.giveWay(err)
	}
}

func (r *recorder) append(now inos.Micros, envelope []byte, wake inos.Micros, effects [][]byte) error {
	if err := r.log.Append(now, envelope, event.EffectsDigest(wake, effects)); err != nil {
		return diskError("write log segment", err)
	}
	r.written += int64(len(envelope)) + event.LogRecordHeadBytes
	if now-r.lastFlush >= recorderFlushEvery {
		r.lastFlush = now
		if err := r.buffered.Flush(); err != nil {
			return diskError("write log segment", err)
		}
	}
	return nil
}

// full says that the segment should end; the caller begins the next with a snapshot between two steps.
func (r *recorder) full() bool { return r != nil && !r.stopped && r.written >= r.ends }

// finish ends the recording with the node.
func (r *recorder) finish() {
	if err := r.end(); err != nil {
		r.giveWay(err)
	}
}

// end flushes and closes the current segment.
func (r *recorder) end() error {
	if r == nil || r.file == nil {
		return nil
	}
	err := errors.Join(r.buffered.Flush(), r.file.Close())
	r.file = nil
	if err != nil {
		return diskError("close log segment", err)
	}
	return nil
}
