package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos/host"
)

func (a *app) cmdVersion() *cobra.Command {
	var remote bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Show the version and the ids of the kernel and modules",
		Long: `Version shows what this binary is made of: its version, and the BLAKE3 of the kernel and of each module in it. With
--remote it asks the running node, which may be of another build.`,
		Example: "  inos version\n  inos version --remote --json",
		Args:    arguments(0, 0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			if !remote {
				return a.printOwnVersion()
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			defer client.Close()
			i, err := client.Version(a.ctx)
			if err != nil {
				return err
			}
			return a.printVersion(i.Version, i.KernelID, i.Go, i.NodeID, i.Modules, i)
		},
	}
	c.Flags().BoolVar(&remote, "remote", false, "ask the running node")
	return c
}

func (a *app) printOwnVersion() error {
	v := host.Version()
	return a.printVersion(v.Version, v.KernelID, v.Go, "", v.Modules, v)
}

func (a *app) printVersion(version, kernelID, goVersion, nodeID string, modules map[string]string, v any) error {
	if a.json {
		return a.printJSON(v)
	}
	if kernelID == "" {
		kernelID = "missing: this binary was built without it"
	}
	text := fmt.Sprintf("inos %s\n  kernel   %s\n", version, kernelID)
	if len(modules) == 0 {
		text += "  storage  missing: this binary was built without it\n"
	}
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		text += fmt.Sprintf("  %-8s %s\n", name, modules[name])
	}
	text += fmt.Sprintf("  go       %s\n", goVersion)
	if nodeID != "" {
		text += fmt.Sprintf("  node     %s\n", nodeID)
	}
	return a.printf("%s", text)
}
