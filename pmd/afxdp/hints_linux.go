package afxdp

import (
	"fmt"
	"slices"

	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"example.org/pmd/pmd"
	"example.org/pmd/pmd/mbuf"
)

// hint is something that a driver can tell of a received packet
// (Documentation/networking/xdp-rx-metadata.rst).
type hint struct {
	// option asks for it, feature is the kernel's word for it, and since the kernel that
	// has it first.
	option, feature, since string
	// function is the kernel's function that tells it, and id that in the kernel's BTF.
	function string
	id       btf.TypeID
	// at is where it goes in front of the packet: words there, in bytes, in one piece.
	at, size int
	// second is where the function's third argument begins in there, 0 if it has none.
	second int
	bit    mbuf.RxMetaBits
}

// hints returns what the port wants to be told, refused by name if the driver cannot.
func (d *Device) hints(f *XDPFeatures) ([]hint, error) {
	var list []hint
	var spec *btf.Spec
	for _, h := range []struct {
		on bool
		hint
	}{
		{d.cfg.RxTimestamp, hint{option: "rx-timestamp", feature: "timestamp", since: "6.3", function: "bpf_xdp_metadata_rx_timestamp",
			at: mbuf.RxMetaTimestampAt, size: 8, bit: mbuf.RxTimestamp}},
		{d.cfg.RxHash, hint{option: "rx-hash", feature: "hash", since: "6.3", function: "bpf_xdp_metadata_rx_hash",
			at: mbuf.RxMetaHashAt, size: 8, second: 4, bit: mbuf.RxHash}},
		{d.cfg.RxVLAN, hint{option: "rx-vlan", feature: "vlan", since: "6.8", function: "bpf_xdp_metadata_rx_vlan_tag",
			at: mbuf.RxMetaVLANAt, size: 4, second: 2, bit: mbuf.RxVLAN}},
	} {
		if !h.on {
			continue
		}
		refuse := func(why string) error {
			return fmt.Errorf("afxdp: %s: %s=on: %s; %s=off does without: %w", d.cfg.Interface, h.option, why, h.option, unix.EOPNOTSUPP)
		}
		if d.cfg.Mode == ModeGeneric {
			return nil, refuse("generic mode has no such thing")
		}
		var err error
		if spec == nil {
			if spec, err = btf.LoadKernelSpec(); err != nil {
				return nil, refuse(fmt.Sprintf("the kernel does not describe its functions (CONFIG_DEBUG_INFO_BTF): %v", err))
			}
		}
		var fn *btf.Func
		if err = spec.TypeByName(h.function, &fn); err == nil {
			h.id, err = spec.TypeID(fn)
		}
		if err != nil {
			return nil, refuse(fmt.Sprintf("the kernel has no %s, Linux %s has it", h.function, h.since))
		}
		if f == nil || !slices.Contains(f.RxMetadata, h.feature) {
			return nil, refuse(fmt.Sprintf("driver %s does not tell a packet's %s", driverName(d.cfg.Interface), h.feature))
		}
		list = append(list, h.hint)
	}
	return list, nil
}

// request is something that is done to packets that are sent
// (Documentation/networking/xsk-tx-metadata.rst).
type request struct {
	// option asks for it, feature is the kernel's word for it, and does what a driver
	// that has it does.
	option, feature, does string
}

// requests are what a port wants done.
type requests []request

// requests returns what the port wants done to what it sends.
func (d *Device) requests() (list requests) {
	if d.cfg.TxChecksum {
		list = append(list, request{"tx-checksum", "checksum", "complete checksums"})
	}
	if d.cfg.TxTimestamp {
		list = append(list, request{"tx-timestamp", "timestamp", "stamp packets"})
	}
	return list
}

// refuseZeroCopy refuses by name what a driver does not do in zero-copy mode.
func (list requests) refuseZeroCopy(d *Device, f *XDPFeatures) error {
	for _, r := range list {
		if f == nil || !slices.Contains(f.TxMetadata, r.feature) {
			return fmt.Errorf("afxdp: %s: %s=on: driver %s does not %s in zero-copy mode: %w",
				d.cfg.Interface, r.option, driverName(d.cfg.Interface), r.does, unix.EOPNOTSUPP)
		}
	}
	return nil
}

