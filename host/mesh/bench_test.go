package mesh

import (
	"context"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/inos-mesh/inos"
)

// cpu returns the processor time this process has used, in nanoseconds.
func cpu(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// measure reports MB/s by SetBytes, and the processor time of both ends per MB.
func measure(b *testing.B, send func()) {
	b.SetBytes(1 << 20)
	send() // connections and windows are there
	b.ResetTimer()
	before := cpu(b)
	for b.Loop() {
		send()
	}
	b.ReportMetric(float64(cpu(b)-before)/1e3/float64(b.N)/1.048576, "cpu-µs/MB")
}

func BenchmarkChunk(b *testing.B) {
	slabs := make(chan []byte, 64)
	slab := func() []byte {
		select {
		case s := <-slabs:
			return s
		default:
			return make([]byte, 0, inos.StoredBytesMax)
		}
	}
	recycle := func(s []byte) { slabs <- s[:0] }
	chunk := make([]byte, 1<<20)
	serve := func(_ context.Context, _ inos.NodeID, _ bool, q Message) (Message, error) {
		if q.Bulk == nil {
			return Message{Bulk: chunk}, nil
		}
		recycle(q.Bulk)
		return Message{}, nil
	}
	for _, transport := range []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"} {
		peer := open(b, 2, func(c *Config) {
			c.Listen, c.Serve, c.Slab, c.Recycle = []string{transport}, serve, slab, recycle
		})
		m := open(b, 1, func(c *Config) { c.Listen = nil })
		name := "tcp"
		if transport != "/ip4/127.0.0.1/tcp/0" {
			name = "quic"
		}
		call := func(q, into []byte) {
			if _, err := m.Call(context.Background(), peer.ID(), peer.Addrs(), Message{Bulk: q}, into); err != nil {
				b.Error(err)
			}
		}
		into := make([]byte, 0, inos.StoredBytesMax)
		b.Run(name+"/write", func(b *testing.B) { measure(b, func() { call(chunk, nil) }) })
		b.Run(name+"/read", func(b *testing.B) { measure(b, func() { call(nil, into) }) })
		b.Run(name+"/write8", func(b *testing.B) {
			b.SetBytes(1 << 20)
			b.SetParallelism(4)
			before := cpu(b)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					call(chunk, nil)
				}
			})
			b.ReportMetric(float64(cpu(b)-before)/1e3/float64(b.N)/1.048576, "cpu-µs/MB")
		})
	}
}

// BenchmarkLimits are what the figures above are held against: a copy in memory, and plain TCP with a byte back for each chunk.
func BenchmarkLimits(b *testing.B) {
	from, to := make([]byte, 1<<20), make([]byte, 1<<20)
	b.Run("copy", func(b *testing.B) { measure(b, func() { copy(to, from) }) })
	b.Run("tcp", func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			for {
				if _, err := io.ReadFull(c, to); err != nil {
					return
				}
				if _, err := c.Write(to[:1]); err != nil {
					return
				}
			}
		}()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		var back [1]byte
		measure(b, func() {
			if _, err := c.Write(from); err != nil {
				b.Error(err)
			}
			if _, err := io.ReadFull(c, back[:]); err != nil {
				b.Error(err)
			}
		})
	})
}
