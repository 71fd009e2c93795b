package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/build"
	"github.com/inos-mesh/inos/host"
)

// hangups takes what nobody sends: what is started by a process that catches a signal does not ignore it, and by one that nohup has started it would.
var hangups = make(chan os.Signal, 1)

// command is an inos that runs, with the home folder of nobody.
func command(t *testing.T, args ...string) (c *exec.Cmd, errs *bytes.Buffer) {
	t.Helper()
	signal.Notify(hangups, syscall.SIGHUP)
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	t.Cleanup(cancel)
	c, errs = exec.CommandContext(ctx, "inos", args...), &bytes.Buffer{}
	c.Env = append(os.Environ(), "HOME="+t.TempDir(), "INOS_TOKEN=secret")
	c.Stderr = errs
	return c, errs
}

// interrupted sends a signal to a command and expects it to end by it as the manual says; on a machine that stood still it may have complained of that before.
func interrupted(t *testing.T, c *exec.Cmd, errs *bytes.Buffer, s syscall.Signal, want string) {
	t.Helper()
	if err := c.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // the status tells
	if got := c.ProcessState.ExitCode(); got != statusInterrupted || !strings.HasSuffix(errs.String(), want) {
		t.Errorf("%v: status %d (%v): %q", s, got, c.ProcessState, errs)
	}
}

// A command ends by each signal that asks it to, also when it waits for standard input, which no context ends.
func TestSignalEndsAWaitForInput(t *testing.T) {
	for _, c := range []struct {
		signal syscall.Signal
		args   []string
		want   string
	}{
		{syscall.SIGINT, nil, "inos: interrupted\n"},
		{syscall.SIGTERM, []string{"--json"}, `{"error":{"code":"canceled","operation":"wait","message":"interrupted"}}` + "\n"},
		{syscall.SIGHUP, nil, "inos: interrupted\n"},
	} {
		t.Run(c.signal.String(), func(t *testing.T) {
			t.Parallel()
			asked := make(chan struct{})
			node := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				close(asked)
				_, _ = io.Copy(io.Discard, r.Body) // until the command ends
			}))
			t.Cleanup(node.Close)
			put, errs := command(t, append([]string{"put", "-", "/x", "--node", node.URL}, c.args...)...)
			if _, err := put.StdinPipe(); err != nil { // nothing comes of it
				t.Fatal(err)
			}
			if err := put.Start(); err != nil {
				t.Fatal(err)
			}
			<-asked
			interrupted(t, put, errs, c.signal, c.want)
		})
	}
}

// A get that is broken off, by a terminal that is closed too, leaves nothing behind.
func TestSignalLeavesNoHalfFile(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			asked, end := make(chan struct{}), make(chan struct{})
			node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "1000000")
				_, _ = w.Write(make([]byte, 500_000))
				w.(http.Flusher).Flush()
				close(asked)
				<-end
			}))
			t.Cleanup(node.Close)
			t.Cleanup(func() { close(end) })
			dir := t.TempDir()
			get, errs := command(t, "get", "/x", "-o", filepath.Join(dir, "x"), "--node", node.URL)
			if err := get.Start(); err != nil {
				t.Fatal(err)
			}
			<-asked
			interrupted(t, get, errs, s, "inos: interrupted\n")
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("%v is left (%v)", left, err)
			}
		})
	}
}

// A start that a signal breaks off says so, and what to do, whether the node was there already or not.
func TestSignalBreaksOffAStart(t *testing.T) {
	a := &app{ctx: context.Background(), stdout: io.Discard, stderr: io.Discard}
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	dir, signals := t.TempDir(), make(chan os.Signal, 1)
	signals <- os.Interrupt
	_, err := a.openNode(ctx, cancel, host.Config{DataDir: dir, Listen: "127.0.0.1:0", Workers: 1}, a.newView(dir), signals)
	var coded *inos.Error
	if !errors.As(err, &coded) || coded.Code != inos.CodeCanceled || strings.Contains(coded.HintText(), "request") {
		t.Errorf("%v", err)
	}
}

// A node goes on when nobody reads what it says any more, and ends well.
func TestNodeOutlivesItsReader(t *testing.T) {
	if _, err := build.Kernel(); err != nil {
		t.Skip("the WASM files are not built")
	}
	dir := t.TempDir()
	up, _ := command(t, "node", "--switchboard", "--provider", "--listen", "127.0.0.1:0", "--workers", "1", "--data", dir)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	up.Stdout, up.Stderr = w, w
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	if line, err := bufio.NewReader(r).ReadString('\n'); err != nil || !strings.Contains(line, "listening") {
		t.Fatalf("%q (%v)", line, err)
	}
	_ = r.Close()
	for !readyAt(dir) { // it has had to say so by then
		if err := up.Process.Signal(syscall.Signal(0)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(statePause) // a poll of another process, which the command's context bounds
	}
	if err := up.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := up.Wait(); err != nil {
		t.Errorf("the node ended: %v", err)
	}
}

func readyAt(dir string) bool {
	address, err := readSmall(filepath.Join(dir, "url"))
	if err != nil {
		return false
	}
	response, err := http.Get(address + "/readyz")
	if err != nil {
		return false
	}
	defer response.Body.Close()
	var any json.RawMessage
	_ = json.NewDecoder(response.Body).Decode(&any) // only the status counts
	return response.StatusCode == http.StatusOK
}
