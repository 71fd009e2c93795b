package content

import (
	"os"

	"golang.org/x/sys/unix"
)

// dropCache makes the next reads of f come from the medium: a scrub of the page cache would find nothing. It is advice;
// a failure only means that cached bytes are read.
func dropCache(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }
