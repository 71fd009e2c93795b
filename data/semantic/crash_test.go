package semantic

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/inos-mesh/inos"
)

const (
	crashFolder = "SEMANTIC_CRASH_FOLDER" // set: this process is the one to be killed
	crashStart  = "SEMANTIC_CRASH_START"
	crashRounds = 6
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashFolder); dir != "" {
		crashWorkload(dir, os.Getenv(crashStart))
		return
	}
	os.Exit(m.Run())
}

// crashWorkload commits, overwrites, settles, repairs, deletes, aborts and collects from several goroutines until it is killed, and
// prints a line after each acknowledgement.
func crashWorkload(dir, start string) {
	s, err := Open(filepath.Join(dir, "semantic.db"))
	if err != nil {
		fmt.Println("error", err)
		return
	}
	if err := letIn(s); err != nil {
		fmt.Println("error", err)
		return
	}
	if _, err := s.AdmitNode(context.Background(), inos.Member{ID: crashNode, Tier: inos.TierHot}, "", 1); err != nil {
		fmt.Println("error", err)
		return
	}
	var out sync.Mutex
	say := func(format string, args ...any) {
		out.Lock()
		defer out.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	ctx := context.Background()
	var group sync.WaitGroup
	for c := range 6 {
		group.Go(func() {
			for i := 0; ; i++ {
				n := uint64(c)<<40 | uint64(i)
				f, rows := smallFile(n)
				f.Path = inos.Path(fmt.Sprintf("/%s/%d/%d", start, c, i/2)) // every second put overwrites
				upload := inos.UploadID(fmt.Sprintf("%s-%d-%d", start, c, i))
				key := inos.RequestKey{ID: string(upload), EventType: "put"}
				if i%3 == 0 {
					if err := s.StageChunks(ctx, upload, f.Owner, rows[:1], 1); err != nil {
						say("error %v", err)
						return
					}
				}
				committed, _, err := s.CommitFile(ctx, upload, f, rows, inos.Quota{}, key, 1)
				if err != nil {
					say("error %v", err)
					return
				}
				say("put %s %d %s", committed.Path, committed.Version, committed.FileID)
				if err := crashMesh(s, c, i, committed, rows, say); err != nil {
					say("error %v", err)
					return
				}
				if i%10 == 9 {
					key.EventType = "delete"
					say("deleting %s", f.Path)
					v, _, err := s.DeleteFile(ctx, f.Owner, f.Path, key, 1)
					if err != nil {
						say("error %v", err)
						return
					}
					say("deleted %s %d", f.Path, v)
				}
				if i%20 == 19 {
					condemned, err := s.CondemnChunks(ctx, 5)
					if err == nil {
						_, err = s.ForgetChunks(ctx, condemned)
					}
					if err != nil {
						say("error %v", err)
						return
					}
				}
			}
		})
	}
	group.Wait()
}

// crashMesh settles some of the versions, adds copies and works on the repair queue; the first caller alone claims, so
// that what it says of its leases is in their order.
func crashMesh(s *Store, caller, i int, f inos.FileInfo, rows []inos.ChunkRow, say func(string, ...any)) error {
	ctx := context.Background()
	ids := []inos.ChunkID{rows[0].Entry.ChunkID, rows[1].Entry.ChunkID}
	if i%2 == 1 {
		key := inos.RecordKey{Owner: f.Owner, Path: f.Path, Version: f.Version}
		if _, err := s.SettleRecord(ctx, key, f.ManifestID, []inos.NodeID{smallNode}, true); err != nil {
			return err
		}
		say("settled %s %d", f.Path, f.Version)
	}
	if i%3 == 1 {
		if _, err := s.AddCopies(ctx, crashNode, 1, ids, 0); err != nil {
			return err
		}
	}
	if i%4 == 1 {
		if _, err := s.WantRepairs(ctx, []inos.RepairWant{{ID: ids[0], Live: uint32(i % 3)}, {ID: ids[1]}}, 1); err != nil {
			return err
		}
	}
	if caller > 0 || i%4 != 3 {
		return nil
	}
	claimed, err := s.ClaimRepairs(ctx, "switchboard", 1, 2, 8)
	if err != nil {
		return err
	}
	for n, r := range claimed {
		say("lease %d", r.Lease)
		err := s.SettleRepair(ctx, r.ID, r.Lease, []inos.NodeID{crashNode}, inos.Micros(n%2), 1)
		if err != nil && inos.CodeOf(err) != inos.CodeConflict { // it was collected meanwhile
			return err
		}
	}
	return nil
}

// crashNode holds some of the chunks beside smallNode.
const crashNode = "12D3KooWcrash"

// acknowledged is what the killed process said of one path last.
type acknowledged struct {
	settled  uint64 // the version whose record was settled in full
	version  uint64
	fileID   string // empty: deleted
	deleting bool   // a delete was asked for and not acknowledged
}

// TestCrash kills a process in the middle of its work, again and again on one folder: what it acknowledged is there,
// and the counters equal a scan. SIGKILL keeps the page cache, so this holds the transactions to their word, not the
// flushes: those are TestSynchronous's.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	said := map[string]acknowledged{}
	acks, lease := 0, uint64(0)
	for round := range crashRounds {
		acks += crashRound(t, dir, fmt.Sprint("r", round), 50+random.IntN(600), said, &lease)
		path := filepath.Join(dir, "semantic.db")
		totals := scanned(t, path)
		s, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range said {
			f, err := s.LookupFile(context.Background(), "operator", inos.Path(path), inos.FileID{})
			switch {
			case want.fileID == "" && inos.CodeOf(err) == inos.CodeFileNotFound && !want.deleting:
			case want.deleting && inos.CodeOf(err) == inos.CodeFileNotFound:
			case err == nil && f.Version > want.version: // a later put whose acknowledgement the kill swallowed
			case err != nil || f.Version != want.version || f.FileID.String() != want.fileID:
				t.Errorf("round %d: %s: acknowledged %+v, found %+v (%v)", round, path, want, f, err)
			}
		}
		for _, r := range allPending(t, s) {
			if want := said[string(r.File.Path)]; r.File.Version == want.settled {
				t.Errorf("round %d: version %d of %s is pending, and was acknowledged as settled", round, want.settled, r.File.Path)
			}
		}
		if n, err := s.AbortUpload(context.Background(), ""); err != nil || uint64(n) != totals.Uploads {
			t.Errorf("aborted %d uploads (%v), there were %d", n, err, totals.Uploads)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		scanned(t, path)
	}
	t.Logf("%d acknowledgements over %d kills", acks, crashRounds)
}

// allPending returns all pending versions.
func allPending(t *testing.T, s *Store) (all []inos.Record) {
	t.Helper()
	for after := (inos.RecordKey{}); ; {
		page, err := s.PendingRecords(context.Background(), after, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
		last := page[len(page)-1].File
		after = inos.RecordKey{Owner: last.Owner, Path: last.Path}
	}
}

// crashRound starts the workload, kills it after a number of lines and notes what it said.
func crashRound(t *testing.T, dir, name string, lines int, said map[string]acknowledged, lease *uint64) (acks int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashFolder+"="+dir, crashStart+"="+name)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewScanner(out)
	for in.Scan() {
		acks++
		if acks == lines {
			if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
		var path, id string
		var version uint64
		switch word, rest, _ := strings.Cut(in.Text(), " "); word {
		case "put":
			if n, _ := fmt.Sscan(rest, &path, &version, &id); n == 3 {
				said[path] = acknowledged{version: version, fileID: id, settled: said[path].settled}
			}
		case "deleting":
			before := said[rest]
			before.deleting = true
			said[rest] = before
		case "deleted":
			if n, _ := fmt.Sscan(rest, &path, &version); n == 2 {
				said[path] = acknowledged{version: version, settled: said[path].settled}
			}
		case "settled":
			if n, _ := fmt.Sscan(rest, &path, &version); n == 2 {
				before := said[path]
				before.settled = version
				said[path] = before
			}
		case "lease":
			var l uint64
			if n, _ := fmt.Sscan(rest, &l); n == 1 && l <= *lease {
				t.Errorf("lease %d after %d", l, *lease)
			} else if n == 1 {
				*lease = l
			}
		default:
			t.Errorf("the workload says %q", in.Text())
		}
	}
	_ = cmd.Wait() // killed
	if acks < lines {
		t.Errorf("the workload ended by itself after %d lines", acks)
	}
	return acks
}
