package kernel

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// read does the commands about what the disks of a mesh hold:
//
//	hold node=N plain=P [unlisted] [untrusted]  puts the chunks of these plain bytes, or all with their manifests, on a node
//	strip node=N plain=P                        takes them off a node, and out of the map
//	lie node=N plain=P                          the node sends other bytes for them
//	stray node=N name=X [record]                a chunk without a row, or a record of no version, on a node's disk
//	spoil node=N                                its records go bad
//	claim node=N                                it says from here on that it holds every record it is asked for
//	records                                     which version's record is where, and where the map says
//	rot node=N plain=P                          they go bad on the node's disk
//	restarted node=N [unclean]                  the node beats for the first time after a start
//	distrust node=N                             begins the node's next epoch
//	disks                                       which node's disk holds what, and what the map says
func (s *script) read(verb string, args map[string]string, has func(string) bool) bool {
	w := s.w
	d := w.diskOf(args["node"])
	each := func(do func(id string, c stored)) {
		for _, id := range sortedKeys(w.ever) {
			if c := w.ever[id]; strings.HasPrefix(c.plain, args["plain"]) {
				do(id, c)
			}
		}
	}
	switch verb {
	case "hold":
		each(func(id string, c stored) {
			d.chunks[id] = c
			if row := w.rows[id]; row != nil && !has("unlisted") {
				row.copies[args["node"]] = &fakeCopy{epoch: w.epochOf(args["node"])}
				if has("untrusted") {
					row.copies[args["node"]].epoch = 0
				}
			}
		})
	case "strip":
		each(func(id string, c stored) {
			delete(d.chunks, id)
			if row := w.rows[id]; row != nil {
				delete(row.copies, args["node"])
			}
		})
	case "lie":
		each(func(id string, c stored) {
			if _, ok := d.chunks[id]; ok {
				c.id = string(hashOf("lie", id))
				d.chunks[id] = c
			}
		})
	case "rot":
		if d.rotten == nil {
			d.rotten = map[string]bool{}
		}
		each(func(id string, _ stored) { d.rotten[id] = true })
	case "restarted":
		s.capture(func() {
			w.serve(args["node"], false, event.NodeHeartbeat, &eventpb.HeartbeatRequest{
				Sequence: 1, Usage: &eventpb.ContentUsage{Chunks: uint64(len(d.chunks)), FreeBytes: *d.free}, StartedUs: int64(w.now), Version: "test", Unclean: has("unclean"),
			}, nil, nil)
		})
	case "records":
		for _, at := range sortedKeys(w.settled) {
			r, on := w.settled[at], []string{}
			for _, node := range append([]string{w.boot.NodeId}, sortedKeys(w.others)...) {
				if _, held := w.diskOf(node).records[string(r.RecordId)]; held {
					on = append(on, node)
				}
			}
			s.lines = append(s.lines, fmt.Sprintf("  %s version %d on %s; map: %s", r.File.Path, r.File.Version, strings.Join(on, ","), strings.Join(r.Nodes, ",")))
		}
	case "claim":
		d.claims = true
	case "spoil":
		d.rotten = map[string]bool{}
		for _, id := range sortedKeys(d.records) {
			d.rotten[id] = true
		}
	case "stray":
		id := string(hashOf("orphan", args["name"]))
		if has("record") {
			d.records[id] = stored{id: id, size: 100}
			break
		}
		d.chunks[id] = stored{id: id, size: 100}
	case "distrust":
		w.members[args["node"]].Epoch++
	case "disks":
		for _, id := range sortedKeys(w.ever) {
			line := "  " + chunkName(w.ever[id]) + " on " + strings.Join(w.where(id), ",") + "; map:"
			if row := w.rows[id]; row != nil {
				for _, c := range w.copiesOf(row) {
					line += " " + c.Node
					if !c.Trusted {
						line += "?"
					}
				}
			} else {
				line += " no row"
			}
			s.lines = append(s.lines, line)
		}
	default:
		return false
	}
	return true
}

func chunkName(c stored) string {
	if c.node {
		return "manifest"
	}
	return c.plain
}

// describeNodes writes what a verification found on each node.
func describeNodes(nodes []*eventpb.NodeVerified) string {
	var b bytes.Buffer
	for _, n := range nodes {
		b.WriteString("\n  node " + n.Node + " " + plural(n.Chunks, "chunk", "chunks") + ", " + plural(n.Bad, "bad", "bad"))
		if n.Error != "" {
			b.WriteString(": " + n.Error)
		}
	}
	return b.String()
}
