package afxdp

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// explain wraps an error of the machine with the port, the step, and what the
// user can do about it.
func explain(iface string, queue int, step string, err error) error {
	return fmt.Errorf("afxdp: %s queue %d: %s: %w%s", iface, queue, step, err, advice(iface, err))
}

// advice says what to do about an errno, or nothing. Where XDP is not to be had,
// there is another driver.
func advice(iface string, err error) string {
	without := "; without XDP: --port afpacket:" + iface
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return "; AF_XDP needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF: run as root, or give the binary these capabilities" + without
	case errors.Is(err, unix.EBUSY):
		return "; another AF_XDP socket holds this queue: end the program that has it, or take another queue="
	case errors.Is(err, unix.EOPNOTSUPP):
		return "; the driver does not offer this: use mode=auto, or mode=generic" + without
	case errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.ENOSYS):
		return "; this kernel is built without CONFIG_XDP_SOCKETS or BPF" + without
	case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
		return "; the kernel has no memory for it: use fewer frames or smaller rings"
	}
	return ""
}
