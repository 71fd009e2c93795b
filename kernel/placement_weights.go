package kernel

import (
	"math/bits"
)

// A domain holds at most one copy of a chunk. Of several copies a large one would therefore get less than its share if nodes
// were drawn by what they offer: the first draw takes its domain out of the others. What a domain should get is its share of the copies,
// but never more than one, the rest poured over the others (water-filling). The weights of its nodes are scaled for it: to
// -log(1-share), with which every domain's chance is right if it is drawn on its own (exponential order sampling, Rosén 1997), and for
// two and three copies on few domains further, until the exact chances fit.

// Bounds of the correction.
const (
	exactDomainsMax  = 32
	correctionRounds = 8
	weightBits       = 40 // weights are scaled to it, so that corrections neither vanish nor overflow
	shareBits        = 32 // fractional bits of a share
	shareOne         = 1 << shareBits
)

// spread is how copies of one count are spread at a level.
type spread struct {
	weights []uint64 // of the nodes, corrected
	quota   []int    // below the level of zones: copies that a zone gets in any case
	more    []uint64 // and weights of the zones for the copies beyond
}

// spread returns the weights for so many copies at a level.
func (p *Placement) spread(level, replicas int) *spread {
	at := [2]int{level, replicas}
	s, ok := p.spreads[at]
	if !ok {
		s = p.spreadOf(level, replicas)
		p.spreads[at] = s
	}
	return s
}

func (p *Placement) spreadOf(level, replicas int) *spread {
	s := &spread{weights: make([]uint64, len(p.nodes))}
	scaled := scaling(p.nodes)
	for i, n := range p.nodes {
		s.weights[i] = scaled(n.Offered)
	}
	zones := p.weightsOf(levelZone, nil)
	if level == levelZone {
		p.scale(s, level, nil, zones, uint64(replicas)<<shareBits)
		return s
	}
	// Below the level of zones every zone gets a copy, and no more copies than it has domains.
	room := make([]uint64, len(zones))
	for z := range zones {
		room[z] = uint64(len(p.within[level][z]))
	}
	for z, share := range poured(zones, room, uint64(replicas)) {
		s.quota = append(s.quota, int(share>>shareBits))
		s.more = append(s.more, share&(shareOne-1))
		inside := p.within[level][z]
		p.scale(s, level, inside, p.weightsOf(level, inside), share)
	}
	return s
}

// weightsOf returns the weights of some domains of a level, nil for all.
func (p *Placement) weightsOf(level int, some []int) (out []uint64) {
	for _, i := range some {
		out = append(out, p.domains[level][i].weight)
	}
	for i := 0; some == nil && i < len(p.domains[level]); i++ {
		out = append(out, p.domains[level][i].weight)
	}
	return out
}

// scale corrects the weights of the nodes in some domains of a level, nil for all, for so many copies in shares.
func (p *Placement) scale(s *spread, level int, some []int, weights []uint64, copies uint64) {
	fixed := corrected(weights, copies)
	of := map[int]int{} // domain -> where its weight is
	for j := range weights {
		if some == nil {
			of[j] = j
		} else {
			of[some[j]] = j
		}
	}
	for i := range p.nodes {
		if j, ok := of[p.at[level][i]]; ok && weights[j] > 0 {
			high, low := bits.Mul64(s.weights[i], fixed[j])
			q, _ := bits.Div64(high%weights[j], low, weights[j])
			s.weights[i] = max(1, q)
		}
	}
}

// scaling returns how offered bytes become weights.
func scaling(nodes []PlacementNode) func(uint64) uint64 {
	largest := uint64(1)
	for _, n := range nodes {
		largest = max(largest, n.Offered)
	}
	shift := weightBits - bits.Len64(largest)
	return func(w uint64) uint64 {
		if shift >= 0 {
			return w << shift
		}
		return max(1, w>>-shift)
	}
}

// poured divides copies over zones in proportion to their weights, at least one for each as long as there are enough, and at most as
// many as a zone has room for.
func poured(weights, room []uint64, replicas uint64) []uint64 {
	least := uint64(1)
	if replicas < uint64(len(weights)) {
		least = 0
	}
	return pouredOver(weights, room, least, replicas<<shareBits)
}

// pouredOver finds the level to which the water rises: the factor at which the sum of the weights, each within its bounds, is the number
// of copies.
func pouredOver(weights, room []uint64, least, copies uint64) []uint64 {
	out := make([]uint64, len(weights))
	total := uint64(0)
	for _, w := range weights {
		total += w >> 4
	}
	if total == 0 {
		return out
	}
	fill := func(factor uint64) (sum uint64) {
		for i, w := range weights {
			high, low := bits.Mul64(w>>4, factor)
			share := uint64(shareOne) * room[i]
			if high < total {
				q, _ := bits.Div64(high, low, total)
				share = min(q, share)
			}
			out[i] = max(share, least<<shareBits)
			sum += out[i]
		}
		return sum
	}
	low, high := uint64(0), uint64(1)<<62
	for low+1 < high {
		if middle := (low + high) / 2; fill(middle) > copies {
			high = middle
		} else {
			low = middle
		}
	}
	fill(low)
	return out
}

