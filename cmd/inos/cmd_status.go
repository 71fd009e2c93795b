package main

import (
	"fmt"
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
degraded because it has one node. With --all it adds the latency of each stage of the pipeline and the kernel's threads.`,
		Example: "  inos status\n  inos status --all\n  inos status --json | jq .content.used_bytes",
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
	t := tabwriter.NewWriter(a.stdout, 0, 4, 2, ' ', 0)
	ready := "ready"
	if !s.Ready {
		ready = "not ready"
	}
	row := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	row("node", "%s (%s), zone %s, host %s, version %s", s.NodeID, ready, printable(s.Zone), printable(s.Host), printable(s.Version))
	for _, n := range s.Notices {
		row("notice", "%s", printable(n))
	}
	row("up", "%s", (time.Duration(s.NowUs-s.StartedUs) * time.Microsecond).Round(time.Second))
	row("files", "%s, %s plain", groupText(s.Totals.Files), sizeText(s.Totals.PlainBytes))
	row("chunks", "%s, %s stored, %s collectable", groupText(s.Totals.Chunks), sizeText(s.Totals.StoredBytes), groupText(s.Totals.CollectableChunks))
	row("disk", "%s used, %s trash, %s free", sizeText(s.Content.UsedBytes), sizeText(s.Content.TrashBytes), sizeText(s.Content.FreeBytes))
	row("work", "%d puts, %d gets, %d queued, %d effects in flight", s.Puts, s.Gets, s.Queued, s.InFlight)
	row("buffers", "%s of %s", sizeText(s.BufferBytes), sizeText(s.BufferBytesMax))
	row("tuning", "%d module calls at once, Brotli quality %d", s.ConcurrencyLimit, s.BrotliQuality)
	row("kernel", "%s steps, %d refused, %d quarantined, %d records dropped", groupText(s.Steps), s.Refused, s.Quarantined, s.RecordsDropped)
	for _, w := range s.Workers {
		reason := ""
		if w.Reason != "" {
			reason = ", last ended: " + printable(w.Reason)
		}
		row(fmt.Sprintf("worker %d", w.Worker), "%s, pid %d, %s calls, %d in flight, %d restarts%s", w.State, w.PID, groupText(w.Calls), w.InFlight, w.Restarts, reason)
	}
	if all {
		fmt.Fprint(t, "\nstage\tcalls\tfailed\tstalled\tp50\tp95\tp99\tin flight\n")
		for _, g := range s.Stages {
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%s\t%s\t%d\n", printable(g.Stage), groupText(g.Calls), g.Failed, g.Stalled, spanText(g.P50Us), spanText(g.P95Us), spanText(g.P99Us), g.InFlight)
		}
		fmt.Fprint(t, "\nthread\tkind\tenvelopes\teffects\tin flight\tat most\n")
		for _, h := range s.Threads {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\n", printable(h.Name), printable(h.Kind), groupText(h.Envelopes), groupText(h.Effects), h.InFlight, h.InFlightMax)
		}
	}
	return outputError(t.Flush())
}
