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

// Nodes returns the members of the mesh. Only a switchboard knows them: CodeNotSwitchboard.
func (c *Client) Nodes(ctx context.Context) (n NodesReply, err error) {
	return n, c.callJSON(ctx, "GET", "/v1/nodes", &n)
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
