// Command inos runs nodes of an INOS mesh and is the client of one. Running: inos up, node, join, rebuild, keys. Files: put, uploads, get, ls,
// stat, set, rm, verify. The mesh: nodes, repairs, drain, invite. People: login, logout, whoami, users, devices, groups, tokens, grant, grants, share,
// ledger, dashboard. Seeing: status, events, trace, replay, version. It holds flags, signals and what a person reads; the work is in packages host and
// host/api.
package main

import (
	"context"
	"io"
	"os"
	"slices"
)

func main() { os.Exit(mainStatus()) }

func mainStatus() int {
	if len(os.Args) > 1 && slices.Contains([]string{"up", "node", "join", "rebuild"}, os.Args[1]) {
		// A node ends by itself after a signal; see run_node.go and up_mesh.go.
		return run(context.Background(), nil, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	}
	ctx, late, stop := interruptible()
	defer stop()
	return run(ctx, late, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

// run executes a command line and returns its exit status. When late is closed it waits no longer for a command that was interrupted.
func run(ctx context.Context, late <-chan struct{}, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: output{stdout}, stderr: stderr, ctx: ctx}
	a.width, _ = terminalOf(stdout)
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(a.stdout)
	root.SetErr(stderr)
	ended := make(chan error, 1)
	go func() { ended <- root.ExecuteContext(ctx) }()
	select {
	case err := <-ended:
		a.json = a.json || slices.Contains(args, "--json") // an unknown command's flags are not read
		return a.report(err)
	case <-late:
		abandoned := &app{ctx: ctx, stderr: stderr, json: slices.Contains(args, "--json")} // the command still uses its own
		return abandoned.report(context.Canceled)
	}
}
