package main

import (
	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos/host"
)

func (a *app) cmdJoin() *cobra.Command {
	config := host.Config{Provider: true}
	f := &nodeFlags{}
	var noStart bool
	c := &cobra.Command{
		Use:   "join INVITE",
		Short: "Join a mesh as a provider, with an invite of its operator",
		Long: `Join makes the data folder that of a provider of the mesh that made the invite, and runs it until Ctrl-C. What the node
is for, where it stands and how much it offers is in the invite, signed; as '-' it is read from standard input, which other
users of this machine do not see. The folder is joined once: later 'inos up' or
'inos node' on it starts the provider again.

` + readableWarning + ` Join only with the operator's knowledge,
and keep the folder readable for yourself alone, as it is made.`,
		Example: `  inos join inos1… --data /srv/inos --mesh-listen /ip4/0.0.0.0/tcp/7772
  inos join - < invite.txt
  inos join inos1… --data /var/lib/inos/provider --no-start && systemctl start inos-provider`,
		Args: arguments(1, 1, "one INVITE, as 'inos invite' prints it"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.check(c); err != nil {
				return err
			}
			var err error
			if config.DataDir, err = a.dataDir(); err != nil {
				return err
			}
			kind, err := kindOf(config.DataDir)
			if err != nil {
				return err
			}
			if kind == folderLocal {
				return localFolderError(config.DataDir)
			}
			text, err := a.secret("the invite", args[0])
			if err != nil {
				return err
			}
			invite, err := host.Join(config.DataDir, text)
			if err != nil {
				return err
			}
			a.note("%s node in %s, offering %s, in %s", invite.Tier, printable(invite.Zone+"/"+invite.Host), sizeText(invite.OfferedBytes), config.DataDir)
			a.note("%s So can whoever reads this folder.", readableWarning)
			if noStart {
				if a.json {
					return a.printJSON(map[string]any{
						"data": config.DataDir, "zone": invite.Zone, "host": invite.Host, "tier": invite.Tier, "operator": invite.Operator, "offered_bytes": invite.OfferedBytes,
					})
				}
				a.note("start it with: inos node --data %s", shellWord(config.DataDir))
				return nil
			}
			f.apply(&config)
			return a.runNode(config, true)
		},
	}
	flags := c.Flags()
	f.add(flags, nodeGraceCold, nodeGraceHot)
	for _, name := range []string{"workers", "quality", "grace-cold", "grace-hot"} { // a provider has no use for them
		_ = flags.MarkHidden(name)
	}
	flags.BoolVar(&noStart, "no-start", false, "make the folder and leave the start to something else")
	flags.StringVar(&config.Listen, "listen", "", "address of the HTTP interface (default any free port of 127.0.0.1)")
	flags.StringArrayVar(&config.MeshListen, "mesh-listen", nil, "multiaddress at which other nodes reach this one, such as /ip4/0.0.0.0/tcp/7772; may be given again")
	flags.StringArrayVar(&config.Relays, "relay", nil, "multiaddress, ending in /p2p/ID, of a node through which this one is reached behind a NAT; may be given again")
	return c
}
