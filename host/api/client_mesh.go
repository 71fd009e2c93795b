package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"time"

	"github.com/inos-mesh/inos"
)

// Nodes returns all members of the mesh, sorted by id, page by page; CodeBadFormat when a page does not lie behind the one before it. Only a
// switchboard knows them: CodeNotSwitchboard.
func (c *Client) Nodes(ctx context.Context) (n NodesReply, err error) {
	if n, err = c.NodesPage(ctx, "", 0); err != nil {
		return NodesReply{}, err
	}
	for n.Next != "" {
		page, err := c.NodesPage(ctx, n.Next, 0)
		if err != nil {
			return NodesReply{}, err
		}
		if page.Next != "" && page.Next <= n.Next {
			return NodesReply{}, inos.Errorf(inos.CodeBadFormat, "list nodes", "the page behind %.80q ends with %.80q: it does not lie behind it", n.Next, page.Next)
		}
		n.Nodes, n.Next = append(n.Nodes, page.Nodes...), page.Next
	}
	return n, nil
}

// NodesPage returns at most limit (0 or above 128: 128) members behind one, and on the first page, behind none, what there is to say of the mesh as a whole.
func (c *Client) NodesPage(ctx context.Context, after string, limit int) (n NodesReply, err error) {
	q := url.Values{}
	if after != "" {
		q.Set("after", after)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(min(limit, nodesLimitMax)))
	}
	address := "/v1/nodes"
	if len(q) > 0 {
		address += "?" + q.Encode()
	}
	return n, c.callJSON(ctx, "GET", address, &n)
}

// SetNode sets the state of a member: active, draining or removed. CodeNodeUnknown.
func (c *Client) SetNode(ctx context.Context, id inos.NodeID, state inos.MemberState) (m Member, err error) {
	if err := checkNodeID(string(id)); err != nil {
		return m, err
	}
	return m, c.askJSON(ctx, "PATCH", "/v1/nodes/"+string(id), "", NodeQuestion{State: state.String()}, &m)
}

// Invite makes an invite that one newcomer can join with. Who has its text can, so it is a secret until then.
func (c *Client) Invite(ctx context.Context, q InviteQuestion) (i InviteReply, err error) {
	if err := q.check(); err != nil {
		return i, err
	}
	return i, c.askJSON(ctx, "POST", "/v1/invites", "", q, &i)
}

// Repairs returns at most limit (1,000) of the repair queue, those that go first.
func (c *Client) Repairs(ctx context.Context, limit int) (r RepairsReply, err error) {
	return r, c.callJSON(ctx, "GET", "/v1/repairs?"+url.Values{"limit": {strconv.Itoa(limit)}}.Encode(), &r)
}

// SetReplicas makes the path's next version with the same content and another number of replicas, 1 to 255. The copies
// follow as repair, or as the trimming of a surplus. A requestID, a UUIDv7, makes it idempotent for 24 hours; empty is a new one.
func (c *Client) SetReplicas(ctx context.Context, p inos.Path, replicas uint32, requestID string) (s SetReply, err error) {
	if err := inos.CheckPath(p); err != nil {
		return s, err
	}
	if requestID == "" {
		requestID = newID(time.Now())
	}
	return s, c.askJSON(ctx, "PATCH", "/v1/files/"+escapePath(p), requestID, FileQuestion{Replicas: replicas}, &s)
}

// askJSON sends one JSON value and reads one.
func (c *Client) askJSON(ctx context.Context, method, address, requestID string, question, out any) error {
	raw, err := json.Marshal(question)
	if err != nil {
		return inos.Errorf(inos.CodeInternal, "call node", "%w", err)
	}
	r, err := c.newRequest(ctx, method, address, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	if requestID != "" {
		r.Header.Set("Inos-Request-Id", requestID)
	}
	response, err := c.do(r)
	if err != nil {
		return err
	}
	return c.readJSON(ctx, response, out)
}
