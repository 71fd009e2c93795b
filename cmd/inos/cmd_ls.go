package main

import (
	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos/host/api"
)

func (a *app) cmdList() *cobra.Command {
	var long bool
	c := &cobra.Command{
		Use:   "ls [PREFIX]",
		Short: "List files",
		Long: `Ls lists the files whose path begins with PREFIX, by path; PREFIX begins with /. It shows plain size, share that is stored, time, path.
With --json each file is one line.` + othersManual,
		Example: `  inos ls
  inos ls /videos/
  inos ls --long                       # with file ids
  inos ls /photos/ --json | jq -r .path`,
		Args: arguments(0, 1, "one PREFIX"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.within(c, args); err != nil {
				return err
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			prefix := ""
			if len(args) == 1 {
				prefix = args[0]
			}
			var files, plain, stored uint64
			for f, err := range client.List(a.ctx, prefix) {
				if err != nil {
					return err
				}
				files++
				plain += f.PlainBytes
				stored += f.StoredBytes
				if err := a.printFile(&f, long); err != nil {
					return err
				}
			}
			if !a.json {
				a.note("%s, %s plain, %s stored", plural(files, "file"), sizeText(plain), sizeText(stored))
			}
			return nil
		},
	}
	c.Flags().BoolVarP(&long, "long", "l", false, "show file ids and replicas too")
	return c
}

func (a *app) printFile(f *api.File, long bool) error {
	if a.json {
		return a.printJSON(f)
	}
	if long {
		return a.printf("%12s  %7s  %s  v%-3d %d/%d  %s  %s\n", groupText(f.PlainBytes), percentText(f.StoredBytes, f.PlainBytes), timeText(f.CreatedUs),
			f.Version, f.ReplicasReached, f.ReplicasWanted, f.FileID, printable(f.Path))
	}
	return a.printf("%10s  %7s  %s  %s\n", sizeText(f.PlainBytes), percentText(f.StoredBytes, f.PlainBytes), timeText(f.CreatedUs), printable(f.Path))
}
