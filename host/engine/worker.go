package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"runtime/debug"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Exit statuses of a worker's process, beside 0 (its input ended) and 1 (anything else).
const (
	StatusBadModule = 65 // the module was refused before the first call
	StatusTrap      = 66 // the module trapped; the call under way has no answer
	StatusBreach    = 67 // the module broke the guest ABI; the call under way has no answer
	StatusBadFrame  = 68 // the node's frame was malformed
)

// RunWorker is the main of a worker's process: it loads a module and answers frames from in on out, one at a time and
// in order, until in ends, which returns nil. The module gets memory up to the least of its manifest's limit,
// memoryBytesMax (0: no limit of the caller's) and WorkerMemoryBytesMax; it gets no clock, no randomness, no file and
// no network, for it can import nothing.
//
// Cancelling ctx stops the worker between calls; to stop it within a call, kill the process. RunWorker changes the
// settings of the whole process: it bounds Go's heap and gives up privileges. ExitStatus turns the returned error,
// which belongs on standard error, into the process's status.
func RunWorker(ctx context.Context, in io.Reader, out io.Writer, wasm []byte, cacheDir string, memoryBytesMax uint64) error {
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(workerHeapBytesSoft)
	renounce()
	g, err := newGuest(ctx, wasm, cacheDir, memoryBytesMax)
	if err != nil {
		return &badModuleError{err}
	}
	defer g.in.close(ctx)
	debug.FreeOSMemory() // what compiling needed
	return g.serve(ctx, in, out)
}

// ExitStatus returns the status with which a worker's process ends for an error of RunWorker.
func ExitStatus(err error) int {
	var trap *trapError
	var breach *breachError
	var module *badModuleError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &module):
		return StatusBadModule
	case errors.As(err, &trap):
		return StatusTrap
	case errors.As(err, &breach):
		return StatusBreach
	case inos.CodeOf(err) == inos.CodeBadFormat:
		return StatusBadFrame
	}
	return 1
}

// statusText says what a status means.
func statusText(status int) string {
	switch status {
	case 0:
		return "ended"
	case StatusBadModule:
		return "module refused"
	case StatusTrap:
		return "module trapped"
	case StatusBreach:
		return "module broke the guest ABI"
	case StatusBadFrame:
		return "malformed frame"
	}
	return "failed"
}

type badModuleError struct{ err error }

// Error implements error.
func (e *badModuleError) Error() string { return e.err.Error() }

// Unwrap returns the error with its code.
func (e *badModuleError) Unwrap() error { return e.err }

// guest is a module that answers guest messages.
type guest struct {
	in     *instance
	handle api.Function
}

// newGuest loads a module and sets its memory limit by its manifest.
func newGuest(ctx context.Context, wasm []byte, cacheDir string, memoryBytesMax uint64) (*guest, error) {
	if memoryBytesMax == 0 || memoryBytesMax > WorkerMemoryBytesMax {
		memoryBytesMax = WorkerMemoryBytesMax
	}
	ctx = experimental.WithCompilationWorkers(ctx, 1)
	in, err := newInstance(ctx, wasm, cacheDir, memoryBytesMax, nil)
	if err != nil {
		return nil, err
	}
	g := &guest{in: in}
	g.handle, err = in.export("inos_handle", signature{[]api.ValueType{i32, i32}, []api.ValueType{i64}})
	if err == nil {
		err = g.limitByManifest(ctx)
	}
	if err != nil {
		in.close(ctx)
		return nil, err
	}
	return g, nil
}

func (g *guest) limitByManifest(ctx context.Context) error {
	request := event.AppendGuest(nil, manifestRequest(0), nil)
	view, err := g.in.inputView(ctx, len(request))
	if err != nil {
		return err
	}
	copy(view, request)
	reply, err := g.answer(ctx, len(request))
	if err != nil {
		return err
	}
	envelope, _, err := event.SplitGuest(reply)
	if err != nil {
		return err
	}
	manifest, err := openManifest(envelope)
	if err != nil {
		return err
	}
	if limit := manifest.MemoryBytesMax; limit > 0 {
		g.in.limit.bytesMax = min(g.in.limit.bytesMax, limit)
	}
	return nil
}

// answer runs the module on the n bytes in its input buffer. The answer, a well-formed guest message, is a view of
// guest memory that ends with the next call.
func (g *guest) answer(ctx context.Context, n int) ([]byte, error) {
	result, err := g.in.call(ctx, g.handle, uint64(g.in.input), uint64(n))
	if err != nil {
		return nil, err
	}
	message, err := g.in.output(result, frameBytesMax)
	if err != nil {
		return nil, err
	}
	envelope, _, err := event.SplitGuest(message)
	if err != nil {
		return nil, g.in.breach("%w", err)
	}
	if len(envelope) > inos.EnvelopeBytesMax {
		return nil, g.in.breach("an envelope of %d bytes, at most %d", len(envelope), inos.EnvelopeBytesMax)
	}
	return message, nil
}

// serve answers frames until the input ends.
func (g *guest) serve(ctx context.Context, in io.Reader, out io.Writer) error {
	const op = "serve module"
	for ctx.Err() == nil {
		n, err := readFrameBytes(in)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		view, err := g.in.inputView(ctx, n)
		if err != nil {
			return err
		}
		if _, err := io.ReadFull(in, view); err != nil {
			return frameFault("read frame", err)
		}
		if _, _, err := event.SplitGuest(view); err != nil {
			return err
		}
		answer, err := g.answer(ctx, n)
		if err != nil {
			return err
		}
		var head [frameHeadBytes]byte
		binary.LittleEndian.PutUint32(head[:], uint32(len(answer)))
		if _, err := out.Write(head[:]); err != nil {
			return inos.Errorf(inos.CodeIO, op, "%w", err)
		}
		if _, err := out.Write(answer); err != nil {
			return inos.Errorf(inos.CodeIO, op, "%w", err)
		}
	}
	return inos.Errorf(inos.CodeCanceled, op, "%w", ctx.Err())
}

const manifestType = "module:manifest:v1:requested"

// manifestRequest returns an encoded module:manifest request.
func manifestRequest(now inos.Micros) []byte {
	return event.Encode(nil, &eventpb.Envelope{Id: event.NewID(now, [10]byte{}), EventType: manifestType, Timestamp: int64(now)})
}

// openManifest reads the answer to a manifest request.
func openManifest(envelope []byte) (*eventpb.ModuleManifest, error) {
	const op = "read module manifest"
	e, err := event.Decode(envelope)
	if err != nil {
		return nil, err
	}
	switch e.EventType {
	case event.WithState(manifestType, event.StateCompleted):
	case event.WithState(manifestType, event.StateFailed):
		return nil, event.FailureOf(e)
	default:
		return nil, inos.Errorf(inos.CodeBadFormat, op, "the module answers %q", e.EventType)
	}
	manifest := &eventpb.ModuleManifest{}
	if err := event.Open(e, manifest); err != nil {
		return nil, err
	}
	if manifest.Name == "" || len(manifest.Services) > ServicesMax {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "name %q, %d services; a module has a name and at most %d services", manifest.Name, len(manifest.Services), ServicesMax)
	}
	return manifest, nil
}
