package demo

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"github.com/cilium/ebpf"
)

// lacking tells whether an error says that this machine, or this user, cannot have
// the real bed: a privilege or a part of the kernel is missing. Every other error
// is a failure of the demo, not to be covered up by something that works.
func lacking(err error) bool {
	for _, e := range []error{
		fs.ErrPermission,      // EPERM, EACCES: not root, or a container without the capability
		errors.ErrUnsupported, // ENOSYS, EOPNOTSUPP, and every system but Linux
		syscall.EAFNOSUPPORT,  // a kernel without AF_XDP (CONFIG_XDP_SOCKETS)
		syscall.EPROTONOSUPPORT,
		ebpf.ErrNotSupported, // a kernel without what the XDP program needs
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// oneLine returns an error's words as one line, as joined errors are not.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
