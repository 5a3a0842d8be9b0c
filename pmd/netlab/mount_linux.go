//go:build linux

package netlab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// netnsDir is where `ip netns` looks for names (ip-netns(8)).
const netnsDir = "/run/netns"

// mountNamespace makes the namespace of the calling thread known under name
// and returns its path. The path is empty, and the error nil, where mounting
// is not permitted (some containers): the namespace then has no name.
func mountNamespace(name string) (string, error) {
	if err := os.MkdirAll(netnsDir, 0o755); err != nil {
		return "", unnamed(err)
	}
	if err := shareDir(); err != nil {
		return "", unnamed(err)
	}
	path := filepath.Join(netnsDir, name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0)
	if err != nil {
		return "", unnamed(err)
	}
	f.Close()
	if err := unix.Mount(threadNetNS, path, "none", unix.MS_BIND, ""); err != nil {
		return "", errors.Join(unnamed(fmt.Errorf("bind mount on %s: %w", path, err)), os.Remove(path))
	}
	return path, nil
}

// unnamed turns "not permitted here" into "no name".
func unnamed(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EROFS) {
		return nil
	}
	return err
}

// shareDir makes netnsDir a mount point of its own with shared propagation, as
// `ip netns add` does, so that a name made or removed here is made or removed
// in every other mount namespace too. Without it a namespace stays alive in
// the copies of the mount. The lock on the folder is the one `ip netns` takes:
// two programs that find no mount point must not both make one.
func shareDir() error {
	dir, err := os.Open(netnsDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := lockDir(dir); err != nil {
		return err
	}
	err = unix.Mount("", netnsDir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if !errors.Is(err, unix.EINVAL) {
		return wrapMount(err)
	}
	// EINVAL: not a mount point yet.
	if err := unix.Mount(netnsDir, netnsDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return wrapMount(err)
	}
	return wrapMount(unix.Mount("", netnsDir, "none", unix.MS_SHARED|unix.MS_REC, ""))
}

func wrapMount(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("make %s a shared mount: %w", netnsDir, err)
}

// lockDir takes the lock, which closing dir gives back. It does not wait for
// ever for a holder that is stuck.
func lockDir(dir *os.File) error {
	return withFD(dir, func(fd int) error {
		for range 500 {
			err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
			if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
				return err
			}
			time.Sleep(10 * time.Millisecond)
		}
		return fmt.Errorf("lock %s: held by another program for 5 s: %w", netnsDir, unix.EBUSY)
	})
}

// unmountNamespace removes a name. One that is gone already, for instance by
// `ip netns delete`, is no error.
func unmountNamespace(path string) error {
	// MNT_DETACH: somebody may be looking into it at this moment.
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("netlab: unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("netlab: %w", err)
	}
	return nil
}
