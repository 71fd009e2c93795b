package semantic

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// scans are the statements that may walk a table or sort, with why that stays cheap.
var scans = map[statement]string{
	anyUpload:         "stops at the first row",
	selectCollectable: "walks the index of the chunks without a reference, to a limit",
	countMembers:      "a mesh has few members, and a newcomer is rare",
	selectTotals:      "a mesh has few members, and only their counters are added up",
	selectReady:       "walks the queue in its order, to a limit; anyReady asks first",
	listRepairs:       "walks the queue in its order, to a limit",
	deleteSightings:   "empties the table, some rows at a time",
	countEntries:      "the index, once an hour",
	countUsers:        "the index of the users, and a newcomer is rare",
	countGroups:       "there are few groups, and a new one is rare",
	readAccess:        "the list of grantees has two rows of its own",
}

// by are the statements for which an index is as good as another to the planner, and not to us.
var by = map[statement]string{
	selectFileByID:   "files_by_id",
	selectNodeChunks: "copies_by_node",
	selectReady:      "repairs_by_order",
	anyReady:         "repairs_by_ready",
	selectPending:    "records_pending",
	existsSealed:     "superseded_by_record",
	listSessions:     "sessions_by_user",
	listGrantsOf:     "grants_by_owner",
	listGrantsTo:     "grants_by_grantee",
	readAccess:       "grants_by_access",
	listEntries:      "entries_by_account",
	pruneSessions:    "sessions_by_age",
}

// TestPlans holds every statement to its indexes: none walks a table or sorts what it finds, but those named above.
func TestPlans(t *testing.T) {
	s := openStore(t)
	for i, query := range text {
		if strings.Contains(query, "SAVEPOINT") {
			continue
		}
		args := []any{}
		for strings.Contains(query, fmt.Sprint("$", len(args)+1)) {
			args = append(args, int64(1))
		}
		rows, err := s.db.Reader.QueryContext(context.Background(), "EXPLAIN QUERY PLAN "+query, args...)
		if err != nil {
			t.Fatalf("%.80s: %v", query, err)
		}
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var line string
			if err := rows.Scan(&id, &parent, &unused, &line); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, line)
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		all := strings.Join(plan, "; ")
		t.Logf("%.60s\n\t%s", query, all)
		if bad := strings.Contains(all, "SCAN ") || strings.Contains(all, "TEMP B-TREE"); bad != (scans[statement(i)] != "") {
			t.Errorf("%s\n\t%s", query, all)
		}
		if index := by[statement(i)]; !strings.Contains(all, index) {
			t.Errorf("%s\n\tdoes not use %s: %s", query, index, all)
		}
	}
}
