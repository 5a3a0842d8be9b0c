package forward

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"example.org/pmd/dataplane/packet"
)

// Choices for Options.Csum.
const (
	CsumVerify  = "verify"
	CsumRewrite = "rewrite"
	CsumOffload = "offload"
)

// IMIX is the size that stands for a mix of three, see Options.TxSize.
const IMIX = "imix"

// Bounds of the options.
const (
	MinTxSize   = packet.MinFrame
	MaxTxSize   = 9216
	MaxTxRate   = 1_000_000_000
	MaxTxFlows  = 1 << 20
	MaxBuffer   = 1 << 20   // frames
	MaxFlush    = 3_600_000 // ms
	MaxMemory   = 4096      // MiB
	MaxAccesses = 4096      // for each packet
)

// Options are what single modes can be told. The zero value of each takes the
// default. Field names in JSON are those of the command line, with underscores.
type Options struct {
	// Csum says what mode csum does with a wrong checksum: "verify" counts it,
	// "rewrite" mends it as well; "offload" has the output port complete those of TCP
	// and UDP, right or wrong before, which it leaves unread, and does as rewrite where
	// the port cannot. Default: rewrite.
	Csum string `json:"csum,omitempty"`

	// TxSize is the length of the frames that modes txonly and flowgen make, in
	// bytes without the frame check sequence, 60 to 9216; or "imix": of twelve
	// frames seven of 60 bytes, four of 590 and one of 1514, the simple mix of
	// which RFC 6985 speaks (64, 594 and 1518 bytes with the check sequence).
	// Default: 64.
	TxSize string `json:"tx_size,omitempty"`
	// TxRate is how many frames a second they send on each port, 1 to
	// 1,000,000,000. Default 0: as many as the port takes.
	TxRate uint64 `json:"tx_rate,omitempty"`
	// TxFlows is the number of flows, 1 to 1,048,576: they differ in the source
	// address in mode txonly, in the destination address in flowgen. Default 1,
	// in flowgen 1024.
	TxFlows int `json:"tx_flows,omitempty"`
	// IPSrc and IPDst are the addresses of the first flow, both IPv4 or both
	// IPv6. Default: 198.18.0.1 and 198.18.0.2, of the block for benchmarks (RFC
	// 6890); in flowgen 10.254.0.0 and 10.253.0.0, as in testpmd.
	IPSrc netip.Addr `json:"ip_src,omitzero"`
	IPDst netip.Addr `json:"ip_dst,omitzero"`

	// NoisyBuffer is how many frames mode noisy holds back on each core, 0 to
	// 1,048,576: what comes in pushes out what came first. Default 0: none.
	NoisyBuffer int `json:"noisy_tx_sw_buffer_size,omitempty"`
	// NoisyFlush is how many milliseconds nothing may have left before all that
	// is held back is sent, 0 to 3,600,000. Default 0: it waits for more to
	// come.
	NoisyFlush int `json:"noisy_tx_sw_buffer_flushtime,omitempty"`
	// NoisyMemory is the memory that mode noisy reads and writes on each core,
	// in MiB, 0 to 4096. Default 0; 1 if there is to be any access.
	NoisyMemory int `json:"noisy_lkup_memory,omitempty"`
	// NoisyReads, NoisyWrites and NoisyReadsWrites are how often it reads,
	// writes, and does both for each packet, at places drawn at random, 0 to
	// 4096 each.
	NoisyReads       int `json:"noisy_lkup_num_reads,omitempty"`
	NoisyWrites      int `json:"noisy_lkup_num_writes,omitempty"`
	NoisyReadsWrites int `json:"noisy_lkup_num_reads_writes,omitempty"`
}

// OptionError says which option is wrong, by the name of its flag without dashes.
type OptionError struct {
	Option, Value, Want string
}

// Error names flag, value and range.
func (e *OptionError) Error() string {
	return fmt.Sprintf("--%s %s: use %s", e.Option, e.Value, e.Want)
}

// List returns the options that were given, name of the flag and value.
func (o Options) List() [][2]string {
	var list [][2]string
	add := func(name string, given bool, value any) {
		if given {
			list = append(list, [2]string{name, fmt.Sprint(value)})
		}
	}
	add("csum", o.Csum != "", o.Csum)
	add("tx-size", o.TxSize != "", o.TxSize)
	add("tx-rate", o.TxRate != 0, o.TxRate)
	add("tx-flows", o.TxFlows != 0, o.TxFlows)
	add("ip-src", o.IPSrc.IsValid(), o.IPSrc)
	add("ip-dst", o.IPDst.IsValid(), o.IPDst)
	add("noisy-tx-sw-buffer-size", o.NoisyBuffer != 0, o.NoisyBuffer)
	add("noisy-tx-sw-buffer-flushtime", o.NoisyFlush != 0, o.NoisyFlush)
	add("noisy-lkup-memory", o.NoisyMemory != 0, o.NoisyMemory)
	add("noisy-lkup-num-reads", o.NoisyReads != 0, o.NoisyReads)
	add("noisy-lkup-num-writes", o.NoisyWrites != 0, o.NoisyWrites)
	add("noisy-lkup-num-reads-writes", o.NoisyReadsWrites != 0, o.NoisyReadsWrites)
	return list
}

