package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A change of the kernel must not take a planted bug its place: what it replaces has to be there, and what comes of it has to compile.
func TestBugsCanBePlanted(t *testing.T) {
	t.Chdir("../..")
	names, err := filepath.Glob("sim/bugs/*.txt")
	if err != nil || len(names) < 20 {
		t.Fatalf("%d bugs, %v", len(names), err)
	}
	c := newCompiler(t, "./kernel", "./data/semantic")
	for _, name := range names {
		b, err := readBug(name)
		if err != nil || b.breaks == "" {
			t.Errorf("%s: breaks %q, %v", name, b.breaks, err)
			continue
		}
		for _, change := range b.changes {
			if err := c.check(change); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if err := c.check(change{names[0], ""}); err == nil {
		t.Error("a file of no room is checked")
	}
	if err := c.check(change{"kernel/kernel.go", "package kernel\n\nvar x int = \"\"\n"}); err == nil {
		t.Error("what does not compile is let pass")
	}
}

// compiler checks the types of a package in which one file is replaced.
type compiler struct {
	set   *token.FileSet
	rooms map[string]map[string]*ast.File // by folder and path
	from  types.Importer
}

// newCompiler reads packages, and where the go command has left the types of what they import.
func newCompiler(t *testing.T, packages ...string) *compiler {
	t.Helper()
	command := exec.Command("go", append([]string{"list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,DepOnly"}, packages...)...)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	c := &compiler{set: token.NewFileSet(), rooms: map[string]map[string]*ast.File{}}
	exports := map[string]string{}
	for list := json.NewDecoder(out); ; {
		var p struct {
			ImportPath, Dir, Export string
			GoFiles                 []string
			DepOnly                 bool
		}
		if err := list.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		if p.DepOnly {
			continue
		}
		dir, err := filepath.Rel(here, p.Dir)
		if err != nil {
			t.Fatal(err)
		}
		c.rooms[dir] = map[string]*ast.File{}
		for _, name := range p.GoFiles {
			path := filepath.Join(dir, name)
			if c.rooms[dir][path], err = parser.ParseFile(c.set, path, nil, parser.SkipObjectResolution); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := command.Wait(); err != nil {
		t.Fatal(err)
	}
	c.from = importer.ForCompiler(c.set, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	return c
}

// check says what is wrong with the package of a changed file.
func (c *compiler) check(x change) error {
	room := c.rooms[filepath.Dir(x.file)]
	if room[x.file] == nil {
		return fmt.Errorf("%s is no file that is compiled", x.file)
	}
	changed, err := parser.ParseFile(c.set, x.file, x.text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	files := []*ast.File{changed}
	for path, f := range room {
		if path != x.file {
			files = append(files, f)
		}
	}
	_, err = (&types.Config{Importer: c.from}).Check(filepath.Dir(x.file), c.set, files, nil)
	return err
}
