package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

// smallFileMax bounds the files 'url', 'token' and 'local.json', and the names of as many nodes as a local mesh can have.
const smallFileMax = 16 << 10

// dataDir returns the node's data folder: --data, INOS_DATA, XDG_DATA_HOME/inos, ~/.local/share/inos.
func (a *app) dataDir() (string, error) {
	if a.data != "" {
		return a.data, nil
	}
	if dir := os.Getenv("INOS_DATA"); dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "inos"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", &inos.Error{Code: inos.CodeBadRequest, Op: "find data folder", Message: err.Error(), Hint: "Name one with --data or INOS_DATA."}
	}
	return filepath.Join(home, ".local", "share", "inos"), nil
}

// client returns a client of the node that the flags and the environment name.
func (a *app) client() (*api.Client, error) {
	address, local, err := a.nodeURL()
	if err != nil {
		return nil, err
	}
	source, err := a.tokens(address, local)
	if err != nil {
		return nil, err
	}
	client, err := api.NewClientOf(address, source)
	if err != nil {
		return nil, err
	}
	client.Tell(a.tellSilence)
	if a.owner == "" {
		return client, nil
	}
	return client.In(a.owner), nil
}

// withClient runs what a command does with the node.
func (a *app) withClient(do func(*api.Client) error) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	defer client.Close()
	return do(client)
}

// tokens returns where tokens for the node come from. A login counts for a node that was named by its address.
func (a *app) tokens(address string, local bool) (api.TokenSource, error) {
	if a.tokenFile == "" && os.Getenv("INOS_TOKEN") == "" && !local {
		l, err := loginOf(address)
		if err != nil {
			return nil, err
		}
		if l != nil {
			l.tell = a.tellSilence
			return l.token, nil
		}
	}
	return secretOf(func() (string, error) { return a.token(address, local) })
}

// secretOf returns a secret that is read now, and again when the node refuses it: it may have been exchanged since.
func secretOf(read func() (string, error)) (api.TokenSource, error) {
	secret, err := read()
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex // guards secret
	return func(_ context.Context, refused string) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if refused == "" || refused != secret {
			return secret, nil
		}
		fresh, err := read()
		if err == nil {
			secret = fresh
		}
		return secret, err
	}, nil
}

// folderClient returns a client of the node at an address that shows the secret in a data folder.
func folderClient(address, dir string) (*api.Client, error) {
	source, err := secretOf(func() (string, error) { return readSmall(filepath.Join(dir, "token")) })
	if err != nil {
		return nil, err
	}
	return api.NewClientOf(address, source)
}

// nodeURL returns the node's address; local says that it is the one of the data folder.
func (a *app) nodeURL() (address string, local bool, err error) {
	if a.node != "" {
		return a.node, false, nil
	}
	if s := os.Getenv("INOS_NODE"); s != "" {
		return s, false, nil
	}
	dir, err := a.dataDir()
	if err != nil {
		return "", false, err
	}
	address, err = readSmall(filepath.Join(dir, "url"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, inos.Errorf(inos.CodeNodeUnreachable, "find node", "no node runs on the data folder %s", dir)
	}
	if err != nil {
		return "", false, inos.Errorf(inos.CodeIO, "find node", "%w", err)
	}
	return address, true, nil
}

// token returns the secret to show: --token-file, INOS_TOKEN, or the data folder's. The last is a secret of this
// machine's own node, so it goes to a node named by address only when that is on this machine.
func (a *app) token(address string, local bool) (string, error) {
	if a.tokenFile != "" {
		secret, err := readSmall(a.tokenFile)
		if err != nil {
			return "", inos.Errorf(inos.CodeUnauthenticated, "read token", "%w", err)
		}
		return secret, nil
	}
	if secret := os.Getenv("INOS_TOKEN"); secret != "" {
		return secret, nil
	}
	if !local && !loopback(address) {
		return "", nil
	}
	dir, err := a.dataDir()
	if err != nil {
		return "", err
	}
	secret, err := readSmall(filepath.Join(dir, "token"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil // the node answers that a token is needed
	}
	if err != nil {
		return "", inos.Errorf(inos.CodeUnauthenticated, "read token", "%w", err)
	}
	return secret, nil
}

func loopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// readSmall returns the one line of a small file.
func readSmall(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, smallFileMax+1))
	if err != nil {
		return "", err
	}
	if len(b) > smallFileMax {
		return "", fmt.Errorf("%s has more than %d bytes", name, smallFileMax)
	}
	return strings.TrimSpace(string(b)), nil
}
