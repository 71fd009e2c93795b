package kernel

import (
	"math/bits"

	"github.com/inos-mesh/inos"
)

// histogramBuckets divide the durations from 1 µs up in quarters of powers of two: a percentile is right to 12.5 %.
const histogramBuckets = 160

type histogram struct {
	count   uint64
	buckets []uint32 // nil while nothing was added: a large mesh has many members of which nothing was measured yet
}

func bucketOf(d inos.Micros) int {
	v := uint64(max(d, 1))
	if v < 4 {
		return int(v)
	}
	log := bits.Len64(v) - 1
	return min(4*(log-1)+int(v>>(log-2)&3), histogramBuckets-1)
}

// bucketMiddle returns the middle of a bucket.
func bucketMiddle(b int) inos.Micros {
	if b < 4 {
		return inos.Micros(b)
	}
	log := b/4 + 1
	low := uint64(4+b%4) << (log - 2)
	return inos.Micros(low + (uint64(1)<<(log-2))/2)
}

func (h *histogram) add(d inos.Micros) {
	h.count++
	if h.buckets == nil {
		h.buckets = make([]uint32, histogramBuckets)
	}
	b := &h.buckets[bucketOf(d)]
	if *b++; *b == 1<<31 {
		for i := range h.buckets { // the oldest count half: the shape stays
			h.buckets[i] /= 2
		}
	}
}

// percentile returns the duration that a share of the calls stayed within.
func (h *histogram) percentile(percent uint64) inos.Micros {
	total := uint64(0)
	for _, n := range h.buckets {
		total += uint64(n)
	}
	if total == 0 {
		return 0
	}
	want := max(1, (total*percent+99)/100)
	seen := uint64(0)
	for i, n := range h.buckets {
		if seen += uint64(n); seen >= want {
			return bucketMiddle(i)
		}
	}
	return bucketMiddle(histogramBuckets - 1)
}

func (h *histogram) code(c *coder) {
	num(c, &h.count)
	used := 0
	for _, n := range h.buckets {
		if n != 0 {
			used++
		}
	}
	num(c, &used)
	if c.reading {
		if h.buckets = nil; used > 0 {
			h.buckets = make([]uint32, histogramBuckets)
		}
	}
	at := -1
	for i := range used {
		if c.err != nil {
			return
		}
		_ = i
		next := at + 1
		if !c.reading {
			for h.buckets[next] == 0 {
				next++
			}
		}
		num(c, &next)
		if next <= at || next >= histogramBuckets {
			c.fail("histogram bucket %d behind %d", next, at)
			return
		}
		num(c, &h.buckets[next])
		at = next
	}
}
