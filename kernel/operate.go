package kernel

import (
	"github.com/inos-mesh/inos"
	"github.com/inos-mesh/inos/event"
	"github.com/inos-mesh/inos/event/eventpb"
)

// Effects of what an operator asks.
const (
	opSignInvite  = iota + 1 // invite:sign
	opSetMember              // semantic:set_node
	opListRepairs            // semantic:list_repairs
	opLoneTotals             // semantic:totals of a lone node, for what it has lost
)

// operations answers what an operator asks of the mesh: its nodes, invites to it, what is wanted of a node, and the repair queue.
type operations struct {
	k     *Kernel
	table map[uint64]*operation
}

type operation struct {
	origin
	invite *eventpb.Invite           // of nodes:invite
	list   *eventpb.NodesListRequest // of nodes:list that asks for totals first
}

func (u *operations) init(k *Kernel) {
	u.k = k
	u.table = map[uint64]*operation{}
}

func (u *operations) about() about {
	return about{
		name: "operate", kind: "pipeline", inFlightMax: queriesMax,
		hears: []string{event.NodesList, event.NodesInvite, event.NodesSet, event.RepairsList},
	}
}

func (u *operations) code(c *coder) {
	objects(c, &u.table, queriesMax, num[uint64], func(c *coder, p *operation) {
		p.origin.code(c)
		listed := p.list != nil
		if c.bool(&listed); listed {
			if c.reading {
				p.list = &eventpb.NodesListRequest{}
			}
			text(c, &p.list.After)
			num(c, &p.list.Limit)
		}
		var b []byte
		if !c.reading && p.invite != nil {
			b = event.Payload(p.invite)
		}
		c.bytes(&b)
		if c.reading && len(b) > 0 {
			p.invite = &eventpb.Invite{}
			if err := p.invite.UnmarshalVT(b); err != nil {
				c.fail("an invite does not decode: %v", err)
			}
		}
	})
}

func (u *operations) act()              {}
func (u *operations) wake() inos.Micros { return 0 }
func (u *operations) idle() bool        { return len(u.table) == 0 }

func (u *operations) hear(in *input) {
	p := &operation{origin: in.origin}
	if !looks(in.env.EventType) {
		u.k.watcher.began(&p.origin)
	}
	if err := u.begin(p, in.env); err != nil {
		u.k.fail(&p.origin, err)
	}
}

// looks says that a request only looks. Whoever watches a mesh asks every second: like node:status it leaves no line in the history.
func looks(eventType string) bool {
	return eventType == event.NodesList || eventType == event.RepairsList
}

// show answers a request that only looks.
func (u *operations) show(p *operation, m event.Message) {
	u.k.finish(&p.origin)
	u.k.emit(event.Reply(p.envelope(), event.StateCompleted, u.k.now, event.Payload(m)))
}

// begin answers what the kernel knows, and asks for what it does not.
func (u *operations) begin(p *operation, e *eventpb.Envelope) *inos.Error {
	op := event.Stage(e.EventType)
	k := u.k
	if !k.started() {
		return again(inos.Errorf(inos.CodeBusy, op, "the switchboard is starting"))
	}
	if len(u.table) >= queriesMax {
		return busy(op, "requests", queriesMax)
	}
	var list eventpb.NodesListRequest
	var invite eventpb.NodesInviteRequest
	var set eventpb.NodesSetRequest
	var repairs eventpb.RepairsListRequest
	var m event.Message = &list
	switch e.EventType {
	case event.NodesInvite:
		m = &invite
	case event.NodesSet:
		m = &set
	case event.RepairsList:
		m = &repairs
	}
	if err := event.Open(e, m); err != nil {
		return inos.Errorf(inos.CodeBadRequest, op, "%w", err)
	}
	switch e.EventType {
	case event.NodesList:
		if list.Limit > membersPage {
			return inos.Errorf(inos.CodeBadRequest, op, "a page of %d nodes, at most %d", list.Limit, membersPage)
		}
		if k.lone() {
			p.list = &list
			u.ask(p, opLoneTotals, event.Totals, &eventpb.TotalsRequest{})
			return nil
		}
		u.show(p, k.members.describe(&list, nil))
	case event.NodesInvite:
		return u.invite(p, invite.Invite)
	case event.NodesSet:
		return u.set(p, &set)
	case event.RepairsList:
		if repairs.Limit > listMax {
			return inos.Errorf(inos.CodeBadRequest, op, "a page of %d repairs, at most %d", repairs.Limit, listMax)
		}
		u.ask(p, opListRepairs, event.ListRepairs, &eventpb.ListRepairsRequest{Limit: repairs.Limit})
	}
	return nil
}

