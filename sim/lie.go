package sim

// lie is what a provider does against its word.
type lie struct {
	drops   bool // acknowledges chunks and does not keep them
	garbles bool // sends other bytes than it is asked for
}

func (l lie) any() bool { return l.drops || l.garbles }
