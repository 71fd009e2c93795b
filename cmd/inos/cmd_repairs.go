package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos/host/api"
)

// repairsLimit bounds how many repairs are asked for at once.
const repairsLimit = 1000

func (a *app) cmdRepairs() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use:   "repairs",
		Short: "Show what is being repaired, why, how fast, and for how long",
		Long: `Repairs shows the queue of chunks that have fewer copies than they should, those with the fewest live domains first:
why each is in it, and who works on it. Repair takes a share of the measured bandwidth, so that reads and writes go on.`,
		Example: "  inos repairs\n  inos repairs --limit 100\n  inos repairs --json | jq .total",
		Args:    arguments(0, 0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			if limit < 0 || limit > repairsLimit {
				return usage(c, "--limit is 0 to %d, not %d", repairsLimit, limit)
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			r, err := client.Repairs(a.ctx, max(limit, 1))
			if err != nil {
				return err
			}
			r.Repairs = r.Repairs[:min(limit, len(r.Repairs))]
			if a.json {
				return a.printJSON(r)
			}
			return a.printRepairs(&r, time.Now())
		},
	}
	c.Flags().IntVarP(&limit, "limit", "n", 20, "how many of the queue to show")
	return c
}

func (a *app) printRepairs(r *api.RepairsReply, now time.Time) error {
	var text strings.Builder
	fmt.Fprintf(&text, "queued   %s\n", repairsText(r))
	fmt.Fprintf(&text, "done     %s, %s copied, %s trimmed since the switchboard started\n",
		plural(r.Done, "chunk"), sizeText(r.Bytes), plural(r.Trimmed, "surplus copy", "surplus copies"))
	fmt.Fprintf(&text, "rate     %s/s of at most %s/s\n", sizeText(r.BytesPerSecond), sizeText(r.BytesPerSecondMax))
	if len(r.Repairs) > 0 {
		names := a.names()
		text.WriteString("\n")
		t := tabwriter.NewWriter(&text, 0, 4, 2, ' ', 0)
		tableRow(t, "chunk", "live", "waits", "tries", "now", "why")
		for i := range r.Repairs {
			p := &r.Repairs[i]
			state := "queued"
			switch {
			case p.Holder != "" && p.LeaseUntilUs > now.UnixMicro():
				state = "at " + names.of(p.Holder)
			case p.NotBeforeUs > now.UnixMicro():
				state = "again in " + time.UnixMicro(p.NotBeforeUs).Sub(now).Round(time.Second).String()
			}
			tableRow(t, short(p.ChunkID), fmt.Sprint(p.Live), now.Sub(time.UnixMicro(p.AddedUs)).Round(time.Second).String(), fmt.Sprint(p.Tries), state, printable(p.Reason))
		}
		_ = t.Flush() // into memory
		if more := r.Total - uint64(len(r.Repairs)); more > 0 && more <= r.Total {
			fmt.Fprintf(&text, "and %s more\n", groupText(more))
		}
	}
	return a.printf("%s", text.String())
}

// repairsText tells how much waits for repair and for how long.
func repairsText(r *api.RepairsReply) string {
	s := plural(r.Total, "chunk")
	if r.ETAUs > 0 {
		s += ", about " + (time.Duration(r.ETAUs) * time.Microsecond).Round(time.Second).String() + " to go"
	}
	if r.Scanning {
		s += "; the map is being looked through"
	}
	return s
}
