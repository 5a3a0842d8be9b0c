package pmd

import (
	"hash/fnv"
	"net"
)

// LocalMAC returns the Ethernet address of a port without hardware: a locally
// administered unicast address (IEEE 802, 8.4: second bit of the first octet set,
// first clear) that is the same whenever a port of this kind and name is opened.
func LocalMAC(kind, name string) net.HardwareAddr {
	h := fnv.New64a()
	h.Write([]byte(kind + ":" + name)) // never fails: hash.Hash says so
	var sum [8]byte
	mac := net.HardwareAddr{0x02}
	return append(mac, h.Sum(sum[:0])[:5]...)
}
