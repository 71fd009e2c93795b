package sim

import (
	"fmt"
	"slices"

	"github.com/inos-mesh/inos"
)

// people has an operator make users and groups, change some and remove some. Their facts reach the mesh while the world becomes quiet.
func (w *World) people() {
	operator := sessions[0].Subject
	_, _, err := w.semantic.PutUser(background, inos.User{Name: inos.Subject(operator), Operator: true}, true, 0, inos.RequestKey{ID: "people", EventType: "people"}, w.now)
	if err != nil {
		w.violate("the operator is not made: %v", err)
	}
	w.run(w.now + inos.Minute) // what the switchboard thinks to know of the operator is forgotten
	for _, o := range []*op{
		{kind: opUserPut, name: "cat", create: true},
		{kind: opUserPut, name: "dan", create: true},
		{kind: opGroupPut, name: "family", members: []string{"cat", "dan"}},
		{kind: opGroupPut, name: "work", members: []string{"dan"}},
		{kind: opUserPut, name: "cat"},
		{kind: opGroupPut, name: "work"},
		{kind: opGroupPut, name: "family", members: []string{"dan"}},
	} {
		o.tries = 100
		w.ask(o)
		for r, limit := w.clients.latest, w.now+2*inos.Minute; !r.done && w.now < limit && !w.over; {
			w.run(w.now + inos.Second)
		}
		if r := w.clients.latest; !w.over && (!r.done || r.outcome != nil) {
			w.violate("%s %s is not done: %v", opNames[o.kind], o.name, r.outcome)
		}
	}
}

// factsKept says that the record of each fact is on the mesh: it is not where too few domains are left to write anything.
func (w *World) factsKept() bool {
	pending, err := w.semantic.PendingRecords(background, inos.RecordKey{}, 0)
	if err != nil {
		w.violate("pending records: %v", err)
	}
	return !slices.ContainsFunc(pending, func(r inos.Record) bool { return r.File.Owner == "" && len(r.Nodes) == 0 })
}

// facts says what the semantic memory knows of people.
func (w *World) facts() string {
	users, _, err := w.semantic.ListUsers(background, "", 0)
	if err != nil {
		w.violate("list users: %v", err)
	}
	groups, _, err := w.semantic.ListGroups(background, "", 0)
	if err != nil {
		w.violate("list groups: %v", err)
	}
	said := ""
	for _, u := range users {
		said += fmt.Sprintf("%s operator %t disabled %t since %d; ", u.Name, u.Operator, u.Disabled, u.CreatedAt)
	}
	return said + fmt.Sprint(groups)
}

// compareFacts holds what is known of people after the rebuild against what was known before.
func (w *World) compareFacts(before string) {
	if w.over {
		return
	}
	if now := w.facts(); now != before {
		w.violate("the rebuild makes other facts: %s; they were %s", now, before)
	}
}
