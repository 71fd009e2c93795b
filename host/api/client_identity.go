package api

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"iter"
	"net/url"
	"strconv"
	"time"

	"github.com/inos-mesh/inos"
)

// Login lets a device in: with an enrolment's secret the first time, with its key alone from then on. Mesh is the id of the mesh that the device belongs to, or
// empty when it is not known yet; another mesh's node is refused before anything is signed for it. It returns the mesh's id too.
func (c *Client) Login(ctx context.Context, q LoginQuestion, key ed25519.PrivateKey, mesh string) (reply LoginReply, meshID string, err error) {
	const op = "identity:login"
	var challenge Challenge
	if err := c.askJSON(ctx, "POST", "/v1/login/challenge", "", ChallengeQuestion{q.User}, &challenge); err != nil {
		return reply, "", err
	}
	if mesh != "" && challenge.Mesh != mesh {
		return reply, "", &inos.Error{
			Code: inos.CodeUnauthenticated, Op: op, Message: fmt.Sprintf("the node at %s is of the mesh %.64q, and this device belongs to %.64q", c.base, challenge.Mesh, mesh),
			Hint: "If the mesh was made anew, run 'inos logout' and 'inos login' with a new code.",
		}
	}
	q.DevicePublicKey = hex.EncodeToString(key.Public().(ed25519.PublicKey))
	q.Challenge = challenge.Challenge
	q.Signature = hex.EncodeToString(ed25519.Sign(key, LoginText(challenge.Mesh, q.User, q.Challenge)))
	return reply, challenge.Mesh, c.askJSON(ctx, "POST", "/v1/login", "", q, &reply)
}

// Refresh trades a refresh secret, which is good for once, for an access token and another one.
func (c *Client) Refresh(ctx context.Context, refresh string) (reply LoginReply, err error) {
	return reply, c.askJSON(ctx, "POST", "/v1/login/refresh", "", RefreshQuestion{refresh}, &reply)
}

