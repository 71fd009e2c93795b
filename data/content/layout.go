package content

import (
	"encoding/hex"
	"path/filepath"
	"strconv"

	"github.com/inos-mesh/inos"
)

// Names in a store's folder; doc.go describes the layout.
const (
	chunksName  = "chunks"
	trashName   = "trash"
	tempName    = "tmp"
	corruptName = "corrupt"
	stateName   = "state"
)

// shardBitsDefault makes 256 shards: a shard of a node with ten million chunks has 40,000 entries, and a new store
// costs 512 empty folders.
const shardBitsDefault = 8

// layout knows the paths of a store.
type layout struct {
	dir       string
	shardBits uint // 1 to 8 leading bits of an id name its shard, so that shards are in the order of ids
}

func (l layout) shards() int                { return 1 << l.shardBits }
func (l layout) shard(id inos.ChunkID) int  { return int(id[0] >> (8 - l.shardBits)) }
func (l layout) shardName(shard int) string { return hex.EncodeToString([]byte{byte(shard)}) }
func (l layout) in(names ...string) string {
	return filepath.Join(append([]string{l.dir}, names...)...)
}
func (l layout) chunkDir(shard int) string { return l.in(chunksName, l.shardName(shard)) }
func (l layout) trashDir(shard int) string { return l.in(trashName, l.shardName(shard)) }
func (l layout) chunk(id inos.ChunkID) string {
	return filepath.Join(l.chunkDir(l.shard(id)), id.String())
}

func (l layout) trashed(id inos.ChunkID) string {
	return filepath.Join(l.trashDir(l.shard(id)), id.String())
}

// temp names the n-th temporary file of this process.
func (l layout) temp(n uint64) string { return l.in(tempName, strconv.FormatUint(n, 16)) }

// corrupt names the place of a chunk set aside: names sort by time.
func (l layout) corrupt(id inos.ChunkID, at inos.Micros) string {
	var t [8]byte
	for i := range t {
		t[i] = byte(uint64(at) >> (56 - 8*i))
	}
	return hex.EncodeToString(t[:]) + "-" + id.String()
}

// parse reads the name of a chunk's file in a shard; what else lies in the folder is not the store's.
func (l layout) parse(shard int, name string) (id inos.ChunkID, ok bool) {
	if len(name) != 2*inos.HashBytes {
		return id, false
	}
	for i := range len(name) {
		if c := name[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return id, false
		}
	}
	id, err := inos.ParseChunkID(name)
	return id, err == nil && l.shard(id) == shard
}
