package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

// nodeLinesMax bounds the nodes that are drawn one by one; of more, those that need an operator come first.
const nodeLinesMax = 12

// meshLines are the live lines of a local mesh: a line for each node and one for repair.
func (l *look) meshLines(width int) []string {
	members := map[string]*api.NodeInfo{}
	var alive, total uint64
	for i := range l.nodes.Nodes {
		n := &l.nodes.Nodes[i]
		if name := l.names[n.Node]; name != "" {
			members[name] = n
		}
		if n.State != inos.MemberRemoved.String() {
			total++
			if n.Liveness == "alive" {
				alive++
			}
		}
	}
	mesh := fmt.Sprintf("%d of %s alive", alive, plural(total, "node"))
	if worth := worthText(l.status); worth != "" {
		mesh += "; " + worth
	}
	lines := wrap("mesh     ", mesh, width-1)
	var calm []string
	for _, c := range l.children {
		line := "  " + childText(&c, members[c.name])
		if m := members[c.name]; c.state == childRunning && (m == nil || m.Liveness == "alive" && m.Notice == "") {
			calm = append(calm, line)
			continue
		}
		lines = append(lines, line)
	}
	if shown := max(nodeLinesMax-len(lines)+1, 0); len(calm) > shown {
		calm = append(calm[:shown:shown], fmt.Sprintf("  and %d more, all well", len(calm)-shown))
	}
	lines = append(lines, calm...)
	if r := l.repairs; r != nil && (r.Total > 0 || r.Scanning) {
		lines = append(lines, fmt.Sprintf("repairs  %s, %s/s", repairsText(r), sizeText(r.BytesPerSecond)))
	}
	if b := l.status.Rebuild; b != nil {
		lines = append(lines, wrap("rebuild  ", rebuildText(b), width-1)...)
	}
	return lines
}

// childText is one node of a local mesh: its process, and as a member what it is and holds.
func childText(c *childView, n *api.NodeInfo) string {
	process := string(c.state)
	if c.pid != 0 {
		process = fmt.Sprintf("pid %d", c.pid)
	}
	if c.restarts > 0 {
		process += ", " + plural(uint64(c.restarts), "restart")
	}
	s := fmt.Sprintf("%-12s %-22s", c.name, process)
	if n == nil {
		return strings.TrimRight(s, " ")
	}
	s += fmt.Sprintf(" %-4s %-12s %10s", n.Tier, livenessText(n, time.Now()), sizeText(n.PlacedBytes))
	if n.State != inos.MemberActive.String() {
		s += "  " + n.State
	}
	return s + remark(n.Notice)
}
