package cpu

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxListLen bounds the text ParseList reads, in bytes. The longest canonical list, every
// second CPU of MaxCPUs, is a third of it.
const maxListLen = 64 << 10

// maxSequence bounds what ParseSequence returns. A text of maxListLen bytes could name
// each CPU thousands of times.
const maxSequence = 8 * MaxCPUs

// ParseList reads the kernel's CPU list syntax (Documentation/admin-guide/
// kernel-parameters.rst, "cpu lists"): items separated by commas, each of them
//
//	N            one CPU
//	N-M          the CPUs N to M, both included
//	N-M:u/g      of the CPUs N to M, the first u of every group of g
//
// White space around items is ignored, an item may repeat or overlap others, and the empty
// string is the empty set. An error quotes the item it is about. Ids of [MaxCPUs] and more
// are errors, as are empty items, so that "2,,5" is not taken for something it is not.
func ParseList(s string) (Set, error) {
	if len(s) > maxListLen {
		return Set{}, fmt.Errorf("CPU list of %d bytes is longer than the %d allowed", len(s), maxListLen)
	}
	if strings.TrimSpace(s) == "" {
		return Set{}, nil
	}
	var words []uint64
	for item := range strings.SplitSeq(s, ",") {
		item = strings.TrimSpace(item)
		var err error
		if words, err = addItem(words, item); err != nil {
			return Set{}, fmt.Errorf("CPU list: item %.40q: %w", item, err)
		}
	}
	return Set{words}, nil
}

// ParseSequence reads the syntax of [ParseList] and keeps the order: the CPUs come as
// the items name them, one range ascending, and a CPU named twice comes twice. The i-th
// of them is for the i-th of something else, such as the queues of a port.
func ParseSequence(s string) ([]int, error) {
	if _, err := ParseList(s); err != nil || strings.TrimSpace(s) == "" {
		return nil, err
	}
	var ids []int
	for item := range strings.SplitSeq(s, ",") {
		words, err := addItem(nil, strings.TrimSpace(item))
		if err != nil {
			return nil, err // not after the check above
		}
		ids = slices.AppendSeq(ids, Set{words}.All())
		if len(ids) > maxSequence {
			return nil, fmt.Errorf("CPU list names more than %d CPUs", maxSequence)
		}
	}
	return ids, nil
}

// addItem adds the CPUs of one list item to the bitmap.
func addItem(words []uint64, item string) ([]uint64, error) {
	if item == "" {
		return nil, errors.New("nothing between two commas; write for example 2-5,8")
	}
	span, stride, strided := strings.Cut(item, ":")
	lo, hi, ranged := strings.Cut(span, "-")
	first, err := parseID(lo)
	if err != nil {
		return nil, err
	}
	last := first
	if ranged {
		if last, err = parseID(hi); err != nil {
			return nil, err
		}
	}
	if last < first {
		return nil, fmt.Errorf("the range runs backwards; write %d-%d", last, first)
	}
	if !strided {
		return setRange(words, first, last), nil
	}
	used, group, err := parseStride(stride)
	if err != nil {
		return nil, err
	}
	if !ranged {
		return nil, errors.New("a stride needs a range; write for example 0-6:2/8")
	}
	for ; first <= last; first += group {
		words = setRange(words, first, min(first+used-1, last))
	}
	return words, nil
}

// parseStride reads the u/g of a strided range: 1 ≤ u ≤ g ≤ MaxCPUs.
func parseStride(s string) (used, group int, err error) {
	u, g, _ := strings.Cut(s, "/")
	used, errU := parseNumber(u, MaxCPUs)
	group, errG := parseNumber(g, MaxCPUs)
	if errU != nil || errG != nil || used < 1 || used > group {
		return 0, 0, fmt.Errorf("the stride must be used/group with 1 ≤ used ≤ group ≤ %d, as in 0-6:2/8", MaxCPUs)
	}
	return used, group, nil
}

// parseID reads one CPU id.
func parseID(s string) (int, error) {
	id, err := parseNumber(s, MaxCPUs-1)
	if err != nil {
		return 0, fmt.Errorf("a CPU id is a number from 0 to %d", MaxCPUs-1)
	}
	return id, nil
}

// parseNumber reads a plain decimal number that is not above limit.
func parseNumber(s string, limit int) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || n > uint64(limit) {
		return 0, strconv.ErrRange
	}
	return int(n), nil
}

// String returns the set in canonical list syntax: ascending, adjoining CPUs joined to
// ranges, no blanks, as the kernel prints it. The empty set is the empty string.
// [ParseList] reads back what String wrote.
func (s Set) String() string {
	var b []byte
	first, last := -1, -1
	flush := func() {
		if first < 0 {
			return
		}
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(first), 10)
		if last > first {
			b = append(b, '-')
			b = strconv.AppendInt(b, int64(last), 10)
		}
	}
	for id := range s.All() {
		if first < 0 || id != last+1 {
			flush()
			first = id
		}
		last = id
	}
	flush()
	return string(b)
}

// MarshalText writes the set as [Set.String] does, so that a Set in a configuration or a
// report reads "2-5,8".
func (s Set) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText replaces the set by what [ParseList] makes of text. It is for decoders that
// fill a Set in, and is the one method that changes one.
func (s *Set) UnmarshalText(text []byte) error {
	set, err := ParseList(string(text))
	if err != nil {
		return err
	}
	*s = set
	return nil
}
