package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos/host/api"
)

const (
	chunkPage    = 1024 // chunks asked for at once
	chunksPeeked = 8    // chunks shown without --chunks
)

func (a *app) cmdStat() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "stat PATH|FILEID",
		Short: "Show a file's ids, sizes, replicas and chunks",
		Long: `Stat shows what the mesh knows of a file: its file id (what b3sum prints for the plain bytes), its manifest,
plain and stored size, replicas, and its chunks: the id of each (what b3sum prints for the chunk's stored bytes),
sizes, recipe and the nodes that hold it.`,
		Example: `  inos stat /videos/holiday.mp4
  inos stat /videos/holiday.mp4 --chunks
  inos stat /videos/holiday.mp4 --chunks --json | jq -r '.chunk_list[].chunk_id'`,
		Args: arguments(1, 1, "one PATH or FILEID"),
		RunE: func(_ *cobra.Command, args []string) error {
			ref, err := api.ParseRef(args[0])
			if err != nil {
				return err
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			limit := chunksPeeked
			if all {
				limit = chunkPage
			}
			s, err := client.Stat(a.ctx, ref, 0, limit)
			if err != nil {
				return err
			}
			for all && uint64(len(s.ChunkList)) < s.Chunks {
				page, err := client.Stat(a.ctx, ref, uint64(len(s.ChunkList)), chunkPage)
				if err != nil {
					return err
				}
				if len(page.ChunkList) == 0 || page.FileID != s.FileID {
					break // the file was replaced meanwhile
				}
				s.ChunkList = append(s.ChunkList, page.ChunkList...)
			}
			if a.json {
				return a.printJSON(s)
			}
			return a.printStat(&s)
		},
	}
	c.Flags().BoolVar(&all, "chunks", false, "show every chunk, not only the first few")
	return c
}

func (a *app) printStat(s *api.StatReply) error {
	err := a.printf("%s\n  file id   %s\n  manifest  %s\n  version   %d, put %s\n  type      %s\n  plain     %s bytes in %s\n  stored    %s bytes (%s of plain)\n  replicas  %s\n",
		printable(s.Path), s.FileID, s.ManifestID, s.Version, timeText(s.CreatedUs), printable(s.ContentType),
		groupText(s.PlainBytes), plural(s.Chunks, "chunk"), groupText(s.StoredBytes), percentText(s.StoredBytes, s.PlainBytes), replicasText(&s.File))
	if err != nil || len(s.ChunkList) == 0 {
		return err
	}
	if err := a.printf("\n%8s  %-64s  %9s  %9s  %-9s  %s\n", "chunk", "chunk id", "plain", "stored", "recipe", "nodes"); err != nil {
		return err
	}
	for _, c := range s.ChunkList {
		recipe := c.Codec
		if c.Codec == "brotli" {
			recipe = fmt.Sprintf("brotli %d", c.Quality)
		}
		if err := a.printf("%8d  %-64s  %9d  %9d  %-9s  %s\n", c.Index, c.ChunkID, c.PlainBytes, c.StoredBytes, recipe, printable(strings.Join(c.Nodes, " "))); err != nil {
			return err
		}
	}
	if more := s.Chunks - uint64(len(s.ChunkList)); more > 0 && more <= s.Chunks {
		a.note("%s more; --chunks shows all", plural(more, "chunk"))
	}
	return nil
}
