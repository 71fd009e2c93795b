package semantic

import (
	"cmp"
	"database/sql"
	"strings"

	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// A fact of identity has versions as a file has, under the owner "" and a path that says which fact it is.
const (
	factUsers   = "/users/"
	factDevices = "/devices/" // and the user, a slash and the device's id
	factGroups  = "/groups/"
	factGrants  = "/grants/"
)

func deviceName(user inos.Subject, device string) string { return string(user) + "/" + device }

// newFact begins the next version of a fact.
func (t *tx) newFact(kind, name string, now inos.Micros) error {
	if _, err := t.changeFact(inos.Path(kind+name), now); err != nil {
		return err
	}
	return t.exec(deleteTombstone, "", []byte(kind+name))
}

// endFact writes a fact's tombstone.
func (t *tx) endFact(kind, name string, now inos.Micros) error {
	version, err := t.changeFact(inos.Path(kind+name), now)
	if err != nil {
		return err
	}
	return t.exec(insertTombstone, "", []byte(kind+name), int64(version), int64(now))
}

func (t *tx) changeFact(path inos.Path, now inos.Micros) (version uint64, err error) {
	if version, err = t.nextVersion("", path, inos.FileInfo{}, false); err != nil {
		return 0, err
	}
	return version, t.exec(changeRecord, "", []byte(path), int64(now))
}

// reader is a transaction that reads, or one that writes too.
type reader interface {
	row(s statement, args ...any) *sql.Row
	query(s statement, args ...any) (*sql.Rows, error)
}

// readFact returns what a path of nobody's says, encoded.
func readFact(r reader, path inos.Path) ([]byte, error) {
	kind, name := factOf(path)
	var m eventpb.Fact
	known, err := false, error(nil)
	switch kind {
	case factUsers:
		var u inos.User
		if u, known, err = foundUser(r.row(selectUser, name)); known {
			m.User = userFact(&u)
		}
	case factDevices:
		user, id, _ := strings.Cut(name, "/")
		rows, queryErr := r.query(selectDevice, user, id)
		var devices []inos.Device
		if devices, err = collect(rows, queryErr, scanDevice); len(devices) > 0 {
			known, m.Device = true, deviceMessage(&devices[0])
		}
	case factGroups:
		var members []inos.Subject
		if members, err = membersOf(r, name); len(members) > 0 {
			known, m.Group = true, groupMessage(&inos.Group{Name: name, Members: members})
		}
	case factGrants:
		var g grantRow
		if g, known, err = foundGrant(r.row(selectGrant, name)); known {
			m.Grant, m.Link = grantMessage(&g.AccessGrant), g.link
		}
	}
	if err == nil && !known {
		err = inos.Errorf(inos.CodeInternal, "semantic memory", "%.1024q has a version and there is no such fact", string(path))
	}
	return encodeFact(&m), err
}

// factOf splits the path of a fact into its kind and its name.
func factOf(path inos.Path) (kind, name string) {
	for _, kind := range []string{factUsers, factDevices, factGroups, factGrants} {
		if name, ok := strings.CutPrefix(string(path), kind); ok {
			return kind, name
		}
	}
	return "", ""
}

func encodeFact(m *eventpb.Fact) []byte {
	b := make([]byte, m.SizeVT())
	if _, err := m.MarshalToSizedBufferVT(b); err != nil {
		panic("semantic: encode a fact in memory: " + err.Error()) // no input can cause it
	}
	return b
}

// fact is what a commit record says of a path of nobody's: one of these is set.
type fact struct {
	user   *inos.User
	device *inos.Device
	group  *inos.Group
	grant  *grantRow
}

// decodeFact reads the fact of a path, and refuses what is another's or breaks the rules of its kind.
func decodeFact(op string, path inos.Path, b []byte) (f fact, err error) {
	var m eventpb.Fact
	if err := m.UnmarshalVT(b); err != nil {
		return f, inos.Errorf(inos.CodeBadRequest, op, "the fact of %.1024q, %d bytes, does not decode: %w", string(path), len(b), err)
	}
	kind, name := factOf(path)
	said := ""
	switch {
	case kind == factUsers && m.User != nil:
		u := messageUser(m.User)
		f.user, said, err = &u, string(u.Name), checkUserFields(op, &u)
	case kind == factDevices && m.Device != nil:
		d := messageDevice(m.Device)
		f.device, said, err = &d, deviceName(d.User, d.ID), checkDeviceFields(op, &d, m.Device.PublicKey)
	case kind == factGroups && m.Group != nil:
		g, checkErr := checkGroup(op, messageGroup(m.Group))
		if checkErr == nil && len(g.Members) == 0 {
			checkErr = inos.Errorf(inos.CodeBadRequest, op, "the group %q has no members", g.Name)
		}
		f.group, said, err = &g, g.Name, checkErr
	case kind == factGrants && m.Grant != nil:
		var link *[inos.HashBytes]byte
		if len(m.Link) == inos.HashBytes {
			link = (*[inos.HashBytes]byte)(m.Link)
		}
		g, checkErr := checkGrant(op, messageGrant(m.Grant), link)
		f.grant, said, err = &grantRow{AccessGrant: g, link: m.Link}, g.ID, checkErr
	}
	if err == nil && (name == "" || said != name) {
		err = inos.Errorf(inos.CodeBadRequest, op, "the record of %.1024q says something else", string(path))
	}
	return f, err
}

// restoreFact writes the version of a fact that a record has, unless what is there counts more.
func (t *tx) restoreFact(op string, r *inos.Record, was record, known bool) (bool, error) {
	path := []byte(r.File.Path)
	switch {
	case known && was.version == r.File.Version:
		there, err := t.factThere(r.File.Path)
		if err != nil || !supplants(&there, r) {
			return false, err
		}
		if err := t.exec(deleteRecordCopies, "", path); err != nil {
			return false, err
		}
	case known:
		if err := t.supersede("", r.File.Path, was, inos.FileInfo{}, false); err != nil {
			return false, err
		}
	}
	if err := t.writeFact(op, r); err != nil {
		return false, err
	}
	if err := t.restoreRecord(r); err != nil {
		return false, err
	}
	return true, t.exec(changeRecord, "", path, int64(r.File.CreatedAt))
}

// factThere returns what the map has under the path of a fact.
func (t *tx) factThere(path inos.Path) (there inos.Record, err error) {
	var changed, deleted int64
	if err := t.row(selectChanged, "", []byte(path)).Scan(&changed); err != nil {
		return there, err
	}
	there.File.CreatedAt = inos.Micros(changed)
	if there.Tombstone, err = found(t.row(selectDeleted, "", []byte(path)), &deleted); err != nil || there.Tombstone {
		return there, err
	}
	there.Fact, err = readFact(t, path)
	return there, err
}

// writeFact writes what a record says over what the map had under its path.
func (t *tx) writeFact(op string, r *inos.Record) error {
	kind, name := factOf(r.File.Path)
	owner, path := "", []byte(r.File.Path)
	if err := t.dropFact(kind, name); err != nil {
		return err
	}
	if r.Tombstone {
		return t.exec(insertTombstone, owner, path, int64(r.File.Version), int64(r.File.CreatedAt))
	}
	if err := t.exec(deleteTombstone, owner, path); err != nil {
		return err
	}
	f, err := decodeFact(op, r.File.Path, r.Fact)
	switch {
	case err != nil:
		return err
	case f.user != nil:
		u := f.user
		if u.Disabled {
			if _, err := t.shutOut(u.Name); err != nil {
				return err
			}
		}
		return t.exec(insertUser, string(u.Name), flag(u.Operator), flag(u.Disabled), int64(u.Quota.PlainBytes), int64(u.Quota.Files),
			int64(u.Quota.RequestsPerSecond), int64(u.CreatedAt))
	case f.device != nil:
		d := f.device
		return t.exec(insertDevice, d.ID, string(d.User), d.Name, d.PublicKey[:], int64(d.CreatedAt), flag(d.Revoked))
	case f.group != nil:
		if err := t.exec(insertGroup, f.group.Name); err != nil {
			return err
		}
		return t.insertMembers(f.group)
	}
	if f.grant.link != nil {
		if err := t.freshLink(op, (*[inos.HashBytes]byte)(f.grant.link)); err != nil {
			return err
		}
	}
	return t.writeGrant(f.grant)
}

// dropFact removes the row of a fact, if it has one.
func (t *tx) dropFact(kind, name string) error {
	switch kind {
	case factUsers:
		return t.exec(deleteUser, name)
	case factDevices:
		user, id, _ := strings.Cut(name, "/")
		return t.exec(deleteDevice, user, id)
	case factGroups:
		if err := t.exec(deleteMembersOf, name); err != nil {
			return err
		}
		return t.exec(deleteGroup, name)
	}
	return t.exec(deleteGrant, name)
}

func userFact(u *inos.User) *eventpb.User {
	m := userMessage(u)
	m.Usage, m.Balance = nil, 0
	return m
}

func deviceMessage(d *inos.Device) *eventpb.Device {
	return &eventpb.Device{Id: d.ID, User: string(d.User), Name: d.Name, PublicKey: d.PublicKey[:], CreatedUs: int64(d.CreatedAt), Revoked: d.Revoked}
}

func messageDevice(m *eventpb.Device) inos.Device {
	d := inos.Device{ID: m.Id, User: inos.Subject(m.User), Name: m.Name, CreatedAt: inos.Micros(m.CreatedUs), Revoked: m.Revoked}
	copy(d.PublicKey[:], m.PublicKey)
	return d
}

func groupMessage(g *inos.Group) *eventpb.Group {
	m := &eventpb.Group{Name: g.Name}
	for _, user := range g.Members {
		m.Members = append(m.Members, string(user))
	}
	return m
}

func messageGroup(m *eventpb.Group) inos.Group {
	g := inos.Group{Name: m.Name}
	for _, user := range m.Members {
		g.Members = append(g.Members, inos.Subject(user))
	}
	return g
}

func grantMessage(g *inos.AccessGrant) *eventpb.AccessGrant {
	return &eventpb.AccessGrant{
		Id: g.ID, Owner: string(g.Owner), Prefix: string(g.Prefix), Grantee: g.Grantee, Verbs: g.Verbs, ExpiresUs: int64(g.ExpiresAt),
		UsesMax: g.UsesMax, Uses: g.Uses, By: string(g.By), CreatedUs: int64(g.CreatedAt),
	}
}

func messageGrant(m *eventpb.AccessGrant) inos.AccessGrant {
	return inos.AccessGrant{
		ID: m.Id, Owner: inos.Subject(m.Owner), Prefix: inos.Path(m.Prefix), Grantee: m.Grantee, Verbs: m.Verbs, ExpiresAt: inos.Micros(m.ExpiresUs),
		UsesMax: m.UsesMax, Uses: m.Uses, By: inos.Subject(m.By), CreatedAt: inos.Micros(m.CreatedUs),
	}
}

func decodeGrant(op string, b []byte) (inos.AccessGrant, error) {
	var m eventpb.AccessGrant
	if err := decodeReply(op, replyGrant, b, &m); err != nil {
		return inos.AccessGrant{}, err
	}
	return messageGrant(&m), nil
}

// Verbs of a grant as a column has them, in the order of their names.
var verbNames = []string{inos.VerbAdmin, inos.VerbRead, inos.VerbShare, inos.VerbWrite}

func verbBits(verbs []string) (bits int64) {
	for i, name := range verbNames {
		for _, verb := range verbs {
			if verb == name {
				bits |= 1 << i
			}
		}
	}
	return bits
}

func verbsOf(bits int64) (verbs []string) {
	for i, name := range verbNames {
		if bits&(1<<i) != 0 {
			verbs = append(verbs, name)
		}
	}
	return verbs
}

func compareGrants(a, b grantRow) int { return cmp.Compare(a.ID, b.ID) }
