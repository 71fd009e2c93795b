package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

// traceBarWidth is the width of the time line in characters, where the terminal has room for all columns.
const traceBarWidth = 32

// Widths of the table of stages: with all columns and the line, and of the columns that a narrower terminal shows.
const (
	traceWideColumns   = 97 + traceBarWidth + 4
	traceNarrowColumns = 57
)

func (a *app) cmdTrace() *cobra.Command {
	return &cobra.Command{
		Use:   "trace ID",
		Short: "Show the stages and times of one request, from input to database row",
		Long: `Trace shows what one request did: its events, and for each stage of the pipeline when it ran, how often, and how
long its calls took together and at most. Calls overlap, so a stage's sum may exceed its time. Put and get print
the trace of each request; the answer of every HTTP call carries it as Inos-Trace-Id.`,
		Example: "  inos trace $(inos put notes.txt --json | jq -r .trace_id)",
		Args:    arguments(1, 1, "one trace ID"),
		RunE: func(_ *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			t, err := client.Trace(a.ctx, args[0])
			if err != nil {
				return err
			}
			if len(t.Events) == 0 && len(t.Spans) == 0 {
				return &inos.Error{
					Code: inos.CodeFileNotFound, Op: "read trace", Message: "nothing is known of the trace " + args[0],
					Hint: "History is kept for a bounded time; 'inos events' shows the traces that are there.",
				}
			}
			if a.json {
				return a.printJSON(t)
			}
			return a.printTrace(&t)
		},
	}
}

func (a *app) printTrace(t *api.Trace) error {
	for _, e := range t.Events {
		if err := a.printEvent(e); err != nil {
			return err
		}
	}
	if len(t.Spans) == 0 {
		return nil
	}
	first, last := t.Spans[0].FirstStartUs, t.Spans[0].LastEndUs
	for _, s := range t.Spans {
		first, last = min(first, s.FirstStartUs), max(last, s.LastEndUs)
	}
	narrow := a.width > 0 && a.width < traceWideColumns
	width := traceBarWidth
	if narrow {
		width = max(a.width-1-traceNarrowColumns, 1)
	}
	table := func(stage, begins, takes, calls, sum, longest, size, when string) string {
		if narrow {
			return fmt.Sprintf("%-24s %10s %10s %6s  %s\n", stage, begins, takes, calls, when)
		}
		return fmt.Sprintf("%-26s  %10s  %10s  %7s  %10s  %10s  %10s  %s\n", stage, begins, takes, calls, sum, longest, size, when)
	}
	text := "\n" + table("stage", "begins", "takes", "calls", "sum", "longest", "bytes", "when")
	for _, s := range t.Spans {
		size := ""
		if s.Bytes > 0 {
			size = sizeText(s.Bytes)
		}
		remark := ""
		if s.Failed > 0 {
			remark += "  " + plural(uint64(s.Failed), "failure")
		}
		if s.Stalled > 0 {
			remark += "  " + groupText(uint64(s.Stalled)) + " stalled"
		}
		if narrow && remark != "" {
			remark = "\n" + remark
		}
		text += table(printable(s.Stage), "+"+spanText(s.FirstStartUs-first), spanText(s.LastEndUs-s.FirstStartUs), strconv.FormatUint(uint64(s.Calls), 10),
			spanText(s.TotalUs), spanText(s.MaxUs), size, "|"+bar(s.FirstStartUs-first, s.LastEndUs-first, last-first, width)+"|"+remark)
	}
	return a.printf("%s%-26s  %10s  %10s\n", text, "all", "", spanText(last-first))
}

// bar draws from-to on a line of a width that stands for whole.
func bar(from, to, whole int64, width int) string {
	if whole <= 0 {
		return strings.Repeat("=", width)
	}
	begin := min(int(from*int64(width)/whole), width-1)
	end := max(begin+1, min(int((to*int64(width)+whole-1)/whole), width))
	return strings.Repeat(" ", begin) + strings.Repeat("=", end-begin) + strings.Repeat(" ", width-end)
}
