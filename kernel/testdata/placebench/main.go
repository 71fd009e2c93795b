//go:build wasip1

// Command placebench is placement as a wasip1 reactor, for the benchmark that compares it with native code.
package main

import (
	"fmt"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/kernel"
)

var placement *kernel.Placement

func main() {}

// prepare makes the placement over n nodes, each alone on its host.
//
//go:wasmexport prepare
func prepare(n uint32) {
	var nodes []kernel.PlacementNode
	for i := range n {
		nodes = append(nodes, kernel.PlacementNode{ID: inos.NodeID(fmt.Sprintf("n%03d", i)), Zone: "z", Host: fmt.Sprintf("h%03d", i), Offered: 1 << 40})
	}
	placement = kernel.NewPlacement(nodes, inos.ReplicasDefault)
}

// place places n chunks, the first bytes of whose ids count up, and returns a sum over the nodes chosen.
//
//go:wasmexport place
func place(n uint32) (sum uint64) {
	var at []inos.NodeID
	var id inos.ChunkID
	for i := range n {
		id[0], id[1], id[2] = byte(i), byte(i>>8), byte(i>>16)
		at = placement.Place(at[:0], id, inos.ReplicasDefault)
		for _, node := range at {
			sum = sum*31 + uint64(node[len(node)-1]) + uint64(node[len(node)-2])<<8 + uint64(node[len(node)-3])<<16
		}
	}
	return sum
}
