package semantic

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/inos-mesh/inos"
)

// BenchmarkMesh writes files as a mesh does: a commit on two nodes, the third copy late, the record settled. Then it reads
// the whole map as a repair scan does, and claims and settles repairs.
func BenchmarkMesh(b *testing.B) {
	s, err := Open(filepath.Join(b.TempDir(), "semantic.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	nodes := make([]inos.NodeID, 6)
	for i := range nodes {
		nodes[i] = inos.NodeID(fmt.Sprintf("12D3KooWAbcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNO%03d", i))
		if _, err := s.AdmitNode(ctx, inos.Member{ID: nodes[i], Tier: inos.TierCold}, "", 1); err != nil {
			b.Fatal(err)
		}
	}
	var next atomic.Uint64
	put := func(n uint64) error {
		f, rows := smallFile(n)
		var ids []inos.ChunkID
		for i := range rows {
			rows[i].Nodes = []inos.NodeID{nodes[n%6], nodes[(n+1)%6]}
			ids = append(ids, rows[i].Entry.ChunkID)
		}
		key := inos.RequestKey{Subject: "operator", ID: fmt.Sprintf("0199f000-0000-7000-8000-%012x", n), EventType: "files:put:v1:requested"}
		f, _, err := s.CommitFile(ctx, inos.UploadID(key.ID), f, rows, inos.Quota{}, key, inos.Micros(n))
		if err != nil {
			return err
		}
		if _, err := s.SettleRecord(ctx, inos.RecordKey{Owner: f.Owner, Path: f.Path, Version: f.Version}, f.ManifestID, rows[0].Nodes, true); err != nil {
			return err
		}
		_, err = s.AddCopies(ctx, nodes[(n+2)%6], 1, ids, 0)
		return err
	}
	b.Run("put", func(b *testing.B) {
		var group sync.WaitGroup
		last := next.Load() + uint64(b.N)
		for range 16 {
			group.Go(func() {
				for n := next.Add(1); n <= last; n = next.Add(1) {
					if err := put(n); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		group.Wait()
		next.Store(last)
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
	})
	b.Run("scan", func(b *testing.B) {
		var after inos.ChunkID
		chunks := 0
		for chunks < b.N {
			states, end, err := s.ScanChunks(ctx, after, 0)
			if err != nil {
				b.Fatal(err)
			}
			chunks += len(states)
			if after = states[len(states)-1].ID; end {
				after = inos.ChunkID{}
			}
		}
		b.ReportMetric(float64(chunks)/b.Elapsed().Seconds(), "chunks/s")
	})
	b.Run("repair", func(b *testing.B) {
		done := 0
		for after := (inos.ChunkID{}); done < b.N; {
			states, end, err := s.ScanChunks(ctx, after, 0)
			if err != nil {
				b.Fatal(err)
			}
			if after = states[len(states)-1].ID; end {
				after = inos.ChunkID{}
			}
			wants := make([]inos.RepairWant, len(states))
			for i := range states {
				wants[i] = inos.RepairWant{ID: states[i].ID, Reason: "dead node", Live: uint32(i % 3)}
			}
			b.StartTimer()
			if _, err := s.WantRepairs(ctx, wants, 1); err != nil {
				b.Fatal(err)
			}
			done += repairAll(b, s, nodes[5])
			b.StopTimer()
		}
		b.ReportMetric(float64(done)/b.Elapsed().Seconds(), "repairs/s")
	})
}

// repairAll claims and settles until the queue is empty.
func repairAll(b *testing.B, s *Store, node inos.NodeID) (done int) {
	ctx := context.Background()
	for {
		claimed, err := s.ClaimRepairs(ctx, "switchboard", 1, 100, 256)
		if err != nil {
			b.Fatal(err)
		}
		if len(claimed) == 0 {
			return done
		}
		var group sync.WaitGroup
		for part := range 16 {
			group.Go(func() {
				for i := part; i < len(claimed); i += 16 {
					if err := s.SettleRepair(ctx, claimed[i].ID, claimed[i].Lease, []inos.NodeID{node}, 0, 2); err != nil {
						b.Error(err)
					}
				}
			})
		}
		group.Wait()
		done += len(claimed)
	}
}
