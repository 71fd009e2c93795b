package datatest

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/inos-mesh/inos"
	"pgregory.net/rapid"
)

// SemanticTwins runs random verbs on two memories side by side and compares every answer, every error code and, after
// each verb, the totals and the members' counters. open returns both empty; done is called at the end of each run.
func SemanticTwins(t *testing.T, open func(t *rapid.T) (a, b inos.Semantic, done func())) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, done := open(t)
		defer done()
		for _, m := range []inos.Semantic{a, b} {
			admit(t, m, "node-a", "n1", "n2", "n3")
		}
		w := &twins{a: a, b: b}
		verbs := map[string]func(*rapid.T){
			"":           w.totals,
			"stage":      w.stage,
			"stage more": w.stage,
			"commit":     w.commit,
			"put":        w.put,
			"delete":     w.delete,
			"abort":      w.abort,
			"condemn":    w.condemn,
			"forget":     w.forget,
			"drop":       w.drop,
			"find":       w.find,
			"lookup":     w.lookup,
			"list":       w.list,
			"unknown":    w.unknown,
			"prune":      w.prune,
			"token":      w.token,
			"admit":      w.admit,
			"set node":   w.setNode,
			"distrust":   w.distrust,
			"orders":     w.raiseOrders,
			"add":        w.addCopies,
			"confirm":    w.confirm,
			"audit":      w.audit,
			"retire":     w.retire,
			"states":     w.states,
			"want":       w.want,
			"claim":      w.claim,
			"repaired":   w.settleRepair,
			"queue":      w.queue,
			"replicas":   w.setReplicas,
			"pending":    w.pending,
			"settle":     w.settleRecord,
			"settle too": w.settleRecord,
			"unsettle":   w.unsettle,
			"sight":      w.sight,
			"restore":    w.restore,
		}
		maps.Copy(verbs, identityVerbs(w))
		maps.Copy(verbs, uploadVerbs(w))
		t.Repeat(verbs)
	})
}

type twins struct {
	a, b   inos.Semantic
	orders []inos.ChunkGeneration // condemned at some time, most of them void by now
	leases []inos.Repair          // claimed at some time, most of them over by now
	seen   []inos.Record          // facts that were pending at some time
	now    inos.Micros
}

const (
	twinData      = 8 // data chunks, some sharing a plain hash
	twinManifests = 7 // manifest i refers to data and to manifests below i
)

// both runs a verb on the two memories and compares what it returns, an error by its code.
func (w *twins) both(t *rapid.T, what string, verb func(inos.Semantic) (any, error)) {
	show := func(v any, err error) string {
		if err != nil {
			return inos.CodeOf(err).Name()
		}
		return fmt.Sprintf("%+v", v)
	}
	first, second := show(verb(w.a)), show(verb(w.b))
	if first != second {
		t.Fatalf("%s\n first: %s\nsecond: %s", what, first, second)
	}
	t.Logf("%s -> %.200s", what, first)
}

func (w *twins) totals(t *rapid.T) {
	w.both(t, "totals", func(m inos.Semantic) (any, error) { return m.Totals(background) })
	w.members(t)
	w.users(t)
}

func twinRow(n int) inos.ChunkRow {
	if n < twinData {
		r := dataRow(n)
		r.Entry.PlainHash = inos.PlainHash(hash("plain", n/2))
		r.Entry.PlainBytes = uint64(n / 2)
		return r
	}
	return twinManifest(n - twinData)
}

func twinManifest(n int) inos.ChunkRow {
	children := []inos.ChunkRow{dataRow(n % twinData), dataRow((n + 1) % twinData), dataRow(n % twinData)}
	if n == 0 {
		children = nil
	}
	if n > 2 {
		children = append(children, nodeRow(n-1), nodeRow(n-3))
	}
	return nodeRow(n, children...)
}

var (
	owners  = rapid.SampledFrom([]inos.Subject{"ann", "bob"})
	uploads = rapid.SampledFrom([]inos.UploadID{"u1", "u2", "u3", "o1"})
	paths   = rapid.SampledFrom([]inos.Path{"/a", "/a/b", "/b", "/b/c"})
	keys    = rapid.Custom(func(t *rapid.T) inos.RequestKey { return keyOf(fmt.Sprint(rapid.IntRange(0, 40).Draw(t, "key"))) })
	numbers = rapid.IntRange(0, twinData+twinManifests-1)
	rows    = rapid.Custom(func(t *rapid.T) inos.ChunkRow {
		r := twinRow(numbers.Draw(t, "chunk"))
		switch rapid.IntRange(0, 11).Draw(t, "twist") {
		case 0, 1, 2:
			r.Known = true
		case 3:
			r.Entry.PlainBytes++
		case 4:
			r.Entry.Chain[5]++
		case 5: // the bytes of a manifest node as a file's data
			r = inos.ChunkRow{Entry: twinManifest(1).Entry}
			r.Entry.StoredBytes = 55
		}
		r.Promised = rapid.Uint32Range(0, 3).Draw(t, "promised")
		r.Nodes = rapid.SliceOfN(rapid.SampledFrom([]inos.NodeID{"n1", "n2", "n3"}), 0, 2).Draw(t, "nodes")
		return r
	})
)