// String returns the options that were given as flags, empty if none was.
func (o Options) String() string {
	var parts []string
	for _, p := range o.List() {
		parts = append(parts, "--"+p[0]+" "+p[1])
	}
	return strings.Join(parts, " ")
}

// Validate tells what is out of range, all of it.
func (o Options) Validate() error {
	var errs []error
	bad := func(option string, value any, want string, a ...any) {
		errs = append(errs, &OptionError{option, fmt.Sprint(value), fmt.Sprintf(want, a...)})
	}
	between := func(option string, n, most int) {
		if n < 0 || n > most {
			bad(option, n, "0 to %d", most)
		}
	}
	if o.Csum != "" && o.Csum != CsumVerify && o.Csum != CsumRewrite && o.Csum != CsumOffload {
		bad("csum", o.Csum, "%s, %s or %s", CsumVerify, CsumRewrite, CsumOffload)
	}
	if _, err := o.sizes(); err != nil {
		errs = append(errs, err)
	}
	if o.TxRate > MaxTxRate {
		bad("tx-rate", o.TxRate, "1 to %d, or 0 for as many as the port takes", MaxTxRate)
	}
	if o.TxFlows < 0 || o.TxFlows > MaxTxFlows {
		bad("tx-flows", o.TxFlows, "1 to %d", MaxTxFlows)
	}
	if o.IPSrc.IsValid() && o.IPDst.IsValid() && o.IPSrc.Is4() != o.IPDst.Is4() {
		bad("ip-dst", o.IPDst, "an address of the kind of --ip-src, %v", o.IPSrc)
	}
	between("noisy-tx-sw-buffer-size", o.NoisyBuffer, MaxBuffer)
	between("noisy-tx-sw-buffer-flushtime", o.NoisyFlush, MaxFlush)
	between("noisy-lkup-memory", o.NoisyMemory, MaxMemory)
	between("noisy-lkup-num-reads", o.NoisyReads, MaxAccesses)
	between("noisy-lkup-num-writes", o.NoisyWrites, MaxAccesses)
	between("noisy-lkup-num-reads-writes", o.NoisyReadsWrites, MaxAccesses)
	return errors.Join(errs...)
}

// imix is the order of sizes, spread so that every part of it is near the mix.
var imix = [12]int{60, 590, 60, 60, 590, 60, 1514, 60, 590, 60, 590, 60}

// sizes returns the frame sizes to take in turn.
func (o Options) sizes() ([]int, error) {
	switch o.TxSize {
	case "":
		return []int{64}, nil
	case IMIX:
		return imix[:], nil
	}
	n, err := strconv.Atoi(o.TxSize)
	if err != nil || n < MinTxSize || n > MaxTxSize {
		return nil, &OptionError{"tx-size", o.TxSize, fmt.Sprintf("%d to %d bytes, or %s", MinTxSize, MaxTxSize, IMIX)}
	}
	return []int{n}, nil
}

// addresses returns the ends of the first flow; what is not given is of the kind
// of what is.
func (o Options) addresses(src, dst netip.Addr) (netip.Addr, netip.Addr) {
	v6 := o.IPSrc.Is6() || o.IPDst.Is6()
	if v6 {
		// The block for benchmarks of RFC 5180.
		src, dst = netip.MustParseAddr("2001:2::1"), netip.MustParseAddr("2001:2::2")
	}
	if o.IPSrc.IsValid() {
		src = o.IPSrc
	}
	if o.IPDst.IsValid() {
		dst = o.IPDst
	}
	return src, dst
}

// peer returns the address that frames on a port are sent to.
func (c Config) peer(port int) (packet.MAC, error) {
	if port < len(c.Peers) && c.Peers[port] != nil {
		mac, ok := packet.MACOf(c.Peers[port])
		if !ok {
			return mac, fmt.Errorf("forward: peer %s of port %d is no Ethernet address", c.Peers[port], port)
		}
		return mac, nil
	}
	return packet.MAC{2, 0, 0, 0, byte(port >> 8), byte(port)}, nil
}

// own returns a port's own address.
func (c Config) own(mode string, port int) (packet.MAC, error) {
	var hw net.HardwareAddr
	if port < len(c.MACs) {
		hw = c.MACs[port]
	}
	mac, ok := packet.MACOf(hw)
	if !ok {
		return mac, fmt.Errorf("forward: mode %s: port %d has no Ethernet address", mode, port)
	}
	return mac, nil
}
