package host

import (
	"context"
	"io"
	"os/exec"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/engine"
)

// encoderQuality is the Brotli quality of chunks that a client encodes: the fast one, for the sender waits.
const encoderQuality = 2

// Encoder makes the stored forms of chunks on a client's machine, by workers of its own that run the storage module as a node's do. It may be used from
// many goroutines; as many chunks as it has workers are encoded at a time.
type Encoder struct {
	pool *engine.Pool
	free chan int // slots without a call
}

// NewEncoder starts workers. Compiled modules are kept in cacheDir, which only this user may write to. What the workers say goes to stderr.
func NewEncoder(ctx context.Context, workers int, cacheDir string, stderr io.Writer) (*Encoder, error) {
	command, err := defaultWorkerCommand()
	if err != nil {
		return nil, err
	}
	x := &Encoder{free: make(chan int, workers)}
	x.pool = engine.NewPool(engine.Config{
		Command: func(int) *exec.Cmd {
			cmd := exec.Command(command[0], command[1:]...)
			cmd.Env = []string{envWorkerCache + "=" + cacheDir}
			cmd.Dir = "/"
			cmd.Stderr = stderr
			return cmd
		},
		OnExit: func(int, int, string) {},
	})
	for slot := range workers {
		if _, _, err := x.pool.Start(ctx, slot); err != nil {
			_ = x.pool.Close()
			return nil, err
		}
		x.free <- slot
	}
	return x, nil
}

// Close ends the workers, when what is under way is done.
func (x *Encoder) Close() error { return x.pool.Close() }

// Encode returns the stored form of a chunk of 1 to 2^20 bytes at an offset of its file, with its entry. A call that was begun ends; ctx ends the wait for
// a worker.
func (x *Encoder) Encode(ctx context.Context, plain []byte, offset uint64) ([]byte, inos.Entry, error) {
	const op = "encode chunk"
	if len(plain) > 0 && !compressible(plain) {
		slab := append(make([]byte, inos.RawHeadBytes, inos.RawHeadBytes+len(plain)), plain...)
		entry, err := rawEntry(slab, offset)
		return slab, entry, err
	}
	var slot int
	select {
	case slot = <-x.free:
	case <-ctx.Done():
		return nil, inos.Entry{}, inos.Errorf(inos.CodeCanceled, op, "%w", ctx.Err())
	}
	defer func() { x.free <- slot }()
	q := &eventpb.Envelope{
		Id: "encode", EventType: event.EncodeChunk, Timestamp: time.Now().UnixMicro(),
		Payload: event.Payload(&eventpb.EncodeChunkRequest{OffsetBytes: offset, Quality: encoderQuality}),
	}
	raw, stored, err := x.call(ctx, slot, event.Encode(nil, q), plain)
	if err != nil {
		return nil, inos.Entry{}, err
	}
	e, err := event.Decode(raw)
	if err != nil {
		return nil, inos.Entry{}, err
	}
	if event.StateOf(e.EventType) != event.StateCompleted {
		return nil, inos.Entry{}, event.FailureOf(e)
	}
	var r eventpb.EncodeChunkReply
	if err := event.Open(e, &r); err != nil {
		return nil, inos.Entry{}, err
	}
	entry, err := inos.ParseEntry(r.Entry)
	return stored, entry, err
}

// call hands a chunk to a worker. One that has ended is started again, once: its slot is the first to be free, and would fail every chunk that is left.
func (x *Encoder) call(ctx context.Context, slot int, envelope, plain []byte) (reply, stored []byte, err error) {
	for again := false; ; again = true {
		reply, stored, err = x.pool.Call(context.WithoutCancel(ctx), slot, envelope, plain, make([]byte, 0, inos.StoredBytesMax))
		if again || inos.CodeOf(err) != inos.CodeWorkerLost {
			return reply, stored, err
		}
		if _, _, err := x.pool.Start(ctx, slot); err != nil {
			return nil, nil, err
		}
	}
}
