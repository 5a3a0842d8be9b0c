//go:build linux

package xsk

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Statistics are the kernel's counters of a socket (struct xdp_statistics,
// include/uapi/linux/if_xdp.h), totals since it was opened. The last three are
// 0 before Linux 5.9, which counts a full receive ring as RxDropped.
type Statistics struct {
	// RxDropped counts packets dropped for reasons not named below, such as
	// one longer than a chunk holds or, in copy mode, no chunk to put it in.
	RxDropped uint64
	// RxInvalidDescs counts bad addresses in the fill ring.
	RxInvalidDescs uint64
	// TxInvalidDescs counts bad descriptors in the transmit ring.
	TxInvalidDescs uint64
	// RxRingFull counts packets dropped because we did not read in time.
	RxRingFull uint64
	// RxFillRingEmptyDescs counts the times that the fill ring was empty when
	// the kernel wanted a chunk.
	RxFillRingEmptyDescs uint64
	// TxRingEmptyDescs counts the times that the kernel found the transmit
	// ring empty, which every kick ends with.
	TxRingEmptyDescs uint64
}

// Statistics reads the kernel's counters (XDP_STATISTICS). It takes the lock
// that sending takes, so only the owner of the queue should call it.
func (s *Socket) Statistics() (Statistics, error) {
	x, err := s.statistics()
	if err != nil {
		return Statistics{}, s.cfg.fail(StepStats, err)
	}
	return Statistics{
		RxDropped: x.Rx_dropped, RxInvalidDescs: x.Rx_invalid_descs, TxInvalidDescs: x.Tx_invalid_descs,
		RxRingFull: x.Rx_ring_full, RxFillRingEmptyDescs: x.Rx_fill_ring_empty_descs,
		TxRingEmptyDescs: x.Tx_ring_empty_descs,
	}, nil
}

// Options reads back whether the socket has got zero-copy mode (XDP_OPTIONS).
func (s *Socket) Options() (zeroCopy bool, err error) {
	flags, err := unix.GetsockoptInt(s.fd, unix.SOL_XDP, unix.XDP_OPTIONS)
	if err != nil {
		return false, s.cfg.fail(StepOptions, err)
	}
	return flags&unix.XDP_OPTIONS_ZEROCOPY != 0, nil
}

// SocketError returns the error that waits at the socket, and clears it
// (SO_ERROR): ENETDOWN, wrapped in an *Error, once its interface has been
// deleted. Poll flags do not tell of that.
func (s *Socket) SocketError() error {
	n, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && n != 0 {
		err = unix.Errno(n)
	}
	if err != nil {
		return s.cfg.fail(StepError, err)
	}
	return nil
}

// SetTxBudget sets how many frames the kernel sends in one call in copy mode,
// from 32, which it begins with, to the size of the transmit ring
// (XDP_MAX_TX_SKB_BUDGET, Linux 6.17). Before that kernel the error wraps
// ErrNotSupported, and KickTx makes more calls instead.
func (s *Socket) SetTxBudget(n int) error {
	if n < 0 {
		return s.cfg.fail(StepBudget, unix.EACCES)
	}
	err := unix.SetsockoptInt(s.fd, unix.SOL_XDP, unix.XDP_MAX_TX_SKB_BUDGET, n)
	if err != nil {
		return s.cfg.fail(StepBudget, needs(err, "6.17"))
	}
	s.kicker.budget = uint32(n)
	return nil
}

// SetBusyPoll lets KickTx and KickRx run the driver's receive routine instead
// of an interrupt: for up to usec microseconds a call, budget packets a round.
// 0 microseconds turns it off. It sets SO_PREFER_BUSY_POLL, SO_BUSY_POLL and
// SO_BUSY_POLL_BUDGET (Linux 5.11, CAP_NET_ADMIN); it gains something only if
// the interface also defers interrupts (napi_defer_hard_irqs and
// gro_flush_timeout in sysfs).
func (s *Socket) SetBusyPoll(usec, budget int) error {
	prefer := 0
	if usec > 0 {
		prefer = 1
	}
	opts := []struct{ opt, value int }{
		{unix.SO_PREFER_BUSY_POLL, prefer},
		{unix.SO_BUSY_POLL, usec},
		{unix.SO_BUSY_POLL_BUDGET, budget},
	}
	if usec == 0 {
		opts = opts[:2] // the budget does not matter, and 0 is none
	}
	for _, o := range opts {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, o.opt, o.value); err != nil {
			return s.cfg.fail(StepBusy, needs(err, "5.11"))
		}
	}
	return nil
}

// BusyPoll is what a socket has of busy polling.
type BusyPoll struct {
	// Prefer is SO_PREFER_BUSY_POLL: interrupts stay off while we poll.
	Prefer bool
	// Usec is SO_BUSY_POLL, in microseconds a call.
	Usec int
	// Budget is SO_BUSY_POLL_BUDGET, in packets, 0 where the kernel cannot
	// tell.
	Budget int
}

// String words it for people.
func (b BusyPoll) String() string {
	if !b.Prefer {
		return "off"
	}
	if b.Budget == 0 {
		return fmt.Sprintf("preferred, %d µs", b.Usec)
	}
	return fmt.Sprintf("preferred, %d µs, budget %d", b.Usec, b.Budget)
}

// BusyPoll reads back what SetBusyPoll has set.
func (s *Socket) BusyPoll() (BusyPoll, error) {
	prefer, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_PREFER_BUSY_POLL)
	if err != nil {
		return BusyPoll{}, s.cfg.fail(StepBusy, needs(err, "5.11"))
	}
	usec, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_BUSY_POLL)
	if err != nil {
		return BusyPoll{}, s.cfg.fail(StepBusy, needs(err, "3.11"))
	}
	b := BusyPoll{Prefer: prefer != 0, Usec: usec}
	if n, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_BUSY_POLL_BUDGET); err == nil {
		b.Budget = n
	}
	return b, nil
}

// needs adds the version to the errno of an option that the kernel does not
// know.
func needs(err error, version string) error {
	if errors.Is(err, unix.ENOPROTOOPT) {
		return fmt.Errorf("%w (%w, Linux %s has it)", err, ErrNotSupported, version)
	}
	return err
}
