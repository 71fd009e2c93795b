package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// stateTimeout bounds how long a script waits for a state of a mesh.
const stateTimeout = 5 * time.Minute

// statePause is the time between two looks at it.
const statePause = 100 * time.Millisecond

// scriptUntil runs a command until its standard output matches, whatever its exit status: until 'alive' inos nodes. With
// a ! it runs it until its output does not match.
func scriptUntil(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: [!] until pattern command...")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for began := time.Now(); ; time.Sleep(statePause) { // a poll of another process, bounded below
		// Not by ts.Exec, which would log every look.
		cmd := exec.Command(args[1], args[2:]...)
		cmd.Dir = ts.MkAbs(".")
		cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("HOME"), "INOS_DATA="+ts.Getenv("INOS_DATA"))
		var told bytes.Buffer
		cmd.Stderr = &told
		out, _ := cmd.Output() // what it says decides
		if pattern.Match(out) != neg {
			return
		}
		if time.Since(began) > stateTimeout {
			ts.Fatalf("%q: match of %q did not become %v within %v; last:\n%s%s", strings.Join(args[1:], " "), args[0], !neg, stateTimeout, out, &told)
		}
	}
}

// scriptSucceeds runs a command until it succeeds, for what a node that gets no time for some seconds makes fail: succeeds inos verify --all.
func scriptSucceeds(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: succeeds command...")
	}
	for began := time.Now(); ; time.Sleep(statePause) { // a poll of other processes, bounded below
		err := ts.Exec(args[0], args[1:]...)
		if err == nil {
			return
		}
		if time.Since(began) > stateTimeout {
			ts.Fatalf("%q did not succeed within %v: %v", strings.Join(args, " "), stateTimeout, err)
		}
	}
}

// scriptCrash kills the node of a folder without warning: crash data/provider-1.
func scriptCrash(ts *testscript.TestScript, _ bool, args []string) {
	text, err := readSmall(filepath.Join(ts.MkAbs(args[0]), "lock"))
	ts.Check(err)
	pid, err := strconv.Atoi(text)
	ts.Check(err)
	ts.Check(syscall.Kill(pid, syscall.SIGKILL))
}

// scriptEmpty removes a folder with everything in it: empty data/switchboard.
func scriptEmpty(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.RemoveAll(ts.MkAbs(args[0])))
}

// scriptUnheld waits until no process has the lock of a folder: unheld data/provider-1.
func scriptUnheld(ts *testscript.TestScript, _ bool, args []string) {
	for began := time.Now(); ; time.Sleep(statePause) {
		l, err := openLocal(ts.MkAbs(args[0]))
		if err == nil {
			l.close()
			return
		}
		if time.Since(began) > stateTimeout {
			ts.Fatalf("%s: %v", args[0], err)
		}
	}
}
