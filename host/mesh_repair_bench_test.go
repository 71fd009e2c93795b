package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/api"
)

// rigRepairRate is the share that repairs are told they may take, bytes per second.
const rigRepairRate = 50_000_000

// BenchmarkMeshRepair kills the provider that holds most of six files and measures how fast its copies are made again: at a rate that is
// told, beside that rate, and at none, beside what calls of the mesh carry to disks. It fails when a byte is copied twice.
func BenchmarkMeshRepair(b *testing.B) {
	writes, _ := meshRates(b)
	for _, rate := range []uint64{rigRepairRate, 0} {
		name, limit, unit := fmt.Sprintf("rate=%dM", rate/1e6), float64(rate), "of-share"
		if rate == 0 {
			name, limit, unit = "rate=measured", writes, "of-limit"
		}
		b.Run(name, func(b *testing.B) {
			var bytes, seconds float64
			for round := 0; b.Loop(); round++ {
				n, s := repairOnce(b, rate, uint64(round))
				bytes, seconds = bytes+n, seconds+s
			}
			b.ReportMetric(0, "ns/op") // it is mostly waiting for the death to be seen
			b.ReportMetric(bytes/seconds/1e6, "MB/s")
			b.ReportMetric(bytes/seconds/limit, unit)
		})
	}
}

// repairOnce returns what one repair copied and how long it took, from the first bytes seen on.
func repairOnce(b *testing.B, rate, seed uint64) (copied, seconds float64) {
	const files, size = 6, 48 << 20
	r := openRig(b, rigProviders, func(c *Config) {
		c.GraceCold, c.GraceHot, c.RepairBytesPerSecond, c.Quality = inos.Second, inos.Second, rate, 2
	})
	for i := range files {
		body := noise(seed*files+uint64(i)+100, size)
		if _, err := r.client.Put(b.Context(), inos.Path(fmt.Sprintf("/file/%d", i)), bytes.NewReader(body), size, api.PutOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	r.quiet()
	before, held := r.cpu(), make([]int64, len(r.providers))
	lost := 0
	for i, n := range r.providers {
		if held[i], _ = n.held(b); held[i] > held[lost] {
			lost = i
		}
	}
	missing, chunks := r.providers[lost].held(b)
	r.providers[lost].kill()
	var first, last time.Time
	var from api.RepairsReply
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(rigPollEvery) {
		q, err := r.client.Repairs(b.Context(), 1)
		switch {
		case err != nil:
			b.Fatal(err)
		case first.IsZero() && q.Bytes > 0:
			first, from = time.Now(), q
		}
		if q.Done >= chunks {
			last, copied = time.Now(), float64(q.Bytes-from.Bytes)
			break
		}
		if time.Now().After(deadline) {
			b.Fatalf("%d of %d chunks have been copied again: %+v", q.Done, chunks, q)
		}
	}
	r.quiet()
	b.StopTimer()
	r.providers = append(r.providers[:lost:lost], r.providers[lost+1:]...)
	held = append(held[:lost:lost], held[lost+1:]...)
	r.report(b, before, float64(missing))
	r.close()
	var grown, pulled int64
	for i, n := range r.providers {
		now, _ := n.held(b)
		grown += now - held[i]
		pulled += n.pulled(b)
	}
	if grown != missing || pulled != missing {
		b.Errorf("%d bytes were lost, %d were copied again, and the disks hold %d more", missing, pulled, grown)
	}
	b.StartTimer()
	return copied, last.Sub(first).Seconds()
}

// quiet waits until nothing is left to copy or to record.
func (r *rig) quiet() {
	r.b.Helper()
	r.wait("nothing is left to do", func(s api.Status) bool {
		q, err := r.client.Repairs(r.b.Context(), 1)
		return err == nil && q.Total == 0 && !q.Scanning && s.RecordsPending == 0 && s.Puts == 0 && s.Totals.Uploads == 0
	})
}

// held returns the bytes of the chunks in a provider's folder, and how many there are.
func (n *rigNode) held(b *testing.B) (bytes int64, chunks uint64) {
	b.Helper()
	err := filepath.WalkDir(filepath.Join(n.dir, "content", "chunks"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes, chunks = bytes+info.Size(), chunks+1
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return bytes, chunks
}

// pulled returns the bytes of chunks that other nodes sent a provider when it asked for them, by its kernel's log.
func (n *rigNode) pulled(b *testing.B) (bytes int64) {
	b.Helper()
	names, err := segmentNames(filepath.Join(n.dir, "log"))
	if err != nil || len(names) == 0 {
		b.Fatalf("the log of %s: %d segments, %v", n.dir, len(names), err)
	}
	called := event.WithState(event.MeshCall, event.StateCompleted)
	for _, name := range names {
		err := eachRecord(name, func(e *eventpb.Envelope) error {
			if e.EventType != called {
				return nil
			}
			var p eventpb.MeshCallReply
			err := event.Open(e, &p)
			bytes += int64(p.OutputBytes)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return bytes
}

// eachRecord visits the envelopes of a segment of a replay log.
func eachRecord(name string, visit func(*eventpb.Envelope) error) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	reader, err := event.NewLogReader(file)
	for err == nil {
		var record event.LogRecord
		if record, err = reader.Next(); err != nil {
			break
		}
		var e *eventpb.Envelope
		if e, err = event.Decode(record.Envelope); err == nil {
			err = visit(e)
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
