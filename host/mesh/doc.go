// Package mesh carries envelopes and chunk bytes between nodes on libp2p.
package mesh
