package afxdp

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netns"
)

// namespace is where an interface is. The zero value is the process's own.
type namespace struct {
	path string
}

func newNamespace(name string) namespace {
	if name == "" {
		return namespace{}
	}
	if !strings.Contains(name, "/") {
		name = filepath.Join("/run/netns", name)
	}
	return namespace{path: name}
}

// id tells one namespace from another, empty if it is not there.
func (n namespace) id() string {
	path := n.path
	if path == "" {
		path = "/proc/self/ns/net"
	}
	h, err := netns.GetFromPath(path)
	if err != nil {
		return ""
	}
	defer h.Close()
	return h.UniqueId()
}

// do runs fn on a thread inside the namespace. Sockets that fn makes stay there.
func (n namespace) do(fn func() error) error {
	if n.path == "" {
		return fn()
	}
	errs := make(chan error, 1)
	// A goroutine of its own: if the thread cannot be brought back it is left
	// locked, and ends with the goroutine.
	go func() {
		runtime.LockOSThread()
		errs <- func() error {
			home, err := netns.Get()
			if err != nil {
				return fmt.Errorf("network namespace of this thread: %w", err)
			}
			defer home.Close()
			there, err := netns.GetFromPath(n.path)
			if err != nil {
				if os.IsNotExist(err) {
					return fmt.Errorf("network namespace %s is not there; see ip netns list: %w", n.path, err)
				}
				return fmt.Errorf("network namespace %s: %w", n.path, err)
			}
			defer there.Close()
			if err := netns.Set(there); err != nil {
				return fmt.Errorf("enter network namespace %s (needs CAP_SYS_ADMIN): %w", n.path, err)
			}
			err = fn()
			if netns.Set(home) == nil {
				runtime.UnlockOSThread()
			}
			return err
		}()
	}()
	return <-errs
}
