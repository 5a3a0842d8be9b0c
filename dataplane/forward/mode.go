package forward

import (
	"fmt"
	"net"
	"slices"
	"sort"
	"strings"

	"example.org/pmd/dataplane"
	"example.org/pmd/pmd/mbuf"
)

// Config is what modes are made from.
type Config struct {
	// Out is the output port by input port, see Connect.
	Out []dataplane.PortID
	// MACs are the ports' own Ethernet addresses, by port. Mode mac needs them.
	MACs []net.HardwareAddr
	// Peers are the Ethernet addresses mode mac sends to, by output port.
	// Default, as in testpmd: 02:00:00:00:00:NN, NN the port.
	Peers []net.HardwareAddr
	// MTUs are the ports' MTUs in bytes, by port. What a mode generates is no
	// longer than they allow; a port without one is not checked.
	MTUs []int
	// Workers is the number of workers, for modes that keep something for each:
	// others than those generate nothing and hold nothing back. Default 1.
	Workers int
	// Frames is the size of the smallest pool, in frames. A mode that holds
	// frames back holds no more than half of it.
	Frames int
	// Options are for single modes.
	Options Options
}

// workers returns the number of workers.
func (c Config) workers() int { return max(c.Workers, 1) }

// modes are the constructors by name.
var modes = map[string]func(Config) (dataplane.Stage, error){
	"5tswap":   newFiveSwap,
	"csum":     newCsum,
	"flowgen":  newFlowGen,
	"icmpecho": newICMPEcho,
	"io":       newIO,
	"mac":      newMAC,
	"macswap":  newMACSwap,
	"noisy":    newNoisy,
	"rxonly":   newRxOnly,
	"txonly":   newTxOnly,
}

// Modes returns the names of the modes in order.
func Modes() []string {
	names := make([]string, 0, len(modes))
	for n := range modes {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// New returns the stage of a mode. An unknown mode is an error that names those
// there are.
func New(mode string, cfg Config) (dataplane.Stage, error) {
	f, ok := modes[mode]
	if !ok {
		return nil, fmt.Errorf("forward: no mode %q; there are %s", mode, strings.Join(Modes(), ", "))
	}
	if err := cfg.Options.Validate(); err != nil {
		return nil, fmt.Errorf("forward: mode %s: %w", mode, err)
	}
	cfg.Out = slices.Clone(cfg.Out) // the caller's may change, a stage does not
	return f(cfg)
}

// ethLen is the length of an Ethernet header without a VLAN tag (IEEE 802.3).
const ethLen = 14

// dropShort drops the packets of a burst that are too short for an Ethernet header
// and returns the others. It is the way out of the fast loops, which count.
func dropShort(w *dataplane.Worker, burst []mbuf.Frame) []mbuf.Frame {
	return dropIf(w, burst, func(packet []mbuf.Frame) bool { return packet[0].Len < ethLen })
}

// splitLen is how much of a packet of several frames must be in the first one, in
// bytes, where headers beyond Ethernet's are looked for in that.
const splitLen = 128

// dropSplit drops the packets of several frames whose headers may not all be in the
// first one and returns the others. The kernel fills a frame before it takes another;
// only a NIC may not.
func dropSplit(w *dataplane.Worker, burst []mbuf.Frame) []mbuf.Frame {
	return dropIf(w, burst, func(packet []mbuf.Frame) bool { return len(packet) > 1 && packet[0].Len < splitLen })
}

// dropIf drops the packets for which bad is true as malformed.
func dropIf(w *dataplane.Worker, burst []mbuf.Frame, bad func([]mbuf.Frame) bool) []mbuf.Frame {
	keep := 0
	for rest := burst; len(rest) > 0; {
		packet := rest[:mbuf.FirstPacket(rest)]
		rest = rest[len(packet):]
		if bad(packet) {
			w.DropBurst(reasonShort, packet)
			continue
		}
		keep += copy(burst[keep:], packet)
	}
	return burst[:keep]
}
