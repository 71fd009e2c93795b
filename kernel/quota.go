package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// fits says that a put may go on: the owner's quota seems to hold it. The commit decides; this spares a body that could not be committed. Before
// a put is refused the owner's row is read anew, and what the put would replace is taken off. When it answers false, the put waits or is refused.
func (g *governance) fits(x *petition, row *ownerRow) bool {
	o := &x.origin
	length := uint64(max(x.aim.length, 0))
	used, held := row.used+length, row.held+1
	if x.compared {
		used -= min(used, x.replaced)
		if x.replaces {
			held--
		}
	}
	bytes, files := row.bytes != 0 && used > row.bytes, row.files != 0 && held > row.files
	switch {
	case !bytes && !files:
		return true
	case row.bytes != 0 && length > row.bytes: // whatever it replaces
	case !x.again:
		x.again = true
		g.access.spent(o.owner, o.subject)
		g.lookUp(x, o.owner, o.subject)
		return false
	case !x.compared:
		g.k.send(o, ask{owner: threadGovernance, op: opReplaced, work: o.work}, event.LookupFile, &eventpb.LookupFileRequest{Owner: string(o.owner), Path: string(o.path)})
		return false
	}
	op := event.Stage(o.eventType)
	switch {
	case o.subject != o.owner: // how much there is and how much there may be is for the owner to know
		g.drop(x, inos.Errorf(inos.CodeQuotaExceeded, op, "the quota of %.80s does not hold it", o.owner))
	case files && !bytes:
		g.drop(x, inos.Errorf(inos.CodeQuotaExceeded, op, "%d files are there of %d that the quota of %.80s holds", row.held, row.files, o.owner))
	default:
		g.drop(x, inos.Errorf(inos.CodeQuotaExceeded, op, "%d bytes more than the %d used do not fit into the quota of %d bytes of %.80s", length, row.used, row.bytes, o.owner))
	}
	return false
}

// replacing takes what a put would replace.
func (g *governance) replacing(x *petition, a *answer) {
	var r eventpb.LookupFileReply
	switch {
	case a.err != nil && a.err.Code != inos.CodeFileNotFound:
		g.drop(x, because(event.Stage(x.origin.eventType), a.err, string(x.origin.path)))
		return
	case a.err == nil && (event.Open(a.env, &r) != nil || r.File == nil):
		g.drop(x, inos.Errorf(inos.CodeInternal, "semantic:lookup_file", "the reply names no file"))
		return
	case a.err == nil:
		x.replaced, x.replaces = r.File.PlainBytes, true
	}
	x.compared = true
	g.proceed(x)
}

// pledgeOf returns the micro-credits that a file's replicas above the default pledge: each holds its stored MiB, rounded up.
func pledgeOf(replicas uint32, stored uint64) int64 {
	if replicas <= inos.ReplicasDefault {
		return 0
	}
	return int64(replicas-inos.ReplicasDefault) * int64((stored+1<<20-1)>>20) * priceMicroCredits
}
