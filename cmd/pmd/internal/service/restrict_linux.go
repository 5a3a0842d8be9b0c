package service

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Capabilities is a set of capabilities (capabilities(7)), bit n for number n.
type Capabilities uint64

// names of the capabilities that ports may need.
var names = []struct {
	bit  int
	name string
}{
	{unix.CAP_NET_ADMIN, "NET_ADMIN"}, {unix.CAP_NET_RAW, "NET_RAW"}, {unix.CAP_IPC_LOCK, "IPC_LOCK"}, {unix.CAP_SYS_ADMIN, "SYS_ADMIN"},
	{unix.CAP_SYS_NICE, "SYS_NICE"}, {unix.CAP_BPF, "BPF"},
}

// String lists the capabilities of c.
func (c Capabilities) String() string {
	var out []string
	for _, n := range names {
		if c&(1<<n.bit) != 0 {
			out = append(out, n.name)
			c &^= 1 << n.bit
		}
	}
	if c != 0 {
		out = append(out, fmt.Sprintf("%#x", uint64(c)))
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ",")
}

// Needed returns the capabilities that open ports may need again: to configure an
// interface and attach a program (NET_ADMIN, BPF), to open a socket (NET_RAW), to pin
// memory beyond RLIMIT_MEMLOCK (IPC_LOCK, which the kernel asks for when a UMEM is
// registered, net/xdp/xdp_umem.c), to be scheduled otherwise (SYS_NICE). namespaces
// adds what entering another network namespace takes (SYS_ADMIN, setns(2)), which
// kernels without CAP_BPF, before 5.8, want for programs too.
func Needed(namespaces bool) Capabilities {
	var c Capabilities = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_BPF | 1<<unix.CAP_IPC_LOCK | 1<<unix.CAP_SYS_NICE
	if namespaces || lastCapability() < unix.CAP_BPF {
		c |= 1 << unix.CAP_SYS_ADMIN
	}
	return c
}

// lastCapability returns the highest number of a capability that the kernel knows.
func lastCapability() int {
	text, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}

// ErrCgo is returned by Restrict in a program that was built with cgo.
var ErrCgo = errors.New("the program was built with cgo: build it with CGO_ENABLED=0")

// Restrict leaves every thread no capability but those of keep that it has, and
// forbids the process to gain any by executing a program. It returns what is left.
func Restrict(keep Capabilities) (left Capabilities, err error) {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return 0, fmt.Errorf("capabilities: capget: %w", err)
	}
	for i := range data {
		d, k := &data[i], uint32(keep>>(32*i))
		d.Permitted &= k
		d.Effective = d.Permitted & (d.Effective | k)
		d.Inheritable = 0 // nothing is executed
		left |= Capabilities(d.Permitted) << (32 * i)
	}
	if err := allThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return 0, fmt.Errorf("capabilities: PR_SET_NO_NEW_PRIVS: %w", err)
	}
	if err := capset(&hdr, &data); err != nil {
		return 0, fmt.Errorf("capabilities: capset: %w", err)
	}
	return left, nil
}
