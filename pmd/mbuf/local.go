package mbuf

// Local is one core's side of every pool of a Space: its caches and the memory
// behind frame handles. It belongs to one goroutine.
type Local struct {
	caches [MaxPools]*Cache
	mems   [MaxPools]Mem
	n      int
}

// NewLocal returns a Local that knows no pool yet.
func NewLocal() *Local { return &Local{} }

// Add makes p known and returns its cache; a pool known already keeps its own.
func (l *Local) Add(p *Pool) *Cache {
	c := l.caches[p.id]
	if c != nil && c.pool == p {
		return c
	}
	if c == nil {
		l.n++
	}
	// Else the cache is of a released pool whose id p has now. It is empty:
	// Release refuses a pool with a frame out.
	c = NewCache(p)
	l.caches[p.id], l.mems[p.id] = c, p.mem
	return c
}

// Remove drains the cache of p and forgets the pool.
func (l *Local) Remove(p *Pool) {
	if c := l.caches[p.id]; c != nil && c.pool == p {
		c.Drain()
		l.caches[p.id], l.mems[p.id] = nil, nil
		l.n--
	}
}

// Pools returns how many pools are known.
func (l *Local) Pools() int { return l.n }

// Cache returns the cache of the pool with this id, nil if it is not known.
func (l *Local) Cache(pool uint8) *Cache { return l.caches[pool] }

// Mem returns the memory that f lies in.
func (l *Local) Mem(f Frame) Mem { return l.mems[f.Meta.Pool()] }

// Bytes returns the packet bytes of f.
func (l *Local) Bytes(f Frame) []byte { return l.Mem(f).Bytes(f) }

// Free gives frames back to the caches of their pools, whichever they are.
func (l *Local) Free(frames []Frame) {
	for len(frames) > 0 {
		// A burst is nearly always from one pool, so this is one run.
		pool := frames[0].Meta.Pool()
		n := 1
		for n < len(frames) && frames[n].Meta.Pool() == pool {
			n++
		}
		l.caches[pool].PutFrames(frames[:n])
		frames = frames[n:]
	}
}

// Drain gives everything in all caches back to the pools.
func (l *Local) Drain() {
	for _, c := range l.caches {
		if c != nil {
			c.Drain()
		}
	}
}

// Walk enters the frames of the cache of the ledger's pool.
func (l *Local) Walk(led *Ledger) {
	if c := l.caches[led.pool.id]; c != nil {
		c.Walk(led)
	}
}
