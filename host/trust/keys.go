package trust

import (
	"bytes"
	"crypto/ed25519"

	"github.com/mr-tron/base58"

	"github.com/inos-mesh/inos"
)

// peerPrefix begins the peer id of an Ed25519 key: identity multihash (0x00) of 36 bytes, which are the key's protobuf form
// (libp2p specification, peer ids).
var peerPrefix = []byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}

// nodeBytesMax bounds a node id before it is decoded: 38 bytes are at most 52 digits of base58.
const nodeBytesMax = 52

// NodeOf returns the node id of a key: its libp2p peer id.
func NodeOf(key ed25519.PublicKey) inos.NodeID {
	return inos.NodeID(base58.Encode(append(bytes.Clone(peerPrefix), key...)))
}

// KeyOf returns the key that a node id is made of; CodeBadFormat for what is no peer id of an Ed25519 key.
func KeyOf(node inos.NodeID) (ed25519.PublicKey, error) {
	const op = "read node id"
	if len(node) > nodeBytesMax {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "%d characters, a peer id of an Ed25519 key has at most %d", len(node), nodeBytesMax)
	}
	raw, err := base58.Decode(string(node))
	if err != nil {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "%q is not base58: %w", node, err)
	}
	key, ok := bytes.CutPrefix(raw, peerPrefix)
	if !ok || len(key) != ed25519.PublicKeySize || NodeOf(key) != node {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "%q is not the peer id of an Ed25519 key", node)
	}
	return key, nil
}
