//go:build unix

package engine

import "golang.org/x/sys/unix"

// reserve maps zeroed memory that costs nothing until it is touched.
func reserve(n uint64) ([]byte, error) {
	if n == 0 {
		n = 1 // an empty mapping is refused by the system; nothing of it is ever used
	}
	return unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|mapNoReserve)
}

func release(b []byte) {
	if b != nil {
		_ = unix.Munmap(b) // fails for what reserve did not return, which cannot be
	}
}
