package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

// removalsAhead bounds the paths that are listed before they are removed.
const removalsAhead = 1000

func (a *app) cmdRemove() *cobra.Command {
	var recursive bool
	c := &cobra.Command{
		Use:   "rm PATH...",
		Short: "Remove files",
		Long: `Rm removes files. Their chunks are collected when no other file refers to them; they stay in the node's trash
for seven days. With --recursive a PATH stands for everything below it.` + othersManual,
		Example: "  inos rm /videos/holiday.mp4\n  inos rm --recursive /archive/2019",
		Args:    arguments(1, -1, "at least one PATH"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.within(c, args); err != nil {
				return err
			}
			for _, arg := range args {
				if recursive && arg == "/" {
					return usage(c, "/ stands for every file there is: name the folders below it that are to go")
				}
				if err := inos.CheckPath(inos.Path(folderPath(arg, recursive))); err != nil {
					return err
				}
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			var removed, failed uint64
			var first error
			for _, arg := range args {
				count, err := a.remove(client, arg, recursive)
				removed += count
				if err != nil {
					failed++
					if first == nil {
						first = err
					}
					if len(args) > 1 {
						a.printFailure(nil, arg, err)
					}
				}
			}
			if !a.json && removed > 0 {
				a.note("removed %s", plural(removed, "file"))
			}
			if failed > 0 && len(args) > 1 {
				return said{first}
			}
			return first
		},
	}
	c.Flags().BoolVarP(&recursive, "recursive", "r", false, "remove everything below PATH")
	return c
}

func (a *app) remove(client *api.Client, arg string, recursive bool) (removed uint64, err error) {
	if !recursive {
		removed, err := a.removeOne(client, inos.Path(arg))
		if err != nil {
			err = a.asFolder(client, api.Ref{Path: inos.Path(arg)}, err, "Remove them all with 'inos rm -r "+printable(arg)+"'.")
		}
		return removed, err
	}
	prefix := folderPath(arg, true) + "/"
	for {
		var paths []inos.Path
		for f, err := range client.List(a.ctx, prefix) {
			if err != nil {
				return removed, err
			}
			if paths = append(paths, inos.Path(f.Path)); len(paths) == removalsAhead {
				break
			}
		}
		for _, p := range paths {
			count, err := a.removeOne(client, p)
			removed += count
			if err != nil && inos.CodeOf(err) != inos.CodeFileNotFound { // somebody else removed it meanwhile
				return removed, err
			}
		}
		if len(paths) < removalsAhead {
			break
		}
	}
	if removed == 0 {
		return 0, inos.Errorf(inos.CodeFileNotFound, "files:delete", "there is nothing below %s", prefix)
	}
	return removed, nil
}

func (a *app) removeOne(client *api.Client, p inos.Path) (removed uint64, err error) {
	reply, err := client.Delete(a.ctx, p)
	if err != nil {
		return 0, err
	}
	if a.json {
		return 1, a.printJSON(reply)
	}
	return 1, nil
}

// folderPath returns the argument as a path: that of a folder may end in a slash, which is not part of it.
func folderPath(arg string, recursive bool) string {
	if recursive {
		return strings.TrimSuffix(arg, "/")
	}
	return arg
}
