//go:build linux

package guest_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/safchain/ethtool"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"example.org/pmd/dataplane"
	"example.org/pmd/dataplane/forward"
	"example.org/pmd/dataplane/packet"
	"example.org/pmd/pmd"
	"example.org/pmd/pmd/afxdp"
	"example.org/pmd/pmd/afxdp/internal/vm"
)

const (
	// frames is how many go each way in a run, if it does not say otherwise.
	frames = 1000
	// window is how many of them may be on their way: less than any queue of the
	// cards and hubs holds, so that what is lost was lost by us.
	window = 128
)

// Numbered frames between two ports and back, every byte checked, in each mode that
// the driver has.
func TestForward(t *testing.T) {
	for _, mode := range modes(t, pair(t, 1).port) {
		for _, fwd := range []string{"io", "macswap"} {
			t.Run(mode+"/"+fwd, func(t *testing.T) {
				r := newRig(t, mode, fwd, dataplane.Config{})
				r.carries()
			})
		}
		t.Run(mode+"/workers=2", func(t *testing.T) { // each polls one port
			r := newRig(t, mode, "io", dataplane.Config{Cores: []int{0, 1}})
			r.carries()
		})
	}
}

// What a port can be told to do otherwise: each forwards as well.
func TestForwardOptions(t *testing.T) {
	const huge = "/proc/sys/vm/nr_hugepages"
	require.NoError(t, os.WriteFile(huge, []byte("40"), 0), "pages of 2 MiB for a pool of 64 MiB")
	t.Cleanup(func() { require.NoError(t, os.WriteFile(huge, []byte("0"), 0)) })
	type try struct{ options, key, obtained string }
	wakeups := []try{
		{"need-wakeup=off", "need-wakeup", "off"},
		{"busy-poll=64", "busy-poll", "preferred"},
	}
	memory := []try{ // which tests on veths try in copy mode
		{"headroom=128,rx-ring=256,tx-ring=256,fill-ring=512", "rings", "rx 256, tx 256, fill 512, comp 256"},
		{"frame-size=4096,headroom=192,frags=off", "frame-size", "4096, headroom 192"},
		{"huge-pages=on", "pages", "huge 2M"},
		{"huge-pages=off", "pages", "4k"},
	}
	for _, mode := range modes(t, pair(t, 1).port) {
		tries := wakeups
		if mode == afxdp.ModeZeroCopy {
			tries = slices.Concat(wakeups, memory)
		}
		for _, c := range tries {
			t.Run(mode+"/"+c.options, func(t *testing.T) {
				r := newRig(t, mode+","+c.options, "io", dataplane.Config{})
				require.Contains(t, r.port(0).Obtained[c.key], c.obtained)
				r.count = 300
				r.carries()
			})
		}
	}
}

// Packets of several frames: forwarded whole where kernel and driver can, and refused
// where they cannot, with the limit.
func TestForwardFrags(t *testing.T) {
	const large = 9000
	cards := []wirePair{pair(t, 1), pair(t, 2)}
	best := modes(t, cards[0].port)[0]
	resize := func(mtu int) {
		for _, p := range cards {
			for _, name := range []string{p.port, p.far} {
				l, err := netlink.LinkByName(name)
				require.NoError(t, err)
				require.NoError(t, netlink.LinkSetMTU(l, mtu))
			}
		}
	}
	resize(large)
	t.Cleanup(func() { resize(1500) })
	refused := func(options string, words ...string) {
		t.Helper()
		d, err := dataplane.New(dataplane.Config{Stage: dataplane.StageFunc(nil)})
		require.NoError(t, err)
		spec, err := pmd.ParseSpec(cards[0].port + "," + options)
		require.NoError(t, err)
		_, err = afxdp.NewDriver().Open(t.Context(), spec, d.Env())
		for _, w := range append(words, cards[0].port) {
			require.ErrorContains(t, err, w)
		}
		require.NoError(t, d.Close(), "all frames are home")
	}
	refused("frags=off", "MTU 9000 is more than the 1774 that fit frames of 2048 bytes", "frags=on")
	if driverOf(cards[0].port) == "igb" { // which wants packets in one buffer
		refused("mode=copy", "attach the XDP program", "an MTU of 9000")
		return
	}
	has := offered[driverOf(cards[0].port)]
	if best == afxdp.ModeZeroCopy {
		require.NotEqual(t, vm.Yes, has[vm.MultiBufZC], "then there is more to try")
		refused("mode=zerocopy", "bind", "no zero-copy mode")
	}
	if has[vm.MultiBufCopy] != vm.Yes {
		refused("mode=copy", "an MTU of 9000")
		t.Logf("multi-buffer: %s", has[vm.MultiBufCopy])
		return
	}
	for _, options := range []string{"", ",frame-size=4096,headroom=128"} {
		t.Run("copy"+options, func(t *testing.T) {
			r := newRig(t, "auto"+options, "macswap", dataplane.Config{})
			r.count, r.most = 300, large+14
			if best == afxdp.ModeZeroCopy {
				require.Contains(t, r.port(0).Obtained["zerocopy"], "for packets of several frames")
			}
			r.carries()
			require.Greater(t, r.port(0).RxBytes/r.port(0).RxPackets, uint64(4096), "bytes a packet")
		})
	}
}

