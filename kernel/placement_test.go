package kernel

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/inos-mesh/inos"
)

func chunkNumber(n int) inos.ChunkID {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	return sha256.Sum256(b[:])
}

// Each domain gets its feasible share: 5 % and four standard deviations of the counts.
func TestPlacementBalance(t *testing.T) {
	const chunks = 60000
	for _, c := range []struct {
		name     string
		zones    []uint64 // offered by each zone's every node
		nodes    int      // per zone
		replicas int
	}{
		{"one copy, unequal nodes", []uint64{1 << 40, 2 << 40, 3 << 40, 10 << 40}, 1, 1},
		{"equal zones", []uint64{5, 5, 5, 5}, 3, 3},
		{"unequal zones", []uint64{1000, 2000, 3000, 4000, 5000}, 2, 3},
		{"a zone larger than the others together", []uint64{100, 100, 100, 10000}, 1, 2},
		{"as many zones as copies", []uint64{1, 10, 100}, 2, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			var nodes []PlacementNode
			var weights []uint64
			for z, w := range c.zones {
				weights = append(weights, w*uint64(c.nodes)<<20)
				for n := range c.nodes {
					nodes = append(nodes, PlacementNode{ID: inos.NodeID(fmt.Sprint(z, "-", n)), Zone: fmt.Sprint(z), Host: fmt.Sprint(n), Offered: w})
				}
			}
			p := NewPlacement(nodes, c.replicas)
			counts := map[byte]int{}
			var at []inos.NodeID
			for i := range chunks {
				at = p.Place(at[:0], chunkNumber(i), c.replicas)
				if len(at) != c.replicas {
					t.Fatalf("%d copies", len(at))
				}
				zones := map[byte]bool{}
				for _, id := range at {
					counts[id[0]]++
					zones[id[0]] = true
				}
				if len(zones) != min(c.replicas, len(c.zones)) {
					t.Fatalf("chunk %d is in %d zones", i, len(zones))
				}
			}
			for z, share := range shares(weights, c.replicas) {
				want := int(share * chunks >> shareBits)
				sigma := 1
				for sigma*sigma < want {
					sigma++
				}
				if got := counts[byte('0'+z)]; got < want-want/20-4*sigma || got > want+want/20+4*sigma {
					t.Errorf("zone %d holds %d copies, its share is %d", z, got, want)
				}
			}
		})
	}
}

// Two zones and three copies: the copies are on three hosts, and both zones hold one.
func TestPlacementFallsBackToHosts(t *testing.T) {
	var nodes []PlacementNode
	for n := range 8 {
		nodes = append(nodes, PlacementNode{ID: inos.NodeID(fmt.Sprint(n)), Zone: fmt.Sprint(n / 4), Host: fmt.Sprint(n / 2), Offered: 1})
	}
	p := NewPlacement(nodes, 3)
	for i := range 1000 {
		zones, hosts := map[byte]bool{}, map[byte]bool{}
		for _, id := range p.Place(nil, chunkNumber(i), 3) {
			zones[(id[0]-'0')/4], hosts[(id[0]-'0')/2] = true, true
		}
		if len(zones) != 2 || len(hosts) != 3 {
			t.Fatalf("chunk %d: %d zones, %d hosts", i, len(zones), len(hosts))
		}
	}
}

// A node that joins takes chunks; none moves between the others.
func TestPlacementMovesLittle(t *testing.T) {
	nodes := many(20)
	before, after := NewPlacement(nodes[:19], 1), NewPlacement(nodes, 1)
	moved := 0
	for i := range 20000 {
		id := chunkNumber(i)
		a, b := before.Place(nil, id, 1)[0], after.Place(nil, id, 1)[0]
		if a == b {
			continue
		}
		moved++
		if b != nodes[19].ID {
			t.Fatalf("chunk %d moved from %s to %s", i, a, b)
		}
	}
	if moved < 700 || moved > 1300 {
		t.Errorf("%d of 20000 chunks moved to one of 20 equal nodes", moved)
	}
}

func many(n int) (nodes []PlacementNode) {
	for i := range n {
		nodes = append(nodes, PlacementNode{ID: inos.NodeID(fmt.Sprintf("n%03d", i)), Zone: "z", Host: fmt.Sprintf("h%03d", i), Offered: 1 << 40})
	}
	return nodes
}

