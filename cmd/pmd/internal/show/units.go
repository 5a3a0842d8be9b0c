package show

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Count returns n in full, in groups of three digits: totals are compared, and
// rounded ones do not add up.
func Count(n uint64) string {
	s := strconv.FormatUint(n, 10)
	var b strings.Builder
	for i, d := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// scale writes x with three digits and the largest prefix that leaves one before
// the point.
func scale(x, base float64, prefixes []string, unit string) string {
	if math.IsNaN(x) || math.IsInf(x, 0) || x < 0 {
		return "-"
	}
	i := 0
	for x >= base && i < len(prefixes)-1 {
		x /= base
		i++
	}
	// What rounds up to the base belongs to the next prefix: 999,999 is 1.00 M.
	if i < len(prefixes)-1 && math.Round(x) >= base {
		x /= base
		i++
	}
	digits := 0
	if i > 0 {
		switch {
		case x < 9.995:
			digits = 2
		case x < 99.95:
			digits = 1
		}
	}
	return strings.TrimSpace(strconv.FormatFloat(x, 'f', digits, 64) + " " + prefixes[i] + unit)
}

// PPS returns a rate in packets per second, as "1.23 Mpps".
func PPS(x float64) string { return scale(x, 1000, []string{"", "k", "M", "G", "T"}, "pps") }

// BPS returns a rate in bits per second, as "9.87 Gbit/s".
func BPS(x float64) string { return scale(x, 1000, []string{"", "k", "M", "G", "T"}, "bit/s") }

// Bytes returns a number of bytes with binary prefixes, as "4.50 GiB".
func Bytes(n uint64) string {
	return scale(float64(n), 1024, []string{"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"}, "B")
}

// Share returns a share from 0 to 1 in percent.
func Share(x float64) string { return fmt.Sprintf("%.1f%%", 100*x) }

// Nanoseconds returns a time with its unit, as "12.3µs".
func Nanoseconds(ns uint64) string {
	d := time.Duration(min(ns, math.MaxInt64))
	switch {
	case d < time.Microsecond:
	case d < 100*time.Microsecond:
		d = d.Round(100 * time.Nanosecond)
	case d < time.Millisecond:
		d = d.Round(time.Microsecond)
	case d < time.Second:
		d = d.Round(10 * time.Microsecond)
	default:
		d = d.Round(time.Millisecond)
	}
	return d.String()
}

// Seconds returns a time in seconds as a person says it: "3m25s".
func Seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	if d < time.Minute {
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
