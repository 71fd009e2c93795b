package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos"
)

// othersManual is said by the commands that take a path in another's namespace.
const othersManual = `

A PATH in another's namespace is written ~OWNER/PATH, in quotes where the shell takes ~ for itself.`

// within takes ~OWNER off the front of each path and has the client look in that namespace: all paths of a command are in one.
func (a *app) within(c *cobra.Command, paths []string) error {
	for i, p := range paths {
		var owner string
		if rest, ok := strings.CutPrefix(p, "~"); ok {
			owner, p, _ = strings.Cut(rest, "/")
			if err := inos.CheckName(owner); err != nil {
				return usage(c, "%q: a path in another's namespace is written ~OWNER/PATH", paths[i])
			}
			paths[i] = "/" + p
		}
		if i > 0 && inos.Subject(owner) != a.owner {
			return usage(c, "%q and %q are in two namespaces: give a command for each", paths[0], paths[i])
		}
		a.owner = inos.Subject(owner)
	}
	return nil
}