// Two queues a port, polled by one worker and by two: flows are spread over both.
func TestForwardQueues(t *testing.T) {
	for _, mode := range modes(t, pair(t, 1).port) {
		for _, cores := range [][]int{{1}, {0, 1}} {
			t.Run(fmt.Sprintf("%s/workers=%d", mode, len(cores)), func(t *testing.T) {
				r := newRig(t, mode, "io", dataplane.Config{Cores: cores})
				if n := len(r.devices[0].Queues()); n < 2 {
					t.Skipf("the card has %d queue", n)
				}
				r.carries()
				for i := range r.devices {
					for _, q := range r.port(i).Queues {
						require.NotZero(t, q.RxPackets, "frames on each queue: %+v", r.port(i).Queues)
					}
				}
			})
		}
	}
}

// rig is a dataplane that polls the ports of two hubs.
type rig struct {
	t       *testing.T
	mode    string // that the ports have
	fwd     string
	count   uint32 // frames each way
	most    int    // bytes of the longest
	a, b    wirePair
	d       *dataplane.Dataplane
	stop    func()
	devices []pmd.Device
}

// newRig starts one in a mode, which options may follow. cfg says its pools, and its
// cores if not one.
func newRig(t *testing.T, mode, fwd string, cfg dataplane.Config) *rig {
	t.Helper()
	r := &rig{t: t, fwd: fwd, a: pair(t, 1), b: pair(t, 2), count: frames, most: 1514}
	out, err := forward.Connect(2)
	require.NoError(t, err)
	cfg.Stage, err = forward.New(fwd, forward.Config{Out: out, Options: forward.Options{Csum: forward.CsumOffload}})
	require.NoError(t, err)
	if len(cfg.Cores) == 0 {
		cfg.Cores = []int{1}
	}
	r.d, err = dataplane.New(cfg)
	require.NoError(t, err)
	drv := afxdp.NewDriver()
	for i, p := range []wirePair{r.a, r.b} {
		spec, err := pmd.ParseSpec(p.port + ",mode=" + mode)
		require.NoError(t, err)
		dev, err := drv.Open(t.Context(), spec, r.d.Env())
		require.NoError(t, err)
		r.mode = dev.Info().Mode
		if want, _, _ := strings.Cut(mode, ","); want != afxdp.ModeAuto {
			require.Equal(t, want, r.mode)
		}
		r.devices = append(r.devices, dev)
		var workers []int // queue by queue, so that each sends on a queue of its own
		for q := range dev.Queues() {
			workers = append(workers, (i+q)%len(cfg.Cores))
		}
		_, err = r.d.AddPort(dev, dataplane.PortConfig{Workers: workers})
		require.NoError(t, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.d.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, r.d.Close())
	})
	t.Cleanup(r.stop)
	running(t, r.a.port)
	running(t, r.b.port)
	return r
}