func brief(rows []inos.ChunkRow) (s string) {
	for _, r := range rows {
		s += fmt.Sprintf(" %.4x", r.Entry.ChunkID[:4])
		if r.Manifest {
			s += "m"
		}
		if r.Known {
			s += "k"
		}
	}
	return s
}

func (w *twins) stage(t *rapid.T) {
	u, o, r := uploads.Draw(t, "upload"), owners.Draw(t, "owner"), rapid.SliceOfN(rows, 0, 5).Draw(t, "rows")
	w.both(t, fmt.Sprintf("stage %s %s%s", u, o, brief(r)), func(m inos.Semantic) (any, error) {
		return nil, m.StageChunks(background, u, o, r, 1)
	})
}

// commit commits anything: mostly it is refused.
func (w *twins) commit(t *rapid.T) {
	w.commitFile(t, rapid.SliceOfN(rows, 0, 4).Draw(t, "rows"), twinRow(numbers.Draw(t, "root")))
}

// put commits a whole file, as the kernel would.
func (w *twins) put(t *rapid.T) {
	root := rapid.IntRange(0, twinManifests-1).Draw(t, "root")
	w.commitFile(t, wholeFile(root), twinManifest(root))
}

// wholeFile returns the rows of a manifest and of everything below it.
func wholeFile(root int) (rows []inos.ChunkRow) {
	for n := range twinData {
		rows = append(rows, twinRow(n))
	}
	for n := range root + 1 {
		rows = append(rows, twinManifest(n))
	}
	return rows
}

func (w *twins) commitFile(t *rapid.T, r []inos.ChunkRow, root inos.ChunkRow) {
	u, key := uploads.Draw(t, "upload"), keys.Draw(t, "key")
	f := fileOf(string(owners.Draw(t, "owner")), string(paths.Draw(t, "path")), root)
	f.PlainBytes, f.Version = uint64(rapid.IntRange(0, 1000).Draw(t, "bytes")), 77
	f.ReplicasWanted = rapid.Uint32Range(0, 6).Draw(t, "replicas")
	f.Pledged = rapid.SampledFrom([]int64{0, 0, 0, 3, 20}).Draw(t, "pledge")
	var quota inos.Quota
	if rapid.IntRange(0, 3).Draw(t, "quota") == 0 {
		quota = inos.Quota{PlainBytes: rapid.Uint64Range(0, 2000).Draw(t, "plain bytes"), Files: rapid.Uint64Range(0, 3).Draw(t, "files")}
	}
	w.now++
	w.both(t, fmt.Sprintf("commit %s %s%s key %s:%s", u, f.Owner, f.Path, key.ID, brief(r)), func(m inos.Semantic) (any, error) {
		f, repeated, err := m.CommitFile(background, u, f, r, quota, key, w.now)
		return []any{f, repeated}, err
	})
}

func (w *twins) delete(t *rapid.T) {
	o, p, key := owners.Draw(t, "owner"), paths.Draw(t, "path"), keys.Draw(t, "key")
	w.now++
	w.both(t, fmt.Sprintf("delete %s%s key %s", o, p, key.ID), func(m inos.Semantic) (any, error) {
		v, repeated, err := m.DeleteFile(background, o, p, key, w.now)
		return []any{v, repeated}, err
	})
}

func (w *twins) abort(t *rapid.T) {
	u := rapid.SampledFrom([]inos.UploadID{"u1", "u2", "u3", "o1", ""}).Draw(t, "upload")
	w.both(t, fmt.Sprintf("abort %q", u), func(m inos.Semantic) (any, error) { return m.AbortUpload(background, u) })
}

func (w *twins) condemn(t *rapid.T) {
	limit := rapid.IntRange(0, 6).Draw(t, "limit")
	w.both(t, fmt.Sprintf("condemn %d", limit), func(m inos.Semantic) (any, error) {
		condemned, err := m.CondemnChunks(background, limit)
		w.orders = append(w.orders, condemned...)
		return condemned, err
	})
}

