package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
)

// Fixed-point numbers of the adjusters have 10 fractional bits.
const one = 1 << 10

// Bounds of the concurrency adjuster.
const (
	samplesPerWindow = 16
	slackGrow        = 1900 // latency below 1.86 times the best: calls wait little, the pipes may run dry
	slackShrink      = 2700 // above 2.64 times: calls wait for each other
	fullChunkBytes   = 256 << 10
	latencyKinds     = 16
	probeEvery       = 64 // windows
)

// concurrency adjusts how many module calls are under way at once. The plant is the workers: up to one call each the
// latency is the service time; beyond, it grows in proportion. The yardstick is the best latency, measured anew every
// probeEvery windows by one window at one call per worker: additive growth below one slack, multiplicative shrinking above
// another, nothing between them. So the limit settles where each worker has a call in work and about one that waits in its pipe.
type concurrency struct {
	k       *Kernel
	limit   uint32
	low     uint32
	high    uint32
	best    [latencyKinds]inos.Micros // by kind of call; 0: not seen since the last probe
	ratio   uint64                    // sum of latency to best of the window's samples
	count   uint32
	filled  bool // the limit was reached in this window
	windows uint32
	resume  uint32 // the limit before the probe under way; 0: none is
}

func (u *concurrency) init(k *Kernel) { u.k = k }

func (u *concurrency) about() about             { return about{name: "concurrency", kind: "adjuster"} }
func (u *concurrency) hear(*input)              {}
func (u *concurrency) answer(*answer)           {}
func (u *concurrency) act()                     {}
func (u *concurrency) wake() (none inos.Micros) { return 0 }

func (u *concurrency) code(c *coder) {
	num(c, &u.limit)
	num(c, &u.low)
	num(c, &u.high)
	for i := range u.best {
		num(c, &u.best[i])
	}
	num(c, &u.ratio)
	num(c, &u.count)
	c.bool(&u.filled)
	num(c, &u.windows)
	num(c, &u.resume)
}

func (u *concurrency) boot(workers uint32) {
	u.low, u.high = max(1, workers), max(1, callsPerWorkerMax*workers)
	u.limit = min(2*u.low, u.high)
}

// sample takes a call that ended well. Calls of small chunks say nothing about waiting and are left out.
func (u *concurrency) sample(j *job) {
	if j.bytes < fullChunkBytes {
		return
	}
	switch j.call {
	case event.EncodeChunk:
		u.observe(int(j.quality)%latencyKinds, u.k.now-j.started, u.k.supervisor.underWay+1 >= u.limit)
	case event.InflateChunk:
		u.observe(0, u.k.now-j.started, u.k.supervisor.underWay+1 >= u.limit)
	}
}

// observe is the controller: one latency of a kind of call, and whether the limit was reached when it ended.
func (u *concurrency) observe(kind int, latency inos.Micros, full bool) {
	latency = max(latency, 1)
	if best := u.best[kind]; best == 0 || latency < best {
		u.best[kind] = latency
	}
	u.ratio += uint64(latency) * one / uint64(u.best[kind])
	u.filled = u.filled || full
	if u.count++; u.count < samplesPerWindow {
		return
	}
	mean := u.ratio / uint64(u.count)
	u.windows++
	switch {
	case u.resume != 0:
		u.limit, u.resume = u.resume, 0
	case u.windows%probeEvery == 0:
		u.resume, u.limit = u.limit, u.low
		u.best = [latencyKinds]inos.Micros{}
	case mean > slackShrink:
		// Never below a call in work and one in the pipe: waiting there costs nothing, a dry pipe does.
		u.limit = max(min(2*u.low, u.high), u.limit-max(1, u.limit/8))
	case mean < slackGrow && u.filled:
		u.limit = min(u.high, u.limit+1)
	}
	u.ratio, u.count, u.filled = 0, 0, false
}
