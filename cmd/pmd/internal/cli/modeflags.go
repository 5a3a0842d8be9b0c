package cli

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"example.org/pmd/cmd/pmd/internal/usage"
	"example.org/pmd/dataplane/forward"
)

// ModeFlags are the options of single modes, for pmd run and pmd forward set. A
// flag that was not given is nil; in JSON they are those of forward.Options, with
// which the control socket and the engine work.
type ModeFlags struct {
	Csum *string `apply:"live" placeholder:"WHAT" help:"Mode csum: verify counts wrong checksums, rewrite mends them as well, offload leaves them to the output port where that has tx-checksum=on (default rewrite)." json:"csum,omitempty"`

	TxSize  *string `apply:"live" placeholder:"N|imix" help:"Modes txonly and flowgen: bytes of a frame without its check sequence, 60 to 9216, or a mix of 60, 590 and 1514 (default 64)." json:"tx_size,omitempty"`
	TxRate  *uint64 `apply:"live" placeholder:"PPS" help:"Modes txonly and flowgen: frames a second on each port (default 0: as many as it takes)." json:"tx_rate,omitempty"`
	TxFlows *int    `apply:"live" placeholder:"N" help:"Modes txonly and flowgen: number of flows, which differ in source or destination address (default 1, flowgen 1024)." json:"tx_flows,omitempty"`
	IPSrc   *string `name:"ip-src" apply:"live" placeholder:"ADDR" help:"Modes txonly and flowgen: source address of the first flow, IPv4 or IPv6." json:"ip_src,omitempty"`
	IPDst   *string `name:"ip-dst" apply:"live" placeholder:"ADDR" help:"Modes txonly and flowgen: destination address of the first flow." json:"ip_dst,omitempty"`

	NoisyBuffer      *int `name:"noisy-tx-sw-buffer-size" apply:"live" placeholder:"N" help:"Mode noisy: frames held back on each core (default 0)." json:"noisy_tx_sw_buffer_size,omitempty"`
	NoisyFlush       *int `name:"noisy-tx-sw-buffer-flushtime" apply:"live" placeholder:"MS" help:"Mode noisy: send what is held when nothing has left for so many milliseconds (default 0: never)." json:"noisy_tx_sw_buffer_flushtime,omitempty"`
	NoisyMemory      *int `name:"noisy-lkup-memory" apply:"live" placeholder:"MIB" help:"Mode noisy: memory that is read and written on each core, in MiB (default 1 if it is)." json:"noisy_lkup_memory,omitempty"`
	NoisyReads       *int `name:"noisy-lkup-num-reads" apply:"live" placeholder:"N" help:"Mode noisy: reads for each packet (default 0)." json:"noisy_lkup_num_reads,omitempty"`
	NoisyWrites      *int `name:"noisy-lkup-num-writes" apply:"live" placeholder:"N" help:"Mode noisy: writes for each packet (default 0)." json:"noisy_lkup_num_writes,omitempty"`
	NoisyReadsWrites *int `name:"noisy-lkup-num-reads-writes" apply:"live" placeholder:"N" help:"Mode noisy: reads with a write each, for each packet (default 0)." json:"noisy_lkup_num_reads_writes,omitempty"`
}

// given returns the flags that were given as a JSON object, nil if none was.
func (f ModeFlags) given() ([]byte, error) {
	for flag, text := range map[string]*string{"ip-src": f.IPSrc, "ip-dst": f.IPDst} {
		if text == nil || *text == "" {
			continue
		}
		if _, err := netip.ParseAddr(*text); err != nil {
			return nil, usage.Errorf("--%s %s: use an IPv4 or IPv6 address", flag, *text)
		}
	}
	if f == (ModeFlags{}) {
		return nil, nil
	}
	b, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("options: %w", err)
	}
	return b, nil
}

// modeFlags returns the flags that give these options.
func modeFlags(o forward.Options) (f ModeFlags, err error) {
	b, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	return f, err
}

// options returns the flags as options, those not given with their defaults.
func (f ModeFlags) options() (o forward.Options, err error) {
	b, err := f.given()
	if err == nil && b != nil {
		err = json.Unmarshal(b, &o)
	}
	return o, err
}
