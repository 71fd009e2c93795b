package host

import (
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
	"github.com/inos-mesh/inos/host/trust"
)

const testNow = 1_700_000_000 * inos.Second

func openKeys(t *testing.T, dir string) *tokenKeys {
	t.Helper()
	k, err := openTokenKeys(&folder{dir: dir}, make([]byte, 32), testNow)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func signWith(t *testing.T, k *tokenKeys) string {
	t.Helper()
	token, err := k.use.Load().Sign(&eventpb.Session{TokenId: "t", Subject: "ann", ExpiresUs: int64(testNow + inos.Hour)}, testNow)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTokenKeysRotate(t *testing.T) {
	dir := t.TempDir()
	k := openKeys(t, dir)
	counts := func(k *tokenKeys, token string) bool {
		_, err := k.use.Load().Verify(token, "", "", testNow+inos.Minute)
		return err == nil
	}
	first := signWith(t, k)
	if !counts(openKeys(t, dir), first) {
		t.Fatal("a node that started again does not take its own token")
	}
	if err := k.rotate(testNow+inos.Minute, false); err != nil {
		t.Fatal(err)
	}
	second := signWith(t, k)
	again := openKeys(t, dir)
	if !counts(k, first) || !counts(k, second) || !counts(again, first) || !counts(again, second) {
		t.Error("after a rotation a token of either key counts, then and after a start")
	}
	if keys := again.list(); len(keys) != 2 || keys[0].Retired != 0 || keys[1].Retired != testNow+inos.Minute {
		t.Errorf("the keys, newest first: %+v", keys)
	}
	if err := again.rotate(testNow+2*inos.Minute, true); err != nil {
		t.Fatal(err)
	}
	if counts(again, first) || counts(again, second) || !counts(again, signWith(t, again)) || len(again.list()) != 1 {
		t.Error("after a rotation at once only tokens of the new key count")
	}
	if info, err := os.Stat(dir + "/" + tokenKeysFile); err != nil || info.Mode().Perm() != fs.FileMode(0o600) {
		t.Errorf("the file's mode: %v, %v", info.Mode(), err)
	}
}

func TestTokenKeysAreBoundedAndForgotten(t *testing.T) {
	k := openKeys(t, t.TempDir())
	var err error
	for i := 0; err == nil && i < 2*trust.TokenKeysMax; i++ {
		err = k.rotate(testNow, false)
	}
	if inos.CodeOf(err) != inos.CodeConflict || len(k.list()) != trust.TokenKeysMax {
		t.Fatalf("%d keys: %v", len(k.list()), err)
	}
	if err := k.rotate(testNow+trust.TokenLifeMax+trust.TokenSkew, false); err != nil || len(k.list()) != 2 {
		t.Errorf("when their tokens have expired the keys are forgotten: %d left, %v", len(k.list()), err)
	}
}

func TestTokenKeysThatCannotBeRead(t *testing.T) {
	const seed = `00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff`
	for name, content := range map[string]string{
		"no JSON": seed, "another version": `{"version":2,"keys":[]}`, "no key": `{"version":1,"keys":[]}`,
		"a short seed": `{"version":1,"keys":[{"seed":"` + seed[2:] + `","created_us":1}]}`, "a long seed": `{"version":1,"keys":[{"seed":"00` + seed + `","created_us":1}]}`,
		"none that signs": `{"version":1,"keys":[{"seed":"` + seed + `","created_us":1,"retired_us":2}]}`,
		"too much":        `{"version":1}` + strings.Repeat(" ", tokenKeysBytesMax),
	} {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/"+tokenKeysFile, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := openTokenKeys(&folder{dir: dir}, make([]byte, 32), testNow)
		if inos.CodeOf(err) != inos.CodeBadFormat || strings.Contains(err.Error(), seed[2:20]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
