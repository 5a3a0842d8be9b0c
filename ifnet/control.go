package ifnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// Cred says who calls.
type Cred struct {
	// Name is for the log: "uid 1000".
	Name string
	// Privileged callers may change things, suser_cred.
	Privileged bool
}

// Control is the control calls of one caller, ifioctl: each of its methods is one or
// two of the seed's commands, which the comment names. Interfaces are given by name; one
// that is not there is ENXIO. Calls that change something are EPERM for a caller
// without privilege, whatever else is wrong with them, and that is a message. A value of
// this type is cheap, and may be used from any goroutine.
type Control struct {
	sys  *System
	cred Cred
}

// As returns the control calls of a caller.
func (s *System) As(c Cred) *Control { return &Control{s, c} }

// privileged is suser_cred.
func (c *Control) privileged(call, name string) *failure {
	if c.cred.Privileged {
		return nil
	}
	who := c.cred.Name
	if who == "" {
		who = "somebody"
	}
	c.sys.message(name, true, "%s was refused: %s may not change interfaces", call, who)
	return fail(syscall.EPERM, "only root, and who started the process, may change interfaces")
}

// read runs a call that changes nothing.
func (c *Control) read(ctx context.Context, call, name string, fn func(ifp *Interface) *failure) error {
	return c.sys.do(ctx, call, name, func() *failure {
		ifp := c.sys.unit(name)
		if ifp == nil {
			return c.sys.unknown()
		}
		return fn(ifp)
	})
}

// change runs a call that does. The seed looks for the interface first.
func (c *Control) change(ctx context.Context, call, name string, fn func(ifp *Interface) *failure) error {
	return c.read(ctx, call, name, func(ifp *Interface) *failure {
		if f := c.privileged(call, ifp.state.Name); f != nil {
			return f
		}
		return fn(ifp)
	})
}

// drive runs a call that is the driver's alone.
func (c *Control) drive(ctx context.Context, call, name string, fn func(driver any) error) error {
	return c.change(ctx, call, name, func(ifp *Interface) *failure {
		if f := ask(ifp, call, fn); f != nil {
			return f
		}
		c.sys.touched(ifp)
		return nil
	})
}

// errNoPower is returned by what drive and ask run if the driver cannot do it.
var errNoPower = fmt.Errorf("ifnet: %w", syscall.EOPNOTSUPP)

// ask calls the driver with the serializer held.
func ask(ifp *Interface, call string, fn func(driver any) error) *failure {
	err := ifp.locked(func() error { return fn(ifp.driver) })
	switch {
	case err == errNoPower: //nolint:errorlint // made here, never wrapped
		return fail(syscall.EOPNOTSUPP, "the driver cannot do that")
	case err != nil:
		return driverFailed(err, call)
	}
	return nil
}

// Flags returns all flags, SIOCGIFFLAGS.
func (c *Control) Flags(ctx context.Context, name string) (flags Flags, err error) {
	err = c.read(ctx, "get flags", name, func(ifp *Interface) *failure {
		flags = ifp.state.Flags
		return nil
	})
	return flags, err
}

// SetFlags sets the flags that can be changed to those of flags, SIOCSIFFLAGS; the
// others stay. The edges of FlagUp take the interface down or up, but not with a driver
// that is smart (FlagSmart); the edges of FlagPolling begin and end polling. FlagPPromisc
// makes it promiscuous for good. Then the driver is told. If it fails, or polling does,
// all is as it was. A bit that is no flag is EINVAL.
func (c *Control) SetFlags(ctx context.Context, name string, flags Flags) error {
	return c.change(ctx, "set flags", name, func(ifp *Interface) *failure { return c.sys.setFlags(ifp, flags) })
}

func (s *System) setFlags(ifp *Interface, flags Flags) *failure {
	if bad := flags & flagsUnassigned; bad != 0 {
		return fail(syscall.EINVAL, fmt.Sprintf("%#x is no flag", uint32(bad)))
	}
	old := ifp.state.Flags
	f := s.upEdge(ifp, flags)
	if f == nil {
		f = s.setPolling(ifp, flags&FlagPolling != 0)
	}
	if f == nil {
		f = s.driveFlags(ifp, s.changeable(ifp, flags))
	}
	if f != nil {
		s.restore(ifp, old)
		return f
	}
	if old&^ifp.state.Flags&FlagUp != 0 {
		// What cores queued until the driver knew is dropped with the rest.
		s.cfg.Barrier.Wait()
		f = purge(ifp.queue)
	}
	s.touched(ifp)
	if old&^FlagUp != ifp.state.Flags&^FlagUp {
		s.announce(ifp, EventChange, nil)
	}
	return f
}

