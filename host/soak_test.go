package host

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

// soakSeconds is how long TestMixedWork works; INOS_SOAK_SECONDS asks for more.
const soakSeconds = 5

// TestMixedWork puts, gets, overwrites, deletes, lists and breaks off puts on a real node for a while, each client
// against a model of its own files, then replays the log of it.
func TestMixedWork(t *testing.T) {
	seconds := soakSeconds
	if s := os.Getenv("INOS_SOAK_SECONDS"); s != "" {
		var err error
		if seconds, err = strconv.Atoi(s); err != nil {
			t.Fatalf("INOS_SOAK_SECONDS: %v", err)
		}
	}
	dir := os.Getenv("INOS_SOAK_DIR") // kept, for another replay of its log
	if dir == "" {
		dir = t.TempDir()
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	node := startChild(t, dir)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(seconds)*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	var operations [4]int
	for lane := range operations {
		wg.Go(func() {
			c := &soakClient{t: t, api: node.client, random: rand.New(rand.NewPCG(seed, uint64(lane))), lane: lane, files: map[inos.Path][]byte{}}
			for ctx.Err() == nil && !t.Failed() {
				c.work()
				operations[lane]++
			}
			c.check()
		})
	}
	wg.Wait()
	status, err := node.client.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("operations %v, %d steps; peak memory: node %d MiB, workers %d and %d MiB", operations, status.Steps,
		peakMiB(node.cmd.Process.Pid), peakMiB(int(status.Workers[0].PID)), peakMiB(int(status.Workers[1].PID)))
	node.stop(t)
	report, err := Replay(context.Background(), filepath.Join(dir, "log"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if report.Steps < status.Steps {
		t.Fatalf("%d steps replayed, the node had made %d", report.Steps, status.Steps)
	}
	t.Logf("replayed %d steps of %d segments", report.Steps, report.Segments)
}

// soakClient works on files of its own and knows what they hold.
type soakClient struct {
	t      *testing.T
	api    *api.Client
	random *rand.Rand
	lane   int
	files  map[inos.Path][]byte
}

// soakFilesMax bounds the files, and with them the memory, of one client.
const soakFilesMax = 24

func (c *soakClient) work() {
	ctx := context.Background()
	path := inos.Path(fmt.Sprintf("/lane%d/%d", c.lane, c.random.IntN(soakFilesMax)))
	body, exists := c.files[path]
	switch roll := c.random.IntN(100); {
	case roll < 40:
		body = text(c.random.Uint64(), c.random.IntN(1<<(4+c.random.IntN(20))))
		if c.random.IntN(2) == 0 {
			body = noise(c.random.Uint64(), len(body))
		}
		_, err := c.api.Put(ctx, path, bytes.NewReader(body), int64(len(body)), api.PutOptions{})
		c.must("put", path, err)
		c.files[path] = body
	case roll < 75 && exists:
		var got bytes.Buffer
		_, err := c.api.Get(ctx, api.Ref{Path: path}, &got, api.GetOptions{})
		c.must("get", path, err)
		if !bytes.Equal(got.Bytes(), body) {
			c.t.Errorf("%s reads back other bytes", path)
		}
	case roll < 85 && exists:
		_, err := c.api.Delete(ctx, path)
		c.must("delete", path, err)
		delete(c.files, path)
	case roll < 90:
		broken := io.MultiReader(bytes.NewReader(noise(c.random.Uint64(), c.random.IntN(3<<20))), &failingReader{io.ErrClosedPipe})
		if _, err := c.api.Put(ctx, path, broken, 4<<20, api.PutOptions{}); err == nil {
			c.t.Errorf("put %s of a broken body succeeded", path)
		}
	case roll < 95:
		c.check()
	}
	time.Sleep(time.Duration(c.random.IntN(40)) * time.Millisecond) // a person's pace: an hour of work has to fit the log
}

// check compares the listing with the model.
func (c *soakClient) check() {
	count := 0
	for file, err := range c.api.List(context.Background(), fmt.Sprintf("/lane%d/", c.lane)) {
		c.must("list", "", err)
		body, ok := c.files[inos.Path(file.Path)]
		if !ok || uint64(len(body)) != file.PlainBytes {
			c.t.Errorf("list: %s has %d bytes, put were %d (known: %v)", file.Path, file.PlainBytes, len(body), ok)
		}
		count++
	}
	if count != len(c.files) {
		c.t.Errorf("lane %d: %d files listed, %d were put", c.lane, count, len(c.files))
	}
}

func (c *soakClient) must(what string, path inos.Path, err error) {
	if err != nil {
		c.t.Errorf("%s %s: %v", what, path, err)
	}
}

// peakMiB returns the peak resident memory of a process, 0 when it is not to be had.
func peakMiB(pid int) int { return memoryMiB(pid, "VmHWM:") }

// memoryMiB returns a line of a process's memory.
func memoryMiB(pid int, line string) int {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(raw, []byte(line))
	var kib int
	_, _ = fmt.Sscan(string(after), &kib)
	return kib >> 10
}
