package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
)

// relapses remembers the copies, of chunks and of commit records, that nodes have lost last. Who has lost a copy twice gets it once more only where nobody else can have it: a
// node that drops a few of the chunks that it takes fails too few challenges to be named, and would be given the same chunk over and over.
type relapses struct {
	keys  []string         // by copyKey, the oldest first
	times map[string]uint8 // how often each was lost, up to relapsesAvoided
	many  int              // were lost so often that they are avoided
}

func (x *relapses) code(c *coder) {
	list(c, &x.keys, relapsesMax, text[string])
	table(c, &x.times, relapsesMax, text[string], num[uint8])
	if !c.reading {
		return
	}
	x.many = 0
	for _, key := range x.keys {
		if len(key) <= inos.HashBytes || x.times[key] == 0 || len(x.times) != len(x.keys) {
			c.fail("a copy %x that was lost no time", key)
			return
		}
		if x.times[key] >= relapsesAvoided {
			x.many++
		}
	}
}

// lost notes that a node has lost its copy of a chunk.
func (x *relapses) lost(key string) {
	if x.times[key] == 0 {
		if len(x.keys) >= relapsesMax {
			if x.times[x.keys[0]] >= relapsesAvoided {
				x.many--
			}
			delete(x.times, x.keys[0])
			x.keys = slices.Delete(x.keys, 0, 1)
		}
		x.keys = append(x.keys, key)
	}
	if x.times[key] < relapsesAvoided {
		if x.times[key]++; x.times[key] == relapsesAvoided {
			x.many++
		}
	}
}

// avoided returns those of the nodes that have lost their copies of a chunk so often that others are to have it.
func (x *relapses) avoided(nodes []PlacementNode, id inos.ChunkID) (out []inos.NodeID) {
	if x.many == 0 {
		return nil
	}
	for _, n := range nodes {
		if x.times[copyKey(n.ID, id)] >= relapsesAvoided {
			out = append(out, n.ID)
		}
	}
	return out
}
