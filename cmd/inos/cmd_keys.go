package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host"
	"github.com/inos-mesh/inos/host/api"
)

func (a *app) cmdKeys() *cobra.Command {
	return parent(&cobra.Command{
		Use:   "keys",
		Short: "List keys and revoked switchboards, exchange keys, renew the switchboard's certificate",
		Long: `Keys lists the keys that sign access tokens, the newest first, without what is secret of them, and the switchboards that were revoked. Below it are the commands that exchange keys while the mesh
runs: 'rotate' those of tokens and the operator's secret, 'renew' what the mesh's root key signs; 'revoke' takes that back.`,
		Example: "  inos keys\n  inos keys rotate token\n  inos keys renew --root-key /media/safe/root.key",
		Args:    arguments(0, 0, "no argument, or one of its commands"),
		RunE: func(*cobra.Command, []string) error {
			return a.withClient(func(client *api.Client) error {
				r, err := client.Keys(a.ctx)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(r)
				}
				if err := a.printKeys(r.Keys); err != nil {
					return err
				}
				for _, s := range r.Revoked {
					if err := a.printf("%s  switchboard, revoked %s\n", s.Node, timeText(s.RevokedUs)); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}, a.cmdKeysRotate(), a.cmdKeysRenew(), a.cmdKeysRevoke())
}

func (a *app) cmdKeysRotate() *cobra.Command {
	var atOnce bool
	c := &cobra.Command{
		Use:   "rotate token|operator",
		Short: "Exchange the key of access tokens, or the operator's secret",
		Long: `Rotate makes a new key while requests go on. Of access tokens ('token') the new one signs, and those that older keys signed count until they
expire; with --at-once they do not count any more: devices get others by themselves, programs need new ones. Of the operator's secret ('operator') the
data folder's file 'token' gets the new one, and the old one counts for a minute more; with --at-once not even that.

A device's key is exchanged by enrolling it anew ('inos users enrol', 'inos login') and revoking the old one ('inos devices revoke').`,
		Example: "  inos keys rotate token\n  inos keys rotate operator --at-once     # somebody has seen the file 'token'",
		Args:    arguments(1, 1, "token or operator"),
		RunE: func(c *cobra.Command, args []string) error {
			if args[0] != "token" && args[0] != "operator" {
				return usage(c, "%q is neither token nor operator", args[0])
			}
			return a.withClient(func(client *api.Client) error {
				r, err := client.RotateKey(a.ctx, args[0], atOnce)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(r)
				}
				if args[0] == "operator" {
					a.note("the file 'token' of the node's data folder has the new secret; the old one counts until %s", timeText(r.OldExpiresUs))
					return nil
				}
				return a.printKeys(r.Keys)
			})
		},
	}
	c.Flags().BoolVar(&atOnce, "at-once", false, "what the old one let in does not count any more")
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
			dir, rootKey, err := a.rootKeyAndFolder(rootKey)
			if err != nil {
				return err
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

// rootKeyAndFolder returns the data folder, of a local mesh that of its switchboard, and the root key's file.
func (a *app) rootKeyAndFolder(rootKey string) (dir, file string, err error) {
	if dir, err = a.dataDir(); err != nil {
		return "", "", err
	}
	kind, err := kindOf(dir)
	if err != nil {
		return "", "", err
	}
	if rootKey == "" {
		rootKey = filepath.Join(dir, rootKeyFile)
	}
	if kind == folderLocal {
		dir = filepath.Join(dir, switchboardName)
	}
	return dir, rootKey, nil
}

func (a *app) cmdKeysRevoke() *cobra.Command {
	var rootKey string
	c := &cobra.Command{
		Use:   "revoke NODE",
		Short: "Take back for ever what certifies a switchboard, with the mesh's root key",
		Long: `Revoke is for a switchboard whose folder or machine somebody else has had. No node of the mesh obeys that switchboard any more, whatever
certificate it shows, nor a ticket that it has signed, and it lets nobody in. It is for ever, and by the node's id, which 'inos nodes' and the log name.

The revocation is laid into the data folder: the node there takes it within a minute, and a switchboard passes it on to every provider with
its replies to their heartbeats. Providers that no other switchboard reaches learn of it when the command is run on their own folders.

A switchboard that finds itself revoked stops. Started once more with the mesh's root key it gets another key and certificate; each provider then
joins again, in the folder that it has, with an invite of the new one ('inos invite', 'inos join').`,
		Example: "  inos keys revoke 12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5 --root-key /media/safe/root.key",
		Args:    arguments(1, 1, "the id of a switchboard's node"),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, rootKey, err := a.rootKeyAndFolder(rootKey)
			if err != nil {
				return err
			}
			if err := host.RevokeSwitchboard(dir, rootKey, inos.NodeID(args[0])); err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]string{"revoked": args[0]})
			}
			a.note("%s is revoked; the node of %s takes it within a minute, or at its next start", args[0], dir)
			return nil
		},
	}
	c.Flags().StringVar(&rootKey, "root-key", "", "file with the mesh's root key (default 'root.key' in the data folder)")
	return c
}
