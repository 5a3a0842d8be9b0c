package afxdp

import "time"

// SetLate has the driver's queues fail with what late returns, if that is an error, where they
// wait for the kernel to let go of their frames.
func (d *Driver) SetLate(late func() error) {
	d.released = func(dev *Device, c *connection, i int) error {
		if err := late(); err != nil {
			return err
		}
		return dev.waitReleased(c, i)
	}
}

// UntilFree is untilFree.
func UntilFree(limit time.Duration, bind func() error) error { return untilFree(limit, bind) }