// carries sends frames both ways at once, reports the run, and checks it and the
// account of owners.
func (r *rig) carries() {
	t := r.t
	t.Helper()
	before, err := r.d.Stats(t.Context())
	require.NoError(t, err)
	run := &vm.Run{Driver: driverOf(r.a.port), Forward: r.fwd, Queues: len(r.devices[0].Queues()), Workers: r.d.Workers(), Dropped: map[string]uint64{}, Owners: map[string]int{}}
	wa, wb := openWire(t, r.a.far, unix.ETH_P_IP), openWire(t, r.b.far, unix.ETH_P_IP)
	defer wa.close()
	defer wb.close()
	var wg sync.WaitGroup
	tallies := [2]tally{}
	for i, way := range [2][2]*wire{{wa, wb}, {wb, wa}} {
		wg.Go(func() { tallies[i] = r.oneWay(way[0], way[1], byte(i)) })
	}
	wg.Wait()
	for i, w := range []*wire{wa, wb} {
		run.Sent += tallies[i].sent
		run.Received += tallies[i].received
		run.Wrong += tallies[i].wrong
		if n := w.dropped(t); n > 0 {
			run.Dropped["far side"] += n
		}
	}
	s := r.balanced()
	for i, p := range s.Ports {
		require.Equal(t, r.mode, p.Mode, "the mode of %s as read back", p.Name)
		run.Mode = p.Mode
		for reason, n := range p.Drops {
			run.Dropped[reason] += n - before.Ports[i].Drops[reason]
		}
		for _, reason := range []string{"rx_dropped", "rx_ring_full"} {
			run.Dropped[reason] += p.Missed[reason] - before.Ports[i].Missed[reason]
		}
	}
	maps.DeleteFunc(run.Dropped, func(_ string, n uint64) bool { return n == 0 })
	require.Len(t, s.Pools, 1, "both ports in one pool")
	for _, p := range s.Pools {
		run.Frames += p.Frames
		run.Accounted += p.Accounted
		for owner, n := range p.Owners {
			run.Owners[owner] += n
		}
	}
	fmt.Println(run)
	if run.Err() != nil {
		// What the drivers counted may tell where it was lost.
		for _, name := range []string{r.a.port, r.a.far, r.b.port, r.b.far} {
			fmt.Println("guest:", name, counted(t, name))
		}
	}
	report(vm.Line{Run: run})
	require.NoError(t, run.Err())
}

// counted returns the counters of an interface that are not zero.
func counted(t testing.TB, name string) string {
	t.Helper()
	l, err := netlink.LinkByName(name)
	require.NoError(t, err)
	text := fmt.Sprintf("%+v", *l.Attrs().Statistics)
	e, err := ethtool.NewEthtool()
	require.NoError(t, err)
	defer e.Close()
	stats, err := e.Stats(name)
	if err != nil {
		return text + ": " + err.Error()
	}
	for _, key := range slices.Sorted(maps.Keys(stats)) {
		if stats[key] != 0 {
			text += fmt.Sprintf(" %s %d", key, stats[key])
		}
	}
	return text
}

// balanced checks that every frame received was sent or dropped or is in hand, and
// that every frame of the pools has one owner.
func (r *rig) balanced() *dataplane.Stats {
	t := r.t
	t.Helper()
	s, err := r.d.StatsWithAccounts(t.Context())
	require.NoError(t, err)
	var rx, tx, drops, inHand uint64
	for _, p := range s.Ports {
		rx, tx, inHand = rx+p.RxPackets, tx+p.TxPackets, inHand+p.InHand
		for _, n := range p.Drops {
			drops += n
		}
	}
	require.Equal(t, rx, tx+drops+inHand, "received = sent + dropped + in hand: %+v", s.Ports)
	for _, p := range s.Pools {
		require.True(t, p.Balanced(), "%+v", p)
	}
	return s
}

// port returns the state of port i.
func (r *rig) port(i int) dataplane.PortStats {
	r.t.Helper()
	s, err := r.d.Stats(r.t.Context())
	require.NoError(r.t, err)
	return s.Ports[i]
}

