package semantic

import (
	"context"
	"database/sql"

	"github.com/inos-mesh/inos"
)

// steps end the migrations of the same number.
var steps = map[int]func(context.Context, *sql.Conn) error{1: admitHolders}

// insertHolder knows the columns that were there then.
const insertHolder = `INSERT INTO members (node, invite, operator, zone, host, tier, offered_bytes, addrs, joined_us, state, epoch, copies, placed_bytes, granted)
	VALUES ($1, '', '', '', '', '', 0, $2, 0, $3, $4, $5, $6, x'')`

// admitHolders makes members of the nodes that hold copies in a map from before there were members: they are let in
// already. Their labels come with their first AdmitNode, which knows them by their empty tier.
func admitHolders(ctx context.Context, conn *sql.Conn) error {
	sums, err := sumCopies(ctx, conn)
	if err != nil {
		return err
	}
	for node, p := range sums {
		m := newMember(&inos.Member{ID: node}, 0)
		if _, err := conn.ExecContext(ctx, insertHolder, string(m.ID), encodeList(m.Addrs), int64(m.State), int64(m.Epoch), p.copies, p.bytes); err != nil {
			return err
		}
	}
	return nil
}

func sumCopies(ctx context.Context, conn *sql.Conn) (map[inos.NodeID]placed, error) {
	rows, err := conn.QueryContext(ctx, `SELECT k.node, c.entry, c.roles FROM copies k JOIN chunks c ON c.chunk_id = k.chunk_id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	sums := map[inos.NodeID]placed{}
	for rows.Next() {
		var node inos.NodeID
		var raw []byte
		var roles int64
		if err := rows.Scan(&node, &raw, &roles); err != nil {
			return nil, err
		}
		entry, err := inos.ParseEntry(raw)
		if err != nil {
			return nil, err
		}
		p := sums[node]
		sums[node] = placed{p.copies + 1, p.bytes + storedBytes(&entry, roles)}
	}
	return sums, rows.Err()
}
