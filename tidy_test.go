package inos_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/inos-mesh/inos"

// Libraries by a short name, so that the table below reads.
const (
	protobuf   = "github.com/aperturerobotics/protobuf-go-lite"
	wazero     = "github.com/tetratelabs/wazero"
	sqlite     = "modernc.org/sqlite"
	blake3     = "lukechampine.com/blake3"
	xsys       = "golang.org/x/sys"
	base58     = "github.com/mr-tron/base58"
	jwt        = "github.com/golang-jwt/jwt/v5"
	xterm      = "golang.org/x/term"
	cobra      = "github.com/spf13/cobra"
	pflag      = "github.com/spf13/pflag"
	websocket  = "github.com/coder/websocket"
	libp2p     = "github.com/libp2p"
	multiaddr  = "github.com/multiformats/go-multiaddr"
	protocols  = "github.com/multiformats/go-multistream"
	rapid      = "pgregory.net/rapid"
	openapi    = "github.com/getkin/kin-openapi"
	testscript = "github.com/rogpeppe/go-internal"
)

// noWorld are the packages through which a program touches the world.
var noWorld = []string{"os/...", "net/...", "syscall/...", "io/fs", "io/ioutil", "log/...", "unsafe", "math/rand/...", "crypto/rand"}

// importRule says what the packages of one room may import beside the standard library, and why. An entry ending in /...
// covers the folders below. Tests of the room may import inTests too.
type importRule struct {
	room    string
	may     []string
	never   []string // of the standard library; with /... what is below too
	inTests []string
	why     string
}

var importRules = []importRule{
	{
		room: ".", never: noWorld, inTests: []string{rapid},
		why: "everyone depends on the nouns, so they depend on nothing and touch nothing",
	},
	{
		room: "build", may: []string{"."},
		why: "it holds bytes, and an error for bytes that are missing",
	},
	{
		room: "event", may: []string{".", "event/...", protobuf}, never: noWorld,
		inTests: []string{rapid, blake3},
		why:     "the standard outlives implementations, and it is compiled into the kernel",
	},
	{
		room: "event/eventpb", may: []string{protobuf}, why: "generated messages know nothing but their runtime",
	},
	{
		room: "kernel", may: []string{".", "event/...", blake3},
		never:   append([]string{"time", "math", "sync/...", "runtime/...", "context"}, noWorld...),
		inTests: []string{rapid, wazero, "build", "data/datatest"},
		why:     "same input, same bytes: no clock, no randomness, no floating point, no concurrency, no input or output",
	},
	{
		room: "kernel/wasm", may: []string{".", "event/...", "kernel"}, never: noWorld[:2],
		inTests: []string{wazero, "host/engine", "build"},
		why:     "the shell that turns the kernel into a WebAssembly reactor",
	},
	{
		room: "data/content", may: []string{".", "event/...", blake3, xsys}, inTests: []string{"data/datatest/...", rapid},
		why: "joining memories is a kernel decision, so no memory knows another",
	},
	{
		room: "data/semantic", may: []string{".", "event/...", blake3, xsys, sqlite, "data/internal/sqlite"}, inTests: []string{"data/datatest/...", rapid},
		why: "joining memories is a kernel decision, so no memory knows another",
	},
	{
		room: "data/episodic", may: []string{".", "event/...", xsys, sqlite, "data/internal/sqlite"}, inTests: []string{"data/datatest/...", rapid},
		why: "joining memories is a kernel decision, so no memory knows another",
	},
	{
		room: "data/internal/sqlite", may: []string{".", xsys, sqlite},
		why: "what both SQLite memories share of the engine; it knows no memory",
	},
	{
		room: "data/verbs", may: []string{".", "event/..."}, inTests: []string{"data/semantic"},
		why: "it translates events to the contract of a memory for hosts and simulations alike, and knows no implementation; a test asks the twin",
	},
	{
		room: "data/datatest", may: []string{".", "event/...", blake3, rapid},
		why: "an acceptance suite speaks to the contract, never to one implementation",
	},
	{
		room: "host/engine", may: []string{".", "event/...", wazero, blake3, xsys}, inTests: []string{"build", rapid},
		why: "engine, mesh and api meet only in host",
	},
	{
		room: "host/api", may: []string{".", "event/...", blake3, websocket}, inTests: []string{rapid, "host/api/contract"},
		why: "engine, mesh and api meet only in host",
	},
	{
		room: "host/api/contract", may: []string{".", openapi},
		why: "it knows the interface by its OpenAPI document alone, as a stranger would",
	},
	{
		room: "host/trust", may: []string{".", "event/...", base58, jwt}, never: append([]string{"time"}, noWorld...),
		why: "what a mesh believes is a function of bytes and a time that is given",
	},
	{
		room: "host/mesh", may: []string{".", "event/...", libp2p, multiaddr, protocols}, inTests: []string{rapid, xsys},
		why: "engine, mesh and api meet only in host; nobody else knows which library carries the mesh",
	},
	{
		room: "host", may: []string{".", "event/...", "build", "host/api", "host/engine", "host/mesh", "host/trust", "data/content", "data/semantic", "data/episodic", "data/verbs", blake3, base58, xsys},
		inTests: []string{"data/datatest/...", rapid, "host/api/contract", libp2p}, // a peer that follows no format is none of package mesh's
		why:     "it holds kernel.wasm as bytes and never imports the kernel: the seam stays real",
	},
	{
		room: "cmd/inos", may: []string{".", "event/...", "host", "host/api", cobra, pflag, xsys, xterm, blake3}, inTests: []string{testscript, "build", "host/engine"},
		why: "flags, signals and printing; decisions live below; a test steps a kernel through the log of a node",
	},
	{
		room: "sim", may: []string{".", "event/...", "kernel", "data/verbs", "data/content", "data/semantic", "data/episodic", blake3},
		never: []string{"os/...", "net/...", "time", "math/rand", "crypto/rand", "sync/..."},
		why:   "the production kernel, run natively on the memories' twins; one seed is the only randomness and the world's time the only clock",
	},
	{
		room: "tools/...", may: []string{"."}, why: "programs of the build know the nouns at most",
	},
}