// upEdge takes the interface up or down if flags and it differ in that.
func (s *System) upEdge(ifp *Interface, flags Flags) *failure {
	switch now := ifp.state.Flags; {
	case now&FlagSmart != 0 || (now^flags)&FlagUp == 0:
		return nil
	case flags&FlagUp != 0:
		s.route(ifp, FlagUp, FamilyAny)
		return nil
	}
	return s.down(ifp)
}

// changeable returns the flags that an interface has once these are asked for.
func (s *System) changeable(ifp *Interface, flags Flags) Flags {
	flags = ifp.state.Flags&unchangeable | flags&^unchangeable
	switch {
	case flags&FlagPPromisc != 0:
		return flags | FlagPromisc
	case ifp.promisc == 0:
		return flags &^ FlagPromisc
	}
	return flags
}

// restore undoes the edges of flags after a failure.
func (s *System) restore(ifp *Interface, old Flags) {
	for _, f := range []*failure{s.setPolling(ifp, old&FlagPolling != 0), s.upEdge(ifp, old)} {
		if f != nil {
			s.message(ifp.state.Name, true, "and back: %v", f.as("set flags", ifp.state.Name))
		}
	}
}

// Caps returns the capabilities there are and those that are on, SIOCGIFCAP.
func (c *Control) Caps(ctx context.Context, name string) (offered, on Caps, err error) {
	err = c.read(ctx, "get capabilities", name, func(ifp *Interface) *failure {
		offered, on = ifp.caps, ifp.capsOn
		return nil
	})
	return offered, on, err
}

// SetCaps turns these capabilities on and all others off, SIOCSIFCAP. One that is not
// offered is EINVAL.
func (c *Control) SetCaps(ctx context.Context, name string, on Caps) error {
	return c.change(ctx, "set capabilities", name, func(ifp *Interface) *failure { return c.sys.setCaps(ifp, on) })
}

func (s *System) setCaps(ifp *Interface, on Caps) *failure {
	if bad := on &^ ifp.caps; bad != 0 {
		return fail(syscall.EINVAL, "not offered: "+bad.String())
	}
	if f := ask(ifp, "set capabilities", func(driver any) error {
		if d, ok := driver.(CapSetter); ok {
			return d.SetCaps(on)
		}
		return errNoPower
	}); f != nil {
		return f
	}
	ifp.capsOn = on
	s.announce(ifp, EventChange, nil)
	return nil
}

// Metric returns the metric, SIOCGIFMETRIC.
func (c *Control) Metric(ctx context.Context, name string) (metric int, err error) {
	err = c.read(ctx, "get metric", name, func(ifp *Interface) *failure {
		metric = ifp.metric
		return nil
	})
	return metric, err
}

// SetMetric sets the metric, SIOCSIFMETRIC. Any number will do.
func (c *Control) SetMetric(ctx context.Context, name string, metric int) error {
	return c.change(ctx, "set metric", name, func(ifp *Interface) *failure { return c.sys.setMetric(ifp, metric) })
}

func (s *System) setMetric(ifp *Interface, metric int) *failure {
	ifp.metric = metric
	s.touched(ifp)
	return nil
}

// MTU returns the MTU in bytes, SIOCGIFMTU.
func (c *Control) MTU(ctx context.Context, name string) (mtu int, err error) {
	err = c.read(ctx, "get mtu", name, func(ifp *Interface) *failure {
		mtu = ifp.state.MTU
		return nil
	})
	return mtu, err
}

// SetMTU sets the MTU in bytes, SIOCSIFMTU. Without a driver that can it is EOPNOTSUPP,
// beyond MinMTU to MaxMTU EINVAL. The driver comes first, then the event, and last the
// protocols if the MTU is another now.
func (c *Control) SetMTU(ctx context.Context, name string, mtu int) error {
	return c.change(ctx, "set mtu", name, func(ifp *Interface) *failure { return c.sys.setMTU(ifp, mtu) })
}

func mtuFailure(mtu int) *failure {
	return fail(syscall.EINVAL, fmt.Sprintf("an mtu of %d bytes: use %d to %d", mtu, MinMTU, MaxMTU))
}

