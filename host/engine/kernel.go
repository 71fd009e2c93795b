package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"runtime"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/inos-mesh/inos"
)

// Kernel is one instance of kernel.wasm. It is not safe for concurrent use: one goroutine owns it. A call cannot be
// interrupted; a kernel that does not return stops its process, which is what a node's outer watchdog is for.
//
// After a trap every method but ID, Log and Close returns the trap's error: throw the instance away and make another.
type Kernel struct {
	id       [32]byte
	in       *instance
	wasi     *wasi
	log      *tail
	step     api.Function
	snapshot api.Function
	restore  api.Function
	effects  [][]byte // reused from step to step
}

// NewKernel loads a kernel. Compiled code is kept in cacheDir when it is not empty; the folder is trusted, so it must be
// writable by the node alone. The wasm bytes are not kept. What is not a kernel of guest ABI 1 is CodeBadFormat.
func NewKernel(ctx context.Context, wasm []byte, cacheDir string) (*Kernel, error) {
	k := &Kernel{id: ModuleID(wasm), log: &tail{}}
	k.wasi = newWASI(k.log)
	ctx = experimental.WithCompilationWorkers(ctx, min(runtime.NumCPU(), runtime.GOMAXPROCS(0)))
	in, err := newInstance(ctx, wasm, cacheDir, KernelMemoryBytesMax, k.wasi.bind)
	if err != nil {
		return nil, k.explain("load kernel", err)
	}
	k.in = in
	for _, export := range []struct {
		f    *api.Function
		name string
		signature
	}{
		{&k.step, "inos_step", signature{[]api.ValueType{i64, i32, i32}, []api.ValueType{i64}}},
		{&k.snapshot, "inos_snapshot", signature{[]api.ValueType{i32}, []api.ValueType{i64}}},
		{&k.restore, "inos_restore", signature{[]api.ValueType{i32, i32, i32}, []api.ValueType{i32}}},
	} {
		if *export.f, err = in.export(export.name, export.signature); err != nil {
			in.close(ctx)
			return nil, err
		}
	}
	return k, nil
}

// ID returns the BLAKE3 of the kernel's .wasm bytes.
func (k *Kernel) ID() [32]byte { return k.id }

// Log returns the end of what the kernel wrote to its standard error, at most 8 KiB: after a trap, the reason.
func (k *Kernel) Log() string { return k.log.String() }

// Step hands the kernel one encoded envelope at a time, in microseconds, and returns the effects, which are encoded
// envelopes, and the time at which the kernel wants its next tick (0: none). The effects are views of guest memory:
// read-only, valid until the next call. An envelope above the bounds is refused with CodeEnvelopeTooLarge and leaves
// the kernel as it was; any other error ends the instance.
func (k *Kernel) Step(now inos.Micros, envelope []byte) (effects [][]byte, wake inos.Micros, err error) {
	const op = "kernel step"
	if len(envelope) > inos.EnvelopeBytesMax {
		return nil, 0, inos.Errorf(inos.CodeEnvelopeTooLarge, op, "%d bytes, at most %d", len(envelope), inos.EnvelopeBytesMax)
	}
	k.wasi.step(now)
	ctx := context.Background() // a guest call takes no part in cancellation
	view, err := k.in.inputView(ctx, len(envelope))
	if err != nil {
		return nil, 0, k.explain(op, err)
	}
	copy(view, envelope)
	result, err := k.in.call(ctx, k.step, uint64(now), uint64(k.in.input), uint64(len(envelope)))
	if err != nil {
		return nil, 0, k.explain(op, err)
	}
	out, err := k.in.output(result, KernelMemoryBytesMax)
	if err != nil {
		return nil, 0, k.explain(op, err)
	}
	if k.effects, wake, err = parseStep(k.effects[:0], out); err != nil {
		return nil, 0, k.explain(op, k.in.breach("%w", err))
	}
	return k.effects, wake, nil
}

