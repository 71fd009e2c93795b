package semantic

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/inos-mesh/inos"
)

// The checks and refusals of the verbs of inos.SemanticMesh.

func checkIDs(op string, n int) error {
	if n > BatchIDsMax {
		return inos.Errorf(inos.CodeBadRequest, op, "%d ids, at most %d in one call", n, BatchIDsMax)
	}
	return nil
}

// supplants says which of two versions of a path with the same number counts: whether the one that came takes the place of the one that is there.
func supplants(there, came *inos.Record) bool {
	a, b := &there.File, &came.File
	switch {
	case a.CreatedAt != b.CreatedAt:
		return b.CreatedAt > a.CreatedAt
	case there.Tombstone != came.Tombstone:
		return there.Tombstone
	}
	return !came.Tombstone && cmp.Or(bytes.Compare(b.ManifestID[:], a.ManifestID[:]), bytes.Compare(came.Fact, there.Fact)) > 0
}

func checkNodes(op string, nodes []inos.NodeID) error {
	if len(nodes) > NodesMax {
		return inos.Errorf(inos.CodeBadRequest, op, "%d nodes, at most %d in one call", len(nodes), NodesMax)
	}
	for _, node := range nodes {
		if err := checkText(op, "node id", string(node), 1); err != nil {
			return err
		}
	}
	return nil
}

func checkOrders(op string, ceiling uint64) error {
	if ceiling == 0 || ceiling > inos.OrdersMax {
		return inos.Errorf(inos.CodeBadRequest, op, "a ceiling of orders of %d, it is 1 to %d", ceiling, uint64(inos.OrdersMax))
	}
	return nil
}

func checkMember(op string, m *inos.Member, invite string) error {
	if err := checkText(op, "node id", string(m.ID), 1); err != nil {
		return err
	}
	for _, c := range []struct{ what, text string }{{"operator", m.Operator}, {"zone", m.Zone}, {"host", m.Host}, {"invite id", invite}} {
		if err := checkText(op, c.what, c.text, 0); err != nil {
			return err
		}
	}
	if m.Tier != inos.TierHot && m.Tier != inos.TierCold {
		return inos.Errorf(inos.CodeBadRequest, op, "the tier %.64q of node %s, it is %q or %q", string(m.Tier), m.ID, inos.TierHot, inos.TierCold)
	}
	if m.OfferedBytes > OfferedBytesMax {
		return inos.Errorf(inos.CodeBadRequest, op, "node %s offers %d bytes, at most %d", m.ID, m.OfferedBytes, uint64(OfferedBytesMax))
	}
	if len(m.Grant) > GrantBytesMax {
		return inos.Errorf(inos.CodeBadRequest, op, "the grant of node %s has %d bytes, at most %d", m.ID, len(m.Grant), GrantBytesMax)
	}
	return checkAddrs(op, m.Addrs)
}

func checkAddrs(op string, addrs []string) error {
	if len(addrs) > inos.MemberAddrsMax {
		return inos.Errorf(inos.CodeBadRequest, op, "%d addresses, at most %d of one node", len(addrs), inos.MemberAddrsMax)
	}
	for _, a := range addrs {
		if err := checkText(op, "address", a, 1); err != nil {
			return err
		}
	}
	return nil
}

func checkSetNode(op string, id inos.NodeID, state inos.MemberState, addrs []string) error {
	if err := checkText(op, "node id", string(id), 1); err != nil {
		return err
	}
	if state > inos.MemberUnread {
		return inos.Errorf(inos.CodeBadRequest, op, "the state %d of node %s is unknown", state, id)
	}
	return checkAddrs(op, addrs)
}

func checkCopies(op string, node inos.NodeID, epoch uint64, ids []inos.ChunkID) error {
	if err := checkText(op, "node id", string(node), 1); err != nil {
		return err
	}
	if epoch > numberMax {
		return inos.Errorf(inos.CodeBadRequest, op, "the epoch %d of node %s is beyond all epochs", epoch, node)
	}
	return checkIDs(op, len(ids))
}

func checkRetire(op string, node inos.NodeID, keep []inos.NodeID) error {
	if err := checkText(op, "node id", string(node), 1); err != nil {
		return err
	}
	if len(keep) == 0 || slices.Contains(keep, node) {
		return inos.Errorf(inos.CodeBadRequest, op, "a copy of %s goes only while others are kept; %d are named", node, len(keep))
	}
	return checkNodes(op, keep)
}

func checkWants(op string, wants []inos.RepairWant) error {
	for i := range wants {
		if err := checkText(op, "reason", wants[i].Reason, 0); err != nil {
			return err
		}
	}
	return checkIDs(op, len(wants))
}

