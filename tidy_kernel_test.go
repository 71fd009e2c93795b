package inos_test

import (
	"bytes"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// determined are the packages that are compiled into kernel.wasm: the same input has to give the same bytes natively,
// in wazero and in a browser, on every processor.
var determined = []string{".", "event", "kernel"}

// sortedHelpers are the functions that may walk a map, because they sort what they find.
var sortedHelpers = map[string]bool{"sortedKeys": true}

func TestTheKernelIsDetermined(t *testing.T) {
	for _, dir := range determined {
		files, fset := packageFiles(t, dir)
		if len(files) == 0 {
			t.Fatalf("no Go file in %s", dir)
		}
		for _, complaint := range undetermined(t, dir, files, fset, exportData(t, dir)) {
			t.Error(complaint)
		}
	}
}

// The test above must see what it forbids.
func TestWhatIsNotDeterminedIsSeen(t *testing.T) {
	const src = `package p
import ("maps"; "slices")
func sum(m map[string]int) (n int) { for _, v := range m { n += v }; return n }
func half(n int) int { return int(float64(n) * 0.5) }
func spawn(f func()) { go f() }
func keys(m map[string]int) []string { return slices.Collect(maps.Keys(m)) }
func receive(c chan int) int { return <-c }
func sorted(m map[string]int) []string { return slices.Sorted(maps.Keys(m)) }
func sortedKeys(m map[string]int) (k []string) { for s := range m { k = append(k, s) }; slices.Sort(k); return k }
func clone(m map[string]int) map[string]int { c := map[string]int{}; for k, v := range m { c[k] = v }; return c }
`
	name := filepath.Join(t.TempDir(), "p.go")
	if err := os.WriteFile(name, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	file := parseFile(t, fset, name)
	seen := strings.Join(undetermined(t, "p", []*ast.File{file}, fset, exportData(t, "maps", "slices")), "\n")
	for _, want := range []string{"p.go:3:", "p.go:4:", "p.go:5:", "p.go:6:", "p.go:7:"} {
		if !strings.Contains(seen, want) {
			t.Errorf("nothing was said of %s in\n%s", want, seen)
		}
	}
	for _, fine := range []string{"p.go:8:", "p.go:9:", "p.go:10:"} {
		if strings.Contains(seen, fine) {
			t.Errorf("%s is determined, but was complained of in\n%s", fine, seen)
		}
	}
}

// undetermined type-checks a package and lists its floating point, its walks over maps in no order, and its concurrency.
func undetermined(t *testing.T, dir string, files []*ast.File, fset *token.FileSet, export map[string]string) (complaints []string) {
	t.Helper()
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(export[path]) })}
	if _, err := config.Check(dir, fset, files, info); err != nil {
		t.Fatalf("type-check %s: %v", dir, err)
	}
	complain := func(n ast.Node, what string) {
		complaints = append(complaints, fset.Position(n.Pos()).String()+": "+what)
	}
	for _, file := range files {
		function, sorted := "", map[ast.Expr]bool{}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				function = n.Name.Name
			case *ast.GoStmt, *ast.SelectStmt, *ast.SendStmt:
				complain(n, "concurrency: the kernel has one thread of control, its caller's")
			case *ast.RangeStmt:
				if _, isMap := info.TypeOf(n.X).Underlying().(*types.Map); isMap && !sortedHelpers[function] && !copies(n) {
					complain(n, "a walk over a map in no order: use the sorted helper")
				}
			case *ast.CallExpr:
				if strings.HasPrefix(callee(info, n), "slices.Sorted") && len(n.Args) > 0 {
					sorted[n.Args[0]] = true
				}
				if name := callee(info, n); (name == "maps.Keys" || name == "maps.Values" || name == "maps.All") && !sorted[n] && !sortedHelpers[function] {
					complain(n, "a walk over a map in no order: sort it at once")
				}
			}
			if e, ok := n.(ast.Expr); ok {
				if what := unfit(info.TypeOf(e)); what != "" {
					complain(e, what)
					return false // the whole expression is complained of once
				}
			}
			return true
		})
	}
	return complaints
}

