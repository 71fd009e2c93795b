package main

import (
	"context"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos/host"
)

func (a *app) cmdWorker() *cobra.Command {
	return &cobra.Command{
		Use:    "worker",
		Short:  "Run modules for a node (a node starts this itself)",
		Long:   "Worker runs the storage module for the node that started it: messages come on standard input, answers go to standard output. It ends when its input ends.",
		Hidden: true,
		Args:   arguments(0, 0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			// Ctrl-C in a terminal reaches the worker too; its node decides when it ends.
			signal.Ignore(os.Interrupt)
			if status, err := host.Worker(context.WithoutCancel(a.ctx), a.stdin, a.stdout); err != nil {
				return &workerEnd{err, status}
			}
			return nil
		},
	}
}

// workerEnd is what ended a worker, with the status that tells its node.
type workerEnd struct {
	error
	status int
}