// unequal returns nodes over zones, each on a host of its own, that offer different amounts.
func unequal(zones []int) (nodes []PlacementNode) {
	for z, n := range zones {
		for i := range n {
			h := mix(uint64(z*1_000_003 + i))
			nodes = append(nodes, PlacementNode{
				ID: inos.NodeID(fmt.Sprintf("z%d-n%04d", z, i)), Zone: fmt.Sprint("z", z), Host: fmt.Sprint("h", i), Offered: (1 + h%16) << 40,
			})
		}
	}
	return nodes
}

// within returns how far a count may be from what is wanted: 5 % and four standard deviations.
func within(want int) int {
	sigma := 1
	for sigma*sigma < want {
		sigma++
	}
	return want/20 + 4*sigma
}

// Every one of many unequal nodes gets its feasible share.
func TestPlacementBalanceOfNodes(t *testing.T) {
	for _, c := range []struct {
		name     string
		zones    []int
		replicas int
		chunks   int
	}{
		{"a thousand nodes in one zone", []int{1000}, 3, 60000},
		{"a thousand nodes in unequal zones", []int{500, 250, 130, 70, 50}, 3, 60000},
		{"fewer zones than copies", []int{60, 20}, 3, 40000},
		{"few hosts of one zone", []int{7}, 3, 20000},
		{"more copies than the exact chances are made for", []int{12}, 5, 20000},
	} {
		t.Run(c.name, func(t *testing.T) {
			nodes := unequal(c.zones)
			p := NewPlacement(nodes, c.replicas)
			counts := map[inos.NodeID]int{}
			var at []inos.NodeID
			for i := range c.chunks {
				at = p.Place(at[:0], chunkNumber(i), c.replicas)
				for _, id := range at {
					counts[id]++
				}
				if slices.Sort(at); len(slices.Compact(at)) != c.replicas {
					t.Fatalf("chunk %d is on %v", i, at)
				}
			}
			for id, want := range feasible(nodes, c.zones, c.replicas) {
				want = want * uint64(c.chunks) >> shareBits
				if got := counts[nodes[id].ID]; got < int(want)-within(int(want)) || got > int(want)+within(int(want)) {
					t.Errorf("node %s holds %d chunks, its share is %d", nodes[id].ID, got, want)
				}
			}
		})
	}
}

// feasible pours the copies over the zones and what each gets over its nodes.
func feasible(nodes []PlacementNode, zones []int, replicas int) (out []uint64) {
	weights, room := make([]uint64, len(zones)), make([]uint64, len(zones))
	first := 0
	for z, n := range zones {
		for _, node := range nodes[first : first+n] {
			weights[z] += node.Offered
		}
		if room[z] = uint64(n); len(zones) >= replicas {
			room[z] = 1
		}
		first += n
	}
	first = 0
	for z, share := range poured(weights, room, uint64(replicas)) {
		var inside, one []uint64
		for _, node := range nodes[first : first+zones[z]] {
			inside, one = append(inside, node.Offered), append(one, 1)
		}
		out = append(out, pouredOver(inside, one, 0, share)...)
		first += zones[z]
	}
	return out
}

