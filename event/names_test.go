package event

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestNames: every constant of names.go is an event type, none twice, and the protocol files speak of each.
func TestNames(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "names.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	protos := ""
	paths, err := filepath.Glob("proto/*.proto")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		protos += string(b)
	}
	seen := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		name := spec.Names[0].Name
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseType(value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if other, twice := seen[value]; twice {
			t.Errorf("%s and %s are both %s", name, other, value)
		}
		seen[value] = name
		if !strings.Contains(protos, Stage(value)+":v1") {
			t.Errorf("%s: no file in proto/ speaks of %s:v1", name, Stage(value))
		}
		return true
	})
	if len(seen) < 40 {
		t.Errorf("%d names found", len(seen))
	}
	stages := map[string]bool{}
	for value := range seen {
		stages[Stage(value)] = true
	}
	for _, m := range regexp.MustCompile(`\b([a-z][a-z_]*:[a-z_]+):v1`).FindAllStringSubmatch(protos, -1) {
		if !stages[m[1]] {
			t.Errorf("proto/ speaks of %s:v1, names.go does not name it", m[1])
		}
	}
}
