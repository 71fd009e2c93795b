package main

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

const (
	loginVersion = 1
	// loginBytesMax bounds a login's file.
	loginBytesMax = 64 << 10
	// refreshAhead is how long before its end an access token is exchanged: as long as a request may take to arrive.
	refreshAhead = time.Minute
)

// login is what a device keeps of one node: its key, and the tokens of its session. Its file has mode 0600.
type login struct {
	Version        int    `json:"version"`
	Node           string `json:"node"`
	Mesh           string `json:"mesh"`
	User           string `json:"user"`
	DeviceSeed     string `json:"device_seed"` // Ed25519, hexadecimal
	Device         string `json:"device"`
	Token          string `json:"token"`
	TokenExpiresUs int64  `json:"token_expires_us"`
	Refresh        string `json:"refresh"`
}

// loginsDir returns the folder with a file for each node: INOS_CONFIG, XDG_CONFIG_HOME/inos, ~/.config/inos.
func loginsDir() (string, error) {
	dir := os.Getenv("INOS_CONFIG")
	if dir == "" && filepath.IsAbs(os.Getenv("XDG_CONFIG_HOME")) {
		dir = filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "inos")
	}
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", &inos.Error{Code: inos.CodeBadRequest, Op: "find logins", Message: err.Error(), Hint: "Name a folder with INOS_CONFIG."}
		}
		dir = filepath.Join(home, ".config", "inos")
	}
	return filepath.Join(dir, "logins"), nil
}

// loginFile returns the file of a node's login.
func loginFile(node string) (string, error) {
	dir, err := loginsDir()
	return filepath.Join(dir, url.PathEscape(strings.TrimRight(node, "/"))+".json"), err
}

// readLogin reads a node's login; fs.ErrNotExist when there is none.
func readLogin(name string) (*login, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, loginBytesMax))
	if err != nil {
		return nil, err
	}
	var l login
	if json.Unmarshal(raw, &l) != nil || l.Version != loginVersion { // what a decoder says of it may quote it
		return nil, &inos.Error{Code: inos.CodeBadFormat, Op: "read login", Message: name + " is not a login of this version", Hint: "Remove it and run 'inos login' again."}
	}
	return &l, nil
}

// write replaces the login's file.
func (l *login) write(name string) error {
	raw, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return inos.Errorf(inos.CodeInternal, "write login", "%w", err)
	}
	dir := &local{dir: filepath.Dir(name)}
	if err := os.MkdirAll(dir.dir, 0o700); err != nil {
		return folderError("write login", err)
	}
	return dir.write(filepath.Base(name), append(raw, '\n')) // os.CreateTemp makes it 0600
}

func (l *login) key() (ed25519.PrivateKey, error) {
	seed, err := hex.DecodeString(l.DeviceSeed)
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, &inos.Error{Code: inos.CodeBadFormat, Op: "read login", Message: "the login has no device key", Hint: "Run 'inos logout', then 'inos login' with a new code."}
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// takeReply keeps what a node answered.
func (l *login) takeReply(r *api.LoginReply) {
	l.Token, l.TokenExpiresUs, l.Refresh, l.Device = r.Token, r.TokenExpiresUs, r.Refresh, r.Session.Device
}

// loginTokens hands out a login's access token and exchanges it in time. Other commands use the same file: whoever refreshes holds a lock, for a refresh
// secret that is shown twice is taken for a stolen one.
type loginTokens struct {
	name string
	tell func(text string) // that the node is silent; nil: nobody is told
	mu   sync.Mutex        // guards login
	login
}

// token implements api.TokenSource.
func (t *loginTokens) token(ctx context.Context, refused string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.good(refused) {
		return t.Token, nil
	}
	unlock, err := lockLogin(t.name)
	if err != nil {
		return "", err
	}
	defer unlock()
	l, err := readLogin(t.name) // another command may have refreshed meanwhile
	if err != nil {
		return "", inos.Errorf(inos.CodeUnauthenticated, "read login", "%w", err)
	}
	t.login = *l
	if t.good(refused) {
		return t.Token, nil
	}
	if err := t.renew(ctx); err != nil {
		return "", err
	}
	return t.Token, t.write(t.name)
}

func (t *loginTokens) good(refused string) bool {
	return t.Token != "" && t.Token != refused && time.Until(time.UnixMicro(t.TokenExpiresUs)) > refreshAhead
}

// renew gets another access token: by the refresh secret, or by the device's key when that is not good any more.
func (t *loginTokens) renew(ctx context.Context) error {
	client, err := api.NewClient(t.Node, "")
	if err != nil {
		return err
	}
	defer client.Close()
	client.Tell(t.tell)
	reply, err := client.Refresh(ctx, t.Refresh)
	if inos.CodeOf(err) == inos.CodeUnauthenticated || t.Refresh == "" {
		var key ed25519.PrivateKey
		if key, err = t.key(); err != nil {
			return err
		}
		reply, _, err = client.Login(ctx, api.LoginQuestion{User: t.User}, key, t.Mesh)
	}
	if inos.CodeOf(err) == inos.CodeUnauthenticated {
		return &inos.Error{
			Code: inos.CodeUnauthenticated, Op: "login", Message: "this device does not let " + t.User + " in at " + t.Node + " any more",
			Hint: "Run 'inos login' with a new code: the mesh's operator makes one with 'inos users enrol " + t.User + "'.",
		}
	}
	if err != nil {
		return err
	}
	t.takeReply(&reply)
	return nil
}

// lockLogin takes the lock beside a login's file.
func lockLogin(name string) (unlock func(), err error) {
	const op = "lock login"
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, folderError(op, err)
	}
	f, err := os.OpenFile(name+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, folderError(op, err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, folderError(op, err)
	}
	return func() { _ = f.Close() }, nil
}

// loginOf returns the tokens of a login at a node, or nil when there is none.
func loginOf(node string) (*loginTokens, error) {
	name, err := loginFile(node)
	if err != nil {
		return nil, err
	}
	l, err := readLogin(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &loginTokens{name: name, login: *l}, nil
}
