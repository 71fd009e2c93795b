package content_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/data/content"
	"github.com/inos-mesh/inos/data/datatest"
)

// The benchmarks measure the bare file system in the same run and report the ratio to it: "of-raw" is raw time / our time.

// benchChunks returns n chunks that no other call returned.
func benchChunks(n, length int) (ids []inos.ChunkID, stored [][]byte) {
	for range n {
		id, b := datatest.Chunk(benchSeed.Add(1), length)
		ids, stored = append(ids, id), append(stored, b)
	}
	return ids, stored
}

var benchSeed atomic.Uint64

// parallel runs f(0..n-1) on so many goroutines.
func parallel(workers, n int, f func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}

func must(b *testing.B, err error) {
	if err != nil {
		b.Error(err)
	}
}

// rawWrite is the least that a durable write of a new file costs: one sync.
func rawWrite(b *testing.B, dir string, i int, stored []byte) {
	f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
	must(b, err)
	_, err = f.Write(stored)
	must(b, err)
	must(b, f.Sync())
	must(b, f.Close())
}

func benchPut(b *testing.B, length, workers int) {
	s, err := content.Open(filepath.Join(b.TempDir(), "content"), content.Options{})
	must(b, err)
	defer s.Close()
	ids, stored := benchChunks(b.N, length)
	raw := b.TempDir()
	start := time.Now()
	parallel(workers, b.N, func(i int) { rawWrite(b, raw, i, stored[i]) })
	rawTime := time.Since(start)
	b.SetBytes(int64(length))
	b.ResetTimer()
	parallel(workers, b.N, func(i int) {
		_, err := s.Put(context.Background(), ids[i], stored[i])
		must(b, err)
	})
	b.StopTimer()
	b.ReportMetric(float64(rawTime)/float64(b.Elapsed()), "of-raw")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
}

func BenchmarkPut4KiBAt16(b *testing.B) { benchPut(b, 4096, 16) }
func BenchmarkPut4KiBAt1(b *testing.B)  { benchPut(b, 4096, 1) }
func BenchmarkPut1MiBAt1(b *testing.B)  { benchPut(b, 1<<20, 1) }
func BenchmarkPut1MiBAt4(b *testing.B)  { benchPut(b, 1<<20, 4) }

func BenchmarkGet1MiB(b *testing.B) {
	dir := b.TempDir()
	s, err := content.Open(dir, content.Options{})
	must(b, err)
	defer s.Close()
	const chunks = 64
	ids, stored := benchChunks(chunks, 1<<20)
	for i := range ids {
		_, err := s.Put(context.Background(), ids[i], stored[i])
		must(b, err)
	}
	buffer := make([]byte, 0, 1<<20)
	start := time.Now()
	for i := range b.N {
		f, err := os.Open(chunkPath(dir, ids[i%chunks]))
		must(b, err)
		_, err = f.Read(buffer[:1<<20])
		must(b, err)
		must(b, f.Close())
	}
	rawTime := time.Since(start)
	b.SetBytes(1 << 20)
	b.ResetTimer()
	for i := range b.N {
		_, err := s.Get(context.Background(), ids[i%chunks], buffer)
		must(b, err)
	}
	b.StopTimer()
	b.ReportMetric(float64(rawTime)/float64(b.Elapsed()), "of-raw")
}

func BenchmarkOpenNew(b *testing.B) {
	for b.Loop() {
		s, err := content.Open(filepath.Join(b.TempDir(), "content"), content.Options{})
		must(b, err)
		must(b, s.Close())
	}
}
