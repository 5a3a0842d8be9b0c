//go:build linux

package netlab

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Requests of SIOCETHTOOL (include/uapi/linux/ethtool.h) that x/sys does not
// name.
const (
	ethtoolGStrings = 0x1b
	ethtoolGStats   = 0x1d

	ethSSStats     = 1  // string set: the names of the statistics
	ethGStringSize = 32 // bytes of one name
)

// offloads are the features that make a veth carry what no wire would, with
// the requests that read and write them. Checksumming comes first, since
// segmentation depends on it.
var offloads = [...]struct {
	name     string
	get, set uint32
}{
	{"transmit checksumming", 0x16, 0x17},        // ETHTOOL_GTXCSUM, _STXCSUM
	{"TCP segmentation offload", 0x1e, 0x1f},     // ETHTOOL_GTSO, _STSO
	{"generic segmentation offload", 0x23, 0x24}, // ETHTOOL_GGSO, _SGSO
	{"generic receive offload", 0x2b, 0x2c},      // ETHTOOL_GGRO, _SGRO
}

// disableOffloads turns the offloads of ifname off and reads them back. It
// must run inside the interface's namespace.
func disableOffloads(ifname string) error {
	e, err := openEthtool(ifname)
	if err != nil {
		return err
	}
	defer e.close()
	for _, o := range offloads {
		// A veth does not offer segmentation while its peer has an XDP program
		// (veth_xdp_set, drivers/net/veth.c), which a poller that waits for the
		// interface may have attached already. Then it is off, as reading shows.
		if err := e.setValue(o.set, 0); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
			return fmt.Errorf("%s: turn %s off: %w", ifname, o.name, err)
		}
		on, err := e.value(o.get)
		if err != nil {
			return fmt.Errorf("%s: read %s back: %w", ifname, o.name, err)
		}
		if on != 0 {
			return fmt.Errorf("%s: %s stays on: %w", ifname, o.name, unix.EOPNOTSUPP)
		}
	}
	return nil
}

// xdpSent returns how many redirected frames the peer of a veth has taken. The
// driver keeps one counter for each queue, tx_queue_N_xdp_xmit
// (drivers/net/veth.c, veth_tq_stats_desc).
func (e *ethtool) xdpSent() (uint64, error) {
	stats, err := e.stats()
	if err != nil {
		return 0, fmt.Errorf("%s: driver statistics: %w", e.ifname, err)
	}
	var sum uint64
	found := false
	for _, s := range stats {
		if strings.HasPrefix(s.name, "tx_queue_") && strings.HasSuffix(s.name, "_xdp_xmit") {
			sum += s.value
			found = true
		}
	}
	if !found {
		return 0, fmt.Errorf("%s: no tx_queue_N_xdp_xmit among the driver statistics; is it a veth, on Linux 5.18 or later?: %w", e.ifname, unix.EOPNOTSUPP)
	}
	return sum, nil
}

// stat is one driver statistic.
type stat struct {
	name  string
	value uint64
}
