//go:build !unix

package bench

import "time"

// processTime is not needed without /proc/stat.
func processTime() time.Duration { return 0 }
