package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/inos-mesh/inos/host/api"
)

// matrixColumnsMax bounds the nodes of a matrix; those behind are told by their number.
const matrixColumnsMax = 61

// Marks of a matrix of copies.
const (
	markAudited   = "●" // proved by a challenge
	markTrusted   = "○" // written or confirmed, not challenged yet
	markUnchecked = "?" // held before the node went away, not looked at since
	markDown      = "x" // on a node that does not answer
	markNone      = "·"

	matrixLegend = "● proved  ○ held  ? not checked yet  x node down  · none"
)

// matrix shows which nodes hold which chunks of a file: a column for each node that holds one, by failure domain.
type matrix struct {
	nodes []api.Copy // each once, by zone, host, name
	index map[string]int
}

func newMatrix(chunks []api.Chunk, names nodeNames) *matrix {
	m := &matrix{index: map[string]int{}}
	for i := range chunks {
		for _, c := range chunks[i].Copies {
			if _, ok := m.index[c.Node]; !ok {
				m.index[c.Node] = 0
				m.nodes = append(m.nodes, c)
			}
		}
	}
	slices.SortFunc(m.nodes, func(a, b api.Copy) int {
		return names.order(a.Zone, a.Host, a.Node, b.Zone, b.Host, b.Node)
	})
	m.nodes = m.nodes[:min(len(m.nodes), matrixColumnsMax)]
	clear(m.index)
	for i := range m.nodes {
		m.index[m.nodes[i].Node] = i
	}
	return m
}

// head returns the columns' names: 1 to 9, then letters.
func (m *matrix) head() string {
	var b strings.Builder
	for i := range m.nodes {
		b.WriteByte("123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[i])
	}
	return b.String()
}

// row returns a chunk's marks.
func (m *matrix) row(c *api.Chunk) string {
	marks := slices.Repeat([]string{markNone}, len(m.nodes))
	more := 0
	for i := range c.Copies {
		at, ok := m.index[c.Copies[i].Node]
		if !ok {
			more++
			continue
		}
		marks[at] = markOf(&c.Copies[i])
	}
	s := strings.Join(marks, "")
	if more > 0 {
		s += fmt.Sprintf(" +%d", more)
	}
	return s
}

func markOf(c *api.Copy) string {
	switch {
	case c.Liveness != "alive":
		return markDown
	case !c.Trusted:
		return markUnchecked
	case c.AuditedUs > 0:
		return markAudited
	}
	return markTrusted
}

// legend lists the columns.
func (m *matrix) legend(names nodeNames) string {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 4, 2, ' ', 0)
	head := m.head()
	for i := range m.nodes {
		n := &m.nodes[i]
		tableRow(t, "  "+head[i:i+1], names.of(n.Node), n.Tier, printable(n.Zone+"/"+n.Host), printable(n.Liveness))
	}
	_ = t.Flush() // into memory
	return text.String() + "  " + matrixLegend + "\n"
}