// copies says whether a walk does nothing but set another map's value at the same key: its order cannot be seen.
func copies(walk *ast.RangeStmt) bool {
	key, ok := walk.Key.(*ast.Ident)
	if !ok || len(walk.Body.List) != 1 {
		return false
	}
	assign, ok := walk.Body.List[0].(*ast.AssignStmt)
	if !ok || assign.Tok != token.ASSIGN || len(assign.Lhs) != 1 {
		return false
	}
	at, ok := assign.Lhs[0].(*ast.IndexExpr)
	if !ok {
		return false
	}
	index, ok := at.Index.(*ast.Ident)
	return ok && index.Name == key.Name
}

// unfit returns why a value of the type has no place in the kernel, or nothing.
func unfit(t types.Type) string {
	if t == nil {
		return ""
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		if u.Info()&(types.IsFloat|types.IsComplex) != 0 {
			return "floating point: its results differ between processors"
		}
	case *types.Chan:
		return "concurrency: the kernel has no channels"
	}
	return ""
}

// callee returns "package.Function" of a call to a function of another package, or nothing.
func callee(info *types.Info, call *ast.CallExpr) string {
	fun := call.Fun
	if index, ok := fun.(*ast.IndexExpr); ok {
		fun = index.X
	}
	selector, ok := fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if object, ok := info.Uses[selector.Sel].(*types.Func); ok && object.Pkg() != nil {
		return object.Pkg().Path() + "." + object.Name()
	}
	return ""
}

// Two builds of the same sources, in different folders and at different commits, must be equal: the kernel's id is the
// hash of its bytes.
func TestTwoBuildsOfTheKernelAreEqual(t *testing.T) {
	var builds [2][]byte
	for i, commit := range []string{"one", "another"} {
		dir := filepath.Join(t.TempDir(), commit)
		for _, name := range treeFiles(t) {
			top, _, nested := strings.Cut(name, "/")
			if top == "event" || top == "kernel" || name == "tools/build-kernel" || !nested && (strings.HasSuffix(name, ".go") || strings.HasPrefix(name, "go.")) {
				copyFile(t, name, filepath.Join(dir, name))
			}
		}
		script := `git init -q . && git add . && git -c user.name=t -c user.email=t@t commit -qm "$1" && mkdir -p build && tools/build-kernel`
		command := exec.Command("sh", "-ec", script, "sh", commit)
		command.Dir, command.Env = dir, append(os.Environ(), "GOFLAGS=", "GOENV=off") // no setting of this machine helps
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("build the kernel: %v\n%s", err, out)
		}
		var err error
		if builds[i], err = os.ReadFile(filepath.Join(dir, "build", "kernel.wasm")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(builds[0], builds[1]) {
		t.Fatalf("two builds of the same sources differ: %d and %d bytes", len(builds[0]), len(builds[1]))
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(from)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, info.Mode()); err != nil {
		t.Fatal(err)
	}
}

// packageFiles parses the files of one folder that are part of the package, tests left out.
func packageFiles(t *testing.T, dir string) (files []*ast.File, fset *token.FileSet) {
	t.Helper()
	fset = token.NewFileSet()
	for _, f := range goFiles(t) {
		if f.dir == dir && !f.test {
			files = append(files, parseFile(t, fset, f.name))
		}
	}
	return files, fset
}

func parseFile(t *testing.T, fset *token.FileSet, name string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// exportData returns the compiled interfaces of everything that packages import, by import path.
func exportData(t *testing.T, packages ...string) map[string]string {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}"}
	for _, p := range packages {
		if _, err := os.Stat(p); err == nil {
			p = "./" + p
		}
		args = append(args, p)
	}
	command := exec.Command("go", args...)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	export := map[string]string{}
	for line := range bytes.Lines(out) {
		if path, file, ok := strings.Cut(strings.TrimSpace(string(line)), "\t"); ok {
			export[path] = file
		}
	}
	return export
}