// allows says whether the pattern names the package: itself, or with /... what is below it too. A library is named with
// all of its packages.
func allows(pattern, imported string) bool {
	if pattern == "." {
		return imported == module
	}
	if base, below := strings.CutSuffix(pattern, "/..."); below {
		full := module + "/" + base
		return imported == full || strings.HasPrefix(imported, full+"/")
	}
	if strings.Contains(strings.Split(pattern, "/")[0], ".") {
		return imported == pattern || strings.HasPrefix(imported, pattern+"/")
	}
	return imported == module+"/"+pattern
}

// allowsStandard is allows for the standard library, whose names have no module before them.
func allowsStandard(pattern, imported string) bool {
	base, below := strings.CutSuffix(pattern, "/...")
	return imported == base || below && strings.HasPrefix(imported, base+"/")
}

func ruleFor(dir string) *importRule {
	for i := range importRules {
		r := &importRules[i]
		if base, below := strings.CutSuffix(r.room, "/..."); r.room == dir || below && strings.HasPrefix(dir, base+"/") {
			return r
		}
	}
	return nil
}

func TestImportsFollowTheRooms(t *testing.T) {
	for _, f := range goFiles(t) {
		rule := ruleFor(f.dir)
		if rule == nil {
			t.Errorf("%s: no import rule covers the folder %s: add one with its reason", f.name, f.dir)
			continue
		}
		for _, spec := range f.tree.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatalf("%s: %v", f.name, err)
			}
			if bad := refused(rule, f, imported); bad != "" {
				t.Errorf("%s imports %s: %s (%s)", f.name, imported, bad, rule.why)
			}
		}
	}
}

