package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host"
)

// nodeFlags are how a node works, whatever its role; 'inos up' hands them on to the nodes that it starts.
type nodeFlags struct {
	workers   int
	quality   int
	noRecord  bool
	capacity  byteCount
	graceCold time.Duration
	graceHot  time.Duration
	cache     string
}

// add defines the flags with the graces that the command means.
func (f *nodeFlags) add(flags *pflag.FlagSet, graceCold, graceHot time.Duration) {
	flags.IntVar(&f.workers, "workers", 0, "worker processes (default one per core)")
	flags.IntVar(&f.quality, "quality", 0, "Brotli quality 2 to 9 (default adjusted to the load)")
	flags.Var(&f.capacity, "capacity", "bytes that chunks may take on the disk, trash included, such as 500G or 2Ti (default all but a reserve)")
	flags.BoolVar(&f.noRecord, "no-record", false, "write no log for 'inos replay'")
	flags.StringVar(&f.cache, "cache", "", "folder of compiled WebAssembly, which nodes of one user may share (default 'cache' in the data folder)")
	flags.DurationVar(&f.graceCold, "grace-cold", graceCold, "how long a cold node may be away before its copies are made again")
	flags.DurationVar(&f.graceHot, "grace-hot", graceHot, "how long a hot node may be away before its copies are made again")
}

// check refuses values that no node can work with.
func (f *nodeFlags) check(c *cobra.Command) error {
	switch changed := c.Flags().Changed; {
	case changed("quality") && (f.quality < 2 || f.quality > 9):
		return usage(c, "--quality is 2 to 9, not %d", f.quality)
	case changed("workers") && f.workers < 1:
		return usage(c, "--workers is at least 1, not %d", f.workers)
	case f.graceCold < time.Second || f.graceHot < time.Second:
		return usage(c, "a grace is at least 1s: a node that restarts is away for a moment")
	}
	return nil
}

// apply puts the flags into a node's configuration.
func (f *nodeFlags) apply(config *host.Config) {
	config.Workers, config.Quality, config.Record, config.CapacityBytes = f.workers, f.quality, !f.noRecord, int64(f.capacity)
	config.CacheDir = f.cache
	config.GraceCold, config.GraceHot = inos.Micros(f.graceCold.Microseconds()), inos.Micros(f.graceHot.Microseconds())
}

// args returns the flags as arguments of a switchboard or of a provider of a local mesh, which share what they compile.
func (f *nodeFlags) args(switchboard bool, cache string) []string {
	if f.cache != "" {
		cache = f.cache
	}
	args := []string{"--cache", cache}
	if f.noRecord {
		args = append(args, "--no-record")
	}
	if !switchboard {
		return args
	}
	if f.workers > 0 {
		args = append(args, "--workers", strconv.Itoa(f.workers))
	}
	if f.quality > 0 {
		args = append(args, "--quality", strconv.Itoa(f.quality))
	}
	return append(args, "--grace-cold", f.graceCold.String(), "--grace-hot", f.graceHot.String())
}
