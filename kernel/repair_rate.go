package kernel

import "github.com/inos-mesh/inos"

// rate bounds how fast repairs copy: a token bucket of bytes. Unless the boot fixes it, the limit is adjusted once a second. The plant is the mesh's
// disks and links; what they can do is measured as the best throughput of the last windows. While clients are served, repairs get a share
// of that; when none is, the limit grows by a quarter for each window in which it held copies back. Changes of less than a quarter are
// not followed, and clients count as there for a few seconds after the last one: the limit does not swing with every request.
type rate struct {
	limit     uint64 // bytes per second
	tokens    uint64
	filled    inos.Micros // when the tokens were counted last
	remainder uint64      // of a token, in bytes times microseconds
	window    inos.Micros // when it began; 0: none is open
	copied    uint64      // in the window
	throttled bool        // something was held back in the window
	recent    uint64      // bytes per second of the last window
	peak      uint64      // best of the windows, fading while less is reached than allowed
	clients   inos.Micros // until when clients count as there
}

// Bounds of the rate, in bytes per second.
const (
	repairRateMin   = 4 << 20
	repairRateMax   = 4 << 30
	repairRateFirst = 64 << 20
	repairShare     = 4 // repairs get one part of so many while clients are served
)

func (r *rate) code(c *coder) {
	num(c, &r.limit)
	num(c, &r.tokens)
	num(c, &r.filled)
	num(c, &r.remainder)
	num(c, &r.window)
	num(c, &r.copied)
	c.bool(&r.throttled)
	num(c, &r.recent)
	num(c, &r.peak)
	num(c, &r.clients)
}

// allowed returns the limit.
func (r *rate) allowed(u *repairs) uint64 {
	if fixed := u.k.node.repairRate; fixed > 0 {
		return min(fixed, repairRateMax)
	}
	if r.limit == 0 {
		return repairRateFirst
	}
	return r.limit
}

// burst returns how many bytes may go at once.
func (r *rate) burst(u *repairs) uint64 { return max(r.allowed(u)/4, 2*inos.StoredBytesMax) }

// take asks for the bytes of a copy. It returns how long to wait before asking again, or 0.
func (r *rate) take(u *repairs, bytes uint64) inos.Micros {
	now, limit := u.k.now, r.allowed(u)
	if r.window == 0 {
		r.window, r.filled, r.tokens, r.copied, r.throttled = now, now, r.burst(u), 0, false
	}
	earned := uint64(min(now-r.filled, inos.Second))*limit + r.remainder
	r.filled, r.remainder = now, earned%uint64(inos.Second)
	if r.tokens += earned / uint64(inos.Second); r.tokens >= r.burst(u) {
		r.tokens, r.remainder = r.burst(u), 0
	}
	if bytes <= r.tokens {
		r.tokens -= bytes
		return 0
	}
	r.throttled = true
	return max(inos.Micros((bytes-r.tokens)*uint64(inos.Second)/limit), inos.Millisecond)
}

// made notes a copy.
func (r *rate) made(_ *repairs, bytes uint64, _ inos.Micros) { r.copied += bytes }

func (r *rate) act(u *repairs) {
	k := u.k
	if r.window == 0 || r.window+rateWindow > k.now {
		return
	}
	r.recent = r.copied * uint64(inos.Second) / uint64(k.now-r.window)
	limit := r.allowed(u)
	switch {
	case r.recent > r.peak:
		r.peak = r.recent
	case r.throttled && r.recent < limit-limit/4: // they do not reach what they may: disks or links have become slower
		r.peak -= r.peak / 8
	}
	if len(k.puts.active)+len(k.gets.active) > 0 {
		r.clients = k.now + rateClients
	}
	switch share := max(r.peak/repairShare, repairRateMin); {
	case r.clients > k.now && (limit > share+share/4 || limit < share-share/4):
		limit = share
	case r.clients <= k.now && r.throttled:
		limit = min(limit+limit/4, repairRateMax)
	}
	r.limit, r.copied, r.throttled, r.window = limit, 0, false, k.now
	if r.recent == 0 && len(u.table) == 0 {
		r.window = 0
	}
}

func (r *rate) wake(_ *repairs) inos.Micros {
	if r.window == 0 {
		return 0
	}
	return r.window + rateWindow
}
