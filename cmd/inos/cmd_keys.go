package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos/host"
)

func (a *app) cmdKeys() *cobra.Command {
	c := &cobra.Command{
		Use:   "keys",
		Short: "Renew what the mesh's root key signs",
		Args:  arguments(0, 0, "a command: renew"),
		RunE: func(c *cobra.Command, _ []string) error {
			return usage(c, "say what to do: inos keys renew")
		},
	}
	c.AddCommand(a.cmdKeysRenew())
	return c
}

func (a *app) cmdKeysRenew() *cobra.Command {
	var rootKey string
	c := &cobra.Command{
		Use:   "renew",
		Short: "Certify the switchboard anew with the mesh's root key",
		Long: `Renew makes a new certificate, good for 90 days, for the switchboard of the data folder. It needs the mesh's root key, which is
read and not kept. A switchboard that runs takes the certificate within a minute, without a restart; one that is stopped, at
its next start. Run it on the switchboard's machine, for instance with the key on a stick.

A switchboard that finds its root key where --root-key named it at the start renews by itself when a third of the time is
left. One without is told of in 'inos status' and in its log 30 days before the end.`,
		Example: "  inos keys renew --root-key /media/safe/root.key\n  inos keys renew --data /srv/inos --root-key /media/safe/root.key",
		Args:    arguments(0, 0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			dir, err := a.dataDir()
			if err != nil {
				return err
			}
			kind, err := kindOf(dir)
			if err != nil {
				return err
			}
			if rootKey == "" {
				rootKey = filepath.Join(dir, rootKeyFile)
			}
			if kind == folderLocal {
				dir = filepath.Join(dir, switchboardName)
			}
			until, err := host.RenewCertificate(dir, rootKey)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]int64{"certified_until_us": int64(until)})
			}
			a.note("certified until %s; a switchboard that runs takes it within a minute, another at its next start", timeText(int64(until)))
			return nil
		},
	}
	c.Flags().StringVar(&rootKey, "root-key", "", "file with the mesh's root key (default 'root.key' in the data folder)")
	return c
}
