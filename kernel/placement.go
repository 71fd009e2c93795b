package kernel

import (
	"math/bits"
	"slices"
	"strings"

	"github.com/inos-mesh/inos"
)

// Placement decides which nodes hold a chunk: weighted rendezvous hashing over failure domains (Thaler and Ravishankar
// 1998; weights after Schindelhauer and Schomaker 2005). It is a pure function of the nodes and the chunk: nothing is
// stored, and a node that comes or goes moves only the chunks it wins or held. The arithmetic is integer.

// Levels of failure domains, from the widest.
const (
	levelZone = iota
	levelHost
	levelProcess
	levelCount
)

// PlacementNode is a node as placement sees it.
type PlacementNode struct {
	ID      inos.NodeID
	Zone    string
	Host    string // within its zone
	Offered uint64 // bytes; a node that offers nothing gets nothing
}

// Placement is a set of nodes, prepared for Place. It does not change.
type Placement struct {
	nodes   []PlacementNode
	domains [levelCount][]domain // by level, sorted by name; of processes, one per node
	spread  map[int]spread       // by number of replicas, as far as prepared
}

// domain is a failure domain: a zone, a host or a process.
type domain struct {
	name   string
	hash   uint64
	weight uint64
	zone   int   // index of its zone
	inside []int // of a zone: its hosts; of a host: its processes; of a process: the node
}

// spread is how copies of one count are spread: the level, and the weights of its domains corrected so that each domain
// gets its share although it can hold only one copy of a chunk.
type spread struct {
	level   int
	weights []uint64
}

// Bounds of the correction: it is made for few domains, where the bias is large, and costs one pass per round and key.
const (
	correctedDomainsMax = 32
	correctionKeys      = 4096
	correctionRounds    = 24
	weightBits          = 40 // weights are scaled to it, so that corrections neither vanish nor overflow
)

// NewPlacement prepares placement over nodes for up to replicasMax copies. Nodes without an id, with one seen before, or
// that offer nothing are left out. Time grows with replicasMax; a set of nodes is prepared once and used for all chunks.
func NewPlacement(nodes []PlacementNode, replicasMax int) *Placement {
	p := &Placement{spread: map[int]spread{}}
	for _, n := range nodes {
		if n.ID != "" && n.Offered > 0 {
			p.nodes = append(p.nodes, n)
		}
	}
	slices.SortFunc(p.nodes, func(a, b PlacementNode) int { return strings.Compare(string(a.ID), string(b.ID)) })
	p.nodes = slices.CompactFunc(p.nodes, func(a, b PlacementNode) bool { return a.ID == b.ID })
	p.group()
	for n := 1; n <= replicasMax; n++ {
		p.spread[n] = p.spreadOf(n)
	}
	return p
}

// group builds the tree of domains.
func (p *Placement) group() {
	largest := uint64(1)
	for _, n := range p.nodes {
		largest = max(largest, n.Offered)
	}
	shift := weightBits - bits.Len64(largest)
	scaled := func(w uint64) uint64 {
		if shift >= 0 {
			return w << shift
		}
		return max(1, w>>-shift)
	}
	at := [levelCount]map[string]int{{}, {}, {}}
	find := func(level int, name string, zone int) int {
		i, ok := at[level][name]
		if !ok {
			i = len(p.domains[level])
			at[level][name] = i
			p.domains[level] = append(p.domains[level], domain{name: name, hash: hashName(level, name), zone: zone})
		}
		return i
	}
	for i, n := range p.nodes {
		zone := find(levelZone, n.Zone, len(p.domains[levelZone]))
		host := find(levelHost, n.Zone+"\x00"+n.Host, zone)
		process := find(levelProcess, string(n.ID), zone)
		if d := &p.domains[levelZone][zone]; !slices.Contains(d.inside, host) {
			d.inside = append(d.inside, host)
		}
		p.domains[levelHost][host].inside = append(p.domains[levelHost][host].inside, process)
		p.domains[levelProcess][process].inside = []int{i}
		for level, index := range [levelCount]int{zone, host, process} {
			p.domains[level][index].weight += scaled(n.Offered)
		}
	}
}

// spreadOf chooses the widest level with enough domains, or the narrowest when none has, and corrects its weights.
func (p *Placement) spreadOf(replicas int) spread {
	s := spread{level: levelProcess}
	for level := range levelCount {
		if len(p.domains[level]) >= replicas {
			s.level = level
			break
		}
	}
	domains := p.domains[s.level]
	for _, d := range domains {
		s.weights = append(s.weights, d.weight)
	}
	if replicas < 2 || len(domains) <= replicas || len(domains) > correctedDomainsMax {
		return s
	}
	want := shares(s.weights, replicas)
	for round := range correctionRounds {
		counts := make([]uint64, len(domains))
		key := chunkKey{uint64(round + 1)}
		for range correctionKeys {
			key = key.next()
			for _, i := range p.rank(key, s, replicas) {
				counts[i]++
			}
		}
		for i := range s.weights {
			// Towards the wanted share by half of what is missing, at most by a factor of two either way.
			got, target := counts[i]+1, want[i]*correctionKeys>>shareBits+1
			factor := min(max((got+target)*1024/(2*got), 512), 2048)
			s.weights[i] = min(max(s.weights[i]/1024*factor, 1024), 1<<(weightBits+12))
		}
	}
	return s
}

