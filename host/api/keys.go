package api

import (
	"net/http"

	"github.com/inos-mesh/inos"
)

// operates refuses who may not operate the node: its keys never pass through the kernel.
func (x *exchange) operates(op string) error {
	if !x.may("node", "operate") {
		x.h.node.Refused(op + " by " + string(x.session.Subject) + ", who does not operate the node")
		return inos.Errorf(inos.CodePermissionDenied, op, "it needs the capability node:operate:*")
	}
	return nil
}

// keys answers with the keys of access tokens, without what is secret of them, and with the switchboards that were revoked: GET /v1/keys.
func (x *exchange) keys(target) error {
	if err := x.operates("keys:list"); err != nil {
		return err
	}
	keys, err := x.h.node.Keys()
	if err != nil {
		return err
	}
	x.writeJSON(http.StatusOK, KeysReply{Keys: keys, Revoked: x.h.node.Revoked()})
	return nil
}

// rotateKey makes a new key: POST /v1/keys/token {at_once} for access tokens, POST /v1/keys/operator for the secret in the node's data folder.
func (x *exchange) rotateKey(t target) error {
	if err := x.operates("keys:rotate"); err != nil {
		return err
	}
	var q RotateQuestion
	if err := x.readJSON(&q); err != nil {
		return err
	}
	var out RotateReply
	var err error
	switch t.name {
	case "token":
		out.Keys, err = x.h.node.RotateTokenKey(x.r.Context(), x.session, q.AtOnce)
	case "operator":
		var expires inos.Micros
		expires, err = x.h.node.RotateOperator(x.r.Context(), x.session, q.AtOnce)
		out.OldExpiresUs = int64(expires)
	}
	if err != nil {
		return err
	}
	x.writeJSON(http.StatusOK, out)
	return nil
}
