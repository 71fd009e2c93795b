package host

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
)

// TestChangedKernelIsCaught records a log, builds the kernel with one line changed, and replays the log with it.
func TestChangedKernelIsCaught(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, dir, nil)
	n.mustPut("/a", text(1, 3*inos.ChunkBytesMax))
	n.close()
	log := filepath.Join(dir, "log")
	if _, err := replay(context.Background(), buildKernel(t, nil), log, io.Discard); err != nil {
		t.Fatalf("replay with the kernel built again: %v", err)
	}
	const limits, line, changed = "../kernel/limits.go", "chunksPerPutMax   = 64 ", "chunksPerPutMax   = 2 "
	source, err := os.ReadFile(limits)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(source), line) {
		t.Fatalf("%s no longer has %q: choose another line to change", limits, line)
	}
	other := filepath.Join(t.TempDir(), "limits.go")
	if err := os.WriteFile(other, []byte(strings.Replace(string(source), line, changed, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := filepath.Abs(limits)
	if err != nil {
		t.Fatal(err)
	}
	report, err := replay(context.Background(), buildKernel(t, map[string]string{path: other}), log, io.Discard)
	if inos.CodeOf(err) != inos.CodeConflict || report.Difference == "" {
		t.Fatalf("replay with a changed kernel: %v", err)
	}
	t.Log(err)
}

// buildKernel builds kernel.wasm with some of its files replaced.
func buildKernel(t *testing.T, replace map[string]string) []byte {
	t.Helper()
	dir := t.TempDir()
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "kernel.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=",
		"-overlay", filepath.Join(dir, "overlay.json"), "-o", out, "../kernel/wasm")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build kernel: %v\n%s", err, text)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}
