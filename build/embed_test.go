package build

import (
	"bytes"
	"testing"

	"github.com/inos-mesh/inos"
)

// A fresh clone has only the placeholder: asking for a module must then name the file and tell how to build it, and a
// built one must be a WebAssembly binary.
func TestModulesAreWholeOrSaidToBeMissing(t *testing.T) {
	magic := []byte("\x00asm\x01\x00\x00\x00")
	for name, load := range map[string]func() ([]byte, error){"kernel.wasm": Kernel, "storage.wasm": Storage} {
		b, err := load()
		switch {
		case err != nil && inos.CodeOf(err) != inos.CodeBuildIncomplete:
			t.Errorf("%s: code %d (%v), want build_incomplete", name, inos.CodeOf(err), err)
		case err == nil && !bytes.HasPrefix(b, magic):
			t.Errorf("%s begins with % x, a WebAssembly binary with % x", name, b[:min(8, len(b))], magic)
		}
	}
}

func TestAFileThatWasNotBuiltIsBuildIncomplete(t *testing.T) {
	if _, err := read("absent.wasm"); inos.CodeOf(err) != inos.CodeBuildIncomplete {
		t.Fatalf("got %v, want build_incomplete", err)
	}
}
