package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

func (a *app) cmdVerify() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "verify [PATH|FILEID]",
		Short: "Re-read what is stored and check every hash",
		Long: `Verify with a file reads its chunks, checks each against its id, inflates it and compares the plain bytes with
their hashes. Without one, or with --all, every node re-hashes every chunk on its disk. A bad chunk is set aside and
named, the exit status is 6, and the mesh replaces it from another copy.`,
		Example: "  inos verify /videos/holiday.mp4\n  inos verify --all",
		Args:    arguments(0, 1, "one PATH or FILEID"),
		RunE: func(c *cobra.Command, args []string) error {
			if all && len(args) > 0 {
				return usage(c, "--all is of every chunk of every node, %s of one file", args[0])
			}
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
	c.Flags().BoolVar(&all, "all", false, "every chunk of every node, which is also the default without a PATH")
	return c
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
		if err := a.printNodesVerified(r.Nodes); err != nil {
			return err
		}
		if r.NodesMore > 0 {
			a.note("%s more are not shown; those with something bad come first", plural(r.NodesMore, "node"))
		}
		if !a.quiet {
			if err := a.printf("verified %s, %s stored: %d bad\n", plural(r.Chunks, "chunk"), sizeText(r.StoredBytes), r.Bad); err != nil {
				return err
			}
		}
	}
	var missed []string
	for _, n := range r.Nodes {
		if n.Error != "" {
			missed = append(missed, a.names().of(n.Node))
		}
	}
	if r.Bad == 0 && len(missed) > 0 {
		return &inos.Error{
			Code: inos.CodePeerUnreachable, Op: "files:verify", Message: "not verified: " + strings.Join(missed, ", "), Hint: "Start what does not answer and verify again.",
		}
	}
	if r.Bad == 0 {
		return nil
	}
	return found{&inos.Error{
		Code: inos.CodeChunkCorrupt, Op: "files:verify", Message: fmt.Sprintf("%s of %d bad", plural(r.Bad, "chunk"), r.Chunks),
		Hint: "They were set aside. The mesh replaces them from other copies ('inos repairs'); where there are none, put the files again.",
	}}
}

// printNodesVerified tells of each node what was found on it.
func (a *app) printNodesVerified(nodes []api.NodeVerified) error {
	if len(nodes) < 2 || a.quiet {
		return nil
	}
	names := a.names()
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 4, 2, ' ', 0)
	tableRow(t, "node", "chunks", "stored", "bad", "")
	slices.SortFunc(nodes, func(a, b api.NodeVerified) int { return names.order("", "", a.Node, "", "", b.Node) })
	for i := range nodes {
		n := &nodes[i]
		tableRow(t, names.of(n.Node), groupText(n.Chunks), sizeText(n.StoredBytes), groupText(n.Bad), printable(n.Error))
	}
	_ = t.Flush() // into memory
	return a.printf("%s", text.String())
}
