package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

const (
	// drainPoll is the time between two looks at how far a drain is.
	drainPoll = 500 * time.Millisecond
	// drainAwayMax is how long the showing of a drain waits for a switchboard that ended: it is started again, and the drain goes on.
	drainAwayMax = 2 * time.Minute
)

func (a *app) cmdDrain() *cobra.Command {
	var undo, noWait bool
	c := &cobra.Command{
		Use:   "drain NODE",
		Short: "Move everything off a node, so that it can leave",
		Long: `Drain stops placing copies on a node and brings those it holds to others; nothing falls below its replicas meanwhile,
because the node's copies stay until they are replaced. It shows how far it is until the node is empty. Ctrl-C ends the showing,
not the drain; --undo makes the node an ordinary member again.

NODE is what 'inos nodes' shows: a name, the end of an id, or a host with one node.`,
		Example: "  inos drain provider-3\n  inos drain provider-3 --undo\n  inos drain garage/nas --no-wait",
		Args:    arguments(1, 1, "one NODE"),
		RunE: func(c *cobra.Command, args []string) error {
			if undo && noWait {
				return usage(c, "--undo has nothing to wait for")
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			n, err := a.findNode(client, args[0])
			if err != nil {
				return err
			}
			return a.drain(client, n, undo, noWait)
		},
	}
	c.Flags().BoolVar(&undo, "undo", false, "stop draining: let the node take copies again")
	c.Flags().BoolVar(&noWait, "no-wait", false, "return at once")
	return c
}

func (a *app) drain(client *api.Client, n *api.NodeInfo, undo, noWait bool) error {
	state := inos.MemberDraining
	if undo {
		state = inos.MemberActive
	}
	m, err := client.SetNode(a.ctx, inos.NodeID(n.Node), state)
	if err != nil {
		return err
	}
	name := a.names().of(n.Node)
	if undo || noWait {
		if a.json {
			return a.printJSON(m)
		}
		if undo {
			a.note("%s takes copies again", name)
		} else {
			a.note("%s is draining: %s to go", name, plural(m.Copies, "copy", "copies"))
		}
		return nil
	}
	began := m.Copies
	meter := a.meter("drain "+name, int64(m.PlacedBytes))
	told, heard, away := "", time.Now(), false
	for m.Copies > 0 {
		if err := wait(a.ctx, drainPoll); err != nil {
			meter.close()
			a.note("%s goes on draining: %s to go", name, plural(m.Copies, "copy", "copies"))
			return err
		}
		r, err := client.Nodes(a.ctx)
		if err != nil && comesAgain(a.ctx, err, heard) {
			if !away && !a.quiet {
				meter.print(a.stderr, "inos: "+printable(err.Error())+"; waiting for it: the drain goes on when it is there again\n")
			}
			away = true
			continue
		}
		if err != nil {
			meter.close()
			return err
		}
		heard, away = time.Now(), false
		now, err := a.names().find(n.Node, r.Nodes)
		if err != nil {
			meter.close()
			return err
		}
		if now.State != inos.MemberDraining.String() {
			meter.close()
			return inos.Errorf(inos.CodeConflict, "nodes:set", "%s is %s: somebody else changed it", name, now.State)
		}
		m = now.Member
		meter.know(max(meter.sum(), int64(m.PlacedBytes)), plural(m.Copies, "copy", "copies")+" left")
		if _, why, stuck := strings.Cut(now.Notice, "; "); stuck && why != told {
			told = why
			text := a.fold("inos: ", a.names().within(printable(why))+". The drain waits for it; Ctrl-C ends only the showing.")
			meter.print(a.stderr, strings.Join(text, "\n")+"\n")
		}
		meter.set(meter.sum() - int64(m.PlacedBytes))
	}
	meter.close()
	if a.json {
		return a.printJSON(m)
	}
	a.note("%s is empty: %s moved; 'inos nodes rm' takes it out of the mesh", name, plural(began, "copy", "copies"))
	return nil
}

// comesAgain tells whether what failed may work in a moment, because a switchboard that answered before is being started again.
func comesAgain(ctx context.Context, err error, heard time.Time) bool {
	if ctx.Err() != nil || time.Since(heard) >= drainAwayMax {
		return false
	}
	switch inos.CodeOf(err) {
	case inos.CodeIO, inos.CodeNodeUnreachable, inos.CodeShuttingDown, inos.CodeBusy:
		return true
	}
	return false
}

// remark puts what a node tells behind a line.
func remark(notice string) string {
	if notice == "" {
		return ""
	}
	return "  " + printable(notice)
}

// wait returns after a time, or with the error of a context that ended.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
