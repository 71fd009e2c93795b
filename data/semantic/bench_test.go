package semantic

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"lukechampine.com/blake3"
)

// smallFile returns the rows of a file of one chunk.
func smallFile(n uint64) (inos.FileInfo, []inos.ChunkRow) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	id := func(what byte) [32]byte { return blake3.Sum256(append(b[:], what)) }
	data := inos.Entry{ChunkID: id(1), PlainHash: id(2), Chain: id(3), PlainBytes: 4096, StoredBytes: 1800, Codec: inos.CodecBrotli, Quality: 5, Chunks: 1}
	node := inos.Entry{ChunkID: id(4), PlainHash: id(5), Chain: id(3), PlainBytes: 4096, StoredBytes: 1800, Chunks: 1}
	nodes := []inos.NodeID{smallNode}
	f := inos.FileInfo{
		Owner: "operator", Path: inos.Path(fmt.Sprintf("/bench/%02x/%d.txt", b[0], n)), FileID: data2file(data), ManifestID: node.ChunkID,
		PlainBytes: 4096, StoredBytes: 1800, Chunks: 1, ContentType: "text/plain", ReplicasWanted: 3, ReplicasReached: 1,
	}
	return f, []inos.ChunkRow{
		{Entry: data, Nodes: nodes},
		{Entry: node, Nodes: nodes, Manifest: true, Children: []inos.ChunkID{data.ChunkID}},
	}
}

// smallNode holds the chunks of all small files.
const smallNode = "12D3KooWAbcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQR"

// letIn makes smallNode a member.
func letIn(s *Store) error {
	_, err := s.AdmitNode(context.Background(), inos.Member{ID: smallNode, Tier: inos.TierCold}, "", 1)
	return err
}

func data2file(e inos.Entry) inos.FileID { return inos.FileID(e.PlainHash) }

// BenchmarkCommitFile commits files of one chunk from several callers at once and reports, beside the rate, the rate
// of bare 4 KiB write + fsync on the same disk, measured after it.
func BenchmarkCommitFile(b *testing.B) {
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s, err := Open(filepath.Join(b.TempDir(), "semantic.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			if err := letIn(s); err != nil {
				b.Fatal(err)
			}
			var next atomic.Uint64
			var group sync.WaitGroup
			b.ResetTimer()
			for range callers {
				group.Go(func() {
					for {
						n := next.Add(1)
						if n > uint64(b.N) {
							return
						}
						f, rows := smallFile(n)
						key := inos.RequestKey{Subject: "operator", ID: fmt.Sprintf("0199f000-0000-7000-8000-%012x", n), EventType: "files:put:v1:requested"}
						if _, _, err := s.CommitFile(context.Background(), inos.UploadID(key.ID), f, rows, inos.Quota{}, key, inos.Micros(n)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			b.StopTimer()
			commits := float64(b.N) / b.Elapsed().Seconds()
			flushes := fsyncRate(b)
			b.ReportMetric(commits, "commits/s")
			b.ReportMetric(flushes, "fsyncs/s")
			b.ReportMetric(commits/flushes, "commits/fsync")
		})
	}
}

func fsyncRate(b *testing.B) float64 {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "fsync"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, 4096)
	const times = 300
	start := time.Now()
	for range times {
		if _, err := f.Write(page); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return times / time.Since(start).Seconds()
}

// BenchmarkLookup reads files by path, and chunks by plain hash, among 20,000 files.
func BenchmarkLookup(b *testing.B) {
	s, err := Open(filepath.Join(b.TempDir(), "semantic.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if err := letIn(s); err != nil {
		b.Fatal(err)
	}
	const files, callers = 20_000, 64
	var group sync.WaitGroup
	for c := range uint64(callers) {
		group.Go(func() {
			for n := c; n < files; n += callers {
				f, rows := smallFile(n)
				if _, _, err := s.CommitFile(context.Background(), "u", f, rows, inos.Quota{}, inos.RequestKey{ID: fmt.Sprint(n), EventType: "x"}, 1); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.Run("file", func(b *testing.B) {
		var n atomic.Uint64
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				f, _ := smallFile(n.Add(7919) % files)
				if _, err := s.LookupFile(context.Background(), f.Owner, f.Path, inos.FileID{}); err != nil {
					b.Error(err)
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lookups/s")
	})
	b.Run("chunk", func(b *testing.B) {
		var n atomic.Uint64
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				_, rows := smallFile(n.Add(7919) % files)
				e, err := s.FindChunks(context.Background(), "operator", []inos.PlainHash{rows[0].Entry.PlainHash})
				if err != nil || e[0] == nil {
					b.Error(err)
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lookups/s")
	})
}
