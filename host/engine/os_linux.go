package engine

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

const mapNoReserve = unix.MAP_NORESERVE

// confine gives a worker its own process group, so that an interrupt typed at the node's terminal does not reach it,
// and lets the system kill it when the thread that starts it ends.
func confine(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}

// enlarge makes a pipe hold a whole chunk. A refusal (the user's share of pipe memory is used up) costs speed only.
func enlarge(pipe *os.File) {
	raw, err := pipe.SyscallConn() // not Fd(), which would make the file blocking
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeBytes) })
}

// renounce gives up what a worker never needs: new privileges and core dumps.
func renounce() {
	_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
}
