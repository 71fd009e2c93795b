// Command inos runs nodes of an INOS mesh and is the client of one. Running: inos up, node, join, rebuild, keys. Files: put, uploads, get, ls,
// stat, set, rm, verify. The mesh: nodes, repairs, drain, invite. Seeing: status, events, trace, replay, version. It holds flags, signals and what a person reads; the work is in packages host and
// host/api.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

func main() { os.Exit(mainStatus()) }

func mainStatus() int {
	if len(os.Args) > 1 && slices.Contains([]string{"up", "node", "join", "rebuild"}, os.Args[1]) {
		// A node ends by itself after a signal; see run_node.go and up_mesh.go.
		return run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

// run executes a command line and returns its exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: output{stdout}, stderr: stderr, ctx: ctx}
	a.width, _ = terminalOf(stdout)
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(a.stdout)
	root.SetErr(stderr)
	return a.report(root.ExecuteContext(ctx))
}
