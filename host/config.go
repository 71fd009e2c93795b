package host

import (
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/mesh"
)

// Config says how to run a node. Zero values are the defaults.
type Config struct {
	DataDir       string
	Listen        string             // TCP address of the HTTP interface; default 127.0.0.1:7770, of a mere provider any free port of 127.0.0.1
	Workers       int                // worker processes; default one per core. A mere provider has none
	Quality       int                // Brotli quality 2..9; 0: adjusted to the load
	Record        bool               // write the kernel's replay log
	CapacityBytes int64              // what chunks may take on the disk; default all but a reserve, and of a mere provider what its invite says it offers
	Zone          string             // failure domain; default "home"; of a mere provider its invite's, and so are the next five
	HostLabel     string             // failure domain; default the machine's name
	Operator      string             // whose machine it is; default "operator"
	Tier          inos.Tier          // default cold
	OfferedBytes  uint64             // of a switchboard that is a provider too; default what the disk has when the node joins
	Stderr        io.Writer          // log lines; default os.Stderr
	Now           func() inos.Micros `json:"-"` // the clock, which must not go backwards; default the machine's
	WorkerCommand []string           // default: this executable with "worker"
	CacheDir      string             // compiled WASM; default "cache" in the data folder. Must be writable by the node alone
	// ModuleDeadline is how long a module may take for one call before its worker is killed; default the module's own.
	ModuleDeadline inos.Micros

	// Switchboard and Provider are the node's roles; neither named is both.
	Switchboard bool
	Provider    bool
	// MeshListen are the multiaddresses at which other nodes reach this one, such as /ip4/0.0.0.0/tcp/7771; port 0 is any free
	// one. A switchboard without one is alone; a mere provider without one dials its switchboards and is reached through Relays.
	MeshListen []string
	// Relays are multiaddresses, ending in /p2p/ID, of nodes through which this one is reached behind a NAT.
	Relays []string
	// RelayService makes the node one that relays connections of others.
	RelayService bool
	// MeshLimits bound what the mesh has under way; fields that are zero are the role's.
	MeshLimits mesh.Limits
	// Invite is the text of an invite with which a data folder joins a mesh, as by Join. A folder that has joined needs none.
	Invite string
	// RootKeyPath is the file with the mesh's root seed, made by the first start of a switchboard; default "root.key" in the data folder. A
	// switchboard that has a certificate runs without it.
	RootKeyPath string
	// Rebuild makes the map of an emptied switchboard again from the mesh; it needs the root key. A rebuild that was broken off goes on
	// at the next start.
	Rebuild bool
	// HeartbeatEvery is the time between two heartbeats of a provider; 0: the kernel's default.
	HeartbeatEvery inos.Micros
	// GraceCold and GraceHot are how long a dead node of the tier may be away before its copies are made again; 0: the kernel's defaults.
	GraceCold inos.Micros
	GraceHot  inos.Micros
	// RepairBytesPerSecond bounds the traffic of repair; 0: adjusted to the measured bandwidth.
	RepairBytesPerSecond uint64
}

// mereProvider says that the node holds chunks and decides nothing.
func (c *Config) mereProvider() bool { return !c.Switchboard }

func (c *Config) complete() error {
	const op = "start node"
	if c.DataDir == "" {
		return inos.Errorf(inos.CodeBadRequest, op, "no data folder is named")
	}
	if !c.Switchboard && !c.Provider {
		c.Switchboard, c.Provider = true, true
	}
	if err := c.check(op); err != nil {
		return err
	}
	switch {
	case c.mereProvider():
		c.Workers = 0
	case c.Workers == 0:
		c.Workers = min(runtime.NumCPU(), workersMax)
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:7770"
		if c.mereProvider() {
			c.Listen = "127.0.0.1:0"
		}
	}
	if c.Zone == "" {
		c.Zone = "home"
	}
	if c.Operator == "" {
		c.Operator = string(operator)
	}
	if c.Tier == "" {
		c.Tier = inos.TierCold
	}
	if c.HostLabel == "" {
		name, err := os.Hostname()
		if err != nil {
			return inos.Errorf(inos.CodeIO, op, "the machine's name: %w", err)
		}
		c.HostLabel = name
	}
	if c.Stderr == nil {
		c.Stderr = os.Stderr
	}
	if c.CacheDir == "" {
		c.CacheDir = filepath.Join(c.DataDir, "cache")
	}
	if c.RootKeyPath == "" {
		c.RootKeyPath = filepath.Join(c.DataDir, "root.key")
	}
	if len(c.WorkerCommand) == 0 {
		command, err := defaultWorkerCommand()
		if err != nil {
			return err
		}
		c.WorkerCommand = command
	}
	return nil
}

// check refuses what no node can be run with.
func (c *Config) check(op string) error {
	if c.Quality != 0 && (c.Quality < 2 || c.Quality > 9) {
		return inos.Errorf(inos.CodeBadRequest, op, "quality %d is not 2 to 9", c.Quality)
	}
	if c.Workers < 0 || c.Workers > workersMax {
		return inos.Errorf(inos.CodeBadRequest, op, "%d workers are not 1 to %d", c.Workers, workersMax)
	}
	if c.ModuleDeadline < 0 {
		return inos.Errorf(inos.CodeBadRequest, op, "a module's deadline of %d us is before its call", c.ModuleDeadline)
	}
	if c.Tier != "" && c.Tier != inos.TierCold && c.Tier != inos.TierHot {
		return inos.Errorf(inos.CodeBadRequest, op, "the tier %q is not %s or %s", c.Tier, inos.TierHot, inos.TierCold)
	}
	if c.HeartbeatEvery < 0 || c.GraceCold < 0 || c.GraceHot < 0 {
		return inos.Errorf(inos.CodeBadRequest, op, "a heartbeat's interval or a grace is negative")
	}
	if c.mereProvider() && c.Rebuild {
		return inos.Errorf(inos.CodeBadRequest, op, "a node that is no switchboard has no map to rebuild")
	}
	if c.Switchboard && c.Invite != "" {
		return inos.Errorf(inos.CodeBadRequest, op, "a switchboard joins no other mesh by invite")
	}
	return nil
}
