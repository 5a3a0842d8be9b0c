package xsk

import (
	"bytes"
	"testing"

	"example.org/pmd/pmd/mbuf"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Packets of one frame and of several go through the rings whole and in order,
// wherever bursts, rings and budgets end, and are counted as packets.
func TestPacketsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := rings64(^uint32(0) - uint32(rapid.IntRange(0, 200).Draw(t, "before wrap")))
		cfg.MultiBuffer = true
		cfg.Budget = uint32(rapid.IntRange(1, 40).Draw(t, "budget"))
		var want, got [][]byte
		refused, refusedBytes, deliveredBytes := 0, uint64(0), uint64(0)
		refuse := rapid.IntRange(0, 9).Draw(t, "refused of ten")
		cfg.Drop = func(p []byte) bool {
			if int(p[0])%10 >= refuse {
				return false
			}
			got = append(got, bytes.Clone(p))
			refused++
			refusedBytes += uint64(len(p))
			return true
		}
		cfg.Sink = func(p []byte) { got = append(got, bytes.Clone(p)) }
		q := newTestQueue(t, 512, cfg)
		var hand []mbuf.Frame
		var delivered, received, posted, done, dropped int
		var rxBytes, droppedBytes, sentBytes uint64
		dst := make([]mbuf.Frame, 64)
		fill := func() { q.Fill.Fill(q.cache, 64, q.rxPosted) }
		kick := func() {
			r := q.sim.Kick()
			dropped += r.Dropped
			droppedBytes += r.DroppedBytes
			_, p, b, foreign := q.Comp.CompletePackets(q.cache, q.txPosted)
			done += p
			sentBytes += b
			require.Zero(t, foreign)
		}
		receive := func(n int) {
			r := q.Rx.ReceivePackets(dst[:n], 0, q.rxPosted, q.cache)
			require.True(t, mbuf.Sound(dst[:r.Frames]))
			require.Equal(t, mbuf.Packets(dst[:r.Frames]), int(r.Packets))
			require.Zero(t, r.Foreign+r.Oversize)
			received += int(r.Packets)
			rxBytes += r.Bytes
			hand = append(hand, dst[:r.Frames]...)
		}
		post := func() {
			n, p, why := q.Tx.PostPackets(hand, q.txPosted)
			require.Contains(t, []Refusal{Accepted, Full}, why)
			require.True(t, mbuf.Sound(hand[:n]))
			posted += p
			hand = append(hand[:0], hand[n:]...)
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				fill()
			case 1:
				size := rapid.OneOf(rapid.IntRange(1, 100), rapid.IntRange(1, mbuf.MaxSegments*q.pool.MaxLen())).Draw(t, "size")
				p := bytes.Repeat([]byte{byte(delivered)}, size)
				p[size/2]++
				if q.sim.Deliver(p, 1) == 1 {
					want = append(want, p)
					delivered++
					deliveredBytes += uint64(size)
				}
			case 2:
				receive(rapid.IntRange(mbuf.MaxSegments, len(dst)).Draw(t, "room"))
			case 3:
				post()
			case 4:
				kick()
			}
			for i := range got {
				require.Equal(t, want[i], got[i])
			}
			want, got = want[len(got):], got[:0]
		}
		for range 200 {
			receive(len(dst))
			post()
			kick()
			want, got = want[min(len(got), len(want)):], got[:0]
		}
		require.Empty(t, want, "delivered and neither sent nor refused")
		require.Equal(t, []int{delivered, delivered, delivered, refused}, []int{received, posted, done, dropped})
		require.Equal(t, []uint64{deliveredBytes, deliveredBytes, refusedBytes}, []uint64{rxBytes, sentBytes, droppedBytes})
		require.Zero(t, q.txPosted.Len())
	})
}

// chain returns descriptors for a packet of n posted chunks.
func chain(q *testQueue, addrs []uint64) []mbuf.Frame {
	out := make([]mbuf.Frame, len(addrs))
	for i, a := range addrs {
		out[i] = mbuf.Frame{Addr: a + 256, Len: 100, Meta: mbuf.FlagMore}
	}
	out[len(out)-1].Meta = 0
	return out
}

