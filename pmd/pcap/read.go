package pcap

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// Magic numbers, as they stand in a file of either byte order.
const (
	magicMicro     = 0xa1b2c3d4 // draft-ietf-opsawg-pcap, section 4
	magicNano      = 0xa1b23c4d
	magicNG        = 0x0a0d0d0a // draft-ietf-opsawg-pcapng, section 4.1; a palindrome
	magicKuznetzov = 0xa1b2cd34 // libpcap with Kuznetzov's patch: longer record headers
	magicIXIA      = 0x1c0001ac // hardware of IXIA
)

const (
	// readBuffer is how much is read from a file at once. pcapgo takes a buffered
	// reader of at least 4,096 bytes as its own, which is what lets an error tell
	// its offset.
	readBuffer = 1 << 16
	// maxDescribed bounds how many interfaces and names a pcapng section may
	// describe. pcapgo keeps all of them, each in some hundred bytes for twenty of
	// the file.
	maxDescribed = 1 << 16
)

// limits says what readCapture may take.
type limits struct {
	maxMemory int64
	maxLen    int     // of a frame, in bytes
	speed     float64 // of the replay at recorded times; 0: times are not kept
	partial   bool    // what comes before damage will do
	skipLong  bool    // frames longer than maxLen are left out
}

// load reads a capture file into memory. Errors name the file.
func load(ctx context.Context, path string, lim limits) (*capture, error) {
	f, err := openInput(ctx, path)
	if err != nil {
		return nil, err // names the file and the step
	}
	defer f.Close()
	// A pipe may keep a reader waiting for longer than anybody cares. Where there is no
	// deadline nobody is kept waiting.
	defer context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Now()) })()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s: is a directory: name a capture file in it", path)
	case info.Mode().IsRegular() && info.Size() == 0:
		return nil, fmt.Errorf("%s: the file is empty, without even the header of a capture", path)
	case info.Mode().IsRegular() && info.Size() > lim.maxMemory:
		// Before anything is read: what is on disk may take no room there.
		return nil, fmt.Errorf("%s: the file has %s, more than max-memory=%s: raise it if the machine has as much, or cut the file (editcap -c, tcpdump -r)",
			path, size(info.Size()), size(lim.maxMemory))
	}
	c, err := readCapture(ctx, f, lim)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// counter counts the bytes read and refuses to read more than there may be.
type counter struct {
	r      io.Reader
	n, max int64
	// check, if set, may refuse to go on.
	check func() error
}

// errTooLong is told as it is, and not as damage of the file.
var errTooLong = errors.New("is longer than max-memory")

func (c *counter) Read(p []byte) (int, error) {
	if c.check != nil {
		if err := c.check(); err != nil {
			return 0, err
		}
	}
	if c.n > c.max {
		return 0, errTooLong
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.max-c.n+1)])
	c.n += int64(n)
	return n, err
}

// stream is a file behind its compression, if any.
type stream struct {
	*bufio.Reader
	count  *counter
	gzip   bool
	packet uint64 // whose turn it is, from 1
}

// offset is where in the uncompressed file reading has come to.
func (s *stream) offset() int64 { return s.count.n - int64(s.Buffered()) }

// readCapture reads a capture from r, which ends at lim.maxMemory at the latest.
func readCapture(ctx context.Context, r io.Reader, lim limits) (*capture, error) {
	s, err := open(r, lim)
	if err != nil {
		return nil, err
	}
	src, format, err := s.sniff()
	if err != nil {
		return nil, err
	}
	l := &loader{maxMemory: lim.maxMemory, speed: lim.speed}
	l.format = format
	for s.packet = 1; ; s.packet++ {
		if s.packet%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		at := s.offset()
		p, ci, link, err := src()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			err = s.damaged(err, at)
			if !lim.partial || l.packets == 0 || errors.Is(err, errTooLong) {
				return nil, err
			}
			l.damage = err
			break
		}
		if err := s.take(l, lim, p, ci, link, at); err != nil {
			return nil, err
		}
	}
	switch {
	case l.packets == 0 && l.long+l.empty > 0:
		return nil, fmt.Errorf("no packet of it can be replayed: %d longer than %d bytes, %d empty", l.long, lim.maxLen, l.empty)
	case l.packets == 0:
		return nil, fmt.Errorf("has no packet (it is a %s file with a header only)", format)
	case lim.speed != 0 && l.times == 0:
		return nil, fmt.Errorf("its packets have no times: use rate=flat or a number of packets a second")
	}
	return l.finish(), nil
}

