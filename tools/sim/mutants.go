package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is one small change of the kernel that a person could have made by mistake.
type mutant struct {
	file     string
	line     int
	what     string
	from, to int // bytes that text replaces
	text     string
}

// notDecisions are the kernel's files and functions that decide nothing about files: snapshots, texts, histograms, tuning.
var (
	notDecisions  = []string{"coder.go", "snapshot.go", "histogram.go", "watch.go", "status.go", "doc.go", "limits.go", "adjust_concurrency.go", "adjust_quality.go", "sorted.go", "placement.go"}
	notFunctions  = []string{"code", "about", "init", "String"}
	notStatements = []string{"note", "ended", "began", "panic", "progress", "complain"}
)

// draw returns all mutants of the kernel.
func draw() (all []mutant, err error) {
	files, err := filepath.Glob("kernel/*.go")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || slices.Contains(notDecisions, filepath.Base(file)) {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, file, text, 0)
		if err != nil {
			return nil, err
		}
		for _, d := range tree.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil || slices.Contains(notFunctions, f.Name.Name) {
				continue
			}
			ast.Inspect(f.Body, func(n ast.Node) bool {
				at := func(n ast.Node) int { return set.Position(n.Pos()).Offset }
				end := func(n ast.Node) int { return set.Position(n.End()).Offset }
				switch n := n.(type) {
				case *ast.IfStmt:
					cond := string(text[at(n.Cond):end(n.Cond)])
					all = append(all, mutant{file, set.Position(n.Pos()).Line, "negate " + cond, at(n.Cond), end(n.Cond), "!(" + cond + ")"})
				case *ast.ExprStmt:
					if call, ok := n.X.(*ast.CallExpr); ok && !slices.Contains(notStatements, called(call)) {
						all = append(all, mutant{file, set.Position(n.Pos()).Line, "drop " + firstLine(text[at(n):end(n)]), at(n), end(n), ""})
					}
				}
				return true
			})
		}
	}
	return all, nil
}

// called names the function of a call.
func called(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.SelectorExpr:
		return f.Sel.Name
	case *ast.Ident:
		return f.Name
	}
	return ""
}

func firstLine(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\n")
	return s
}

// mutants runs a number of them.
func mutants(dir string, count, seeds int, seed uint64) error {
	all, err := draw()
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a draw that can be repeated
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	control, err := build(dir, "control.test")
	if err != nil {
		return err
	}
	killed, stillborn, total := 0, 0, 0
	var survivors []mutant
	for _, m := range all {
		if total >= count {
			break
		}
		text, err := os.ReadFile(m.file)
		if err != nil {
			return err
		}
		changed := string(text[:m.from]) + m.text + string(text[m.to:])
		program, err := build(dir, "sim.test", change{m.file, changed})
		if errors.Is(err, errBuild) {
			stillborn++
			continue
		}
		if err != nil {
			return err
		}
		total++
		f, err := noticed(program, control, 1, seeds)
		if err != nil {
			return err
		}
		if f.seeds > 0 {
			killed++
			fmt.Printf("killed   %4d  %s:%d %s\n", f.seeds, m.file, m.line, m.what)
			continue
		}
		survivors = append(survivors, m)
		fmt.Printf("SURVIVES       %s:%d %s\n", m.file, m.line, m.what)
	}
	fmt.Printf("%d of %d mutants killed (%d %%), of %d that could be made; %d did not compile\n", killed, total, killed*100/max(1, total), len(all), stillborn)
	for _, m := range survivors {
		fmt.Printf("  %s:%d %s\n", m.file, m.line, m.what)
	}
	return nil
}