// pages walks through pages of a list: fetch reads one behind a key.
func pages[T any](fetch func(after string) (page []T, next string, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for after := ""; ; {
			page, next, err := fetch(after)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range page {
				if !yield(item, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			after = next
		}
	}
}

// Users walks through all users by name.
func (c *Client) Users(ctx context.Context) iter.Seq2[User, error] {
	return pages(func(after string) ([]User, string, error) {
		var r UsersReply
		err := c.callJSON(ctx, "GET", "/v1/users?"+url.Values{"after": {after}}.Encode(), &r)
		return r.Users, r.Next, err
	})
}

// User returns one; CodeUserUnknown.
func (c *Client) User(ctx context.Context, name string) (u UserReply, err error) {
	if err := inos.CheckName(name); err != nil {
		return u, err
	}
	return u, c.callJSON(ctx, "GET", "/v1/users/"+name, &u)
}

// Whoami returns who the client's token lets in.
func (c *Client) Whoami(ctx context.Context) (r WhoamiReply, err error) {
	return r, c.callJSON(ctx, "GET", "/v1/whoami", &r)
}

// PutUser makes a user or changes one.
func (c *Client) PutUser(ctx context.Context, name string, q UserQuestion) (u User, err error) {
	if err := inos.CheckName(name); err != nil {
		return u, err
	}
	return u, c.askJSON(ctx, "PUT", "/v1/users/"+name, newID(time.Now()), q, &u)
}

// Enrol makes a secret with which a new device of a user logs in.
func (c *Client) Enrol(ctx context.Context, name string, life time.Duration) (e Enrolment, err error) {
	if err := inos.CheckName(name); err != nil {
		return e, err
	}
	return e, c.askJSON(ctx, "POST", "/v1/users/"+name+"/enrolments", "", EnrolmentQuestion{LifeUs: life.Microseconds()}, &e)
}

// Devices returns a user's devices; of an empty name one's own.
func (c *Client) Devices(ctx context.Context, user string) ([]Device, error) {
	var r DevicesReply
	err := c.callJSON(ctx, "GET", "/v1/devices"+ofUser(user), &r)
	return r.Devices, err
}

// RevokeDevice ends a device, its sessions and the tokens that it issued at once.
func (c *Client) RevokeDevice(ctx context.Context, user, device string) (r DeviceEndedReply, err error) {
	return r, c.callJSON(ctx, "DELETE", "/v1/devices/"+url.PathEscape(device)+ofUser(user), &r)
}

func ofUser(user string) string {
	if user == "" {
		return ""
	}
	return "?" + url.Values{"user": {user}}.Encode()
}

// Groups walks through all groups by name.
func (c *Client) Groups(ctx context.Context) iter.Seq2[Group, error] {
	return pages(func(after string) ([]Group, string, error) {
		var r GroupsReply
		err := c.callJSON(ctx, "GET", "/v1/groups?"+url.Values{"after": {after}}.Encode(), &r)
		return r.Groups, r.Next, err
	})
}

// PutGroup makes a group or says anew who it consists of; without members it is removed.
func (c *Client) PutGroup(ctx context.Context, name string, members []string) (g Group, err error) {
	if err := inos.CheckName(name); err != nil {
		return g, err
	}
	if len(members) == 0 {
		return g, c.callJSON(ctx, "DELETE", "/v1/groups/"+name, &g)
	}
	return g, c.askJSON(ctx, "PUT", "/v1/groups/"+name, "", GroupQuestion{members}, &g)
}

// Tokens walks through a user's sessions; of an empty name one's own.
func (c *Client) Tokens(ctx context.Context, user string) iter.Seq2[Session, error] {
	return pages(func(after string) ([]Session, string, error) {
		v := url.Values{"after": {after}}
		if user != "" {
			v.Set("user", user)
		}
		var r TokensReply
		err := c.callJSON(ctx, "GET", "/v1/tokens?"+v.Encode(), &r)
		return r.Tokens, r.Next, err
	})
}

// IssueToken makes a token for a program.
func (c *Client) IssueToken(ctx context.Context, q TokenQuestion) (r TokenReply, err error) {
	return r, c.askJSON(ctx, "POST", "/v1/tokens", "", q, &r)
}

// RevokeToken ends a session at once; with an empty id all of the user's, who is then named.
func (c *Client) RevokeToken(ctx context.Context, user, id string) (r EndedReply, err error) {
	address := "/v1/tokens"
	if id != "" {
		address += "/" + url.PathEscape(id)
	}
	return r, c.callJSON(ctx, "DELETE", address+ofUser(user), &r)
}

// Grants walks through the grants in a namespace, or, received, those that let one into others'.
func (c *Client) Grants(ctx context.Context, owner string, received bool) iter.Seq2[Grant, error] {
	return pages(func(after string) ([]Grant, string, error) {
		v := url.Values{"after": {after}}
		if owner != "" {
			v.Set("owner", owner)
		}
		if received {
			v.Set("received", "1")
		}
		var r GrantsReply
		err := c.callJSON(ctx, "GET", "/v1/grants?"+v.Encode(), &r)
		return r.Grants, r.Next, err
	})
}

// Grant lets somebody in. Of a link the address is completed to a URL of this node.
func (c *Client) Grant(ctx context.Context, q GrantQuestion) (r GrantReply, err error) {
	err = c.askJSON(ctx, "POST", "/v1/grants", newID(time.Now()), q, &r)
	if err == nil && r.Address != "" {
		r.Address = c.base + r.Address
	}
	return r, err
}

// RemoveGrant takes a grant back at once.
func (c *Client) RemoveGrant(ctx context.Context, owner, id string) error {
	address := "/v1/grants/" + url.PathEscape(id)
	if owner != "" {
		address += "?" + url.Values{"owner": {owner}}.Encode()
	}
	r, err := c.newRequest(ctx, "DELETE", address, nil)
	if err != nil {
		return err
	}
	response, err := c.do(r)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// Ledger returns a page of an account's entries behind a sequence number; of an empty account one's own.
func (c *Client) Ledger(ctx context.Context, account string, after uint64, limit int) (r LedgerReply, err error) {
	v := url.Values{"after": {strconv.FormatUint(after, 10)}, "limit": {strconv.Itoa(limit)}}
	if account != "" {
		v.Set("account", account)
	}
	return r, c.callJSON(ctx, "GET", "/v1/ledger?"+v.Encode(), &r)
}

// Transfer moves micro-credits.
func (c *Client) Transfer(ctx context.Context, q TransferQuestion) (r LedgerReply, err error) {
	return r, c.askJSON(ctx, "POST", "/v1/ledger", newID(time.Now()), q, &r)
}

// Keys returns the keys of access tokens, the newest first.
func (c *Client) Keys(ctx context.Context) (r KeysReply, err error) {
	return r, c.callJSON(ctx, "GET", "/v1/keys", &r)
}

// RotateKey makes a new key: of access tokens ("token"), or the operator's secret in the data folder ("operator").
func (c *Client) RotateKey(ctx context.Context, kind string, atOnce bool) (r RotateReply, err error) {
	return r, c.askJSON(ctx, "POST", "/v1/keys/"+url.PathEscape(kind), "", RotateQuestion{atOnce}, &r)
}

// DashboardCode makes a code for a dashboard, and returns the address that has it in its fragment.
func (c *Client) DashboardCode(ctx context.Context) (address string, expires inos.Micros, err error) {
	var code DashboardCode
	if err := c.askJSON(ctx, "POST", "/v1/dashboard/codes", "", struct{}{}, &code); err != nil {
		return "", 0, err
	}
	return c.base + "/#code=" + code.Code, inos.Micros(code.ExpiresUs), nil
}
