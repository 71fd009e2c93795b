package kernel

import (
	"fmt"
	"testing"

	"github.com/inos-mesh/inos"
)

// A chunk that was found is read to be brought to where the rest of its put is, and is bad on some of the nodes that said they hold it: the put succeeds as
// it would have without that look, and its receipt names no domain of which it was seen that it has not got all of the file.
func TestFoundChunkIsBad(t *testing.T) {
	var nodes []string
	for i := range 9 {
		nodes = append(nodes, fmt.Sprint("node-", i+2))
	}
	for rotten := 1; rotten < 8; rotten++ {
		t.Run(fmt.Sprintf("%03b", rotten), func(t *testing.T) {
			k, w := hosts(t, nodes)
			for _, of := range [][]string{{"a", "b"}, {"c", "d"}} {
				id := w.putOf("/of "+of[0], of...)
				w.run(1 << 16)
				w.tick(w.now + lateEvery)
				w.run(1 << 16)
				w.named(t, k, id)
			}
			spoilt := 0
			for _, of := range []string{"c", "d"} {
				form, _ := encoded(pieceName(of, 0, inos.ChunkBytesMax), inos.ChunkBytesMax, 0, 0)
				for i, node := range sortedKeys(w.rows[form.id].copies) {
					if d := w.others[node]; rotten&(1<<i) != 0 {
						if d.rotten == nil {
							d.rotten = map[string]bool{}
						}
						d.rotten[form.id] = true
						spoilt++
					}
				}
			}
			if spoilt == 0 {
				t.Fatal("nothing is spoilt")
			}
			id := w.putOf("/found", "a", "b", "c", "d")
			w.run(1 << 16)
			for range 40 {
				if reply, _ := w.last(id); reply != nil {
					break
				}
				w.tick(max(w.wake, w.now+1))
				w.run(1 << 16)
			}
			if domains := w.named(t, k, id); len(domains) == 0 {
				t.Error("the receipt names no domain") // one may be in doubt
			}
			for _, of := range []string{"c", "d"} {
				good := 0
				form, _ := encoded(pieceName(of, 0, inos.ChunkBytesMax), inos.ChunkBytesMax, 0, 0)
				for _, d := range w.others {
					if d.chunks[form.id].id != "" && !d.rotten[form.id] {
						good++
					}
				}
				if good < 2 {
					t.Errorf("%d good copies of %s are left", good, of)
				}
			}
			w.run(1 << 16)
			w.check(t)
		})
	}
}
