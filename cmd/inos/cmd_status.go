package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos/host/api"
)

func (a *app) cmdStatus() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how the node is: space, work under way, workers, latencies",
		Long: `Status shows the node's state. Notices come first: what a person should know of, such as a mesh that is
degraded because it has one node. With --all it adds each stage of the pipeline (calls, failures, stalls, latencies, calls
under way now) and each of the kernel's threads.`,
		Example: "  inos status\n  inos status --all\n  inos status --json | jq .totals.stored_bytes",
		Args:    arguments(0, 0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			s, err := client.Status(a.ctx)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(s)
			}
			return a.printStatus(&s, all)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "show stages and threads too")
	return c
}

func (a *app) printStatus(s *api.Status, all bool) error {
	ready := "ready"
	if !s.Ready {
		ready = "not ready"
	}
	var text strings.Builder
	row := func(name, format string, args ...any) {
		label := fmt.Sprintf("%-9s ", name)
		for _, line := range a.fold(label, fmt.Sprintf(format, args...)) {
			text.WriteString(line + "\n")
		}
	}
	row("node", "%s (%s), %s, zone %s, host %s, version %s", a.names().of(s.NodeID), ready, rolesText(s), printable(s.Zone), printable(s.Host), printable(s.Version))
	for _, n := range s.Notices {
		row("notice", "%s", printable(n))
	}
	if s.Members > 1 || s.Switchboard && !s.Provider {
		row("mesh", "%d of %s alive, %s queued, %s pending", s.MembersAlive, plural(uint64(s.Members), "node"), plural(s.Repairs, "repair"), plural(s.RecordsPending, "commit record"))
	}
	if s.Stored != "" {
		row("stored", "%s", printable(s.Stored))
	}
	if s.Survives != "" {
		row("new file", "%s", printable(s.Survives))
	}
	if b := s.Rebuild; b != nil {
		row("rebuild", "%s", rebuildText(b))
	}
	if s.CertifiedUntilUs != 0 {
		row("certified", "until %s", timeText(s.CertifiedUntilUs))
	}
	row("up", "%s", (time.Duration(s.NowUs-s.StartedUs) * time.Microsecond).Round(time.Second))
	row("files", "%s, %s plain", groupText(s.Totals.Files), sizeText(s.Totals.PlainBytes))
	row("chunks", "%s, %s stored, %s collectable", groupText(s.Totals.Chunks), sizeText(s.Totals.StoredBytes), groupText(s.Totals.CollectableChunks))
	if s.Switchboard && !s.Provider { // its providers hold the chunks
		row("disk", "%s free for the map; 'inos nodes' shows what the providers hold", sizeText(s.Content.FreeBytes))
	} else {
		row("disk", "%s used, %s trash, %s free", sizeText(s.Content.UsedBytes), sizeText(s.Content.TrashBytes), sizeText(s.Content.FreeBytes))
	}
	row("work", "%s, %s, %d queued, %s in flight", plural(uint64(s.Puts), "put"), plural(uint64(s.Gets), "get"), s.Queued, plural(s.InFlight, "effect"))
	row("buffers", "%s of %s", sizeText(s.BufferBytes), sizeText(s.BufferBytesMax))
	row("tuning", "%s at once, Brotli quality %d", plural(uint64(s.ConcurrencyLimit), "module call"), s.BrotliQuality)
	row("kernel", "%s, %d refused, %d quarantined, %s dropped", plural(s.Steps, "step"), s.Refused, s.Quarantined, plural(s.RecordsDropped, "record"))
	for _, w := range s.Workers {
		reason := ""
		if w.Reason != "" {
			reason = ", last ended: " + printable(w.Reason)
		}
		row(fmt.Sprintf("worker %d", w.Worker), "%s, pid %d, %s, %d in flight, %s%s", w.State, w.PID, plural(w.Calls, "call"), w.InFlight, plural(uint64(w.Restarts), "restart"), reason)
	}
	if all {
		printStages(&text, s)
	}
	return a.printf("%s", text.String())
}

// rolesText names what a node does in its mesh.
func rolesText(s *api.Status) string {
	switch {
	case s.Switchboard && s.Provider:
		return "switchboard and provider"
	case s.Switchboard:
		return "switchboard"
	case s.Provider:
		return "provider"
	}
	return "no role"
}

// rebuildText tells how far a rebuild is, or what came of it.
func rebuildText(b *api.Rebuild) string {
	s := fmt.Sprintf("%s with %s, %s, %s restored", plural(b.Nodes, "node"), plural(b.Chunks, "chunk"), plural(b.Records, "commit record"), plural(b.Versions, "version"))
	if b.Refused > 0 {
		s += fmt.Sprintf(", %s refused as forged, foreign or damaged", plural(b.Refused, "record"))
	}
	if b.Unreadable > 0 {
		s += fmt.Sprintf(", %s unreadable: no node holds all of the chunks", plural(b.Unreadable, "version"))
	}
	if b.Done {
		return "done: " + s
	}
	return "under way: " + s
}

// printStages writes the tables of the pipeline's stages and of the kernel's threads.
func printStages(w io.Writer, s *api.Status) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprint(t, "\nstage\tcalls\tfail\tstall\tp50\tp95\tp99\tnow\n")
	for _, g := range s.Stages {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%s\t%s\t%d\n", printable(g.Stage), groupText(g.Calls), g.Failed, g.Stalled, spanText(g.P50Us), spanText(g.P95Us), spanText(g.P99Us), g.InFlight)
	}
	fmt.Fprint(t, "\nthread\tkind\tenvelopes\teffects\tnow\tat most\n")
	for _, h := range s.Threads {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\n", printable(h.Name), printable(h.Kind), groupText(h.Envelopes), groupText(h.Effects), h.InFlight, h.InFlightMax)
	}
	_ = t.Flush() // into memory
}