// refuseCopy refuses by name what nobody does in copy mode. The kernel does it but for
// noLinearDriver, whose packets it makes in a place of their own, which looked at no request
// before Linux 6.18 (xsk_build_skb_zerocopy, net/xdp/xsk.c; commit 30c3055f9c0d).
func (list requests) refuseCopy(d *Device) error {
	if len(list) == 0 || driverName(d.cfg.Interface) != noLinearDriver || !kernelBefore(6, 18) {
		return nil
	}
	o := list[0].option
	return fmt.Errorf("afxdp: %s: %s=on: before Linux 6.18 the kernel does nothing of it for driver %s in copy mode; %s=off does without: %w",
		d.cfg.Interface, o, noLinearDriver, o, unix.EOPNOTSUPP)
}

// kernelBefore reports whether the kernel is older than this. One that does not tell is not.
func kernelBefore(major, minor int) bool {
	var u unix.Utsname
	var x, y int
	if unix.Uname(&u) != nil {
		return false
	}
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &x, &y); err != nil {
		return false
	}
	return x < major || x == major && y < minor
}

// Registers and a label of writeHints.
const (
	hintsCtx      = asm.R6
	hintsAt       = asm.R7
	hintsHas      = asm.R8
	redirectLabel = "redirect"
)

// writeHints makes room in front of the packet and writes the hints there, in the layout of
// mbuf.RxMeta. It leaves the context in hintsCtx and goes on at redirectLabel, also where
// there is no such room.
func writeHints(hints []hint) asm.Instructions {
	const xdpData, xdpDataMeta = 0, 8 // offsetof(struct xdp_md, data), data_meta
	const stack = -8
	out := asm.Instructions{
		asm.Mov.Reg(hintsCtx, asm.R1),
		asm.Mov.Imm(asm.R2, -mbuf.MetaLen),
		asm.FnXdpAdjustMeta.Call(),
		asm.JNE.Imm(asm.R0, 0, redirectLabel),
		asm.LoadMem(hintsAt, hintsCtx, xdpDataMeta, asm.Word),
		asm.LoadMem(asm.R2, hintsCtx, xdpData, asm.Word),
		asm.Mov.Reg(asm.R3, hintsAt),
		asm.Add.Imm(asm.R3, mbuf.MetaLen),
		asm.JGT.Reg(asm.R3, asm.R2, redirectLabel), // not reached; the verifier asks
		asm.Mov.Imm(hintsHas, mbuf.RxMetaMagic),
	}
	for i, h := range hints {
		next := fmt.Sprintf("hint%d", i)
		out = append(out,
			asm.Mov.Imm(asm.R1, 0),
			asm.StoreMem(asm.RFP, stack, asm.R1, asm.DWord),
			asm.Mov.Reg(asm.R1, hintsCtx),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, stack),
		)
		if h.second != 0 {
			out = append(out, asm.Mov.Reg(asm.R3, asm.RFP), asm.Add.Imm(asm.R3, int32(stack+h.second)))
		}
		size := asm.DWord
		if h.size == 4 {
			size = asm.Word
		}
		out = append(out,
			asm.Instruction{OpCode: asm.OpCode(asm.JumpClass).SetJumpOp(asm.Call), Src: asm.PseudoKfuncCall, Constant: int64(h.id)},
			asm.JNE.Imm(asm.R0, 0, next), // not of this packet
			asm.LoadMem(asm.R1, asm.RFP, stack, size),
			asm.StoreMem(hintsAt, int16(h.at), asm.R1, size),
			asm.Or.Imm(hintsHas, int32(h.bit)),
			asm.Mov.Reg(asm.R0, asm.R0).WithSymbol(next),
		)
	}
	return append(out, asm.StoreMem(hintsAt, mbuf.RxMetaHasAt, hintsHas, asm.Word))
}

var _ pmd.TxChecksummer = (*Device)(nil)

// TxChecksums implements pmd.TxChecksummer.
func (d *Device) TxChecksums() bool { return d.cfg.TxChecksum }
