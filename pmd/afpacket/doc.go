// Package afpacket is the driver for Linux network interfaces through packet sockets
// (AF_PACKET): where XDP is not to be had, as in a container that has CAP_NET_RAW
// and neither CAP_BPF nor CAP_NET_ADMIN, or on a kernel without AF_XDP.
//
// # Model
//
// The kernel puts a copy of each frame that the interface receives into a ring in
// shared memory (PACKET_RX_RING), from which the port copies it into a frame of its
// pool. To send, a burst is given to the kernel by one sendmmsg, which copies each
// frame and hands it to the device's driver past the queueing discipline
// (PACKET_QDISC_BYPASS).
//
// Two forms of ring can be had. With ring=v3, the default, the kernel hands over whole
// blocks, full or block-timeout milliseconds old: that costs less for each frame (see
// docs/performance.md), and delays each frame of a thin stream by up to that time. With
// ring=v2 every frame is handed over by itself and at once.
//
// Sending has no ring in shared memory. From one the kernel would send without a
// copy, and call a frame sent before the last reader of its memory is done (on veth,
// say), so that the frame after it in the ring could be sent in its place.
//
// What the kernel has moved out of a frame is put back: a VLAN tag that is told
// beside the frame, and a checksum that a virtual interface left unfinished.
//
// The options of a spec, as "afpacket:eth1,queues=2":
//
//	IFNAME or iface=         the interface
//	queues=N                 queue pairs, 1 to 64 (1): a fanout group
//	fanout=hash|cpu          what the kernel spreads frames by: their flow, or the CPU
//	                         that received them (hash)
//	rx-ring=N                frames the ring of a queue holds, a power of two, 64 to
//	                         32768 (2048)
//	ring=v3|v2               the form of the ring (v3)
//	block-timeout=MS         with ring=v3, 1 to 1000 milliseconds (1)
//	qdisc-bypass=on|off      send past the queueing discipline (on)
//	promisc=on|off           take frames for other Ethernet addresses (on)
//	netns=NAME               the network namespace the interface is in
//	take-management=on|off   allow the interface of the default route or the SSH
//	                         session (off)
//
// # The kernel goes on receiving
//
// Unlike AF_XDP, a packet socket takes nothing from the kernel: its own stack sees
// each frame too. If it has an address on the interface it answers, and if it
// forwards between interfaces there are two of each packet. Where that is not
// wanted, leave the interface without addresses, or stop the stack behind the packet
// socket:
//
//	nft add table netdev pmd
//	nft add chain netdev pmd eth1 '{ type filter hook ingress device "eth1" priority 0; policy drop; }'
//
// The interface of the default route or of the SSH session is refused all the same:
// forwarding would send copies of that traffic elsewhere.
//
// # Life of a port
//
// While the interface is down the port is down, and works again when it is up. When
// the interface is gone, the port waits for one of that name to come back.
//
// # Concurrency
//
// The [Driver] and its devices may be used from any goroutine, a queue from its
// owner.
//
// # Limitations
//
// Linux only, Ethernet only. An MTU whose frames do not fit into one frame of the
// pool is refused. Frames that the interface or its peer merged (GRO, LRO, TSO) are
// longer than that: they are dropped and counted as rx_oversize until merging is
// switched off (ethtool -K IFNAME gro off lro off; between namespaces also tso off
// gso off at the sender). Frames that the port sends past the queueing discipline
// are not seen by other packet sockets, such as tcpdump's.
package afpacket
