package netif

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netns"
)

// Namespace is where an interface is. The zero value is the process's own.
type Namespace struct {
	path string
}

// NewNamespace returns the namespace of that name under /run/netns, or at that
// path if name has a slash, or the process's own if it is empty.
func NewNamespace(name string) Namespace {
	if name == "" {
		return Namespace{}
	}
	if !strings.Contains(name, "/") {
		name = filepath.Join("/run/netns", name)
	}
	return Namespace{path: name}
}

// Path returns where the namespace is, empty for the process's own.
func (n Namespace) Path() string { return n.path }

// ID tells one namespace from another, empty if it is not there.
func (n Namespace) ID() string {
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

// Do runs fn on a thread inside the namespace. Sockets that fn makes stay there.
func (n Namespace) Do(fn func() error) error {
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
