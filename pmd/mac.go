package pmd

import (
	"hash/fnv"
	"net"
)

// LocalMAC returns an Ethernet address for a port without hardware: locally
// administered and unicast (IEEE 802, 8.4: second bit of the first octet set, first
// clear), and the same whenever a port of this driver and name is opened.
func LocalMAC(driver, name string) net.HardwareAddr {
	h := fnv.New64a()
	h.Write([]byte(driver + ":" + name)) // never fails: hash.Hash says so
	var sum [8]byte
	mac := net.HardwareAddr{0x02}
	return append(mac, h.Sum(sum[:0])[:5]...)
}