// take adds one packet to the capture, or counts why not.
func (s *stream) take(l *loader, lim limits, p []byte, ci gopacket.CaptureInfo, link layers.LinkType, at int64) error {
	switch {
	case link != layers.LinkTypeEthernet:
		return fmt.Errorf("packet %d at byte %d is of link type %s: only Ethernet (1) can be replayed: capture on one Ethernet interface (not on \"any\"), or convert the file",
			s.packet, at, linkName(link))
	case len(p) == 0:
		l.empty++
		return nil
	case len(p) > lim.maxLen:
		if lim.skipLong {
			l.long++
			return nil
		}
		return fmt.Errorf("packet %d at byte %d has %d bytes, a frame of the pool holds %d: use frame-size=4096 if that is enough, oversize=skip to leave such packets out, or switch segmentation offload off when capturing (ethtool -K IFNAME gro off lro off)",
			s.packet, at, len(p), lim.maxLen)
	}
	if len(p) < ci.Length {
		l.cut++
	}
	return l.add(p, ci.Timestamp)
}

// linkName is the name of a link type with its number.
func linkName(link layers.LinkType) string {
	// gopacket says "UnknownLinkType" or its number for those it cannot decode.
	names := map[layers.LinkType]string{
		layers.LinkTypeNull: "NULL", layers.LinkTypeRaw: "RAW", 12: "RAW", layers.LinkTypePPP: "PPP",
		layers.LinkTypeIEEE802_11: "IEEE802_11", layers.LinkTypeIEEE80211Radio: "IEEE802_11_RADIOTAP",
		layers.LinkTypeLinuxSLL: "LINUX_SLL", layers.LinkTypeLinuxSLL2: "LINUX_SLL2", layers.LinkTypeLinuxUSB: "USB_LINUX_MMAPPED",
	}
	if name, ok := names[link]; ok {
		return fmt.Sprintf("%s (%d)", name, int(link))
	}
	return fmt.Sprintf("%d", int(link))
}

// damaged says what is wrong with the file, and where.
func (s *stream) damaged(err error, at int64) error {
	what := err.Error()
	switch {
	case errors.Is(err, errTooLong):
		return s.tooLong()
	case errors.Is(err, errDescribed):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		what = "the file ends within it"
	case errors.Is(err, gzip.ErrChecksum):
		what = "the checksum of the compressed file is wrong"
	}
	return fmt.Errorf("packet %d at byte %d%s: %s: the file is damaged or was cut off: use partial=on to replay the %d packets before",
		s.packet, at, s.uncompressed(), what, s.packet-1)
}

// uncompressed tells what an offset counts in.
func (s *stream) uncompressed() string {
	if s.gzip {
		return " (uncompressed)"
	}
	return ""
}

func (s *stream) tooLong() error {
	return fmt.Errorf("%w=%s%s: raise it if the machine has as much, or cut the file (editcap -c, tcpdump -r)", errTooLong, size(s.count.max), s.uncompressed())
}

// open looks through gzip.
func open(r io.Reader, lim limits) (*stream, error) {
	c := &counter{r: r, max: lim.maxMemory}
	s := &stream{Reader: bufio.NewReaderSize(c, readBuffer), count: c}
	head, err := s.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading: %w", err)
	}
	if !bytes.Equal(head, []byte{0x1f, 0x8b}) { // RFC 1952, section 2.3.1
		return s, nil
	}
	z, err := gzip.NewReader(s.Reader)
	if err != nil {
		return nil, fmt.Errorf("its gzip header cannot be read: %w", err)
	}
	c = &counter{r: z, max: lim.maxMemory}
	return &stream{Reader: bufio.NewReaderSize(c, readBuffer), count: c, gzip: true}, nil
}

// source returns the next packet, valid until the next call, with what the file
// says of it, or io.EOF.
type source func() ([]byte, gopacket.CaptureInfo, layers.LinkType, error)

