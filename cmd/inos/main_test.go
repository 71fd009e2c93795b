package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos/build"
	"github.com/inos-mesh/inos/host/api"
)

// afterTests are run behind the last test.
var afterTests []func()

// tidyMain runs the tests and then what they left to be done.
type tidyMain struct{ *testing.M }

func (m tidyMain) Run() int {
	code := m.M.Run()
	for _, f := range afterTests {
		f()
	}
	return code
}

func TestMain(m *testing.M) {
	testscript.Main(tidyMain{m}, map[string]func(){"inos": func() { os.Exit(mainStatus()) }})
}

// scriptsTimeout bounds all scripts together: a node that hangs must not hang the tests.
const scriptsTimeout = 20 * time.Minute

// readyTimeout bounds how long a script waits for its node; a cold start compiles the modules, on a busy machine for long.
const readyTimeout = 5 * time.Minute

func TestScripts(t *testing.T) {
	_, kernelErr := build.Kernel()
	_, moduleErr := build.Storage()
	complete := kernelErr == nil && moduleErr == nil
	if !complete {
		t.Log("the WASM files are not built: the scripts that need a node are skipped")
	}
	cache := t.TempDir() // compiled once for all scripts
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		Deadline:            time.Now().Add(scriptsTimeout),
		RequireExplicitExec: true,
		Condition: func(name string) (bool, error) {
			switch name {
			case "built":
				return complete, nil
			case "root":
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("INOS_DATA", filepath.Join(e.WorkDir, "data"))
			e.Setenv("CACHE", cache)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    scriptExits,
			"ready":    scriptReady,
			"field":    scriptField,
			"lines":    scriptLines,
			"fileid":   scriptFileID,
			"fill":     scriptFill,
			"raw":      scriptRaw,
			"damage":   scriptDamage,
			"remove":   scriptRemove,
			"address":  scriptAddress,
			"chunk":    scriptChunk,
			"until":    scriptUntil,
			"succeeds": scriptSucceeds,
			"crash":    scriptCrash,
			"empty":    scriptEmpty,
			"unheld":   scriptUnheld,
			"readfile": scriptReadFile,
		},
	})
}

// scriptExits runs a command that must end with a status: exits 3 inos get /none.
func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits status command...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// scriptReady waits until the node of the data folder takes work: ready [folder].
func scriptReady(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.Getenv("INOS_DATA")
	if len(args) > 0 {
		dir = ts.MkAbs(args[0])
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	last := errors.New("it wrote no url")
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 300*time.Millisecond) {
		address, err := readSmall(filepath.Join(dir, "url"))
		secret, _ := readSmall(filepath.Join(dir, "token"))
		if err == nil {
			if c, err := api.NewClient(address, secret); err == nil {
				s, err := c.Status(ctx)
				c.Close()
				if err == nil && s.Ready {
					return
				}
				last = err
			}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			ts.Fatalf("the node did not get ready: %v", last)
		}
	}
}

// scriptField sets a variable to a field of the JSON object on stdout: field ID file_id.
func scriptField(ts *testscript.TestScript, _ bool, args []string) {
	var m map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &m))
	v, ok := m[args[1]]
	if !ok {
		ts.Fatalf("no field %q in %s", args[1], ts.ReadFile("stdout"))
	}
	ts.Setenv(args[0], fmt.Sprint(v))
}