const shareBits = 20

// shares returns how likely each domain is to hold a copy of a chunk, with 20 fractional bits: in proportion to its weight,
// but never above one, the rest poured over the others (water-filling).
func shares(weights []uint64, replicas int) []uint64 {
	out := make([]uint64, len(weights))
	full := make([]bool, len(weights))
	left := uint64(replicas) << shareBits
	for {
		total := uint64(0)
		for i, w := range weights {
			if !full[i] {
				total += w >> 8
			}
		}
		again := false
		for i, w := range weights {
			if full[i] || total == 0 {
				continue
			}
			high, low := bits.Mul64(left, w>>8)
			share, _ := bits.Div64(high%total, low, total)
			if out[i] = share; share > 1<<shareBits {
				out[i], full[i], again = 1<<shareBits, true, true
			}
		}
		if !again {
			return out
		}
		left = uint64(replicas) << shareBits
		for i := range full {
			if full[i] {
				left -= 1 << shareBits
			}
		}
	}
}

// chunkKey is what the ranks of a chunk are drawn from.
type chunkKey struct{ v uint64 }

func (k chunkKey) next() chunkKey { return chunkKey{mix(k.v + 0x9e3779b97f4a7c15)} }

// Place appends the nodes that hold a chunk's copies, best first, to dst. There are fewer than replicas only when there are
// fewer nodes. No two are in one domain of the widest level that has enough of them.
func (p *Placement) Place(dst []inos.NodeID, id inos.ChunkID, replicas int) []inos.NodeID {
	if len(p.nodes) == 0 || replicas < 1 {
		return dst
	}
	s, ok := p.spread[replicas]
	if !ok {
		s = p.spreadOf(replicas)
	}
	key := chunkKey{}
	for i := 0; i < len(id); i += 8 {
		key.v = mix(key.v ^ uint64(id[i]) ^ uint64(id[i+1])<<8 ^ uint64(id[i+2])<<16 ^ uint64(id[i+3])<<24 ^
			uint64(id[i+4])<<32 ^ uint64(id[i+5])<<40 ^ uint64(id[i+6])<<48 ^ uint64(id[i+7])<<56)
	}
	for _, i := range p.rank(key, s, replicas) {
		for level := s.level; level < levelProcess; level++ {
			i = p.best(key, level+1, p.domains[level][i].inside)
		}
		dst = append(dst, p.nodes[p.domains[levelProcess][i].inside[0]].ID)
	}
	return dst
}

// Nodes returns how many nodes there are to place on.
func (p *Placement) Nodes() uint32 { return uint32(len(p.nodes)) }

// candidate is a domain's rank for a chunk: weight / -log2(hash), compared without dividing.
type candidate struct {
	index  int
	weight uint64
	cost   uint64 // -log2 of the hash as a fraction, 32 fractional bits, at least 1
}

// above says that c ranks before o.
func (c candidate) above(o candidate) bool {
	h1, l1 := bits.Mul64(c.weight, o.cost)
	h2, l2 := bits.Mul64(o.weight, c.cost)
	if h1 != h2 {
		return h1 > h2
	}
	if l1 != l2 {
		return l1 > l2
	}
	return c.index < o.index
}

// rank returns the best domains of a spread, best first. Below the level of zones it takes one of every zone before it
// takes a second of any.
func (p *Placement) rank(key chunkKey, s spread, replicas int) []int {
	var store [16]candidate
	best := store[:0]
	domains := p.domains[s.level]
	keep := replicas
	if s.level != levelZone && len(p.domains[levelZone]) > 1 {
		keep = len(domains)
	}
	for i := range domains {
		c := candidate{i, s.weights[i], minusLog2(mix(key.v ^ domains[i].hash))}
		if len(best) == keep {
			if !c.above(best[keep-1]) {
				continue
			}
			best = best[:keep-1]
		}
		at := len(best)
		for at > 0 && c.above(best[at-1]) {
			at--
		}
		best = slices.Insert(best, at, c)
	}
	out := make([]int, 0, replicas)
	if keep > replicas {
		used := make([]bool, len(p.domains[levelZone]))
		for _, c := range best {
			if zone := domains[c.index].zone; len(out) < replicas && !used[zone] {
				used[zone] = true
				out = append(out, c.index)
			}
		}
	}
	for _, c := range best {
		if len(out) < replicas && !slices.Contains(out, c.index) {
			out = append(out, c.index)
		}
	}
	return out
}

// best returns the best of some domains of a level.
func (p *Placement) best(key chunkKey, level int, among []int) int {
	var top candidate
	for n, i := range among {
		d := &p.domains[level][i]
		if c := (candidate{i, d.weight, minusLog2(mix(key.v ^ d.hash))}); n == 0 || c.above(top) {
			top = c
		}
	}
	return top.index
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
