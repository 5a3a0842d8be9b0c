package netif

import "github.com/vishvananda/netlink"

// Watcher receives the kernel's word that some interface changed. It belongs to one
// goroutine.
type Watcher struct {
	// Updates has a message for each change; it is closed if the kernel sends no
	// more.
	Updates chan netlink.LinkUpdate
	done    chan struct{}
}

// NewWatcher subscribes in the calling thread's namespace.
func NewWatcher() (*Watcher, error) {
	w := &Watcher{Updates: make(chan netlink.LinkUpdate, 64), done: make(chan struct{})}
	err := netlink.LinkSubscribeWithOptions(w.Updates, w.done, netlink.LinkSubscribeOptions{
		// An error ends the subscription; the tick goes on.
		ErrorCallback: func(error) {},
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// Close ends the subscription.
func (w *Watcher) Close() {
	close(w.done)
	// The sender may be waiting for us to take one more.
	go func() {
		for range w.Updates {
		}
	}()
}