// A join or a leave moves little more than what the counts before and after make necessary: at most 1.2 times that in one zone, in many, and
// in as many as there are copies. Where a node shifts the shares of few zones it is more, and RATIONALE.md says why: with a copy for each of
// r zones among more of them, 1 + s*(1-1/r), where s is the share of chunks that have a copy in the node's zone; with fewer zones than copies,
// 1 + the part of the weight that is in other zones.
func TestPlacementMovesLittleMoreThanItMust(t *testing.T) {
	const replicas, chunks = 3, 30000
	plain := func(_, _ uint64) uint64 { return 1200 }
	for _, c := range []struct {
		name  string
		zones []int
		bound func(zone, all uint64) uint64 // thousandths of the least, by the weights of the node's zone and of all
	}{
		{"one zone", []int{20}, plain},
		{"many zones", []int{3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3}, plain},
		{"as many zones as copies", []int{4, 3, 2}, plain},
		{"five unequal zones", []int{9, 7, 6, 5, 5}, func(zone, all uint64) uint64 { return 1000 + 1000*(replicas-1)*zone/all }},
		{"two zones", []int{9, 5}, func(zone, all uint64) uint64 { return 1000 + 1000*(all-zone)/all }},
	} {
		t.Run(c.name, func(t *testing.T) {
			nodes := unequal(c.zones)
			weights, all := map[string]uint64{}, uint64(0)
			for _, n := range nodes {
				weights[n.Zone] += n.Offered >> 40
				all += n.Offered >> 40
			}
			for gone := 0; gone < len(nodes); gone += max(1, len(nodes)/6) {
				fewer := slices.Delete(slices.Clone(nodes), gone, gone+1)
				before, after := NewPlacement(fewer, replicas), NewPlacement(nodes, replicas)
				if before.Level(replicas) != after.Level(replicas) {
					t.Fatal("the case changes the level")
				}
				counts := map[inos.NodeID]int{}
				moved, least := 0, 0
				for i := range chunks {
					a, b := before.Place(nil, chunkNumber(i), replicas), after.Place(nil, chunkNumber(i), replicas)
					for _, id := range b {
						counts[id]++
						if !slices.Contains(a, id) {
							moved++
						}
					}
					for _, id := range a {
						counts[id]--
					}
				}
				for _, n := range counts {
					least += max(n, 0)
				}
				bound := c.bound(weights[nodes[gone].Zone], all)
				if uint64(moved)*1000 > uint64(least)*bound {
					t.Errorf("%s joins: %d of %d copies move, %d must, at most %d thousandths of that may", nodes[gone].ID, moved, replicas*chunks, least, bound)
				}
			}
		})
	}
}

// Nodes that are ruled out are not chosen, what is held counts, and domains stay apart while there are any.
func TestPlacementAmongCandidates(t *testing.T) {
	nodes := unequal([]int{4, 4, 4})
	p := NewPlacement(nodes, 3)
	for i := range 2000 {
		ok := make([]bool, len(nodes))
		h := mix(uint64(i))
		usable := map[string]bool{}
		for n := range ok {
			if ok[n] = h>>n&1 == 0; ok[n] {
				usable[nodes[n].Zone] = true
			}
		}
		held := &occupied{}
		p.take(held, levelZone, int(h>>32%12))
		delete(usable, nodes[int(h>>32%12)].Zone)
		got := p.choose(nil, keyOfChunk(chunkNumber(i)), levelZone, 3, 2, held, ok)
		zones := map[string]bool{nodes[int(h>>32%12)].Zone: true}
		for _, id := range got {
			n := p.index[id]
			if !ok[n] || zones[nodes[n].Zone] {
				t.Fatalf("chunk %d: %s was ruled out", i, id)
			}
			zones[nodes[n].Zone] = true
		}
		if len(got) != min(2, len(usable)) {
			t.Fatalf("chunk %d: %d nodes of %d zones", i, len(got), len(usable))
		}
	}
}

// An operator who is not trusted holds one copy of a chunk, wherever their nodes are.
func TestPlacementOfOperators(t *testing.T) {
	nodes := unequal([]int{2, 2, 2, 2})
	for i := range nodes {
		if nodes[i].Zone != "z0" {
			nodes[i].Operator = "stranger"
		}
	}
	nodes[7].Operator = "other"
	p := NewPlacement(nodes, 3)
	if p.counts[levelZone] != 3 || p.Level(3) != levelZone || p.Level(4) != levelHost {
		t.Fatalf("%v domains", p.counts)
	}
	for i := range 500 {
		operators := map[string]int{}
		at := p.Place(nil, chunkNumber(i), 3)
		for _, id := range at {
			operators[nodes[p.index[id]].Operator]++
		}
		if operators["stranger"] > 1 || operators["other"] > 1 {
			t.Fatalf("chunk %d is on %v", i, at)
		}
	}
	var all []int
	for i := range nodes {
		all = append(all, i)
	}
	if n := p.distinct(levelHost, all); n != 4 {
		t.Errorf("%d hosts count", n)
	}
	if n := p.distinct(levelZone, []int{2, 4}); n != 1 {
		t.Errorf("two nodes of one operator are %d domains", n)
	}
}

