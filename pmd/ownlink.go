package pmd

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
)

// MinMTU is the least MTU that a port without hardware takes: IPv4 asks for 68 bytes
// (RFC 791).
const MinMTU = 68

// CheckMAC tells whether a station may have this Ethernet address. The error wraps what
// MACSetter says.
func CheckMAC(mac net.HardwareAddr) error {
	switch {
	case len(mac) != 6:
		return fmt.Errorf("an Ethernet address has 6 bytes, not %d: %w", len(mac), syscall.EINVAL)
	case mac[0]&1 != 0 || !slices.ContainsFunc(mac, func(b byte) bool { return b != 0 }):
		return fmt.Errorf("%v is no station's address: %w", mac, syscall.EADDRNOTAVAIL)
	}
	return nil
}

// OwnLink is the MAC address and the MTU of a port without hardware, which a device
// embeds to be a MACSetter and an MTUSetter. They are what Info says, and what other
// parts of a program go by; a port that is told a smaller MTU goes on to take what a
// frame holds. Its methods may be called from any goroutine.
type OwnLink struct {
	name    string
	limit   int
	changed func(what string)

	mu  sync.Mutex // guards what follows
	mac net.HardwareAddr
	mtu int
}

var (
	_ MTUSetter = (*OwnLink)(nil)
	_ MACSetter = (*OwnLink)(nil)
)

// NewOwnLink returns the LocalMAC of a driver's port, and the largest MTU: limit. changed
// is called after each change, without a lock; the driver tells the host.
func NewOwnLink(driver, name string, limit int, changed func(what string)) *OwnLink {
	return &OwnLink{name: driver + " " + name, limit: limit, changed: changed, mac: LocalMAC(driver, name), mtu: limit}
}

// Describe enters MAC and MTU.
func (l *OwnLink) Describe(info *Info) {
	l.mu.Lock()
	defer l.mu.Unlock()
	info.MAC, info.MTU = slices.Clone(l.mac), l.mtu
}

// SetMTU implements MTUSetter.
func (l *OwnLink) SetMTU(mtu int) error {
	if mtu < MinMTU || mtu > l.limit {
		return fmt.Errorf("%s: MTU %d: use %d to %d, which is what a frame holds: %w", l.name, mtu, MinMTU, l.limit, syscall.EINVAL)
	}
	l.mu.Lock()
	was := l.mtu
	l.mtu = mtu
	l.mu.Unlock()
	if mtu != was {
		l.changed(fmt.Sprintf("MTU %d (was %d)", mtu, was))
	}
	return nil
}

// SetMAC implements MACSetter.
func (l *OwnLink) SetMAC(mac net.HardwareAddr) error {
	if err := CheckMAC(mac); err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	l.mu.Lock()
	was := l.mac
	l.mac = slices.Clone(mac)
	l.mu.Unlock()
	if !slices.Equal(mac, was) {
		l.changed(fmt.Sprintf("address %v (was %v)", mac, was))
	}
	return nil
}
