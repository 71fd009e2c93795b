//go:build linux

package engine

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Tests of what the build made, where it has been made: the real kernel and the real storage module.

func built(t testing.TB, name string) []byte {
	t.Helper()
	wasm, err := os.ReadFile("../../build/" + name)
	if err != nil {
		t.Skipf("%s has not been built", name)
	}
	return wasm
}

func builtKernel(t testing.TB, cache string) *Kernel {
	t.Helper()
	wasm := built(t, "kernel.wasm")
	start := time.Now()
	k, err := NewKernel(t.Context(), wasm, cache)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d KiB loaded in %v", len(wasm)>>10, time.Since(start).Round(time.Millisecond))
	t.Cleanup(func() { _ = k.Close() })
	return k
}

func hostEnvelope(now inos.Micros, eventType string, payload event.Message) []byte {
	e := &eventpb.Envelope{
		Id: event.NewID(now, [10]byte{1}), EventType: eventType, Timestamp: int64(now),
		Metadata: &eventpb.Metadata{SecurityToken: "host"},
	}
	if payload != nil {
		e.Payload = event.Payload(payload)
	}
	return event.Encode(nil, e)
}

const bootTime = 1_700_000_000 * inos.Second

func boot(t testing.TB, k *Kernel) {
	t.Helper()
	effects, _, err := k.Step(bootTime, hostEnvelope(bootTime, "node:boot:v1:requested", &eventpb.NodeBoot{
		Switchboard: true, Provider: true,
		NodeId: "n", Zone: "z", Host: "h", Seed: make([]byte, 32), Workers: 2, ModuleId: make([]byte, 32), BufferBytesMax: 64 << 20,
	}))
	if err != nil {
		t.Fatal(err)
	}
	if len(effects) == 0 {
		t.Error("a boot without effects")
	}
	for _, b := range effects {
		if _, err := event.Decode(b); err != nil {
			t.Errorf("an effect: %v", err)
		}
	}
}

func TestBuiltKernel(t *testing.T) {
	cache := t.TempDir()
	a := builtKernel(t, cache)
	boot(t, a)
	snapshot, err := a.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	b := builtKernel(t, cache)
	if err := b.Restore(snapshot); err != nil {
		t.Fatal(err)
	}
	for i := range inos.Micros(2000) { // enough for the guest's collector to run
		now := bootTime + i*10*inos.Millisecond
		tick := hostEnvelope(now, "node:tick:v1:requested", nil)
		x, wakeX, err := a.Step(now, tick)
		if err != nil {
			t.Fatal(err)
		}
		y, wakeY, err := b.Step(now, tick)
		if err != nil {
			t.Fatal(err)
		}
		if wakeX != wakeY || !bytes.Equal(bytes.Join(x, nil), bytes.Join(y, nil)) {
			t.Fatalf("tick %d: a restored kernel differs", i)
		}
	}
}

func BenchmarkBuiltKernelTick(b *testing.B) {
	k := builtKernel(b, b.TempDir())
	boot(b, k)
	tick := hostEnvelope(bootTime, "node:tick:v1:requested", nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := k.Step(bootTime, tick); err != nil {
			b.Fatal(err)
		}
	}
}

// TestBuiltStorage encodes and inflates chunks in a worker of the real module, through its largest quality, and holds
// the process to its bound.
func TestBuiltStorage(t *testing.T) {
	built(t, "storage.wasm")
	p := newTestPool(t, "storage")
	ctx, cancel := context.WithTimeout(t.Context(), hangTime)
	defer cancel()
	pid, manifest, err := p.Start(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s %s, %d MiB, %d µs, started with %d MiB", manifest.Name, manifest.Version, manifest.MemoryBytesMax>>20, manifest.DeadlineUs, peakBytes(t, pid)>>20)
	text, random := chunkOfText(), chunkOfNoise()
	for _, c := range []struct {
		name    string
		plain   []byte
		quality uint32
	}{{"text", text, 2}, {"text", text, 5}, {"text", text, 9}, {"random", random, 2}, {"empty", nil, 2}} {
		var encoded eventpb.EncodeChunkReply
		stored := p.module(t, "storage:encode_chunk:v1", &eventpb.EncodeChunkRequest{Quality: c.quality}, c.plain, &encoded)
		if len(c.plain) == 0 {
			continue
		}
		entry, err := inos.ParseEntry(encoded.Entry)
		if err != nil || entry.StoredBytes != uint64(len(stored)) || ModuleID(stored) != [32]byte(entry.ChunkID) {
			t.Fatalf("%s: %d bytes, entry %+v, %v", c.name, len(stored), entry, err)
		}
		plain := p.module(t, "storage:inflate_chunk:v1", &eventpb.InflateChunkRequest{Entry: encoded.Entry}, stored, &eventpb.InflateChunkReply{})
		if !bytes.Equal(plain, c.plain) {
			t.Errorf("%s at quality %d does not come back", c.name, c.quality)
		}
		t.Logf("%s at quality %d: %d bytes, peak %d MiB", c.name, c.quality, len(stored), peakBytes(t, pid)>>20)
	}
	if peak := peakBytes(t, pid); peak > 150<<20 {
		t.Errorf("the worker had %d MiB", peak>>20)
	}
}

// module calls the storage module and returns the bulk of its answer.
func (p testPool) module(t testing.TB, name string, request event.Message, bulk []byte, reply event.Message) []byte {
	t.Helper()
	e := &eventpb.Envelope{Id: event.NewID(1, [10]byte{}), EventType: name + ":requested", Timestamp: 1, Payload: event.Payload(request)}
	answer, out, err := p.Call(t.Context(), 0, event.Encode(nil, e), bulk, make([]byte, 0, inos.StoredBytesMax))
	if err != nil {
		t.Fatal(err)
	}
	got, err := event.Decode(answer)
	if err != nil {
		t.Fatal(err)
	}
	if got.Id != e.Id || got.EventType != name+":completed" {
		t.Fatalf("%s is answered %s (%v)", name, got.EventType, event.FailureOf(got))
	}
	if err := event.Open(got, reply); err != nil {
		t.Fatal(err)
	}
	return out
}

func chunkOfNoise() []byte {
	b := make([]byte, inos.ChunkBytesMax)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // never fails
	return b
}

func chunkOfText() []byte {
	words := []string{"the ", "chunk ", "of ", "a ", "file ", "is ", "kept ", "where ", "it ", "lives\n", "node ", "worker "}
	random := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 0, inos.ChunkBytesMax+8)
	for len(b) < inos.ChunkBytesMax {
		b = append(b, words[random.IntN(len(words))]...)
	}
	return b[:inos.ChunkBytesMax]
}

func BenchmarkBuiltStorage(b *testing.B) {
	built(b, "storage.wasm")
	for _, c := range []struct {
		name  string
		plain []byte
	}{{"text", chunkOfText()}, {"random", chunkOfNoise()}} {
		b.Run(c.name, func(b *testing.B) {
			p := newTestPool(b, "storage")
			if _, _, err := p.Start(b.Context(), 0); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(inos.ChunkBytesMax)
			for b.Loop() {
				p.module(b, "storage:encode_chunk:v1", &eventpb.EncodeChunkRequest{Quality: 2}, c.plain, &eventpb.EncodeChunkReply{})
			}
		})
	}
}
