package ring

import (
	"fmt"

	"example.org/pmd/pmd"
)

// Limits and defaults of a ring pair.
const (
	// MinSize and MaxSize bound the frames a direction holds.
	MinSize = 2
	MaxSize = 1 << 16
	// DefaultSize is the frames a direction holds if nothing else is said: four
	// of the largest bursts.
	DefaultSize = 4 * pmd.MaxBurst
)

// Config describes a pair, or a port looped onto itself. The zero value holds
// 1,024 frames in each direction.
type Config struct {
	// Name is the name of the pair; the ports are Name.a and Name.b. A looped
	// port has the name as it is. Default "ring".
	Name string
	// Size is the number of frames each direction holds, a power of two from
	// MinSize to MaxSize. Default 1,024.
	Size int
}

// withDefaults fills the fields left zero and checks the rest.
func (c Config) withDefaults() (Config, error) {
	if c.Name == "" {
		c.Name = "ring"
	}
	if c.Size == 0 {
		c.Size = DefaultSize
	}
	if c.Size < MinSize || c.Size > MaxSize || c.Size&(c.Size-1) != 0 {
		return c, fmt.Errorf("%w: ring %s: size=%d: use a power of two from %d to %d", pmd.ErrSpec, c.Name, c.Size, MinSize, MaxSize)
	}
	return c, nil
}
