package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host"
)

// Graces of a node whose machine may be restarted or moved without its copies being made again.
const (
	nodeGraceCold = 15 * time.Minute
	nodeGraceHot  = 5 * time.Minute
)

func (a *app) cmdNode() *cobra.Command {
	config := host.Config{}
	f := &nodeFlags{}
	var tier string
	var offered, repairRate byteCount
	var heartbeat time.Duration
	c := &cobra.Command{
		Use:   "node",
		Short: "Run one node of a mesh in this process, for systemd and the like",
		Long: `Node runs one node in this process and prints plain lines; it ends with SIGTERM, when what is under way is finished.
What it is depends on its data folder and on flags:

  a folder that joined a mesh ('inos join --no-start')   a provider: holds chunks, decides nothing
  --switchboard                                          decides for the mesh and keeps its map; holds no chunks
  --switchboard --provider                               both at once: a mesh of one
  a folder of a mesh of one                              the same again

A folder that holds no node is made one only by --switchboard: a folder that was mistyped or not mounted starts nothing.

A mesh has exactly one switchboard. Its first start makes the mesh's root key; a switchboard that has started once runs
without it, so move it off the machine and keep it: with it the map can be made again ('inos rebuild').`,
		Example: `  inos node --switchboard --data /srv/inos --mesh-listen /ip4/0.0.0.0/tcp/7771 --root-key root.key
  inos node --data /srv/inos-provider --mesh-listen /ip4/0.0.0.0/tcp/7772
  systemctl start inos-switchboard                 # deploy/systemd has the units`,
		Args: arguments(0, 0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if config.DataDir, err = a.dataDir(); err != nil {
				return err
			}
			if err := f.check(c); err != nil {
				return err
			}
			if heartbeat < 0 {
				return usage(c, "--heartbeat is a time, not %v", heartbeat)
			}
			kind, err := kindOf(config.DataDir)
			if err != nil {
				return err
			}
			if kind == folderLocal {
				return localFolderError(config.DataDir)
			}
			if !config.Switchboard || config.Provider { // 'inos up' starts its switchboard as nothing else
				if err := ofLocalMesh(config.DataDir); err != nil {
					return err
				}
			}
			switch {
			case config.Switchboard && config.Provider:
				config.Switchboard, config.Provider = false, false // both is a node that does everything
			case !config.Switchboard && !config.Provider && kind == folderEmpty:
				return noNodeError(config.DataDir)
			case !config.Switchboard && !config.Provider:
				config.Provider = kind == folderProvider
			}
			f.apply(&config)
			config.Tier, config.OfferedBytes, config.RepairBytesPerSecond = inos.Tier(tier), uint64(offered), uint64(repairRate)
			config.HeartbeatEvery = inos.Micros(heartbeat.Microseconds())
			return a.runNode(config, false)
		},
	}
	flags := c.Flags()
	f.add(flags, nodeGraceCold, nodeGraceHot)
	flags.BoolVar(&config.Switchboard, "switchboard", false, "decide for the mesh and keep its map")
	flags.BoolVar(&config.Provider, "provider", false, "hold chunks; the folder has joined a mesh")
	flags.StringVar(&config.Listen, "listen", "", "address of the HTTP interface (default 127.0.0.1:7770, of a provider any free port of 127.0.0.1)")
	flags.StringArrayVar(&config.MeshListen, "mesh-listen", nil, "multiaddress at which other nodes reach this one, such as /ip4/0.0.0.0/tcp/7771; may be given again")
	flags.StringArrayVar(&config.Relays, "relay", nil, "multiaddress, ending in /p2p/ID, of a node through which this one is reached behind a NAT; may be given again")
	flags.BoolVar(&config.RelayService, "relay-service", false, "relay connections of nodes behind a NAT")
	flags.StringVar(&config.RootKeyPath, "root-key", "", "file with the mesh's root key, made by the first start of a switchboard (default 'root.key' in the data folder)")
	flags.BoolVar(&config.Rebuild, "rebuild", false, "make the map again from the mesh, as 'inos rebuild' does")
	_ = flags.MarkHidden("rebuild")
	flags.StringVar(&config.Zone, "zone", "", "failure domain of a switchboard (default 'home'); a provider's is in its invite, like --host, --operator, --tier and --bytes")
	flags.StringVar(&config.HostLabel, "host", "", "the machine within its zone (default its name)")
	flags.StringVar(&config.Operator, "operator", "", "whose machine it is (default 'operator')")
	flags.StringVar(&tier, "tier", "", "hot or cold (default cold)")
	flags.Var(&offered, "bytes", "what a node that does everything offers to the mesh (default what the disk has)")
	flags.DurationVar(&heartbeat, "heartbeat", 0, "time between two heartbeats of a provider (default the mesh's)")
	flags.Var(&repairRate, "repair-rate", "bytes a second that repair may copy at most (default a share of what is measured)")
	return c
}

// localFolderError refuses a command that is for one node on the folder of a local mesh.
func localFolderError(dir string) error {
	return &inos.Error{
		Code: inos.CodeConflict, Op: "start node", Message: dir + " is the folder of a local mesh of several nodes",
		Hint: "Start it with 'inos up', or name the folder of one of its nodes, such as " + providerPrefix + "1 in it.",
	}
}

// ofLocalMesh refuses to start the switchboard of a local mesh by itself: as a lone node it would hold chunks too from then on, and miss its providers.
func ofLocalMesh(dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return inos.Errorf(inos.CodeIO, "start node", "%w", err)
	}
	parent := filepath.Dir(abs)
	if filepath.Base(abs) != switchboardName {
		return nil
	}
	if kind, err := kindOf(parent); err != nil || kind != folderLocal {
		return nil //nolint:nilerr // the folder is one of its own then
	}
	return &inos.Error{
		Code: inos.CodeConflict, Op: "start node", Message: dir + " is the switchboard of the local mesh in " + parent,
		Hint: "Start that with 'inos up --data " + shellWord(parent) + "'.",
	}
}

// noNodeError refuses to make a node of a folder that nobody said should become one.
func noNodeError(dir string) error {
	what := " holds no node"
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		what = " does not exist"
	}
	return &inos.Error{
		Code: inos.CodeBadRequest, Op: "start node", Message: dir + what,
		Hint: "Check --data and that the disk is mounted. A new node is made by 'inos join INVITE' (a provider), 'inos node --switchboard', or 'inos node --switchboard --provider' (a mesh of one).",
	}
}
