package pmdtest

import (
	"math"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// checkPowers uses the powers that the device has while another goroutine polls it.
func checkPowers(t testing.TB, h Harness) {
	s := newStand(t, h)
	dev := s.setup.Device
	s.eventually("the device to be up", func() bool { return dev.Info().Up })
	p := s.bind(0, 4)
	end := s.pollMeanwhile(p)
	func() {
		defer end() // also when a check below fails
		s.checkMTU()
		s.checkMAC()
		s.checkModes()
		s.checkGroups()
	}()
	if s.receives() {
		s.held = append(s.held, p.receive(burst)...)
		s.give(p)
	}
	p.send(p.packets(burst))
	s.finish()
}

// pollMeanwhile polls the queue of p on a goroutine of its own until end is called.
func (s *stand) pollMeanwhile(p *port) (end func()) {
	errs := &report{}
	var stop atomic.Bool
	var wg sync.WaitGroup
	p.t = errs
	wg.Go(func() {
		dst := make([]mbuf.Frame, burst)
		for !stop.Load() {
			p.local.Free(dst[:p.rx(dst)])
			p.settle()
			runtime.Gosched()
		}
	})
	return func() {
		stop.Store(true)
		wg.Wait()
		p.t = s.t
		errs.tell(s.t)
	}
}

// told checks that the host hears of what fn changes.
func (s *stand) told(what string, fn func()) {
	s.t.Helper()
	before := s.host.notices.Load()
	fn()
	s.eventually("a notice of the new "+what, func() bool { return s.host.notices.Load() > before })
}

func (s *stand) checkMTU() {
	t, dev := s.t, s.setup.Device
	d, ok := dev.(pmd.MTUSetter)
	if !ok {
		t.Logf("the device keeps its MTU: nothing to check")
		return
	}
	was := dev.Info().MTU
	less := was - 100
	s.told("MTU", func() {
		require.NoError(t, d.SetMTU(less))
		require.Equal(t, less, dev.Info().MTU, "MTU in Info as SetMTU returns")
	})
	require.NoError(t, d.SetMTU(less), "MTU set once more")
	for _, mtu := range []int{math.MaxInt32, 1 << 20, 1, 0, -1} {
		err := d.SetMTU(mtu)
		require.ErrorIs(t, err, syscall.EINVAL, "MTU %d: want an error that is EINVAL", mtu)
		require.NotContains(t, err.Error(), "\n")
		require.Equal(t, less, dev.Info().MTU, "MTU after one that was refused")
	}
	require.NoError(t, d.SetMTU(was))
	require.Equal(t, was, dev.Info().MTU, "MTU as before")
}

func (s *stand) checkMAC() {
	t, dev := s.t, s.setup.Device
	d, ok := dev.(pmd.MACSetter)
	if !ok {
		t.Logf("the device keeps its MAC: nothing to check")
		return
	}
	was := dev.Info().MAC
	mac := net.HardwareAddr{2, 0, 0x5e, 0x10, 0, 0x17}
	s.told("MAC", func() {
		require.NoError(t, d.SetMAC(mac))
		require.Equal(t, mac, dev.Info().MAC, "MAC in Info as SetMAC returns")
	})
	given := slices.Clone(mac)
	require.NoError(t, d.SetMAC(given), "MAC set once more")
	clear(given)
	for errno, list := range map[syscall.Errno][]net.HardwareAddr{
		syscall.EADDRNOTAVAIL: {{1, 0, 0x5e, 0, 0, 1}, {0, 0, 0, 0, 0, 0}, {255, 255, 255, 255, 255, 255}},
		syscall.EINVAL:        {nil, {2, 0, 0, 0, 0}, {2, 0, 0, 0, 0, 0, 0, 1}},
	} {
		for _, bad := range list {
			require.ErrorIs(t, d.SetMAC(bad), errno, "MAC %v", bad)
			require.Equal(t, mac, dev.Info().MAC, "MAC after one that was refused, and whose caller kept the slice")
		}
	}
	require.NoError(t, d.SetMAC(was))
	require.Equal(t, was, dev.Info().MAC, "MAC as before")
}

func (s *stand) checkModes() {
	t, dev := s.t, s.setup.Device
	var calls []func(on bool) error
	if d, ok := dev.(pmd.PromiscSetter); ok {
		calls = append(calls, d.SetPromisc)
	}
	if d, ok := dev.(pmd.AllMultiSetter); ok {
		calls = append(calls, d.SetAllMulti)
	}
	before := dev.Info().Promiscuity
	for _, set := range calls {
		// Not counted: an off too many, or a second on, changes nothing.
		for _, on := range []bool{false, true, true, false, true, false} {
			require.NoError(t, set(on), "a mode turned on (%v)", on)
		}
	}
	assert.Equal(t, before, dev.Info().Promiscuity, "promiscuity when all is off again")
}

func (s *stand) checkGroups() {
	t, dev := s.t, s.setup.Device
	d, ok := dev.(pmd.GroupSetter)
	if !ok {
		t.Logf("the device filters no groups: nothing to check")
		return
	}
	a, b := net.HardwareAddr{1, 0, 0x5e, 0, 0, 0x11}, net.HardwareAddr{0x33, 0x33, 0, 0, 0, 0x12}
	for _, groups := range [][]net.HardwareAddr{{a}, {a, b}, {b, b}, nil, {b, a}, nil, nil} {
		require.NoError(t, d.SetGroups(groups), "groups %v", groups)
	}
	for _, bad := range []net.HardwareAddr{{2, 0, 0, 0, 0, 1}, {1, 0, 0x5e}, nil} {
		require.ErrorIs(t, d.SetGroups([]net.HardwareAddr{a, bad}), syscall.EINVAL, "group %v", bad)
	}
}