// tally is what one direction of a run came to.
type tally struct{ sent, received, wrong uint64 }

// oneWay sends numbered frames from one wire to the other. One goroutine does both, a
// window at a time; the frames that come back the other way are another's to read.
func (r *rig) oneWay(from, to *wire, way byte) (c tally) {
	swapped := r.fwd == "macswap"
	seen := make([]bool, r.count)
	last := time.Now()
	for seq := uint32(0); c.received < uint64(r.count); {
		for seq < r.count && c.sent-c.received-c.wrong < window {
			if from.send(numbered(seq, way, false, r.most)) == 0 {
				break
			}
			seq++
			c.sent++
			last = time.Now()
		}
		for b := to.next(); b != nil; b = to.next() {
			last = time.Now()
			if n := numberOf(b); n < r.count && !seen[n] && bytes.Equal(b, numbered(n, way, swapped, r.most)) {
				seen[n] = true
				c.received++
			} else {
				c.wrong++
			}
		}
		if time.Since(last) > 3*time.Second {
			fmt.Printf("guest: way %d: missing %s\n", way, missing(seen, c.sent))
			return c // nothing comes any more
		}
		time.Sleep(100 * time.Microsecond)
	}
	return c
}

// missing lists the numbers, of those that were sent, that were not seen.
func missing(seen []bool, sent uint64) string {
	var b strings.Builder
	for i := 0; i < int(sent); i++ {
		from := i
		for i < int(sent) && !seen[i] {
			i++
		}
		if i > from {
			fmt.Fprintf(&b, " %d-%d", from, i-1)
		}
	}
	return b.String()
}

// numbered makes frame seq of a direction, 60 to most bytes, all of which follow from
// its number. With swapped its addresses are exchanged.
func numbered(seq uint32, way byte, swapped bool, most int) []byte {
	rng := rand.New(rand.NewPCG(uint64(seq), uint64(way)))
	b := make([]byte, 60+rng.IntN(most-60+1))
	src, _ := net.ParseMAC(vm.NIC{Hub: 1 + int(way), Far: true}.MAC())
	dst, _ := net.ParseMAC(vm.NIC{Hub: 2 - int(way), Far: true}.MAC())
	if swapped {
		src, dst = dst, src
	}
	copy(b, dst)
	copy(b[6:], src)
	// IPv4 and UDP as far as a card looks to spread flows, of which there are 16 (some
	// look at addresses alone), and a bridge to let it through.
	binary.BigEndian.PutUint16(b[12:], unix.ETH_P_IP)
	b[14], b[22], b[23] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(b[16:], uint16(len(b)-14))
	copy(b[26:], []byte{198, 18, byte(seq % 16), 1 + way, 198, 19, 0, 2 - way})
	sum := uint32(0)
	for i := 14; i < 34; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	binary.BigEndian.PutUint16(b[24:], ^uint16(sum+sum>>16))
	binary.BigEndian.PutUint16(b[34:], 1024+uint16(seq%16))
	// Flows of the two ways are not each other's answers: a tap would have the
	// answers come on the queue that the questions were sent on.
	binary.BigEndian.PutUint16(b[36:], 9+uint16(way))
	binary.BigEndian.PutUint16(b[38:], uint16(len(b)-34))
	binary.BigEndian.PutUint32(b[numberAt:], seq)
	for i := numberAt + 4; i < len(b); i++ {
		b[i] = byte(rng.Uint32())
	}
	udp := b[34:]
	checksum := packet.PseudoIPv4([4]byte(b[26:30]), [4]byte(b[30:34]), unix.IPPROTO_UDP, uint16(len(udp))).Add(udp).Checksum()
	binary.BigEndian.PutUint16(udp[6:], packet.TransmittedUDP(checksum))
	return b
}

// numberAt is where a frame's number is.
const numberAt = 42

func numberOf(b []byte) uint32 {
	if len(b) < numberAt+4 {
		return math.MaxUint32
	}
	return binary.BigEndian.Uint32(b[numberAt:])
}
