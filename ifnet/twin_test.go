package ifnet_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"example.org/pmd/ifnet"
)

// twinInterface is an interface as the seed has it: flags, and a list of addresses that
// every lookup walks.
type twinInterface struct {
	name  string
	p2p   bool
	up    bool
	addrs []ifnet.AddrSpec
	ifp   *ifnet.Interface
}

type twin []*twinInterface

func (w twin) each(family netip.Addr, fn func(i *twinInterface, a ifnet.AddrSpec) (stop bool)) {
	for _, i := range w {
		for _, a := range i.addrs {
			if a.Prefix.Addr().Is4() == family.Is4() && fn(i, a) {
				return
			}
		}
	}
}

func show(i *twinInterface, a ifnet.AddrSpec) string {
	if a.NoMask {
		return i.name + " " + a.Prefix.Addr().String()
	}
	return i.name + " " + a.Prefix.String()
}

func (w twin) withAddr(dst netip.Addr) (found string) {
	w.each(dst, func(i *twinInterface, a ifnet.AddrSpec) bool {
		if a.Prefix.Addr() == dst || !i.p2p && a.Broadcast == dst {
			found = show(i, a)
		}
		return found != ""
	})
	return found
}

func (w twin) withDst(dst netip.Addr) (found string) {
	w.each(dst, func(i *twinInterface, a ifnet.AddrSpec) bool {
		if i.p2p && a.Peer == dst {
			found = show(i, a)
		}
		return found != ""
	})
	return found
}

func (w twin) withNet(dst netip.Addr) (found string) {
	bits := -1
	w.each(dst, func(i *twinInterface, a ifnet.AddrSpec) bool {
		switch {
		case i.p2p && dst.Is4():
			if a.Peer == dst {
				found = show(i, a)
				return true
			}
		case !a.NoMask && a.Prefix.Contains(dst) && a.Prefix.Bits() > bits:
			found, bits = show(i, a), a.Prefix.Bits()
		}
		return false
	})
	return found
}

func (w twin) bestOf(dst netip.Addr, on *twinInterface) (found string) {
	maybe := ""
	w.each(dst, func(i *twinInterface, a ifnet.AddrSpec) bool {
		if i != on {
			return false
		}
		if maybe == "" {
			maybe = show(i, a)
		}
		switch {
		case a.NoMask:
			if dst == a.Prefix.Addr() || dst == a.Peer {
				found = show(i, a)
			}
		case i.p2p:
			if dst == a.Peer {
				found = show(i, a)
			}
		case a.Prefix.Contains(dst):
			found = show(i, a)
		}
		return found != ""
	})
	if found == "" {
		return maybe
	}
	return found
}

// connected returns the destinations that addresses of interfaces which are up connect to.
func (w twin) connected() (list []string) {
	for _, i := range w {
		for _, a := range i.addrs {
			dst := a.Prefix.Masked()
			switch {
			case a.Peer.IsValid():
				dst = netip.PrefixFrom(a.Peer, a.Peer.BitLen())
			case a.NoMask:
				dst = netip.PrefixFrom(a.Prefix.Addr(), a.Prefix.Addr().BitLen())
			}
			if i.up && !slices.Contains(list, dst.String()) {
				list = append(list, dst.String())
			}
		}
	}
	slices.Sort(list)
	return list
}

