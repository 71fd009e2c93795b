package main

import (
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/host/api"
)

// A commit makes a file of an upload and ends it: who was killed before the answer finds nothing to go on with, and would store the file once more. So
// what is committed is written down before, and forgotten when the answer has been shown.

const (
	commitVersion = 1
	// commitLife is how long a node gives the answer to a commit again.
	commitLife = 24 * time.Hour
	// commitsMax bounds the files that are read; each is of a command that was killed within commitLife.
	commitsMax = 256
	// commitBytesMax bounds one of them.
	commitBytesMax = 64 << 10
)

// pendingCommit is a commit whose answer nobody has seen yet.
type pendingCommit struct {
	Version    int    `json:"version"`
	Node       string `json:"node"`
	Owner      string `json:"owner,omitempty"`
	Upload     string `json:"upload"`
	Path       string `json:"path"`
	PlainBytes uint64 `json:"plain_bytes"`
	Replicas   uint32 `json:"replicas,omitempty"`
	Sync       uint32 `json:"sync,omitempty"`
	Tier       string `json:"tier,omitempty"`
	FileID     string `json:"file_id"`

	name string // of its file
}

// commitsDir returns the folder with a file for each commit under way: XDG_STATE_HOME/inos, ~/.local/state/inos.
func commitsDir() (string, error) {
	state := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", &inos.Error{Code: inos.CodeIO, Op: "find commits", Message: err.Error(), Hint: "Set HOME or XDG_STATE_HOME."}
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "inos", "commits"), nil
}

// pendingCommits returns those that a node may answer again still, and removes the others. A file that cannot be read is none.
func pendingCommits(dir string, now time.Time) (kept []pendingCommit) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, entry := range entries {
		name := filepath.Join(dir, entry.Name())
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if age := now.Sub(info.ModTime()); age > commitLife || age < -commitLife {
			_ = os.Remove(name)
			continue
		}
		if strings.HasSuffix(name, ".json") && len(kept) < commitsMax {
			if c, err := readCommit(name); err == nil {
				kept = append(kept, c)
			}
		}
	}
	return kept
}

func readCommit(name string) (c pendingCommit, err error) {
	f, err := os.Open(name)
	if err != nil {
		return c, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, commitBytesMax))
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(raw, &c); err != nil || c.Version != commitVersion || c.Upload == "" || c.FileID == "" {
		return c, inos.Errorf(inos.CodeBadFormat, "read commit", "%s is not a commit of this version", name)
	}
	c.name = name
	return c, nil
}

// readyCommitsDir returns the folder when a commit can be written into it: who waits for that until all is sent sends it in vain.
func readyCommitsDir() (string, error) {
	const op = "remember commit"
	dir, err := commitsDir()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", folderError(op, err)
	}
	if err := unix.Access(dir, unix.W_OK); err != nil {
		return "", folderError(op, &fs.PathError{Op: "write to", Path: dir, Err: err})
	}
	return dir, nil
}

// remember writes down that the upload is about to be committed.
func (p *uploadPut) remember(id inos.FileID) error {
	const op = "remember commit"
	dir, err := readyCommitsDir()
	if err != nil {
		return err
	}
	if len(pendingCommits(dir, time.Now())) >= commitsMax {
		return &inos.Error{Code: inos.CodeBusy, Op: op, Message: dir + " is full", Hint: "Remove what is in it when no 'inos put --resume' runs."}
	}
	c := p.question
	c.Version, c.Upload, c.FileID = commitVersion, p.upload.ID, id.String()
	raw, err := json.Marshal(&c)
	if err != nil {
		return inos.Errorf(inos.CodeInternal, op, "%w", err)
	}
	folder := &local{dir: dir}
	if err := folder.write(c.Upload+".json", append(raw, '\n')); err != nil { // of mode 0600
		return err
	}
	p.commit = filepath.Join(dir, c.Upload+".json")
	return nil
}

// forget ends what remember began, or what was found of a command before.
func (p *uploadPut) forget() {
	if p.commit != "" {
		_ = os.Remove(p.commit) // if it stays, the next run finds that it is no use
	}
}

// committed returns the answer to a commit of this very file by a command that was killed before it had it. It counts only when the path has that
// version still: who puts the file back after it was replaced or removed gets a new one.
func (p *uploadPut) committed(ifAbsent bool) (reply api.PutReply, done bool, err error) {
	dir, err := commitsDir()
	if err != nil {
		return reply, false, nil // then none was written down either
	}
	var own *inos.FileID
	for _, c := range pendingCommits(dir, time.Now()) {
		q := c
		q.Version, q.Upload, q.FileID, q.name = 0, "", "", ""
		if q != p.question {
			continue
		}
		if own == nil {
			id, err := p.fileID()
			if err != nil {
				return reply, false, err
			}
			own = &id
		}
		if own.String() != c.FileID {
			continue
		}
		p.commit = c.name
		reply, done, err = p.answerAgain(c.Upload, *own, ifAbsent)
		if done || err != nil {
			return reply, done, err
		}
		p.forget()
		p.commit = ""
	}
	return reply, false, nil
}

// answerAgain asks for the answer to a commit once more. Did the one before not arrive, and is the upload whole and open, it is committed now.
func (p *uploadPut) answerAgain(upload string, id inos.FileID, ifAbsent bool) (reply api.PutReply, done bool, err error) {
	err = p.patient(func(context.Context) (err error) {
		reply, err = p.client.CommitUpload(p.a.ctx, upload, id, ifAbsent, "")
		return err
	})
	switch code := inos.CodeOf(err); {
	case code == inos.CodeUploadUnknown, code == inos.CodeBodyMismatch, code == inos.CodeUploadIncomplete:
		return reply, false, nil
	case err != nil:
		return reply, false, err
	}
	now, err := p.client.Stat(p.a.ctx, api.Ref{Path: inos.Path(p.question.Path)}, 0, 0)
	if inos.CodeOf(err) == inos.CodeFileNotFound {
		return reply, false, nil
	}
	return reply, err == nil && now.Version == reply.Version, err
}

// fileID reads the file for its id.
func (p *uploadPut) fileID() (id inos.FileID, err error) {
	h := blake3.New(inos.HashBytes, nil)
	if _, err := io.Copy(h, io.NewSectionReader(p.file, 0, p.size)); err != nil {
		return id, inos.Errorf(inos.CodeIO, "read what is put", "%w", err)
	}
	return inos.FileID(h.Sum(nil)), nil
}
