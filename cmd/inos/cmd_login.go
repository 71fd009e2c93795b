package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

func (a *app) cmdLogin() *cobra.Command {
	var user, code, name string
	var capabilities []string
	c := &cobra.Command{
		Use:   "login --node URL --user NAME --code CODE",
		Short: "Let this device in at a node",
		Long: `Login makes a key for this device, which never leaves it, and lets the device in with a code that the mesh's operator or another
device of yours made with 'inos users enrol NAME'; a code is good for one device, once; as '-' it is read
from standard input, which other users of this machine do not see. From then on --node URL (or INOS_NODE) is enough:
access tokens last for minutes and are renewed by themselves.

Key and tokens are in a file of mode 0600 below INOS_CONFIG, else ~/.config/inos, one for each node.`,
		Example: `  inos login --node http://nas:7770 --user anna --code inos-enrol-…
  inos login --node http://nas:7770 --user anna --code - < code.txt
  inos ls --node http://nas:7770
  inos login --node http://nas:7770 --user anna --capability 'files:read:*'   # this device may read alone`,
		Args: arguments(0, 0, "no argument"),
		RunE: func(c *cobra.Command, _ []string) error {
			if user == "" {
				return usage(c, "say who you are: --user NAME")
			}
			if err := inos.CheckName(user); err != nil {
				return err
			}
			node, _, err := a.nodeURL()
			if err != nil {
				return err
			}
			if code, err = a.secret("the code", code); err != nil {
				return err
			}
			if name == "" {
				name, _ = os.Hostname() // a device without a name is one too
			}
			l, err := a.login(node, api.LoginQuestion{User: user, Enrolment: code, DeviceName: name, Capabilities: capabilities})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(struct {
					Node   string `json:"node"`
					Mesh   string `json:"mesh"`
					User   string `json:"user"`
					Device string `json:"device"`
				}{l.Node, l.Mesh, l.User, l.Device})
			}
			a.note("%s is in at %s, on this device: …%s", l.User, l.Node, tail(l.Device))
			return nil
		},
	}
	flags := c.Flags()
	flags.StringVar(&user, "user", "", "whom to let in")
	flags.StringVar(&code, "code", "", "the code of 'inos users enrol', the first time")
	flags.StringVar(&name, "name", "", "what to call this device (default the machine's name)")
	flags.StringArrayVar(&capabilities, "capability", nil, "what this device may do, such as files:read:/photos/*; may be given again (default all that the user may)")
	return c
}

// login lets this device in and keeps what the node answered.
func (a *app) login(node string, q api.LoginQuestion) (*login, error) {
	name, err := loginFile(node)
	if err != nil {
		return nil, err
	}
	unlock, err := lockLogin(name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	l, err := readLogin(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && l.User != q.User:
		seed := make([]byte, ed25519.SeedSize)
		_, _ = rand.Read(seed) // crypto/rand.Read never fails: it ends the process instead
		l = &login{Version: loginVersion, Node: node, User: q.User, DeviceSeed: hex.EncodeToString(seed)}
	case err != nil:
		return nil, err
	}
	key, err := l.key()
	if err != nil {
		return nil, err
	}
	client, err := api.NewClient(node, "")
	if err != nil {
		return nil, err
	}
	defer client.Close()
	client.Tell(a.tellSilence)
	reply, mesh, err := client.Login(a.ctx, q, key, l.Mesh)
	if inos.CodeOf(err) == inos.CodeUnauthenticated && q.Enrolment == "" {
		return nil, &inos.Error{
			Code: inos.CodeUnauthenticated, Op: "login", Message: q.User + " is not let in by this device's key alone",
			Hint: "Give a code: the mesh's operator makes one with 'inos users enrol " + q.User + "'.", Err: err,
		}
	}
	if inos.CodeOf(err) == inos.CodeUnauthenticated {
		return nil, &inos.Error{
			Code: inos.CodeUnauthenticated, Op: "login", Message: "the user, the code or this device is not good, or not any more",
			Hint: "Ask for a new code: 'inos users enrol " + q.User + "'.", Err: err,
		}
	}
	if err != nil {
		return nil, err
	}
	l.Mesh = mesh
	l.takeReply(&reply)
	return l, l.write(name)
}

func (a *app) cmdLogout() *cobra.Command {
	return &cobra.Command{
		Use:   "logout --node URL",
		Short: "End this device's session at a node and forget its key",
		Long: `Logout ends this device at the node, with its sessions, and removes its key and tokens from here. Without an answer of the node
they are removed all the same, and said: end the device there with 'inos devices revoke'. Codes of 'inos users enrol' that are not used
yet are void then.`,
		Example: "  inos logout --node http://nas:7770",
		Args:    arguments(0, 0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			node, _, err := a.nodeURL()
			if err != nil {
				return err
			}
			l, err := loginOf(node)
			if err != nil {
				return err
			}
			if l == nil {
				return &inos.Error{Code: inos.CodeUnauthenticated, Op: "logout", Message: "this device is not logged in at " + node, Hint: "See 'inos login --help'."}
			}
			l.tell = a.tellSilence
			client, err := api.NewClientOf(node, l.token)
			if err != nil {
				return err
			}
			defer client.Close()
			client.Tell(a.tellSilence)
			if _, err := client.RevokeDevice(a.ctx, "", l.Device); err != nil {
				a.note("the node was not told, so the device stays known there: %v", err)
			}
			if err := os.Remove(l.name); err != nil {
				return folderError("logout", err)
			}
			return nil
		},
	}
}

// tail returns the end of an id, which a person can tell apart.
func tail(id string) string { return id[max(0, len(id)-nodeIDTail):] }
