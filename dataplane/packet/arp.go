package packet

import (
	"encoding/binary"
	"net/netip"
)

// Operations of ARP.
const (
	ARPRequest = 1
	ARPReply   = 2
)

// ARP is an ARP packet for Ethernet and IPv4 (RFC 826).
type ARP [ARPLen]byte

// ARPAt returns the packet that b begins with; nil if b is shorter, or if it is
// not about Ethernet and IPv4 addresses.
func ARPAt(b []byte) *ARP {
	if len(b) < ARPLen || binary.BigEndian.Uint64(b)>>16 != arpKind {
		return nil
	}
	return (*ARP)(b)
}

// arpKind is what comes in front of the operation: hardware Ethernet, protocol
// IPv4, lengths 6 and 4.
const arpKind = 0x0001_0800_06_04

// Operation returns ARPRequest, ARPReply or another number.
func (h *ARP) Operation() uint16 { return binary.BigEndian.Uint16(h[6:8]) }

// SetOperation writes it.
func (h *ARP) SetOperation(op uint16) { binary.BigEndian.PutUint16(h[6:8], op) }

// SenderMAC returns the sender's Ethernet address.
func (h *ARP) SenderMAC() MAC { return MAC(h[8:14]) }

// SenderIP returns the sender's IPv4 address; zeros in a probe (RFC 5227).
func (h *ARP) SenderIP() [4]byte { return [4]byte(h[14:18]) }

// TargetMAC returns the target's Ethernet address; of no meaning in a request.
func (h *ARP) TargetMAC() MAC { return MAC(h[18:24]) }

// TargetIP returns the address that is asked for.
func (h *ARP) TargetIP() [4]byte { return [4]byte(h[24:28]) }

// set writes everything.
func (h *ARP) set(op uint16, sender MAC, senderIP [4]byte, target MAC, targetIP [4]byte) {
	binary.BigEndian.PutUint64(h[0:8], arpKind<<16|uint64(op))
	*(*MAC)(h[8:14]) = sender
	*(*[4]byte)(h[14:18]) = senderIP
	*(*MAC)(h[18:24]) = target
	*(*[4]byte)(h[24:28]) = targetIP
}

// Answer turns a request into the reply that the target is at mac.
func (h *ARP) Answer(mac MAC) { h.set(ARPReply, mac, h.TargetIP(), h.SenderMAC(), h.SenderIP()) }

// PutARPRequest writes a frame that asks all stations who has target, and tells
// them that srcIP is at src. With srcIP 0.0.0.0 it is a probe (RFC 5227, section
// 2.1.1), which tells nothing. It returns MinFrame, or 0.
func PutARPRequest(b []byte, src MAC, srcIP, target netip.Addr) int {
	return putARP(b, ARPRequest, broadcastMAC, src, srcIP, MAC{}, target)
}

// PutARPReply writes a frame that tells dst, who is dstIP, that srcIP is at src.
// It returns MinFrame, or 0.
func PutARPReply(b []byte, src MAC, srcIP netip.Addr, dst MAC, dstIP netip.Addr) int {
	return putARP(b, ARPReply, dst, src, srcIP, dst, dstIP)
}

// PutGratuitousARP writes a frame that tells all stations, unasked, that ip is at
// src: an announcement, which is a request for the sender's own address (RFC 5227,
// section 2.3). It returns MinFrame, or 0.
func PutGratuitousARP(b []byte, src MAC, ip netip.Addr) int {
	return putARP(b, ARPRequest, broadcastMAC, src, ip, MAC{}, ip)
}

func putARP(b []byte, op uint16, dst, sender MAC, senderIP netip.Addr, target MAC, targetIP netip.Addr) int {
	senderIP, targetIP = senderIP.Unmap(), targetIP.Unmap()
	if len(b) < MinFrame || !senderIP.Is4() || !targetIP.Is4() {
		return 0
	}
	clear(b[:MinFrame])
	putEthernet(b, dst, sender, EtherTypeARP)
	(*ARP)(b[EthernetLen:]).set(op, sender, senderIP.As4(), target, targetIP.As4())
	return MinFrame
}

// putEthernet writes the header; b has room for it.
func putEthernet(b []byte, dst, src MAC, t EtherType) {
	h := (*Ethernet)(b)
	h.SetDestination(dst)
	h.SetSource(src)
	h.SetEtherType(t)
}
