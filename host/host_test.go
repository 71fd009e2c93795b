package host

import (
	"context"
	"os"
	"testing"
)

// TestMain lets the test binary be its own worker process, and a node that can be killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		status, err := Worker(context.Background(), os.Stdin, os.Stdout)
		if err != nil {
			_, _ = os.Stderr.WriteString("worker: " + err.Error() + "\n")
		}
		os.Exit(status)
	}
	if len(os.Args) > 1 && os.Args[1] == hostileWorkerMode {
		if err := hostileWorker(os.Stdin, os.Stdout); err != nil {
			_, _ = os.Stderr.WriteString("worker: " + err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) == 4 && os.Args[1] == "node" {
		if err := runChild(os.Args[2], os.Args[3]); err != nil {
			_, _ = os.Stderr.WriteString("node: " + err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) == 3 && os.Args[1] == rigNodeMode {
		if err := runRigNode(os.Args[2]); err != nil {
			_, _ = os.Stderr.WriteString("node: " + err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	dir, err := os.MkdirTemp("", "inos-test-cache-")
	if err != nil {
		panic(err)
	}
	testCache = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// testCache holds the compiled WASM of all tests: compiling takes seconds.
var testCache string
