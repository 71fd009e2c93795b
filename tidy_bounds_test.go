package inos_test

import (
	"bytes"
	"go/ast"
	"go/printer"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"
)

// boundRoom says whether docs/bounds.md lists the constants of a folder: what runs in a node or a command.
func boundRoom(dir string) bool {
	return !strings.HasPrefix(dir, "sim") && !strings.HasPrefix(dir, "tools") && dir != "data/datatest"
}

// boundsOf returns the constants of the sources whose name ends in Max, and the fields of the mesh's default limits, each with its value as it is written.
func boundsOf(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, f := range goFiles(t) {
		if f.test || f.generated || !boundRoom(f.dir) {
			continue
		}
		text := func(n ast.Node) string {
			var b bytes.Buffer
			if err := printer.Fprint(&b, f.fset, n); err != nil {
				t.Fatal(err)
			}
			return strings.Join(strings.Fields(b.String()), " ")
		}
		for _, d := range f.tree.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				for _, s := range d.Specs {
					v, ok := s.(*ast.ValueSpec)
					for i := 0; ok && d.Tok == token.CONST && i < len(v.Names); i++ {
						if name := v.Names[i].Name; strings.HasSuffix(name, "Max") && i < len(v.Values) {
							found[f.dir+" "+name] = text(v.Values[i])
						}
					}
				}
			case *ast.FuncDecl:
				if f.dir != "host/mesh" || d.Name.Name != "DefaultLimits" {
					continue
				}
				ast.Inspect(d, func(n ast.Node) bool {
					if kv, ok := n.(*ast.KeyValueExpr); ok {
						found["Limits "+text(kv.Key)] = text(kv.Value)
					}
					return true
				})
			}
		}
	}
	return found
}

var (
	boundRow  = regexp.MustCompile("^\\| ([a-z/.]+) \\| `([A-Za-z]+Max)` \\| `([^`]+)` \\| (.*) \\|$")
	limitsRow = regexp.MustCompile("^\\| `([A-Za-z]+)` \\| `([^`]+)` \\|$")
)

// TestBoundsAreListed: docs/bounds.md has a row for each bound, and nothing else.
func TestBoundsAreListed(t *testing.T) {
	found := boundsOf(t)
	if len(found) < 250 {
		t.Fatalf("only %d bounds were found", len(found))
	}
	raw, err := os.ReadFile("docs/bounds.md")
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(raw), "\n## Sizes")
	rows := map[string]bool{}
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		name, value := "", ""
		if m := boundRow.FindStringSubmatch(line); m != nil {
			name, value = m[1]+" "+m[2], m[3]
			for _, cell := range strings.Split(m[4], " | ") {
				if strings.TrimSpace(cell) == "" {
					t.Errorf("%s: a cell of its row is empty", name)
				}
			}
			if strings.Contains(first, line) && strings.Count(m[4], " | ") != 1 {
				t.Errorf("%s: its row does not say what happens when it is full", name)
			}
		} else if m := limitsRow.FindStringSubmatch(line); m != nil {
			name, value = "Limits "+m[1], m[2]
		} else {
			if strings.HasPrefix(line, "|") && strings.Contains(line, "`") {
				t.Errorf("docs/bounds.md: %q is no row of its tables", line)
			}
			continue
		}
		switch is, known := found[name]; {
		case !known:
			t.Errorf("docs/bounds.md has %s, and no source has it", name)
		case rows[name]:
			t.Errorf("docs/bounds.md has %s twice", name)
		case is != value:
			t.Errorf("docs/bounds.md says that %s is %s, and it is %s", name, value, is)
		}
		rows[name] = true
	}
	for name, value := range found {
		if !rows[name] {
			t.Errorf("%s = %s has no row in docs/bounds.md: say what it bounds, and what happens when it is full", name, value)
		}
	}
}
