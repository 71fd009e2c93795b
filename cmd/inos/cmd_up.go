package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host"
)

// stopTimeout bounds a clean stop; what is under way then is broken off, as by a crash.
const stopTimeout = 45 * time.Second

func (a *app) cmdUp() *cobra.Command {
	config := host.Config{}
	var noRecord bool
	var capacity byteCount
	c := &cobra.Command{
		Use:   "up",
		Short: "Start a node on this machine",
		Long: `Up starts a node and runs it until Ctrl-C, which finishes what is under way; a second Ctrl-C breaks it off, which
loses nothing that was acknowledged. All state is in the data folder: started again on it, the node has everything.
The first start creates the operator's token there, readable only by you.

On a terminal a few lines show how the node is; elsewhere lines tell what changes.`,
		Example: `  inos up
  inos up --data /srv/inos --listen 127.0.0.1:7771
  inos up --listen 127.0.0.1:0          # any free port; the file 'url' in the data folder names it`,
		Args: arguments(0, 0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if config.DataDir, err = a.dataDir(); err != nil {
				return err
			}
			if c.Flags().Changed("quality") && (config.Quality < 2 || config.Quality > 9) {
				return usage(c, "--quality is 2 to 9, not %d", config.Quality)
			}
			if c.Flags().Changed("workers") && config.Workers < 1 {
				return usage(c, "--workers is at least 1, not %d", config.Workers)
			}
			config.CapacityBytes = int64(capacity)
			config.Record = !noRecord
			return a.up(config)
		},
	}
	flags := c.Flags()
	flags.StringVar(&config.Listen, "listen", "", "address of the HTTP interface (default 127.0.0.1:7770)")
	flags.IntVar(&config.Workers, "workers", 0, "worker processes (default one per core)")
	flags.IntVar(&config.Quality, "quality", 0, "Brotli quality 2 to 9 (default adjusted to the load)")
	flags.Var(&capacity, "capacity", "bytes that chunks may take on the disk, trash included, such as 500G or 2Ti (default all but a reserve)")
	flags.BoolVar(&noRecord, "no-record", false, "write no log for 'inos replay'")
	return c
}

// up runs a node until a signal or until it ends by itself.
func (a *app) up(config host.Config) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()

	view := a.newView(config.DataDir)
	config.Stderr = view
	opening := make(chan struct{})
	go func() { // a start that recovers much can be broken off too
		select {
		case <-signals:
			cancel()
		case <-opening:
		}
	}()
	node, err := host.Open(ctx, config)
	close(opening)
	if err != nil {
		view.close()
		if ctx.Err() != nil {
			return inos.Errorf(inos.CodeCanceled, "start node", "interrupted")
		}
		return err
	}
	view.started(node)
	stopped := a.watch(node, view, signals)
	view.close()
	return stopped
}

// watch refreshes the view until the node is to end, and ends it.
func (a *app) watch(node *host.Node, view *view, signals <-chan os.Signal) error {
	watching, stop := context.WithCancel(a.ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		view.follow(watching, node)
	}()
	defer func() {
		stop()
		<-watched
	}()
	select {
	case <-node.Done():
		stop()
		<-watched
		return a.closeNode(node, view)
	case <-signals:
	case <-a.ctx.Done():
	}
	view.say("stopping", "finishing what is under way; Ctrl-C again breaks it off")
	go func() {
		<-signals
		view.close()
		fmt.Fprintln(a.stderr, "inos: broken off; what was acknowledged is kept")
		os.Exit(statusInterrupted)
	}()
	return a.closeNode(node, view)
}

func (a *app) closeNode(node *host.Node, view *view) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := node.Close(ctx); err != nil {
		return err
	}
	view.say("stopped", "everything acknowledged is kept in the data folder")
	return nil
}

// nextSteps tells where to go from a running node; the commands are complete for the folder it runs on.
func nextSteps(dataDir, defaultDir string) []string {
	flag := ""
	if abs, err := filepath.Abs(dataDir); err == nil && dataDir != defaultDir {
		flag = " --data " + abs
	}
	return []string{
		"inos put FILE /path" + flag,
		"inos ls" + flag,
		"inos get /path -o FILE" + flag,
		"inos events --follow" + flag,
	}
}