// Whatever happens to interfaces and addresses, every core finds what the seed's walk over
// the lists would find, and has the routes that addresses connect to.
func TestLookupsAgainstWalk(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(quietT{t, rt}, 3)
		defer func() { require.NoError(rt, r.Close()) }()
		var w twin
		next := 0
		addr := func(rt *rapid.T) netip.Addr {
			b := rapid.SampledFrom([]byte{1, 2, 3, 7, 255}).Draw(rt, "host")
			if rapid.Bool().Draw(rt, "v4") {
				return netip.AddrFrom4([4]byte{10, rapid.SampledFrom([]byte{0, 1}).Draw(rt, "net"), 0, b})
			}
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, rapid.SampledFrom([]byte{0, 1}).Draw(rt, "net"), 15: b})
		}
		pick := func(rt *rapid.T) *twinInterface {
			if len(w) == 0 {
				rt.Skip("no interface")
			}
			return w[rapid.IntRange(0, len(w)-1).Draw(rt, "interface")]
		}
		draw := func(rt *rapid.T, i *twinInterface) ifnet.AddrSpec {
			a := addr(rt)
			s := ifnet.AddrSpec{Prefix: netip.PrefixFrom(a, rapid.SampledFrom([]int{0, 8, 16, 24, 31, 32, 48, 128}).Filter(func(b int) bool { return b <= a.BitLen() }).Draw(rt, "bits"))}
			if s.NoMask = rapid.IntRange(0, 4).Draw(rt, "no mask") == 0; s.NoMask {
				s.Prefix = netip.PrefixFrom(a, a.BitLen())
			}
			if i.p2p && rapid.Bool().Draw(rt, "peer") {
				if p := addr(rt); p.Is4() == a.Is4() {
					s.Peer = p
				}
			}
			return s
		}
		// broadcast is what the call fills in.
		broadcast := func(i *twinInterface, s ifnet.AddrSpec) ifnet.AddrSpec {
			if p := s.Prefix; p.Addr().Is4() && !i.p2p && !s.NoMask && p.Bits() <= 30 {
				b := p.Masked().Addr().As4()
				for bit := p.Bits(); bit < 32; bit++ {
					b[bit/8] |= 0x80 >> (bit % 8)
				}
				s.Broadcast = netip.AddrFrom4(b)
			}
			return s
		}
		has := func(i *twinInterface, a netip.Addr) int {
			return slices.IndexFunc(i.addrs, func(s ifnet.AddrSpec) bool { return s.Prefix.Addr() == a })
		}
		rt.Repeat(map[string]func(*rapid.T){
			"Attach": func(rt *rapid.T) {
				if len(w) == 4 {
					rt.Skip("enough")
				}
				next++
				i := &twinInterface{name: fmt.Sprint("if", next), p2p: rapid.Bool().Draw(rt, "point-to-point")}
				change := func(*ifnet.Params) {}
				if i.p2p {
					change = p2p
				}
				i.ifp, _ = r.attach(i.name, change)
				w = append(w, i)
			},
			"Detach": func(rt *rapid.T) {
				i := pick(rt)
				require.NoError(rt, r.Detach(bg, i.ifp))
				w = slices.DeleteFunc(w, func(o *twinInterface) bool { return o == i })
			},
			"Up": func(rt *rapid.T) {
				i := pick(rt)
				if i.up = rapid.Bool().Draw(rt, "up"); i.up {
					require.NoError(rt, r.Up(bg, i.ifp))
				} else {
					require.NoError(rt, r.Down(bg, i.ifp))
				}
			},
			"Rename": func(rt *rapid.T) {
				i := pick(rt)
				next++
				to := fmt.Sprint("if", next)
				require.NoError(rt, r.root.Rename(bg, i.name, to))
				i.name = to
			},
			"Add": func(rt *rapid.T) {
				i := pick(rt)
				s := draw(rt, i)
				err := r.AddAddr(bg, i.ifp, s)
				if has(i, s.Prefix.Addr()) >= 0 {
					require.Error(rt, err)
					return
				}
				require.NoError(rt, err)
				i.addrs = append(i.addrs, broadcast(i, s))
			},
			"Del": func(rt *rapid.T) {
				i := pick(rt)
				a := addr(rt)
				at := has(i, a)
				require.Equal(rt, at < 0, r.DelAddr(bg, i.ifp, a) != nil)
				if at >= 0 {
					i.addrs = slices.Delete(i.addrs, at, at+1)
				}
			},
			"Change": func(rt *rapid.T) {
				i := pick(rt)
				a, s := addr(rt), draw(rt, i)
				at, other := has(i, a), has(i, s.Prefix.Addr())
				err := r.ChangeAddr(bg, i.ifp, a, s)
				if at < 0 || other >= 0 && other != at {
					require.Error(rt, err)
					return
				}
				require.NoError(rt, err)
				i.addrs[at] = broadcast(i, s)
			},
			"": func(rt *rapid.T) {
				for range 3 {
					a := addr(rt)
					require.Equal(rt, w.withAddr(a), r.withAddr(a.String()), "WithAddr(%v)", a)
					require.Equal(rt, w.withDst(a), r.withDst(a.String()), "WithDstAddr(%v)", a)
					require.Equal(rt, w.withNet(a), r.withNet(a.String()), "WithNet(%v)", a)
					for _, i := range w {
						require.Equal(rt, w.bestOf(a, i), r.bestOf(a.String(), i.name), "BestOf(%v, %s)", a, i.name)
					}
				}
				n := len(w)
				for _, i := range w {
					n += len(i.addrs)
				}
				require.Equal(rt, n, r.Addresses())
				var routes []string
				r.tables[0].Walk(func(dst netip.Prefix, _ *ifnet.Route) bool {
					routes = append(routes, dst.String())
					return true
				})
				slices.Sort(routes)
				require.Equal(rt, w.connected(), routes)
				r.routes() // the same on every core
			},
		})
	})
}
