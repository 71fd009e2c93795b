package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
)

// nodeLine is a line of nodes, each in it once, at most membersMax. Who is in it is known without a look through it: a large mesh has all of its members
// in line when it starts, and again when all of them fall silent.
type nodeLine struct {
	list []inos.NodeID
	in   map[inos.NodeID]bool // those of the list; made from it when it is first needed, and no part of a snapshot
}

func (l *nodeLine) has(node inos.NodeID) bool {
	if l.in == nil && len(l.list) > 0 {
		l.in = make(map[inos.NodeID]bool, len(l.list))
		for _, n := range l.list {
			l.in[n] = true
		}
	}
	return l.in[node]
}

// add puts a node at the end of the line, unless it is in it or the line is full.
func (l *nodeLine) add(node inos.NodeID) {
	if l.has(node) || len(l.list) >= membersMax {
		return
	}
	if l.in == nil {
		l.in = map[inos.NodeID]bool{}
	}
	l.in[node] = true
	l.list = append(l.list, node)
}

// first takes the first node out of the line, which must not be empty.
func (l *nodeLine) first() inos.NodeID {
	node := l.list[0]
	delete(l.in, node)
	if l.list = l.list[1:]; len(l.list) == 0 {
		l.list = nil // and what it began with
	}
	return node
}

// take takes the node at a place out of the line.
func (l *nodeLine) take(at int) {
	delete(l.in, l.list[at])
	l.list = slices.Delete(l.list, at, at+1)
}

// leave takes those nodes out of the line that need not wait any more.
func (l *nodeLine) leave(done func(inos.NodeID) bool) {
	l.list = slices.DeleteFunc(l.list, func(node inos.NodeID) bool {
		if !done(node) {
			return false
		}
		delete(l.in, node)
		return true
	})
}

func (l *nodeLine) code(c *coder) {
	if c.reading {
		l.in = nil
	}
	list(c, &l.list, membersMax, text[inos.NodeID])
}
