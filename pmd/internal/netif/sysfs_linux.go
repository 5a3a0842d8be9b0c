package netif

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"example.org/pmd/cpu"
)

// Sysfs calls fn with the folder of an interface in sysfs. It is called inside the
// namespace. What is mounted on /sys shows the interfaces of the namespace that
// it was mounted in; for another one sysfs is mounted anew, where nobody sees it
// (fsopen(2), Linux 5.2, needs CAP_SYS_ADMIN as entering a namespace does).
func (n Namespace) Sysfs(name string, fn func(dir string) error) error {
	if n.path == "" {
		return fn(filepath.Join("/sys/class/net", name))
	}
	fs, err := unix.Fsopen("sysfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("sysfs of the namespace: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return fmt.Errorf("sysfs of the namespace: %w", err)
	}
	root, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return fmt.Errorf("sysfs of the namespace: %w", err)
	}
	defer unix.Close(root)
	dir := fmt.Sprintf("/proc/self/fd/%d/class/net/%s", root, name)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is not in the sysfs of its namespace: %w", name, err)
	}
	return fn(dir)
}

// NUMANode returns the interface's node on a machine with several, else -1: so
// that one pool serves all ports where there is nothing to choose. It is called
// inside the namespace.
func (n Namespace) NUMANode(ifname string) int {
	nodes, err := filepath.Glob("/sys/devices/system/node/node[0-9]*")
	if err != nil || len(nodes) < 2 {
		return -1
	}
	node := -1
	_ = n.Sysfs(ifname, func(dir string) error {
		// dir is SYS/class/net/NAME, whatever SYS is.
		sys := filepath.Dir(filepath.Dir(filepath.Dir(dir)))
		got, err := cpu.InterfaceNode(os.DirFS(sys), ifname)
		if err == nil {
			node = got
		}
		return err
	})
	return node
}