// parseStep reads the output of a step: the wake-up time (8 bytes, little-endian), then for each effect its length
// (4 bytes, little-endian) and its bytes. It appends views of out to dst.
func parseStep(dst [][]byte, out []byte) ([][]byte, inos.Micros, error) {
	if len(out) < 8 {
		return nil, 0, inos.Errorf(inos.CodeBadFormat, "parse step", "%d bytes, the wake-up time alone has 8", len(out))
	}
	wake := binary.LittleEndian.Uint64(out)
	if wake > math.MaxInt64 {
		return nil, 0, inos.Errorf(inos.CodeBadFormat, "parse step", "the wake-up time %d is negative", int64(wake))
	}
	for out = out[8:]; len(out) > 0; {
		if len(out) < 4 {
			return nil, 0, inos.Errorf(inos.CodeBadFormat, "parse step", "%d bytes after effect %d", len(out), len(dst))
		}
		n := binary.LittleEndian.Uint32(out)
		if n > inos.EnvelopeBytesMax || uint64(n) > uint64(len(out)-4) {
			return nil, 0, inos.Errorf(inos.CodeBadFormat, "parse step", "effect %d has %d bytes, %d follow, at most %d are allowed", len(dst), n, len(out)-4, inos.EnvelopeBytesMax)
		}
		dst = append(dst, out[4:4+n:4+n])
		out = out[4+n:]
	}
	return dst, inos.Micros(wake), nil
}

// Snapshot returns the kernel's whole state, at most SnapshotBytesMax bytes. The bytes belong to the caller. Effects
// of the last step end.
func (k *Kernel) Snapshot() ([]byte, error) {
	const op = "kernel snapshot"
	var snapshot []byte
	for {
		result, err := k.in.call(context.Background(), k.snapshot, snapshotPieceBytes)
		if err != nil {
			return nil, k.explain(op, err)
		}
		piece, err := k.in.output(result, snapshotPieceBytes)
		if err != nil {
			return nil, k.explain(op, err)
		}
		if len(piece) == 0 {
			return snapshot, nil
		}
		if len(snapshot)+len(piece) > SnapshotBytesMax {
			return nil, k.explain(op, k.in.breach("a snapshot of more than %d bytes", SnapshotBytesMax))
		}
		snapshot = append(snapshot, piece...)
	}
}

// Restore replaces the kernel's state by that of a snapshot. A snapshot that the kernel refuses is CodeBadFormat, and
// the instance must be thrown away.
func (k *Kernel) Restore(snapshot []byte) error {
	const op = "kernel restore"
	if len(snapshot) > SnapshotBytesMax {
		return inos.Errorf(inos.CodeBadFormat, op, "%d bytes, at most %d", len(snapshot), SnapshotBytesMax)
	}
	ctx := context.Background()
	for last := false; !last; {
		piece := snapshot[:min(len(snapshot), snapshotPieceBytes)]
		snapshot = snapshot[len(piece):]
		last = len(snapshot) == 0
		view, err := k.in.inputView(ctx, len(piece))
		if err != nil {
			return k.explain(op, err)
		}
		copy(view, piece)
		end := uint64(0)
		if last {
			end = 1
		}
		status, err := k.in.call(ctx, k.restore, uint64(k.in.input), uint64(len(piece)), end)
		if err != nil {
			return k.explain(op, err)
		}
		if uint32(status) != 0 {
			k.in.broken = inos.Errorf(inos.CodeBadFormat, op, "the kernel refuses the snapshot (%d): %s", uint32(status), k.log.summary())
			return k.in.broken
		}
	}
	return nil
}

// Close frees the instance. It may be called more than once.
func (k *Kernel) Close() error {
	k.in.close(context.Background())
	return nil
}

// explain adds what the kernel wrote before it trapped. A kernel that traps broke a rule of the node's own.
func (k *Kernel) explain(op string, err error) error {
	var trap *trapError
	var breach *breachError
	switch {
	case errors.As(err, &trap):
		return inos.Errorf(inos.CodeInternal, op, "%w; the kernel wrote: %s", err, k.log.summary())
	case errors.As(err, &breach):
		return inos.Errorf(inos.CodeInternal, op, "%w", err)
	}
	return err
}
