package host

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/trust"
)

const (
	// tokenKeysFile keeps the keys of access tokens in a switchboard's data folder, mode 0600.
	tokenKeysFile = "token.keys"
	// tokenKeysVersion is the form that this version writes and reads.
	tokenKeysVersion = 1
	// tokenKeysBytesMax bounds that file.
	tokenKeysBytesMax = 64 << 10
)

// tokenKeys are a switchboard's keys of access tokens: in use, and in their file. A rotation goes on beside requests: the newest
// key signs from then on, those before verify until their last token has expired.
type tokenKeys struct {
	folder *folder
	root   ed25519.PublicKey
	use    atomic.Pointer[trust.TokenKeys]

	mu   sync.Mutex // held while they are changed; guards kept
	kept []trust.TokenKey
}

// keptKeys is the file's content.
type keptKeys struct {
	Version int       `json:"version"`
	Keys    []keptKey `json:"keys"` // oldest first
}

type keptKey struct {
	Seed      string `json:"seed"` // Ed25519, hexadecimal
	CreatedUs int64  `json:"created_us"`
	RetiredUs int64  `json:"retired_us,omitempty"`
}

// openTokenKeys reads the keys from the folder; the first start makes one.
func openTokenKeys(f *folder, root ed25519.PublicKey, now inos.Micros) (*tokenKeys, error) {
	k := &tokenKeys{folder: f, root: bytes.Clone(root)}
	k.mu.Lock()
	defer k.mu.Unlock()
	kept, err := f.readTokenKeys()
	if err != nil {
		return nil, err
	}
	if kept == nil {
		fresh, err := newTokenKey(now)
		if err != nil {
			return nil, err
		}
		return k, k.keep([]trust.TokenKey{fresh})
	}
	k.kept = kept
	use, err := trust.NewTokenKeys(k.root, kept)
	if err != nil {
		return nil, err
	}
	k.use.Store(use)
	return k, nil
}

func newTokenKey(now inos.Micros) (trust.TokenKey, error) {
	k := trust.TokenKey{Created: now}
	if _, err := rand.Read(k.Seed[:]); err != nil {
		return k, inos.Errorf(inos.CodeIO, "make token key", "%w", err)
	}
	return k, nil
}

// rotate makes a new key sign. The others verify for as long as a token of theirs may live; at once says that they do not any more, and
// every token they signed is void: sessions of devices get another by their refresh secret.
func (k *tokenKeys) rotate(now inos.Micros, atOnce bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	fresh, err := newTokenKey(now)
	if err != nil {
		return err
	}
	var kept []trust.TokenKey
	for _, old := range k.kept {
		if old.Retired == 0 {
			old.Retired = now
		}
		if !atOnce && now < old.Retired+trust.TokenLifeMax+trust.TokenSkew {
			kept = append(kept, old)
		}
	}
	if len(kept) >= trust.TokenKeysMax {
		e := inos.Errorf(inos.CodeConflict, "rotate token key", "%d keys may still have tokens in use, more are not kept", len(kept))
		e.Hint = "Wait until the oldest is a year retired, or void all tokens with 'inos keys rotate token --at-once'."
		return e
	}
	return k.keep(append(kept, fresh))
}

// keep writes keys down, then uses them.
func (k *tokenKeys) keep(keys []trust.TokenKey) error {
	use, err := trust.NewTokenKeys(k.root, keys)
	if err != nil {
		return err
	}
	file := keptKeys{Version: tokenKeysVersion}
	for i := range keys {
		file.Keys = append(file.Keys, keptKey{hex.EncodeToString(keys[i].Seed[:]), int64(keys[i].Created), int64(keys[i].Retired)})
	}
	raw, err := json.MarshalIndent(&file, "", "  ")
	if err != nil {
		return inos.Errorf(inos.CodeInternal, "write "+tokenKeysFile, "%w", err)
	}
	if err := k.folder.write(tokenKeysFile, string(raw)+"\n"); err != nil {
		return err
	}
	k.kept = keys
	k.use.Store(use)
	return nil
}

// list returns the keys, the newest first.
func (k *tokenKeys) list() []trust.TokenKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	keys := slices.Clone(k.kept)
	slices.Reverse(keys)
	return keys
}

// readTokenKeys reads the keys in the folder's file, or nil when there is none.
func (f *folder) readTokenKeys() ([]trust.TokenKey, error) {
	const op = "read " + tokenKeysFile
	name := f.path(tokenKeysFile)
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, diskError(op, err)
	}
	if info.Size() > tokenKeysBytesMax {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "%s has %d bytes, at most %d are read", name, info.Size(), tokenKeysBytesMax)
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, diskError(op, err)
	}
	var file keptKeys
	if json.Unmarshal(raw, &file) != nil || file.Version != tokenKeysVersion { // what a decoder says of it may quote it
		return nil, inos.Errorf(inos.CodeBadFormat, op, "%s does not hold keys of version %d", name, tokenKeysVersion)
	}
	keys := make([]trust.TokenKey, len(file.Keys))
	for i, k := range file.Keys {
		seed, err := hex.DecodeString(k.Seed)
		if err != nil || copy(keys[i].Seed[:], seed) != len(keys[i].Seed) || len(seed) != len(keys[i].Seed) {
			return nil, inos.Errorf(inos.CodeBadFormat, op, "%s: key %d has no Ed25519 seed", name, i)
		}
		keys[i].Created, keys[i].Retired = inos.Micros(k.CreatedUs), inos.Micros(k.RetiredUs)
	}
	return keys, nil
}
