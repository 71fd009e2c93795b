package host

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/engine"
)

// The benchmarks print MB/s of plain bytes and "of-limit": the ratio to what the same machine did in the same run
// without the node: all workers encoding or inflating for put and get, durable small files for small puts.

const benchFileBytes = 128 << 20

var benchKinds = []struct {
	name string
	make func(seed uint64, size int) []byte
}{{"text", text}, {"random", noise}}

// benchPlaces are a folder on disk and one in memory.
func benchPlaces(b *testing.B) map[string]string {
	places := map[string]string{"disk": b.TempDir()}
	if dir, err := os.MkdirTemp("/dev/shm", "inos-bench-"); err == nil {
		b.Cleanup(func() { _ = os.RemoveAll(dir) })
		places["tmpfs"] = dir
	}
	return places
}

// benchPool starts worker processes without a node.
func benchPool(b testing.TB, workers int) *engine.Pool {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	pool := engine.NewPool(engine.Config{
		Command: func(int) *exec.Cmd {
			cmd := exec.Command(self, "worker")
			cmd.Env = []string{envWorkerCache + "=" + testCache}
			return cmd
		},
		OnExit: func(int, int, string) {},
	})
	b.Cleanup(func() { _ = pool.Close() })
	for slot := range workers {
		if _, _, err := pool.Start(context.Background(), slot); err != nil {
			b.Fatal(err)
		}
	}
	return pool
}

// callAll calls every worker with every chunk once, two calls at once per worker, and returns the replies.
func callAll(b *testing.B, pool *engine.Pool, workers int, chunks [][]byte, request func(i int) []byte, each func(i int, reply, bulk []byte)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for lane := range workers * 2 {
		wg.Go(func() {
			out := make([]byte, 0, inos.StoredBytesMax)
			for {
				i := int(next.Add(1)) - 1
				if i >= len(chunks) {
					return
				}
				reply, bulk, err := pool.Call(context.Background(), lane%workers, request(i), chunks[i], out)
				if err != nil {
					b.Error(err)
					return
				}
				each(i, reply, bulk)
			}
		})
	}
	wg.Wait()
}

func moduleCall(eventType string, m event.Message) []byte {
	return event.Encode(nil, &eventpb.Envelope{Id: event.NewID(1, [10]byte{}), EventType: eventType, Payload: event.Payload(m)})
}

func split(body []byte) (chunks [][]byte) {
	for len(body) > 0 {
		n := min(len(body), inos.ChunkBytesMax)
		chunks, body = append(chunks, body[:n]), body[n:]
	}
	return chunks
}

// encodeAll encodes chunks and returns the stored forms and entries.
func encodeAll(b *testing.B, pool *engine.Pool, workers int, chunks [][]byte, quality uint32) (stored, entries [][]byte) {
	stored, entries = make([][]byte, len(chunks)), make([][]byte, len(chunks))
	callAll(b, pool, workers, chunks, func(i int) []byte {
		return moduleCall(event.EncodeChunk, &eventpb.EncodeChunkRequest{OffsetBytes: uint64(i) * inos.ChunkBytesMax, Quality: quality})
	}, func(i int, reply, bulk []byte) {
		e, err := event.Decode(reply)
		var r eventpb.EncodeChunkReply
		if err == nil && event.StateOf(e.EventType) == event.StateFailed {
			err = event.FailureOf(e)
		}
		if err == nil {
			err = event.Open(e, &r)
		}
		if err != nil {
			b.Error(err)
		}
		stored[i], entries[i] = bytes.Clone(bulk), r.Entry
	})
	return stored, entries
}

func inflateAll(b *testing.B, pool *engine.Pool, workers int, stored, entries [][]byte) {
	callAll(b, pool, workers, stored, func(i int) []byte {
		return moduleCall(event.InflateChunk, &eventpb.InflateChunkRequest{Entry: entries[i]})
	}, func(i int, reply, bulk []byte) {
		e, err := event.Decode(reply)
		if err == nil && event.StateOf(e.EventType) == event.StateFailed {
			err = event.FailureOf(e)
		}
		if err != nil {
			b.Error(err)
		}
	})
}

