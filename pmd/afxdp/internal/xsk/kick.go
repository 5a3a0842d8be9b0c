package xsk

import "syscall"

// KickResult tells what a kick has done. It is a value; nothing is allocated.
type KickResult struct {
	// Calls is the number of system calls made.
	Calls int
	// Dropped is the number of packets that the kernel took from the ring and
	// completed, but did not send: the device refused them (NET_XMIT_DROP).
	Dropped int
	// DroppedBytes is the sum of their lengths. It is exact since Linux 6.17;
	// an older kernel does not tell which of a call's frames it dropped, and
	// the length of a neighbour may be taken for it.
	DroppedBytes uint64
	// Errno is 0, or what the kernel answered instead of sending: ENETDOWN if
	// the interface is down, ENXIO if it is gone, EBADF after Close. Shortage
	// (ENOBUFS, ENOMEM) is not reported: the next kick tries again.
	Errno syscall.Errno
}

// minBudget is how many frames the kernel sends in a call in copy mode unless
// told otherwise, and the least it can be told (TX_BATCH_SIZE, net/xdp/xsk.c).
const minBudget = 32

// maxInterrupts bounds how often a kick that a signal interrupts starts again
// before it leaves the rest to the next turn.
const maxInterrupts = 64

// kicker makes the kernel look at a transmit ring.
type kicker struct {
	// send is sendto(2) with no data on the socket.
	send func() syscall.Errno
	// zeroCopy: the driver sends by itself once woken, one call does it.
	zeroCopy bool
	// publishes: the kernel's index shows all that a call has sent when the
	// call returns (__xsk_tx_release at the end of __xsk_generic_xmit, Linux
	// 6.17). Older ones show it once they have sent everything they know of.
	publishes bool
	// budget is the most frames that the kernel sends in one call.
	budget uint32
}

// kick calls the kernel until it has taken everything in the ring, or takes no
// more. Every call but the last takes a frame at least, so the loop ends.
func (k *kicker) kick(tx *TxRing) (res KickResult) {
	if k.zeroCopy {
		k.wake(&res)
		return res
	}
	cons := tx.consumed()
	tx.sync(cons)
	pending := tx.own - cons
	// A kernel that does not publish may have sent a full budget although
	// nothing moved: it gets as many calls as that would take.
	blind := 0
	if !k.publishes {
		blind = int((pending + k.budget - 1) / k.budget)
	}
	// The last call may be one that only publishes.
	limit := int(pending) + maxInterrupts + 1
	for cons != tx.own && res.Calls < limit {
		errno := k.send()
		res.Calls++
		now := tx.consumed()
		if errno == syscall.EBUSY {
			res.Dropped++
			res.DroppedBytes += uint64(tx.droppedLen(now))
			cons = now
			continue
		}
		tx.sync(now)
		switch errno {
		case 0:
			if now == cons {
				return res // no frame it would send: no room for completions
			}
		case syscall.EAGAIN:
			// The budget is used up, or the device, the socket's send buffer
			// or the completion ring is full: only movement tells.
			if now == cons {
				if blind--; blind < 0 {
					return res
				}
			}
		case syscall.EINTR:
			// Go's preemption signal lands on polling threads too.
		case syscall.ENOBUFS, syscall.ENOMEM:
			return res
		default:
			res.Errno = errno
			return res
		}
		cons = now
	}
	return res
}

// wake makes the one call that zero-copy mode needs. A driver that is busy is
// asked again next turn.
func (k *kicker) wake(res *KickResult) {
	for res.Calls < maxInterrupts {
		errno := k.send()
		res.Calls++
		switch errno {
		case syscall.EINTR:
			continue
		case 0, syscall.EAGAIN, syscall.EBUSY, syscall.ENOBUFS, syscall.ENOMEM:
		default:
			res.Errno = errno
		}
		return
	}
}
