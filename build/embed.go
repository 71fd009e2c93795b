// Package build hands out what the build produces before the binary: the WebAssembly files, embedded from this
// folder. The folder holds one committed placeholder, so the module compiles in a fresh clone; a file that has not been
// built is an error with the code build_incomplete when it is asked for, not a compile error.
package build

import (
	"embed"

	"github.com/inos-mesh/inos"
)

//go:embed *.wasm
var files embed.FS

// Kernel returns the bytes of kernel.wasm, layer 2. The caller owns the copy. Code: CodeBuildIncomplete.
func Kernel() ([]byte, error) { return read("kernel.wasm") }

// Storage returns the bytes of storage.wasm, the storage module. The caller owns the copy. Code: CodeBuildIncomplete.
func Storage() ([]byte, error) { return read("storage.wasm") }

func read(name string) ([]byte, error) {
	b, err := files.ReadFile(name)
	if err != nil {
		return nil, inos.Errorf(inos.CodeBuildIncomplete, "load "+name, "this binary was built before %s: %w", name, err)
	}
	return b, nil
}