// BenchmarkSmallPuts comes first: on some file systems making files costs more where many were just deleted.
func BenchmarkSmallPuts(b *testing.B) {
	const atOnce, size = 16, 4096
	for place, dir := range benchPlaces(b) {
		durable := durableFilesRate(b, dir, atOnce, size)
		n := openNode(b, filepath.Join(dir, "small"), nil)
		b.Run("at-once=16/"+place, func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
			wideProcessors() // package testing has taken back what the node did at its start
			var next atomic.Int64
			var wg sync.WaitGroup
			steps, node, workers := n.spent()
			b.ResetTimer()
			for range atOnce {
				wg.Go(func() {
					for {
						i := next.Add(1)
						if i > int64(b.N) {
							return
						}
						if _, err := n.put(fmt.Sprintf("/small/%d/%d", b.N, i), noise(uint64(i)+uint64(b.N)<<20, size)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			rate := float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(rate, "puts/s")
			b.ReportMetric(rate/durable, "of-durable-files")
			stepsAfter, nodeAfter, workersAfter := n.spent()
			perPut := func(d time.Duration) float64 { return d.Seconds() * 1e3 / float64(b.N) }
			b.ReportMetric(float64(stepsAfter-steps)/float64(b.N), "steps/put")
			b.ReportMetric(perPut(nodeAfter-node), "cpu-ms/put-node")
			b.ReportMetric(perPut(workersAfter-workers), "cpu-ms/put-workers")
		})
		n.close()
	}
}

func BenchmarkModule(b *testing.B) {
	counts := []int{1}
	if runtime.NumCPU() > 1 {
		counts = append(counts, runtime.NumCPU())
	}
	for _, workers := range counts {
		pool := benchPool(b, workers)
		for _, kind := range benchKinds {
			chunks := split(kind.make(1, 32<<20))
			stored, entries := encodeAll(b, pool, workers, chunks, 2)
			b.Run(fmt.Sprintf("encode/%s/workers=%d", kind.name, workers), func(b *testing.B) {
				copied := copyRate(chunks)
				b.SetBytes(32 << 20)
				for b.Loop() {
					encodeAll(b, pool, workers, chunks, 2)
				}
				b.ReportMetric(float64(b.N)*(32<<20)/b.Elapsed().Seconds()/copied, "of-memcpy")
			})
			b.Run(fmt.Sprintf("inflate/%s/workers=%d", kind.name, workers), func(b *testing.B) {
				copied := copyRate(chunks)
				b.SetBytes(32 << 20)
				for b.Loop() {
					inflateAll(b, pool, workers, stored, entries)
				}
				b.ReportMetric(float64(b.N)*(32<<20)/b.Elapsed().Seconds()/copied, "of-memcpy")
			})
		}
	}
}

// copyRate returns bytes per second of copying chunks in memory.
func copyRate(chunks [][]byte) float64 {
	dst := make([]byte, inos.ChunkBytesMax)
	start, copied := time.Now(), 0
	for time.Since(start) < 50*time.Millisecond {
		for _, chunk := range chunks {
			copied += copy(dst, chunk)
		}
	}
	return float64(copied) / time.Since(start).Seconds()
}

func BenchmarkPutGet(b *testing.B) {
	workers := runtime.NumCPU()
	for _, kind := range benchKinds {
		body := kind.make(2, benchFileBytes)
		chunks := split(body)
		pool := benchPool(b, workers)
		start := time.Now()
		stored, entries := encodeAll(b, pool, workers, chunks, 2)
		encodeRate := benchFileBytes / time.Since(start).Seconds()
		start = time.Now()
		inflateAll(b, pool, workers, stored, entries)
		inflateRate := benchFileBytes / time.Since(start).Seconds()
		if err := pool.Close(); err != nil {
			b.Fatal(err)
		}
		stored = nil
		for place, dir := range benchPlaces(b) {
			n := openNode(b, filepath.Join(dir, kind.name), func(c *Config) { c.Workers = workers })
			puts := 0
			b.Run(fmt.Sprintf("put/%s/%s", kind.name, place), func(b *testing.B) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
				wideProcessors()
				b.SetBytes(benchFileBytes)
				for b.Loop() {
					puts++ // the first chunk bytes change, so that nothing is held already
					b.StopTimer()
					for i := 0; i < len(body); i += inos.ChunkBytesMax {
						copy(body[i:], fmt.Sprintf("%08d", puts))
					}
					b.StartTimer()
					if _, err := n.put(fmt.Sprintf("/put/%d", puts%2), body); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)*benchFileBytes/b.Elapsed().Seconds()/encodeRate, "of-encode")
			})
			n.mustPut("/get", body)
			b.Run(fmt.Sprintf("get/%s/%s", kind.name, place), func(b *testing.B) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
				wideProcessors()
				b.SetBytes(benchFileBytes)
				for b.Loop() {
					stream, release := n.Sink(io.Discard)
					var reply eventpb.FilesGetReply
					if err := n.request(context.Background(), event.FilesGet, &eventpb.FilesGetRequest{Path: "/get", LengthBytes: -1, Stream: stream}, &reply); err != nil {
						b.Fatal(err)
					}
					release()
				}
				b.ReportMetric(float64(b.N)*benchFileBytes/b.Elapsed().Seconds()/inflateRate, "of-inflate")
			})
			n.close()
		}
	}
}

// spent returns how many steps the node's kernel has taken, and the processor time of this process and of its workers, when all of them are
// ready: what a start costs is none of a put's.
func (n *testNode) spent() (steps uint64, node, workers time.Duration) {
	n.t.Helper()
	for ready := false; !ready; time.Sleep(rigPollEvery) {
		var status eventpb.NodeStatusReply
		if err := n.request(context.Background(), event.NodeStatus, &eventpb.NodeStatusRequest{}, &status); err != nil {
			n.t.Fatal(err)
		}
		steps, workers = status.Steps, 0
		ready = !slices.ContainsFunc(status.Workers, func(w *eventpb.WorkerStatus) bool { return w.State != "ready" })
		for _, w := range status.Workers {
			workers += processTime(int(w.Pid))
		}
	}
	return steps, processTime(os.Getpid()), workers
}

// durableFilesRate returns how many files a second can be written, flushed, renamed and their folder flushed.
func durableFilesRate(b *testing.B, dir string, atOnce, size int) float64 {
	dir = filepath.Join(dir, "durable")
	if err := os.Mkdir(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	body := noise(9, size)
	var wg sync.WaitGroup
	const each = 64
	start := time.Now()
	for lane := range atOnce {
		wg.Go(func() {
			for i := range each {
				name := filepath.Join(dir, fmt.Sprintf("%d-%d", lane, i))
				file, err := os.Create(name + ".temp")
				if err == nil {
					_, err = file.Write(body)
				}
				if err == nil {
					err = file.Sync()
				}
				if err == nil {
					err = file.Close()
				}
				if err == nil {
					err = os.Rename(name+".temp", name)
				}
				if err == nil {
					err = syncDir(dir)
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return float64(atOnce*each) / time.Since(start).Seconds()
}

// BenchmarkNativeHash is the limit of a provider: BLAKE3 of one chunk.
func BenchmarkNativeHash(b *testing.B) {
	chunk := noise(1, inos.ChunkBytesMax)
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		blake3.Sum256(chunk)
	}
}
