package cpu

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// InterfaceNode returns the NUMA node that the hardware of a network interface is attached
// to, or -1 if there is no telling: the interface is virtual, or the machine has no NUMA.
// sys is rooted where /sys is, as in os.DirFS("/sys"). The view of sysfs must belong to the
// network namespace of the interface: sysfs lists the interfaces of the namespace it was
// mounted in.
//
// An interface that does not exist is an error matching [fs.ErrNotExist]. A name the kernel
// would not accept (net/core/dev.c, dev_valid_name) is an error before any file is touched.
func InterfaceNode(sys fs.FS, ifname string) (int, error) {
	if !validInterfaceName(ifname) {
		return -1, fmt.Errorf("NUMA node of interface %.40q: not an interface name (1 to 15 bytes, no white space, '/' or ':')", ifname)
	}
	dir := path.Join("class/net", ifname)
	if _, err := fs.Stat(sys, dir); err != nil {
		return -1, fmt.Errorf("NUMA node of interface %s: %w", ifname, err)
	}
	node, err := readID(sys, path.Join(dir, "device/numa_node"))
	if err != nil || node >= 0 {
		return node, wrapNode(ifname, err)
	}
	// The attribute belongs to the PCI device. Between it and the interface there may be
	// a bus of its own, virtio for one, whose devices carry no node: look further up the
	// path that the link in class/net gives.
	link, errLink := fs.ReadLink(sys, dir)
	if errLink != nil {
		return -1, nil //nolint:nilerr // no link, or a file system without links: nowhere to look
	}
	for up := path.Join("class/net", link); strings.HasPrefix(up, "devices/"); up = path.Dir(up) {
		node, err := readID(sys, path.Join(up, "numa_node"))
		if err != nil || node >= 0 {
			return node, wrapNode(ifname, err)
		}
	}
	return -1, nil
}

// wrapNode names the interface in an error about its node.
func wrapNode(ifname string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("NUMA node of interface %s: %w", ifname, err)
}

// validInterfaceName reports whether the kernel would accept the name. Beyond manners, this
// is what keeps a name from leading out of class/net.
func validInterfaceName(name string) bool {
	const ifNameSize = 16 // IFNAMSIZ of include/uapi/linux/if.h, with the final zero byte
	if name == "" || len(name) >= ifNameSize || name == "." || name == ".." {
		return false
	}
	// The kernel's isspace: blank, \t \n \v \f \r, and no-break space in Latin-1.
	return !strings.ContainsAny(name, "/: \t\n\v\f\r\x00") && !strings.Contains(name, "\xa0")
}
