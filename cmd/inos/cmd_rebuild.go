package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host"
	"github.com/inos-mesh/inos/host/api"
)

func (a *app) cmdRebuild() *cobra.Command {
	f := &upFlags{}
	c := &cobra.Command{
		Use:   "rebuild",
		Short: "Make the map of a lost switchboard again from the mesh",
		Long: `Rebuild makes the folder of a switchboard again that was lost or emptied. It runs it until the map is back: every file,
version, deletion and owner that the commit records on the providers tell of, and which node holds which chunk. The
highest version of a path wins; records that are forged, foreign or damaged are refused and counted. It needs the mesh's
root key, and providers that run; those of a local mesh ('inos up') it runs itself. A rebuild that is broken off goes on at
the next start.

It prints what came back, what was refused and what is unreadable because no node that came back holds all of its
chunks; the exit status is 6 when something is. Tokens are not in the mesh: the operator gets a new one.`,
		Example: `  rm -rf ~/.local/share/inos/switchboard && inos rebuild && inos up
  inos rebuild --data /srv/inos --root-key /media/safe/root.key --mesh-listen /ip4/0.0.0.0/tcp/7771`,
		Args: arguments(0, 0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.node.check(c); err != nil {
				return err
			}
			dir, err := a.dataDir()
			if err != nil {
				return err
			}
			kind, err := kindOf(dir)
			if err != nil {
				return err
			}
			folder := dir
			if kind == folderLocal {
				folder = filepath.Join(dir, switchboardName)
			}
			if err := mayRebuild(folder); err != nil {
				return err
			}
			if kind == folderLocal {
				return a.upMesh(dir, f, true)
			}
			if len(f.meshListen) == 0 {
				return usage(c, "say where the providers look for the switchboard, as it was before: --mesh-listen")
			}
			config := host.Config{DataDir: dir, Listen: f.listen, MeshListen: f.meshListen, RootKeyPath: f.rootKey, Switchboard: true, Rebuild: true}
			f.node.apply(&config)
			return a.rebuildHere(config)
		},
	}
	f.addListen(c)
	f.node.add(c.Flags(), nodeGraceCold, nodeGraceHot)
	return c
}

// mayRebuild refuses a folder that has a map, unless the map is one that a rebuild has begun.
func mayRebuild(dir string) error {
	const op = "rebuild"
	info, err := os.Stat(filepath.Join(dir, "semantic.db"))
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return folderError(op, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "rebuilding")); err == nil {
		return nil
	}
	return &inos.Error{
		Code: inos.CodeConflict, Op: op, Message: dir + " has a map",
		Hint: "Start it as it is, or move the folder away when its map is damaged.",
	}
}

// rebuildHere runs a switchboard in this process until its map is back.
func (a *app) rebuildHere(config host.Config) error {
	signals, release := endSignals()
	defer release()
	view := a.newView(config.DataDir)
	view.live = false
	defer view.outliveReaders()()
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	node, err := a.openNode(ctx, cancel, config, view, signals)
	if err != nil {
		return err
	}
	i := node.Info()
	view.started(identity{url: node.URL(), nodeID: i.NodeID, version: i.Version, kernelID: i.KernelID}, false)
	outcome, err := a.awaitRebuilt(node, view, signals)
	err = errors.Join(err, a.stopNode(node, view, signals))
	view.close()
	if err != nil {
		return err
	}
	return a.printRebuilt(outcome)
}

func (a *app) awaitRebuilt(node *host.Node, view *view, signals <-chan os.Signal) (*api.Rebuild, error) {
	tick := time.NewTicker(plainInterval)
	defer tick.Stop()
	for {
		asking, cancel := context.WithTimeout(a.ctx, lookTimeout)
		reply, err := node.Status(asking)
		cancel()
		if err == nil {
			s := api.StatusOf(reply)
			l := look{status: &s}
			view.show(&l)
			if l.rebuilt() {
				return s.Rebuild, nil
			}
		}
		select {
		case <-tick.C:
		case <-node.Done():
			return nil, node.Err()
		case <-signals:
			return nil, errRebuildInterrupted
		case <-a.ctx.Done():
			return nil, errRebuildInterrupted
		}
	}
}

// errRebuildInterrupted ends a rebuild before its end.
var errRebuildInterrupted = &inos.Error{
	Code: inos.CodeCanceled, Op: "rebuild", Message: "interrupted", Hint: "It goes on when the switchboard is started again, by 'inos rebuild' or as usual.",
}

// rebuilt tells whether the map is back.
func (l *look) rebuilt() bool { return l.status.Rebuild != nil && l.status.Rebuild.Done }

// printRebuilt tells what a rebuild has brought back.
// rebuiltLedger says what of the ledger a rebuild makes again.
const rebuiltLedger = `the ledger begins anew: escrow holds what the files pledge that came back, and users hold nothing else, whatever they held before; give it back with
'inos ledger transfer grant user:NAME CREDITS'. Everybody logs in again`

func (a *app) printRebuilt(b *api.Rebuild) error {
	var err error
	if a.json {
		err = a.printJSON(b)
	} else if !a.quiet {
		err = a.printf("nodes       %s, holding %s\nrecords     %s read, %s refused\nversions    %s restored\nunreadable  %s\n",
			groupText(b.Nodes), plural(b.Chunks, "chunk"), groupText(b.Records), groupText(b.Refused), groupText(b.Versions), groupText(b.Unreadable))
	}
	if err != nil {
		return err
	}
	if b.Versions > 0 {
		a.note("%s", rebuiltLedger)
	}
	if b.Unreadable == 0 {
		return nil
	}
	return found{&inos.Error{
		Code: inos.CodeChunkNotFound, Op: "rebuild", Message: fmt.Sprintf("%s cannot be read: no node that came back holds all of the chunks", plural(b.Unreadable, "version")),
		Hint: "Bring back the nodes that are missing; 'inos events --prefix node:rebuild' names the paths.",
	}}
}
