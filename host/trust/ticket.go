package trust

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event/eventpb"
)

// TicketSkew is how far the clock of the switchboard that signs a ticket may be behind that of the node it is shown to.
const TicketSkew = 5 * inos.Minute

// SignTicket makes the ticket of a grant: bytes that the holder shows to the node. At most TicketBytesMax; CodeBadRequest for a
// grant that does not fit.
func (s *Signer) SignTicket(grant *eventpb.Grant, now inos.Micros) ([]byte, error) {
	raw := sign(kindTicket, s.key, s.certificate, grant, now)
	if len(raw) > TicketBytesMax {
		return nil, inos.Errorf(inos.CodeBadRequest, "sign ticket", "%d bytes, a ticket has at most %d", len(raw), TicketBytesMax)
	}
	return raw, nil
}

// Ticket reads the grant of a ticket that peer has shown to self. CodePermissionDenied says why it does not count: it is not
// signed by a switchboard of this mesh whose certificate is valid now and not revoked, it has expired TicketSkew ago, or it is for others. It counts for self either when peer may
// use it here, or when self may use it elsewhere: then peer hands it over. Whether the verb and the chunk are what is asked, is
// for the caller to see.
func (v *Verifier) Ticket(raw []byte, peer, self inos.NodeID, now inos.Micros) (*eventpb.Grant, error) {
	const op = "check ticket"
	var grant eventpb.Grant
	c, _, err := v.statement(kindTicket, raw, TicketBytesMax, &grant)
	if err == nil {
		err = v.stands(c, now)
	}
	if err != nil {
		return nil, inos.Errorf(inos.CodePermissionDenied, op, "the ticket does not count: %w", err)
	}
	if now >= inos.Micros(grant.ExpiresUs)+TicketSkew {
		return nil, inos.Errorf(inos.CodePermissionDenied, op, "the ticket expired at %d us, and this is %d", grant.ExpiresUs, now)
	}
	holder, node := inos.NodeID(grant.Holder), inos.NodeID(grant.Node)
	if shown := holder == peer && node == self; !shown && holder != self {
		return nil, inos.Errorf(inos.CodePermissionDenied, op, "the ticket is for %s at %s, and %s has shown it to %s", holder, node, peer, self)
	}
	return &grant, nil
}
