package datatest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/inos-mesh/inos"
)

// pagesOfMembers walks the pages of the members, each of so many.
func pagesOfMembers(t testing.TB, m inos.Semantic, limit int) (all []inos.Member) {
	t.Helper()
	after := inos.NodeID("")
	for more := true; more; {
		page, others, err := m.ListNodes(background, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) > limit || others && len(page) < limit {
			t.Fatalf("a page of %d members above %q has %d, and others follow: %t", limit, after, len(page), others)
		}
		if all, more = append(all, page...), others; more {
			after = page[limit-1].ID
		}
	}
	return all
}

// nodesPage is the longest page of ListNodes.
const nodesPage = 128

func semanticListNodes(t *testing.T, m inos.Semantic) {
	for id := range members(t, m) { // what an implementation brings along
		if id >= "x" {
			t.Fatalf("member %s is in the way", id)
		}
	}
	brief := func(after inos.NodeID, limit int) (s string) {
		t.Helper()
		page, more, err := m.ListNodes(background, after, limit)
		must(t, err)
		for _, member := range page {
			if member.Grant != nil {
				t.Errorf("member %s is listed with its grant of %d bytes", member.ID, len(member.Grant))
			}
			s += string(member.ID) + " "
		}
		return s + fmt.Sprint(more)
	}
	equal(t, "of nobody", brief("x", 0), "false")
	admit(t, m, "x3", "x1", "x2")
	equal(t, "all", brief("x", 0), "x1 x2 x3 false")
	equal(t, "first page", brief("x", 2), "x1 x2 true")
	equal(t, "next page", brief("x2", 2), "x3 false")
	equal(t, "a whole page, and none behind it", brief("x", 3), "x1 x2 x3 false")
	equal(t, "behind the last", brief("x3", 2), "false")
	equal(t, "behind who is none", brief("x21", 2), "x3 false")
	equal(t, "a limit below zero is none", brief("x", -1), "x1 x2 x3 false")

	// Between two pages one joins before the place that has been reached, one behind it, and one leaves: the next page goes on behind
	// the last id, and nobody who was there is left out or comes twice.
	equal(t, "before the changes", brief("x", 2), "x1 x2 true")
	admit(t, m, "x11", "x22")
	_, err := m.SetNode(background, "x3", inos.MemberRemoved, nil)
	must(t, err)
	_, err = m.SetNode(background, "x1", inos.MemberDraining, []string{"/c"})
	must(t, err)
	equal(t, "behind the changes", brief("x2", 2), "x22 x3 false")
	equal(t, "who was removed", members(t, m)["x3"].State.String(), "removed")

	// A page has a bound, and the largest members that can be fit into a reply.
	long := func(b byte) string { return strings.Repeat(string(b), 1024) }
	for i := range nodesPage + 2 {
		largest := memberOf(inos.NodeID(fmt.Sprintf("z%04d", i) + long('z')[5:]))
		largest.Operator, largest.Zone, largest.Host, largest.Grant = long('o'), long('z'), long('h'), bytes.Repeat([]byte{1}, 64<<10)
		largest.Addrs = slices.Repeat([]string{long('/')}, inos.MemberAddrsMax)
		_, err := m.AdmitNode(background, largest, "", 1)
		must(t, err)
	}
	for _, limit := range []int{0, nodesPage, nodesPage + 1, 1 << 20} {
		page, more, err := m.ListNodes(background, "z", limit)
		must(t, err)
		if len(page) != nodesPage || !more {
			t.Fatalf("of %d members a page of %d has %d, and others follow: %t", nodesPage+2, limit, len(page), more)
		}
	}
	page, _, err := m.ListNodes(background, "z", 0)
	must(t, err)
	size := 0
	for i := range page {
		texts := append([]string{string(page[i].ID), page[i].Operator, page[i].Zone, page[i].Host, string(page[i].Tier)}, page[i].Addrs...)
		for _, s := range texts {
			size += len(s) + 4 // its tag and its length
		}
		size += 7 * 11 // its numbers
	}
	if size > inos.PayloadBytesMax {
		t.Errorf("a page of the largest members has %d bytes, more than the %d of a payload", size, inos.PayloadBytesMax)
	}
	if n := len(pagesOfMembers(t, m, nodesPage)); n != len(members(t, m)) {
		t.Errorf("%d members in long pages, %d in short ones", n, len(members(t, m)))
	}
}
