package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// useLink counts the use of a link, before the first byte of a file that is there.
func (u *gets) useLink(g *get, id string, f *eventpb.FileInfo) {
	g.found = f
	u.send(g, opUseLink, 0, event.UseGrant, 0, &eventpb.UseGrantRequest{Owner: string(g.owner), Id: id, RequestId: g.id, NowUs: int64(u.k.now)})
}

// counted goes on with a get by a link whose use was counted.
func (u *gets) counted(g *get, a *answer) *inos.Error {
	if a.err != nil && a.err.Code == inos.CodeGrantUnknown {
		u.k.governance.access.changed()
		return inos.Errorf(inos.CodePermissionDenied, g.op(), "the link has expired, was taken back, or has been used as often as it may be")
	}
	if a.err != nil {
		return a.err
	}
	u.announce(g, g.found)
	g.found = nil
	return nil
}
