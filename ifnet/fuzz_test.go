package ifnet_test

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"

	"example.org/pmd/dataplane/packet"
	"example.org/pmd/ifnet"
)

// bytes hands out what calls are made of.
type bytes []byte

func (b *bytes) one() byte {
	if len(*b) == 0 {
		return 0
	}
	v := (*b)[0]
	*b = (*b)[1:]
	return v
}

func (b *bytes) take(n int) []byte {
	n = min(n, len(*b))
	v := (*b)[:n]
	*b = (*b)[n:]
	return slices.Clone(v)
}

// name is mostly one of a few, now and then any bytes.
func (b *bytes) name() string {
	if n := b.one(); n < 200 {
		return [...]string{"eth0", "eth1", "lan", "ring0", "ring"}[n%5]
	}
	return string(b.take(int(b.one()) % 24))
}

func (b *bytes) addr() netip.Addr {
	switch n := b.one(); {
	case n < 100:
		return netip.AddrFrom4([4]byte{10, 0, n % 3, b.one() % 4})
	case n < 200:
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: b.one() % 4})
	default:
		a, _ := netip.AddrFromSlice(b.take(4 + 12*int(n%2)))
		if n%4 == 3 {
			a = a.WithZone(b.name())
		}
		return a
	}
}

// number is often an edge.
func (b *bytes) number() int {
	if n := b.one(); n < 200 {
		return [...]int{0, 1, -1, 2, 3, 71, 72, 1500, 65535, 65536, 1_000_000_000, -1 << 62}[n%12]
	}
	return int(int8(b.one())) << (b.one() % 56)
}

func (b *bytes) group() ifnet.Group {
	if b.one()%2 == 0 {
		return ifnet.IPGroup(b.addr())
	}
	var mac packet.MAC
	copy(mac[:], b.take(6))
	return ifnet.LinkGroup(mac)
}

func (b *bytes) spec() ifnet.AddrSpec {
	n := b.one()
	s := ifnet.AddrSpec{Prefix: netip.PrefixFrom(b.addr(), int(b.one())%140-4), NoMask: n&1 != 0}
	if n&2 != 0 {
		s.Peer = b.addr()
	}
	if n&4 != 0 {
		s.Broadcast = b.addr()
	}
	return s
}

// FuzzCalls makes calls of every kind with whatever arguments: each does what it says or
// returns an error with the call and the interface named and an errno, none panics, and
// all cores agree in the end.
func FuzzCalls(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 1, 3, 0, 4, 0, 5, 0})
	f.Add([]byte{0, 0, 4, 0, 0, 9, 1, 2, 24, 8, 0, 0, 1, 0, 9, 12, 0, 3, 13, 0, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Fuzz(func(t *testing.T, in []byte) {
		b := bytes(in)
		r := newRig(t, 2, func(c *ifnet.Config) {
			c.Cloners = []ifnet.Cloner{{Kind: "ring", Create: noClone}}
		})
		var all []*ifnet.Interface
		some := func() *ifnet.Interface {
			if n := int(b.one()); len(all) > 0 {
				return all[n%len(all)]
			}
			return nil
		}
		for n := 0; len(b) > 0 && n < 100; n++ {
			var err error
			name, call := b.name(), b.one()%36
			named := call <= 18 || call == 27 || call == 30 || call == 33 || call == 34 // on the interface of that name
			switch c := r.root; call {
			case 0:
				var ifp *ifnet.Interface
				d := &driver{mu: &serializer{}}
				ifp, err = r.Attach(bg, ifnet.Params{Name: name, With: d, Serializer: d.mu, QueueLimit: int(b.one()), MTU: b.number(),
					Flags: ifnet.Flags(b.number()), MAC: b.take(int(b.one()) % 8), Caps: ifnet.Caps(b.one()), CapEnabled: ifnet.Caps(b.one() & 1)})
				if err == nil {
					all = append(all, ifp)
				}
			case 1:
				err = c.SetFlags(bg, name, ifnet.Flags(b.number()))
			case 2:
				err = c.SetMTU(bg, name, b.number())
			case 3:
				err = c.SetCaps(bg, name, ifnet.Caps(b.number()))
			case 4, 5, 6, 7:
				err = c.AddAddr(bg, name, b.spec())
			case 8:
				err = c.DelAddr(bg, name, b.addr())
			case 9:
				err = c.ChangeAddr(bg, name, b.addr(), b.spec())
			case 10:
				err = c.Rename(bg, name, b.name())
			case 11:
				err = c.SetLLAddr(bg, name, net.HardwareAddr(b.take(int(b.one())%9)))
			case 12:
				err = c.SetPollCore(bg, name, b.number())
			case 13:
				err = c.Join(bg, name, b.group())
			case 14:
				err = c.Leave(bg, name, b.group())
			case 15:
				err = c.AddMulti(bg, name, b.group())
			case 16:
				err = c.DelMulti(bg, name, b.group())
			case 17:
				_, err = c.Create(bg, name, nil)
			case 18:
				err = c.Destroy(bg, name)
			case 19:
				err = r.Detach(bg, some())
			case 20:
				err = r.Down(bg, some())
			case 21:
				err = r.Up(bg, some())
			case 22:
				err = r.Promisc(bg, some(), b.one()%2 == 0)
			case 23:
				err = r.AllMulti(bg, some(), b.one()%2 == 0)
			case 24:
				err = r.SetTimer(bg, some(), b.number())
			case 25:
				r.SlowTimeout()
			case 26:
				err = r.AddRoute(bg, ifnet.RouteSpec{Dst: netip.PrefixFrom(b.addr(), int(b.one())%140-4), Gateway: b.addr()})
			case 27:
				err = r.AddRoute(bg, ifnet.RouteSpec{Dst: netip.PrefixFrom(b.addr(), int(b.one())%140-4), Interface: name})
			case 28:
				err = r.DelRoute(bg, netip.PrefixFrom(b.addr(), int(b.one())%140-4))
			case 29:
				a := b.addr()
				r.each(func(rep *ifnet.Replica) {
					rep.WithAddr(a)
					rep.WithNet(a)
					rep.WithDstAddr(a)
					rep.WithNetLink(ifnet.LinkAddr{Index: int(int8(in[0])), Name: name})
				})
			case 30:
				set := ifnet.Settings{CapsOn: ifnet.Caps(b.one()), CapsOff: ifnet.Caps(b.one())}
				mtu, up, core, to := b.number(), b.one()%2 == 0, b.number(), b.name()
				set.MTU, set.Up, set.PollCore, set.Name = &mtu, &up, &core, &to
				err = c.Set(bg, name, set)
			case 31:
				_, _, err = c.Conf(bg, make([]ifnet.ConfEntry, b.one()%8))
			case 32:
				err = r.Unroute(bg, some(), ifnet.Flags(b.number()), ifnet.Family(b.one()))
			case 33:
				err = r.As(ifnet.Cred{}).SetMetric(bg, name, b.number())
			case 34:
				err = c.SetTunnel(bg, name, b.addr(), b.addr())
			case 35:
				err = r.PurgeAddrs(bg, some())
			}
			if err == nil {
				continue
			}
			var e *ifnet.Error
			if !errors.As(err, &e) || e.Call == "" || e.Errno == 0 {
				t.Fatalf("%v: no call, or no errno", err)
			}
			if named && e.Interface != name {
				t.Fatalf("%v: the call was on %q", err, name)
			}
		}
		// All cores agree, and the rig's end checks that nothing is left.
		r.routes()
		for _, name := range r.names() {
			r.lists(name)
			r.flags(name)
		}
	})
}
