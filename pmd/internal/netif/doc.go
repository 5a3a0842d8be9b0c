// Package netif is what the drivers for Linux network interfaces share: finding an
// interface in its network namespace, keeping off the one a person works over,
// and following one through its life.
//
// # Model
//
// A [Namespace] runs functions on a thread inside a network namespace. A [Keeper]
// holds an interface for a driver: it has the driver take it, watches netlink,
// has the driver give it up when it goes, and take it again when an interface of
// that name is back. [Powers] is what control has asked of the kernel's interface: MTU and
// MAC address, written down in package journal before they are changed and put back, and
// modes and groups, held by a socket. [Calls] brings control's calls to the goroutine that
// follows the interface.
//
// # Concurrency
//
// A Namespace is a value. A Keeper calls its driver from one goroutine at a time;
// its methods may be called from any.
//
// # Limitations
//
// Linux only.
package netif
