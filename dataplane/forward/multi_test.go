package forward_test

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
	"example.org/pmd/dataplane/packet"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// sinkQueue is a queue that keeps what it is sent, packet by packet, or takes nothing
// beyond its room.
type sinkQueue struct {
	pool  *mbuf.Pool
	local *mbuf.Local
	room  int // frames, below 0: any number
	sent  [][]byte
	cut   int // packets without an end
	c     pmd.QueueCounters
}

func (q *sinkQueue) Bind(b pmd.Binding)          { q.local = b.Local }
func (q *sinkQueue) Unbind()                     {}
func (q *sinkQueue) Pool() *mbuf.Pool            { return q.pool }
func (q *sinkQueue) RxBurst([]mbuf.Frame) int    { return 0 }
func (q *sinkQueue) Flush()                      {}
func (q *sinkQueue) Reclaim() int                { return 0 }
func (q *sinkQueue) Counters() pmd.QueueCounters { return q.c }
func (q *sinkQueue) Walk(*mbuf.Ledger)           {}

func (q *sinkQueue) TxBurst(src []mbuf.Frame) int {
	n := 0
	for n < len(src) {
		run := src[n : n+mbuf.FirstPacket(src[n:])]
		if q.room >= 0 && len(run) > q.room {
			break
		}
		q.room -= len(run)
		if !mbuf.Sound(run) {
			q.cut++
		}
		var b []byte
		for _, f := range run {
			b = append(b, q.local.Bytes(f)...)
		}
		q.sent = append(q.sent, b)
		q.c.TxPackets++
		q.local.Free(run)
		n += len(run)
	}
	return n
}

type sinkDevice struct {
	name string
	q    *sinkQueue
}

func (d sinkDevice) Info() pmd.Info {
	return pmd.Info{Name: d.name, Driver: "sink", MTU: 9000, NUMANode: -1, Up: true, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}}
}
func (d sinkDevice) Queues() []pmd.Queue { return []pmd.Queue{d.q} }
func (d sinkDevice) Close() error        { return nil }

// multiRig has ports 0 and 1, connected, whose packets may have several frames.
type multiRig struct {
	*dataplane.Dataplane
	t     require.TestingT
	pool  *mbuf.Pool
	ports [2]*sinkQueue
	given uint64
}

func newMultiRig(t require.TestingT) *multiRig {
	d, err := dataplane.New(dataplane.Config{
		Stage: dataplane.StageFunc(func(*dataplane.Worker, dataplane.PortID, []mbuf.Frame) {}),
		Pool:  mbuf.Config{Frames: 512, HugePages: mbuf.HugeOff},
	})
	require.NoError(t, err)
	r := &multiRig{Dataplane: d, t: t}
	for i := range r.ports {
		r.pool, err = d.Env().Pool(pmd.Class{NUMANode: -1, MultiBuffer: true})
		require.NoError(t, err)
		r.ports[i] = &sinkQueue{pool: r.pool, room: -1}
		_, err = d.AddPort(sinkDevice{string(rune('a' + i)), r.ports[i]}, dataplane.PortConfig{})
		require.NoError(t, err)
	}
	return r
}

// give has a stage work on packets that came in on port 0, cut into frames of at most so
// many bytes.
func (r *multiRig) give(s dataplane.Stage, part int, packets ...[]byte) {
	require.NoError(r.t, r.Do(context.Background(), 0, func(w *dataplane.Worker) {
		var burst []mbuf.Frame
		for _, p := range packets {
			for first := true; first || len(p) > 0; first = false {
				var f [1]mbuf.Frame
				require.Equal(r.t, 1, w.Local().Cache(r.pool.ID()).TakeFrames(f[:], uint32(r.pool.DataOffset()), uint32(min(part, len(p))), r.pool.Meta(0)))
				p = p[copy(w.Local().Bytes(f[0]), p):]
				if len(p) > 0 {
					f[0].Meta |= mbuf.FlagMore
				}
				burst = append(burst, f[0])
			}
		}
		s.Process(w, 0, burst)
	}))
	r.given += uint64(len(packets))
}

// check checks that every packet and every frame is accounted for.
func (r *multiRig) check() *dataplane.Stats {
	s, err := r.StatsWithAccounts(context.Background())
	require.NoError(r.t, err)
	total := s.Cores[0].Held
	for _, p := range s.Ports {
		total += p.TxPackets + p.InHand
		for _, n := range p.Drops {
			total += n
		}
	}
	require.Equal(r.t, r.given, total, "packets given = sent + dropped + in hand + held")
	require.Zero(r.t, r.ports[0].cut+r.ports[1].cut, "packets sent in part")
	return s
}

// ends are those of the packets here.
func ends() packet.Ends {
	return packet.Ends{
		Src: packet.MAC(mac(7)), Dst: packet.MAC(mac(8)), SrcIP: netip.MustParseAddr("192.0.2.1"), DstIP: netip.MustParseAddr("192.0.2.2"),
	}
}

