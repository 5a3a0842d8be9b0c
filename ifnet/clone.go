package ifnet

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// MaxUnit is the highest unit of a kind of interface.
const MaxUnit = 32767

// Cloner makes interfaces of one kind that have no hardware, struct if_clone.
type Cloner struct {
	// Kind is the beginning of their names: letters only. "ring" makes ring0, ….
	Kind string
	// Doc says in a few words what the kind is, and which params it takes.
	Doc string
	// Create makes the device of a unit and returns the interface to attach;
	// name, driver and unit are filled in. It is called by control and must not
	// call the System.
	Create func(ctx context.Context, unit int, params map[string]string) (Params, error)
	// Destroy gives up what Create made, after the interface has been detached:
	// no core holds a frame of it. It may be nil.
	Destroy func(i Info) error
}

// cloner is a Cloner with the units that are out.
type cloner struct {
	Cloner
	used map[int]bool
}

// addCloner is if_clone_attach.
func (s *System) addCloner(c Cloner) error {
	letters := !strings.ContainsFunc(c.Kind, func(r rune) bool { return r < 'a' || r > 'z' })
	if c.Kind == "" || !letters || len(c.Kind) > NameSize-1-len(strconv.Itoa(MaxUnit)) || c.Create == nil {
		return fmt.Errorf("ifnet: Config.Cloners: kind %.40q: a kind is a few letters a to z, and has a Create", c.Kind)
	}
	if s.clonerOf(c.Kind) != nil {
		return fmt.Errorf("ifnet: Config.Cloners: kind %q is there twice", c.Kind)
	}
	s.cloners = append(s.cloners, &cloner{Cloner: c, used: map[int]bool{}})
	return nil
}

func (s *System) clonerOf(kind string) *cloner {
	for _, c := range s.cloners {
		if c.Kind == kind {
			return c
		}
	}
	return nil
}

// Kind describes a kind of interface that can be created.
type Kind struct {
	// Name and Doc are those of its Cloner.
	Name, Doc string
	// Units are those that are there.
	Units []int
}

// Kinds lists the kinds there are, if_clone_list.
func (s *System) Kinds(ctx context.Context) (kinds []Kind, err error) {
	err = s.do(ctx, "list kinds", "", func() *failure {
		for _, c := range s.cloners {
			k := Kind{Name: c.Kind, Doc: c.Doc}
			for u := range c.used {
				k.Units = append(k.Units, u)
			}
			slices.Sort(k.Units)
			kinds = append(kinds, k)
		}
		return nil
	})
	return kinds, err
}

// splitUnit takes a name apart: kind, and unit or UnitNone.
func splitUnit(name string) (kind string, unit int, f *failure) {
	kind = strings.TrimRight(name, "0123456789")
	digits := name[len(kind):]
	if digits == "" {
		return kind, UnitNone, nil
	}
	unit, err := strconv.Atoi(digits)
	if err != nil || unit > MaxUnit || len(digits) > 1 && digits[0] == '0' {
		return kind, 0, fail(syscall.EINVAL, "a unit is a number from 0 to "+strconv.Itoa(MaxUnit))
	}
	return kind, unit, nil
}

// create is if_clone_create.
func (s *System) create(ctx context.Context, name string, params map[string]string) (*Interface, *failure) {
	if f := checkName(name); f != nil {
		return nil, f
	}
	kind, unit, f := splitUnit(name)
	if f != nil {
		return nil, f
	}
	c := s.clonerOf(kind)
	if c == nil {
		return nil, fail(syscall.EINVAL, "there is no kind "+kind+"; see the list of kinds")
	}
	if unit == UnitNone {
		for unit = 0; unit <= MaxUnit && (c.used[unit] || s.unit(InitName(kind, unit)) != nil); unit++ {
		}
	}
	name = InitName(kind, unit)
	switch {
	case unit > MaxUnit:
		return nil, fail(syscall.ENOSPC, "every unit is there already")
	case c.used[unit] || s.unit(name) != nil:
		return nil, fail(syscall.EEXIST, "it is there already")
	}
	p, err := c.Create(ctx, unit, params)
	if err != nil {
		return nil, &failure{cause: err, errno: orEIO(err)}
	}
	p.Name, p.Driver, p.Unit = name, kind, unit
	ifp, f := s.attach(p)
	if f != nil {
		if c.Destroy != nil {
			_ = c.Destroy(Info{Name: name, Driver: kind, Unit: unit}) // the first failure tells more
		}
		return nil, f
	}
	ifp.cloner = c
	c.used[unit] = true
	return ifp, nil
}

// destroy is if_clone_destroy.
func (s *System) destroy(ifp *Interface) *failure {
	c := ifp.cloner
	if c == nil {
		return fail(syscall.EINVAL, "the interface was not created by name, so it is not destroyed by name")
	}
	i := s.info(ifp)
	if f := s.detach(ifp); f != nil {
		return f
	}
	delete(c.used, ifp.unit)
	if c.Destroy != nil {
		if err := c.Destroy(i); err != nil {
			return &failure{text: "it is detached, and its device was not given up", cause: err, errno: orEIO(err)}
		}
	}
	return nil
}
