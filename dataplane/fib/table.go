package fib

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
)

// Table maps destinations to values, the longest prefix first. The zero Table is empty and
// ready for use. It belongs to one core.
type Table[V any] struct {
	v4 lengths[V]
	v6 lengths[V]
	n  int
}

// lengths are the levels of one family, by prefix length, and which of them hold
// anything, the longest first.
type lengths[V any] struct {
	level [129]level[V]
	used  []uint8
}

// level holds the prefixes of one length: their addresses in order, and beside them the
// values.
type level[V any] struct {
	keys   []key
	values []V
}

// key is an address as a number; that of an IPv4 address is in hi's upper half, so that
// prefixes of both families are masked from the top.
type key struct{ hi, lo uint64 }

func keyOf(a netip.Addr) key {
	if a.Is4() {
		b := a.As4()
		return key{hi: uint64(binary.BigEndian.Uint32(b[:])) << 32}
	}
	b := a.As16()
	return key{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (k key) masked(bits uint8) key {
	if bits >= 64 {
		return key{k.hi, k.lo & (^uint64(0) << (128 - bits))}
	}
	return key{hi: k.hi & (^uint64(0) << (64 - bits))}
}

func (k key) compare(o key) int {
	switch {
	case k == o:
		return 0
	case k.hi < o.hi || k.hi == o.hi && k.lo < o.lo:
		return -1
	}
	return 1
}

// prefix is keyOf's inverse.
func (k key) prefix(bits uint8, v4 bool) netip.Prefix {
	if v4 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(k.hi>>32))
		return netip.PrefixFrom(netip.AddrFrom4(b), int(bits))
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.hi)
	binary.BigEndian.PutUint64(b[8:], k.lo)
	return netip.PrefixFrom(netip.AddrFrom16(b), int(bits))
}

// find returns where k is in the level, or belongs.
func (l *level[V]) find(k key) (int, bool) {
	lo, hi := 0, len(l.keys)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch c := l.keys[mid].compare(k); {
		case c == 0:
			return mid, true
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return lo, false
}

// place returns the levels, length and key of a destination. An IPv4 address in IPv6
// form is none: which family a packet is of is not in doubt.
func (t *Table[V]) place(dst netip.Prefix) (*lengths[V], uint8, key, bool) {
	if !dst.IsValid() || dst.Addr().Is4In6() {
		return nil, 0, key{}, false
	}
	bits := uint8(dst.Bits())
	k := keyOf(dst.Addr()).masked(bits)
	if dst.Addr().Is4() {
		return &t.v4, bits, k, true
	}
	return &t.v6, bits, k, true
}

// Add enters a value. Bits of dst beyond its length are ignored. A destination that is
// there already is an error that wraps EEXIST, what is no prefix one that wraps EINVAL.
func (t *Table[V]) Add(dst netip.Prefix, v V) error {
	ls, bits, k, ok := t.place(dst)
	if !ok {
		return fmt.Errorf("fib: add %v: no destination: use a prefix such as 192.0.2.0/24 or 2001:db8::/32: %w", dst, syscall.EINVAL)
	}
	l := &ls.level[bits]
	i, found := l.find(k)
	if found {
		return fmt.Errorf("fib: add %v: there is a route to it: %w", dst.Masked(), syscall.EEXIST)
	}
	if len(l.keys) == 0 {
		at, _ := slices.BinarySearchFunc(ls.used, bits, func(a, b uint8) int { return int(b) - int(a) })
		ls.used = slices.Insert(ls.used, at, bits)
	}
	l.keys = slices.Insert(l.keys, i, k)
	l.values = slices.Insert(l.values, i, v)
	t.n++
	return nil
}

// Delete removes the value of exactly that destination and returns it. If there is none
// the error wraps ESRCH.
func (t *Table[V]) Delete(dst netip.Prefix) (v V, err error) {
	ls, bits, k, ok := t.place(dst)
	if !ok {
		return v, fmt.Errorf("fib: delete %v: no destination: %w", dst, syscall.ESRCH)
	}
	l := &ls.level[bits]
	i, found := l.find(k)
	if !found {
		return v, fmt.Errorf("fib: delete %v: there is no route to exactly that: %w", dst.Masked(), syscall.ESRCH)
	}
	v = l.values[i]
	l.keys = slices.Delete(l.keys, i, i+1)
	l.values = slices.Delete(l.values, i, i+1)
	if len(l.keys) == 0 {
		ls.used = slices.DeleteFunc(ls.used, func(b uint8) bool { return b == bits })
	}
	t.n--
	return v, nil
}

// Get returns the value of exactly that destination, or nil. The pointer is good until the
// next Add or Delete.
func (t *Table[V]) Get(dst netip.Prefix) *V {
	ls, bits, k, ok := t.place(dst)
	if !ok {
		return nil
	}
	l := &ls.level[bits]
	if i, found := l.find(k); found {
		return &l.values[i]
	}
	return nil
}

// Lookup returns the value of the longest prefix that a is in, or nil. A zone is
// ignored. The pointer is good until the next Add or Delete. It does not allocate.
func (t *Table[V]) Lookup(a netip.Addr) *V {
	ls := &t.v6
	switch {
	case a.Is4():
		ls = &t.v4
	case !a.Is6() || a.Is4In6():
		return nil
	}
	k := keyOf(a)
	for _, bits := range ls.used {
		l := &ls.level[bits]
		if i, found := l.find(k.masked(bits)); found {
			return &l.values[i]
		}
	}
	return nil
}

// Walk calls fn for every destination until it returns false: IPv4 before IPv6, the
// shortest length first, and by address within a length. fn may change the value, and must
// not add or delete.
func (t *Table[V]) Walk(fn func(dst netip.Prefix, v *V) bool) {
	for _, ls := range []*lengths[V]{&t.v4, &t.v6} {
		for i := len(ls.used) - 1; i >= 0; i-- {
			bits := ls.used[i]
			l := &ls.level[bits]
			for j := range l.keys {
				if !fn(l.keys[j].prefix(bits, ls == &t.v4), &l.values[j]) {
					return
				}
			}
		}
	}
}

// Len returns the number of destinations.
func (t *Table[V]) Len() int { return t.n }
