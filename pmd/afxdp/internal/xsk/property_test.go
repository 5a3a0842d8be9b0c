package xsk

import (
	"math/rand/v2"
	"slices"
	"testing"

	"example.org/pmd/pmd/mbuf"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// twin is a queue as one would write it without a thought for speed: slices of
// everything that is on its way. It predicts what each call returns.
type twin struct {
	fill     int          // chunks in the fill ring
	spare    int          // chunks the kernel has taken and not used
	rx       []twinPacket // receive ring
	tx       []mbuf.Frame // transmit ring
	flight   []mbuf.Frame // sent, not complete
	comp     []twinDone   // completion ring
	lost     int          // chunks that broken descriptors left posted
	rxPosted int
	txPosted int
}

type twinPacket struct {
	number  uint32
	length  int
	foreign bool
}

type twinDone struct {
	length  uint32
	foreign bool
}

// machine runs the same random calls on a simulated queue and on its twin.
type machine struct {
	*testQueue
	twin   twin
	next   uint32 // number of the next packet
	held   []mbuf.Frame
	sent   []uint32 // numbers seen by the sink
	order  []uint32 // numbers posted, in order
	ledger *mbuf.Ledger
	limit  int // of a frame's length
}

// TestRingsProperty plays random sequences of everything that the two sides can
// do, with indices on both sides of the wrap, and takes the account after each.
func TestRingsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{limit: 1514}
		size := func(name string) uint32 {
			return 1 << rapid.Uint32Range(3, 7).Draw(t, name)
		}
		cfg := SimConfig{
			RxRing: size("rx"), TxRing: size("tx"), FillRing: size("fill"), CompRing: size("comp"),
			Start:  rapid.SampledFrom([]uint32{0, 1, nearWrap, ^uint32(0), 1<<31 - 3}).Draw(t, "start"),
			Budget: rapid.Uint32Range(1, 64).Draw(t, "budget"),
			Sink:   func(p []byte) { m.sent = append(m.sent, be32(p)) },
		}
		m.testQueue = newTestQueue(t, 256, cfg)
		m.Tx.SetMaxLen(m.limit)
		m.ledger = mbuf.NewLedger(m.pool)
		t.Repeat(map[string]func(*rapid.T){
			"fill":    m.doFill,
			"deliver": m.doDeliver,
			"receive": m.doReceive,
			"broken":  m.doBroken,
			"post":    m.doPost,
			"badpost": m.doBadPost,
			"sendto":  m.doSend,
			"done":    m.doDone,
			"alien":   m.doAlien,
			"reclaim": m.doReclaim,
			"":        m.check,
		})
	})
}

func be32(p []byte) uint32 {
	return uint32(p[0])<<24 | uint32(p[1])<<16 | uint32(p[2])<<8 | uint32(p[3])
}

func (m *machine) doFill(t *rapid.T) {
	want := rapid.IntRange(0, 200).Draw(t, "want")
	free := m.cache.Len() + m.pool.Available()
	n, foreign := m.Fill.Fill(m.cache, want, m.rxPosted)
	require.Equal(t, min(want, int(m.Fill.size)-m.twin.fill, free), n)
	require.Zero(t, foreign)
	m.twin.fill += n
	m.twin.rxPosted += n
}

func (m *machine) doDeliver(t *rapid.T) {
	n := rapid.IntRange(1, 40).Draw(t, "n")
	length := rapid.IntRange(4, 2048-256).Draw(t, "length")
	got := m.sim.Deliver(numbered(m.next, length), n)
	// A chunk that finds the ring full is kept for the next packet.
	room := int(m.Rx.size) - len(m.twin.rx)
	have := m.twin.fill + m.twin.spare
	want := min(n, room, have)
	require.Equal(t, want, got)
	use := want
	if n > room && have > want {
		use++ // taken for a packet that had no place
	}
	fromFill := max(0, use-m.twin.spare)
	m.twin.spare += fromFill - want
	m.twin.fill -= fromFill
	for range got {
		m.twin.rx = append(m.twin.rx, twinPacket{number: m.next, length: length})
	}
	m.next++
}

