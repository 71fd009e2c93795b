package main

import "syscall"

// confined gives a node of a local mesh its own process group, so that an interrupt typed at the terminal reaches only
// 'inos up', and has the system kill it when the thread that started it ends: no node outlives its supervisor.
func confined() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
