//go:build linux

package afxdp_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	ebpflink "github.com/cilium/ebpf/link"
	"github.com/safchain/ethtool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/mbuf"
	"example.org/pmd/pmd/netlab"
)

// told is a stage that looks at what came with each packet, in front of another one. Its
// counters are read by the test.
type told struct {
	next                             dataplane.Stage
	packets, without, stamps, hashes atomic.Uint64
	tags, tag, early                 atomic.Uint64
}

func (s *told) Process(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
	mem := w.Mem(burst[0])
	for _, f := range burst {
		s.packets.Add(1)
		m, ok := mem.RxMeta(f)
		if !ok {
			s.without.Add(1)
			continue
		}
		if m.Has(mbuf.RxTimestamp) {
			s.stamps.Add(1)
			if m.Timestamp < uint64(time.Hour) {
				s.early.Add(1)
			}
		}
		if m.Has(mbuf.RxHash) && m.Hash != 0 {
			s.hashes.Add(1)
		}
		if m.Has(mbuf.RxVLAN) {
			s.tags.Add(1)
			s.tag.Store(uint64(m.VLANProto)<<16 | uint64(m.VLANTCI))
		}
	}
	s.next.Process(w, in, burst)
}

// setStage gives the rig's dataplane another stage.
func (r *rig) setStage(s dataplane.Stage) {
	r.t.Helper()
	require.NoError(r.t, r.Dataplane.SetStage(r.t.Context(), s))
}

// crossed returns a mode that connects the ports in pairs.
func (r *rig) crossed(mode string, o forward.Options) dataplane.Stage {
	r.t.Helper()
	out, err := forward.Connect(len(r.Devices))
	require.NoError(r.t, err)
	s, err := forward.New(mode, forward.Config{Out: out, Options: o})
	require.NoError(r.t, err)
	return s
}

// What a veth knows of each packet is there for a stage to read.
func TestRxMetadata(t *testing.T) {
	r := newRig(t, 2, "rx-hash=on,rx-vlan=on,rx-timestamp=on")
	require.Equal(t, "rx-timestamp, rx-hash, rx-vlan", r.Port(0).Obtained["metadata"])
	s := &told{next: r.crossed("io", forward.Options{})}
	r.setStage(s)
	r.reaches(0, 1)
	r.transfers(0, 1, 1<<20)
	r.Balanced()
	require.NotZero(t, s.packets.Load())
	require.Zero(t, s.without.Load(), "of %d packets", s.packets.Load())
	require.NotZero(t, s.hashes.Load())
	require.Zero(t, s.tags.Load(), "no packet has a tag")
	require.Zero(t, s.early.Load(), "a time that no clock shows")

	// A tag that the kernel keeps beside the packet.
	pushTags(t, r.hosts[0], "h0", 7)
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, _ = netlab.Ping(ctx, r.hosts[0], addr(1), 1)
		return s.tags.Load() > 0
	}, 30*time.Second, time.Millisecond)
	require.EqualValues(t, 0x8100<<16|7, s.tag.Load())
}

// pushTags has an interface send every packet with this VLAN tag.
func pushTags(t *testing.T, ns *netlab.Namespace, name string, vlan int32) {
	t.Helper()
	const tag, next = 0x0081, -1 // 0x8100 on the wire; TCX_NEXT
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "BSD", Instructions: asm.Instructions{
		asm.Mov.Imm(asm.R2, tag), asm.Mov.Imm(asm.R3, vlan), asm.FnSkbVlanPush.Call(), asm.Mov.Imm(asm.R0, next), asm.Return(),
	}})
	require.NoError(t, err)
	t.Cleanup(func() { prog.Close() })
	require.NoError(t, ns.Do(func() error {
		ifi, err := net.InterfaceByName(name)
		require.NoError(t, err)
		l, err := ebpflink.AttachTCX(ebpflink.TCXOptions{Interface: ifi.Index, Program: prog, Attach: ebpf.AttachTCXEgress})
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	}))
}