func (w *twins) forget(t *rapid.T) {
	if len(w.orders) == 0 {
		t.Skip("nothing was condemned yet")
	}
	recent := w.orders[max(0, len(w.orders)-10):]
	orders := slices.Concat(rapid.SliceOfN(rapid.SampledFrom(recent), 0, 6).Draw(t, "recent"), rapid.SliceOfN(rapid.SampledFrom(w.orders), 0, 3).Draw(t, "old"))
	w.both(t, fmt.Sprintf("forget %d orders", len(orders)), func(m inos.Semantic) (any, error) { return m.ForgetChunks(background, orders) })
}

func (w *twins) drop(t *rapid.T) {
	node := rapid.SampledFrom([]inos.NodeID{"n1", "n2", "n3", "node-a"}).Draw(t, "node")
	var ids []inos.ChunkID
	for _, n := range rapid.SliceOfN(numbers, 0, 6).Draw(t, "chunks") {
		ids = append(ids, twinRow(n).Entry.ChunkID)
	}
	w.both(t, fmt.Sprintf("drop %d copies of %s", len(ids), node), func(m inos.Semantic) (any, error) { return m.DropCopies(background, node, ids) })
}

func (w *twins) find(t *rapid.T) {
	o := owners.Draw(t, "owner")
	var hashes []inos.PlainHash
	for _, n := range rapid.SliceOfN(numbers, 0, 6).Draw(t, "chunks") {
		hashes = append(hashes, twinRow(n).Entry.PlainHash)
	}
	w.both(t, fmt.Sprintf("find %s %d hashes", o, len(hashes)), func(m inos.Semantic) (any, error) {
		entries, err := m.FindChunks(background, o, hashes)
		var flat []inos.Entry
		for _, e := range entries {
			if e == nil {
				e = &inos.Entry{}
			}
			flat = append(flat, *e)
		}
		return flat, err
	})
}

func (w *twins) lookup(t *rapid.T) {
	o, p, n := owners.Draw(t, "owner"), paths.Draw(t, "path"), rapid.IntRange(0, twinManifests-1).Draw(t, "manifest")
	w.both(t, fmt.Sprintf("lookup %s%s", o, p), func(m inos.Semantic) (any, error) { return m.LookupFile(background, o, p, inos.FileID{}) })
	id := inos.FileID(twinManifest(n).Entry.PlainHash)
	w.both(t, fmt.Sprintf("lookup %s %s", o, id), func(m inos.Semantic) (any, error) { return m.LookupFile(background, o, "", id) })
}

func (w *twins) list(t *rapid.T) {
	o, prefix, after := owners.Draw(t, "owner"), rapid.SampledFrom([]string{"", "/", "/a", "/b/"}).Draw(t, "prefix"), paths.Draw(t, "after")
	limit := rapid.IntRange(0, 3).Draw(t, "limit")
	w.both(t, fmt.Sprintf("list %s %s after %s limit %d", o, prefix, after, limit), func(m inos.Semantic) (any, error) {
		files, more, err := m.ListFiles(background, o, prefix, string(after), limit)
		return []any{files, more}, err
	})
}

func (w *twins) unknown(t *rapid.T) {
	var ids []inos.ChunkID
	for _, n := range rapid.SliceOfN(numbers, 0, 6).Draw(t, "chunks") {
		ids = append(ids, twinRow(n).Entry.ChunkID)
	}
	w.both(t, "unknown", func(m inos.Semantic) (any, error) { return m.UnknownChunks(background, ids) })
	after := twinRow(numbers.Draw(t, "after")).Entry.ChunkID
	limit := rapid.IntRange(0, 5).Draw(t, "limit")
	w.both(t, "node chunks", func(m inos.Semantic) (any, error) {
		ids, end, err := m.NodeChunks(background, "n1", after, limit)
		return []any{fmt.Sprint(ids), end}, err
	})
	w.both(t, "copies", func(m inos.Semantic) (any, error) { return m.ChunkCopies(background, ids) })
}

func (w *twins) prune(t *rapid.T) {
	before := w.now - inos.Micros(rapid.IntRange(0, 10).Draw(t, "kept"))
	w.both(t, fmt.Sprintf("prune before %d", before), func(m inos.Semantic) (any, error) { return m.PruneReplies(background, before) })
}

func (w *twins) token(t *rapid.T) {
	secret, id := hash("secret", rapid.IntRange(0, 3).Draw(t, "secret")), fmt.Sprint("t", rapid.IntRange(0, 3).Draw(t, "token"))
	if rapid.Bool().Draw(t, "put") {
		s := inos.Session{TokenID: id, Subject: "ann", ExpiresAt: w.now, Capabilities: []string{"files:*:*"}}
		w.both(t, "put token "+id, func(m inos.Semantic) (any, error) { return nil, m.PutToken(background, secret, s) })
	}
	w.both(t, "find token", func(m inos.Semantic) (any, error) { return m.FindToken(background, secret) })
}