func (m *machine) doReceive(t *rapid.T) {
	m.receive(t, rapid.IntRange(0, 100).Draw(t, "max"))
}

func (m *machine) receive(t *rapid.T, limit int) {
	dst := make([]mbuf.Frame, limit)
	meta := m.pool.Meta(9)
	n, foreign := m.Rx.Receive(dst, meta, m.rxPosted)
	take := min(limit, len(m.twin.rx))
	var want []twinPacket
	for _, p := range m.twin.rx[:take] {
		if !p.foreign {
			want = append(want, p)
		}
	}
	m.twin.rx = m.twin.rx[take:]
	require.Equal(t, [2]int{len(want), take - len(want)}, [2]int{n, foreign})
	for i, f := range dst[:n] {
		require.EqualValues(t, want[i].length, f.Len)
		require.Equal(t, want[i].number, be32(m.pool.Mem().Bytes(f)))
		require.Equal(t, meta, f.Meta)
	}
	m.twin.rxPosted -= n
	m.held = append(m.held, dst[:n]...)
}

// doBroken injects a descriptor that must not be believed: of a chunk that is
// posted, but with a length that cannot be, or of one that is not.
func (m *machine) doBroken(t *rapid.T) {
	if len(m.twin.rx) == int(m.Rx.size) {
		t.Skip("receive ring full")
	}
	if rapid.Bool().Draw(t, "posted") {
		if m.twin.fill+m.twin.spare == 0 {
			t.Skip("no chunk")
		}
		chunk, ok := m.sim.takeChunk()
		require.True(t, ok)
		if m.twin.spare > 0 {
			m.twin.spare--
		} else {
			m.twin.fill--
		}
		d := mbuf.Frame{Addr: chunk + rapid.Uint64Range(0, 2047).Draw(t, "offset")}
		if rapid.Bool().Draw(t, "long") {
			d.Len = rapid.Uint32Range(2049, ^uint32(0)).Draw(t, "len")
		}
		require.True(t, m.sim.InjectRx(d))
		m.twin.lost++
	} else {
		top := uint64(len(m.pool.Mem()))
		addr := rapid.Uint64Range(top, ^uint64(0)).Draw(t, "addr")
		require.True(t, m.sim.InjectRx(mbuf.Frame{Addr: addr, Len: 60}))
	}
	m.twin.rx = append(m.twin.rx, twinPacket{foreign: true})
}

func (m *machine) doPost(t *rapid.T) {
	k := rapid.IntRange(0, len(m.held)).Draw(t, "frames")
	burst := append([]mbuf.Frame(nil), m.held[:k]...)
	for i := range burst { // some frames are longer than the limit
		burst[i].Len = min(burst[i].Len, uint32(m.limit))
	}
	m.post(t, burst, Accepted)
}

// doBadPost makes one frame of a burst one that must be refused.
func (m *machine) doBadPost(t *rapid.T) {
	if len(m.held) == 0 {
		t.Skip("no frame")
	}
	k := rapid.IntRange(1, len(m.held)).Draw(t, "frames")
	burst := append([]mbuf.Frame(nil), m.held[:k]...)
	for i := range burst {
		burst[i].Len = min(burst[i].Len, uint32(m.limit))
	}
	i := rapid.IntRange(0, k-1).Draw(t, "bad")
	why := BadLength
	switch f := &burst[i]; rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		f.Len = 0
	case 1:
		f.Len = rapid.Uint32Range(uint32(m.limit)+1, ^uint32(0)).Draw(t, "len")
	case 2:
		f.Addr += 2048 - 256 - uint64(f.Len) + 1
	case 3:
		f.Addr = rapid.Uint64Range(uint64(len(m.pool.Mem()))/2048, 1<<40).Draw(t, "chunk")*2048 + 256
		why = NotOurs
	}
	n := m.post(t, burst[:i], Accepted)
	if n < i {
		return // full before the bad one
	}
	room := int(m.Tx.size) - len(m.twin.tx)
	n, got := m.Tx.Post(burst[i:], m.txPosted)
	require.Zero(t, n)
	if room == 0 {
		why = Full
	}
	require.Equal(t, why, got)
}