// On two machines the copies are two, however many processes there are.
func TestPlacementCountsMachines(t *testing.T) {
	var nodes []PlacementNode
	for n := range 6 {
		nodes = append(nodes, PlacementNode{ID: inos.NodeID(fmt.Sprint(n)), Zone: "z", Host: fmt.Sprint(min(n, 1)), Offered: 1})
	}
	if p := NewPlacement(nodes, 3); len(p.Place(nil, chunkNumber(1), 3)) != 2 || p.Level(3) != levelHost {
		t.Errorf("placed on %v", p.Place(nil, chunkNumber(1), 3))
	}
	if p := NewPlacement(nodes[1:], 3); len(p.Place(nil, chunkNumber(1), 3)) != 3 {
		t.Errorf("five processes of one machine: placed on %v", p.Place(nil, chunkNumber(1), 3))
	}
}

// A copy that helps at one level is worth making although another level lacks as many as before.
func TestPlacementHelps(t *testing.T) {
	p := NewPlacement([]PlacementNode{
		{ID: "1", Zone: "b", Host: "h1", Offered: 1}, {ID: "2", Zone: "a", Host: "h2", Offered: 1}, {ID: "3", Zone: "b", Host: "h3", Offered: 1}, {ID: "4", Zone: "b", Host: "h4", Offered: 1},
	}, 0)
	have := p.indices([]inos.NodeID{"1", "4"})
	for _, c := range []struct {
		more  inos.NodeID
		helps bool
		lacks uint32
	}{{"2", true, 0}, {"3", true, 1}, {"4", false, 1}} {
		more := append(p.indices([]inos.NodeID{c.more}), have...)
		if helps, lacks := p.helps(have, more, 3), p.lacking(more, 3); helps != c.helps || lacks != c.lacks {
			t.Errorf("with node %s: helps %t, lacks %d", c.more, helps, lacks)
		}
	}
}

func TestPlacementOddities(t *testing.T) {
	if at := NewPlacement(nil, 3).Place(nil, chunkNumber(1), 3); len(at) != 0 {
		t.Errorf("no node, and placed on %v", at)
	}
	one := []PlacementNode{{ID: "a", Offered: 1}, {ID: "a", Offered: 7}, {ID: "", Offered: 1}, {ID: "b"}}
	if at := NewPlacement(one, 3).Place(nil, chunkNumber(1), 3); len(at) != 1 || at[0] != "a" {
		t.Errorf("placed on %v", at)
	}
	huge := []PlacementNode{{ID: "a", Offered: 1 << 63, Zone: "1"}, {ID: "b", Offered: 1, Zone: "2"}, {ID: "c", Offered: 1 << 62, Zone: "3"}}
	if at := NewPlacement(huge, 2).Place(nil, chunkNumber(1), 2); len(at) != 2 {
		t.Errorf("placed on %v", at)
	}
}

// The integer logarithm against its definition: log2 of powers of two, and log2(ab) = log2(a) + log2(b).
func TestMinusLog2(t *testing.T) {
	for n := range 64 {
		h := uint64(1)<<n - 1 // h+1 is 2^n
		if got, want := minusLog2(h), uint64(64-n)<<32; got != max(1, want) {
			t.Errorf("-log2(2^%d/2^64) is %d, not %d", n, got, want)
		}
	}
	last := minusLog2(0)
	for h := uint64(1); h < 1<<63; h += h/7 + 1 {
		if got := minusLog2(h); got > last {
			t.Fatalf("the logarithm of %d rises", h)
		} else {
			last = got
		}
	}
	for a := uint64(3); a < 1<<30; a = a*5 + 1 {
		square := minusLog2(a*a-1) + 64<<32
		twice := 2 * minusLog2(a-1)
		if d := int64(square - twice); d > 4096 || d < -4096 {
			t.Errorf("log2(%d²) differs from twice log2(%d) by %d/2^32", a, a, d)
		}
	}
}

// shares returns how likely each domain is to hold a copy of a chunk: in proportion to its weight, but never above one.
func shares(weights []uint64, replicas int) []uint64 {
	room := make([]uint64, len(weights))
	for i := range room {
		room[i] = 1
	}
	return pouredOver(weights, room, 0, uint64(replicas)<<shareBits)
}
