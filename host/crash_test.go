package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/api"
)

// crashRounds is how often the node is killed; INOS_CRASH_ROUNDS asks for more.
const crashRounds = 20

// childNode is a node in a process of its own, which can be killed.
type childNode struct {
	cmd    *exec.Cmd
	client *api.Client
}

// startChild runs this test binary as a node on dir and waits until it says where it listens.
func startChild(t *testing.T, dir string) *childNode {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "node", dir, testCache)
	cmd.Stderr = testLog{t}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 256)
	n, err := out.Read(line)
	if err != nil {
		t.Fatalf("the node did not start: %v", err)
	}
	secret, err := os.ReadFile(filepath.Join(dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := api.NewClient(strings.TrimSpace(string(line[:n])), strings.TrimSpace(string(secret)))
	if err != nil {
		t.Fatal(err)
	}
	return &childNode{cmd, client}
}

func (c *childNode) kill() {
	c.client.Close()
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait() // "signal: killed" is what was asked for
}

// stop ends the node in order.
func (c *childNode) stop(t *testing.T) {
	t.Helper()
	c.client.Close()
	if err := errors.Join(c.cmd.Process.Signal(os.Interrupt), c.cmd.Wait()); err != nil {
		t.Fatalf("stop the node: %v", err)
	}
}

// runChild is the main of a child node: it serves until it is interrupted or killed.
func runChild(dir, cache string) error {
	n, err := Open(context.Background(), Config{DataDir: dir, Listen: "127.0.0.1:0", Workers: 2, Record: true, CacheDir: cache})
	if err != nil {
		return err
	}
	fmt.Println(n.URL())
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt)
	select {
	case <-stop:
		return n.Close(context.Background())
	case <-n.Done():
		return n.Err()
	}
}

// TestKilledNodeKeepsWhatItAcknowledged kills the node in the middle of ten concurrent puts, again and again on one
// folder: every acknowledged file reads back, no other is visible, and the counters equal the disk.
func TestKilledNodeKeepsWhatItAcknowledged(t *testing.T) {
	rounds := crashRounds
	if testing.Short() {
		rounds = 3
	}
	if s := os.Getenv("INOS_CRASH_ROUNDS"); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatalf("INOS_CRASH_ROUNDS: %v", err)
		}
	}
	dir := t.TempDir()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	acknowledged := map[inos.Path][]byte{} // body by path
	for round := range rounds {
		node := startChild(t, dir)
		checkCrashed(t, node.client, acknowledged)
		killAfter := random.IntN(25) // acknowledged puts before the kill
		sizes := make([]int, 400)
		for i := range sizes {
			sizes[i] = random.IntN(1 << (6 + random.IntN(16)))
		}
		var mu sync.Mutex // guards next, killed and acknowledged
		next, killed := 0, false
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				for {
					mu.Lock()
					i := next
					next++
					stop := killed || i >= len(sizes)
					mu.Unlock()
					if stop {
						return
					}
					path := inos.Path(fmt.Sprintf("/round%d/file%d", round, i))
					body := text(uint64(round)<<16|uint64(i), sizes[i])
					if i%2 == 0 {
						body = noise(uint64(round)<<16|uint64(i), sizes[i])
					}
					_, err := node.client.Put(context.Background(), path, bytes.NewReader(body), int64(len(body)), api.PutOptions{})
					mu.Lock()
					if err == nil {
						acknowledged[path] = body
						if killAfter--; killAfter < 0 && !killed {
							killed = true
							_ = node.cmd.Process.Kill()
						}
					} else if !killed {
						t.Errorf("put before the kill: %v", err)
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		node.kill()
	}
	node := startChild(t, dir)
	checkCrashed(t, node.client, acknowledged)
	node.kill()
	checkDisk(t, dir)
}

// checkCrashed holds a recovered node to what was acknowledged. A put whose answer was lost may be there or not; if it
// is, it is whole.
func checkCrashed(t *testing.T, c *api.Client, acknowledged map[inos.Path][]byte) {
	t.Helper()
	ctx := context.Background()
	listed := map[inos.Path]bool{}
	for file, err := range c.List(ctx, "/") {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		listed[inos.Path(file.Path)] = true
		var got bytes.Buffer
		if _, err := c.Get(ctx, api.Ref{Path: inos.Path(file.Path)}, &got, api.GetOptions{}); err != nil {
			t.Fatalf("get %s: %v", file.Path, err)
		}
		if sum := blake3.Sum256(got.Bytes()); fmt.Sprintf("%x", sum) != file.FileID {
			t.Fatalf("%s reads back with another file id", file.Path)
		}
		if body, ok := acknowledged[inos.Path(file.Path)]; ok && !bytes.Equal(got.Bytes(), body) {
			t.Fatalf("%s reads back other bytes than were acknowledged", file.Path)
		}
	}
	for path := range acknowledged {
		if !listed[path] {
			t.Fatalf("%s was acknowledged and is gone", path)
		}
	}
}

// checkDisk opens a killed node's folder once more, lets it collect what unfinished puts left, and compares its
// counters with the files on the disk and with the semantic memory.
func checkDisk(t *testing.T, dir string) {
	t.Helper()
	n := openNode(t, dir, nil)
	n.waitFor("what unfinished puts left is collected", func(s *eventpb.NodeStatusReply) bool {
		totals, err := n.semantic.Totals(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return s.Ready && totals.Collectable == 0 && totals.Uploads == 0 && uint64(n.content.Usage().Chunks) == totals.Chunks
	})
	usage := n.content.Usage()
	n.close()
	var chunks, bytes int64
	err := filepath.WalkDir(filepath.Join(dir, "content", "chunks"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		chunks, bytes = chunks+1, bytes+info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if chunks != usage.Chunks || bytes != usage.UsedBytes {
		t.Fatalf("the disk holds %d chunks of %d bytes, the counters say %d of %d", chunks, bytes, usage.Chunks, usage.UsedBytes)
	}
}
