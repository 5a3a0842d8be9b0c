package netsys

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"

	"example.org/pmd/dataplane"
	"example.org/pmd/ifnet"
	"example.org/pmd/pmd"
)

// Port is a port of the dataplane as the driver of its interface.
type Port struct {
	dp  *dataplane.Dataplane
	id  dataplane.PortID
	dev pmd.Device

	// workers poll the queues, queue i the i-th, whenever the port is polled.
	workers []int
	// up and registered are as the interface's flags say; on says that the dataplane
	// polls the port, as it does when it comes, and settled that on follows them.
	up, registered, on, settled bool
	// promisc and allMulti are what the device has been told, opened is what promisc was
	// when the port came.
	promisc, allMulti, opened bool
}

// ID returns the port's number.
func (p *Port) ID() dataplane.PortID { return p.id }

// Workers returns which worker polls each queue, or would.
func (p *Port) Workers() []int { return slices.Clone(p.workers) }

// Promisc reports whether the port's device was made promiscuous when it was opened.
func (p *Port) Promisc() bool { return p.opened }

// Filters reports whether the port's device has an address and an MTU of its own, that
// somebody else may change: else they are those of its interface.
func (p *Port) Filters() bool {
	_, mac := p.dev.(pmd.MACSetter)
	_, mtu := p.dev.(pmd.MTUSetter)
	return mac || mtu
}

// Info returns what the port's device says of itself now.
func (p *Port) Info() pmd.Info { return p.dev.Info() }

// toward is where the queues are to go if the first is to be polled on this core: a port
// whose first queue is there stays as it is, and ifnet.NotPolled stands for that too.
func (p *Port) toward(core int) []int {
	if core == ifnet.NotPolled || p.workers[0] == core {
		return p.workers
	}
	return slices.Repeat([]int{core}, len(p.workers))
}

// Place lets workers[i] poll queue i, now if the port is polled, else once it is. If a
// queue cannot move, those that did go back.
func (p *Port) Place(ctx context.Context, workers []int) error {
	for q, w := range workers {
		if !p.on {
			break
		}
		err := p.dp.MoveQueue(ctx, p.id, q, w)
		if err == nil {
			continue
		}
		for r := range q {
			if berr := p.dp.MoveQueue(context.WithoutCancel(ctx), p.id, r, p.workers[r]); berr != nil {
				err = fmt.Errorf("%w; and queue %d could not go back: %w", err, r, berr)
			}
		}
		return err
	}
	p.workers = slices.Clone(workers)
	return nil
}

// Settle lets the dataplane poll the port as the interface's flags say from now on. Until
// then it polls the port as it came, so that an interface which begins up and polled is not
// given up and taken up again.
func (p *Port) Settle() error {
	p.settled = true
	return p.apply()
}

// apply lets the dataplane poll the port if the interface is up and registered.
func (p *Port) apply() error {
	want := p.up && p.registered
	if want == p.on || !p.settled {
		return nil
	}
	var err error
	if want {
		err = p.dp.Repoll(context.Background(), p.id, p.workers)
	} else {
		err = p.dp.Unpoll(context.Background(), p.id)
	}
	if err == nil {
		p.on = want
	}
	return err
}

// SetFlags implements ifnet.FlagSetter.
func (p *Port) SetFlags(flags ifnet.Flags) error {
	up, promisc, allMulti := p.up, p.promisc, p.allMulti
	if err := p.setPromisc(flags&ifnet.FlagPromisc != 0); err != nil {
		return err
	}
	if err := p.setAllMulti(flags&ifnet.FlagAllMulti != 0); err != nil {
		return errors.Join(err, p.setPromisc(promisc))
	}
	p.up = flags&ifnet.FlagUp != 0
	if err := p.apply(); err != nil {
		p.up = up
		return errors.Join(err, p.setAllMulti(allMulti), p.setPromisc(promisc))
	}
	return nil
}

func (p *Port) setPromisc(on bool) error {
	d, ok := p.dev.(pmd.PromiscSetter)
	if ok && !on && p.promisc && p.opened && p.settled {
		return fmt.Errorf("the port was opened with promisc=on and keeps it: open it with promisc=off, then it can be turned on and off: %w", syscall.EOPNOTSUPP)
	}
	if ok && on != p.promisc {
		if err := d.SetPromisc(on); err != nil {
			return err
		}
	}
	p.promisc = on
	return nil
}

func (p *Port) setAllMulti(on bool) error {
	d, ok := p.dev.(pmd.AllMultiSetter)
	if ok && on != p.allMulti {
		if err := d.SetAllMulti(on); err != nil {
			return err
		}
	}
	p.allMulti = on
	return nil
}

// UseQueue implements ifnet.QueueUser: for a [dataplane.Discipline], and for the queue that the
// port came with.
func (p *Port) UseQueue(q ifnet.SendQueue) error {
	switch q := q.(type) {
	case dataplane.SendQueue:
		return p.dp.SetSendQueue(p.id, nil)
	case dataplane.Discipline:
		return p.dp.SetSendQueue(p.id, q)
	}
	return fmt.Errorf("a send queue that is no dataplane.Discipline, whose elements are frames: %w", syscall.EINVAL)
}

// SetMTU implements ifnet.MTUSetter.
func (p *Port) SetMTU(mtu int) error {
	if d, ok := p.dev.(pmd.MTUSetter); ok {
		return d.SetMTU(mtu)
	}
	return fmt.Errorf("a %s port has the MTU of its frames: %w", p.dev.Info().Driver, syscall.EOPNOTSUPP)
}

// SetLLAddr implements ifnet.LLAddrSetter. A device without hardware receives for any
// address.
func (p *Port) SetLLAddr(mac net.HardwareAddr) error {
	if d, ok := p.dev.(pmd.MACSetter); ok {
		return d.SetMAC(mac)
	}
	return nil
}

// LiveAddrChange implements ifnet.LiveAddrChanger: devices change it while they are polled,
// and no frame is lost by it.
func (p *Port) LiveAddrChange() bool { return true }

// SetGroups implements ifnet.GroupSetter. A device that filters nothing lets all in.
func (p *Port) SetGroups(groups []ifnet.Group) error {
	d, ok := p.dev.(pmd.GroupSetter)
	if !ok {
		return nil
	}
	var macs []net.HardwareAddr
	for _, g := range groups {
		mac := g.MAC()
		macs = append(macs, mac[:])
	}
	return d.SetGroups(macs)
}

// Send implements ifnet.Sender.
func (p *Port) Send(frame []byte) error {
	return p.dp.SendControl(context.Background(), p.id, frame)
}
