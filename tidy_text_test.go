package inos_test

import (
	"go/ast"
	"go/token"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	fileLinesMax      = 600
	testLinesMax      = 1000 // a table of cases or an acceptance suite may be long and still one idea
	committedBytesMax = 256 << 10
)

// longFiles may exceed these limits, each for the reason beside it.
var longFiles = map[string]string{}

// wordless are files whose words are not ours: licences, lock files, generated code, and this test, which has to name
// what it forbids.
var wordless = regexp.MustCompile(`(^|/)(LICENSE|go\.sum|Cargo\.lock|tidy_text_test\.go)$|\.pb\.go$|/pb/|/spec\.proto$`)

// forbidden words, each with the reason.
var forbidden = []struct {
	pattern *regexp.Regexp
	why     string
	within  string // folder the rule is limited to
}{
	{regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`), "unfinished work belongs to the tracker, the tree says what is", ""},
	{regexp.MustCompile(`(?i)\bissue #?\d+|(^|[\s(])#\d+\b`), "a number of a tracker says nothing to a reader of the tree", ""},
	{regexp.MustCompile(`(^|[\s"'=(])/(work|root|home/[a-z]+)/`), "a path of one machine", ""},
	{
		regexp.MustCompile(`proxy\.golang\.org|sum\.golang\.org|static\.rust-lang\.org|registry\.npmjs\.org|index\.crates\.io|deb\.debian\.org`),
		"a registry's host: the machine's own configuration names it", "",
	},
	{regexp.MustCompile(`todo!\(|unimplemented!\(`), "a stub", "modules"},
}

func TestWords(t *testing.T) {
	checked := 0
	for _, name := range treeFiles(t) {
		if wordless.MatchString(name) {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(text, 0) {
			continue // binary
		}
		checked++
		for i, line := range strings.Split(string(text), "\n") {
			for _, f := range forbidden {
				if f.within != "" && !strings.HasPrefix(name, f.within+"/") {
					continue
				}
				if m := f.pattern.FindString(line); m != "" {
					t.Errorf("%s:%d: %q: %s", name, i+1, strings.TrimSpace(m), f.why)
				}
			}
		}
	}
	if checked < 20 {
		t.Fatalf("only %d files were read", checked)
	}
}

func TestFilesAreOneIdeaEach(t *testing.T) {
	code, isTest := regexp.MustCompile(`\.(go|rs|ts|tsx|sh)$|^tools/`), regexp.MustCompile(`_test\.go$|^data/datatest/|/tests/`)
	for _, name := range treeFiles(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > committedBytesMax {
			t.Errorf("%s has %d bytes, at most %d: generated and binary files are not committed", name, len(text), committedBytesMax)
		}
		if !code.MatchString(name) || wordless.MatchString(name) || strings.HasPrefix(string(text), "// Code generated") {
			continue
		}
		limit := fileLinesMax
		if isTest.MatchString(name) {
			limit = testLinesMax
		}
		if lines := strings.Count(string(text), "\n"); lines > limit && longFiles[name] == "" {
			t.Errorf("%s has %d lines, at most %d: split it by idea, or list it with the reason", name, lines, limit)
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	said, where := map[string]bool{}, map[string]string{}
	for _, f := range goFiles(t) {
		if f.test || f.generated {
			continue
		}
		where[f.dir] = f.name
		said[f.dir] = said[f.dir] || f.tree.Doc.Text() != ""
	}
	for dir, name := range where {
		if !said[dir] {
			t.Errorf("%s: the package has no comment that says what it is (in %s or a doc.go)", dir, path.Base(name))
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test || f.generated || f.tree.Name.Name == "main" {
			continue
		}
		for _, complaint := range undocumented(f.tree, f.fset) {
			t.Error(complaint)
		}
	}
}

// selfEvident are methods whose contract is the standard library's.
var selfEvident = []string{"String", "Error", "Unwrap", "Close", "Len", "Less", "Swap", "Read", "Write"}

// undocumented lists exported names whose comment is missing or does not begin with the name.
func undocumented(file *ast.File, fset *token.FileSet) (complaints []string) {
	want := func(n ast.Node, name, doc string) {
		first, _, _ := strings.Cut(strings.TrimSpace(doc), "\n")
		switch {
		case first == "":
			complaints = append(complaints, fset.Position(n.Pos()).String()+": "+name+" is not documented")
		case !regexp.MustCompile(`^((A|An|The) )?` + name + `\b`).MatchString(first):
			complaints = append(complaints, fset.Position(n.Pos()).String()+": the comment of "+name+" does not begin with it")
		}
	}
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && receiverIsExported(d) && !(d.Recv != nil && slices.Contains(selfEvident, d.Name.Name)) {
				want(d, d.Name.Name, d.Doc.Text())
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() {
						want(s, s.Name.Name, s.Doc.Text()+d.Doc.Text())
					}
				case *ast.ValueSpec:
					if s.Names[0].IsExported() && s.Doc.Text()+s.Comment.Text()+d.Doc.Text() == "" {
						complaints = append(complaints, fset.Position(s.Pos()).String()+": "+s.Names[0].Name+" is not documented")
					}
				}
			}
		}
	}
	return complaints
}

func receiverIsExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if index, ok := t.(*ast.IndexExpr); ok {
		t = index.X
	}
	name, ok := t.(*ast.Ident)
	return !ok || name.IsExported()
}

// The root reads no clock: a time is passed in, so that whatever depends on it can be replayed.
func TestTheNounsReadNoClock(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test || f.dir != "." && f.dir != "event" && f.dir != "kernel" {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "After", "Sleep", "Tick"}, s.Sel.Name) {
					t.Errorf("%s: time.%s", f.fset.Position(s.Pos()), s.Sel.Name)
				}
			}
			return true
		})
	}
}

// Two machines have to build the same kernel.wasm, so the compiler's version is part of the source.
func TestTheCompilerIsPinned(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^go 1\.\d+\.\d+$`).Match(mod) && !regexp.MustCompile(`(?m)^toolchain go1\.\d+\.\d+$`).Match(mod) {
		t.Error("go.mod names no exact version of Go: give the go or the toolchain line all three numbers")
	}
}
