package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

// nodesWideColumns is how wide the table of nodes is with all its columns; a narrower terminal shows fewer.
const nodesWideColumns = 120

// removeTimeout bounds how long the removal of a node that was drained is tried.
const removeTimeout = time.Minute

func (a *app) cmdNodes() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "nodes",
		Short: "Show the nodes of the mesh, and what a file survives",
		Long: `Nodes shows the members of the mesh as the switchboard sees them: what each is for and where it stands, whether its
heartbeats come, what it offered, what the map places on it and what it says it uses, challenges passed and failed, and
how long a call to it takes. Lines below the table tell what a person should know of a node, what the files that are stored
survive now, and what a file that is put now would.

State is what the operator wants (active, draining, removed), or unread for what a rebuild has not read whole; alive is what is so.`,
		Example: `  inos nodes
  inos nodes --all                     # removed ones too
  inos nodes --json | jq -r '.nodes[] | select(.liveness != "alive") | .node'
  inos drain provider-3                # empty a node
  inos nodes rm provider-3             # take it out of the mesh`,
		Args: arguments(0, 0, "no argument; 'inos nodes rm NODE' removes one"),
		RunE: func(*cobra.Command, []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			r, err := client.Nodes(a.ctx)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(r)
			}
			return a.printNodes(&r, all, time.Now())
		},
	}
	c.Flags().BoolVar(&all, "all", false, "show members that were removed too")
	remove := a.cmdNodesRemove()
	remove.DisableFlagsInUseLine = true
	c.AddCommand(remove)
	return c
}

func (a *app) printNodes(r *api.NodesReply, all bool, now time.Time) error {
	names := a.names()
	slices.SortFunc(r.Nodes, func(a, b api.NodeInfo) int { return names.order(a.Zone, a.Host, a.Node, b.Zone, b.Host, b.Node) })
	wide := a.width == 0 || a.width >= nodesWideColumns
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 4, 2, ' ', 0)
	head := []string{"node", "tier", "zone/host", "state", "alive", "placed", "used"}
	if wide {
		head = append(head, "offered", "audits", "latency")
	}
	tableRow(t, head...)
	var alive, members uint64
	for i := range r.Nodes {
		n := &r.Nodes[i]
		removed := n.State == inos.MemberRemoved.String()
		if !removed {
			members++
			if n.Liveness == "alive" {
				alive++
			}
		}
		if removed && !all {
			continue
		}
		used := "–"
		if n.Content != nil {
			used = sizeText(n.Content.UsedBytes)
		}
		name := names.of(n.Node)
		if n.Self {
			name += " *"
		}
		cells := []string{name, n.Tier, printable(n.Zone + "/" + n.Host), n.State, livenessText(n, now), sizeText(n.PlacedBytes), used}
		if wide {
			cells = append(cells, sizeText(n.OfferedBytes), auditsText(n), latencyText(n.LatencyUs))
		}
		tableRow(t, cells...)
	}
	_ = t.Flush() // into memory
	for i := range r.Nodes {
		n := &r.Nodes[i]
		var remarks []string
		if n.Notice != "" {
			remarks = append(remarks, names.within(printable(n.Notice)))
		}
		if n.Unchecked > 0 && n.Notice == "" {
			remarks = append(remarks, plural(n.Unchecked, "copy", "copies")+" not checked yet")
		}
		if n.Complaints > 0 {
			remarks = append(remarks, plural(n.Complaints, "read")+" of it did not verify")
		}
		for _, line := range remarks {
			for _, l := range a.fold("  "+names.of(n.Node)+": ", line) {
				text.WriteString(l + "\n")
			}
		}
	}
	fmt.Fprintf(&text, "\n%d of %s alive", alive, plural(members, "node"))
	if r.Level != "" {
		fmt.Fprintf(&text, "; a file spreads over %s, %d alive", levelText(r.Level), r.Domains)
	}
	text.WriteString("\n")
	for _, row := range [][2]string{{"stored    ", r.Stored}, {"new file  ", r.Survives}} {
		if row[1] == "" {
			continue
		}
		for _, l := range a.fold(row[0], printable(row[1])) {
			text.WriteString(l + "\n")
		}
	}
	return a.printf("%s", text.String())
}

// tableRow writes one line of a table.
func tableRow(w io.Writer, cells ...string) { fmt.Fprintln(w, strings.Join(cells, "\t")) }

// livenessText tells whether a node's heartbeats come, and for how long they have not.
func livenessText(n *api.NodeInfo, now time.Time) string {
	if n.Liveness == "alive" || n.SeenUs == 0 {
		return printable(n.Liveness)
	}
	return printable(n.Liveness) + " " + now.Sub(time.UnixMicro(n.SeenUs)).Round(time.Second).String()
}

func auditsText(n *api.NodeInfo) string {
	if n.AuditsPassed+n.AuditsFailed == 0 {
		return "–"
	}
	s := groupText(n.AuditsPassed) + " passed"
	if n.AuditsFailed > 0 {
		s += ", " + groupText(n.AuditsFailed) + " failed"
	}
	return s
}

func latencyText(us int64) string {
	if us == 0 {
		return "–"
	}
	return spanText(us)
}

// levelText names what files spread over.
func levelText(level string) string {
	switch level {
	case "zone", "host":
		return level + "s"
	case "process":
		return "processes"
	}
	return printable(level)
}

func (a *app) cmdNodesRemove() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "rm NODE",
		Short: "Take a node out of the mesh for good",
		Long: `Rm takes a member out of the mesh: its copies leave the map, and it is not let in again. Empty a node that works
with 'inos drain' first. One that is lost and will not come back is removed with --force: what it held is brought back from
the other copies at once, without waiting for its grace to end.`,
		Example: "  inos drain provider-3 && inos nodes rm provider-3\n  inos nodes rm …k3Xy9ab2 --force",
		Args:    arguments(1, 1, "one NODE"),
		RunE: func(_ *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			n, err := a.findNode(client, args[0])
			if err != nil {
				return err
			}
			if n.Copies > 0 && !force {
				return &inos.Error{
					Code: inos.CodeConflict, Op: "nodes:set", Message: fmt.Sprintf("%s holds %s", a.names().of(n.Node), plural(n.Copies, "copy", "copies")),
					Hint: "Empty it with 'inos drain' first; --force removes one that is lost.",
				}
			}
			m, err := a.removeNode(client, n)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(m)
			}
			a.note("%s is no member of the mesh any more", a.names().of(m.Node))
			return nil
		},
	}
	c.Flags().BoolVar(&force, "force", false, "remove a node that still holds copies")
	return c
}

// removeNode takes a node out of the mesh. One that was just drained is refused until the switchboard has looked whether
// something was still on its way to it.
func (a *app) removeNode(client *api.Client, n *api.NodeInfo) (api.Member, error) {
	drained := n.State == inos.MemberDraining.String() && n.Copies == 0
	for began := time.Now(); ; {
		m, err := client.SetNode(a.ctx, inos.NodeID(n.Node), inos.MemberRemoved)
		if inos.CodeOf(err) != inos.CodeConflict || !drained || time.Since(began) > removeTimeout {
			return m, err
		}
		if err := wait(a.ctx, drainPoll); err != nil {
			return m, err
		}
	}
}

// findNode returns the member that an argument means.
func (a *app) findNode(client *api.Client, arg string) (*api.NodeInfo, error) {
	r, err := client.Nodes(a.ctx)
	if err != nil {
		return nil, err
	}
	return a.names().find(arg, r.Nodes)
}