// post posts frames that are all good, from the front of held.
func (m *machine) post(t *rapid.T, burst []mbuf.Frame, want Refusal) int {
	room := int(m.Tx.size) - len(m.twin.tx)
	n, why := m.Tx.Post(burst, m.txPosted)
	require.Equal(t, min(len(burst), room), n)
	if n < len(burst) {
		want = Full
	}
	require.Equal(t, want, why)
	for _, f := range burst[:n] {
		m.order = append(m.order, be32(m.pool.Mem().Bytes(f)))
	}
	m.twin.tx = append(m.twin.tx, burst[:n]...)
	m.twin.txPosted += n
	m.held = append([]mbuf.Frame(nil), m.held[n:]...)
	return n
}

func (m *machine) doSend(t *rapid.T) {
	m.sim.xmit()
	room := int(m.Comp.size) - len(m.twin.comp) - len(m.twin.flight)
	n := min(int(m.sim.cfg.Budget), len(m.twin.tx), room)
	m.twin.flight = append(m.twin.flight, m.twin.tx[:n]...)
	m.twin.tx = m.twin.tx[n:]
	require.Equal(t, len(m.twin.tx), m.Tx.Pending())
}

// doDone completes some of what is in flight, in any order.
func (m *machine) doDone(t *rapid.T) {
	seed := rapid.Uint64().Draw(t, "seed")
	n := rapid.IntRange(0, len(m.twin.flight)).Draw(t, "n")
	r := rand.New(rand.NewPCG(seed, 1))
	r.Shuffle(len(m.twin.flight), func(i, j int) {
		f, s := m.twin.flight, m.sim.inFlight
		f[i], f[j] = f[j], f[i]
		s[i], s[j] = s[j], s[i]
	})
	require.Equal(t, n, m.sim.Complete(n))
	for _, f := range m.twin.flight[:n] {
		m.twin.comp = append(m.twin.comp, twinDone{length: f.Len})
	}
	m.twin.flight = m.twin.flight[n:]
}

// doAlien completes an address that no frame of the pool has.
func (m *machine) doAlien(t *rapid.T) {
	addr := rapid.Uint64Range(uint64(len(m.pool.Mem())), ^uint64(0)).Draw(t, "addr")
	ok := m.sim.InjectCompletion(addr)
	require.Equal(t, len(m.twin.comp)+len(m.twin.flight) < int(m.Comp.size), ok)
	if ok {
		m.twin.comp = append(m.twin.comp, twinDone{foreign: true})
	}
}

func (m *machine) doReclaim(t *rapid.T) {
	var wantN, wantForeign int
	var wantBytes uint64
	for _, d := range m.twin.comp {
		if d.foreign {
			wantForeign++
			continue
		}
		wantN++
		wantBytes += uint64(d.length)
	}
	n, bytes, foreign := m.Comp.Complete(m.cache, m.txPosted)
	require.Equal(t, [2]int{wantN, wantForeign}, [2]int{n, foreign})
	require.Equal(t, wantBytes, bytes)
	m.twin.comp = nil
	m.twin.txPosted -= n
}

// check takes the account and compares the sets with the twin's numbers.
func (m *machine) check(t *rapid.T) {
	require.Equal(t, m.twin.rxPosted, m.rxPosted.Len())
	require.Equal(t, m.twin.txPosted, m.txPosted.Len())
	require.LessOrEqual(t, m.twin.lost, m.rxPosted.Len())
	require.True(t, slices.Equal(m.order[:len(m.sent)], m.sent), "sent in the order posted")
	m.ledger.Begin()
	m.cache.Walk(m.ledger)
	m.ledger.Frames(mbuf.OwnerBurst, m.held)
	m.ledger.Set(mbuf.OwnerKernelRx, m.rxPosted)
	m.ledger.Set(mbuf.OwnerKernelTx, m.txPosted)
	require.True(t, m.ledger.Account().Balanced(), "%+v", m.ledger.Account())
	require.Zero(t, m.sim.Statistics().TxInvalidDescs)
}
