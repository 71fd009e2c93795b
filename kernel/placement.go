package kernel

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"

	"github.com/inos-mesh/inos"
)

// Placement decides which nodes hold a chunk: weighted rendezvous hashing over failure domains (Thaler and Ravishankar
// 1998; weights after Schindelhauer and Schomaker 2005, corrected as placement_weights.go says). It is a pure function of the
// nodes and the chunk: nothing is stored, and a node that comes or goes moves only the chunks it wins or held. The arithmetic is
// integer.

// Levels of failure domains, from the widest.
const (
	levelZone = iota
	levelHost
	levelProcess
	levelCount
)

var levelNames = [levelCount]string{"zone", "host", "process"}

// PlacementNode is a node as placement sees it.
type PlacementNode struct {
	ID       inos.NodeID
	Zone     string
	Host     string // within its zone
	Operator string // whose nodes get at most one copy of a chunk together; empty: an operator who is trusted with several
	Offered  uint64 // bytes; a node that offers nothing gets nothing
}

// Placement is a set of nodes, prepared for Place. Its nodes do not change; what it computes of them it keeps, so it is not for
// concurrent use.
type Placement struct {
	nodes   []PlacementNode
	index   map[inos.NodeID]int
	domains [levelCount][]domain // by level
	at      [levelCount][]int    // the domain of each node
	within  [levelCount][][]int  // the domains of each zone
	counts  [levelCount]uint32   // how many domains can hold a copy each
	hashes  []uint64             // of the nodes
	spreads map[[2]int]*spread   // by level and number of replicas
	ranks   []candidate          // of the chunk at hand
}

// domain is a failure domain: a zone, a host or a process.
type domain struct {
	hash   uint64
	weight uint64
}

// NewPlacement prepares placement over nodes, and their weights for up to replicasMax copies. Nodes without an id, with one seen
// before, or that offer nothing are left out.
func NewPlacement(nodes []PlacementNode, replicasMax int) *Placement {
	p := &Placement{spreads: map[[2]int]*spread{}, index: map[inos.NodeID]int{}}
	for _, n := range nodes {
		if n.ID != "" && n.Offered > 0 {
			p.nodes = append(p.nodes, n)
		}
	}
	slices.SortFunc(p.nodes, func(a, b PlacementNode) int { return strings.Compare(string(a.ID), string(b.ID)) })
	p.nodes = slices.CompactFunc(p.nodes, func(a, b PlacementNode) bool { return a.ID == b.ID })
	p.group()
	all := make([]int, len(p.nodes))
	for i := range p.nodes {
		all[i] = i
	}
	for level := range levelCount {
		p.counts[level] = p.distinct(level, all)
	}
	for n := 1; n <= replicasMax; n++ {
		p.spread(p.Level(n), n)
	}
	return p
}

// group builds the tree of domains.
func (p *Placement) group() {
	scaled := scaling(p.nodes)
	known := [levelCount]map[string]int{{}, {}, {}}
	find := func(level int, name string, zone int) int {
		i, ok := known[level][name]
		if !ok {
			i = len(p.domains[level])
			known[level][name] = i
			if level == levelZone {
				zone = i
				for l := range levelCount {
					p.within[l] = append(p.within[l], nil)
				}
			}
			p.domains[level] = append(p.domains[level], domain{hash: hashName(level, name)})
			p.within[level][zone] = append(p.within[level][zone], i)
		}
		return i
	}
	for i, n := range p.nodes {
		p.index[n.ID] = i
		p.hashes = append(p.hashes, hashName(levelProcess, string(n.ID)))
		zone := find(levelZone, n.Zone, 0)
		for level, d := range [levelCount]int{zone, find(levelHost, n.Zone+"\x00"+n.Host, zone), find(levelProcess, string(n.ID), zone)} {
			p.at[level] = append(p.at[level], d)
			p.domains[level][d].weight += scaled(n.Offered)
		}
	}
}

// Nodes returns how many nodes there are to place on.
func (p *Placement) Nodes() uint32 { return uint32(len(p.nodes)) }

