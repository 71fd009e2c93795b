package host

import (
	"encoding/hex"
	"runtime"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos/build"
)

// version is set by the linker: git describe.
var version = "development"

// VersionInfo names a build.
type VersionInfo struct {
	Version  string            `json:"version"`
	KernelID string            `json:"kernel_id"` // BLAKE3 of kernel.wasm; empty when the build lacks it
	Modules  map[string]string `json:"modules"`   // BLAKE3 of each module by name
	Go       string            `json:"go"`
}

// Version returns what this binary is made of.
func Version() VersionInfo {
	v := VersionInfo{Version: version, Modules: map[string]string{}, Go: runtime.Version()}
	if wasm, err := build.Kernel(); err == nil {
		v.KernelID = wasmID(wasm)
	}
	if wasm, err := build.Storage(); err == nil {
		v.Modules["storage"] = wasmID(wasm)
	}
	return v
}

func wasmID(wasm []byte) string {
	id := blake3.Sum256(wasm)
	return hex.EncodeToString(id[:])
}
