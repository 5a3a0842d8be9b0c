package pmdtest

import (
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// parts is a queue with packets of several frames, between Inject and Collect.
type parts struct {
	pool  *mbuf.Pool
	local *mbuf.Local
	meta  mbuf.Meta
	in    [][]byte
	out   [][]byte
	// taken waits to be sent, at most partsRoom frames.
	taken []mbuf.Frame
	c     pmd.QueueCounters
}

const partsRoom = 64

func (q *parts) inject(packets [][]byte) int {
	n := min(len(packets), 30-len(q.in))
	for _, p := range packets[:n] {
		q.in = append(q.in, append([]byte(nil), p...))
	}
	return n
}

func (q *parts) Bind(b pmd.Binding) {
	q.local, q.meta = b.Local, q.pool.Meta(b.Port)
}
func (q *parts) Unbind()             {}
func (q *parts) Pool() *mbuf.Pool    { return q.pool }
func (q *parts) Walk(l *mbuf.Ledger) { l.Frames(mbuf.OwnerDevice, q.taken) }
func (q *parts) cache() *mbuf.Cache  { return q.local.Cache(q.pool.ID()) }
func (q *parts) Counters() (c pmd.QueueCounters) {
	c = q.c
	c.InFlight = uint64(mbuf.Packets(q.taken))
	return c
}

func (q *parts) RxBurst(dst []mbuf.Frame) (n int) {
	for len(q.in) > 0 {
		p := q.in[0]
		k := (len(p) + q.pool.MaxLen() - 1) / q.pool.MaxLen()
		if n+k > len(dst) {
			break
		}
		run := dst[n : n+k]
		if got := q.cache().TakeFrames(run, uint32(q.pool.DataOffset()), uint32(q.pool.MaxLen()), q.meta|mbuf.FlagMore); got < k {
			q.cache().PutFrames(run[:got])
			break
		}
		q.c.RxPackets++
		q.c.RxBytes += uint64(len(p))
		for i := range run {
			run[i].Len = uint32(min(len(p), q.pool.MaxLen()))
			p = p[copy(q.local.Bytes(run[i]), p):]
		}
		run[k-1].Meta = q.meta
		q.in = q.in[1:]
		n += k
	}
	return n
}

func (q *parts) TxBurst(src []mbuf.Frame) (n int) {
	for n < len(src) {
		run := src[n : n+mbuf.FirstPacket(src[n:])]
		good := mbuf.Sound(run)
		for _, f := range run {
			good = good && q.cache().Valid(f)
		}
		switch {
		case !good:
			q.c.Drops[pmd.ReasonTxInvalid] += uint64(mbuf.Packets(run))
			for i := range run {
				if run[i].Addr < uint64(len(q.pool.Mem())) {
					q.cache().PutFrames(run[i : i+1])
				}
			}
		case len(q.taken)+len(run) > partsRoom:
			return n
		default:
			q.taken = append(q.taken, run...)
		}
		n += len(run)
	}
	return n
}

func (q *parts) Flush() {}

func (q *parts) Reclaim() int {
	n := len(q.taken)
	for rest := q.taken; len(rest) > 0; {
		run := rest[:mbuf.FirstPacket(rest)]
		rest = rest[len(run):]
		var b []byte
		for _, f := range run {
			b = append(b, q.local.Bytes(f)...)
		}
		q.c.TxPackets++
		q.c.TxBytes += uint64(len(b))
		q.out = append(q.out, b)
	}
	q.local.Free(q.taken)
	q.taken = q.taken[:0]
	return n
}
