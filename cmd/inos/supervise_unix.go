//go:build unix && !linux

package main

import "syscall"

// confined gives a node of a local mesh its own process group, so that an interrupt typed at the terminal reaches only
// 'inos up'. This system does not kill it when its supervisor is killed; the lock of its folder tells a later start.
func confined() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
