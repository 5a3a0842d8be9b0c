package mbuf

import "math/bits"

// Owner is a kind of owner in the account of a pool.
type Owner uint8

// The owners a frame can have.
const (
	// OwnerPool is the pool's list of free frames.
	OwnerPool Owner = iota
	// OwnerCache is a core's cache of free frames.
	OwnerCache
	// OwnerKernelRx is the kernel, for receiving: fill ring to receive ring.
	OwnerKernelRx
	// OwnerKernelTx is the kernel, for sending: transmit ring to completion ring.
	OwnerKernelTx
	// OwnerBurst is a core: a burst in hand or a transmit buffer.
	OwnerBurst
	// OwnerSendQueue is a port's send queue, on the way between two cores.
	OwnerSendQueue
	// OwnerDevice is a device inside this process, such as a ring pair.
	OwnerDevice
	// OwnerQuarantine holds frames of a lost queue that hardware may yet write.
	OwnerQuarantine
	// Owners is the number of kinds.
	Owners
)

var ownerNames = [Owners]string{
	"pool", "cache", "kernel_rx", "kernel_tx", "burst", "send_queue", "device", "quarantine",
}

// String returns the owner's name as statistics show it.
func (o Owner) String() string {
	if o < Owners {
		return ownerNames[o]
	}
	return "unknown"
}

// Account says who has the frames of a pool.
type Account struct {
	// Pool is the pool's name.
	Pool string `json:"name"`
	// Frames is the size of the pool.
	Frames int `json:"frames"`
	// Accounted is the number of frames found with exactly one owner.
	Accounted int `json:"accounted"`
	// Duplicate is the number of times a frame was found with a second owner.
	Duplicate int `json:"duplicate"`
	// ByOwner counts the frames found with each owner, indexed by Owner.
	ByOwner [Owners]int `json:"-"`
}

// Balanced reports whether every frame was found once.
func (a Account) Balanced() bool { return a.Accounted == a.Frames && a.Duplicate == 0 }

// Ledger is the account being taken: it remembers which frames were seen. It is
// made once a pool and used again and again, so taking an account allocates
// nothing. All owners must stand still from Begin to Account.
type Ledger struct {
	pool    *Pool
	seen    []uint64
	scratch []uint64
	acct    Account
}

// NewLedger returns a ledger for p.
func NewLedger(p *Pool) *Ledger {
	return &Ledger{pool: p, seen: make([]uint64, p.frames/64), scratch: make([]uint64, p.frames)}
}

// Pool returns the pool whose account it is.
func (l *Ledger) Pool() *Pool { return l.pool }

// Begin starts a new account with the frames on the pool's list.
func (l *Ledger) Begin() {
	clear(l.seen)
	l.acct = Account{Pool: l.pool.name, Frames: l.pool.frames}
	n := l.pool.free.snapshot(l.scratch)
	l.Addrs(OwnerPool, l.scratch[:n])
}

func (l *Ledger) mark(o Owner, addr uint64) {
	i := addr >> l.pool.shift
	w, bit := i/64, uint64(1)<<(i%64)
	if w >= uint64(len(l.seen)) || l.seen[w]&bit != 0 {
		l.acct.Duplicate++
		return
	}
	l.seen[w] |= bit
	l.acct.Accounted++
	l.acct.ByOwner[o]++
}

// Addrs enters the chunks that the addresses lie in.
func (l *Ledger) Addrs(o Owner, addrs []uint64) {
	for _, a := range addrs {
		l.mark(o, a)
	}
}

// Frames enters those of the frames that are of the ledger's pool.
func (l *Ledger) Frames(o Owner, frames []Frame) {
	for _, f := range frames {
		if f.Meta.Pool() == l.pool.id {
			l.mark(o, f.Addr)
		}
	}
}

// Rest enters those of the frames that are of the ledger's pool and that nobody
// was found to have yet. It is for a burst that was left half done, after all
// other owners: what was sent or freed before has its new owner by then.
func (l *Ledger) Rest(o Owner, frames []Frame) {
	for _, f := range frames {
		i := f.Addr >> l.pool.shift
		w, bit := i/64, uint64(1)<<(i%64)
		if f.Meta.Pool() == l.pool.id && w < uint64(len(l.seen)) && l.seen[w]&bit == 0 {
			l.mark(o, f.Addr)
		}
	}
}

// Set enters every frame of s, which must be a set of the ledger's pool.
func (l *Ledger) Set(o Owner, s *FrameSet) {
	for i := range s.chunks() {
		l.mark(o, uint64(i)<<l.pool.shift)
	}
}

// Account returns what was found since Begin.
func (l *Ledger) Account() Account { return l.acct }

// Missing adds every frame that nobody was found to have to s.
func (l *Ledger) Missing(s *FrameSet) {
	for i, w := range l.seen {
		for miss := ^w; miss != 0; miss &= miss - 1 {
			s.insert(i*64 + bits.TrailingZeros64(miss))
		}
	}
}
