package host

import (
	"context"
	"time"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/host/api"
	"github.com/inos-mesh/inos/host/trust"
)

// keysRotated is the type of the line of history about a key that was exchanged.
var keysRotated = event.WithState("keys:rotate:v1:requested", event.StateCompleted)

// Keys implements api.Node.
func (n *Node) Keys() ([]api.Key, error) {
	if n.tokenKeys == nil {
		return nil, inos.Errorf(inos.CodeNotSwitchboard, "keys:list", "this node signs no tokens")
	}
	var keys []api.Key
	for _, k := range n.tokenKeys.list() {
		out := api.Key{ID: k.ID(), CreatedUs: int64(k.Created), RetiredUs: int64(k.Retired)}
		if k.Retired != 0 {
			out.ExpiresUs = int64(k.Retired + trust.TokenLifeMax)
		}
		keys = append(keys, out)
	}
	return keys, nil
}

// Revoked implements api.Node.
func (n *Node) Revoked() []api.RevokedSwitchboard {
	out := []api.RevokedSwitchboard{}
	for _, r := range n.authority.verifier.Revocations() {
		out = append(out, api.RevokedSwitchboard{Node: string(r.Node), RevokedUs: int64(r.At)})
	}
	return out
}

// RotateTokenKey implements api.Node.
func (n *Node) RotateTokenKey(_ context.Context, by inos.Session, atOnce bool) ([]api.Key, error) {
	if n.tokenKeys == nil {
		return nil, inos.Errorf(inos.CodeNotSwitchboard, "keys:rotate", "this node signs no tokens")
	}
	if err := n.tokenKeys.rotate(n.clock.Now(), atOnce); err != nil {
		return nil, err
	}
	keys, err := n.Keys()
	if err != nil {
		return nil, err
	}
	detail := "token key " + keys[0].ID + " signs"
	if atOnce {
		detail += "; tokens of the others are void"
	}
	n.note(keysRotated, by.Subject, detail)
	return keys, nil
}

// microsText writes a time for a person.
func microsText(t inos.Micros) string { return time.UnixMicro(int64(t)).UTC().Format(time.RFC3339) }
