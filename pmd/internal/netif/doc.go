// Package netif is what the drivers for Linux network interfaces share: finding an
// interface in its network namespace, keeping off the one a person works over,
// and following one through its life.
//
// # Model
//
// A [Namespace] runs functions on a thread inside a network namespace. A [Keeper]
// holds an interface for a driver: it has the driver take it, watches netlink,
// has the driver give it up when it goes, and take it again when an interface of
// that name is back.
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
