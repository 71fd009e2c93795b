package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos/host/api"
)

func (a *app) cmdEvents() *cobra.Command {
	o := api.EventsOptions{}
	c := &cobra.Command{
		Use:   "events",
		Short: "Show what happened, and follow what happens",
		Long: `Events shows the newest lines of the node's history, oldest first: time, with the date when it was not today, event type, duration, path, detail, trace.
With --follow it goes on with each event that is recorded, through restarts of the node, until Ctrl-C.
With --json each event is one line.`,
		Example: `  inos events
  inos events --follow
  inos events --prefix files:put --last 1000
  inos events --follow --prefix files: --json | jq -r '.type + " " + .path'`,
		Args: arguments(0, 0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Last < 0 || o.Last > 10_000 {
				return usage(c, "--last is 0 to 10000, not %d", o.Last)
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			err = client.Events(a.ctx, o, a.printEvent)
			if o.Follow && a.ctx.Err() != nil {
				return nil // Ctrl-C is how following ends
			}
			return err
		},
	}
	flags := c.Flags()
	flags.BoolVarP(&o.Follow, "follow", "f", false, "go on with new events")
	flags.StringVar(&o.Prefix, "prefix", "", "only event types that begin like this: files:, files:put, worker:")
	flags.StringVar(&o.Trace, "trace", "", "only events of this trace")
	flags.IntVarP(&o.Last, "last", "n", 20, "how many of the newest to begin with")
	return c
}

func (a *app) printEvent(e api.Event) error {
	if a.json {
		return a.printJSON(e)
	}
	parts := []string{fmt.Sprintf("%-28s", printable(e.Type))}
	if e.DurationUs > 0 {
		parts = append(parts, spanText(e.DurationUs))
	}
	for _, s := range []string{e.Path, e.Detail} {
		if s != "" {
			parts = append(parts, printable(s))
		}
	}
	if e.TraceID != "" {
		parts = append(parts, "trace="+printable(e.TraceID))
	}
	at, now := time.UnixMicro(e.AtUs).Local(), time.Now()
	layout := "15:04:05.000000  "
	if at.YearDay() != now.YearDay() || at.Year() != now.Year() {
		layout = "2006-01-02 " + layout
	}
	return a.printf("%s\n", strings.Join(a.fold(at.Format(layout), strings.Join(parts, "  ")), "\n"))
}
