package kernel

import (
	"fmt"
	"testing"

	"github.com/inos-mesh/inos"
)

// The plant of the concurrency adjuster: workers that serve one call at a time, and a source that always has more. A step
// of the service time up and down again must not move the limit for good, nor make it swing.
func TestConcurrencySettles(t *testing.T) {
	for _, workers := range []uint32{1, 2, 4, 16} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			var u concurrency
			u.boot(workers)
			noise := uint64(1)
			window := func(service inos.Micros) {
				for range samplesPerWindow {
					noise = noise*6364136223846793005 + 1442695040888963407
					latency := service * inos.Micros(max(u.limit, workers)) / inos.Micros(workers)
					latency += latency * inos.Micros(noise>>60) / 160 // up to 9 %
					u.observe(2, latency, true)
					if u.limit < workers || u.limit > callsPerWorkerMax*workers {
						t.Fatalf("limit %d of %d workers", u.limit, workers)
					}
				}
			}
			for step, service := range []inos.Micros{20000, 60000, 5000} {
				for range 2 * probeEvery { // time to settle: at most until the next probe, and what follows
					window(service)
				}
				if u.resume != 0 {
					window(service)
				}
				low, high, turns, last, direction := u.limit, u.limit, 0, u.limit, 0
				for range 4 * probeEvery {
					window(service)
					if u.resume != 0 {
						window(service) // the probe itself is not a decision
						continue
					}
					low, high = min(low, u.limit), max(high, u.limit)
					if d := int(u.limit) - int(last); d != 0 {
						if direction*d < 0 {
							turns++
						}
						direction = d
					}
					last = u.limit
				}
				if low < workers*3/2 || high > workers*5/2+1 {
					t.Errorf("step %d: the limit is between %d and %d for %d workers", step, low, high, workers)
				}
				if turns > 4 {
					t.Errorf("step %d: the limit turned round %d times, between %d and %d", step, turns, low, high)
				}
			}
		})
	}
}

// An idle source never raises the limit: low latency alone says nothing.
func TestConcurrencyIdle(t *testing.T) {
	var u concurrency
	u.boot(2)
	before := u.limit
	for range 10 * samplesPerWindow {
		u.observe(2, 20000, false)
	}
	if u.limit != before {
		t.Errorf("the limit went from %d to %d without load", before, u.limit)
	}
}

// The plant of the quality adjuster: a flow of chunks that needs a share of the workers at quality 2. Each level of load
// must lead to one quality and stay there; a saturating load to 2 within one window.
func TestQualitySettles(t *testing.T) {
	var u quality
	u.level = qualityMin
	percent := func(n uint64) uint64 { return one * n / 100 }
	window := func(demand, ratio uint64) {
		waited := demand*cost[u.level]/one > one
		if waited {
			demand = min(demand, one) // what waits is encoded at 2: that much is measured
		}
		u.adjust(demand, ratio, waited)
	}
	for _, step := range []struct {
		name     string
		demand   uint64
		ratio    uint64
		want     uint32
		settling int
	}{
		{"trickle", percent(1), percent(40), 9, 8},
		{"light load", percent(10), percent(40), 6, 8},
		{"medium load", percent(40), percent(40), 3, 8},
		{"saturated", percent(150), percent(40), 2, 1},
		{"light load again", percent(10), percent(40), 6, 8},
		{"suddenly saturated", percent(100), percent(40), 2, 1},
		{"trickle again", percent(1), percent(40), 9, 8},
		{"photographs", percent(1), percent(99), 2, 8},
	} {
		for range step.settling {
			window(step.demand, step.ratio)
		}
		for i := range 100 {
			if u.level != step.want {
				t.Fatalf("%s: quality %d in window %d, not %d", step.name, u.level, i, step.want)
			}
			window(step.demand, step.ratio)
		}
	}
}

func TestQualityOfABurst(t *testing.T) {
	var u quality
	u.level = 9
	if q := u.now(0); q != 9 {
		t.Errorf("a lone chunk is encoded at %d", q)
	}
	if q := u.now(1); q != qualityMin {
		t.Errorf("a chunk before a waiting one is encoded at %d", q)
	}
	u.fixed = true
	if q := u.now(1); q != 9 {
		t.Errorf("a fixed quality became %d", q)
	}
}

// The buckets divide all durations without gaps, and a percentile is right to an eighth.
func TestHistogram(t *testing.T) {
	last := 0
	for d := inos.Micros(1); d < 1<<40; d += 1 + d/64 {
		b := bucketOf(d)
		if b < last || b > last+1 {
			t.Fatalf("duration %d is in bucket %d behind %d", d, b, last)
		}
		last = b
		if m := bucketMiddle(b); m < d-d/7-1 || m > d+d/7+1 {
			t.Fatalf("duration %d is counted as %d", d, m)
		}
	}
	var h histogram
	for d := inos.Micros(1); d <= 1000; d++ {
		h.add(d * 100)
	}
	for _, p := range []uint64{50, 95, 99} {
		want := inos.Micros(p) * 1000
		if got := h.percentile(p); got < want-want/8 || got > want+want/8 {
			t.Errorf("p%d is %d, not %d", p, got, want)
		}
	}
}
