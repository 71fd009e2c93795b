package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos/host/api"
)

const (
	chunkPage    = 1024 // chunks asked for at once
	chunksPeeked = 8    // chunks shown without --chunks
	// chunksSeenMax bounds the chunks that are looked at, 64 GiB of plain bytes; of a larger file those are told.
	chunksSeenMax = 64 << 10
)

func (a *app) cmdStat() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "stat PATH|FILEID",
		Short: "Show a file's ids, sizes, replicas and chunks",
		Long: `Stat shows what the mesh knows of a file: its file id (what b3sum prints for the plain bytes), its manifest,
plain and stored size, replicas and what it survives now, and its chunks: the id of each (what b3sum prints for the
chunk's stored bytes), sizes, recipe, and in a matrix which nodes hold it.` + othersManual,
		Example: `  inos stat /videos/holiday.mp4
  inos stat /videos/holiday.mp4 --chunks
  inos stat /videos/holiday.mp4 --chunks --json | jq -r '.chunk_list[].chunk_id'`,
		Args: arguments(1, 1, "one PATH or FILEID"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.within(c, args); err != nil {
				return err
			}
			ref, err := api.ParseRef(args[0])
			if err != nil {
				return err
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			s, err := a.statWhole(client, ref)
			if err != nil {
				return a.asFolder(client, ref, err, "List them with 'inos ls "+printable(string(ref.Path))+"/'.")
			}
			if !all && len(s.ChunkList) > chunksPeeked {
				s.ChunkList = s.ChunkList[:chunksPeeked]
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

// statWhole returns a file with its chunks, at most chunksSeenMax, and what all of those survive.
func (a *app) statWhole(client *api.Client, ref api.Ref) (api.StatReply, error) {
	s, err := client.Stat(a.ctx, ref, 0, chunkPage)
	if err != nil {
		return s, err
	}
	for got := uint64(len(s.ChunkList)); got < min(s.Chunks, chunksSeenMax); got = uint64(len(s.ChunkList)) {
		page, err := client.Stat(a.ctx, ref, got, chunkPage)
		if err != nil {
			return s, err
		}
		if len(page.ChunkList) == 0 || page.FileID != s.FileID {
			break // the file was replaced meanwhile
		}
		join(&s, &page)
	}
	return s, nil
}

// join adds a page of chunks to those before: a file has reached what the worst of its chunks has, and is on the domains
// that hold all of them.
func join(s, page *api.StatReply) {
	s.ChunkList = append(s.ChunkList, page.ChunkList...)
	worse := page.ReplicasReached < s.ReplicasReached
	if worse {
		s.File = page.File
	}
	if s.Receipt == nil || page.Receipt == nil {
		return
	}
	r := *s.Receipt
	if worse {
		r = *page.Receipt
	}
	r.Domains = slices.DeleteFunc(slices.Clone(s.Receipt.Domains), func(d string) bool { return !slices.Contains(page.Receipt.Domains, d) })
	s.Receipt = &r
}

func (a *app) printStat(s *api.StatReply) error {
	err := a.printf("%s\n  file id   %s\n  manifest  %s\n  version   %d, put %s\n  type      %s\n  plain     %s bytes in %s\n  stored    %s bytes (%s of plain)\n  replicas  %s\n",
		printable(s.Path), s.FileID, s.ManifestID, s.Version, timeText(s.CreatedUs), printable(s.ContentType),
		groupText(s.PlainBytes), plural(s.Chunks, "chunk"), groupText(s.StoredBytes), percentText(s.StoredBytes, s.PlainBytes), replicasText(&s.File))
	if err == nil {
		err = a.printDomains("on", s.Receipt)
	}
	if err != nil || len(s.ChunkList) == 0 {
		return err
	}
	names := a.names()
	m := newMatrix(s.ChunkList, names)
	if err := a.printf("\n%s\n%8s  %-64s  %9s  %9s  %-9s  %s\n", m.legend(names), "chunk", "chunk id", "plain", "stored", "recipe", m.head()); err != nil {
		return err
	}
	for i := range s.ChunkList {
		c := &s.ChunkList[i]
		recipe := c.Codec
		if c.Codec == "brotli" {
			recipe = fmt.Sprintf("brotli %d", c.Quality)
		}
		if err := a.printf("%8d  %-64s  %9d  %9d  %-9s  %s\n", c.Index, c.ChunkID, c.PlainBytes, c.StoredBytes, recipe, m.row(c)); err != nil {
			return err
		}
	}
	if more := s.Chunks - uint64(len(s.ChunkList)); more > 0 && more <= s.Chunks {
		a.note("%s more; --chunks shows all", plural(more, "chunk"))
	}
	return nil
}

// printDomains names the failure domains of a receipt and says what they are good for.
func (a *app) printDomains(label string, r *api.Receipt) error {
	if r == nil {
		return nil
	}
	names := a.names()
	domains := make([]string, len(r.Domains))
	for i, d := range r.Domains {
		domains[i] = names.domain(d)
	}
	slices.Sort(domains)
	where := "no " + printable(r.Level) + " alone has all of it"
	if len(domains) > 0 {
		where = levelCount(r.Level, len(domains)) + ": " + strings.Join(domains, ", ")
	}
	if err := a.printf("  %-8s  %s\n", label, where); err != nil {
		return err
	}
	if r.Survives == "" {
		return nil
	}
	return a.printf("  survives  %s\n", printable(strings.TrimPrefix(r.Survives, "survives ")))
}

// levelCount returns "1 host" or "2 zones".
func levelCount(level string, n int) string {
	if n == 1 {
		return "1 " + printable(level)
	}
	return fmt.Sprintf("%d %s", n, levelText(level))
}
