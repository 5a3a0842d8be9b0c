package pcap

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"example.org/pmd/pmd"
)

// Forever is the value of Config.Loops that replays without end.
const Forever = -1

// Limits and defaults of a pcap port.
const (
	// MaxLoops bounds Config.Loops.
	MaxLoops = 1 << 30
	// MaxPPS bounds Config.PPS.
	MaxPPS = 500_000_000
	// MinSpeed and MaxSpeed bound Config.Speed.
	MinSpeed = 1e-6
	MaxSpeed = 1e6
	// DefaultMaxMemory is the memory a capture may take, in bytes, if nothing
	// else is said: 1 GiB.
	DefaultMaxMemory = 1 << 30
	// MinMaxMemory and MaxMaxMemory bound Config.MaxMemory, in bytes.
	MinMaxMemory = 1 << 20
	MaxMaxMemory = 1 << 46
	// DefaultBuffer is the size of the transmit buffer in bytes, if nothing else
	// is said: 16 MiB.
	DefaultBuffer = 16 << 20
	// MinBuffer and MaxBuffer bound Config.Buffer, in bytes. The least holds some
	// bursts of the longest frames.
	MinBuffer = 1 << 16
	MaxBuffer = 1 << 32
	// MaxSnapLen is the largest Config.SnapLen, in bytes: what tcpdump takes for
	// "all".
	MaxSnapLen = 262144
)

// Config describes a pcap port. At least one of RX and TX must be given.
type Config struct {
	// Name is the port's name. Default "pcap".
	Name string
	// RX is the path of the capture file to replay; empty: nothing is received.
	RX string
	// TX is the path of the pcapng file to write what is sent; it is overwritten,
	// and compressed if it ends in .gz. Empty: what is sent is discarded.
	TX string
	// Loops is how often RX is replayed, up to MaxLoops, or Forever. Default 1.
	Loops int
	// PPS replays at this rate in packets a second, up to MaxPPS. Default 0: flat
	// out, as fast as frames are asked for.
	PPS int
	// Recorded replays at the times of the capture. It excludes PPS.
	Recorded bool
	// Speed multiplies the rate of Recorded, MinSpeed to MaxSpeed. Default 1.
	Speed float64
	// MaxMemory is the most memory that the capture may take, in bytes,
	// MinMaxMemory to MaxMaxMemory. A file that needs more is refused. Default
	// 1 GiB.
	MaxMemory int64
	// Partial replays the whole packets in front of damage in RX. Without it a
	// damaged file is refused.
	Partial bool
	// SkipLong leaves out packets that do not fit into a frame of the pool.
	// Without it a file that has some is refused.
	SkipLong bool
	// FrameSize is the chunk size of the pool in bytes, 2048 or 4096. Default: the
	// program's.
	FrameSize int
	// SnapLen cuts packets written to TX to so many bytes, up to MaxSnapLen.
	// Default 0: they are written whole.
	SnapLen int
	// Buffer is how many bytes may wait to be written to TX, a power of two from
	// MinBuffer to MaxBuffer. Default 16 MiB.
	Buffer int
}

// withDefaults fills the fields left zero and checks the rest.
func (c Config) withDefaults() (Config, error) {
	if c.Name == "" {
		c.Name = "pcap"
	}
	setDefault(&c.Loops, 1)
	setDefault(&c.Speed, 1)
	setDefault(&c.MaxMemory, DefaultMaxMemory)
	setDefault(&c.Buffer, DefaultBuffer)
	wrong := ""
	switch {
	case c.RX == "" && c.TX == "":
		wrong = "give rx=FILE to replay, tx=FILE to write, or both"
	case c.Loops != Forever && (c.Loops < 1 || c.Loops > MaxLoops):
		wrong = fmt.Sprintf("loop=%d: use on, off or a number from 1 to %d", c.Loops, MaxLoops)
	case c.PPS < 0 || c.PPS > MaxPPS:
		wrong = fmt.Sprintf("rate=%d: use 1 to %d packets a second", c.PPS, MaxPPS)
	case c.PPS != 0 && c.Recorded:
		wrong = "rate=: either recorded times or packets a second"
	case !(c.Speed >= MinSpeed && c.Speed <= MaxSpeed): // NaN, too
		wrong = fmt.Sprintf("speed=%g: use %g to %g", c.Speed, MinSpeed, MaxSpeed)
	case c.Speed != 1 && !c.Recorded:
		wrong = "speed= needs rate=recorded"
	case c.MaxMemory < MinMaxMemory || c.MaxMemory > MaxMaxMemory:
		wrong = fmt.Sprintf("max-memory=%s: use %s to %s", size(c.MaxMemory), size(MinMaxMemory), size(MaxMaxMemory))
	case c.FrameSize != 0 && c.FrameSize != 2048 && c.FrameSize != 4096:
		wrong = fmt.Sprintf("frame-size=%d: use 2048 or 4096", c.FrameSize)
	case c.SnapLen < 0 || c.SnapLen > MaxSnapLen:
		wrong = fmt.Sprintf("snaplen=%d: use 0 for whole packets, or up to %d", c.SnapLen, MaxSnapLen)
	case c.Buffer < MinBuffer || c.Buffer > MaxBuffer || c.Buffer&(c.Buffer-1) != 0:
		wrong = fmt.Sprintf("buffer=%s: use a power of two from %s to %s", size(int64(c.Buffer)), size(MinBuffer), size(MaxBuffer))
	}
	if wrong != "" {
		return c, fmt.Errorf("%w: pcap %s: %s", pmd.ErrSpec, c.Name, wrong)
	}
	return c, nil
}

