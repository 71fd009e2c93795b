package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host"
	"github.com/inos-mesh/inos/host/api"
)

// stopTimeout bounds a clean stop; what is under way then is broken off, as by a crash.
const stopTimeout = 45 * time.Second

// runNode runs one node in this process until a signal or until it ends by itself. On a terminal, lively shows how it is.
func (a *app) runNode(config host.Config, lively bool) error {
	signals, release := endSignals()
	defer release()
	view := a.newView(config.DataDir)
	view.live = view.live && lively
	defer view.outliveReaders()()
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	node, err := a.openNode(ctx, cancel, config, view, signals)
	if err != nil {
		return err
	}
	i := node.Info()
	view.started(identity{url: node.URL(), nodeID: i.NodeID, version: i.Version, kernelID: i.KernelID}, lively && (config.Switchboard || !config.Provider))
	if config.Switchboard || !config.Provider {
		if client, err := folderClient(node.URL(), config.DataDir); err == nil { // else the view goes without a dashboard
			defer client.Close()
			view.offers(client)
		}
	}
	stopped := a.watch(node, view, signals)
	view.close()
	return stopped
}

// openNode starts a node that tells what it has to say to the view. A signal cancels ctx until it has started.
func (a *app) openNode(ctx context.Context, cancel func(), config host.Config, view *view, signals <-chan os.Signal) (*host.Node, error) {
	config.Stderr = view
	opened, heard := make(chan struct{}), make(chan struct{})
	go func() { // a start that recovers much can be broken off too
		defer close(heard)
		select {
		case <-signals:
			cancel()
		case <-opened:
		}
	}()
	node, err := host.Open(ctx, config)
	close(opened)
	<-heard
	if err == nil && ctx.Err() != nil { // the signal came when the start could not be broken off any more
		err = a.closeNode(node, view)
	}
	if err != nil || ctx.Err() != nil {
		view.close()
		if ctx.Err() != nil {
			return nil, &inos.Error{Code: inos.CodeCanceled, Op: "start node", Message: "interrupted", Hint: "Everything acknowledged is kept in the data folder; start it again."}
		}
		return nil, err
	}
	return node, nil
}

// watch refreshes the view until the node is to end, and ends it.
func (a *app) watch(node *host.Node, view *view, signals <-chan os.Signal) error {
	watching, stop := context.WithCancel(a.ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		view.follow(watching, func(ctx context.Context) (look, error) {
			reply, err := node.Status(ctx)
			if err != nil {
				return look{}, err
			}
			s := api.StatusOf(reply)
			return look{status: &s}, nil
		})
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
	return a.stopNode(node, view, signals)
}

// stopNode ends a node after a first signal; a second one breaks that off.
func (a *app) stopNode(node *host.Node, view *view, signals <-chan os.Signal) error {
	view.say("stopping", "finishing what is under way; Ctrl-C again breaks it off")
	go func() {
		awaitSecond(signals)
		view.brokenOff()
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
		flag = " --data " + shellWord(abs)
	}
	return []string{
		"inos put FILE /path" + flag,
		"inos ls" + flag,
		"inos get /path -o FILE" + flag,
		"inos nodes" + flag,
		"inos events --follow" + flag,
	}
}
