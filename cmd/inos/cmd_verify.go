package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

func (a *app) cmdVerify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify [PATH|FILEID]",
		Short: "Re-read what is stored and check every hash",
		Long: `Verify with a file reads its chunks, checks each against its id, inflates it and compares the plain bytes with
their hashes. Without one it re-hashes every chunk on the node's disk. A bad chunk is set aside and named, and the
exit status is 6.`,
		Example: "  inos verify /videos/holiday.mp4\n  inos verify",
		Args:    arguments(0, 1, "one PATH or FILEID"),
		RunE: func(_ *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			var p inos.Path
			if len(args) == 1 {
				if p, err = a.pathOf(client, args[0]); err != nil {
					return err
				}
			}
			m := a.meter("verify", -1)
			r, err := client.Verify(a.ctx, p, func(c api.VerifyCounts) {
				m.know(-1, plural(c.Chunks, "chunk"))
				m.set(int64(c.StoredBytes))
			})
			m.close()
			switch inos.CodeOf(err) {
			case 0:
			case inos.CodeChunkCorrupt, inos.CodeChunkNotFound:
				return found{err}
			default:
				return err
			}
			return a.printVerified(&r)
		},
	}
}

// pathOf returns the path of an argument that is a path or a FileID.
func (a *app) pathOf(client *api.Client, arg string) (inos.Path, error) {
	ref, err := api.ParseRef(arg)
	if err != nil || ref.Path != "" {
		return ref.Path, err
	}
	s, err := client.Stat(a.ctx, ref, 0, 0)
	return inos.Path(s.Path), err
}

func (a *app) printVerified(r *api.VerifyResult) error {
	if a.json {
		if err := a.printJSON(r); err != nil {
			return err
		}
	} else {
		for _, id := range r.BadChunkIDs {
			if err := a.printf("bad chunk %s\n", id); err != nil {
				return err
			}
		}
		if !a.quiet {
			if err := a.printf("verified %s, %s stored: %d bad\n", plural(r.Chunks, "chunk"), sizeText(r.StoredBytes), r.Bad); err != nil {
				return err
			}
		}
	}
	if r.Bad == 0 {
		return nil
	}
	return found{&inos.Error{
		Code: inos.CodeChunkCorrupt, Op: "files:verify", Message: fmt.Sprintf("%s of %d bad", plural(r.Bad, "chunk"), r.Chunks),
		Hint: "They were set aside. Put the files that need them again, or let the mesh heal them from other copies.",
	}}
}
