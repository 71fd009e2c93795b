package content

// WithShardBits gives a store fewer shards, so that a test can try every change of it.
func WithShardBits(o Options, bits uint) Options {
	o.shardBits = bits
	return o
}

// DecodeState is decodeState, for the fuzz test: it returns what the state would be encoded to.
func DecodeState(b []byte) ([]byte, error) {
	s, err := decodeState(b)
	if err != nil {
		return nil, err
	}
	return s.encode(), nil
}

// NewDirSync returns the sync method of a dirSync.
func NewDirSync() func(perform func() error) error { return newDirSync().sync }
