// Package tap is the driver for Linux tap devices: a port of the dataplane whose
// other side is an ordinary network interface of the kernel's. With it the
// machine's own stack, a container or a virtual machine is reached.
//
// # Model
//
// The driver makes the interface, or joins one that is there already, and takes a
// descriptor for each queue. What the kernel sends on the interface is received
// by the port, and the other way round. A frame costs one system call and one
// copy, in either direction.
//
// The port and the kernel's interface are the two ends of a wire, so they have two
// Ethernet addresses: that of the interface is the kernel's (mac= sets it), that of
// the port is derived from its name.
//
// Offloads are switched off on the kernel's side (TUNSETOFFLOAD 0): it finishes
// checksums and cuts segments before it hands over a frame. Hence there is no need
// for a virtio header, and no option for one.
//
// The options of a spec, as "tap:tap0,queues=2":
//
//	IFNAME or iface=   the interface, to be made or joined; without it tapN
//	queues=N           queue pairs, 1 to 64 (1)
//	mtu=N              the interface's MTU in bytes (as it is)
//	mac=MAC            the interface's Ethernet address (as it is)
//	addr=CIDR          an address of the interface
//	netns=NAME         the network namespace the interface is in
//	up=on|off          set the interface up (on)
//	persist=on|off     leave the interface when the port closes (off)
//
// An interface that was there before is joined and stays; its address and MTU are
// changed only if the options say so.
//
// # Life of a port
//
// An interface that the driver made goes with the process, however that ends. If
// the interface is deleted while the port is open, the driver makes it again with
// its options. While it is down the port is down.
//
// # Concurrency
//
// The [Driver] and its devices may be used from any goroutine, a queue from its owner.
//
// # Limitations
//
// Linux only. An MTU whose frames do not fit into one frame of the pool is refused.
// What the kernel sends faster than the port takes it is dropped in front of the
// port, by the kernel (tun_tx_dropped); the tx queue length of the interface
// (ip link set dev tap0 txqueuelen N) is how much waits there.
package tap
