package host

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/build"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/host/engine"
)

// ReplayReport says what a replay proved.
type ReplayReport struct {
	Segments   int    `json:"segments"`
	Steps      uint64 `json:"steps"`
	KernelID   string `json:"kernel_id"`
	TornBytes  int64  `json:"torn_bytes"` // behind the last whole record of segments that a crash cut
	Difference string `json:"difference,omitempty"`
}

// Replay steps this build's kernel through a recorded log, a segment or a folder of them, and compares the effects of
// every step with the recorded digest. The first difference ends it with an error. Progress goes to out, a line a segment.
func Replay(ctx context.Context, path string, out io.Writer) (ReplayReport, error) {
	wasm, err := build.Kernel()
	if err != nil {
		return ReplayReport{}, err
	}
	return replay(ctx, wasm, path, out)
}

// replay steps a kernel through a recorded log.
func replay(ctx context.Context, wasm []byte, path string, out io.Writer) (report ReplayReport, err error) {
	report.KernelID = wasmID(wasm)
	cache, err := os.MkdirTemp("", "inos-replay-")
	if err != nil {
		return report, diskError("replay", err)
	}
	defer func() { _ = os.RemoveAll(cache) }()
	names := []string{path}
	if info, err := os.Stat(path); err != nil {
		return report, diskError("replay", err)
	} else if info.IsDir() {
		if names, err = segmentNames(path); err != nil {
			return report, err
		}
		if len(names) == 0 {
			return report, inos.Errorf(inos.CodeBadRequest, "replay", "%s holds no kernel-*.log", path)
		}
	}
	for _, name := range names {
		steps, err := replaySegment(ctx, wasm, cache, name, &report)
		if err != nil {
			report.Difference = err.Error()
			return report, err
		}
		report.Segments++
		_, _ = fmt.Fprintf(out, "%s: %d steps, effects equal\n", filepath.Base(name), steps)
	}
	return report, nil
}

func replaySegment(ctx context.Context, wasm []byte, cache, name string, report *ReplayReport) (steps uint64, err error) {
	file, err := os.Open(name)
	if err != nil {
		return 0, diskError("replay", err)
	}
	defer func() { _ = file.Close() }()
	reader, err := event.NewLogReader(file)
	if err != nil {
		return 0, err
	}
	header := reader.Header()
	k, err := engine.NewKernel(ctx, wasm, cache)
	if err != nil {
		return 0, err
	}
	defer func() { _ = k.Close() }()
	if len(header.Snapshot) > 0 {
		if err := k.Restore(header.Snapshot); err != nil {
			return 0, inos.Errorf(inos.CodeBadFormat, "replay", "%s: its snapshot: %w", name, err)
		}
	}
	for ; ctx.Err() == nil; steps++ {
		record, err := reader.Next()
		if errors.Is(err, io.EOF) {
			report.TornBytes += reader.TornBytes()
			return steps, nil
		}
		if err != nil {
			return steps, err
		}
		effects, wake, err := k.Step(record.Now, record.Envelope)
		if err != nil {
			return steps, inos.Errorf(inos.CodeInternal, "replay", "%s, step %d: the kernel stopped: %w", name, steps, err)
		}
		report.Steps++
		if got := event.EffectsDigest(wake, effects); got != record.Digest {
			return steps, difference(name, steps, header.KernelID[:], k.ID(), record, effects)
		}
	}
	return steps, ctx.Err()
}

// difference describes the first step whose effects are not the recorded ones.
func difference(name string, step uint64, recordedBy []byte, id [inos.HashBytes]byte, record event.LogRecord, effects [][]byte) error {
	e, err := event.Decode(record.Envelope)
	if err != nil {
		return err
	}
	made := "no effect"
	for i, raw := range effects {
		effect, err := event.Decode(raw)
		if err != nil {
			return err
		}
		if i == 0 {
			made = effect.EventType
		} else {
			made += ", " + effect.EventType
		}
	}
	diff := inos.Errorf(inos.CodeConflict, "replay", "%s, step %d (%s at %d): the effects differ from the recorded ones; this kernel made: %s",
		filepath.Base(name), step, e.EventType, record.Now, made)
	if !bytes.Equal(recordedBy, id[:]) {
		diff.Hint = fmt.Sprintf("The log was recorded by kernel %s, this build has %s: replay it with the build that recorded it.",
			hex.EncodeToString(recordedBy)[:16], hex.EncodeToString(id[:])[:16])
	} else {
		diff.Hint = "The same kernel decided differently: report it with the log."
	}
	return diff
}
