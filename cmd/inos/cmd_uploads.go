package main

import (
	"time"

	"github.com/spf13/cobra"
)

func (a *app) cmdUploads() *cobra.Command {
	var drop string
	c := &cobra.Command{
		Use:   "uploads",
		Short: "List your open uploads",
		Long: `Uploads lists the files that 'inos put --resume' has begun and not finished: how much of each is there, and until when it is
kept. The same put goes on with it; --drop gives one up, and what of it no other file needs is collected.`,
		Example: "  inos uploads\n  inos uploads --drop 01a3185c-5002-7e3c-a2c7-e419664f0d0d",
		Args:    arguments(0, 0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			if drop != "" {
				return client.DropUpload(a.ctx, drop)
			}
			for u, err := range client.Uploads(a.ctx) {
				if err != nil {
					return err
				}
				if a.json {
					err = a.printJSON(u)
				} else {
					until := time.UnixMicro(u.ExpiresUs).Format("2006-01-02 15:04")
					err = a.printf("%s  %d of %s, %s  kept until %s  %s\n", u.ID, u.Held, plural(u.Chunks, "chunk"), sizeText(u.PlainBytes), until, printable(u.Path))
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().StringVar(&drop, "drop", "", "id of an upload to give up")
	return c
}