// What the kernel should not do, and what it may: a packet that is not all there yet, one
// that is too long, and one with a frame that was never posted.
func TestReceivePacketsInTrouble(t *testing.T) {
	cfg := rings64(0)
	cfg.MultiBuffer = true
	q := newTestQueue(t, 256, cfg)
	require.Equal(t, 64, func() int { n, _ := q.Fill.Fill(q.cache, 64, q.rxPosted); return n }())
	var posted []uint64
	for a := range q.rxPosted.All() {
		posted = append(posted, a)
	}
	inject := func(ds ...mbuf.Frame) {
		for _, d := range ds {
			require.True(t, q.sim.InjectRx(d))
		}
	}
	dst := make([]mbuf.Frame, 64)
	receive := func() Received { return q.Rx.ReceivePackets(dst, 0, q.rxPosted, q.cache) }

	three := chain(q, posted[:3])
	inject(chain(q, posted[3:4])[0], three[0], three[1])
	assert.Equal(t, Received{Frames: 1, Packets: 1, Bytes: 100}, receive(), "the first packet alone")
	assert.Equal(t, Received{}, receive(), "not all there")
	inject(three[2])
	assert.Equal(t, Received{Frames: 3, Packets: 1, Bytes: 300}, receive())

	long := chain(q, posted[4:4+30])
	free := q.cache.Len()
	inject(long[:20]...)
	assert.Equal(t, Received{Oversize: 1}, receive())
	assert.Equal(t, Received{}, receive())
	inject(long[20:]...)
	inject(chain(q, posted[34:36])...)
	assert.Equal(t, Received{Frames: 2, Packets: 1, Bytes: 200}, receive(), "what follows a packet that is too long")
	assert.Equal(t, free+30, q.cache.Len(), "its frames came home")

	// In the middle of a burst, with a foreign frame behind it.
	inject(chain(q, posted[36:37])...)
	inject(chain(q, posted[37:37+19])...)
	broken := chain(q, posted[56:59])
	broken[1].Addr = posted[0] + 256 // not posted any more
	inject(broken...)
	inject(chain(q, posted[59:61])...)
	free = q.cache.Len()
	got := receive()
	assert.Equal(t, Received{Frames: 3, Packets: 2, Bytes: 300, Oversize: 1, Foreign: 1}, got)
	assert.Equal(t, []uint64{posted[36] + 256, posted[59] + 256, posted[60] + 256}, []uint64{dst[0].Addr, dst[1].Addr, dst[2].Addr})
	assert.Equal(t, free+19+2, q.cache.Len())
}

// A packet that cannot be sent is refused as a whole, and the ring stays as it was.
func TestPostPacketsRefuses(t *testing.T) {
	cfg := rings64(0)
	cfg.MultiBuffer = true
	q := newTestQueue(t, 256, cfg)
	q.Tx.SetMaxPacket(5000)
	addrs := make([]uint64, 64)
	require.Equal(t, 64, q.cache.Take(addrs))
	for _, test := range []struct {
		name  string
		spoil func(p []mbuf.Frame) []mbuf.Frame
		why   Refusal
	}{
		{"no end", func(p []mbuf.Frame) []mbuf.Frame { p[2].Meta = mbuf.FlagMore; return p }, BadLength},
		{"an empty frame", func(p []mbuf.Frame) []mbuf.Frame { p[1].Len = 0; return p }, BadLength},
		{"a frame out of its chunk", func(p []mbuf.Frame) []mbuf.Frame { p[2].Len = 2000; return p }, BadLength},
		{"too long", func(p []mbuf.Frame) []mbuf.Frame { p[0].Len, p[1].Len, p[2].Len = 1700, 1700, 1700; return p }, BadLength},
		{"a frame twice", func(p []mbuf.Frame) []mbuf.Frame { p[2].Addr = p[0].Addr; return p }, NotOurs},
		{"a stray", func(p []mbuf.Frame) []mbuf.Frame { p[1].Addr += uint64(len(q.pool.Mem())); return p }, NotOurs},
		{"too many frames", func([]mbuf.Frame) []mbuf.Frame { return chain(q, addrs[:19]) }, BadLength},
	} {
		t.Run(test.name, func(t *testing.T) {
			bad := test.spoil(chain(q, addrs[:3]))
			n, packets, why := q.Tx.PostPackets(bad, q.txPosted)
			assert.Equal(t, []any{0, 0, test.why}, []any{n, packets, why})
			assert.Zero(t, q.txPosted.Len())
			assert.Equal(t, 64, q.Tx.Room())
		})
	}
	// As many whole packets as there is room for.
	var many []mbuf.Frame
	for i := 0; i+5 <= 60; i += 5 {
		many = append(many, chain(q, addrs[i:i+5])...)
	}
	n, packets, why := q.Tx.PostPackets(many, q.txPosted)
	require.Equal(t, []any{60, 12, Accepted}, []any{n, packets, why})
	n, packets, why = q.Tx.PostPackets(chain(q, addrs[60:64]), q.txPosted)
	require.Equal(t, []any{4, 1, Accepted}, []any{n, packets, why})
	n, _, why = q.Tx.PostPackets(chain(q, addrs[:1]), q.txPosted)
	require.Equal(t, []any{0, Full}, []any{n, why})
}

func TestPacketsAllocateNothing(t *testing.T) {
	cfg := rings64(0)
	cfg.MultiBuffer = true
	q := newTestQueue(t, 256, cfg)
	dst := make([]mbuf.Frame, 64)
	packet := make([]byte, 1000)
	turn := func() int {
		q.Fill.Fill(q.cache, 64, q.rxPosted)
		q.sim.Deliver(packet, 8)
		r := q.Rx.ReceivePackets(dst, 0, q.rxPosted, q.cache)
		q.Tx.PostPackets(dst[:r.Frames], q.txPosted)
		q.sim.Kick()
		_, n, _, _ := q.Comp.CompletePackets(q.cache, q.txPosted)
		return n
	}
	require.Equal(t, 8, turn())
	assert.Zero(t, testing.AllocsPerRun(100, func() { turn() }))
}