func (u *operations) ask(p *operation, op uint8, effect string, m event.Message) {
	u.table[p.work] = p
	u.k.send(&p.origin, ask{owner: threadOperate, op: op, work: p.work}, effect, m)
}

// invite checks what an invite is to grant and has it signed.
func (u *operations) invite(p *operation, i *eventpb.Invite) *inos.Error {
	const op = "nodes:invite"
	k := u.k
	if i == nil {
		return inos.Errorf(inos.CodeBadRequest, op, "the request says nothing of what is granted")
	}
	p.invite = &eventpb.Invite{
		Id: event.NewID(k.now, k.random.ten()), Operator: i.Operator, Zone: i.Zone, Host: i.Host, Tier: i.Tier, OfferedBytes: i.OfferedBytes, ExpiresUs: i.ExpiresUs,
	}
	if p.invite.Operator == "" {
		p.invite.Operator = k.node.operator
	}
	if p.invite.ExpiresUs == 0 {
		p.invite.ExpiresUs = int64(k.now + inviteLife)
	}
	if err := k.members.grants(p.invite); err != nil {
		return inos.Errorf(inos.CodeBadRequest, op, "%s", err.Message)
	}
	if left := inos.Micros(p.invite.ExpiresUs) - k.now; left <= 0 || left > inviteLifeMax {
		return inos.Errorf(inos.CodeBadRequest, op, "an invite is good for at most %s, not for %s", seconds(inviteLifeMax), seconds(left))
	}
	u.ask(p, opSignInvite, event.InviteSign, &eventpb.InviteSignRequest{Invite: p.invite})
	return nil
}

// set writes down what is wanted of a member.
func (u *operations) set(p *operation, q *eventpb.NodesSetRequest) *inos.Error {
	const op = "nodes:set"
	m := u.k.members.table[inos.NodeID(q.Node)]
	state := inos.MemberState(q.State)
	switch {
	case m == nil:
		return inos.Errorf(inos.CodeNodeUnknown, op, "%.128q is no member of the mesh", q.Node)
	case state < inos.MemberActive || state > inos.MemberRemoved:
		return inos.Errorf(inos.CodeBadRequest, op, "%d is no state: active, draining or removed", q.State)
	case m.removed() && state != inos.MemberRemoved:
		return inos.Errorf(inos.CodeConflict, op, "node %s was removed from the mesh; it comes back under a new identity", m.label())
	case state == inos.MemberRemoved && !m.removed() && m.state != liveDead && !u.k.repairs.scan.emptied.has(q.Node, u.k.now):
		return inos.Errorf(inos.CodeConflict, op, "node %s is alive, and its removal would drop what it holds: drain it until it is empty", m.label())
	}
	u.ask(p, opSetMember, event.SetNode, &eventpb.SetNodeRequest{Node: q.Node, State: q.State})
	return nil
}

func (u *operations) answer(a *answer) {
	p := u.table[a.work]
	delete(u.table, a.work)
	err := a.err
	if err == nil {
		err = u.end(p, a)
	}
	if err != nil {
		if a.op == opSetMember && err.Code == inos.CodeIO {
			u.k.members.doubted() // it may have happened all the same
		}
		u.k.fail(&p.origin, because(event.Stage(p.eventType), err, ""))
	}
}

// end answers an operator with what came back.
func (u *operations) end(p *operation, a *answer) *inos.Error {
	k := u.k
	bad := func() *inos.Error {
		return inos.Errorf(inos.CodeInternal, event.Stage(p.eventType), "the reply does not decode")
	}
	switch a.op {
	case opSignInvite:
		var r eventpb.InviteSignReply
		if event.Open(a.env, &r) != nil {
			return bad()
		}
		k.complete(&p.origin, &eventpb.NodesInviteReply{Text: r.Text, Invite: p.invite}, p.invite.Tier+" node in "+p.invite.Zone+"/"+p.invite.Host)
	case opSetMember:
		var r eventpb.SetNodeReply
		if event.Open(a.env, &r) != nil || r.Member == nil {
			return bad()
		}
		m := k.members.set(r.Member)
		k.complete(&p.origin, &eventpb.NodesSetReply{Member: r.Member}, m.label()+" is "+inos.MemberState(r.Member.State).String())
	case opLoneTotals:
		var r eventpb.TotalsReply
		if event.Open(a.env, &r) != nil {
			return bad()
		}
		u.show(p, k.members.describe(p.list, &r))
	case opListRepairs:
		var r eventpb.ListRepairsReply
		if event.Open(a.env, &r) != nil {
			return bad()
		}
		reply := &eventpb.RepairsListReply{Repairs: r.Repairs, Total: r.Total}
		k.repairs.describe(reply)
		u.show(p, reply)
	}
	return nil
}