// ping returns an echo request as long as b.
func ping(b []byte) []byte {
	out := make([]byte, len(b))
	packet.PutEchoRequest(out, ends(), 1, 2, b[packet.EthernetLen+packet.IPv4Len+packet.ICMPLen:])
	return out
}

// jumbo returns a UDP datagram whose checksum is right.
func jumbo(size int, seed byte) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i*7) ^ seed
	}
	b := make([]byte, size+packet.EthernetLen+packet.IPv4Len+packet.UDPLen)
	packet.PutUDP(b, ends(), 1000+uint16(seed), 2000, data)
	return b
}

// Whatever a mode does to a packet of one frame it does to the same packet in several.
func TestModesOverSeveralFrames(t *testing.T) {
	cfg := forward.Config{
		Out: []dataplane.PortID{1, 0}, MACs: []net.HardwareAddr{mac(1), mac(2)}, Peers: []net.HardwareAddr{mac(3), mac(4)}, Frames: 512,
	}
	for _, mode := range []string{"io", "mac", "macswap", "5tswap", "csum", "noisy", "rxonly", "icmpecho"} {
		t.Run(mode, func(t *testing.T) {
			r := newMultiRig(t)
			s := stage(t, mode, cfg)
			rapid.Check(t, func(t *rapid.T) {
				var in [][]byte
				for range rapid.IntRange(1, 6).Draw(t, "packets") {
					b := jumbo(rapid.IntRange(150, 1400).Draw(t, "bytes"), rapid.Byte().Draw(t, "seed"))
					if rapid.IntRange(0, 3).Draw(t, "spoilt") == 0 {
						b[rapid.IntRange(packet.EthernetLen, len(b)-1).Draw(t, "at")] ^= 0x11
					}
					if rapid.IntRange(0, 3).Draw(t, "ping") == 0 {
						b = ping(b)
					}
					in = append(in, b)
				}
				run := func(part int) (sent [][]byte) {
					for _, q := range r.ports {
						q.sent = nil
					}
					copies := make([][]byte, len(in))
					for i := range in {
						copies[i] = bytes.Clone(in[i])
					}
					r.give(s, part, copies...)
					return append(r.ports[0].sent, r.ports[1].sent...)
				}
				whole := run(r.pool.MaxLen())
				parts := run(rapid.IntRange(128, 400).Draw(t, "part"))
				require.ElementsMatch(t, whole, parts)
				if mode != "rxonly" && mode != "icmpecho" {
					require.Equal(t, whole, parts, "their order")
				}
			})
			r.check()
			require.NoError(t, r.Close())
		})
	}
}

// A packet whose first frame has no whole Ethernet header is dropped whole, and so is
// one whose first frame may not hold all headers, where a mode needs them.
func TestHeadersInSeveralFrames(t *testing.T) {
	for mode, test := range map[string]struct{ part, short, dropped int }{
		"macswap": {10, 10, 3}, "mac": {13, 13, 3}, "5tswap": {100, 14, 2},
	} {
		r := newMultiRig(t)
		s := stage(t, mode, forward.Config{Out: []dataplane.PortID{1, 0}, MACs: []net.HardwareAddr{mac(1), mac(2)}})
		// The one between is a packet of one frame, to which only its length matters.
		r.give(s, test.part, jumbo(test.part, 1), jumbo(50, 2)[:min(test.short, test.part)], jumbo(test.part, 3))
		got := r.check()
		require.Equal(t, uint64(test.dropped), got.Ports[0].Drops["malformed"], mode)
		require.NoError(t, r.Close())
	}
}

// Mode noisy holds packets of several frames back as wholes, whatever fits its buffer and
// wherever that wraps.
func TestNoisyHoldsWholePackets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newMultiRig(t)
		s := stage(t, "noisy", forward.Config{
			Out: []dataplane.PortID{1, 0}, Frames: 512,
			Options: forward.Options{NoisyBuffer: rapid.IntRange(1, 40).Draw(t, "buffer")},
		})
		require.NoError(t, r.SetStage(t.Context(), s))
		var want [][]byte
		for range rapid.IntRange(1, 12).Draw(t, "bursts") {
			var in [][]byte
			for i := range rapid.IntRange(1, 5).Draw(t, "packets") {
				in = append(in, jumbo(rapid.IntRange(20, 900).Draw(t, "bytes"), byte(len(want)+i)))
			}
			want = append(want, in...)
			r.give(s, 100, in...)
			r.check()
		}
		require.NoError(t, r.SetStage(t.Context(), stage(t, "io", forward.Config{Out: []dataplane.PortID{1, 0}}))) // releases
		r.check()
		require.Equal(t, want, r.ports[1].sent)
		require.NoError(t, r.Close())
	})
}