func (s *System) setMTU(ifp *Interface, mtu int) *failure {
	d, ok := ifp.driver.(MTUSetter)
	if !ok {
		return fail(syscall.EOPNOTSUPP, "the driver cannot change it")
	}
	if mtu < MinMTU || mtu > MaxMTU {
		return mtuFailure(mtu)
	}
	if err := ifp.locked(func() error { return d.SetMTU(mtu) }); err != nil {
		return driverFailed(err, fmt.Sprintf("set an mtu of %d bytes", mtu))
	}
	old := ifp.state.MTU
	s.publish(ifp, func(st *State) { st.MTU = mtu })
	s.touched(ifp)
	s.announce(ifp, EventChange, nil)
	if mtu != old {
		for _, d := range s.domains {
			if d.MTU != nil {
				d.MTU(s.info(ifp))
			}
		}
	}
	return nil
}

// Phys returns the physical connector, SIOCGIFPHYS.
func (c *Control) Phys(ctx context.Context, name string) (phys uint32, err error) {
	err = c.read(ctx, "get physical connector", name, func(ifp *Interface) *failure {
		phys = ifp.phys
		return nil
	})
	return phys, err
}

// SetPhys chooses the physical connector, SIOCSIFPHYS, if the driver has a choice, else
// it is EOPNOTSUPP.
func (c *Control) SetPhys(ctx context.Context, name string, phys uint32) error {
	return c.change(ctx, "set physical connector", name, func(ifp *Interface) *failure {
		if f := ask(ifp, "set physical connector", func(driver any) error {
			if d, ok := driver.(PhysSetter); ok {
				return d.SetPhys(phys)
			}
			return errNoPower
		}); f != nil {
			return f
		}
		ifp.phys = phys
		c.sys.touched(ifp)
		return nil
	})
}

// Media returns the medium in the driver's words, SIOCGIFMEDIA; a driver without a choice
// is EOPNOTSUPP.
func (c *Control) Media(ctx context.Context, name string) (media string, err error) {
	err = c.read(ctx, "get media", name, func(ifp *Interface) *failure {
		return ask(ifp, "get media", func(driver any) (err error) {
			if d, ok := driver.(MediaDriver); ok {
				media, err = d.Media()
				return err
			}
			return errNoPower
		})
	})
	return media, err
}

// SetMedia chooses the medium, SIOCSIFMEDIA.
func (c *Control) SetMedia(ctx context.Context, name, media string) error {
	return c.drive(ctx, "set media", name, func(driver any) error {
		if d, ok := driver.(MediaDriver); ok {
			return d.SetMedia(media)
		}
		return errNoPower
	})
}

// Generic asks the driver for what is its own, SIOCGIFGENERIC.
func (c *Control) Generic(ctx context.Context, name string) (answer []byte, err error) {
	err = c.read(ctx, "get generic", name, func(ifp *Interface) *failure {
		return ask(ifp, "get generic", func(driver any) (err error) {
			if d, ok := driver.(GenericDriver); ok {
				answer, err = d.Generic()
				return err
			}
			return errNoPower
		})
	})
	return answer, err
}

// SetGeneric tells the driver what is its own, SIOCSIFGENERIC.
func (c *Control) SetGeneric(ctx context.Context, name string, req []byte) error {
	return c.drive(ctx, "set generic", name, func(driver any) error {
		if d, ok := driver.(GenericDriver); ok {
			return d.SetGeneric(req)
		}
		return errNoPower
	})
}

// Status asks the driver how it is, SIOCGIFSTATUS.
func (c *Control) Status(ctx context.Context, name string) (status string, err error) {
	err = c.read(ctx, "get status", name, func(ifp *Interface) *failure {
		return ask(ifp, "get status", func(driver any) (err error) {
			if d, ok := driver.(StatusReporter); ok {
				status, err = d.Status()
				return err
			}
			return errNoPower
		})
	})
	return status, err
}

// Tunnel returns a tunnel's outer addresses, SIOCGIFPSRCADDR, SIOCGIFPDSTADDR and
// SIOCGLIFPHYADDR.
func (c *Control) Tunnel(ctx context.Context, name string) (src, dst netip.Addr, err error) {
	err = c.read(ctx, "get tunnel", name, func(ifp *Interface) *failure {
		return ask(ifp, "get tunnel", func(driver any) (err error) {
			if d, ok := driver.(TunnelDriver); ok {
				src, dst, err = d.Tunnel()
				return err
			}
			return errNoPower
		})
	})
	return src, dst, err
}

