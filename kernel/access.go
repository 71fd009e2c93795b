package kernel

import (
	"slices"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Verbs of a grant.
const (
	mayReadFiles  = 1 << iota // get, stat, list, verify
	mayWriteFiles             // put, delete, set
	mayShare                  // let everybody in to read, by a link or publicly
	mayAdmin                  // let users and groups in
)

// verbBits names the verbs of grants, in their order.
var verbBits = []struct {
	name string
	bit  uint8
}{{"admin", mayAdmin}, {"read", mayReadFiles}, {"share", mayShare}, {"write", mayWriteFiles}}

// bitsOf reads the verbs of a grant; ok is false when one is none, or they are not sorted.
func bitsOf(verbs []string) (bits uint8, ok bool) {
	for i, v := range verbs {
		at := slices.IndexFunc(verbBits, func(b struct {
			name string
			bit  uint8
		},
		) bool {
			return b.name == v
		})
		if at < 0 || i > 0 && verbs[i-1] >= v {
			return 0, false
		}
		bits |= verbBits[at].bit
	}
	return bits, bits != 0
}

// accesses remembers for a short time what subjects may do in the namespaces of owners. What this kernel changes empties it at once; what another
// switchboard changes counts when an entry's time is over.
type accesses struct {
	k      *Kernel
	table  map[string]*access // key of owner and subject
	grants uint32             // of all entries
}

// access is what a subject may do in an owner's namespace, and what the owner's row says.
type access struct {
	owner   inos.Subject
	subject inos.Subject
	asking  bool
	stale   bool // a right was changed while it was asked for: it is asked for once more
	until   inos.Micros
	used    uint64   // step of its last use
	waiting []uint64 // requests
	row     ownerRow
	grants  []*right
}

// ownerRow is what the kernel wants of a user's row.
type ownerRow struct {
	known    bool
	operator bool
	disabled bool
	bytes    uint64 // quota; 0: no bound
	files    uint64
	rate     uint32
	used     uint64 // plain bytes
	held     uint64 // files
}

// right is one grant.
type right struct {
	id      string
	prefix  inos.Path
	verbs   uint8
	expires inos.Micros // 0: never
}

func accessKey(owner, subject inos.Subject) string { return string(owner) + "\x00" + string(subject) }

func (u *accesses) code(c *coder) {
	objects(c, &u.table, accessesMax, text[string], func(c *coder, a *access) {
		text(c, &a.owner)
		text(c, &a.subject)
		c.bool(&a.asking)
		c.bool(&a.stale)
		num(c, &a.until)
		num(c, &a.used)
		list(c, &a.waiting, petitionsMax, num[uint64])
		a.row.code(c)
		pointers(c, &a.grants, accessGrantsMax, func(c *coder, r *right) {
			text(c, &r.id)
			text(c, &r.prefix)
			num(c, &r.verbs)
			num(c, &r.expires)
		})
	})
	num(c, &u.grants)
}

func (r *ownerRow) code(c *coder) {
	c.bool(&r.known)
	c.bool(&r.operator)
	c.bool(&r.disabled)
	num(c, &r.bytes)
	num(c, &r.files)
	num(c, &r.rate)
	num(c, &r.used)
	num(c, &r.held)
}

// known returns what is remembered, however old; nil when nothing is.
func (u *accesses) known(owner, subject inos.Subject) *access {
	a := u.table[accessKey(owner, subject)]
	if a == nil || a.until == 0 {
		return nil
	}
	return a
}

// fresh returns what is remembered and still counts.
func (u *accesses) fresh(owner, subject inos.Subject) *access {
	a := u.known(owner, subject)
	if a == nil || a.asking || a.until <= u.k.now {
		return nil
	}
	a.used = u.k.steps
	return a
}

// ask has a request wait for what the semantic memory says; false when there is no room for one more question.
func (u *accesses) ask(owner, subject inos.Subject, work uint64) bool {
	key := accessKey(owner, subject)
	a := u.table[key]
	if a == nil {
		if len(u.table) >= accessesMax && !u.evict() {
			return false
		}
		a = &access{owner: owner, subject: subject}
		u.table[key] = a
	}
	a.used = u.k.steps
	if len(a.waiting) >= petitionsMax {
		a.waiting = slices.DeleteFunc(a.waiting, func(w uint64) bool { return u.k.governance.petitions[w] == nil }) // answered meanwhile
	}
	a.waiting = append(a.waiting, work)
	if !a.asking {
		a.asking, a.stale = true, false
		u.send(a)
	}
	return true
}

func (u *accesses) send(a *access) {
	work := u.k.work()
	u.k.governance.lookups[work] = accessKey(a.owner, a.subject)
	u.k.send(nil, ask{owner: threadGovernance, op: opReadAccess, work: work}, event.ReadAccess,
		&eventpb.ReadAccessRequest{Owner: string(a.owner), Subject: string(a.subject), NowUs: int64(u.k.now)})
}

// evict forgets the entry that was not used for longest and is not being asked for.
func (u *accesses) evict() bool {
	oldest := ""
	for _, key := range sortedKeys(u.table) {
		if a := u.table[key]; !a.asking && (oldest == "" || a.used < u.table[oldest].used) {
			oldest = key
		}
	}
	if oldest == "" {
		return false
	}
	u.drop(oldest)
	return true
}

func (u *accesses) drop(key string) {
	u.grants -= uint32(len(u.table[key].grants))
	delete(u.table, key)
}

// changed forgets everything: a right, a group or a user was changed.
func (u *accesses) changed() {
	for _, key := range sortedKeys(u.table) {
		if a := u.table[key]; a.asking {
			a.stale = true
			a.until = 0
		} else {
			u.drop(key)
		}
	}
}

// spent has an owner's row read anew before it is counted with again: a put has changed what is used.
func (u *accesses) spent(owner, subject inos.Subject) {
	for _, s := range []inos.Subject{owner, subject} {
		if a := u.known(owner, s); a != nil {
			a.until = min(a.until, u.k.now)
		}
	}
}

// learned takes what the semantic memory says and returns the requests that waited for it.
func (u *accesses) learned(key string, answer *answer) (waiting []uint64, err *inos.Error) {
	a := u.table[key]
	if answer.err == nil && a.stale {
		a.stale = false
		u.send(a)
		return nil, nil
	}
	waiting, a.waiting, a.asking = a.waiting, nil, false
	var r eventpb.ReadAccessReply
	switch {
	case answer.err != nil:
		err = answer.err
	case event.Open(answer.env, &r) != nil:
		err = inos.Errorf(inos.CodeInternal, "semantic:read_access", "the reply does not decode")
	}
	u.grants -= uint32(len(a.grants))
	a.grants = nil
	if err != nil {
		delete(u.table, key)
		return waiting, err
	}
	a.row.take(r.Owner)
	for _, g := range r.Grants {
		if len(a.grants) >= accessGrantsMax {
			break // what is not remembered is not allowed
		}
		if bits, ok := bitsOf(g.Verbs); ok && g.Owner == string(a.owner) && lets(g.Grantee, a.subject) {
			a.grants = append(a.grants, &right{id: g.Id, prefix: inos.Path(g.Prefix), verbs: bits, expires: inos.Micros(g.ExpiresUs)})
		}
	}
	u.grants += uint32(len(a.grants))
	a.until = u.k.now + accessLife
	for u.grants > accessGrantsAll && len(u.table) > 1 {
		a.asking = true // not this one
		gone := u.evict()
		a.asking = false
		if !gone {
			break
		}
	}
	return waiting, nil
}

// lets says that a grant to grantee can be meant for a subject; who is in a group only the memory knows.
func lets(grantee string, subject inos.Subject) bool {
	switch {
	case grantee == publicSubject:
		return true
	case !hasNamespace(subject):
		return grantee == string(subject)
	}
	return grantee == "user:"+string(subject) || len(grantee) > 6 && grantee[:6] == "group:"
}

func (r *ownerRow) take(u *eventpb.User) {
	*r = ownerRow{}
	if u == nil {
		return
	}
	r.known, r.operator, r.disabled = true, u.Operator, u.Disabled
	if u.Quota != nil {
		r.bytes, r.files, r.rate = u.Quota.PlainBytes, u.Quota.Files, u.Quota.RequestsPerSecond
	}
	if u.Usage != nil {
		r.used, r.held = u.Usage.PlainBytes, u.Usage.Files
	}
}

// quota returns the precondition of a commit; nil when nothing is bounded.
func (r *ownerRow) quota() *eventpb.Quota {
	if r.bytes == 0 && r.files == 0 {
		return nil
	}
	return &eventpb.Quota{PlainBytes: r.bytes, Files: r.files}
}

// allows returns the verbs that a subject has on a path now, and until when the last of the grants that give these lasts; 0: for ever.
func (a *access) allows(path inos.Path, verbs uint8, now inos.Micros) (ok bool, until inos.Micros) {
	var have uint8
	until = now
	for _, r := range a.grants {
		if r.expires != 0 && r.expires <= now || !path.In(r.prefix) {
			continue
		}
		have |= r.verbs
		if r.verbs&verbs == verbs && until != 0 && (r.expires == 0 || r.expires > until) {
			until = r.expires
		}
	}
	return have&verbs == verbs, until
}

// somewhere says that a subject has a verb on some path.
func (a *access) somewhere(verb uint8, now inos.Micros) bool {
	return slices.ContainsFunc(a.grants, func(r *right) bool { return r.verbs&verb != 0 && (r.expires == 0 || r.expires > now) })
}
