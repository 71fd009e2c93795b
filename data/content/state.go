package content

import (
	"encoding/binary"
	"fmt"
	"io"

	"lukechampine.com/blake3"

	"github.com/inos-mesh/inos"
)

// State file: docs in doc.go.
const (
	stateMagic   = "INOSCONT"
	stateVersion = 1
	stateBytes   = 64
	stateClean   = 1 << 0
)

// state is what the state file says.
type state struct {
	clean       bool // the store was closed, and the counters are right
	shardBits   uint
	chunks      int64
	usedBytes   int64
	trashChunks int64
	trashBytes  int64
}

func (s state) encode() []byte {
	b := make([]byte, 0, stateBytes)
	b = append(b, stateMagic...)
	b = binary.LittleEndian.AppendUint16(b, stateVersion)
	var flags byte
	if s.clean {
		flags = stateClean
	}
	b = append(b, flags, byte(s.shardBits), 0, 0, 0, 0)
	for _, n := range []int64{s.chunks, s.usedBytes, s.trashChunks, s.trashBytes} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	sum := blake3.Sum256(b)
	return append(b, sum[:stateBytes-len(b)]...)
}

// errTorn says that a state file was not written to its end.
var errTorn = fmt.Errorf("the state file is torn")

// decodeState reads a state file. A torn one is errTorn; one of a later version is CodeBadFormat.
func decodeState(b []byte) (s state, err error) {
	const op = "read content state"
	if len(b) != stateBytes || string(b[:8]) != stateMagic {
		return s, errTorn
	}
	if sum := blake3.Sum256(b[:48]); string(sum[:16]) != string(b[48:]) {
		return s, errTorn
	}
	if v := binary.LittleEndian.Uint16(b[8:]); v != stateVersion {
		return s, inos.Errorf(inos.CodeBadFormat, op, "version %d, this program reads %d", v, stateVersion)
	}
	if b[10]&^stateClean != 0 || b[11] < 1 || b[11] > 8 || b[12]|b[13]|b[14]|b[15] != 0 {
		return s, inos.Errorf(inos.CodeBadFormat, op, "flags % x were written by a later version", b[10:16])
	}
	s.clean, s.shardBits = b[10]&stateClean != 0, uint(b[11])
	for i, n := range []*int64{&s.chunks, &s.usedBytes, &s.trashChunks, &s.trashBytes} {
		if *n = int64(binary.LittleEndian.Uint64(b[16+8*i:])); *n < 0 {
			return s, inos.Errorf(inos.CodeBadFormat, op, "counter %d is negative", i)
		}
	}
	return s, nil
}

// readState returns the state file's content; found is false when there is none.
func readState(files FileLayer, l layout) (s state, found bool, err error) {
	f, err := files.Open(l.in(stateName), false)
	if missing(err) {
		return s, false, nil
	}
	if err != nil {
		return s, false, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, stateBytes+1))
	if err != nil {
		return s, false, err
	}
	s, err = decodeState(b)
	return s, true, err
}

// writeState replaces the state file durably.
func writeState(files FileLayer, l layout, s state) error {
	temp := l.in(tempName, stateName)
	if err := files.Remove(temp); err != nil && !missing(err) {
		return err
	}
	if err := writeFile(files, temp, s.encode(), SiteStateFile); err != nil {
		return err
	}
	if err := files.Rename(temp, l.in(stateName)); err != nil {
		return err
	}
	return files.SyncDir(l.dir, SiteStateDir)
}

// writeFile makes a file whose bytes are on stable storage; its name is not. On failure it removes the file.
func writeFile(files FileLayer, name string, b []byte, site Site) (err error) {
	f, err := files.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync(site)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		if removeErr := files.Remove(name); removeErr != nil {
			return fmt.Errorf("%w; and its temporary file stays: %w", err, removeErr)
		}
	}
	return err
}