// SetTunnel sets a tunnel's outer addresses, SIOCSIFPHYADDR, SIOCSIFPHYADDR_IN6 and
// SIOCSLIFPHYADDR; zero ones clear them, SIOCDIFPHYADDR. They are of one family.
func (c *Control) SetTunnel(ctx context.Context, name string, src, dst netip.Addr) error {
	return c.drive(ctx, "set tunnel", name, func(driver any) error {
		d, ok := driver.(TunnelDriver)
		switch {
		case !ok:
			return errNoPower
		case src.IsValid() != dst.IsValid() || src.BitLen() != dst.BitLen():
			return fail(syscall.EINVAL, "the addresses are of different families").as("set tunnel", name)
		}
		return d.SetTunnel(src, dst)
	})
}

// PollCore returns the core that polls the interface, or NotPolled, SIOCGIFPOLLCPU.
func (c *Control) PollCore(ctx context.Context, name string) (core int, err error) {
	err = c.read(ctx, "get poll core", name, func(ifp *Interface) *failure {
		core = ifp.pollCore
		return nil
	})
	return core, err
}

// SetPollCore lets a core poll the interface, SIOCSIFPOLLCPU, which also begins polling.
// Other than in the seed an interface that is polled moves, without losing a frame; a
// core that is not there is EINVAL, and privilege is needed.
func (c *Control) SetPollCore(ctx context.Context, name string, core int) error {
	return c.change(ctx, "set poll core", name, func(ifp *Interface) *failure { return c.sys.setPollCore(ifp, core) })
}

// Rename gives the interface another name, SIOCSIFNAME. An empty one is EINVAL, one that
// is too long ENAMETOOLONG, one that is taken EEXIST. The detach handler is told and the
// departure announced under the old name; then the link-level address, and its mask, are
// replaced on every core; then the attach handler is told and the arrival announced.
func (c *Control) Rename(ctx context.Context, name, to string) error {
	return c.change(ctx, "rename", name, func(ifp *Interface) *failure { return c.sys.rename(ifp, to) })
}

func (s *System) rename(ifp *Interface, to string) *failure {
	if f := checkName(to); f != nil {
		return f
	}
	if s.unit(to) != nil {
		return fail(syscall.EEXIST, "the name "+to+" is taken")
	}
	old := ifp.state.Name
	s.handlers(s.cfg.OnDetach, ifp)
	s.announce(ifp, EventDetach, nil)
	s.replaceLink(ifp, func(st *State) { st.Name = to })
	s.announce(ifp, EventRename, func(e *Event) { e.Old = old })
	s.handlers(s.cfg.OnAttach, ifp)
	s.announce(ifp, EventAttach, nil)
	return nil
}

// SetLLAddr changes the link-level address, SIOCSIFLLADDR: see System.SetLLAddr.
func (c *Control) SetLLAddr(ctx context.Context, name string, mac net.HardwareAddr) error {
	return c.change(ctx, "set link-level address", name, func(ifp *Interface) *failure { return c.sys.setLLAddr(ifp, mac) })
}

// multi runs a call on a multicast interface.
func (c *Control) multi(ctx context.Context, call, name string, fn func(ifp *Interface) *failure) error {
	return c.change(ctx, call, name, func(ifp *Interface) *failure {
		if ifp.state.Flags&FlagMulticast == 0 {
			return fail(syscall.EOPNOTSUPP, "the interface does not do multicast")
		}
		if f := fn(ifp); f != nil {
			return f
		}
		c.sys.touched(ifp)
		return nil
	})
}

// linkOnly refuses protocols' groups.
func linkOnly(g Group) *failure {
	if !g.IsLink() {
		return fail(syscall.EINVAL, g.String()+" is a protocol's group: join and leave it as such")
	}
	return nil
}

// AddMulti joins a link-level group, SIOCADDMULTI; any other is EINVAL, and an interface
// without multicast EOPNOTSUPP.
func (c *Control) AddMulti(ctx context.Context, name string, g Group) error {
	return c.multi(ctx, "add group", name, func(ifp *Interface) *failure {
		if f := linkOnly(g); f != nil {
			return f
		}
		return c.sys.addMulti(ifp, g)
	})
}

