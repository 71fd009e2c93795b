//go:build unix && !linux

package content

import "os"

// dropCache does nothing where the system offers no such advice.
func dropCache(*os.File) {}