// Level returns the level at which so many copies spread: the widest that has as many domains; hosts when none has and there is
// more than one; else processes.
func (p *Placement) Level(replicas int) int {
	for level := range levelProcess {
		if int(p.counts[level]) >= replicas {
			return level
		}
	}
	if p.counts[levelHost] > 1 {
		return levelHost
	}
	return levelProcess
}

// distinct returns how many of the nodes can count as one copy each: no two of them in one domain of the level, nor of one operator
// who is not trusted with several. A domain with a node of a trusted operator counts; the others are matched with the operators.
func (p *Placement) distinct(level int, nodes []int) (count uint32) {
	operators := map[int][]string{} // of a domain without a trusted one
	trusted := map[int]bool{}
	for _, i := range nodes {
		d := p.at[level][i]
		if operator := p.nodes[i].Operator; operator == "" {
			trusted[d] = true
		} else if !slices.Contains(operators[d], operator) {
			operators[d] = append(operators[d], operator)
		}
	}
	m := matching{operators: operators, of: map[string]int{}}
	for _, d := range sortedKeys(operators) {
		if !trusted[d] && m.augment(d, map[string]bool{}) {
			count++
		}
	}
	return count + uint32(len(trusted))
}

// indices returns where the nodes are; those it does not have are left out.
func (p *Placement) indices(nodes []inos.NodeID) (at []int) {
	for _, node := range nodes {
		if i, ok := p.index[node]; ok {
			at = append(at, i)
		}
	}
	return at
}

// lacking returns how many copies are missing beside those on some nodes: of so many replicas at their level, and of as many as there are
// domains at the wider levels.
func (p *Placement) lacking(nodes []int, replicas uint32) (missing uint32) {
	own := p.Level(int(replicas))
	for level := range own + 1 {
		missing = max(missing, p.lackingAt(level, own, nodes, replicas))
	}
	return missing
}

// lackingAt returns how many of them are missing at one level.
func (p *Placement) lackingAt(level, own int, nodes []int, replicas uint32) uint32 {
	want := replicas
	if level < own {
		want = min(want, p.counts[level])
	}
	return want - min(want, p.distinct(level, nodes))
}

// helps says that fewer copies are missing at some level when the nodes are more, although another level may lack as many as before.
func (p *Placement) helps(nodes, more []int, replicas uint32) bool {
	own := p.Level(int(replicas))
	for level := range own + 1 {
		if p.lackingAt(level, own, more, replicas) < p.lackingAt(level, own, nodes, replicas) {
			return true
		}
	}
	return false
}

// matching gives every domain an operator of its own, as far as it goes (Kuhn 1955).
type matching struct {
	operators map[int][]string
	of        map[string]int // operator -> domain
}

func (m *matching) augment(d int, tried map[string]bool) bool {
	for _, operator := range m.operators[d] {
		if tried[operator] {
			continue
		}
		tried[operator] = true
		if other, taken := m.of[operator]; !taken || m.augment(other, tried) {
			m.of[operator] = d
			return true
		}
	}
	return false
}

// Place appends the nodes that hold a chunk's copies, best first, to dst. There are fewer than replicas only when there are
// fewer domains. No two are in one domain of the level, and below the level of zones every zone holds one before any holds two.
func (p *Placement) Place(dst []inos.NodeID, id inos.ChunkID, replicas int) []inos.NodeID {
	return p.choose(dst, keyOfChunk(id), p.Level(replicas), replicas, replicas, &occupied{}, nil)
}

// occupied is what the copies of a chunk rule out for the next one.
type occupied struct {
	nodes     []int
	domains   []int // of the level
	zones     []int
	operators []string
}

// take adds a copy.
func (p *Placement) take(t *occupied, level, node int) {
	t.nodes = append(t.nodes, node)
	t.domains = append(t.domains, p.at[level][node])
	t.zones = append(t.zones, p.at[levelZone][node])
	if o := p.nodes[node].Operator; o != "" {
		t.operators = append(t.operators, o)
	}
}

// free says that a node may hold the next copy.
func (p *Placement) free(t *occupied, ok []bool, node int) bool {
	if ok != nil && !ok[node] {
		return false
	}
	o := p.nodes[node].Operator
	return (o == "" || !slices.Contains(t.operators, o)) && !slices.Contains(t.nodes, node)
}

// choose appends n nodes, drawn by a key, for copies of a chunk that spreads with so many replicas at a level, beside those that t holds already; only
// nodes that ok names, nil for all.
func (p *Placement) choose(dst []inos.NodeID, key chunkKey, level, replicas, n int, t *occupied, ok []bool) []inos.NodeID {
	if len(p.nodes) == 0 || n < 1 {
		return dst
	}
	s := p.spread(level, replicas)
	p.rank(key, s, t, ok)
	// more takes the best node whose zone, -1 for any new one, and domain are right.
	more := func(zone int) bool {
		var top *candidate
		for i := range p.ranks {
			c := &p.ranks[i]
			z := p.at[levelZone][c.index]
			if (top == nil || c.above(top)) && (zone < 0 && !slices.Contains(t.zones, z) || zone == z && !slices.Contains(t.domains, p.at[level][c.index])) &&
				p.free(t, ok, c.index) {
				top = c
			}
		}
		if top == nil {
			return false
		}
		p.take(t, level, top.index)
		dst, n = append(dst, p.nodes[top.index].ID), n-1
		return true
	}
	for n > 0 && more(-1) { // every zone once
	}
	if level == levelZone {
		return dst
	}
	for zone := range s.quota { // then what is a zone's in any case
		for n > 0 && count(t.zones, zone) < s.quota[zone] && more(zone) {
		}
	}
	tried := make([]bool, len(s.quota))
	for placed := true; placed && n > 0; { // then by lot; the others' too when filters leave gaps
		placed = false
		clear(tried)
		for n > 0 {
			zone, left := p.lot(key.next(), s.more, tried)
			if !left {
				break
			}
			tried[zone] = true
			placed = more(zone) || placed
		}
	}
	return dst
}

// rank draws the rank of every node that may hold a copy.
func (p *Placement) rank(key chunkKey, s *spread, t *occupied, ok []bool) {
	p.ranks = p.ranks[:0]
	for i := range p.nodes {
		if p.free(t, ok, i) {
			p.ranks = append(p.ranks, candidate{i, s.weights[i], minusLog2(mix(key.v ^ p.hashes[i]))})
		}
	}
}

// lot draws a zone that was not tried.
func (p *Placement) lot(key chunkKey, weights []uint64, tried []bool) (zone int, left bool) {
	var top candidate
	for z, d := range p.domains[levelZone] {
		c := candidate{z, weights[z], minusLog2(mix(key.v ^ d.hash))}
		if !tried[z] && (!left || c.above(&top)) {
			top, left = c, true
		}
	}
	return top.index, left
}

func count(list []int, v int) (n int) {
	for _, other := range list {
		if other == v {
			n++
		}
	}
	return n
}

// chunkKey is what ranks are drawn from: of a chunk, or of all chunks of one file, which so come to the same nodes.
type chunkKey struct{ v uint64 }

func keyOfUpload(upload string) chunkKey { return chunkKey{hashName(levelCount, upload)} }

func keyOfChunk(id inos.ChunkID) (key chunkKey) {
	for i := 0; i < len(id); i += 8 {
		key.v = mix(key.v ^ binary.LittleEndian.Uint64(id[i:]))
	}
	return key
}

func (k chunkKey) next() chunkKey { return chunkKey{mix(k.v + 0x9e3779b97f4a7c15)} }

// candidate is the rank of a node or a zone for a chunk: weight / -log2(hash), compared without dividing.
type candidate struct {
	index  int
	weight uint64
	cost   uint64 // -log2 of the hash as a fraction, 32 fractional bits, at least 1
}

// above says that c ranks before o.
func (c *candidate) above(o *candidate) bool {
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
