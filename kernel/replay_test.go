package kernel

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"testing"

	"github.com/inos-mesh/inos/event"
)

var replayLog = flag.String("log", "", "segment of a node's replay log that TestReplayLog steps a native kernel with")

// TestReplayLog runs a node's log again: every step must have the effects that the node's kernel.wasm had.
func TestReplayLog(t *testing.T) {
	if *replayLog == "" {
		t.Skip("no -log FILE")
	}
	f, err := os.Open(*replayLog)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	replay(t, f)
}

// replay steps a native kernel with a log and compares digests; it returns the first step that differs, or -1.
func replaySteps(t *testing.T, r io.Reader, k *Kernel) (differs int, steps int) {
	log, err := event.NewLogReader(r)
	if err != nil {
		t.Fatal(err)
	}
	if s := log.Header().Snapshot; len(s) > 0 {
		if err := k.Restore(s); err != nil {
			t.Fatal(err)
		}
	}
	for ; ; steps++ {
		record, err := log.Next()
		if errors.Is(err, io.EOF) {
			return -1, steps
		}
		if err != nil {
			t.Fatal(err)
		}
		e, err := event.Decode(record.Envelope)
		if err != nil {
			t.Fatal(err)
		}
		did := k.Step(record.Now, e)
		var effects [][]byte
		for _, e := range did.Out {
			effects = append(effects, event.Encode(nil, e))
		}
		if event.EffectsDigest(did.Wake, effects) != record.Digest {
			return steps, steps
		}
	}
}

func replay(t *testing.T, r io.Reader) {
	at, steps := replaySteps(t, r, New())
	if at >= 0 {
		t.Fatalf("step %d has other effects", at)
	}
	t.Logf("%d steps with the same effects", steps)
}

// A log that begins in the middle of work replays; a kernel that decides otherwise is caught.
func TestReplayFromSnapshot(t *testing.T) {
	k := New()
	r := &recording{stepper: native{k}}
	w := newWorld(r)
	w.start()
	w.run(20)
	w.put("/a", 5<<20, false)
	w.finish(0)
	snapshot, before := k.Snapshot(), len(r.steps)
	w.run(1000)
	w.get("/a", nil)
	w.run(1000)
	var file bytes.Buffer
	log, err := event.NewLogWriter(&file, [32]byte{}, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.steps[before:] {
		if err := log.Append(s.now, s.in, event.EffectsDigest(s.wake, s.out)); err != nil {
			t.Fatal(err)
		}
	}
	whole := file.Bytes()
	replay(t, bytes.NewReader(whole))

	changed := New()
	if err := changed.Restore(snapshot); err != nil {
		t.Fatal(err)
	}
	changed.quality.fixed, changed.quality.level = true, 9
	var second bytes.Buffer
	log, err = event.NewLogWriter(&second, [32]byte{}, changed.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.steps[before:] {
		if err := log.Append(s.now, s.in, event.EffectsDigest(s.wake, s.out)); err != nil {
			t.Fatal(err)
		}
	}
	if at, _ := replaySteps(t, &second, New()); at < 0 {
		t.Error("a kernel that encodes at another quality was not caught")
	}
}