func checkClaim(op string, holder inos.NodeID, now, until inos.Micros) error {
	if until <= now {
		return inos.Errorf(inos.CodeBadRequest, op, "a lease from %d to %d is over at once", now, until)
	}
	return checkText(op, "holder", string(holder), 1)
}

func checkReplicas(op string, replicas uint32, pledge int64, key inos.RequestKey) error {
	if replicas == 0 {
		return inos.Errorf(inos.CodeBadRequest, op, "a file has at least 1 replica")
	}
	if err := checkPledge(op, pledge); err != nil {
		return err
	}
	return checkKey(op, key)
}

func checkSettle(op string, key inos.RecordKey, id inos.ChunkID, nodes []inos.NodeID) error {
	if err := checkText(op, "owner", string(key.Owner), 0); err != nil {
		return err
	}
	return checkSealed(op, key, id, nodes)
}

func checkSealed(op string, key inos.RecordKey, id inos.ChunkID, nodes []inos.NodeID) error {
	if id == (inos.ChunkID{}) || len(nodes) == 0 {
		return inos.Errorf(inos.CodeBadRequest, op, "version %d of %.1024q is settled by a record that a node holds; it has the id %s and %d nodes", key.Version, string(key.Path), id, len(nodes))
	}
	return checkNodes(op, nodes)
}

func checkRestore(op string, upload inos.UploadID, r *inos.Record) error {
	if err := checkText(op, "upload id", string(upload), 0); err != nil {
		return err
	}
	if r.File.Owner == "" {
		if err := checkFact(op, r); err != nil {
			return err
		}
	} else if err := checkFile(op, &r.File); err != nil {
		return err
	}
	if r.File.Version == 0 || r.File.Version >= numberMax {
		return inos.Errorf(inos.CodeBadRequest, op, "the version %d of %s, versions begin at 1", r.File.Version, r.File.Path)
	}
	return checkSealed(op, inos.RecordKey{Owner: r.File.Owner, Path: r.File.Path, Version: r.File.Version}, r.RecordID, r.Nodes)
}

func checkSight(op string, node inos.NodeID, ids []inos.ChunkID) error {
	if err := checkText(op, "node id", string(node), 1); err != nil {
		return err
	}
	return checkIDs(op, len(ids))
}

// newMember returns the member that AdmitNode makes.
func newMember(m *inos.Member, now inos.Micros) inos.Member {
	admitted := *m
	admitted.Addrs, admitted.Grant = slices.Clone(m.Addrs), slices.Clone(m.Grant)
	admitted.State, admitted.Epoch, admitted.JoinedAt = inos.MemberActive, firstEpoch, now
	admitted.Copies, admitted.PlacedBytes, admitted.Revision = 0, 0, 1
	return admitted
}

func memberUnknown(op string, node inos.NodeID) error {
	return inos.Errorf(inos.CodeNodeUnknown, op, "%.128q is no member of the mesh", string(node))
}

func memberRemoved(op string, node inos.NodeID) error {
	return conflict(op, "node %.128q was removed from the mesh and does not come back", string(node))
}

func inviteUsed(op string, node inos.NodeID) error {
	return conflict(op, "the invite of node %.128q has let in another node", string(node))
}

func tooManyMembers(op string) error {
	return conflict(op, "the mesh has %d members, removed ones included, and takes no more", inos.MembersMax)
}

func epochOver(op string, node inos.NodeID, epoch, now uint64) error {
	return conflict(op, "epoch %d of node %.128q is not its present one, which is %d", epoch, string(node), now)
}

func generationOver(op string, id inos.ChunkID, generation uint64) error {
	return conflict(op, "chunk %s is not at generation %d", id, generation)
}

func notKept(op string, id inos.ChunkID, node inos.NodeID) error {
	return conflict(op, "node %.128q holds no trusted copy of chunk %s that it has proved", string(node), id)
}

func leaseOver(op string, id inos.ChunkID, lease uint64) error {
	return conflict(op, "lease %d of the repair of chunk %s is over", lease, id)
}

func neverWritten(op string, key inos.RecordKey) error {
	return conflict(op, "%.1024q never had the version %d", string(key.Path), key.Version)
}

// sameReplicas refuses a key that comes again with another number.
func sameReplicas(op string, was *inos.FileInfo, owner inos.Subject, path inos.Path, replicas uint32) error {
	if err := sameTarget(op, was.Owner, was.Path, owner, path); err != nil {
		return err
	}
	if was.ReplicasWanted != replicas {
		return conflict(op, "the request's key asked for %d replicas before, and comes now for %d", was.ReplicasWanted, replicas)
	}
	return nil
}
