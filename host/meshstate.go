package host

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"github.com/inos-mesh/inos"
)

const (
	// meshStateFile is what a node keeps of its mesh, in its data folder.
	meshStateFile = "mesh.json"
	// meshStateBytesMax bounds that file.
	meshStateBytesMax = 64 << 10
	// meshStateVersion is the form that this version writes and reads.
	meshStateVersion = 1
)

// meshState is what a node keeps of its mesh between two runs.
type meshState struct {
	Version int    `json:"version"`
	RootKey []byte `json:"root_key"` // public; pinned
	// Certificate is a switchboard's own.
	Certificate []byte `json:"certificate,omitempty"`
	// Invite is the text that let a provider in, and Joined says that a switchboard has taken it.
	Invite string `json:"invite,omitempty"`
	Joined bool   `json:"joined,omitempty"`
	// Revocations are signed by the root key; at most trust.RevocationsMax.
	Revocations [][]byte `json:"revocations,omitempty"`
}

// meshState reads what the folder knows of its mesh, or nil.
func (f *folder) meshState() (*meshState, error) {
	const op = "read " + meshStateFile
	info, err := os.Stat(f.path(meshStateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, diskError(op, err)
	}
	if info.Size() > meshStateBytesMax {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "%s has %d bytes, at most %d are read", f.path(meshStateFile), info.Size(), meshStateBytesMax)
	}
	raw, err := os.ReadFile(f.path(meshStateFile))
	if err != nil {
		return nil, diskError(op, err)
	}
	var s meshState
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "%s: %w", f.path(meshStateFile), err)
	}
	if s.Version != meshStateVersion {
		return nil, inos.Errorf(inos.CodeBadFormat, op, "%s is of version %d, this node reads %d", f.path(meshStateFile), s.Version, meshStateVersion)
	}
	return &s, nil
}

// keepMeshState replaces it durably.
func (f *folder) keepMeshState(s *meshState) error {
	s.Version = meshStateVersion
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return inos.Errorf(inos.CodeInternal, "write "+meshStateFile, "%w", err)
	}
	return f.write(meshStateFile, string(raw)+"\n")
}