// setDefault gives a field left zero its default.
func setDefault[T int | int64 | float64](field *T, def T) {
	if *field == 0 {
		*field = def
	}
}

// fromSpec reads the options of a spec.
func fromSpec(spec pmd.Spec) (Config, error) {
	if spec.Interface != "" {
		return Config{}, fmt.Errorf("%w: %s: a pcap port has no interface: write pcap:rx=FILE", pmd.ErrSpec, spec)
	}
	r := spec.Read()
	c := Config{
		Name:      spec.Name,
		RX:        r.String("rx", ""),
		TX:        r.String("tx", ""),
		Partial:   r.Bool("partial", false),
		SkipLong:  r.OneOf("oversize", "refuse", "skip") == "skip",
		FrameSize: r.FrameSize("frame-size", 0),
		SnapLen:   r.Int("snaplen", 0, 0, MaxSnapLen),
	}
	loop, rate := r.String("loop", "off"), r.String("rate", "flat")
	speed, memory, buffer := r.String("speed", "1"), r.String("max-memory", ""), r.String("buffer", "")
	if err := r.Done(); err != nil {
		return Config{}, err
	}
	fail := func(key, value, want string) (Config, error) { return Config{}, r.Bad(key, value, want) }
	for _, key := range []string{"rx", "tx"} {
		if v, ok := spec.Options[key]; ok && v == "" {
			return fail(key, v, "the name of a file")
		}
	}
	var ok bool
	if c.Loops, ok = parseLoop(loop); !ok {
		return fail("loop", loop, fmt.Sprintf("on, off or a number from 1 to %d", MaxLoops))
	}
	switch rate {
	case "flat":
	case "recorded":
		c.Recorded = true
	default:
		pps, ok := parseNumber(rate, 1000)
		if !ok || pps < 1 || pps > MaxPPS {
			return fail("rate", rate, fmt.Sprintf("recorded, flat, or packets a second from 1 to %d (100k and 1.5M will do)", MaxPPS))
		}
		c.PPS = int(pps)
	}
	var err error
	if c.Speed, err = strconv.ParseFloat(speed, 64); err != nil || c.Speed == 0 {
		return fail("speed", speed, fmt.Sprintf("a factor from %g to %g", MinSpeed, MaxSpeed))
	}
	if memory != "" {
		if c.MaxMemory, ok = parseNumber(memory, 1024); !ok || c.MaxMemory < MinMaxMemory {
			return fail("max-memory", memory, fmt.Sprintf("a size from %s to %s", size(MinMaxMemory), size(MaxMaxMemory)))
		}
	}
	if buffer != "" {
		n, ok := parseNumber(buffer, 1024)
		if !ok || n < MinBuffer || n > MaxBuffer {
			return fail("buffer", buffer, fmt.Sprintf("a power of two from %s to %s", size(MinBuffer), size(MaxBuffer)))
		}
		c.Buffer = int(n)
	}
	return c, nil
}

// parseLoop reads the value of loop=.
func parseLoop(s string) (loops int, ok bool) {
	switch s {
	case "on", "true", "yes":
		return Forever, true
	case "off", "false", "no":
		return 1, true
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 1 && n <= MaxLoops
}

// parseNumber reads a number that may end in k, M, G or T, powers of unit, and is
// whole once multiplied.
func parseNumber(s string, unit float64) (int64, bool) {
	mult := 1.0
	if i := strings.IndexAny(s, "kKMGT"); i >= 0 && i == len(s)-1 {
		mult = math.Pow(unit, float64(strings.Index("kMGT", strings.Replace(s[i:], "K", "k", 1))+1))
		s = s[:i]
	}
	v, err := strconv.ParseFloat(s, 64)
	v *= mult
	if err != nil || !(v >= 0 && v < 1<<62) || v != math.Trunc(v) {
		return 0, false
	}
	return int64(v), true
}

// size says a number of bytes the way options do.
func size(n int64) string {
	for _, u := range []struct {
		unit string
		n    int64
	}{{"T", 1 << 40}, {"G", 1 << 30}, {"M", 1 << 20}, {"k", 1 << 10}} {
		if n >= u.n {
			return strconv.FormatFloat(math.Round(float64(n)/float64(u.n)*10)/10, 'f', -1, 64) + u.unit
		}
	}
	return strconv.FormatInt(n, 10)
}
