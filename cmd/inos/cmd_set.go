package main

import (
	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos"
)

func (a *app) cmdSet() *cobra.Command {
	var replicas uint8
	c := &cobra.Command{
		Use:   "set PATH --replicas N",
		Short: "Change how many replicas of a file are kept",
		Long: `Set makes a new version of a file with the same content and another number of replicas. The bytes are not sent again:
missing copies follow as repair, a surplus is trimmed when every copy that stays has proved itself.`,
		Example: "  inos set /photos/wedding.jpg --replicas 5\n  inos repairs",
		Args:    arguments(1, 1, "one PATH"),
		RunE: func(c *cobra.Command, args []string) error {
			if replicas == 0 {
				return usage(c, "say how many: --replicas 1 to 32")
			}
			if err := inos.CheckPath(inos.Path(args[0])); err != nil {
				return err
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			r, err := client.SetReplicas(a.ctx, inos.Path(args[0]), uint32(replicas), "")
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(r)
			}
			if a.quiet {
				return nil
			}
			return a.printf("%s\n  version   %d\n  replicas  %s\n  trace     %s\n", printable(r.Path), r.Version, replicasText(&r.File), r.TraceID)
		},
	}
	c.Flags().Uint8Var(&replicas, "replicas", 0, "copies to keep, on as many failure domains, 1 to 32")
	return c
}
