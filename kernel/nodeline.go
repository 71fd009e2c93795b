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

// turnLine is a line of nodes that wait for a turn that some of them cannot have now, because they do not answer. These rest. Few are looked at in every
// step; a large mesh may have thousands, which are looked at now and then.
type turnLine struct {
	ready   nodeLine
	resting nodeLine
	lookAt  inos.Micros // when to look at those that rest
}

// What is to be done with a node that stands first in a line.
const (
	turnOver  = iota // it has it, or needs none any more, and leaves the line
	turnLater        // it rests
)

func (l *turnLine) has(node inos.NodeID) bool { return l.ready.has(node) || l.resting.has(node) }

// add puts a node at the end of the line, unless it is in it.
func (l *turnLine) add(node inos.NodeID) {
	if !l.resting.has(node) {
		l.ready.add(node)
	}
}

// turns goes through the nodes that may have a turn, while there is room for another.
func (l *turnLine) turns(now inos.Micros, room func() bool, turn func(inos.NodeID) int) {
	if n := len(l.resting.list); n > 0 && (n <= restingFew || l.lookAt <= now) && room() {
		l.lookAt = now + turnLook
		for _, node := range l.resting.list {
			l.ready.add(node)
		}
		l.resting = nodeLine{}
	}
	for len(l.ready.list) > 0 && room() {
		if node := l.ready.first(); turn(node) == turnLater {
			l.resting.add(node)
		}
	}
}

// wake returns when nodes that rest are to be looked at; 0: in every step.
func (l *turnLine) wake() inos.Micros {
	if len(l.resting.list) <= restingFew {
		return 0
	}
	return max(l.lookAt, 1)
}

func (l *turnLine) code(c *coder) {
	l.ready.code(c)
	l.resting.code(c)
	num(c, &l.lookAt)
}