// What cannot be told is refused with the option's name, and nothing is left behind.
func TestMetadataRefused(t *testing.T) {
	r := newRig(t, 2, "")
	require.NoError(t, r.Dataplane.RemovePort(0))
	for options, words := range map[string][]string{
		"mode=generic,rx-hash=on":       {"rx-hash=on", "generic mode", "rx-hash=off does without"},
		"mode=zerocopy,tx-checksum=on":  {"tx-checksum=on", "driver veth", "zero-copy"},
		"mode=zerocopy,tx-timestamp=on": {"tx-timestamp=on", "driver veth does not stamp packets", "zero-copy"},
	} {
		_, err := afxdp.NewDriver().Open(t.Context(), r.spec(0, options), r.Dataplane.Env())
		for _, w := range words {
			require.ErrorContains(t, err, w)
		}
	}
}

// Checksums that mode csum leaves to the port arrive complete: the port's interface has the
// kernel do them, and the host at the far end checks them.
func TestTxChecksum(t *testing.T) {
	for _, options := range []string{"tx-checksum=on", "tx-checksum=on,frags=on", "tx-checksum=on,mode=generic"} {
		t.Run(options, func(t *testing.T) {
			r := newRig(t, 2, options)
			require.Equal(t, "tx-checksum", r.Port(0).Obtained["metadata"])
			r.reaches(0, 1)
			for i := range r.Devices {
				name := fmt.Sprintf("p%d", i)
				require.NoError(t, r.ports.Do(func() error {
					e, err := ethtool.NewEthtool()
					if err != nil {
						return err
					}
					defer e.Close()
					return e.Change(name, map[string]bool{"tx-checksum-ip-generic": false})
				}))
			}
			r.setStage(r.crossed("csum", forward.Options{Csum: forward.CsumOffload}))
			r.transfers(0, 1, 4<<20)
			for _, size := range []int{100, 1001, 1472} {
				r.numbered(0, 1, size)
			}
			r.Balanced()
			require.Zero(t, r.Port(0).Missed["tx_invalid_descs"])

			// Checksums that are wrong before are right behind the port; without its help
			// none arrives, so the host does look.
			r.setStage(spoil{r.crossed("csum", forward.Options{Csum: forward.CsumOffload})})
			r.numbered(0, 1, 700)
			r.setStage(spoil{r.crossed("io", forward.Options{})})
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			res, err := netlab.UDPNumbered(ctx, r.hosts[0], r.hosts[1], netlab.UDPConfig{
				A: netip.AddrPortFrom(addr(0), 0), B: netip.AddrPortFrom(addr(1), 0), Count: 20, Rate: 1000, Size: 200,
			})
			require.NoError(t, err)
			require.Zero(t, res.AtoB.Received+res.BtoA.Received, "%+v", res)
		})
	}
}

// spoil is a stage that breaks the checksum of UDP datagrams, in front of another one.
type spoil struct{ next dataplane.Stage }

func (s spoil) Process(w *dataplane.Worker, in dataplane.PortID, burst []mbuf.Frame) {
	mem := w.Mem(burst[0])
	for _, f := range burst {
		if b := mem.Bytes(f); len(b) > 42 && b[12] == 8 && b[13] == 0 && b[14] == 0x45 && b[23] == unix.IPPROTO_UDP {
			b[40] ^= 0x55
		}
	}
	s.next.Process(w, in, burst)
}

// MultiBuffer implements dataplane.MultiBufferStage: the headers are in the first frame.
func (spoil) MultiBuffer() {}

