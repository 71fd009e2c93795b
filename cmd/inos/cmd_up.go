package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host"
)

const (
	// upNodes is how many providers a new local mesh has.
	upNodes = 6
	// upGrace is the default grace of a local mesh: its nodes come back within a moment or not at all.
	upGrace = 30 * time.Second
)

// upFlags are what 'inos up' and 'inos rebuild' were told.
type upFlags struct {
	node       nodeFlags
	nodes      int
	listen     string
	meshListen []string
	rootKey    string
}

func (a *app) cmdUp() *cobra.Command {
	f := &upFlags{}
	c := &cobra.Command{
		Use:   "up",
		Short: "Start a mesh on this machine",
		Long: `Up starts a mesh on this machine and runs it until Ctrl-C: a switchboard, which decides, and six providers, which hold
chunks, each a process of its own in a folder of its own below the data folder. A process that ends is started again. Ctrl-C
finishes what is under way; a second Ctrl-C breaks it off, which loses nothing that was acknowledged. Started again on its
folder, the mesh has everything. On one machine it survives the loss of processes, not of the machine; 'inos invite' lets
others in.

The first start makes the operator's token, readable only by you, and the mesh's root key: copy that to a safe place and
keep it there, the map of the mesh can be made again with it.

--nodes 0 runs a lone node instead, which does everything in one process; a folder that holds one is started as that.
A file called 'down' in a provider's folder keeps it from being started again.

On a terminal a few lines show how the mesh is; elsewhere lines tell what changes.`,
		Example: `  inos up
  inos up --nodes 9 --data /srv/inos --listen 127.0.0.1:7771
  inos up --listen 127.0.0.1:0          # any free port; the file 'url' in the data folder names it
  inos up --nodes 0                     # one node, one process`,
		Args: arguments(0, 0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.node.check(c); err != nil {
				return err
			}
			if f.nodes < 0 || f.nodes > localNodesMax {
				return usage(c, "--nodes is 0 to %d, not %d", localNodesMax, f.nodes)
			}
			dir, err := a.dataDir()
			if err != nil {
				return err
			}
			kind, err := kindOf(dir)
			if err != nil {
				return err
			}
			if err := ofLocalMesh(dir); err != nil {
				return err
			}
			named := c.Flags().Changed("nodes")
			switch {
			case kind == folderLocal && named && f.nodes == 0:
				return localFolderError(dir)
			case kind == folderLone && named && f.nodes > 0, kind == folderProvider && named:
				return &inos.Error{
					Code: inos.CodeConflict, Op: "start mesh", Message: dir + " is the folder of one node",
					Hint: "Start it without --nodes. It grows by other machines or folders: 'inos invite' makes an invite, 'inos join' takes it.",
				}
			case kind == folderLone || kind == folderProvider || kind == folderEmpty && f.nodes == 0:
				return a.upLone(dir, f, kind)
			}
			if !named {
				f.nodes = 0 // as many as there are
			}
			return a.upMesh(dir, f, false)
		},
	}
	flags := c.Flags()
	flags.IntVar(&f.nodes, "nodes", upNodes, "providers of the mesh; 0: a lone node (default as many as the folder has, else 6)")
	flags.Lookup("nodes").DefValue = "0" // the text above says what is so
	f.addListen(c)
	f.node.add(flags, upGrace, upGrace)
	return c
}

// addListen defines where a mesh on this machine is reached and its root key.
func (f *upFlags) addListen(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.listen, "listen", "", "address of the HTTP interface (default 127.0.0.1:7770)")
	flags.StringArrayVar(&f.meshListen, "mesh-listen", nil, "multiaddress at which nodes of other machines reach the switchboard too, such as /ip4/0.0.0.0/tcp/7771; may be given again")
	flags.StringVar(&f.rootKey, "root-key", "", "file with the mesh's root key (default 'root.key' in the data folder)")
}

// upLone runs one node in this process: one that does everything, or the provider that the folder is of.
func (a *app) upLone(dir string, f *upFlags, kind folderKind) error {
	config := host.Config{DataDir: dir, Listen: f.listen, MeshListen: f.meshListen, RootKeyPath: f.rootKey, Provider: kind == folderProvider}
	f.node.apply(&config)
	if kind == folderLone {
		a.note("%s holds a lone node, which is started as that; it grows by 'inos invite' here and 'inos join' elsewhere", dir)
	}
	return a.runNode(config, true)
}