// refused returns why a rule refuses an import, or nothing.
func refused(rule *importRule, f goFile, imported string) string {
	first, _, _ := strings.Cut(imported, "/")
	switch {
	case imported == "C":
		return "cgo is not used: one static binary"
	case imported == "testing" || strings.HasPrefix(imported, "testing/"):
		if !f.test && f.dir != "data/datatest" {
			return "testing belongs to tests"
		}
		return ""
	case !strings.Contains(first, ".") && first != module: // standard library
		if !f.test && slices.ContainsFunc(rule.never, func(p string) bool { return allowsStandard(p, imported) }) {
			return "the room does without it"
		}
		return ""
	case f.test && (imported == module+"/"+f.dir || f.dir == "." && imported == module): // its own external test
		return ""
	}
	may := rule.may
	if f.test {
		may = append(slices.Clone(may), rule.inTests...)
	}
	if slices.ContainsFunc(may, func(p string) bool { return allows(p, imported) }) {
		return ""
	}
	return "the room's rule does not list it"
}

// A rule that lets everything through would make the test above empty: these imports must be refused.
func TestImportRulesRefuse(t *testing.T) {
	for _, c := range []struct{ dir, imported string }{
		{".", "os"},
		{".", "net/http"},
		{"kernel", "time"},
		{"kernel", "math"},
		{"kernel", "math/rand/v2"},
		{"kernel", module + "/host"},
		{"host", module + "/kernel"},
		{"host/api", module + "/host/engine"},
		{"host/api", module + "/host/api/contract"},
		{"host/mesh", module + "/host/api"},
		{"host", libp2p + "/go-libp2p"},
		{"data/content", module + "/data/semantic"},
		{"event", wazero},
		{"cmd/inos", module + "/data/content"},
		{"host", "C"},
		{"host", "testing"},
	} {
		if refused(ruleFor(c.dir), goFile{dir: c.dir}, c.imported) == "" {
			t.Errorf("%s may import %s", c.dir, c.imported)
		}
	}
}

// goFile is one parsed Go file of this module.
type goFile struct {
	name, dir string
	test      bool
	generated bool
	tree      *ast.File
	fset      *token.FileSet
}

// goFiles parses every Go file of this module: committed ones and new ones, generated ones included, other modules and
// files for the generator (go:build ignore) left out.
func goFiles(t *testing.T) []goFile {
	t.Helper()
	var files []goFile
	nested := nestedModules(t)
	fset := token.NewFileSet()
	for _, name := range treeFiles(t) {
		if !strings.HasSuffix(name, ".go") || slices.ContainsFunc(nested, func(d string) bool { return strings.HasPrefix(name, d+"/") }) ||
			strings.Contains(name, "/testdata/") {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(src, []byte("//go:build ignore")) {
			continue
		}
		tree, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, goFile{
			name: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), generated: ast.IsGenerated(tree), tree: tree, fset: fset,
		})
	}
	if len(files) < 10 {
		t.Fatalf("only %d Go files found: the manners would be tested on nothing", len(files))
	}
	return files
}

// treeFiles lists the files of the repository that exist and are not ignored, committed or not, by their path.
func treeFiles(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("git", "ls-files", "-co", "--exclude-standard").Output()
	if err != nil {
		t.Fatalf("git ls-files: %v: the manners are tested in a clone", err)
	}
	var names []string
	for _, name := range strings.Fields(string(out)) {
		if info, err := os.Lstat(name); err == nil && info.Mode().IsRegular() {
			names = append(names, name)
		}
	}
	return names
}

func nestedModules(t *testing.T) (dirs []string) {
	t.Helper()
	for _, name := range treeFiles(t) {
		if path.Base(name) == "go.mod" && name != "go.mod" {
			dirs = append(dirs, path.Dir(name))
		}
	}
	return dirs
}
