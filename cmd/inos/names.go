package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

// namesFile is where 'inos up' writes what it calls the nodes of its local mesh, as a JSON object of names by node id.
const namesFile = "names"

// nodeIDTail is how much of a node's id a person reads: its end, because all ids of Ed25519 keys begin alike. --json has
// all of it.
const nodeIDTail = 8

// nodeNames are what a person calls the nodes of a local mesh, by node id; nil where nobody named them.
type nodeNames map[string]string

// names returns the names that the data folder knows. They are a convenience: without them nodes go by their id.
func (a *app) names() nodeNames {
	dir, err := a.dataDir()
	if err != nil {
		return nil
	}
	names, err := readNames(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.note("the names of the local nodes cannot be read: %v", err)
	}
	return names
}

func readNames(dir string) (nodeNames, error) {
	s, err := readSmall(filepath.Join(dir, namesFile))
	if err != nil {
		return nil, err
	}
	var names nodeNames
	return names, json.Unmarshal([]byte(s), &names)
}

// of returns what a person calls a node: its name, or the end of its id.
func (n nodeNames) of(id string) string {
	if name := n[id]; name != "" {
		return printable(name)
	}
	return shortNode(id)
}

// shortNode returns the end of a node's id.
func shortNode(id string) string {
	if len(id) > nodeIDTail+2 {
		return "…" + printable(id[len(id)-nodeIDTail:])
	}
	return printable(id)
}

// domain returns a failure domain for a person: at the level of processes it is a node's id.
func (n nodeNames) domain(s string) string {
	if name := n[s]; name != "" {
		return printable(name)
	}
	if len(s) > 40 && !strings.Contains(s, "/") {
		return shortNode(s)
	}
	return printable(s)
}

// order compares two nodes by where they stand, then by what they are called: provider-2 before provider-10.
func (n nodeNames) order(zoneA, hostA, a, zoneB, hostB, b string) int {
	nameA, nameB := n[a], n[b]
	return cmp.Or(strings.Compare(zoneA, zoneB), strings.Compare(hostA, hostB), cmp.Compare(len(nameA), len(nameB)), strings.Compare(nameA, nameB), strings.Compare(a, b))
}

// nodeTailMin is the least of an id's end that names a node.
const nodeTailMin = 4

// find returns the member that a person means: by its id, its local name, the end of its id, or a host that has one node.
func (n nodeNames) find(arg string, nodes []api.NodeInfo) (*api.NodeInfo, error) {
	const op = "find node"
	tail := strings.TrimPrefix(arg, "…")
	var matches []*api.NodeInfo
	for i := range nodes {
		m := &nodes[i]
		switch {
		case arg == "":
		case m.Node == arg, n[m.Node] == arg:
			return m, nil
		case m.State == inos.MemberRemoved.String() && m.Node != arg:
		case len(tail) >= nodeTailMin && strings.HasSuffix(m.Node, tail), m.Host == arg, m.Zone+"/"+m.Host == arg:
			matches = append(matches, m)
		}
	}
	switch len(matches) {
	case 0:
		return nil, inos.Errorf(inos.CodeNodeUnknown, op, "the mesh has no node %q", printable(arg))
	case 1:
		return matches[0], nil
	}
	var candidates []string
	for _, m := range matches {
		candidates = append(candidates, n.of(m.Node))
	}
	return nil, &inos.Error{
		Code: inos.CodeBadRequest, Op: op, Message: printable(arg) + " may be any of " + strings.Join(candidates, ", "),
		Hint: "Name one by its id or a longer end of it.",
	}
}

// toldNode is how the kernel names a node in what it tells: the end of its id, and where it stands.
var toldNode = regexp.MustCompile(`…([0-9A-Za-z]{8}) \([^()]*\)`)

// within puts the names of nodes into what the kernel tells of them.
func (n nodeNames) within(text string) string {
	return toldNode.ReplaceAllStringFunc(text, func(short string) string {
		end := toldNode.FindStringSubmatch(short)[1]
		for id, name := range n {
			if strings.HasSuffix(id, end) {
				return name
			}
		}
		return short
	})
}
