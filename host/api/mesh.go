package api

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Life of an invite.
const (
	inviteLifeDefault = inos.Day
	inviteLifeMax     = 30 * inos.Day
)

// nodes answers with a page of the members of the mesh: GET /v1/nodes?after=&limit=.
func (x *exchange) nodes(target) error {
	values, err := x.query("after", "limit")
	if err != nil {
		return err
	}
	limit, err := number(values, "limit", 0, nodesLimitMax)
	if err != nil {
		return err
	}
	after := values.Get("after")
	if after != "" {
		if err := checkNodeID(after); err != nil {
			return err
		}
	}
	var reply eventpb.NodesListReply
	if err := x.ask(event.NodesList, &eventpb.NodesListRequest{After: after, Limit: uint32(limit)}, &reply); err != nil {
		return err
	}
	x.writeJSON(http.StatusOK, NodesOf(&reply))
	return nil
}

// setNode changes what the operator wants of a member: PATCH /v1/nodes/{id} with {"state": "active"|"draining"|"removed"}.
// The same twice is once.
func (x *exchange) setNode(t target) error {
	const op = "nodes:set"
	var q NodeQuestion
	if err := x.readJSON(&q); err != nil {
		return err
	}
	state, ok := memberStates[q.State]
	if !ok {
		return inos.Errorf(inos.CodeBadRequest, op, "state %.40q is neither active, draining nor removed", q.State)
	}
	var reply eventpb.NodesSetReply
	if err := x.ask(event.NodesSet, &eventpb.NodesSetRequest{Node: string(t.node), State: uint32(state)}, &reply); err != nil {
		return err
	}
	x.writeJSON(http.StatusOK, memberOf(reply.Member))
	return nil
}

// invite signs an invite: POST /v1/invites with an InviteQuestion. Every call makes another.
func (x *exchange) invite(target) error {
	var q InviteQuestion
	if err := x.readJSON(&q); err != nil {
		return err
	}
	if err := q.check(); err != nil {
		return err
	}
	life := inos.Micros(q.LifeUs)
	if life == 0 {
		life = inviteLifeDefault
	}
	var reply eventpb.NodesInviteReply
	err := x.ask(event.NodesInvite, &eventpb.NodesInviteRequest{Invite: &eventpb.Invite{
		Operator: q.Operator, Zone: q.Zone, Host: q.Host, Tier: q.Tier, OfferedBytes: q.OfferedBytes, ExpiresUs: int64(x.h.micros() + life),
	}}, &reply)
	if err != nil {
		return err
	}
	x.w.Header().Set("Cache-Control", "no-store") // who has the text can join
	x.writeJSON(http.StatusCreated, inviteOf(&reply))
	return nil
}

// check refuses what no invite can grant.
func (q *InviteQuestion) check() error {
	const op = "nodes:invite"
	for _, label := range []struct{ name, value string }{{"zone", q.Zone}, {"host", q.Host}, {"operator", q.Operator}} {
		if label.value == "" && label.name != "operator" {
			return inos.Errorf(inos.CodeBadRequest, op, "no %s is named: it tells which machines can fail together", label.name)
		}
		if !isLabel(label.value) {
			return inos.Errorf(inos.CodeBadRequest, op, "%s %.80q is not at most %d bytes of text without control characters", label.name, label.value, labelBytesMax)
		}
	}
	switch inos.Tier(q.Tier) {
	case inos.TierHot, inos.TierCold:
	default:
		return inos.Errorf(inos.CodeBadRequest, op, "tier %.40q is neither hot nor cold", q.Tier)
	}
	if q.OfferedBytes == 0 || q.OfferedBytes >= 1<<63 {
		return inos.Errorf(inos.CodeBadRequest, op, "a node has to offer at least 1 byte and less than 8 EiB, not %d bytes", q.OfferedBytes)
	}
	if q.LifeUs < 0 || inos.Micros(q.LifeUs) > inviteLifeMax {
		return inos.Errorf(inos.CodeBadRequest, op, "an invite lives for at most %d days, not %d us", inviteLifeMax/inos.Day, q.LifeUs)
	}
	return nil
}

// isLabel tells whether s can name a failure domain or an operator; nothing can.
func isLabel(s string) bool {
	return len(s) <= labelBytesMax && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// repairs answers with the head of the repair queue: GET /v1/repairs?limit=.
func (x *exchange) repairs(target) error {
	values, err := x.query("limit")
	if err != nil {
		return err
	}
	limit, err := number(values, "limit", repairsLimitMax, repairsLimitMax)
	if err != nil {
		return err
	}
	var reply eventpb.RepairsListReply
	if err := x.ask(event.RepairsList, &eventpb.RepairsListRequest{Limit: uint32(limit)}, &reply); err != nil {
		return err
	}
	x.writeJSON(http.StatusOK, repairsOf(&reply))
	return nil
}

// setFile changes how a file is kept, as its path's next version with the same content: PATCH /v1/files/{path} with
// {"replicas": N}. The same Inos-Request-Id within 24 hours has one effect.
func (x *exchange) setFile(t target) error {
	id, err := x.requestID()
	if err != nil {
		return err
	}
	var q FileQuestion
	if err := x.readJSON(&q); err != nil {
		return err
	}
	if q.Replicas < 1 || q.Replicas > replicasMax {
		return inos.Errorf(inos.CodeBadRequest, "files:set", "%d replicas are not 1 to %d", q.Replicas, replicasMax)
	}
	if err := x.precondition(t); err != nil {
		return err
	}
	var reply eventpb.FilesSetReply
	e := x.envelope(id, event.FilesSet, &eventpb.FilesSetRequest{Path: string(t.path), Replicas: q.Replicas})
	if err := x.send(x.r.Context(), e, &reply, nil); err != nil {
		return err
	}
	out := SetReply{File: fileOf(reply.File), TraceID: x.trace.id()}
	x.w.Header().Set("ETag", plainTag(&out.File))
	x.writeJSON(http.StatusOK, out)
	return nil
}

// readJSON reads the body of a question: one JSON value, bounded, without fields that nobody knows, since a misspelt one
// must not be taken for its default.
func (x *exchange) readJSON(out any) error {
	const op = "read question"
	if s := x.r.Header.Get("Content-Type"); s != "" {
		media, _, err := mime.ParseMediaType(s)
		if err != nil || media != "application/json" && media != "application/merge-patch+json" {
			return inos.Errorf(inos.CodeBadRequest, op, "Content-Type %.80q: the body is application/json", s)
		}
	}
	raw, err := io.ReadAll(io.LimitReader(x.body, questionBytesMax+1))
	if err != nil {
		return err
	}
	if len(raw) > questionBytesMax {
		return inos.Errorf(inos.CodeEnvelopeTooLarge, op, "the body has more than %d bytes", questionBytesMax)
	}
	return decodeQuestion(raw, out)
}

// decodeQuestion reads one JSON value and nothing behind it.
func decodeQuestion(raw []byte, out any) error {
	const op = "read question"
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.DisallowUnknownFields()
	if err := d.Decode(out); err != nil {
		return inos.Errorf(inos.CodeBadRequest, op, "the body is not the JSON of this call: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return inos.Errorf(inos.CodeBadRequest, op, "something follows the JSON value")
	}
	return nil
}