// DelMulti leaves a link-level group, SIOCDELMULTI.
func (c *Control) DelMulti(ctx context.Context, name string, g Group) error {
	return c.multi(ctx, "delete group", name, func(ifp *Interface) *failure {
		if f := linkOnly(g); f != nil {
			return f
		}
		return c.sys.delMulti(ifp, g)
	})
}

// Join joins a group of any kind for this process, as a socket's IP_ADD_MEMBERSHIP does.
func (c *Control) Join(ctx context.Context, name string, g Group) error {
	return c.multi(ctx, "join group", name, func(ifp *Interface) *failure { return c.sys.addMulti(ifp, g) })
}

// Leave leaves a group that Join has joined.
func (c *Control) Leave(ctx context.Context, name string, g Group) error {
	return c.multi(ctx, "leave group", name, func(ifp *Interface) *failure { return c.sys.delMulti(ifp, g) })
}

// Create makes an interface of a kind by name, SIOCIFCREATE: "ring3" that one, "ring"
// the first that is free. It returns the name. An unknown kind is EINVAL, one that is
// there EEXIST. What the params mean is the kind's affair.
func (c *Control) Create(ctx context.Context, name string, params map[string]string) (made string, err error) {
	err = c.sys.do(ctx, "create", name, func() *failure {
		if f := c.privileged("create", name); f != nil {
			return f
		}
		ifp, f := c.sys.create(ctx, name, params)
		if f == nil {
			made = ifp.state.Name
		}
		return f
	})
	return made, err
}

// Destroy detaches an interface that Create made and gives its device up, SIOCIFDESTROY.
// Any other is EINVAL.
func (c *Control) Destroy(ctx context.Context, name string) error {
	return c.change(ctx, "destroy", name, func(ifp *Interface) *failure { return c.sys.destroy(ifp) })
}

// Kinds lists what can be created, SIOCIFGCLONERS.
func (c *Control) Kinds(ctx context.Context) ([]Kind, error) { return c.sys.Kinds(ctx) }

// Conf lists names and addresses, SIOCGIFCONF: see System.Conf.
func (c *Control) Conf(ctx context.Context, dst []ConfEntry) (n, total int, err error) {
	return c.sys.Conf(ctx, dst)
}

// AddAddr gives an address, SIOCAIFADDR and SIOCAIFADDR_IN6: see System.AddAddr.
func (c *Control) AddAddr(ctx context.Context, name string, spec AddrSpec) error {
	return c.change(ctx, "add address", name, func(ifp *Interface) *failure { return c.sys.addAddr(ifp, spec) })
}

// DelAddr takes an address, SIOCDIFADDR and SIOCDIFADDR_IN6: see System.DelAddr.
func (c *Control) DelAddr(ctx context.Context, name string, addr netip.Addr) error {
	return c.change(ctx, "delete address", name, func(ifp *Interface) *failure { return c.sys.dropAddr(ifp, addr) })
}

// ChangeAddr replaces an address, SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFDSTADDR and
// SIOCSIFBRDADDR: see System.ChangeAddr.
func (c *Control) ChangeAddr(ctx context.Context, name string, addr netip.Addr, spec AddrSpec) error {
	return c.change(ctx, "change address", name, func(ifp *Interface) *failure { return c.sys.changeAddr(ifp, addr, spec) })
}

// Addr returns the interface's first address of a family, with netmask, peer and broadcast
// address: SIOCGIFADDR, SIOCGIFNETMASK, SIOCGIFDSTADDR and SIOCGIFBRDADDR. One of those
// that is missing is a zero field; no address at all is EADDRNOTAVAIL.
func (c *Control) Addr(ctx context.Context, name string, fam Family) (a AddrInfo, err error) {
	err = c.read(ctx, "get address", name, func(ifp *Interface) *failure {
		if fam != FamilyIPv4 && fam != FamilyIPv6 {
			return fail(syscall.EAFNOSUPPORT, fam.String())
		}
		list := c.sys.addressesOf(ifp, fam)
		if len(list) == 0 {
			return fail(syscall.EADDRNOTAVAIL, "the interface has no "+fam.String()+" address")
		}
		a = infoOf(list[0])
		return nil
	})
	return a, err
}

// Info describes an interface.
func (c *Control) Info(ctx context.Context, name string) (i Info, err error) {
	err = c.read(ctx, "describe", name, func(ifp *Interface) *failure {
		i = c.sys.info(ifp)
		return nil
	})
	return i, err
}
