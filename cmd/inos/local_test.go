package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
)

func TestLocalFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mesh")
	if k, err := kindOf(dir); err != nil || k != folderEmpty {
		t.Errorf("%v %v", k, err)
	}
	l, err := openLocal(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !l.isNew() {
		t.Error("an empty folder has a mesh")
	}
	if _, err := openLocal(dir); inos.CodeOf(err) != inos.CodeFolderInUse || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("a second one: %v", err)
	}
	if err := errors.Join(l.grow(6), l.link(), l.link()); err != nil {
		t.Fatal(err)
	}
	address := l.MeshListen
	for i, want := range []inos.Tier{"cold", "cold", "cold", "cold", "hot", "hot"} {
		if got := l.tierOf(l.providerNames()[i]); got != want {
			t.Errorf("provider %d of 6 is %s", i+1, got)
		}
	}
	if share, err := l.shareOf(600); err != nil || share != 100 {
		t.Errorf("%d %v", share, err)
	}
	if share, err := l.shareOf(0); err != nil || share < 2 {
		t.Errorf("%d %v", share, err)
	}
	if err := os.Mkdir(l.path(switchboardName), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, switchboardName, "url"), []byte("http://x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := readSmall(l.path("url")); err != nil || s != "http://x" {
		t.Errorf("%q %v", s, err)
	}
	l.close()
	if k, err := kindOf(dir); err != nil || k != folderLocal {
		t.Errorf("%v %v", k, err)
	}
	l, err = openLocal(dir)
	if err != nil || l.isNew() || l.Providers != 6 || l.MeshListen != address {
		t.Errorf("%+v %v", l, err)
	}
	if err := l.write(localFile, []byte(`{"version":9}`)); err != nil {
		t.Fatal(err)
	}
	l.close()
	if _, err := openLocal(dir); inos.CodeOf(err) != inos.CodeBadFormat {
		t.Errorf("a later version: %v", err)
	}
}

func TestKindOf(t *testing.T) {
	for name, want := range map[string]folderKind{"semantic.db": folderLone, "token.keys": folderLone, "mesh.json": folderProvider, localFile: folderLocal, "token": folderEmpty} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := kindOf(dir); err != nil || got != want {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
}

func TestTiersOfSmallMeshes(t *testing.T) {
	for providers, cold := range map[int]int{1: 1, 2: 2, 3: 2, 4: 3, 5: 4, 6: 4, 9: 6, 12: 8} {
		l := &local{Providers: providers}
		got := 0
		for _, name := range l.providerNames() {
			if l.tierOf(name) == inos.TierCold {
				got++
			}
		}
		if got != cold {
			t.Errorf("%d of %d are cold, want %d", got, providers, cold)
		}
	}
}

// A local mesh takes a port that nobody has.
func TestFreeMeshAddress(t *testing.T) {
	addr, err := freeMeshAddress()
	if err != nil || !strings.HasPrefix(addr, "/ip4/127.0.0.1/tcp/2") {
		t.Errorf("%s %v", addr, err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if port := l.Addr().(*net.TCPAddr).Port; isFree(port) {
		t.Errorf("%d is free although somebody listens", port)
	}
}

// How many providers a mesh has is counted without those that were taken out of it.
func TestLocalFitsWithoutWhatWasRemoved(t *testing.T) {
	l, err := openLocal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	if err := errors.Join(l.fit(4), l.retire("provider-2"), l.fit(3)); err != nil || l.Providers != 4 {
		t.Errorf("%d were made: %v", l.Providers, err)
	}
	if err := l.fit(2); inos.CodeOf(err) != inos.CodeConflict || !strings.Contains(err.Error(), "has 3 providers") {
		t.Errorf("a smaller one: %v", err)
	}
	if err := l.fit(4); err != nil || strings.Join(l.providerNames(), " ") != "provider-1 provider-3 provider-4 provider-5" {
		t.Errorf("%v: %v", l.providerNames(), err)
	}
	if err := l.fit(localNodesMax); inos.CodeOf(err) != inos.CodeConflict || !strings.Contains(err.Error(), "has had 5") {
		t.Errorf("more than a folder can say: %v", err)
	}
	if err := l.fit(localNodesMax - 1); err != nil || l.Providers != localNodesMax {
		t.Errorf("%d were made: %v", l.Providers, err)
	}
	if err := l.take("open again"); err != nil {
		t.Error(err)
	}
}

// The names of as many nodes as a mesh can have are read again.
func TestNamesOfAllNodes(t *testing.T) {
	l, err := openLocal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	names := nodeNames{nodeB: switchboardName}
	for i := range localNodesMax {
		names[nodeA+strconv.Itoa(100+i)] = providerPrefix + strconv.Itoa(i+1)
	}
	if err := l.rename(names); err != nil {
		t.Fatal(err)
	}
	if got, err := readNames(l.dir); err != nil || len(got) != len(names) {
		t.Errorf("%d of %d names: %v", len(got), len(names), err)
	}
}