// corrected returns weights by which drawing gives each domain its share of so many copies. Between one copy and two the correction
// sets in by and by.
func corrected(weights []uint64, copies uint64) []uint64 {
	room := make([]uint64, len(weights))
	for i := range room {
		room[i] = 1
	}
	want := pouredOver(weights, room, 0, copies)
	out := make([]uint64, len(weights))
	if copies <= shareOne || copies >= uint64(len(weights))<<shareBits {
		return weights
	}
	largest, blend := uint64(1), min(copies-shareOne, shareOne)
	for i, share := range want {
		if share < shareOne-1 {
			guess := minusLog2((shareOne-share)<<(64-shareBits)-1) >> (shareBits - 24) * 11629080 >> 24 << (shareBits - 24) // natural
			out[i] = max(1, share+product(blend, max(guess, share)-share))
			largest = max(largest, out[i])
		}
	}
	for i, w := range out {
		if w == 0 {
			out[i] = largest << 8 // a copy of every chunk
		}
	}
	replicas := int(copies >> shareBits)
	if len(weights) > exactDomainsMax || replicas > 3 || copies&(shareOne-1) != 0 {
		return out
	}
	for range correctionRounds {
		for i, got := range chances(out, replicas) {
			if want[i] >= shareOne-1 || got == 0 {
				continue
			}
			factor := min(max(want[i]<<20/got, 1<<19), 1<<21)
			high, low := bits.Mul64(out[i], factor)
			out[i] = max(1, high<<44|low>>20)
		}
	}
	return out
}

// chances returns how likely each domain is to be among the first two or three drawn by weight, without putting back.
func chances(weights []uint64, replicas int) []uint64 {
	total := uint64(0)
	for _, w := range weights {
		total += w
	}
	p := make([]uint64, len(weights))
	for i, w := range weights {
		p[i] = ratio(w, total)
	}
	out := append([]uint64(nil), p...)
	for i := range p {
		for j := range p {
			if j == i {
				continue
			}
			// j is drawn first, then i.
			out[i] += product(p[j], ratio(p[i], shareOne-p[j]))
			for k := 0; replicas > 2 && k < len(p); k++ {
				if k != i && k != j { // j, then k, then i
					out[i] += product(product(p[j], ratio(p[k], shareOne-p[j])), ratio(p[i], shareOne-p[j]-min(p[k], shareOne-p[j]-1)))
				}
			}
		}
	}
	return out
}

// ratio returns a/b as a share.
func ratio(a, b uint64) uint64 {
	if a >= b {
		return shareOne
	}
	q, _ := bits.Div64(a>>(64-shareBits), a<<shareBits, b)
	return q
}

// product multiplies two shares.
func product(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high<<(64-shareBits) | low>>shareBits
}

// hashName is FNV-1a of a domain's level and name, mixed.
func hashName(level int, name string) uint64 {
	h := uint64(14695981039346656037) ^ uint64(level)
	for i := 0; i < len(name); i++ {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return mix(h)
}

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// log2Table holds log2(1 + i/1024) with 32 fractional bits, for i from 0 to 1024.
var log2Table = makeLog2Table()

// makeLog2Table computes the table by squaring: each squaring yields one binary digit of the logarithm.
func makeLog2Table() (table [1025]uint64) {
	for i := range table {
		x := uint64(1)<<62 + uint64(i)<<52 // 2.62 fixed point in [1, 2]
		if i == 1024 {
			table[i] = 1 << 32
			continue
		}
		for bit := 31; bit >= 0; bit-- {
			high, low := bits.Mul64(x, x) // 4.124
			x = high<<2 | low>>62
			if x >= 1<<63 {
				table[i] |= 1 << bit
				x >>= 1
			}
		}
	}
	return table
}

// minusLog2 returns -log2((h+1) / 2^64) with 32 fractional bits, at least 1.
func minusLog2(h uint64) uint64 {
	if h++; h == 0 {
		return 1
	}
	zeros := bits.LeadingZeros64(h)
	mantissa := h << zeros << 1 // behind the leading one
	i := mantissa >> 54
	fraction := mantissa << 10 >> 32
	low, high := log2Table[i], log2Table[i+1]
	log := low + (high-low)*fraction>>32
	return max(1, uint64(zeros+1)<<32-log)
}
