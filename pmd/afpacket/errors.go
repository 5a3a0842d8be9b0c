package afpacket

import (
	"fmt"

	"example.org/pmd/pmd"
)

// badConfig tells of a Config that no spec can give.
func badConfig(c Config) error {
	return fmt.Errorf("%w: afpacket %s: a field is outside the limits that its comment gives: %+v", pmd.ErrSpec, c.Interface, c)
}
