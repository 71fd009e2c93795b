//go:build unix && !linux

package engine

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

const mapNoReserve = 0

// confine gives a worker its own process group. Without a signal at its parent's death, the end of its input ends it.
func confine(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
}

func enlarge(*os.File) {}

func renounce() { _ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) }
