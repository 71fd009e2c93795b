package kernel

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
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
