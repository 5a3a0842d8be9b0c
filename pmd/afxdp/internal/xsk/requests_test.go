package xsk

import (
	"bytes"
	"encoding/binary"
	"testing"

	"example.org/pmd/pmd/mbuf"

	"github.com/stretchr/testify/require"
)

// requesting returns a queue that carries requests, with a clock that counts, and what left.
func requesting(t *testing.T, multi bool) (*testQueue, *[][]byte) {
	var sent [][]byte
	cfg := rings64(nearWrap)
	now := uint64(1) << 60
	cfg.TxMetadata, cfg.MultiBuffer, cfg.Clock = true, multi, func() uint64 { now++; return now }
	cfg.Sink = func(p []byte) { sent = append(sent, bytes.Clone(p)) }
	return newTestQueue(t, 256, cfg), &sent
}

// frames takes n frames with 100 bytes each, all of them 1.
func (q *testQueue) frames(n int) []mbuf.Frame {
	burst := make([]mbuf.Frame, n)
	q.cache.TakeFrames(burst, uint32(q.pool.DataOffset()), 100, q.pool.Meta(3))
	for _, f := range burst {
		b := q.pool.Mem().Bytes(f)
		for i := range b {
			b[i] = 1
		}
	}
	return burst
}

// Requests go to the kernel with their frames, what they ask for is done, and stamps can be
// read when the frames are complete.
func TestRequests(t *testing.T) {
	for _, multi := range []bool{false, true} {
		q, sent := requesting(t, multi)
		mem := q.pool.Mem()
		type stamp struct{ addr, ns uint64 }
		var seen []stamp
		q.Comp.Observe(func(addrs []uint64) {
			for _, a := range addrs {
				require.True(t, q.txPosted.Has(a), "it is nobody's yet")
				seen = append(seen, stamp{a, mem.TxTimestamp(a)})
			}
		})
		for range 40 { // over the rings' ends
			burst := q.frames(4)
			for _, f := range burst { // what an earlier packet left there
				copy(mem[f.Addr-mbuf.MetaLen:], bytes.Repeat([]byte{0xff}, mbuf.MetaLen))
			}
			copy(mem[burst[0].Addr-mbuf.MetaLen:], make([]byte, mbuf.MetaLen))
			mem.RequestTimestamp(&burst[1])
			clear(mem.Bytes(burst[2])[96:98])
			mem.RequestChecksum(&burst[2], 90, 6)
			mem.RequestTimestamp(&burst[2])
			if multi {
				burst[2].Meta |= mbuf.FlagMore // one packet with burst[3]
			}
			var n int
			var why Refusal
			if multi {
				n, _, why = q.Tx.PostPackets(burst, q.txPosted)
			} else {
				n, why = q.Tx.Post(burst, q.txPosted)
			}
			require.Equal(t, 4, n)
			require.Equal(t, Accepted, why)
			*sent, seen = nil, nil
			require.Equal(t, KickResult{Calls: 1}, q.sim.Kick())
			if multi {
				n, _, _, _ = q.Comp.CompletePackets(q.cache, q.txPosted)
			} else {
				n, _, _ = q.Comp.Complete(q.cache, q.txPosted)
			}
			require.Equal(t, 4, n)
			require.Len(t, seen, 4)
			for i, s := range seen {
				require.Equal(t, burst[i].Addr, s.addr)
				require.Equal(t, i == 1 || i == 2, s.ns != 0 && s.ns != ^uint64(0), "frame %d: %x", i, s.ns)
			}
			require.Less(t, seen[1].ns, seen[2].ns)
			// 8 bytes of 1 are four words of 0x0101; the rest of it is the checksum's place.
			require.Equal(t, ^uint16(4*0x0101), binary.BigEndian.Uint16((*sent)[2][96:]))
			require.Equal(t, bytes.Repeat([]byte{1}, 100), (*sent)[1])
			if multi {
				require.Len(t, (*sent)[2], 200)
			}
		}
		require.Zero(t, q.sim.Statistics().TxInvalidDescs)
	}
}

// What cannot be done is refused before the kernel sees it, which would stop there; what is
// behind it goes on.
func TestRequestsRefused(t *testing.T) {
	for _, multi := range []bool{false, true} {
		for name, spoil := range map[string]func(mbuf.Mem, *mbuf.Frame){
			"beyond the end":  func(m mbuf.Mem, f *mbuf.Frame) { m.RequestChecksum(f, 90, 9) },
			"unknown request": func(m mbuf.Mem, f *mbuf.Frame) { m.RequestTimestamp(f); m[f.Addr-mbuf.MetaLen+1] = 1 },
			"no room": func(m mbuf.Mem, f *mbuf.Frame) {
				f.Addr = f.Addr&^2047 + mbuf.MetaLen - 1
			},
		} {
			q, sent := requesting(t, multi)
			burst := q.frames(3)
			spoil(q.pool.Mem(), &burst[1])
			post := func(src []mbuf.Frame) (n int, why Refusal) {
				if multi {
					n, _, why = q.Tx.PostPackets(src, q.txPosted)
					return n, why
				}
				return q.Tx.Post(src, q.txPosted)
			}
			n, why := post(burst)
			require.Equal(t, 1, n, name)
			require.Equal(t, BadLength, why, name)
			require.False(t, q.txPosted.Has(burst[1].Addr), "it is still the caller's")
			n, why = post(burst[2:])
			require.Equal(t, 1, n, name)
			require.Equal(t, Accepted, why, name)
			require.Equal(t, KickResult{Calls: 1}, q.sim.Kick(), name)
			require.Len(t, *sent, 2, name)
		}
	}
}

// The simulated kernel stops at a bad request as the real one does: that is what the checks
// in front of it are for.
func TestKernelStopsAtBadRequest(t *testing.T) {
	q, sent := requesting(t, false)
	burst := q.frames(2)
	q.pool.Mem().RequestChecksum(&burst[0], 34, 16)
	n, _ := q.Tx.Post(burst, q.txPosted)
	require.Equal(t, 2, n)
	q.pool.Mem()[burst[0].Addr-mbuf.MetaLen+9] = 1 // after it was checked
	require.NotZero(t, q.sim.Kick().Errno)
	require.Empty(t, *sent)
	require.Equal(t, 2, q.Tx.Pending())
}

// A ring that carries no requests gives the kernel none.
func TestRequestsNotCarried(t *testing.T) {
	for _, multi := range []bool{false, true} {
		cfg := rings64(0)
		cfg.MultiBuffer = multi
		q := newTestQueue(t, 256, cfg)
		burst := q.frames(1)
		q.pool.Mem().RequestChecksum(&burst[0], 34, 16)
		if multi {
			q.Tx.PostPackets(burst, q.txPosted)
		} else {
			q.Tx.Post(burst, q.txPosted)
		}
		require.Equal(t, KickResult{Calls: 1}, q.sim.Kick())
		require.Zero(t, q.sim.Statistics().TxInvalidDescs)
		require.Equal(t, 1, q.Comp.Waiting())
	}
}