// sniff finds out what kind of capture it is and reads its header.
func (s *stream) sniff() (src source, format string, err error) {
	head, err := s.Peek(24)
	if err != nil && !errors.Is(err, io.EOF) {
		if errors.Is(err, errTooLong) {
			return nil, "", s.tooLong()
		}
		return nil, "", fmt.Errorf("reading: %w", err)
	}
	if len(head) < 4 {
		return nil, "", fmt.Errorf("has only %d bytes%s, no header of a capture", len(head), s.uncompressed())
	}
	big, little := binary.BigEndian.Uint32(head), binary.LittleEndian.Uint32(head)
	order, magic := "big-endian", big
	if little == magicMicro || little == magicNano {
		order, magic = "little-endian", little
	}
	unit := "microseconds"
	switch magic {
	case magicNG:
		src, err = s.ng()
		format = "pcapng"
	case magicNano, magicMicro:
		if magic == magicNano {
			unit = "nanoseconds"
		}
		src, err = s.classic()
		format = "pcap, " + unit + ", " + order
	default:
		return nil, "", foreign(head, big, little)
	}
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("the file ends within the header of the capture, after %d bytes%s", s.offset(), s.uncompressed())
		}
		return nil, "", err
	}
	if s.gzip {
		format += ", gzip"
	}
	return src, format, nil
}

// foreign names kinds of file that are taken for captures, and what to do.
func foreign(head []byte, big, little uint32) error {
	const convert = ": convert it with editcap -F pcapng"
	for _, k := range []struct{ magic, what string }{
		{"\x28\xb5\x2f\xfd", "is compressed with zstd: decompress it first (zstd -d)"},
		{"\x04\x22\x4d\x18", "is compressed with lz4: decompress it first (lz4 -d)"},
		{"\xfd7zXZ\x00", "is compressed with xz: decompress it first (xz -d)"},
		{"BZh", "is compressed with bzip2: decompress it first (bzip2 -d)"},
		{"PK\x03\x04", "is a zip archive: unpack it first (unzip)"},
		{"\x1f\x8b", "is compressed with gzip twice: decompress it first (gzip -d)"},
		{"snoop\x00\x00\x00", "is a snoop capture (RFC 1761)" + convert},
	} {
		if bytes.HasPrefix(head, []byte(k.magic)) {
			return errors.New(k.what)
		}
	}
	switch {
	case big == magicKuznetzov || little == magicKuznetzov, big == magicIXIA || little == magicIXIA:
		return fmt.Errorf("is a pcap file of a variant that has longer record headers (it begins with %08x)%s", big, convert)
	}
	return fmt.Errorf("is not a capture file: it begins with %08x, a pcap or pcapng file with one of %08x, %08x and %08x, in either byte order",
		big, uint32(magicMicro), uint32(magicNano), uint32(magicNG))
}

// classic reads a pcap file.
func (s *stream) classic() (source, error) {
	r, err := pcapgo.NewReader(s.Reader)
	if err != nil {
		return nil, err
	}
	link := r.LinkType()
	return func() ([]byte, gopacket.CaptureInfo, layers.LinkType, error) {
		p, ci, err := r.ZeroCopyReadPacketData()
		if errors.Is(err, io.EOF) && ci.CaptureLength > 0 {
			err = io.ErrUnexpectedEOF // a record header with nothing behind it
		}
		return p, ci, link, err
	}, nil
}

var errDescribed = fmt.Errorf("a section describes more than %d interfaces or names: this is no capture to replay", maxDescribed)

// ng reads a pcapng file.
func (s *stream) ng() (source, error) {
	// Of mixed link types, so that a packet that cannot be replayed is told and not
	// left out.
	r, err := pcapgo.NewNgReader(s.Reader, pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		return nil, err
	}
	s.count.check = func() error {
		if r.NInterfaces() > maxDescribed || r.NNames() > maxDescribed {
			return errDescribed
		}
		return nil
	}
	return func() ([]byte, gopacket.CaptureInfo, layers.LinkType, error) {
		p, ci, err := r.ZeroCopyReadPacketData()
		if err != nil {
			return nil, ci, 0, err
		}
		link, _ := ci.AncillaryData[0].(layers.LinkType) // WantMixedLinkType says so
		return p, ci, link, nil
	}, nil
}