// Packets are stamped when they are sent, a burst at a time, and the sums show it. In copy
// mode the kernel stamps them by a clock that can be compared.
func TestTxTimestamp(t *testing.T) {
	for _, options := range []string{"tx-timestamp=on", "tx-timestamp=on,tx-checksum=on,frags=on", "tx-timestamp=on,mode=generic"} {
		t.Run(options, func(t *testing.T) {
			begin := clock(t, unix.CLOCK_TAI)
			r := newRig(t, 2, options)
			require.Contains(t, r.Port(0).Obtained["metadata"], "tx-timestamp")
			require.Contains(t, r.Port(0).Obtained["tx-timestamp"], "CLOCK_TAI")
			r.reaches(0, 1)
			r.numbered(0, 1, 700)
			r.transfers(0, 1, 1<<20)
			r.Balanced()
			for i := range r.Devices {
				p := r.Port(i)
				s := p.Queues[0].TxStamps
				require.NotNil(t, s)
				require.LessOrEqual(t, s.Asked, p.TxPackets)
				require.NotZero(t, s.Asked)
				require.Equal(t, s.Asked, s.Stamped)
				require.Greater(t, s.LastNs, begin)
				require.LessOrEqual(t, s.LastNs, clock(t, unix.CLOCK_TAI))
				require.NotZero(t, s.MinNs)
				require.LessOrEqual(t, s.MinNs, s.MeanNs)
				require.LessOrEqual(t, s.MeanNs, s.MaxNs)
			}
		})
	}
}

// clock reads a clock, in nanoseconds.
func clock(t *testing.T, id int32) uint64 {
	t.Helper()
	var ts unix.Timespec
	require.NoError(t, unix.ClockGettime(id, &ts))
	return uint64(ts.Nano())
}

// A program is told of the packets that it asked about, with their bytes, and of the first of
// each burst.
func TestOnTxStamp(t *testing.T) {
	ns := wideLink(t, 1)
	d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
	require.NoError(t, err)
	var told []afxdp.TxStamp
	drv := afxdp.NewDriver()
	drv.JournalDir = t.TempDir()
	dev, err := drv.OpenConfig(t.Context(), afxdp.Config{
		Interface: "p0", Netns: ns.Path(), TxTimestamp: true,
		OnTxStamp: func(s afxdp.TxStamp) {
			s.Packet = append([]byte(nil), s.Packet...)
			told = append(told, s)
		},
	}, d.Env())
	require.NoError(t, err)
	q := dev.Queues()[0]
	local := mbuf.NewLocal()
	q.Bind(pmd.Binding{Local: local, Port: 0})
	mem := q.Pool().Mem()
	for round := range 3 {
		burst := make([]mbuf.Frame, 4)
		require.Equal(t, 4, local.Cache(q.Pool().ID()).TakeFrames(burst, uint32(q.Pool().DataOffset()), 60, q.Pool().Meta(0)))
		for i, f := range burst {
			b := mem.Bytes(f)
			clear(b)
			copy(b, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5, byte(round), byte(i)})
			// What an earlier packet may have left in front of this one.
			clear(mem[f.Addr-mbuf.MetaLen : f.Addr])
			mem[f.Addr-mbuf.MetaLen] = 1
		}
		mem.RequestTimestamp(&burst[2])
		told = nil
		require.Equal(t, 4, q.TxBurst(burst))
		q.Flush()
		require.Eventually(t, func() bool { q.Reclaim(); return q.Counters().InFlight == 0 }, 30*time.Second, time.Millisecond)
		require.Len(t, told, 2, "round %d", round)
		for i, s := range told {
			require.Equal(t, []byte{0x88, 0xb5, byte(round), byte(2 * i)}, s.Packet[12:16])
			require.Len(t, s.Packet, 60)
			require.Zero(t, s.Queue)
			require.GreaterOrEqual(t, s.Sent, s.Handed)
			require.LessOrEqual(t, s.Sent, clock(t, unix.CLOCK_TAI))
		}
	}
	sum := q.Counters().TxStamps
	require.Equal(t, []uint64{6, 6, 6}, []uint64{sum.Asked, sum.Stamped, sum.Delays})
	q.Unbind()
	local.Drain()
	require.NoError(t, dev.Close())
	require.NoError(t, d.Close())
}