// scriptReadFile sets a variable to a file's one line: readfile VAR file.
func scriptReadFile(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

// scriptLines checks how many lines stdout has, each JSON: lines 3.
func scriptLines(ts *testscript.TestScript, _ bool, args []string) {
	text := strings.TrimSuffix(ts.ReadFile("stdout"), "\n")
	count := 0
	for _, line := range strings.Split(text, "\n") {
		if line == "" {
			continue
		}
		if !json.Valid([]byte(line)) {
			ts.Fatalf("not JSON: %s", line)
		}
		count++
	}
	if strconv.Itoa(count) != args[0] {
		ts.Fatalf("%d lines, want %s", count, args[0])
	}
}

// scriptFileID sets a variable to the BLAKE3 of a file: fileid ID file.
func scriptFileID(ts *testscript.TestScript, _ bool, args []string) {
	sum := blake3.Sum256([]byte(ts.ReadFile(args[1])))
	ts.Setenv(args[0], hex.EncodeToString(sum[:]))
}

// scriptFill writes a file, half text and half noise, the same each time: fill name bytes [seed].
func scriptFill(ts *testscript.TestScript, _ bool, args []string) {
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	seed := [32]byte{1}
	if len(args) > 2 {
		copy(seed[:], args[2])
	}
	noise := make([]byte, size/2)
	_, _ = rand.NewChaCha8(seed).Read(noise)
	text := bytes.Repeat([]byte("what is stored stays readable while one copy lives\n"), size/50+1)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), append(noise, text[:size-len(noise)]...), 0o600))
}

// scriptRaw sends a file's text to the node as it stands, with the token filled in and lines ended as HTTP wants, and
// puts what comes until the node closes the connection into the file answer: raw request [half]. With half it closes its
// own side first, as a client does that breaks off.
func scriptRaw(ts *testscript.TestScript, _ bool, args []string) {
	address, err := readSmall(filepath.Join(ts.Getenv("INOS_DATA"), "url"))
	ts.Check(err)
	token, err := readSmall(filepath.Join(ts.Getenv("INOS_DATA"), "token"))
	ts.Check(err)
	u, err := url.Parse(address)
	ts.Check(err)
	text := strings.NewReplacer("\n", "\r\n", "$TOKEN", token).Replace(ts.ReadFile(args[0]))
	c, err := net.Dial("tcp", u.Host)
	ts.Check(err)
	defer c.Close()
	_, err = io.WriteString(c, text)
	ts.Check(err)
	if len(args) > 1 && args[1] == "half" {
		ts.Check(c.(*net.TCPConn).CloseWrite())
	}
	answer, err := io.ReadAll(c)
	if err != nil && !(len(answer) > 0 && errors.Is(err, syscall.ECONNRESET)) { // one who refuses may reset the connection behind the answer
		ts.Check(err)
	}
	ts.Check(os.WriteFile(ts.MkAbs("answer"), answer, 0o600))
}

// scriptDamage changes one byte in the middle of a chunk's file: damage chunk-id.
func scriptDamage(ts *testscript.TestScript, _ bool, args []string) {
	name := chunkFile(ts, args[0])
	b, err := os.ReadFile(name)
	ts.Check(err)
	b[len(b)/2] ^= 1
	ts.Check(os.Chmod(name, 0o600))
	ts.Check(os.WriteFile(name, b, 0o600))
}

// scriptRemove removes a chunk's file behind the node's back: remove chunk-id.
func scriptRemove(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.Remove(chunkFile(ts, args[0])))
}

func chunkFile(ts *testscript.TestScript, id string) (name string) {
	ts.Check(filepath.WalkDir(filepath.Join(ts.Getenv("INOS_DATA"), "content"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.Contains(filepath.Base(path), id) {
			name = path
		}
		return err
	}))
	if name == "" {
		ts.Fatalf("no file of the chunk %s", id)
	}
	return name
}

// scriptAddress sets a variable to the host and port of the node: address VAR.
func scriptAddress(ts *testscript.TestScript, _ bool, args []string) {
	address, err := readSmall(filepath.Join(ts.Getenv("INOS_DATA"), "url"))
	ts.Check(err)
	ts.Setenv(args[0], strings.TrimPrefix(address, "http://"))
}

// scriptChunk sets a variable to the id of a file's chunk, from what stat --chunks printed: chunk VAR file index.
func scriptChunk(ts *testscript.TestScript, _ bool, args []string) {
	for _, line := range strings.Split(ts.ReadFile(args[1]), "\n") {
		if f := strings.Fields(line); len(f) > 2 && f[0] == args[2] && len(f[1]) == 64 {
			ts.Setenv(args[0], f[1])
			return
		}
	}
	ts.Fatalf("no chunk %s in %s", args[2], ts.ReadFile(args[1]))
}
