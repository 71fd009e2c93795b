package main

import (
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host"
)

func (a *app) cmdReplay() *cobra.Command {
	return &cobra.Command{
		Use:   "replay [LOG]",
		Short: "Run a kernel's log again and prove that it decides the same",
		Long: `Replay feeds every envelope that a node's kernel was given to the kernel of this binary, and compares each step's
effects with those that were recorded. LOG is a segment, or a folder of them; without it, the log of the data folder, in a local mesh the switchboard's.
It needs no running node and touches nothing. The exit status is 6 when a step differs.`,
		Example: "  inos replay\n  inos replay /tmp/report/kernel-000001.log\n  inos replay --json | jq .steps",
		Args:    arguments(0, 1, "one LOG"),
		RunE: func(_ *cobra.Command, args []string) error {
			var log string
			if len(args) == 1 {
				log = args[0]
			} else {
				dir, err := a.dataDir()
				if err != nil {
					return err
				}
				if kind, err := kindOf(dir); err == nil && kind == folderLocal {
					dir = filepath.Join(dir, switchboardName)
				}
				log = filepath.Join(dir, "log")
			}
			lines := a.stdout
			if a.json || a.quiet {
				lines = io.Discard
			}
			r, err := host.Replay(a.ctx, log, lines)
			if a.json && (err == nil || r.Difference != "") {
				if err := a.printJSON(r); err != nil {
					return err
				}
			}
			if inos.CodeOf(err) == inos.CodeConflict {
				return found{err}
			}
			if err != nil || a.json || a.quiet {
				return err
			}
			if r.TornBytes > 0 {
				a.note("%s behind the last whole record were cut by a crash", plural(uint64(r.TornBytes), "byte"))
			}
			return a.printf("replayed %s in %s with kernel %s: effects equal\n", plural(r.Steps, "step"), plural(uint64(r.Segments), "segment"), short(r.KernelID))
		},
	}
}

// short returns the beginning of an id.
func short(id string) string {
	if len(id) > 16 {
		return id[:16]
	}
	return id
}
